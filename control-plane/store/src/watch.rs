//! A stream of changes from any revision: from the log while it is old, from memory once it is recent.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, atomic::Ordering},
};

use crate::{
    Event, ReadError, Revision, Scope,
    fanout::{Queue, Subscriber},
    store::Core,
};

/// Entries read from the log at once. Bodies may be large and watchers many, so that few wait in memory.
const LOG_CHUNK: usize = 256;

/// A stream of changes. It ends (`None`) when the watcher is too slow or the store closes: resume from the last
/// version.
pub struct Watch {
    core: Arc<Core>,
    scope: Scope,
    /// Everything in scope up to here has been returned or is in `waiting`.
    read: Revision,
    /// The revision of the last event returned.
    returned: Revision,
    waiting: VecDeque<Arc<Event>>,
    live: Option<Live>,
    ended: bool,
}

#[derive(Debug)]
struct Live {
    id: u64,
    queue: Arc<Queue>,
}

impl Watch {
    pub(crate) fn start(core: Arc<Core>, scope: Scope, after: Revision) -> Result<Self, ReadError> {
        core.cache().check_floor(&scope.resource, after)?;
        let mut watch =
            Self { core, scope, read: after, returned: after, waiting: VecDeque::new(), live: None, ended: false };
        watch.join();
        Ok(watch)
    }

    /// The next change. Cancel safe.
    pub async fn next(&mut self) -> Option<Result<Arc<Event>, ReadError>> {
        loop {
            if let Some(event) = self.waiting.pop_front() {
                self.returned = event.revision;
                return Some(Ok(event));
            }
            if let Some(live) = &self.live {
                let event = live.queue.next().await?;
                self.returned = event.revision;
                return Some(Ok(event));
            }
            if self.ended {
                return None;
            }
            if let Err(error) = self.read_log().await {
                self.ended = true;
                return Some(Err(error));
            }
        }
    }

    /// The revision up to which every change in scope has been returned by `next`; what a bookmark may say.
    pub fn position(&self) -> Revision {
        if !self.waiting.is_empty() {
            return self.returned;
        }
        let known = self.returned.max(self.read);
        let Some(live) = &self.live else { return known };
        // In this order: what was handed out up to `handed_out` is in the queue, or the queue has ended.
        let handed_out = self.core.handed_out.load(Ordering::Acquire);
        if live.queue.is_idle() { known.max(handed_out) } else { known }
    }

    /// How many watches there are now, with this one.
    pub fn peers(&self) -> usize {
        usize::try_from(self.core.metrics.subscribers.get()).unwrap_or(0)
    }

    /// Becomes a subscriber if what is missing is all in memory.
    fn join(&mut self) -> bool {
        let mut hub = self.core.hub();
        if hub.closed {
            self.ended = true;
            return true;
        }
        let cache = self.core.cache();
        if self.read < cache.window_start {
            return false;
        }
        // Events after `hub.done` have yet to be handed out and come through the queue.
        let missed = cache.events(self.read, hub.done).filter(|event| self.scope.contains(&event.object.key));
        self.waiting.extend(missed.cloned());
        let after = self.read.max(hub.done);
        let queue = Arc::new(Queue::default());
        let subscriber = Subscriber { namespace: self.scope.namespace.clone(), after, queue: queue.clone() };
        let id = hub.add(&self.scope.resource, subscriber);
        self.core.metrics.subscribers.inc();
        self.read = after;
        self.live = Some(Live { id, queue });
        true
    }

    /// Reads on in the log, up to where memory begins.
    async fn read_log(&mut self) -> Result<(), ReadError> {
        if self.join() {
            return Ok(());
        }
        let upto = self.core.cache().revision;
        let piece = self.core.backend.entries(Some(&self.scope), self.read, upto, LOG_CHUNK).await?;
        // Floors rise before entries are removed: had some been missing from this piece, it would show now.
        self.core.refresh_floors().await?;
        self.core.cache().check_floor(&self.scope.resource, self.read)?;
        self.read = piece.upto;
        self.waiting.extend(piece.entries.into_iter().map(|entry| Arc::new(entry.event)));
        Ok(())
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(live) = &self.live
            && self.core.hub().remove(&self.scope.resource, live.id)
        {
            self.core.metrics.subscribers.dec();
        }
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("scope", &self.scope).field("position", &self.position()).finish_non_exhaustive()
    }
}
