//! Follows what other processes write to the same log, and answers readers who must see everything acknowledged before
//! they came: one look serves all who were there when it began.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{Mutex, mpsc, oneshot},
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

use crate::{
    BackendError, Shared,
    feed::{Feed, LOG_CHUNK},
    store::Core,
};

/// How often it looks without being told: how late a watcher hears of another process's write when the connection that
/// tells of it is lost. A look that finds nothing costs the database some 50 µs.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Readers that may wait for the next look.
pub(crate) const QUEUE_READERS: usize = 4_096;

/// A reader who waits for a look that begins after it came. An error says why there was none.
pub(crate) type Waiting = oneshot::Sender<Result<(), String>>;

pub(crate) struct Follower {
    pub(crate) core: Arc<Core>,
    pub(crate) feed: Arc<Mutex<Feed>>,
    pub(crate) readers: mpsc::Receiver<Waiting>,
    pub(crate) closing: CancellationToken,
}

impl Follower {
    /// Runs until the store is closed or dropped.
    pub(crate) async fn run(mut self) {
        let core = self.core.clone();
        let Some(shared) = core.backend.shared() else { return };
        let closing = self.closing.clone();
        closing.run_until_cancelled(self.follow(shared)).await;
    }

    async fn follow(&mut self, shared: &dyn Shared) {
        let mut failing = false;
        let mut waiting = Vec::new();
        let mut next_look = Instant::now() + LOOK_EVERY;
        loop {
            tokio::select! {
                biased;
                Some(reader) = self.readers.recv() => waiting.push(reader),
                () = shared.wait() => {}
                () = sleep_until(next_look) => {}
            }
            while waiting.len() < QUEUE_READERS
                && let Ok(reader) = self.readers.try_recv()
            {
                waiting.push(reader);
            }
            let since = Instant::now();
            let outcome = self.look(shared).await.map_err(|error| error.to_string());
            self.core.metrics.look_duration.observe(since.elapsed().as_secs_f64());
            if let Err(error) = &outcome
                && !failing
            {
                tracing::warn!(error, "cannot follow the log; trying again");
            } else if outcome.is_ok() && failing {
                tracing::info!("following the log again");
            }
            failing = outcome.is_err();
            for reader in waiting.drain(..) {
                // A reader that has gone away needs no answer.
                let _ = reader.send(outcome.clone());
            }
            next_look = Instant::now() + LOOK_EVERY;
        }
    }

    /// Brings the cache to where the log is now.
    async fn look(&self, shared: &dyn Shared) -> Result<(), BackendError> {
        let mut goal = None;
        loop {
            // Held over the read, so that a writer who has to catch up does not read the same once more.
            let mut feed = self.feed.lock().await;
            let after = self.core.cache().revision;
            let (newest, piece) = shared.news(after, LOG_CHUNK).await?;
            if newest < after {
                let text = format!("the log ends at {newest}, but {after} has been read from it: was it restored?");
                return Err(BackendError(text.into()));
            }
            let upto = piece.upto;
            let events = piece.entries.into_iter().map(|entry| Arc::new(entry.event));
            feed.take_in(events, upto).await;
            // What has come since the first look is for the next.
            if upto >= *goal.get_or_insert(newest) {
                return Ok(());
            }
        }
    }
}
