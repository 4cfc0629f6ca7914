//! Hands every event once to every watcher in whose scope it is, and lets go of those that do not keep up.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::Ordering},
};

use tokio::sync::{Notify, mpsc};

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
    pub(crate) queue: Arc<Queue>,
}

/// What waits for one watcher.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    waiting: Mutex<Waiting>,
    /// Holds a permit while there is news.
    news: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    events: VecDeque<Arc<Event>>,
    ended: bool,
}

impl Queue {
    /// The next event; `None` once it has ended and what waited has been taken. Cancel safe, for one taker.
    pub(crate) async fn next(&self) -> Option<Arc<Event>> {
        loop {
            {
                let mut waiting = self.waiting();
                if let Some(event) = waiting.events.pop_front() {
                    return Some(event);
                }
                if waiting.ended {
                    return None;
                }
            }
            self.news.notified().await;
        }
    }

    /// Whether everything has been taken and more may come.
    pub(crate) fn is_idle(&self) -> bool {
        let waiting = self.waiting();
        waiting.events.is_empty() && !waiting.ended
    }

    /// Adds an event unless `most` wait already.
    fn push(&self, event: &Arc<Event>, most: usize) -> bool {
        {
            let mut waiting = self.waiting();
            if waiting.events.len() >= most {
                return false;
            }
            waiting.events.push_back(event.clone());
        }
        self.news.notify_one();
        true
    }

    /// Drops what waits if its oldest is no newer than a revision.
    fn drop_if_older(&self, revision: Revision) -> bool {
        let mut waiting = self.waiting();
        let old = waiting.events.front().is_some_and(|event| event.revision <= revision);
        if old {
            waiting.events = VecDeque::new();
        }
        old
    }

    fn end(&self) {
        self.waiting().ended = true;
        self.news.notify_one();
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// However a subscriber is let go of, its watcher learns that nothing more comes.
impl Drop for Subscriber {
    fn drop(&mut self) {
        self.queue.end();
    }
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
    fn hand_out(&mut self, event: &Arc<Event>, most: usize) -> usize {
        let key = &event.object.key;
        let Some(subscribers) = self.subscribers.get_mut(&key.resource) else { return 0 };
        let before = subscribers.len();
        subscribers.retain(|_, subscriber| {
            let wanted = event.revision > subscriber.after
                && subscriber.namespace.as_ref().is_none_or(|namespace| *namespace == key.namespace);
            !wanted || subscriber.queue.push(event, most)
        });
        before - subscribers.len()
    }
}

/// Lets go of watchers for whom events wait that nobody else keeps any more; returns how many.
fn let_go_of_old(hub: &mut Hub, window_start: Revision) -> usize {
    let mut gone = 0;
    for subscribers in hub.subscribers.values_mut() {
        let before = subscribers.len();
        subscribers.retain(|_, subscriber| !subscriber.queue.drop_if_older(window_start));
        gone += before - subscribers.len();
    }
    gone
}

/// Runs until the writer ends, then ends all streams.
pub(crate) async fn run(core: Arc<Core>, mut batches: mpsc::Receiver<Batch>) {
    while let Some(batch) = batches.recv().await {
        for event in &batch.events {
            // Locked for one event at a time, so that a new watcher waits for one round at most.
            let slow = {
                let mut hub = core.hub();
                let slow = hub.hand_out(event, core.watch_buffer);
                hub.done = event.revision;
                slow
            };
            core.metrics.let_go(slow);
            core.handed_out.store(event.revision, Ordering::Release);
        }
        let window_start = core.cache().window_start;
        let slow = {
            let mut hub = core.hub();
            hub.done = batch.newest;
            let_go_of_old(&mut hub, window_start)
        };
        core.metrics.let_go(slow);
        core.handed_out.store(batch.newest, Ordering::Release);
        // A long queue must not starve the watchers it is for on a runtime with one thread.
        tokio::task::yield_now().await;
    }
    core.hub().close();
    core.metrics.subscribers.set(0);
}
