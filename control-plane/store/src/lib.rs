//! Revisioned objects and watch: one ordered log of revisions is the truth, and get, list, watch and history derive
//! from it. Knows no kinds: a body is canonical JSON text.
//!
//! A [`Backend`] keeps the log (memory, SQLite, PostgreSQL); one shared [`Store`] stands on top of any of them and groups waiting
//! writes, keeps the current objects and the newest events in memory, and fans events out to watchers.

#![warn(missing_docs)]

mod archive;
mod audit;
mod backend;
mod cache;
mod check;
mod columns;
mod compaction;
mod fanout;
mod feed;
mod follower;
mod memory;
mod metrics;
mod object;
mod options;
mod postgres;
mod read;
mod sqlite;
mod store;
mod watch;
mod write;
mod writer;

pub use audit::{Access, AccessPiece, AuditPage, AuditPiece, AuditQuery, Gone};
pub use backend::{
    Backend, BackendError, Batch, CommitError, Committed, Entries, Floors, Header, Refusal, Shared, Snapshot,
};
pub use memory::Memory;
pub use metrics::Metrics;
pub use object::{Key, Notes, Object, Revision};
pub use options::{Options, Retention};
pub use postgres::Postgres;
pub use read::{Archived, At, Entry, Event, Page, ReadError, Scope};
pub use sqlite::Sqlite;
pub use store::{LogPiece, Moment, Now, OpenError, Store};
pub use watch::Watch;
pub use write::{Actor, Change, Expect, Guard, Write, WriteError};
