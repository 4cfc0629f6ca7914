//! Hands every event once to every watcher in whose scope it is, and lets go of those that do not keep up.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, atomic::Ordering},
};

use tokio::sync::mpsc;

use crate::{Event, Revision, store::Core};

/// Batches of events that may wait to be fanned out. Fan-out waits for nobody, so that a few smooth out scheduling.
pub(crate) const QUEUE_BATCHES: usize = 64;

/// The events of one commit.
pub(crate) struct Batch {
    pub(crate) events: Vec<Arc<Event>>,
    /// The counter after the commit.
    pub(crate) newest: Revision,
}

/// The watchers, by resource.
#[derive(Debug, Default)]
pub(crate) struct Hub {
    /// Every event up to here has been handed out.
    pub(crate) done: Revision,
    pub(crate) closed: bool,
    next_id: u64,
    subscribers: HashMap<String, BTreeMap<u64, Subscriber>>,
}

#[derive(Debug)]
pub(crate) struct Subscriber {
    pub(crate) namespace: Option<String>,
    /// It knows everything up to here already.
    pub(crate) after: Revision,
    pub(crate) sender: mpsc::Sender<Arc<Event>>,
}

impl Hub {
    pub(crate) fn new(done: Revision) -> Self {
        Self { done, ..Self::default() }
    }

    pub(crate) fn add(&mut self, resource: &str, subscriber: Subscriber) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        self.subscribers.entry(resource.to_owned()).or_default().insert(id, subscriber);
        id
    }

    /// Whether it was still there.
    pub(crate) fn remove(&mut self, resource: &str, id: u64) -> bool {
        let Some(subscribers) = self.subscribers.get_mut(resource) else { return false };
        let removed = subscribers.remove(&id).is_some();
        if subscribers.is_empty() {
            self.subscribers.remove(resource);
        }
        removed
    }

    /// Ends all streams, those to come as well.
    pub(crate) fn close(&mut self) {
        self.closed = true;
        self.subscribers.clear();
    }

    /// Hands an event out; returns how many watchers were too slow for it. They are let go of: each still gets what
    /// waits for it, and then its stream ends.
    fn hand_out(&mut self, event: &Arc<Event>) -> usize {
        let key = &event.object.key;
        let Some(subscribers) = self.subscribers.get_mut(&key.resource) else { return 0 };
        let before = subscribers.len();
        subscribers.retain(|_, subscriber| {
            let wanted = event.revision > subscriber.after
                && subscriber.namespace.as_ref().is_none_or(|namespace| *namespace == key.namespace);
            !wanted || subscriber.sender.try_send(event.clone()).is_ok()
        });
        before - subscribers.len()
    }
}

/// Runs until the writer ends, then ends all streams.
pub(crate) async fn run(core: Arc<Core>, mut batches: mpsc::Receiver<Batch>) {
    while let Some(batch) = batches.recv().await {
        for event in &batch.events {
            // Locked for one event at a time, so that a new watcher waits for one round at most.
            let slow = {
                let mut hub = core.hub();
                let slow = hub.hand_out(event);
                hub.done = event.revision;
                slow
            };
            core.metrics.slow_watchers.inc_by(slow as u64);
            core.metrics.subscribers.dec_by(slow as i64);
            core.handed_out.store(event.revision, Ordering::Release);
        }
        core.hub().done = batch.newest;
        core.handed_out.store(batch.newest, Ordering::Release);
        // A long queue must not starve the watchers it is for on a runtime with one thread.
        tokio::task::yield_now().await;
    }
    core.hub().close();
    core.metrics.subscribers.set(0);
}
