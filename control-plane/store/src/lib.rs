//! Revisioned objects and watch: one ordered log of revisions is the truth, and get, list, watch and history derive
//! from it. Knows no kinds: a body is canonical JSON text.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

/// A revision of the whole store; rises with every write.
pub type Revision = u64;

/// Names an object. Ordered bytewise, as lists are.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Group-resource: `orders.dropmate.dev`, `namespaces`.
    pub resource: String,
    /// Namespace; empty for cluster-scoped objects.
    pub namespace: String,
    /// Name.
    pub name: String,
}

/// An object at one revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// Which object.
    pub key: Key,
    /// Its uid.
    pub uid: String,
    /// The revision that wrote this body (for a deletion: of the deletion).
    pub revision: Revision,
    /// Canonical JSON text, without `metadata.resourceVersion`.
    pub body: Arc<str>,
}

/// Who writes; kept with the revision.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Actor {
    /// The caller's user name.
    pub user: String,
    /// The client program (User-Agent).
    pub client: String,
    /// The request's id.
    pub request_id: String,
}

/// One write to one object, with its preconditions.
#[derive(Clone, Debug)]
pub struct Write {
    /// Which object.
    pub key: Key,
    /// The state it must be in.
    pub expect: Expect,
    /// What becomes of it.
    pub change: Change,
    /// Preconditions on other objects, checked in the same transaction.
    pub guards: Vec<Guard>,
    /// Goes first into the next batch (Leases).
    pub urgent: bool,
    /// Who writes.
    pub actor: Actor,
}

/// The state an object must be in for a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// There is none.
    Absent,
    /// It is at this revision.
    Revision(Revision),
}

/// What becomes of an object.
#[derive(Clone, Debug)]
pub enum Change {
    /// It gets this body.
    Put {
        /// Its uid.
        uid: String,
        /// Canonical JSON text.
        body: Arc<str>,
    },
    /// It is removed; watchers see this last state.
    Delete {
        /// Canonical JSON text.
        body: Arc<str>,
    },
}

/// A precondition on another object: it exists, has this uid (if given) and, at `pointer` (RFC 6901), this value.
#[derive(Clone, Debug, PartialEq)]
pub struct Guard {
    /// Which object.
    pub key: Key,
    /// Its uid must be this.
    pub uid: Option<String>,
    /// JSON pointer into its body; empty: only existence and uid are checked.
    pub pointer: String,
    /// The value there must equal this (absent compares as null).
    pub equals: Value,
}

/// Why a write did not happen, or is not known to have happened.
#[derive(Clone, Debug, thiserror::Error)]
pub enum WriteError {
    /// `Expect::Absent`, but it is there.
    #[error("the object already exists")]
    Exists(Arc<Object>),
    /// `Expect::Revision`, but it is gone.
    #[error("the object does not exist")]
    Missing,
    /// `Expect::Revision`, but it is at another.
    #[error("the object has changed")]
    Changed(Arc<Object>),
    /// The guard with this index does not hold.
    #[error("precondition {0} does not hold")]
    Guard(usize),
    /// Nothing was written; try again later.
    #[error("the store is not available: {0}")]
    Unavailable(String),
    /// It cannot be told whether it was written.
    #[error("the outcome of the write is unknown: {0}")]
    Unknown(String),
}

/// Why a read failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ReadError {
    /// The revision is below the compaction floor.
    #[error("revision {asked} is compacted; the oldest is {floor}")]
    Expired {
        /// Asked for.
        asked: Revision,
        /// Oldest still there.
        floor: Revision,
    },
    /// The revision has not come in time.
    #[error("revision {asked} is in the future; the newest is {newest}")]
    Future {
        /// Asked for.
        asked: Revision,
        /// Newest there is.
        newest: Revision,
    },
    /// Try again later.
    #[error("the store is not available: {0}")]
    Unavailable(String),
}

/// How fresh a read must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// Whatever the cache holds (`resourceVersion=0`).
    Any,
    /// Linearizable: everything acknowledged before the read started is in it.
    Latest,
    /// At least this revision; waits for it (up to 3 s).
    NotOlder(Revision),
    /// Exactly this revision.
    Exact(Revision),
}

/// Which objects to list or watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// Group-resource.
    pub resource: String,
    /// Namespace; `None` is all.
    pub namespace: Option<String>,
}

/// A page of a list: objects in key order, all at one revision.
#[derive(Clone, Debug)]
pub struct Page {
    /// The objects.
    pub objects: Vec<Arc<Object>>,
    /// The revision of the whole walk.
    pub revision: Revision,
    /// The key to go on after; `None` at the end.
    pub next: Option<Key>,
    /// How many objects follow this page.
    pub remaining: usize,
}

/// A change that a watcher sees.
#[derive(Clone, Debug)]
pub struct Event {
    /// Its revision.
    pub revision: Revision,
    /// The object after it; for a deletion its last state, with the deletion's revision.
    pub object: Arc<Object>,
    /// The object before it; `None` if it was created.
    pub previous: Option<Arc<Object>>,
    /// Whether it was deleted.
    pub deleted: bool,
}

/// A revision with who made it (`history`, audit).
#[derive(Clone, Debug)]
pub struct Entry {
    /// What changed.
    pub event: Event,
    /// Who changed it.
    pub actor: Actor,
    /// When (system time).
    pub at: Timestamp,
}

// ---- Below: the shape of the public API that callers rely on (bodies come with the store). ----

/// The store. Cheap to clone; clones share it.
#[derive(Clone, Debug)]
pub struct Store {}

impl Store {
    /// Commits one write; answers only after its commit.
    pub async fn write(&self, _write: Write) -> Result<Arc<Object>, WriteError> {
        unimplemented!()
    }

    /// Reads one object, with the revision of the read.
    pub async fn get(&self, _key: &Key, _at: At) -> Result<(Option<Arc<Object>>, Revision), ReadError> {
        unimplemented!()
    }

    /// Lists a page in key order. `after` is the `next` of the page before (then `at` is `Exact` of its revision).
    pub async fn list(
        &self,
        _scope: &Scope,
        _at: At,
        _after: Option<&Key>,
        _limit: Option<usize>,
    ) -> Result<Page, ReadError> {
        unimplemented!()
    }

    /// Watches everything after `after`, in order, each change once.
    pub async fn watch(&self, _scope: Scope, _after: Revision) -> Result<Watch, ReadError> {
        unimplemented!()
    }

    /// The newest revision this process knows.
    pub fn revision(&self) -> Revision {
        unimplemented!()
    }
}

/// A stream of changes. It ends (`None`) when the watcher is too slow or the store closes: resume from the last version.
#[derive(Debug)]
pub struct Watch {}

impl Watch {
    /// The next change. Cancel safe.
    pub async fn next(&mut self) -> Option<Result<Arc<Event>, ReadError>> {
        unimplemented!()
    }

    /// The revision up to which every change in scope has been returned by `next`; what a bookmark may say.
    pub fn position(&self) -> Revision {
        unimplemented!()
    }
}
