//! The control plane: the Kubernetes-compatible resource API over a revisioned store, behind one gateway.
//!
//! Decides nothing about deliveries: agents do, through the same API as everybody else.

pub mod caller;
pub mod router;
pub mod state;

use axum::{Extension, Router};
pub use caller::Caller;
use dropmate_api::Clock;
use dropmate_store::Store;
use tokio_util::sync::CancellationToken;

use crate::state::AppState;

/// A control plane. Cheap to clone; clones share it.
#[derive(Clone, Debug)]
pub struct ControlPlane {
    state: AppState,
}

impl ControlPlane {
    /// One that keeps everything in memory, for tests and simulation; works on a current-thread runtime under paused
    /// time.
    #[expect(clippy::unused_async, reason = "the store in memory starts its writer task here")]
    pub async fn in_memory(clock: Clock) -> Self {
        Self::over(memory_store(), clock)
    }

    fn over(store: Store, clock: Clock) -> Self {
        Self { state: AppState { store, clock, shutdown: CancellationToken::new() } }
    }

    /// Both clocks.
    pub fn clock(&self) -> &Clock {
        &self.state.clock
    }

    /// The objects.
    pub fn store(&self) -> &Store {
        &self.state.store
    }

    /// The API; authenticates by bearer token.
    pub fn router(&self) -> Router {
        router::routes(self.state.clone())
    }

    /// The API as `user`, without a socket and without a token, under the same authorization.
    pub fn in_process(&self, user: &str) -> Router {
        self.router().layer(Extension(Caller::named(user)))
    }
}

fn memory_store() -> Store {
    unimplemented!("the store in memory has not landed")
}
