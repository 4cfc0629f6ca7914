//! A write with its preconditions, and why it may fail.

use std::sync::Arc;

use serde_json::Value;

use crate::{Key, Object, Revision};

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
    /// It is removed as by `Delete`, and its last state is kept in the archive.
    Archive {
        /// Canonical JSON text.
        body: Arc<str>,
    },
}

impl Change {
    /// The state that it leads to.
    pub fn body(&self) -> &Arc<str> {
        let (Self::Put { body, .. } | Self::Delete { body } | Self::Archive { body }) = self;
        body
    }

    /// Whether the object is gone afterwards.
    pub fn removes(&self) -> bool {
        !matches!(self, Self::Put { .. })
    }
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
