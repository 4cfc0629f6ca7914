//! The log as a whole, read on from a revision: for who follows several resources in the order of their revisions.

use std::{collections::BTreeSet, sync::Arc};

use tokio::sync::watch;

use super::Store;
use crate::{At, Event, ReadError, Revision};

/// A piece of the log.
#[derive(Clone, Debug, Default)]
pub struct LogPiece {
    /// What changed, in order, with the state before each change.
    pub events: Vec<Arc<Event>>,
    /// Every change that was asked for up to this revision is there.
    pub upto: Revision,
    /// The newest revision when it was read.
    pub newest: Revision,
}

impl Store {
    /// The changes of these resources after a revision, in order; at most `limit` entries of the log are looked at, of
    /// whatever resource. Says so if history is gone that was asked for ([`ReadError::Expired`]), or if the revision has
    /// never been ([`ReadError::Future`]).
    pub async fn log(
        &self,
        resources: &BTreeSet<String>,
        after: Revision,
        limit: usize,
    ) -> Result<LogPiece, ReadError> {
        self.wait_for(after).await?;
        let core = &self.inner.core;
        let whole = || resources.iter().try_for_each(|resource| core.cache().check_floor(resource, after));
        let wanted = |event: &Arc<Event>| resources.contains(&event.object.key.resource);
        let newest = {
            let cache = core.cache();
            let newest = cache.revision;
            if after >= cache.window_start {
                resources.iter().try_for_each(|resource| cache.check_floor(resource, after))?;
                let mut upto = after;
                let mut looked = 0;
                let mut events = Vec::new();
                for event in cache.events(after, newest).take(limit) {
                    (upto, looked) = (event.revision, looked + 1);
                    if wanted(event) {
                        events.push(event.clone());
                    }
                }
                if looked < limit {
                    upto = newest;
                }
                return Ok(LogPiece { events, upto, newest });
            }
            newest
        };
        let piece = core.backend.entries(None, after, newest, limit).await?;
        // Floors rise before entries are removed: had some been missing from this piece, it would show now.
        core.refresh_floors().await?;
        whole()?;
        let events = piece.entries.into_iter().map(|entry| Arc::new(entry.event)).filter(wanted).collect();
        Ok(LogPiece { events, upto: piece.upto, newest })
    }

    /// The newest revision that has been acknowledged by whatever process, before the call.
    pub async fn newest(&self) -> Result<Revision, ReadError> {
        self.ready(At::Latest).await?;
        Ok(self.revision())
    }

    /// The newest revision that this process knows, whenever it is another.
    pub fn revisions(&self) -> watch::Receiver<Revision> {
        self.inner.core.revision.subscribe()
    }
}
