//! What an order says of its incidents: the condition `IncidentOpen`, and Events.

use std::time::Duration;

use dropmate_api::{
    Order,
    common::{Condition, ConditionStatus, set_condition},
    registry::{Part, WriteContext, by_resource},
};
use dropmate_ingest::{Incident, Ingest};
use dropmate_store::{Actor, At, Change, Expect, Key, WriteError};
use serde::Deserialize;
use serde_json::json;

use super::order_kind;
use crate::{
    error::{ApiError, Result},
    resources,
    state::AppState,
};

/// The condition.
const INCIDENT_OPEN: &str = "IncidentOpen";
/// How often it is looked for incidents that their order does not tell of: only what failed at once is left.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Incidents told in one look.
const AT_ONCE: i64 = 100;
/// How often a write is tried against others' of the same order.
const MAX_ATTEMPTS: usize = 8;

/// Brings conditions to where the incidents are, until the server drains. Every replica does; one that comes second
/// finds nothing to change.
pub(crate) async fn run(state: AppState) {
    let Some(ingest) = state.ingest.clone() else { return };
    loop {
        tokio::select! {
            biased;
            () = state.shutdown.cancelled() => return,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
        match ingest.untold_incidents(AT_ONCE).await {
            Ok(untold) => {
                for incident in untold {
                    tell(&state, &ingest, &incident).await;
                }
            }
            Err(error) => tracing::warn!(
                error = &error as &dyn std::error::Error,
                "incidents that orders do not tell of cannot be read; trying again"
            ),
        }
    }
}

/// Has the order tell of an incident. What fails is tried again later.
pub(super) async fn tell(state: &AppState, ingest: &Ingest, incident: &Incident) {
    let telling = async {
        if !incident.order_uid.is_empty() {
            show(state, &incident.namespace, &incident.order_name, &incident.order_uid).await?;
            event(state, incident).await?;
        }
        ingest.told_incident(incident).await?;
        Ok::<_, ApiError>(())
    };
    if let Err(error) = telling.await {
        tracing::warn!(error = error.message(), "an order could not tell of an incident; trying again later");
    }
}

/// Writes the condition as the incidents are now. An order that is gone needs none.
pub(crate) async fn show(state: &AppState, namespace: &str, name: &str, uid: &str) -> Result<()> {
    let Some(ingest) = &state.ingest else { return Ok(()) };
    let kind = order_kind()?;
    let key = Key { resource: kind.storage.to_owned(), namespace: namespace.to_owned(), name: name.to_owned() };
    let actor = Actor { user: "system:apiserver".into(), ..Actor::default() };
    for _ in 0..MAX_ATTEMPTS {
        let (held, _) = state.store.get(&key, At::Latest).await?;
        let Some(held) = held.filter(|held| held.uid == uid) else { return Ok(()) };
        // Read after the order: an incident that comes later is shown by whoever opens it.
        let open = ingest.open_incident(uid).await?;
        let old = resources::served(kind, &held)?;
        let order = Order::deserialize(&old).map_err(ApiError::internal)?;
        let now = state.clock.business_now();
        let mut conditions = order.status.unwrap_or_default().conditions;
        let known = conditions.iter().any(|condition| condition.type_ == INCIDENT_OPEN);
        let (status, reason, message) = match &open {
            Some(incident) => {
                let message = format!("incident {} is open", incident.id);
                (ConditionStatus::True, incident.category.clone(), message)
            }
            None if known => (ConditionStatus::False, "Resolved".to_owned(), String::new()),
            None => return Ok(()),
        };
        let next = Condition {
            type_: INCIDENT_OPEN.to_owned(),
            status,
            reason,
            message,
            last_transition_time: now,
            observed_generation: order.metadata.generation,
        };
        if !set_condition(&mut conditions, next) {
            return Ok(());
        }
        let mut new = old.clone();
        new["status"]["conditions"] = serde_json::to_value(&conditions).map_err(ApiError::internal)?;
        let cx = WriteContext { part: Part::Facts, business_now: now };
        kind.strategy.prepare(&mut new, Some(&old), &cx);
        let change = Change::Put { uid: held.uid.clone(), body: resources::body(kind, new) };
        match resources::write(state, key.clone(), Expect::Revision(held.revision), change, Vec::new(), &actor).await {
            Ok(_) | Err(WriteError::Missing) => return Ok(()),
            Err(WriteError::Changed(_)) => {}
            Err(error) => return Err(ApiError::write(kind, name, &error)),
        }
    }
    Err(ApiError::modified(kind, name))
}

/// An Event for `kubectl describe order`; the same one, however often it is told. What the driver wrote is not in it.
async fn event(state: &AppState, incident: &Incident) -> Result<()> {
    let kind = by_resource("", "v1", "events").ok_or_else(|| ApiError::internal("no kind Event"))?;
    let Incident { id, namespace, order_name, order_uid, category, .. } = incident;
    let resolved = incident.resolved_at.is_some();
    let (type_, reason) = if resolved { ("Normal", "IncidentResolved") } else { ("Warning", "IncidentOpened") };
    let at = crate::object::metadata_time(state.clock.system_now());
    let event = json!({
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": format!("{}.{}", id.replace('_', "-"), reason.to_lowercase()), "namespace": namespace},
        "involvedObject": {
            "apiVersion": dropmate_api::API_VERSION, "kind": "Order",
            "namespace": namespace, "name": order_name, "uid": order_uid,
        },
        "type": type_,
        "reason": reason,
        "message": format!("{category}: incident {id}"),
        "count": 1,
        "firstTimestamp": at,
        "lastTimestamp": at,
        "source": {"component": "dropmate-control-plane"},
        "reportingComponent": "dropmate-control-plane",
        "reportingInstance": "",
    });
    let actor = Actor { user: "system:apiserver".into(), ..Actor::default() };
    match resources::create_by_server(state, kind, event, &actor).await {
        // The namespace is on its way out, and nobody reads Events there any more.
        Err(error) if matches!(error.reason(), "NotFound" | "Forbidden" | "Conflict") => Ok(()),
        outcome => outcome,
    }
}
