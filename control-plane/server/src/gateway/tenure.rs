//! What a caller was given for a connection that outlasts the answer to its request.

use std::{
    fmt,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::OwnedSemaphorePermit;

/// For as long as the connection is open.
pub(crate) struct Tenure {
    /// Room among the watches; `None` in process.
    pub(crate) permit: Option<OwnedSemaphorePermit>,
    /// Returns once the caller may not go on.
    pub(crate) ended: Pin<Box<dyn Future<Output = ()> + Send>>,
}

/// A request extension: whoever takes the connection takes it.
#[derive(Clone)]
pub(crate) struct Held(Arc<Mutex<Option<Tenure>>>);

impl Held {
    pub(super) fn new(tenure: Tenure) -> Self {
        Self(Arc::new(Mutex::new(Some(tenure))))
    }

    /// Once.
    pub(crate) fn take(&self) -> Option<Tenure> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Held").finish_non_exhaustive()
    }
}
