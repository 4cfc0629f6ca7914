//! The audit: every change, from the store's log and what has left it, and every request that was refused, read what is
//! sensitive, or changed what is no object. Never a body, a token, a query or a secret.

mod gather;
mod list;
mod merge;
mod subject;

use std::time::Duration;

use dropmate_store::{Access, Store};
use prometheus_client::{metrics::counter::Counter, registry::Registry};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;

use self::gather::Gathering;
pub(crate) use self::{
    list::{of_everything, of_namespace},
    subject::{Asked, Seen},
};

/// Requests that wait to be noted: some milliseconds of a flood. More are counted as dropped.
const QUEUE: usize = 1_024;
/// Requests noted in one statement.
const BATCH: usize = 256;
/// Like requests of this time are told together.
const TOGETHER: Duration = Duration::from_mins(1);
/// How long a reader of the audit waits for what happened just before.
const SETTLED_WITHIN: Duration = Duration::from_secs(1);

/// Where requests are handed over. Cheap to clone; clones share the queue.
#[derive(Clone, Debug)]
pub(crate) struct Audit {
    queue: mpsc::Sender<Message>,
    dropped: Counter,
}

#[derive(Debug)]
enum Message {
    Saw(Box<Access>),
    /// Answered once everything before it is written.
    Settle(oneshot::Sender<()>),
}

impl Audit {
    /// Starts to note requests in that store, until `stop`.
    pub(crate) fn start(store: Store, stop: CancellationToken) -> Self {
        let (queue, messages) = mpsc::channel(QUEUE);
        let audit = Self { queue, dropped: Counter::default() };
        tokio::spawn(Writer { store, messages, dropped: audit.dropped.clone(), told: 0 }.run(stop));
        audit
    }

    pub(crate) fn register(&self, registry: &mut Registry) {
        registry.register(
            "dropmate_audit_dropped",
            "Refused and sensitive requests that came too fast to be noted in the audit",
            self.dropped.clone(),
        );
    }

    /// Hands a request over, if it is one to note. Never waits.
    pub(crate) fn saw(&self, seen: &Seen<'_>) {
        let Some(access) = seen.access() else { return };
        if self.queue.try_send(Message::Saw(Box::new(access))).is_err() {
            self.dropped.inc();
        }
    }

    /// Waits until what was handed over before is written.
    async fn settle(&self) {
        let (reply, settled) = oneshot::channel();
        let settle = async {
            if self.queue.send(Message::Settle(reply)).await.is_ok() {
                let _ = settled.await;
            }
        };
        let _ = timeout(SETTLED_WITHIN, settle).await;
    }
}

/// Writes what was handed over.
struct Writer {
    store: Store,
    messages: mpsc::Receiver<Message>,
    dropped: Counter,
    /// Dropped requests that the log has told of.
    told: u64,
}

impl Writer {
    async fn run(mut self, stop: CancellationToken) {
        let mut gathering = Gathering::default();
        let mut ends = Instant::now();
        loop {
            let (mut batch, mut waiting) = (Vec::new(), Vec::new());
            tokio::select! {
                biased;
                () = stop.cancelled() => {
                    // The store ends with the server: what is counted is written as far as it still takes it.
                    self.write(gathering.end()).await;
                    return;
                }
                message = self.messages.recv() => {
                    let Some(message) = message else { return };
                    if gathering.is_empty() {
                        ends = Instant::now() + TOGETHER;
                    }
                    self.take(message, &mut gathering, &mut batch, &mut waiting);
                    while batch.len() < BATCH && let Ok(message) = self.messages.try_recv() {
                        self.take(message, &mut gathering, &mut batch, &mut waiting);
                    }
                }
                () = sleep_until(ends), if !gathering.is_empty() => batch = gathering.end(),
            }
            self.write(batch).await;
            for reply in waiting {
                let _ = reply.send(());
            }
        }
    }

    fn take(
        &self,
        message: Message,
        gathering: &mut Gathering,
        batch: &mut Vec<Access>,
        waiting: &mut Vec<oneshot::Sender<()>>,
    ) {
        match message {
            Message::Saw(access) => match gathering.add(&access) {
                Ok(access) => batch.extend(access),
                Err(gather::Full) => {
                    self.dropped.inc();
                }
            },
            Message::Settle(reply) => waiting.push(reply),
        }
    }

    async fn write(&mut self, batch: Vec<Access>) {
        for batch in batch.chunks(BATCH) {
            if let Err(error) = self.store.note_accesses(batch).await {
                self.dropped.inc_by(batch.len() as u64);
                tracing::warn!(%error, "cannot note requests in the audit");
            }
        }
        let dropped = self.dropped.get();
        if dropped > self.told {
            tracing::warn!(requests = dropped - self.told, "requests came too fast to be noted in the audit");
            self.told = dropped;
        }
    }
}
