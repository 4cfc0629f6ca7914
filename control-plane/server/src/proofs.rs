//! Proofs of delivery: pictures that drivers' phones send, and what a report says was given against what is held.
//!
//! A picture's bytes lie in a store of files, what is known of it in the schema `ingest`.

mod check;
mod metrics;
mod picture;
mod room;
mod show;
mod store;
mod sweep;
mod upload;

use axum::response::Response;
use dropmate_ingest::{Ingest, Unavailable};
use prometheus_client::registry::Registry;

pub(crate) use self::{
    check::{Giver, check},
    show::show,
    store::ProofStore,
    sweep::run as sweep,
    upload::{FILE_BYTES_MAX, FORM_BYTES_MAX, ProvenOrder, my_order, upload},
};
use self::{metrics::Metrics, room::Room};
use crate::{
    error::{ApiError, Result},
    gateway::{Surface, refused},
    state::AppState,
};

/// What the id of a proof begins with: a report can tell it from words.
const ID_PREFIX: &str = "prf_";

/// The proofs. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Proofs {
    store: ProofStore,
    ingest: Ingest,
    room: Room,
    metrics: Metrics,
}

impl Proofs {
    pub(crate) fn new(store: ProofStore, ingest: Ingest) -> Self {
        Self { store, ingest, room: Room::new(), metrics: Metrics::default() }
    }

    pub(crate) fn register(&self, registry: &mut Registry) {
        self.metrics.register(registry);
    }

    /// Those of this control plane; in memory there are none.
    fn of(state: &AppState) -> Result<&Self> {
        state.proofs.as_ref().ok_or_else(ApiError::no_such_path)
    }
}

fn told(answer: Result<Response>) -> Response {
    answer.unwrap_or_else(|error| refused(&error, Surface::Tasks))
}

impl From<Unavailable> for ApiError {
    fn from(error: Unavailable) -> Self {
        tracing::warn!(error = &error as &dyn std::error::Error, "the ingest database is not available");
        Self::unavailable(error.to_string())
    }
}
