//! The past in the task API: who changed an object and what, and which revision a moment was.

mod changes;

use axum::{
    Extension, Json,
    extract::{Path, Query, State, rejection::QueryRejection},
    response::{IntoResponse, Response},
};
use dropmate_api::registry::{self, Kind};
use dropmate_store::{Entry, Key, Moment, Revision};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    caller::Admission,
    error::{ApiError, Result},
    gateway::{Surface, refused},
    members, resources,
    state::AppState,
};

/// Changes in an answer unless the caller says otherwise, and at most.
const LIMIT_DEFAULT: usize = 50;
const LIMIT_MAX: usize = 200;
/// Entries read from the log at once: each comes with the whole object, before and after.
const PIECE: usize = 16;
/// Bodies looked through for one answer, in bytes: a few of the largest. Then it ends early, and the next page goes on.
const BODIES_MAX: usize = 16 << 20;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Page {
    /// How many.
    limit: Option<String>,
    /// The `next` of the page before.
    after: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    at: Option<String>,
    /// `orders`, or `leases.coordination.k8s.io`: history is kept for as long as its kind says.
    resource: Option<String>,
}

/// `GET /v1/namespaces/{namespace}/history/{resource}/{name}`: oldest first, `{items, next}`.
pub(crate) async fn of_namespaced(
    State(state): State<AppState>,
    Extension(admission): Extension<Admission>,
    Path((namespace, resource, name)): Path<(String, String, String)>,
    page: Result<Query<Page>, QueryRejection>,
) -> Response {
    let answer = async {
        let since = members::tenant_since(&state, &admission, &namespace).await?;
        changes_of(&state, &resource, (Some(namespace), since), name, page).await
    };
    told(answer.await)
}

/// `GET /v1/history/{resource}/{name}`: the same for kinds without a namespace.
pub(crate) async fn of_cluster(
    State(state): State<AppState>,
    Path((resource, name)): Path<(String, String)>,
    page: Result<Query<Page>, QueryRejection>,
) -> Response {
    told(changes_of(&state, &resource, (None, None), name, page).await)
}

/// `GET /v1/revisions?at=TIME&resource=orders`: `{revision, changedAt}`, to list at with `resourceVersionMatch=Exact`.
pub(crate) async fn revision_at(
    State(state): State<AppState>,
    wanted: Result<Query<Wanted>, QueryRejection>,
) -> Response {
    let answer = async {
        let Query(wanted) = wanted.map_err(|error| ApiError::bad_request(error.body_text()))?;
        let text = wanted.at.ok_or_else(|| ApiError::bad_request("at: missing; give a time as in RFC 3339"))?;
        let at: Timestamp = text.parse().map_err(|_| {
            ApiError::bad_request(format!("at: {text:?} is not a time as in RFC 3339, like 2026-11-23T12:00:00Z"))
        })?;
        let resource = wanted.resource.as_deref().unwrap_or("orders");
        let kind = named(resource).ok_or_else(|| ApiError::bad_request(format!("resource: no kind {resource:?}")))?;
        match state.store.revision_at(kind.storage, at).await? {
            Moment::At { revision, changed_at } => {
                Ok(Json(json!({"revision": revision.to_string(), "changedAt": changed_at})).into_response())
            }
            Moment::TooOld { oldest } => {
                let oldest =
                    oldest.map_or("nothing was ever written".to_owned(), |oldest| format!("the oldest is {oldest}"));
                Err(ApiError::expired(format!("the state of {} at {at} cannot be told: {oldest}", kind.plural)))
            }
        }
    };
    told(answer.await)
}

/// The kind of a plural, or of `PLURAL.GROUP`; ours is meant before others of the same name.
pub(crate) fn named(resource: &str) -> Option<&'static Kind> {
    let (plural, group) = resource.split_once('.').map_or((resource, None), |(plural, group)| (plural, Some(group)));
    let fits = |kind: &&Kind| kind.plural == plural && group.is_none_or(|group| kind.group == group);
    registry::kinds().iter().filter(fits).min_by_key(|kind| kind.group != dropmate_api::GROUP)
}

async fn changes_of(
    state: &AppState,
    resource: &str,
    (namespace, since): (Option<String>, Option<Timestamp>),
    name: String,
    page: Result<Query<Page>, QueryRejection>,
) -> Result<Response> {
    let Query(page) = page.map_err(|error| ApiError::bad_request(error.body_text()))?;
    let kind =
        named(resource).filter(|kind| kind.namespaced == namespace.is_some()).ok_or_else(ApiError::no_such_path)?;
    let limit = number("limit", page.limit.as_deref())?.unwrap_or(LIMIT_DEFAULT as u64) as usize;
    if limit == 0 || limit > LIMIT_MAX {
        return Err(ApiError::bad_request(format!("limit: {limit} is not between 1 and {LIMIT_MAX}")));
    }
    let begun = number("after", page.after.as_deref())?.unwrap_or(0);
    let key = Key { resource: kind.storage.to_owned(), namespace: namespace.unwrap_or_default(), name };
    let mut entries: Vec<Entry> = Vec::new();
    let (mut after, mut bytes, mut more) = (begun, 0, true);
    while more && entries.len() < limit && bytes < BODIES_MAX {
        let piece = state.store.history(&key, after, PIECE.min(limit - entries.len())).await?;
        more = !piece.is_empty();
        after = piece.last().map_or(after, |last| last.event.revision);
        bytes += piece.iter().map(size).sum::<usize>();
        entries.extend(piece.into_iter().filter(|entry| since.is_none_or(|since| entry.at >= since)));
    }
    if begun == 0 && entries.is_empty() {
        return Err(ApiError::not_found(kind, &key.name));
    }
    let floor = state.store.floor(kind.storage).await?;
    let items = entries.iter().map(|entry| item(kind, entry, floor)).collect::<Result<Vec<_>>>()?;
    let next = more.then(|| after.to_string());
    Ok(Json(json!({"items": items, "next": next})).into_response())
}

/// The bytes of the bodies that an entry comes with.
pub(crate) fn size(entry: &Entry) -> usize {
    entry.event.object.body.len() + entry.event.previous.as_ref().map_or(0, |previous| previous.body.len())
}

/// A change, with what it changed where that can be told.
pub(crate) fn item(kind: &Kind, entry: &Entry, floor: Revision) -> Result<Value> {
    let event = &entry.event;
    let change = match &event.previous {
        _ if event.deleted => "deleted",
        Some(_) => "modified",
        // What it replaced may have been removed with old history.
        None if event.revision <= floor => "known",
        None => "created",
    };
    let mut item = json!({
        "revision": event.revision.to_string(),
        "at": entry.at,
        "user": entry.actor.user,
        "client": entry.actor.client,
        "requestId": entry.actor.request_id,
        "change": change,
        "uid": event.object.uid,
    });
    if let Some(previous) = event.previous.as_ref().filter(|_| !event.deleted) {
        let (before, after) = (resources::served(kind, previous)?, resources::served(kind, &event.object)?);
        let (changes, left_out) = changes::between(&before, &after);
        item["changes"] = serde_json::to_value(changes).map_err(ApiError::internal)?;
        if left_out > 0 {
            item["moreChanges"] = left_out.into();
        }
    }
    Ok(item)
}

fn number(name: &str, value: Option<&str>) -> Result<Option<u64>> {
    let Some(value) = value else { return Ok(None) };
    value.parse().map(Some).map_err(|_| ApiError::bad_request(format!("{name}: {value:?} is not a whole number")))
}

fn told(answer: Result<Response>) -> Response {
    answer.unwrap_or_else(|error| refused(&error, Surface::Tasks))
}
