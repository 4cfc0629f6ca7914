//! The store: one for all backends.

use std::{
    fmt,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, atomic::AtomicU64},
    time::Duration,
};

use jiff::Timestamp;
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{Instant, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    Access, AccessPiece, Archived, At, AuditPage, AuditPiece, AuditQuery, Backend, BackendError, Entry, Key, Memory,
    Metrics, Object, Options, Page, Postgres, ReadError, Revision, Scope, Snapshot, Sqlite, Watch, Write, WriteError,
    cache::{Cache, Overlay, note_previous},
    compaction::Compaction,
    fanout::{self, Hub},
    feed::Feed,
    follower::{self, Follower},
    writer::{self, Claim, Pending, Writer},
};

mod log;
mod moment;

pub use log::LogPiece;
pub use moment::Moment;

/// A source of system time: entries of the log carry it.
pub type Now = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Why a store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The database cannot be opened or migrated.
    #[error(transparent)]
    Database(#[from] dropmate_sql::OpenError),
    /// What is in it cannot be read.
    #[error("cannot read the stored objects")]
    Load(#[source] BackendError),
}

/// How long a read waits for a revision that has not come yet.
const WAIT_FOR_REVISION: Duration = Duration::from_secs(3);
/// How long a read waits to see what others have written; a client shall hear within 5 s that the database is away.
const LOOK_WITHIN: Duration = Duration::from_secs(4);
/// How long a write waits to be taken up, for the same reason. Then it has certainly not happened.
const TAKEN_WITHIN: Duration = Duration::from_secs(4);
/// Entries read from the log at once to tell an old state.
const LOG_CHUNK: usize = 1_024;

/// The store. Cheap to clone; clones share it. It ends when it is closed or the last clone is dropped.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    core: Arc<Core>,
    now: Now,
    options: Options,
    normal: mpsc::Sender<Pending>,
    urgent: mpsc::Sender<Pending>,
    /// Who waits to see what others have written; `None` where nobody else writes.
    readers: Option<mpsc::Sender<follower::Waiting>>,
    closing: CancellationToken,
    tasks: TaskTracker,
    compaction: tokio::sync::Mutex<Compaction>,
    /// How far the slowest reader of the log is that history waits for.
    held: Mutex<Option<Revision>>,
}

/// What the store, its tasks and its watches share.
pub(crate) struct Core {
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) metrics: Metrics,
    pub(crate) watch_buffer: usize,
    /// The newest revision in the cache.
    pub(crate) revision: watch::Sender<Revision>,
    /// Every event up to here is with the watchers.
    pub(crate) handed_out: AtomicU64,
    cache: RwLock<Cache>,
    hub: Mutex<Hub>,
}

impl Store {
    /// A store in memory. Must be called within a tokio runtime; it runs on one thread and under paused time as well.
    pub fn memory(now: Now) -> Self {
        Self::start(Arc::new(Memory::new()), Snapshot::default(), now, Options::default())
    }

    /// A store in a SQLite file, made if it is not there. Only one process may use the file: keeping others away is the
    /// caller's part.
    pub async fn sqlite(path: impl AsRef<Path>, now: Now, options: Options) -> Result<Self, OpenError> {
        let backend = Sqlite::open(path.as_ref()).await?;
        Self::open(Arc::new(backend), now, options).await
    }

    /// A store in a PostgreSQL database that has been migrated ([`Postgres::migrate`]). Any number of processes may
    /// share it.
    pub async fn postgres(url: &str, now: Now, options: Options) -> Result<Self, OpenError> {
        let backend = Postgres::open(url).await?;
        Self::open(Arc::new(backend), now, options).await
    }

    /// A store over any backend: loads what is there.
    pub async fn open(backend: Arc<dyn Backend>, now: Now, options: Options) -> Result<Self, OpenError> {
        let snapshot = backend.load().await.map_err(OpenError::Load)?;
        Ok(Self::start(backend, snapshot, now, options))
    }

    fn start(backend: Arc<dyn Backend>, snapshot: Snapshot, now: Now, options: Options) -> Self {
        let revision = snapshot.revision;
        let core = Arc::new(Core {
            backend,
            metrics: Metrics::new(),
            watch_buffer: options.watch_buffer,
            revision: watch::Sender::new(revision),
            handed_out: AtomicU64::new(revision),
            cache: RwLock::new(Cache::new(snapshot, options.window_events, options.window_bytes)),
            hub: Mutex::new(Hub::new(revision)),
        });
        {
            let cache = core.cache();
            core.metrics.observe(&cache, cache.resources());
        }
        let (normal, normal_queue) = mpsc::channel(writer::QUEUE_WRITES);
        let (urgent, urgent_queue) = mpsc::channel(writer::QUEUE_URGENT);
        let (fanout, batches) = mpsc::channel(fanout::QUEUE_BATCHES);
        let closing = CancellationToken::new();
        let tasks = TaskTracker::new();
        let feed = Arc::new(tokio::sync::Mutex::new(Feed::new(core.clone(), fanout)));
        let writer = Writer {
            core: core.clone(),
            now: now.clone(),
            urgent: urgent_queue,
            normal: normal_queue,
            feed: feed.clone(),
            closing: closing.clone(),
            closed: false,
            failed: None,
        };
        tasks.spawn(writer.run());
        let readers = core.backend.shared().is_some().then(|| {
            let (readers, waiting) = mpsc::channel(follower::QUEUE_READERS);
            tasks.spawn(Follower { core: core.clone(), feed, readers: waiting, closing: closing.clone() }.run());
            readers
        });
        tasks.spawn(fanout::run(core.clone(), batches));
        let compaction = tokio::sync::Mutex::default();
        let held = Mutex::default();
        let inner = Arc::new(Inner { core, now, options, normal, urgent, readers, closing, tasks, compaction, held });
        if let Some(every) = inner.options.compact_every {
            let closing = inner.closing.clone();
            // Weak, so that the last clone of the store ends it.
            let inner = Arc::downgrade(&inner);
            tokio::spawn(async move {
                loop {
                    tokio::select! {
                        biased;
                        () = closing.cancelled() => return,
                        () = tokio::time::sleep(every) => {}
                    }
                    let Some(inner) = inner.upgrade() else { return };
                    let now = (inner.now)();
                    match (Self { inner }).compact(now).await {
                        Ok(removed) => tracing::debug!(removed, "compacted the log"),
                        Err(error) => tracing::warn!(error = %error, "cannot compact the log"),
                    }
                }
            });
        }
        Self { inner }
    }

    /// Commits one write; answers only after its commit. If this is dropped, the write may still happen.
    pub async fn write(&self, write: Write) -> Result<Arc<Object>, WriteError> {
        let closed = || WriteError::Unavailable("the store is closed".to_owned());
        if self.inner.closing.is_cancelled() {
            return Err(closed());
        }
        let queue = if write.urgent { &self.inner.urgent } else { &self.inner.normal };
        let (reply, mut outcome) = oneshot::channel();
        let claim = Claim::default();
        let pending = Pending { write, reply, claim: claim.clone(), since: Instant::now() };
        let answer = async {
            queue.send(pending).await.map_err(|_| closed())?;
            Ok((&mut outcome).await)
        };
        let answer = match timeout(TAKEN_WITHIN, answer).await {
            Ok(answer) => answer?,
            Err(_) if claim.take() => {
                return Err(WriteError::Unavailable("the database is not keeping up".to_owned()));
            }
            // It is under way.
            Err(_) => outcome.await,
        };
        // The writer answers everything that it takes, unless the runtime is torn down under it.
        answer.unwrap_or_else(|_| Err(WriteError::Unknown("the store ended".to_owned())))
    }

    /// Reads one object, with the revision of the read.
    pub async fn get(&self, key: &Key, at: At) -> Result<(Option<Arc<Object>>, Revision), ReadError> {
        let core = &self.inner.core;
        let Some(exact) = self.ready(at).await? else {
            let cache = core.cache();
            return Ok((cache.get(key).cloned(), cache.revision));
        };
        {
            let cache = core.cache();
            cache.check_floor(&key.resource, exact)?;
            if let Some(object) = cache.get(key).filter(|object| object.revision <= exact) {
                return Ok((Some(object.clone()), exact));
            }
            if exact >= cache.window_start {
                let mut since = cache.events(exact, cache.revision);
                let change = since.find(|event| event.object.key == *key);
                return Ok((change.map_or_else(|| cache.get(key).cloned(), |event| event.previous.clone()), exact));
            }
        }
        let changes = core.backend.history(key, exact, 1).await?;
        core.refresh_floors().await?;
        core.cache().check_floor(&key.resource, exact)?;
        // What is not the same now has changed since, and the log knows it; else there was nothing then either.
        Ok((changes.into_iter().next().and_then(|change| change.event.previous), exact))
    }

    /// Lists a page in key order. `after` is the `next` of the page before (then `at` is `Exact` of its revision).
    pub async fn list(
        &self,
        scope: &Scope,
        at: At,
        after: Option<&Key>,
        limit: Option<usize>,
    ) -> Result<Page, ReadError> {
        let core = &self.inner.core;
        let limit = limit.unwrap_or(usize::MAX);
        let Some(exact) = self.ready(at).await? else {
            let cache = core.cache();
            return Ok(cache.page(scope, &Overlay::new(), after, limit, cache.revision));
        };
        core.cache().check_floor(&scope.resource, exact)?;
        let mut overlay = Overlay::new();
        let mut upto = exact;
        loop {
            let newest = {
                let cache = core.cache();
                if upto >= cache.window_start {
                    cache.check_floor(&scope.resource, exact)?;
                    cache.extend_overlay(&mut overlay, scope, upto);
                    return Ok(cache.page(scope, &overlay, after, limit, exact));
                }
                cache.revision
            };
            let piece = core.backend.entries(Some(scope), upto, newest, LOG_CHUNK).await?;
            core.refresh_floors().await?;
            upto = piece.upto;
            for entry in &piece.entries {
                note_previous(&mut overlay, scope, &entry.event);
            }
        }
    }

    /// Watches everything after `after`, in order, each change once.
    pub async fn watch(&self, scope: Scope, after: Revision) -> Result<Watch, ReadError> {
        self.wait_for(after).await?;
        Watch::start(self.inner.core.clone(), scope, after)
    }

    /// The entries of one key after a revision, oldest first, at most `limit`: who did what, and when. Reaches back as
    /// far as the log does.
    pub async fn history(&self, key: &Key, after: Revision, limit: usize) -> Result<Vec<Entry>, ReadError> {
        Ok(self.inner.core.backend.history(key, after, limit).await?)
    }

    /// The oldest revision at which a resource's state can be told; 0 if nothing of it was ever removed. What is found in
    /// the log before the call and is younger than this is whole.
    pub async fn floor(&self, resource: &str) -> Result<Revision, ReadError> {
        self.inner.core.refresh_floors().await?;
        Ok(self.inner.core.cache().floor(resource))
    }

    /// The newest archived objects of a scope, or only those of a name, that left before a revision (`None`: all); newest
    /// first, at most `limit`.
    pub async fn archived(
        &self,
        scope: &Scope,
        name: Option<&str>,
        before: Option<Revision>,
        limit: usize,
    ) -> Result<Vec<Archived>, ReadError> {
        Ok(self.inner.core.backend.archived(scope, name, before.unwrap_or(Revision::MAX), limit).await?)
    }

    /// The newest `limit` changes below a revision (`None`: all) that are asked for, for as long as the audit is kept. May
    /// be fewer than there are, where it takes long to find them: then `upto` says where to go on.
    pub async fn audited(
        &self,
        query: &AuditQuery,
        before: Option<Revision>,
        limit: usize,
    ) -> Result<AuditPiece, ReadError> {
        Ok(self.inner.core.backend.audited(query, self.page(before, limit)).await?)
    }

    /// These changes, newest first, each with the state before it where that is still known.
    pub async fn audit_entries(&self, revisions: &[Revision]) -> Result<Vec<Entry>, ReadError> {
        let mut entries = self.inner.core.backend.audit_entries(revisions).await?;
        entries.sort_unstable_by_key(|entry| std::cmp::Reverse(entry.event.revision));
        Ok(entries)
    }

    /// Notes requests for the audit.
    pub async fn note_accesses(&self, accesses: &[Access]) -> Result<(), ReadError> {
        Ok(self.inner.core.backend.note_accesses(accesses).await?)
    }

    /// The newest `limit` noted requests below an id (`None`: all) that are asked for, as with changes.
    pub async fn accesses(
        &self,
        query: &AuditQuery,
        before: Option<u64>,
        limit: usize,
    ) -> Result<AccessPiece, ReadError> {
        Ok(self.inner.core.backend.accesses(query, self.page(before, limit)).await?)
    }

    fn page(&self, before: Option<u64>, limit: usize) -> AuditPage {
        AuditPage { before: before.unwrap_or(u64::MAX), limit, look: self.inner.options.audit_look }
    }

    /// Which resources the audit does without.
    pub fn unaudited(&self) -> impl Iterator<Item = &str> {
        self.inner.options.retention.unaudited.iter().map(String::as_str)
    }

    /// The newest revision this process knows.
    pub fn revision(&self) -> Revision {
        *self.inner.core.revision.borrow()
    }

    /// Removes history that is past its retention at `now`. Returns how many entries went.
    pub async fn compact(&self, now: Timestamp) -> Result<usize, ReadError> {
        let mut compaction = self.inner.compaction.lock().await;
        let held = *self.inner.held.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(compaction.run(&self.inner.core, &self.inner.options.retention, held, now).await?)
    }

    /// From now on, history after this revision stays for a reader of the log who has come so far ([`Retention::held`]);
    /// `None`: nobody needs it.
    ///
    /// [`Retention::held`]: crate::Retention::held
    pub fn hold(&self, after: Option<Revision>) {
        *self.inner.held.lock().unwrap_or_else(PoisonError::into_inner) = after;
    }

    /// The store's metrics, to register.
    pub fn metrics(&self) -> &Metrics {
        &self.inner.core.metrics
    }

    /// Commits what waits, refuses what comes, ends all watches and lets go of the database. Returns when it is done.
    pub async fn close(&self) {
        self.inner.closing.cancel();
        self.inner.tasks.close();
        self.inner.tasks.wait().await;
    }

    /// Waits until the read can be answered; the revision to answer at if it is not simply the newest.
    async fn ready(&self, at: At) -> Result<Option<Revision>, ReadError> {
        match at {
            At::Any => Ok(None),
            At::Latest => self.look().await.map(|()| None),
            At::NotOlder(revision) => self.wait_for(revision).await.map(|()| None),
            At::Exact(revision) => self.wait_for(revision).await.map(|()| Some(revision)),
        }
    }

    /// Returns once everything acknowledged before the call, by whatever process, is in the cache.
    async fn look(&self) -> Result<(), ReadError> {
        // Where one process writes, it answers no write before that.
        let Some(readers) = &self.inner.readers else { return Ok(()) };
        let (reply, seen) = oneshot::channel();
        let look = async {
            let closed = || ReadError::Unavailable("the store is closed".to_owned());
            readers.send(reply).await.map_err(|_| closed())?;
            seen.await.map_err(|_| closed())?.map_err(ReadError::Unavailable)
        };
        let late = || Err(ReadError::Unavailable("the database does not answer in time".to_owned()));
        timeout(LOOK_WITHIN, look).await.unwrap_or_else(|_| late())
    }

    async fn wait_for(&self, asked: Revision) -> Result<(), ReadError> {
        if self.revision() >= asked {
            return Ok(());
        }
        // Another process may have written it already.
        self.look().await?;
        let mut revisions = self.inner.core.revision.subscribe();
        let come = timeout(WAIT_FOR_REVISION, revisions.wait_for(|newest| *newest >= asked)).await;
        match come {
            Ok(Ok(_)) => Ok(()),
            _ => Err(ReadError::Future { asked, newest: self.revision() }),
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.closing.cancel();
    }
}

impl Core {
    pub(crate) fn cache(&self) -> RwLockReadGuard<'_, Cache> {
        self.cache.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn cache_mut(&self) -> RwLockWriteGuard<'_, Cache> {
        self.cache.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes over floors that other processes have raised. After a read of the log: had entries been missing from it, the
    /// floor would show.
    pub(crate) async fn refresh_floors(&self) -> Result<(), BackendError> {
        if let Some(shared) = self.backend.shared() {
            let floors = shared.floors().await?;
            self.cache_mut().raise_floors(&floors);
        }
        Ok(())
    }

    pub(crate) fn hub(&self) -> MutexGuard<'_, Hub> {
        self.hub.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl From<BackendError> for ReadError {
    fn from(error: BackendError) -> Self {
        Self::Unavailable(error.to_string())
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("revision", &self.revision()).finish_non_exhaustive()
    }
}
