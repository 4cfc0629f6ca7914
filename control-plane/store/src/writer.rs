//! The one task that commits: it groups what waits, commits it, feeds the cache and answers, in this order.

use std::{
    collections::{BTreeSet, HashSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;

use crate::{
    BackendError, Batch, Change, CommitError, Committed, Event, Expect, Object, Refusal, Revision, Write, WriteError,
    fanout,
    store::{Core, Now},
};

/// Writes that may wait before their callers do. One batch under way and a few behind it.
pub(crate) const QUEUE_WRITES: usize = 1_024;
/// Leases are few: one a running agent.
pub(crate) const QUEUE_URGENT: usize = 64;
/// Writes in one commit. Beyond this the share of the disk's flush in each is small, and latency grows.
const BATCH_WRITES: usize = 256;
/// Their bodies together, in bytes: a commit of this size still takes tens of milliseconds.
const BATCH_BYTES: usize = 4 << 20;
/// Entries read from the log at once when others have written.
const LOG_CHUNK: usize = 512;
/// How often a lost commit is looked for before its callers are told that its outcome is unknown, and how long between.
const LOOKUPS: u32 = 10;
const LOOKUP_EVERY: Duration = Duration::from_millis(300);

/// A write that waits for its commit.
pub(crate) struct Pending {
    pub(crate) write: Write,
    pub(crate) reply: oneshot::Sender<Result<Arc<Object>, WriteError>>,
    pub(crate) since: Instant,
}

pub(crate) struct Writer {
    pub(crate) core: Arc<Core>,
    pub(crate) now: Now,
    pub(crate) urgent: mpsc::Receiver<Pending>,
    pub(crate) normal: mpsc::Receiver<Pending>,
    pub(crate) fanout: mpsc::Sender<fanout::Batch>,
    pub(crate) closing: CancellationToken,
    /// Whether the queues take no more.
    pub(crate) closed: bool,
}

impl Writer {
    /// Runs until the store is closed or dropped and everything that waited has its answer.
    pub(crate) async fn run(mut self) {
        let mut waiting = VecDeque::new();
        while self.gather(&mut waiting).await {
            let batch = take_batch(&mut waiting);
            if !batch.is_empty() {
                self.commit(batch).await;
            }
        }
        self.core.backend.close().await;
    }

    /// Waits for a first write and takes along what is there already, urgent ones in front. False at the end.
    async fn gather(&mut self, waiting: &mut VecDeque<Pending>) -> bool {
        while waiting.is_empty() {
            let first = tokio::select! {
                biased;
                Some(pending) = self.urgent.recv() => Some(pending),
                Some(pending) = self.normal.recv() => Some(pending),
                () = self.closing.cancelled(), if !self.closed => {
                    // What is in the queues still comes out, then they end.
                    self.urgent.close();
                    self.normal.close();
                    self.closed = true;
                    continue;
                }
                else => None,
            };
            let Some(first) = first else { return false };
            waiting.push_back(first);
        }
        while waiting.len() < QUEUE_WRITES
            && let Ok(pending) = self.normal.try_recv()
        {
            waiting.push_back(pending);
        }
        let mut first = VecDeque::new();
        while first.len() < QUEUE_URGENT
            && let Ok(pending) = self.urgent.try_recv()
        {
            first.push_back(pending);
        }
        first.append(waiting);
        *waiting = first;
        true
    }

    async fn commit(&mut self, pending: Vec<Pending>) {
        self.core.metrics.batch_writes.observe(pending.len() as f64);
        let (writes, replies): (Vec<_>, Vec<_>) =
            pending.into_iter().map(|pending| (pending.write, (pending.reply, pending.since))).unzip();
        let batch = Batch { writes, at: (self.now)() };
        let outcomes = match self.core.backend.commit(&batch).await {
            Ok(committed) => self.take_in(&batch, &committed).await,
            Err(CommitError::NotWritten(error)) => {
                tracing::warn!(error = %error, writes = batch.writes.len(), "could not write");
                all(&batch, &WriteError::Unavailable(error.to_string()))
            }
            Err(CommitError::Unknown(error)) => {
                tracing::warn!(error = %error, writes = batch.writes.len(), "lost a commit, looking it up");
                self.look_up(&batch, &error).await
            }
        };
        for ((reply, since), outcome) in replies.into_iter().zip(outcomes) {
            self.core.metrics.write_duration.observe(since.elapsed().as_secs_f64());
            // A caller that has gone away needs no answer.
            let _ = reply.send(outcome);
        }
    }

    /// Brings the cache up to the batch, applies it, and tells each write's outcome.
    async fn take_in(&self, batch: &Batch, committed: &Committed) -> Vec<Result<Arc<Object>, WriteError>> {
        if let Err(error) = self.catch_up(committed.before).await {
            // It is committed, but nobody may see it before what came before it. The next batch tries again.
            tracing::warn!(error = %error, "cannot read what others have written");
            return all(batch, &WriteError::Unknown(error.to_string()));
        }
        let mut events = Vec::with_capacity(batch.writes.len());
        let mut outcomes = Vec::with_capacity(batch.writes.len());
        {
            let cache = self.core.cache();
            for (write, outcome) in batch.writes.iter().zip(&committed.outcomes) {
                let found = cache.get(&write.key).cloned();
                outcomes.push(match *outcome {
                    Ok(revision) => {
                        let event = Arc::new(Event::of(write, revision, found));
                        let object = event.object.clone();
                        events.push(event);
                        Ok(object)
                    }
                    Err(refusal) => Err(refused(refusal, found)),
                });
            }
        }
        self.apply(events, committed.newest).await;
        outcomes
    }

    /// Feeds what others have written, up to a revision, to the cache.
    async fn catch_up(&self, upto: Revision) -> Result<(), BackendError> {
        loop {
            let after = self.core.cache().revision;
            if after >= upto {
                return Ok(());
            }
            let piece = self.core.backend.entries(None, after, upto, LOG_CHUNK).await?;
            self.apply(piece.entries.into_iter().map(|entry| Arc::new(entry.event)).collect(), piece.upto).await;
        }
    }

    async fn apply(&self, events: Vec<Arc<Event>>, newest: Revision) {
        {
            let mut cache = self.core.cache_mut();
            for event in &events {
                cache.apply(event.clone());
            }
            cache.revision = newest;
            let resources: BTreeSet<_> = events.iter().map(|event| &event.object.key.resource).collect();
            self.core.metrics.observe(&cache, resources.into_iter());
        }
        self.core.revision.send_replace(newest);
        // It only ends after this task.
        let _ = self.fanout.send(fanout::Batch { events, newest }).await;
    }

    /// Finds out what became of a batch whose commit failed half way.
    async fn look_up(&self, batch: &Batch, error: &BackendError) -> Vec<Result<Arc<Object>, WriteError>> {
        for attempt in 0..LOOKUPS {
            if attempt > 0 {
                sleep(LOOKUP_EVERY).await;
            }
            let before = self.core.cache().revision;
            match self.find_written(batch, before).await {
                Ok(outcomes) => {
                    let not_written = || Err(WriteError::Unavailable(error.to_string()));
                    return outcomes.into_iter().map(|found| found.map_or_else(not_written, Ok)).collect();
                }
                Err(error) => tracing::warn!(error = %error, attempt, "cannot look up a lost commit"),
            }
        }
        all(batch, &WriteError::Unknown(error.to_string()))
    }

    /// For each write its object, if it is in the log after `before`.
    async fn find_written(&self, batch: &Batch, before: Revision) -> Result<Vec<Option<Arc<Object>>>, BackendError> {
        let newest = self.core.backend.newest().await?;
        let mut entries = Vec::new();
        let mut after = before;
        while after < newest {
            let piece = self.core.backend.entries(None, after, newest, LOG_CHUNK).await?;
            after = piece.upto;
            entries.extend(piece.entries);
        }
        let found = batch.writes.iter().map(|write| {
            let entry = entries.iter().find(|entry| {
                let event = &entry.event;
                let (body, deleted) = match &write.change {
                    Change::Put { body, .. } => (body, false),
                    Change::Delete { body } => (body, true),
                };
                let expect = event.previous.as_ref().map_or(Expect::Absent, |object| Expect::Revision(object.revision));
                event.object.key == write.key
                    && event.object.body == *body
                    && event.deleted == deleted
                    && expect == write.expect
                    && entry.actor == write.actor
            });
            entry.map(|entry| entry.event.object.clone())
        });
        let found = found.collect();
        self.apply(entries.into_iter().map(|entry| Arc::new(entry.event)).collect(), newest).await;
        Ok(found)
    }
}

fn all(batch: &Batch, error: &WriteError) -> Vec<Result<Arc<Object>, WriteError>> {
    batch.writes.iter().map(|_| Err(error.clone())).collect()
}

/// The batch's refusals, with the object that stood in the way.
fn refused(refusal: Refusal, found: Option<Arc<Object>>) -> WriteError {
    match (refusal, found) {
        (Refusal::Guard(index), _) => WriteError::Guard(index),
        (Refusal::Exists, Some(object)) => WriteError::Exists(object),
        (Refusal::Changed, Some(object)) => WriteError::Changed(object),
        (Refusal::Exists | Refusal::Changed | Refusal::Missing, _) => WriteError::Missing,
    }
}

/// Takes what may be committed together: no key twice, no guard on a key that an earlier one writes. What cannot come
/// along keeps its place.
fn take_batch(waiting: &mut VecDeque<Pending>) -> Vec<Pending> {
    let mut batch = Vec::new();
    let mut written = HashSet::new();
    let mut bytes = 0;
    let mut left = VecDeque::new();
    while let Some(pending) = waiting.pop_front() {
        if pending.reply.is_closed() {
            continue;
        }
        let write = &pending.write;
        if written.contains(&write.key) || write.guards.iter().any(|guard| written.contains(&guard.key)) {
            left.push_back(pending);
            continue;
        }
        let (Change::Put { body, .. } | Change::Delete { body }) = &write.change;
        if batch.len() == BATCH_WRITES || (!batch.is_empty() && bytes + body.len() > BATCH_BYTES) {
            left.push_back(pending);
            break;
        }
        bytes += body.len();
        written.insert(write.key.clone());
        batch.push(pending);
    }
    left.append(waiting);
    *waiting = left;
    batch
}
