//! The one way into the cache and to the watchers: every event of the log, once and in order, whoever brings it.

use std::{collections::BTreeSet, sync::Arc};

use tokio::sync::mpsc;

use crate::{BackendError, Event, Revision, fanout, store::Core};

/// Entries read from the log at once when others have written.
pub(crate) const LOG_CHUNK: usize = 512;

/// Shared by those who bring events; only one does so at a time.
pub(crate) struct Feed {
    core: Arc<Core>,
    fanout: mpsc::Sender<fanout::Batch>,
}

impl Feed {
    pub(crate) fn new(core: Arc<Core>, fanout: mpsc::Sender<fanout::Batch>) -> Self {
        Self { core, fanout }
    }

    /// Takes in the events up to `upto`. None may be missing after the cache's revision; what is in it already is left
    /// out. Cancel safe: what is in the cache is with the watchers as well.
    pub(crate) async fn take_in(&mut self, events: impl IntoIterator<Item = Arc<Event>>, upto: Revision) {
        // The watchers' end only goes after those who feed it.
        let Ok(handing_out) = self.fanout.reserve().await else { return };
        let fresh = {
            let mut cache = self.core.cache_mut();
            if upto <= cache.revision {
                return;
            }
            let known = cache.revision;
            let fresh: Vec<_> = events.into_iter().filter(|event| event.revision > known).collect();
            for event in &fresh {
                cache.apply(event.clone());
            }
            cache.revision = upto;
            let resources: BTreeSet<_> = fresh.iter().map(|event| &event.object.key.resource).collect();
            self.core.metrics.observe(&cache, resources.into_iter());
            fresh
        };
        self.core.revision.send_replace(upto);
        handing_out.send(fanout::Batch { events: fresh, newest: upto });
    }

    /// Takes in what is in the log up to a revision.
    pub(crate) async fn catch_up(&mut self, upto: Revision) -> Result<(), BackendError> {
        loop {
            let after = self.core.cache().revision;
            if after >= upto {
                return Ok(());
            }
            let piece = self.core.backend.entries(None, after, upto, LOG_CHUNK).await?;
            self.take_in(piece.entries.into_iter().map(|entry| Arc::new(entry.event)), piece.upto).await;
        }
    }
}
