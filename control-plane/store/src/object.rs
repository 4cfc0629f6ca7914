//! What is stored: objects, each at one revision.

use std::{
    any::Any,
    fmt,
    sync::{Arc, OnceLock},
};

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
    /// What readers keep with it.
    pub notes: Notes,
}

impl Object {
    /// An object that nobody has made notes on.
    pub fn new(key: Key, uid: String, revision: Revision, body: Arc<str>) -> Self {
        Self { key, uid, revision, body, notes: Notes::default() }
    }
}

/// What readers work out from an object once, for all of them and for as long as it is in memory. It is no part of what is
/// stored: a clone starts without, and two objects are the same whatever was noted.
#[derive(Default)]
pub struct Notes(OnceLock<Box<dyn Any + Send + Sync>>);

impl Notes {
    /// What is noted, made now if nothing is yet. All readers must note the same type: the first one stays.
    pub fn get_or_make<T: Any + Send + Sync>(&self, make: impl FnOnce() -> T) -> Option<&T> {
        self.0.get_or_init(|| Box::new(make())).downcast_ref()
    }
}

impl Clone for Notes {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl PartialEq for Notes {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Notes {}

impl fmt::Debug for Notes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.get().is_some() { "Notes(made)" } else { "Notes(none)" })
    }
}
