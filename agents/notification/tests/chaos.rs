//! Notification agents as processes, killed again and again, between a database that is restarted, a Redis that is emptied
//! and providers that fail in every way: no message is lost, and none comes twice where the other side can tell.
//!
//! `make chaos` is the run of full size; what CI runs is a tenth of it. See `docs/events.md`.

#![expect(clippy::unwrap_used, reason = "tests and their helpers fail so")]

#[path = "chaos/fleet.rs"]
mod fleet;
#[path = "chaos/http.rs"]
mod http;
#[path = "chaos/ledger.rs"]
mod ledger;
#[path = "chaos/load.rs"]
mod load;
#[path = "chaos/plane.rs"]
mod plane;
#[path = "chaos/run.rs"]
mod run;
#[path = "chaos/smtp.rs"]
mod smtp;
