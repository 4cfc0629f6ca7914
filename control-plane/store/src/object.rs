//! What is stored: objects, each at one revision.

use std::sync::Arc;

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
