//! Which revision was the newest at a moment: a search by halves over the log's own order.

use jiff::{SignedDuration, Timestamp};

use super::Store;
use crate::{At, Header, ReadError, Revision};

/// Who is told of the oldest moment shall still be answered when he asks for it.
const MARGIN: SignedDuration = SignedDuration::from_mins(1);

/// What a moment of the past comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Moment {
    /// The state then is the one at this revision.
    At {
        /// To read at.
        revision: Revision,
        /// When the last change before it was made that is still in the log.
        changed_at: Option<Timestamp>,
    },
    /// It is before what can be told.
    TooOld {
        /// From here on it can; none if nothing was ever written.
        oldest: Option<Timestamp>,
    },
}

impl Store {
    /// The revision whose state of a resource is the one at `at` (system time). Later than now is now.
    pub async fn revision_at(&self, resource: &str, at: Timestamp) -> Result<Moment, ReadError> {
        let core = &self.inner.core;
        let now = (self.inner.now)();
        self.ready(At::Latest).await?;
        let newest = self.revision();
        let (last, next) = self.around(at, newest).await?;
        let retention = &self.inner.options.retention;
        let by_age = core.backend.appended().await? <= retention.bytes;
        // Younger than the retention nothing has been removed, if not by size: holes are changes of before.
        let whole_since = now.checked_sub(retention.of(resource)).ok().filter(|_| by_age);
        let before_next = next.map_or(newest, |next| next.revision - 1);
        let whole = whole_since.is_some_and(|since| at > since);
        // Older than that, changes may be gone that were made since the last one that is there. The floor tells.
        let revision = if whole { before_next } else { last.as_ref().map_or(0, |last| last.revision) };
        core.refresh_floors().await?;
        let floor = core.cache().floor(resource);
        if revision > 0 && revision >= floor {
            return Ok(Moment::At { revision, changed_at: last.map(|last| last.at) });
        }
        let first = core.backend.headers(floor.saturating_sub(1), 1).await?.into_iter().next();
        let kept = first.map_or(now, |first| first.at);
        let oldest = match whole_since.and_then(|since| since.checked_add(MARGIN).ok()) {
            Some(since) if floor > 0 => kept.min(since),
            _ => kept,
        };
        Ok(Moment::TooOld { oldest: (newest > 0).then_some(oldest) })
    }

    /// The last entry that is not later than `at`, and the first that is. The log is in the order of time, but for clocks
    /// that were set back: there, by its own order.
    async fn around(&self, at: Timestamp, newest: Revision) -> Result<(Option<Header>, Option<Header>), ReadError> {
        let (mut last, mut next) = (None, None);
        let (mut low, mut high) = (0, newest);
        // All entries up to `low` are not later; of those after `high`, the first is `next`.
        while low < high {
            let middle = low + (high - low) / 2;
            match self.inner.core.backend.headers(middle, 1).await?.into_iter().next() {
                Some(header) if header.at <= at && header.revision <= high => {
                    low = header.revision;
                    last = Some(header);
                }
                found => {
                    if let Some(header) = found.filter(|header| header.revision <= high) {
                        next = Some(header);
                    }
                    high = middle;
                }
            }
        }
        Ok((last, next))
    }
}
