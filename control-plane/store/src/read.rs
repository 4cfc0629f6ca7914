//! What readers ask for and what they get.

use std::sync::Arc;

use jiff::Timestamp;

use crate::{Actor, Change, Key, Object, Revision, Write};

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

/// An object that has left for the archive: its last state, at the revision of its deletion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Archived {
    /// Its last state.
    pub object: Arc<Object>,
    /// When it left (system time).
    pub at: Timestamp,
}

impl Scope {
    /// Whether an object belongs to it.
    pub fn contains(&self, key: &Key) -> bool {
        self.resource == key.resource && self.namespace.as_ref().is_none_or(|namespace| *namespace == key.namespace)
    }
}

impl Event {
    /// The size of the bodies that it keeps.
    pub(crate) fn bytes(&self) -> usize {
        self.object.body.len() + self.previous.as_ref().map_or(0, |previous| previous.body.len())
    }

    /// What a write at `revision` does to `previous`, the object before it.
    pub(crate) fn of(write: &Write, revision: Revision, previous: Option<Arc<Object>>) -> Self {
        let uid = match &write.change {
            Change::Put { uid, .. } => uid.clone(),
            Change::Delete { .. } | Change::Archive { .. } => {
                previous.as_ref().map(|object| object.uid.clone()).unwrap_or_default()
            }
        };
        let object = Arc::new(Object::new(write.key.clone(), uid, revision, write.change.body().clone()));
        Self { revision, object, previous, deleted: write.change.removes() }
    }
}
