//! `/v1/me/incidents` and `/v1/namespaces/{namespace}/incidents`.

use axum::{
    Extension, Json,
    body::Bytes,
    extract::{Path, Query, State},
    response::{IntoResponse, Response},
};
use dropmate_ingest::{Incident, IncidentFilter, Ingest};
use http::{HeaderMap, StatusCode};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{ID_PREFIX, new_id, order};
use crate::{
    body,
    caller::Caller,
    error::{ApiError, Result},
    gateway::{SMALL_BODY_MAX, Surface, refused},
    me::Me,
    proofs::{self, ProvenOrder},
    state::AppState,
};

/// A word or two in one.
const CATEGORY_CHARS_MAX: usize = 64;
/// As of a report.
const NOTE_CHARS_MAX: usize = 2_000;
/// As of a report.
const CLIENT_EVENT_ID_CHARS_MAX: usize = 128;
/// Open incidents by one driver: nobody has more on a bad day, and a phone gone mad is stopped.
const OPEN_BY_DRIVER_MAX: i64 = 200;
/// Incidents on a page.
const PAGE_DEFAULT: i64 = 100;
/// The most that one may ask for.
const PAGE_MAX: i64 = 500;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Told {
    order: Option<String>,
    category: String,
    note: String,
    photo_id: Option<String>,
    client_event_id: Option<String>,
    occurred_at: Option<Timestamp>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Asked {
    open: Option<bool>,
    order: Option<String>,
    limit: Option<i64>,
    after: Option<String>,
}

fn of(state: &AppState) -> Result<&Ingest> {
    state.ingest.as_ref().ok_or_else(ApiError::no_such_path)
}

fn told(answer: Result<Response>) -> Response {
    answer.unwrap_or_else(|error| refused(&error, Surface::Tasks))
}

/// `POST /v1/me/incidents {order?, category, note, photoId?, clientEventId?, occurredAt?}` → 201 `{id}`, also when it is
/// sent again.
pub(crate) async fn report(State(state): State<AppState>, me: Me, headers: HeaderMap, body: Bytes) -> Response {
    let answer = async {
        let ingest = of(&state)?;
        let told = read(&headers, &body)?;
        let order = match &told.order {
            Some(named) => Some(proofs::my_order(&state, &me, "order", named).await?),
            None => None,
        };
        if let Some(id) = &told.photo_id {
            check_photo(ingest, &me, id, order.as_ref()).await?;
        }
        let incident = incident(&state, &me, told, order);
        if ingest.open_incidents_by(&me.namespace, &me.driver).await? >= OPEN_BY_DRIVER_MAX {
            let why = format!("the driver has {OPEN_BY_DRIVER_MAX} open incidents; somebody has to resolve some first");
            return Err(ApiError::task(StatusCode::CONFLICT, why));
        }
        let kept = super::open(&state, ingest, &incident).await?;
        if kept.sent != incident.sent {
            let why = format!("{:?} was used before for another incident", incident.client_event_id);
            return Err(ApiError::invalid_field("clientEventId", &why));
        }
        Ok((StatusCode::CREATED, Json(json!({"id": kept.id}))).into_response())
    };
    told(answer.await)
}

fn read(headers: &HeaderMap, bytes: &Bytes) -> Result<Told> {
    if bytes.len() > SMALL_BODY_MAX {
        return Err(ApiError::too_large(SMALL_BODY_MAX));
    }
    if body::media_type(headers) != "application/json" {
        return Err(ApiError::unsupported_media_type(&["application/json"]));
    }
    let document = body::json(bytes)?;
    if let Some(twice) = document.duplicates.first() {
        return Err(ApiError::bad_request(format!("{twice}: is given twice")));
    }
    let told: Told = serde_json::from_value(document.value).map_err(|error| {
        ApiError::task(StatusCode::UNPROCESSABLE_ENTITY, format!("the incident cannot be read: {error}"))
    })?;
    let category = told.category.as_str();
    let word =
        category.starts_with(|c: char| c.is_ascii_alphabetic()) && category.chars().all(|c| c.is_ascii_alphanumeric());
    if !word || category.len() > CATEGORY_CHARS_MAX {
        let why = format!(
            "{category:?} must be letters and digits that begin with a letter, at most {CATEGORY_CHARS_MAX}, like Damaged"
        );
        return Err(ApiError::invalid_field("category", &why));
    }
    if told.note.trim().is_empty() || told.note.chars().count() > NOTE_CHARS_MAX {
        return Err(ApiError::invalid_field("note", &format!("must have 1 to {NOTE_CHARS_MAX} characters")));
    }
    let id = told.client_event_id.as_deref();
    if id.is_some_and(|id| !(1..=CLIENT_EVENT_ID_CHARS_MAX).contains(&id.chars().count())) {
        let why = format!("must have 1 to {CLIENT_EVENT_ID_CHARS_MAX} characters");
        return Err(ApiError::invalid_field("clientEventId", &why));
    }
    Ok(told)
}

async fn check_photo(ingest: &Ingest, me: &Me, id: &str, order: Option<&ProvenOrder>) -> Result<()> {
    let held = ingest.proof(&me.namespace, id).await?;
    let mine = held.filter(|row| row.driver == me.driver && order.is_none_or(|order| order.uid == row.order_uid));
    mine.map(|_| ()).ok_or_else(|| ApiError::invalid_field("photoId", "is no picture of yours for this order"))
}

fn incident(state: &AppState, me: &Me, told: Told, order: Option<ProvenOrder>) -> Incident {
    let (order_name, order_uid) = order.map_or_else(Default::default, |order| (order.name, order.uid));
    let said = json!([order_uid, told.category, told.note, told.photo_id, told.occurred_at]).to_string();
    // As a reason of a condition.
    let mut category = told.category;
    if let Some(first) = category.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    Incident {
        id: new_id(),
        namespace: me.namespace.clone(),
        order_name,
        order_uid,
        driver: me.driver.clone(),
        category,
        note: told.note,
        photo_id: told.photo_id,
        client_event_id: told.client_event_id.unwrap_or_else(|| Uuid::new_v4().to_string()),
        sent: Sha256::digest(said).to_vec(),
        at: told.occurred_at.unwrap_or_else(|| state.clock.business_now()).as_microsecond(),
        created_at: state.clock.system_now().as_microsecond(),
        resolved_at: None,
        resolved_by: None,
    }
}

/// `GET /v1/namespaces/{namespace}/incidents?open=&order=&limit=&after=` → `{items, next?}`, the newest first.
pub(crate) async fn list(
    State(state): State<AppState>,
    Path(namespace): Path<String>,
    query: Result<Query<Asked>, axum::extract::rejection::QueryRejection>,
) -> Response {
    let answer = async {
        let ingest = of(&state)?;
        let Query(asked) =
            query.map_err(|error| ApiError::bad_request(format!("the query cannot be read: {}", error.body_text())))?;
        let limit = asked.limit.unwrap_or(PAGE_DEFAULT);
        if !(1..=PAGE_MAX).contains(&limit) {
            return Err(ApiError::invalid_field("limit", &format!("{limit} must be from 1 to {PAGE_MAX}")));
        }
        let before = match asked.after.as_deref() {
            None => None,
            Some(text) => Some(cursor(text).ok_or_else(|| {
                ApiError::invalid_field("after", &format!("{text:?} is no `next` of a page of incidents"))
            })?),
        };
        let filter = IncidentFilter { open: asked.open, order_name: asked.order.as_deref(), before };
        let mut found = ingest.incidents(&namespace, &filter, limit + 1).await?;
        let more = found.len() as i64 > limit;
        found.truncate(limit as usize);
        let mut page = json!({"items": found.iter().map(shown).collect::<Vec<_>>()});
        if let Some(last) = found.last().filter(|_| more) {
            page["next"] = format!("{}.{}", last.created_at, last.id).into();
        }
        Ok(Json(page).into_response())
    };
    told(answer.await)
}

fn cursor(text: &str) -> Option<(i64, &str)> {
    let (at, id) = text.split_once('.')?;
    Some((at.parse().ok()?, id)).filter(|(_, id)| id.starts_with(ID_PREFIX))
}

/// `POST /v1/namespaces/{namespace}/incidents/{id}/resolve` → 200 with the incident, also when it was resolved before.
pub(crate) async fn resolve(
    State(state): State<AppState>,
    Extension(caller): Extension<Caller>,
    Path((namespace, id)): Path<(String, String)>,
) -> Response {
    let answer = async {
        let ingest = of(&state)?;
        let resolved = ingest.resolve_incident(&namespace, &id, &caller.user).await?;
        let resolved = resolved.ok_or_else(|| ApiError::no_such(format!("incidents {id:?} not found")))?;
        order::tell(&state, ingest, &resolved).await;
        Ok(Json(shown(&resolved)).into_response())
    };
    told(answer.await)
}

fn shown(incident: &Incident) -> Value {
    let mut shown = json!({
        "id": incident.id,
        "driver": incident.driver,
        "category": incident.category,
        "note": incident.note,
        "occurredAt": incident.occurred(),
        "createdAt": incident.created(),
        "open": incident.resolved_at.is_none(),
    });
    if !incident.order_name.is_empty() {
        shown["order"] = format!("{}/{}", incident.namespace, incident.order_name).into();
    }
    if let Some(photo) = &incident.photo_id {
        shown["photoId"] = photo.as_str().into();
    }
    if let (Some(at), Some(by)) = (incident.resolved(), &incident.resolved_by) {
        shown["resolvedAt"] = json!(at);
        shown["resolvedBy"] = by.as_str().into();
    }
    shown
}
