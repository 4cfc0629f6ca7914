//! What every handler needs.

use dropmate_api::Clock;
use dropmate_store::Store;
use tokio_util::sync::CancellationToken;

/// What every handler needs. Cheap to clone; clones share it.
#[derive(Clone, Debug)]
pub struct AppState {
    /// The objects.
    pub store: Store,
    /// Both clocks.
    pub clock: Clock,
    /// Cancelled when the server drains: watches end so that their clients resume elsewhere.
    pub shutdown: CancellationToken,
}
