//! Incidents: what went wrong on a delivery, until somebody resolves it.
//!
//! They lie in the schema `ingest`; that an order has an open one, its condition `IncidentOpen` says. The row is the truth,
//! and the condition follows: at once, and again by [`run`] if that failed.

mod order;
mod routes;

use dropmate_api::registry::{Kind, by_resource};
use dropmate_ingest::{Incident, Ingest};
use uuid::Uuid;

pub(crate) use self::{
    order::{run, show},
    routes::{list, report, resolve},
};
use crate::{
    error::{ApiError, Result},
    state::AppState,
};

/// What the id of an incident begins with.
const ID_PREFIX: &str = "inc_";

/// An id that nobody has.
pub(crate) fn new_id() -> String {
    format!("{ID_PREFIX}{}", Uuid::new_v4().simple())
}

/// The kind `Order`.
pub(crate) fn order_kind() -> Result<&'static Kind> {
    by_resource(dropmate_api::GROUP, dropmate_api::VERSION, "orders").ok_or_else(|| ApiError::internal("no kind Order"))
}

/// Keeps an incident, and has its order say so; the one that is kept.
pub(crate) async fn open(state: &AppState, ingest: &Ingest, incident: &Incident) -> Result<Incident> {
    let kept = ingest.add_incident(incident).await?;
    if kept.sent == incident.sent {
        order::tell(state, ingest, &kept).await;
    }
    Ok(kept)
}
