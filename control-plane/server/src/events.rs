//! Domain events: read off the log of revisions, told to agents that ask for them, and published as they happen.
//!
//! The log is the outbox: what happened is what a revision did (`dropmate_api::events`), so that an event can neither be
//! lost nor made twice, whoever reads it and however late.

mod feed;
mod read;

pub(crate) use self::feed::after;
