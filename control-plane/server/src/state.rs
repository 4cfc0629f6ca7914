//! What every handler needs.

use dropmate_api::Clock;
use dropmate_identity::Identity;
use dropmate_ingest::Ingest;
use dropmate_live::Live;
use dropmate_store::Store;
use tokio_util::sync::CancellationToken;

use crate::{
    agents::Agents, audit::Audit, authenticate::Authenticator, events::Events, ingest, members::Directory,
    proofs::Proofs, stream::Streams, track::Track,
};

/// What every handler needs. Cheap to clone; clones share it.
#[derive(Clone, Debug)]
pub(crate) struct AppState {
    /// How agents are reached that tell something.
    pub(crate) agents: Agents,
    /// The objects.
    pub(crate) store: Store,
    /// Who there is; `None` in memory, where the program itself vouches for its callers.
    pub(crate) identity: Option<Identity>,
    /// What phones brought in; `None` in memory, where nothing is kept.
    pub(crate) ingest: Option<Ingest>,
    /// What operators see of phones.
    pub(crate) phones: ingest::Metrics,
    /// Proofs of delivery; `None` in memory.
    pub(crate) proofs: Option<Proofs>,
    /// Hints about the present, shared between replicas where there is Redis.
    pub(crate) live: Live,
    /// Who listens to what happens, in this process.
    pub(crate) events: Events,
    /// Who listens to what happens.
    pub(crate) streams: Streams,
    /// What customers' links need: which driver is on the way to whom, and who guesses.
    pub(crate) track: Track,
    /// Whether anybody may become a user (`--open-registration`).
    pub(crate) open_registration: bool,
    /// Knows callers by their tokens.
    pub(crate) authenticator: Authenticator,
    /// Who is a member of what.
    pub(crate) members: Directory,
    /// Where requests are noted that change no object.
    pub(crate) audit: Audit,
    /// Both clocks.
    pub(crate) clock: Clock,
    /// Cancelled when the server drains: watches end so that their clients resume elsewhere.
    pub(crate) shutdown: CancellationToken,
}
