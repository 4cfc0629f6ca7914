//! What every handler needs.

use dropmate_api::Clock;
use dropmate_store::Store;
use tokio_util::sync::CancellationToken;

/// What every handler needs. Cheap to clone; clones share it.
#[derive(Clone, Debug)]
pub(crate) struct AppState {
    /// The objects.
    pub(crate) store: Store,
    /// Both clocks.
    pub(crate) clock: Clock,
    /// Cancelled when the server drains: watches end so that their clients resume elsewhere.
    pub(crate) shutdown: CancellationToken,
}
