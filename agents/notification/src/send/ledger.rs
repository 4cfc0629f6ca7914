//! Marks what has been sent: the ends of attempts are gathered and written down together, and an attempt holds its place
//! until its own is on the disk.

use std::time::Duration;

use dropmate_agent::Backoff;
use tokio::sync::{mpsc, oneshot};

use crate::store::{Finished, Store};

/// Ends in one transaction: it stays far below the time that a transaction may take.
const TOGETHER: usize = 64;

/// Ends that wait to be written: more attempts than that are never under way.
const WAITING: usize = 1024;

/// Writes down how attempts end. Clones write together.
#[derive(Clone, Debug)]
pub(super) struct Ledger {
    entries: mpsc::Sender<(Finished, oneshot::Sender<()>)>,
}

impl Ledger {
    /// Starts writing, as that sender. The task ends after the last clone is dropped.
    pub(super) fn start(store: Store, me: String) -> Self {
        let (entries, waiting) = mpsc::channel(WAITING);
        tokio::spawn(write(store, me, waiting));
        Self { entries }
    }

    /// Returns once it is written.
    pub(super) async fn enter(&self, finished: Finished) {
        let (written, is_written) = oneshot::channel();
        if self.entries.send((finished, written)).await.is_ok() {
            let _ = is_written.await;
        }
    }
}

async fn write(store: Store, me: String, mut waiting: mpsc::Receiver<(Finished, oneshot::Sender<()>)>) {
    let mut group = Vec::new();
    while waiting.recv_many(&mut group, TOGETHER).await > 0 {
        let (ended, written): (Vec<Finished>, Vec<oneshot::Sender<()>>) = group.drain(..).unzip();
        let mut backoff = Backoff::default();
        // What was sent must be marked: until then it would be sent again.
        while let Err(error) = store.finish(&me, &ended).await {
            let wait = backoff.after_failure().min(Duration::from_secs(2));
            tracing::warn!(error = %error, attempts = ended.len(), "ends of attempts could not be written down; trying again");
            tokio::time::sleep(wait).await;
        }
        for written in written {
            let _ = written.send(());
        }
    }
}
