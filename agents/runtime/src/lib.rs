//! What every agent stands on: a lease that makes one process act and fences its writes, caches of what it watches,
//! ticks in which it looks and acts, calls whose failures are sorted by what to do next, and events that tell people;
//! and for an agent that is a program of its own, its flags, its connection, its admin port and its way to end.
//!
//! Knows nothing of orders and drivers, keeps no truth of its own, and reads no clock but the one it is given: waiting
//! goes by tokio's time, without jitter, so a run under paused time can be repeated.

use std::sync::Arc;

use jiff::Timestamp;

pub mod admin;
pub mod args;
pub mod backoff;
pub mod cache;
pub mod call;
pub mod clock;
pub mod connect;
pub mod events;
pub mod lease;
pub mod metrics;
pub mod per_tick;
pub mod place;
pub mod program;
pub mod reach;
pub mod standing;

pub use admin::Admin;
pub use args::Args;
pub use backoff::Backoff;
pub use cache::{Cache, Caches};
pub use call::{CallError, call};
pub use clock::Follower;
pub use connect::connect;
pub use events::Recorder;
pub use lease::{Election, Term};
pub use metrics::Metrics;
pub use per_tick::Ticks;
pub use place::Place;
pub use reach::Reach;
pub use standing::{Stage, Standing};

/// A source of system time, for what people read (`renewTime`, events). Nothing is decided by it.
pub type Now = Arc<dyn Fn() -> Timestamp + Send + Sync>;
