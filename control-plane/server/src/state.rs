//! What every handler needs.

use dropmate_api::Clock;
use dropmate_identity::Identity;
use dropmate_store::Store;
use tokio_util::sync::CancellationToken;

use crate::audit::Audit;
use crate::members::Directory;

/// What every handler needs. Cheap to clone; clones share it.
#[derive(Clone, Debug)]
pub(crate) struct AppState {
    /// The objects.
    pub(crate) store: Store,
    /// Who there is; `None` in memory, where the program itself vouches for its callers.
    pub(crate) identity: Option<Identity>,
    /// Where requests are noted that change no object.
    pub(crate) audit: Audit,
    /// Who is a member of what.
    pub(crate) members: Directory,
    /// Both clocks.
    pub(crate) clock: Clock,
    /// Cancelled when the server drains: watches end so that their clients resume elsewhere.
    pub(crate) shutdown: CancellationToken,
}
