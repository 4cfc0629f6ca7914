//! The one task that commits: it groups what waits, commits it, feeds the cache and answers, in this order.

use std::{
    collections::{HashSet, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{Mutex, mpsc, oneshot},
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{
    BackendError, Batch, CommitError, Committed, Event, Expect, Object, Refusal, Revision, Write, WriteError,
    feed::{Feed, LOG_CHUNK},
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
/// How often a lost commit is looked for before its callers are told that its outcome is unknown, how long between, and
/// how long at all: with the commit itself it stays within the 5 s in which a client shall have its answer.
const LOOKUPS: u32 = 5;
const LOOKUP_EVERY: Duration = Duration::from_millis(300);
const LOOKUP_WITHIN: Duration = Duration::from_millis(1_800);

/// How long a committed batch waits for what others have written before it, to be shown after it. As long as a look-up, for
/// the same reason: then it is answered unseen.
const CATCH_UP_WITHIN: Duration = LOOKUP_WITHIN;
/// A write that has waited for longer than this through a commit that failed is refused with it: another failure would
/// take it past the 5 s.
const WAITED_FOR_A_FAILURE: Duration = Duration::from_millis(200);

/// A write that waits for its commit.
pub(crate) struct Pending {
    pub(crate) write: Write,
    pub(crate) reply: oneshot::Sender<Result<Arc<Object>, WriteError>>,
    pub(crate) claim: Claim,
    pub(crate) since: Instant,
}

/// Whether a waiting write is still to be had: the writer takes it into a batch, or its caller takes it back, and the
/// one who is first has it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Claim(Arc<AtomicBool>);

impl Claim {
    /// Whether it was still to be had.
    pub(crate) fn take(&self) -> bool {
        !self.0.swap(true, Ordering::AcqRel)
    }
}

pub(crate) struct Writer {
    pub(crate) core: Arc<Core>,
    pub(crate) now: Now,
    pub(crate) urgent: mpsc::Receiver<Pending>,
    pub(crate) normal: mpsc::Receiver<Pending>,
    pub(crate) feed: Arc<Mutex<Feed>>,
    pub(crate) closing: CancellationToken,
    /// Whether the queues take no more.
    pub(crate) closed: bool,
    /// When a commit last failed.
    pub(crate) failed: Option<Instant>,
}

impl Writer {
    /// Runs until the store is closed or dropped and everything that waited has its answer.
    pub(crate) async fn run(mut self) {
        let mut waiting = VecDeque::new();
        while self.gather(&mut waiting).await {
            let batch = take_batch(&mut waiting, self.failed);
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
        let since = self.core.cache().revision;
        let committed = self.core.backend.commit(&batch).await;
        let failed = committed.is_err();
        let outcomes = match committed {
            Ok(committed) => self.take_in(&batch, &committed).await,
            Err(CommitError::NotWritten(error)) => {
                tracing::warn!(error = %error, writes = batch.writes.len(), "could not write");
                all(&batch, &WriteError::Unavailable(error.to_string()))
            }
            Err(CommitError::Unknown(error)) => {
                tracing::warn!(error = %error, writes = batch.writes.len(), "lost a commit, looking it up");
                let looked_up = timeout(LOOKUP_WITHIN, self.look_up(&batch, since, &error)).await;
                looked_up.unwrap_or_else(|_| all(&batch, &WriteError::Unknown(error.to_string())))
            }
        };
        if failed {
            self.failed = Some(Instant::now());
        }
        for ((reply, since), outcome) in replies.into_iter().zip(outcomes) {
            self.core.metrics.write_duration.observe(since.elapsed().as_secs_f64());
            // A caller that has gone away needs no answer.
            let _ = reply.send(outcome);
        }
    }

    /// Brings the cache up to the batch, applies it, and tells each write's outcome.
    async fn take_in(&self, batch: &Batch, committed: &Committed) -> Vec<Result<Arc<Object>, WriteError>> {
        let catch_up = async {
            let mut feed = self.feed.lock().await;
            feed.catch_up(committed.before).await.map(|()| feed)
        };
        let late = |_| Err(BackendError("what others have written does not come in time".into()));
        let mut feed = match timeout(CATCH_UP_WITHIN, catch_up).await.unwrap_or_else(late) {
            Ok(feed) => feed,
            Err(error) => {
                tracing::warn!(error = %error, "cannot read what others have written");
                return self.tell_unseen(batch, committed, &error);
            }
        };
        let mut events = Vec::with_capacity(batch.writes.len());
        let mut outcomes = Vec::with_capacity(batch.writes.len());
        {
            let cache = self.core.cache();
            for (write, outcome) in batch.writes.iter().zip(&committed.outcomes) {
                let found = cache.get(&write.key).cloned();
                outcomes.push(match *outcome {
                    Ok(revision) => {
                        // Whoever follows the log may have seen it before us.
                        let seen = (revision <= cache.revision && revision > cache.window_start)
                            .then(|| cache.events(revision - 1, revision).next().cloned())
                            .flatten();
                        let event = seen.unwrap_or_else(|| Arc::new(Event::of(write, revision, found)));
                        let object = event.object.clone();
                        events.push(event);
                        Ok(object)
                    }
                    Err(refusal) => Err(refused(refusal, found)),
                });
            }
        }
        feed.take_in(events, committed.newest).await;
        outcomes
    }

    /// The outcomes of a batch that is committed but cannot be shown yet, for want of what came before it.
    fn tell_unseen(
        &self,
        batch: &Batch,
        committed: &Committed,
        error: &BackendError,
    ) -> Vec<Result<Arc<Object>, WriteError>> {
        if self.core.backend.shared().is_none() {
            // Readers here would not see it. The next batch tries again.
            return all(batch, &WriteError::Unknown(error.to_string()));
        }
        let written = batch.writes.iter().zip(&committed.outcomes);
        let told = written.map(|(write, outcome)| match *outcome {
            Ok(revision) => Ok(Event::of(write, revision, self.core.cache().get(&write.key).cloned()).object),
            // Nothing was written; what stood in the way is not known.
            Err(_) => Err(WriteError::Unavailable(error.to_string())),
        });
        told.collect()
    }

    /// Finds out what became of a batch whose commit failed half way.
    async fn look_up(
        &self,
        batch: &Batch,
        since: Revision,
        error: &BackendError,
    ) -> Vec<Result<Arc<Object>, WriteError>> {
        for attempt in 0..LOOKUPS {
            if attempt > 0 {
                sleep(LOOKUP_EVERY).await;
            }
            match self.find_written(batch, since).await {
                Ok(outcomes) => {
                    let not_written = || Err(WriteError::Unavailable(error.to_string()));
                    return outcomes.into_iter().map(|found| found.map_or_else(not_written, Ok)).collect();
                }
                Err(error) => tracing::warn!(error = %error, attempt, "cannot look up a lost commit"),
            }
        }
        all(batch, &WriteError::Unknown(error.to_string()))
    }

    /// For each write its object, if it is in the log after `since`.
    async fn find_written(&self, batch: &Batch, since: Revision) -> Result<Vec<Option<Arc<Object>>>, BackendError> {
        let newest = self.core.backend.newest().await?;
        let mut entries = Vec::new();
        let mut after = since;
        while after < newest {
            let piece = self.core.backend.entries(None, after, newest, LOG_CHUNK).await?;
            after = piece.upto;
            entries.extend(piece.entries);
        }
        let found = batch.writes.iter().map(|write| {
            let entry = entries.iter().find(|entry| {
                let event = &entry.event;
                let expect = event.previous.as_ref().map_or(Expect::Absent, |object| Expect::Revision(object.revision));
                event.object.key == write.key
                    && event.object.body == *write.change.body()
                    && event.deleted == write.change.removes()
                    && expect == write.expect
                    && entry.actor == write.actor
            });
            entry.map(|entry| entry.event.object.clone())
        });
        let found = found.collect();
        let events = entries.into_iter().map(|entry| Arc::new(entry.event));
        self.feed.lock().await.take_in(events, newest).await;
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
fn take_batch(waiting: &mut VecDeque<Pending>, failed: Option<Instant>) -> Vec<Pending> {
    let mut batch = Vec::new();
    let mut written = HashSet::new();
    let mut bytes = 0;
    let mut left = VecDeque::new();
    while let Some(pending) = waiting.pop_front() {
        if pending.reply.is_closed() {
            continue;
        }
        if failed.is_some_and(|failed| pending.since + WAITED_FOR_A_FAILURE < failed) {
            if pending.claim.take() {
                let _ = pending.reply.send(Err(WriteError::Unavailable("the database failed meanwhile".to_owned())));
            }
            continue;
        }
        let write = &pending.write;
        if written.contains(&write.key) || write.guards.iter().any(|guard| written.contains(&guard.key)) {
            left.push_back(pending);
            continue;
        }
        let body = write.change.body().len();
        if batch.len() == BATCH_WRITES || (!batch.is_empty() && bytes + body > BATCH_BYTES) {
            left.push_back(pending);
            break;
        }
        if !pending.claim.take() {
            continue;
        }
        bytes += body;
        written.insert(pending.write.key.clone());
        batch.push(pending);
    }
    left.append(waiting);
    *waiting = left;
    batch
}
