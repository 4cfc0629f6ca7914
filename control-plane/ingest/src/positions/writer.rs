//! The one task of a process that keeps positions: it takes what waits, commits it at once, and answers.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use dropmate_sql::Db;
use tokio::{
    sync::{Semaphore, mpsc, oneshot},
    task::JoinHandle,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use super::{Counts, KeepError, Pending, Row, keep};
use crate::{Fix, Now};

/// Rows in one commit: the share of the disk's flush in each is small by then, and the commit takes tens of milliseconds.
const BATCH_ROWS: usize = 2_000;
/// Rows that may wait: a second or two of what a small machine keeps, some 10 MB. Beyond that phones try again later.
const QUEUE_ROWS: usize = 40_000;
/// How long a request waits for its commit: its own group, the one before it, and a database that comes back.
const WAIT_MAX: Duration = Duration::from_secs(8);
/// How long the last groups may take when the process ends.
const CLOSE_WITHIN: Duration = Duration::from_secs(5);

/// Hands rows to the task.
pub(crate) struct Writer {
    queue: mpsc::UnboundedSender<Pending>,
    /// One permit a row: what bounds the queue.
    room: Arc<Semaphore>,
    closing: CancellationToken,
    task: std::sync::Mutex<Option<JoinHandle<()>>>,
}

impl Writer {
    pub(crate) fn start(db: Db, now: Now) -> Self {
        let (queue, waiting) = mpsc::unbounded_channel();
        let closing = CancellationToken::new();
        let task = tokio::spawn(run(db, now, waiting, closing.clone()));
        Self { queue, room: Arc::new(Semaphore::new(QUEUE_ROWS)), closing, task: std::sync::Mutex::new(Some(task)) }
    }

    /// Keeps the fixes of a driver; answers when they are durable.
    pub(crate) async fn keep(&self, namespace: &str, driver: &str, fixes: &[Fix]) -> Result<Counts, KeepError> {
        let mut counts = Counts::default();
        for piece in fixes.chunks(BATCH_ROWS) {
            let rows: Vec<Row> = piece.iter().map(|fix| Row::of(namespace, driver, fix)).collect();
            let wanted = u32::try_from(rows.len()).map_err(|_| KeepError::Full)?;
            let room = self.room.clone().try_acquire_many_owned(wanted).map_err(|_| KeepError::Full)?;
            let (reply, answer) = oneshot::channel();
            self.queue.send(Pending { rows, reply, room }).map_err(|_| KeepError::Unavailable)?;
            let kept = match timeout(WAIT_MAX, answer).await {
                Ok(Ok(outcome)) => outcome?,
                Ok(Err(_)) | Err(_) => return Err(KeepError::Unavailable),
            };
            counts.accepted += kept.accepted;
            counts.duplicate += kept.duplicate;
        }
        Ok(counts)
    }

    /// Keeps what waits, and takes no more.
    pub(crate) async fn close(&self) {
        self.closing.cancel();
        let task = self.task.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        if let Some(task) = task {
            let _ = timeout(CLOSE_WITHIN, task).await;
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.closing.cancel();
    }
}

async fn run(db: Db, now: Now, mut waiting: mpsc::UnboundedReceiver<Pending>, closing: CancellationToken) {
    let mut group = VecDeque::new();
    loop {
        tokio::select! {
            biased;
            first = waiting.recv() => match first {
                Some(first) => group.push_back(first),
                None => return,
            },
            () = closing.cancelled() => {
                // What is in the queue still comes out, then it ends.
                waiting.close();
                continue;
            }
        }
        let mut rows = group.front().map_or(0, |pending: &Pending| pending.rows.len());
        while rows < BATCH_ROWS
            && let Ok(next) = waiting.try_recv()
        {
            rows += next.rows.len();
            group.push_back(next);
        }
        commit(&db, (now)().as_microsecond(), &mut group).await;
    }
}

/// Commits the group and answers all of it.
async fn commit(db: &Db, recorded_at: i64, group: &mut VecDeque<Pending>) {
    let rows: Vec<&Row> = group.iter().flat_map(|pending| &pending.rows).collect();
    let kept = keep::keep(db, recorded_at, &rows).await;
    if let Err(error) = &kept {
        let error: &dyn std::error::Error = error;
        tracing::warn!(error, rows = rows.len(), "positions could not be kept; phones send them again");
    }
    // The numbers of new rows within the group, in order.
    let mut new = kept.as_ref().map(|new| new.iter().peekable()).ok();
    let mut end = 0;
    for Pending { rows, reply, room } in group.drain(..) {
        end += rows.len();
        let outcome = match &mut new {
            Some(new) => {
                let mut accepted = 0;
                while new.next_if(|&&number| number < end).is_some() {
                    accepted += 1;
                }
                Ok(Counts { accepted, duplicate: rows.len() - accepted })
            }
            None => Err(KeepError::Unavailable),
        };
        drop(room);
        // Whoever asked may have gone; then it is kept all the same.
        let _ = reply.send(outcome);
    }
}
