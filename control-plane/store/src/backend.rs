//! What a database must do to hold the log. Everything else (grouping, cache, watch, paging) is shared above it.

use std::{collections::BTreeMap, error::Error, sync::Arc};

use async_trait::async_trait;
use jiff::Timestamp;

use crate::{
    Access, AccessPiece, Archived, AuditPage, AuditPiece, AuditQuery, Entry, Gone, Key, Object, Revision, Scope, Write,
};

/// Keeps the log. Several processes may share one: it checks expectations and guards itself, inside its transaction.
#[async_trait]
pub trait Backend: Send + Sync + 'static {
    /// All live objects with the counter and the floors, as of one moment.
    async fn load(&self) -> Result<Snapshot, BackendError>;

    /// Commits the writes that hold, in one transaction, and says what became of each. No key is written twice in a
    /// batch, and no guard names a key that an earlier write of the batch writes.
    async fn commit(&self, batch: &Batch) -> Result<Committed, CommitError>;

    /// The counter, read so that no commit begun earlier can still change it.
    async fn newest(&self) -> Result<Revision, BackendError>;

    /// The first entries in `after < revision <= upto`, in order; of everything without a scope. At most `limit`, and
    /// fewer if their bodies are large.
    async fn entries(
        &self,
        scope: Option<&Scope>,
        after: Revision,
        upto: Revision,
        limit: usize,
    ) -> Result<Entries, BackendError>;

    /// The first `limit` entries of one key after `after`, in order, over all objects that had this name.
    async fn history(&self, key: &Key, after: Revision, limit: usize) -> Result<Vec<Entry>, BackendError>;

    /// The heads of the first `limit` entries after `after`, in order: what compaction decides by.
    async fn headers(&self, after: Revision, limit: usize) -> Result<Vec<Header>, BackendError>;

    /// The bytes of all bodies ever appended to the log.
    async fn appended(&self) -> Result<u64, BackendError>;

    /// The newest `limit` archived objects of a scope, or only those of a name, that left before a revision; newest
    /// first.
    async fn archived(
        &self,
        scope: &Scope,
        name: Option<&str>,
        before: Revision,
        limit: usize,
    ) -> Result<Vec<Archived>, BackendError>;

    /// What is needed to follow other processes that write to the same log; `None` if there are none.
    fn shared(&self) -> Option<&dyn Shared> {
        None
    }

    /// Takes entries out of the log, moves those to be kept to the audit, and raises the floors named, in one transaction.
    async fn prune(&self, gone: &[Gone], floors: &Floors) -> Result<(), BackendError>;

    /// The newest changes below a revision that are asked for, in the log and in the audit; fewer if there is
    /// much to look through.
    async fn audited(&self, query: &AuditQuery, page: AuditPage) -> Result<AuditPiece, BackendError>;

    /// These entries, as far as they are in the log or in the audit, each with the one before it.
    async fn audit_entries(&self, revisions: &[Revision]) -> Result<Vec<Entry>, BackendError>;

    /// Notes requests for the audit.
    async fn note_accesses(&self, accesses: &[Access]) -> Result<(), BackendError>;

    /// The newest noted requests below an id that are asked for; fewer if there is much to look
    /// through.
    async fn accesses(&self, query: &AuditQuery, page: AuditPage) -> Result<AccessPiece, BackendError>;

    /// Removes at most `limit` entries of the audit that came to their end before a time, and as many noted requests.
    /// Returns how many went.
    async fn forget_audit(&self, before: Timestamp, limit: usize) -> Result<usize, BackendError>;

    /// Releases what it holds; nothing is asked of it afterwards.
    async fn close(&self);
}

/// A log that several processes write to.
#[async_trait]
pub trait Shared: Send + Sync {
    /// The counter and the first entries after `after`, as of one moment that is not before the call. At most `limit`
    /// entries, and fewer if their bodies are large; all of them if `upto` is the counter.
    async fn news(&self, after: Revision, limit: usize) -> Result<(Revision, Entries), BackendError>;

    /// Waits until another process may have written. It may miss some: who follows looks by itself as well.
    async fn wait(&self);

    /// The floors as they are now.
    async fn floors(&self) -> Result<Floors, BackendError>;
}

/// The oldest revision at which a resource's state can still be told, by resource; absent is 0.
pub type Floors = BTreeMap<String, Revision>;

/// A piece of the log.
#[derive(Clone, Debug, Default)]
pub struct Entries {
    /// The entries, in order.
    pub entries: Vec<Entry>,
    /// Every entry that was asked for up to this revision is there.
    pub upto: Revision,
}

/// Bodies in one piece of the log, in bytes: a few of the largest, so that a reader of old history stays small.
pub(crate) const PIECE_BYTES: usize = 8 << 20;

impl Entries {
    /// Takes in the next entry of those up to `upto`. Says whether the piece is full, and then ends there.
    pub(crate) fn push(&mut self, entry: Entry, bytes: &mut usize, limit: usize) -> bool {
        *bytes += entry.event.bytes();
        self.upto = entry.event.revision;
        self.entries.push(entry);
        self.entries.len() >= limit || *bytes >= PIECE_BYTES
    }
}

/// The state to start from.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// The counter.
    pub revision: Revision,
    /// Every live object.
    pub objects: Vec<Arc<Object>>,
    /// Compaction floors.
    pub floors: Floors,
}

/// Writes to commit together.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The writes, in the order of their revisions.
    pub writes: Vec<Write>,
    /// The time that their entries get.
    pub at: Timestamp,
}

/// What became of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// The counter before it. Write number `i` got revision `before + 1 + i`; refused ones leave holes.
    pub before: Revision,
    /// The counter after it.
    pub newest: Revision,
    /// For each write its revision, or why it was refused.
    pub outcomes: Vec<Result<Revision, Refusal>>,
}

/// Why a write of a batch was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// `Expect::Absent`, but it is there.
    Exists,
    /// `Expect::Revision`, but it is gone.
    Missing,
    /// `Expect::Revision`, but it is at another.
    Changed,
    /// The guard with this index does not hold.
    Guard(usize),
}

/// An entry without its bodies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Its revision.
    pub revision: Revision,
    /// The key's resource.
    pub resource: String,
    /// The revision that it replaced; 0 if it created the object.
    pub previous: Revision,
    /// Whether it deleted the object.
    pub deleted: bool,
    /// When (system time).
    pub at: Timestamp,
    /// The bytes of all bodies appended to the log up to and with this entry.
    pub total: u64,
}

/// The database did not answer, or answered with an error.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct BackendError(#[from] pub Box<dyn Error + Send + Sync>);

/// Why a batch was not committed, or is not known to have been.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// Certainly nothing of it was written.
    #[error("nothing was written")]
    NotWritten(#[source] BackendError),
    /// It failed at a point where it may have been written.
    #[error("it may have been written")]
    Unknown(#[source] BackendError),
}
