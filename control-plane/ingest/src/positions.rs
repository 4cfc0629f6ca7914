//! Positions: kept in groups, acknowledged after their commit, read on by number, and deleted when their time is up.

mod keep;
mod read;
mod writer;

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::fix::{Fix, units};

pub(crate) use read::DELETE_EVERY;
pub use read::{Kept, PAGE_MAX, Page};
pub(crate) use writer::Writer;

/// What became of fixes that made sense.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// New, and durable.
    pub accepted: usize,
    /// Known before.
    pub duplicate: usize,
}

/// Why fixes are not acknowledged. They may be sent again: what was kept after all counts once.
#[derive(Debug, thiserror::Error)]
pub enum KeepError {
    /// More wait than there is room for.
    #[error("too many positions wait to be kept; try again in a moment")]
    Full,
    /// The database does not answer, or not in time.
    #[error("positions cannot be kept at the moment; try again")]
    Unavailable,
}

/// A row that waits for its commit.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    namespace: String,
    driver: String,
    at: i64,
    latitude: i64,
    longitude: i64,
    detail: String,
}

impl Row {
    fn of(namespace: &str, driver: &str, fix: &Fix) -> Self {
        Self {
            namespace: namespace.to_owned(),
            driver: driver.to_owned(),
            at: fix.at.as_microsecond(),
            latitude: units(fix.latitude),
            longitude: units(fix.longitude),
            // Numbers and a word are always JSON.
            detail: serde_json::to_string(&fix.detail).unwrap_or_default(),
        }
    }
}

/// The fixes of one request.
pub(crate) struct Pending {
    rows: Vec<Row>,
    reply: oneshot::Sender<Result<Counts, KeepError>>,
    /// Their room in the queue.
    room: OwnedSemaphorePermit,
}
