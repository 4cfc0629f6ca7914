//! The control plane: the Kubernetes-compatible resource API over a revisioned store, behind one gateway.
//!
//! Decides nothing about deliveries: agents do, through the same API as everybody else.

mod accept;
mod body;
pub mod caller;
mod discovery;
mod error;
mod names;
mod namespaces;
mod object;
mod openapi;
mod options;
mod patch;
mod resources;
mod router;
mod selector;
mod state;
mod table;
mod target;

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
    pub async fn in_memory(clock: Clock) -> Self {
        let system = clock.clone();
        let store = Store::memory(std::sync::Arc::new(move || system.system_now()));
        Self::over(store, clock).await
    }

    async fn over(store: Store, clock: Clock) -> Self {
        let state = AppState { store, clock, shutdown: CancellationToken::new() };
        if let Err(error) = resources::bootstrap_namespaces(&state).await {
            tracing::error!(error = error.message(), "the first namespaces could not be made");
        }
        tokio::spawn(namespaces::run(state.clone()));
        Self { state }
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
