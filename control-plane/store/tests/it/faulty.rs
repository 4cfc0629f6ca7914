//! A backend with a planted fault.

use std::{
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use dropmate_store::{
    Access, AccessPiece, Archived, AuditPage, AuditPiece, AuditQuery, Backend, BackendError, Batch, CommitError,
    Committed, Entries, Entry, Floors, Gone, Header, Key, Revision, Scope, Shared, Snapshot,
};
use jiff::Timestamp;
use tokio::sync::mpsc;

/// What is wrong with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing.
    None,
    /// It answers writes and commits them a moment later.
    AnswersBeforeCommit,
    /// Whoever resumes from the log misses the first entry.
    ResumesOneLate,
    /// Whoever resumes from the log gets an entry again.
    ResumesOneEarly,
    /// It checks no guards.
    ForgetsGuards,
    /// It commits, then the connection breaks.
    LosesTheAnswer,
    /// The connection breaks and it does not commit.
    LosesTheCommit,
    /// The connection breaks and stays broken.
    StaysSilent,
}

impl FromStr for Fault {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let all =
            [Self::None, Self::AnswersBeforeCommit, Self::ResumesOneLate, Self::ResumesOneEarly, Self::ForgetsGuards];
        all.into_iter().find(|fault| format!("{fault:?}") == name).ok_or_else(|| format!("no fault {name}"))
    }
}

/// How far a commit is behind its answer.
const LATE: Duration = Duration::from_millis(15);

pub(crate) struct Faulty {
    inner: Arc<dyn Backend>,
    fault: Fault,
    /// The fault shows while this is set.
    pub(crate) broken: AtomicBool,
    promised: AtomicU64,
    late: mpsc::UnboundedSender<Batch>,
}

impl Faulty {
    pub(crate) async fn new(inner: Arc<dyn Backend>, fault: Fault) -> Result<Arc<Self>, BackendError> {
        let promised = AtomicU64::new(inner.newest().await?);
        let (late, mut batches) = mpsc::unbounded_channel();
        let committing = inner.clone();
        tokio::spawn(async move {
            while let Some(batch) = batches.recv().await {
                tokio::time::sleep(LATE).await;
                committing.commit(&batch).await.unwrap();
            }
        });
        Ok(Arc::new(Self { inner, fault, broken: AtomicBool::new(true), promised, late }))
    }

    fn is(&self, fault: Fault) -> bool {
        self.fault == fault && self.broken.load(Ordering::SeqCst)
    }
}

fn cut() -> BackendError {
    BackendError("the connection was cut".into())
}

#[async_trait]
impl Backend for Faulty {
    async fn load(&self) -> Result<Snapshot, BackendError> {
        self.inner.load().await
    }

    async fn commit(&self, batch: &Batch) -> Result<Committed, CommitError> {
        if self.is(Fault::AnswersBeforeCommit) {
            let count = batch.writes.len() as Revision;
            let before = self.promised.fetch_add(count, Ordering::SeqCst);
            self.late.send(batch.clone()).unwrap();
            let outcomes = (1..=count).map(|index| Ok(before + index)).collect();
            return Ok(Committed { before, newest: before + count, outcomes });
        }
        if self.is(Fault::LosesTheCommit) || self.is(Fault::StaysSilent) {
            return Err(CommitError::Unknown(cut()));
        }
        let mut batch = batch.clone();
        if self.is(Fault::ForgetsGuards) {
            batch.writes.iter_mut().for_each(|write| write.guards.clear());
        }
        let committed = self.inner.commit(&batch).await?;
        if self.is(Fault::LosesTheAnswer) { Err(CommitError::Unknown(cut())) } else { Ok(committed) }
    }

    async fn newest(&self) -> Result<Revision, BackendError> {
        if self.is(Fault::StaysSilent) { Err(cut()) } else { self.inner.newest().await }
    }

    async fn entries(
        &self,
        scope: Option<&Scope>,
        after: Revision,
        upto: Revision,
        limit: usize,
    ) -> Result<Entries, BackendError> {
        let after = match self.fault {
            Fault::ResumesOneLate => after + 1,
            Fault::ResumesOneEarly => after.saturating_sub(1),
            _ => after,
        };
        self.inner.entries(scope, after, upto, limit).await
    }

    async fn history(&self, key: &Key, after: Revision, limit: usize) -> Result<Vec<Entry>, BackendError> {
        self.inner.history(key, after, limit).await
    }

    async fn headers(&self, after: Revision, limit: usize) -> Result<Vec<Header>, BackendError> {
        self.inner.headers(after, limit).await
    }

    async fn appended(&self) -> Result<u64, BackendError> {
        self.inner.appended().await
    }

    async fn archived(
        &self,
        scope: &Scope,
        name: Option<&str>,
        before: Revision,
        limit: usize,
    ) -> Result<Vec<Archived>, BackendError> {
        self.inner.archived(scope, name, before, limit).await
    }

    fn shared(&self) -> Option<&dyn Shared> {
        self.inner.shared()
    }

    async fn prune(&self, gone: &[Gone], floors: &Floors) -> Result<(), BackendError> {
        self.inner.prune(gone, floors).await
    }

    async fn audited(&self, query: &AuditQuery, page: AuditPage) -> Result<AuditPiece, BackendError> {
        self.inner.audited(query, page).await
    }

    async fn audit_entries(&self, revisions: &[Revision]) -> Result<Vec<Entry>, BackendError> {
        self.inner.audit_entries(revisions).await
    }

    async fn note_accesses(&self, accesses: &[Access]) -> Result<(), BackendError> {
        self.inner.note_accesses(accesses).await
    }

    async fn accesses(&self, query: &AuditQuery, page: AuditPage) -> Result<AccessPiece, BackendError> {
        self.inner.accesses(query, page).await
    }

    async fn forget_audit(&self, before: Timestamp, limit: usize) -> Result<usize, BackendError> {
        self.inner.forget_audit(before, limit).await
    }

    async fn close(&self) {
        self.inner.close().await;
    }
}
