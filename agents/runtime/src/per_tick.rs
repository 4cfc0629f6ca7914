//! The rhythm of an agent that solves a global problem: changes only say "look again", and each look is at everything.
//!
//! ```text
//! while let Some(dirty) = ticks.next(&ended).await {
//!     // take a snapshot, decide, write what differs
//!     ticks.settle(|| every_write_is_seen()).await;
//!     ticks.wake_at(when_something_becomes_due);
//! }
//! ```

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::cache::{Caches, Changes};

/// How long to wait at most for a watch to show our own writes. Later the next look may be at an old state; its writes
/// are then refused by version or found to be replays.
const SETTLE_MAX: Duration = Duration::from_secs(1);

/// Says when to look.
#[derive(Debug)]
pub struct Ticks {
    changes: Arc<Changes>,
    interval: Duration,
    earliest: Instant,
    wake_at: Option<Instant>,
}

impl Ticks {
    /// Looks at once when something changes, but not within `interval` of the last look.
    pub fn new(caches: &Caches, interval: Duration) -> Self {
        Self { changes: caches.changes().clone(), interval, earliest: Instant::now(), wake_at: None }
    }

    /// Waits until it is time to look, and says which namespaces have changed; none if the time set by
    /// [`Ticks::wake_at`] has come. `None` once `ended`.
    pub async fn next(&mut self, ended: &CancellationToken) -> Option<BTreeSet<String>> {
        let paced = sleep_until(self.earliest);
        let changed = async {
            paced.await;
            loop {
                let dirty = self.changes.take();
                if !dirty.is_empty() {
                    return dirty;
                }
                self.changes.notify.notified().await;
            }
        };
        let due = async {
            match self.wake_at {
                Some(at) => sleep_until(at.max(self.earliest)).await,
                None => std::future::pending().await,
            }
        };
        let dirty = tokio::select! {
            biased;
            () = ended.cancelled() => return None,
            dirty = changed => dirty,
            () = due => BTreeSet::new(),
        };
        self.wake_at = None;
        self.earliest = Instant::now() + self.interval;
        Some(dirty)
    }

    /// Looks again then, even if nothing changes.
    pub fn wake_at(&mut self, at: Option<Instant>) {
        self.wake_at = at;
    }

    /// Waits until the caches show what was written, so that nothing is decided twice. Whether they do.
    pub async fn settle(&self, shown: impl Fn() -> bool) -> bool {
        let mut too_long = std::pin::pin!(sleep(SETTLE_MAX));
        while !shown() {
            tokio::select! {
                biased;
                () = self.changes.notify.notified() => {}
                () = &mut too_long => return false,
            }
        }
        true
    }
}
