//! The audit as it is asked for: newest first, in pages.

use axum::{
    Extension, Json,
    extract::{Path, Query, State, rejection::QueryRejection},
    response::{IntoResponse, Response},
};
use dropmate_api::registry::{self, Kind};
use dropmate_store::{Access, AuditQuery, Entry, Revision};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::merge::{List, Pick, goes_on, merge};
use crate::{
    caller::Admission,
    error::{ApiError, Result},
    gateway::{Surface, refused},
    history, members,
    state::AppState,
};

/// Items in an answer unless the caller says otherwise, and at most.
const LIMIT_DEFAULT: usize = 50;
const LIMIT_MAX: usize = 200;
/// Entries read at once: each comes with the whole object, before and after.
const PIECE: usize = 16;
/// Bodies looked through for one answer, in bytes. Then it ends early, and the next page goes on.
const BODIES_MAX: usize = 16 << 20;

/// What is asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    from: Option<String>,
    to: Option<String>,
    actor: Option<String>,
    /// `order/NAME`, `orders.dropmate.dev/NAME`, `secrets/NAME`, or a kind alone.
    object: Option<String>,
    /// Only where the operator asks about everything.
    namespace: Option<String>,
    limit: Option<String>,
    /// The `next` of the page before.
    after: Option<String>,
}

type Asked = Result<Query<Wanted>, QueryRejection>;

/// `GET /v1/namespaces/{namespace}/audit`.
pub(crate) async fn of_namespace(
    State(state): State<AppState>,
    Extension(admission): Extension<Admission>,
    Path(namespace): Path<String>,
    wanted: Asked,
) -> Response {
    let answer = async {
        let since = members::tenant_since(&state, &admission, &namespace).await?;
        page(&state, Some(namespace), since, wanted).await
    };
    told(answer.await)
}

/// `GET /v1/audit`: all namespaces, and what is in none.
pub(crate) async fn of_everything(State(state): State<AppState>, wanted: Asked) -> Response {
    told(page(&state, None, None, wanted).await)
}

/// `since`: what was before is not the caller's.
async fn page(
    state: &AppState,
    namespace: Option<String>,
    since: Option<Timestamp>,
    wanted: Asked,
) -> Result<Response> {
    let Query(wanted) = wanted.map_err(|error| ApiError::bad_request(error.body_text()))?;
    let limit = limit(wanted.limit.as_deref())?;
    let (before, before_id) = after(wanted.after.as_deref())?;
    let mut query = query(&wanted, namespace, state.store.unaudited().map(str::to_owned).collect())?;
    query.from = query.from.max(since);
    state.audit.settle().await;

    let changes = if before == 0 {
        List::default()
    } else {
        let piece = state.store.audited(&query, Some(before), limit).await?;
        List { found: piece.found, upto: piece.upto }
    };
    let (accesses, whole) = if before_id == 0 {
        Default::default()
    } else {
        let piece = state.store.accesses(&query, Some(before_id), limit).await?;
        let places = piece.found.iter().map(|(id, access)| (*id, access.at)).collect();
        (List { found: places, upto: piece.upto }, piece.found)
    };
    let picks = merge(&changes, &accesses, limit);
    let (mut items, mut told_changes, mut told_accesses, mut bytes) = (Vec::new(), 0, 0, 0);
    let mut entries: Vec<Entry> = Vec::new();
    let revisions: Vec<Revision> = changes.found.iter().map(|(revision, _)| *revision).collect();
    for pick in picks {
        match pick {
            Pick::Change(index) => {
                if index % PIECE == 0 {
                    if bytes >= BODIES_MAX {
                        break;
                    }
                    let wanted = &revisions[index..revisions.len().min(index + PIECE)];
                    entries = state.store.audit_entries(wanted).await?;
                    bytes += entries.iter().map(history::size).sum::<usize>();
                }
                told_changes += 1;
                // It may have come to the end of its time meanwhile.
                if let Some(entry) = entries.iter().find(|entry| entry.event.revision == revisions[index]) {
                    items.push(change(entry)?);
                }
            }
            Pick::Access(index) => {
                told_accesses += 1;
                items.push(access(&whole[index].1));
            }
        }
    }
    let next = (goes_on(&changes, told_changes, before), goes_on(&accesses, told_accesses, before_id));
    let next = (next != (0, 0)).then(|| format!("{}.{}", next.0, next.1));
    Ok(Json(json!({"items": items, "next": next})).into_response())
}

fn query(wanted: &Wanted, namespace: Option<String>, without: Vec<String>) -> Result<AuditQuery> {
    if namespace.is_some() && wanted.namespace.is_some() {
        return Err(ApiError::bad_request("namespace: the path names it already"));
    }
    let object = wanted.object.as_deref().map(object).transpose()?;
    let (resource, name) = object.map_or((None, None), |(resource, name)| (Some(resource), name));
    Ok(AuditQuery {
        from: time("from", wanted.from.as_deref())?,
        to: time("to", wanted.to.as_deref())?,
        resource,
        namespace: namespace.or_else(|| wanted.namespace.clone()),
        name,
        actor: wanted.actor.clone(),
        without,
    })
}

/// The stored resource and the name.
fn object(text: &str) -> Result<(String, Option<String>)> {
    let (kind, name) = text.split_once('/').map_or((text, None), |(kind, name)| (kind, Some(name.to_owned())));
    if kind.is_empty() || name.as_deref() == Some("") {
        return Err(ApiError::bad_request(format!("object: {text:?} is not of the form KIND/NAME, like order/o-1001")));
    }
    let lower = kind.to_lowercase();
    let by_kind = || {
        registry::kinds().iter().find(|found| found.singular == lower || found.short_names.contains(&lower.as_str()))
    };
    let resource = history::named(&lower).or_else(by_kind).map_or(lower.clone(), |kind| kind.storage.to_owned());
    Ok((resource, name))
}

fn time(name: &str, text: Option<&str>) -> Result<Option<Timestamp>> {
    let Some(text) = text else { return Ok(None) };
    text.parse().map(Some).map_err(|_| {
        ApiError::bad_request(format!("{name}: {text:?} is not a time as in RFC 3339, like 2026-11-23T12:00:00Z"))
    })
}

fn limit(text: Option<&str>) -> Result<usize> {
    let Some(text) = text else { return Ok(LIMIT_DEFAULT) };
    let limit = text.parse().ok().filter(|limit| (1..=LIMIT_MAX).contains(limit));
    limit.ok_or_else(|| ApiError::bad_request(format!("limit: {text:?} is not between 1 and {LIMIT_MAX}")))
}

/// The revision and the id to go on below; 0: that part is told already.
fn after(text: Option<&str>) -> Result<(u64, u64)> {
    let Some(text) = text else { return Ok((u64::MAX, u64::MAX)) };
    let parts = text.split_once('.').and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
    parts.ok_or_else(|| ApiError::bad_request(format!("after: {text:?} is not the \"next\" of a page of the audit")))
}

fn kind_of(resource: &str) -> Option<&'static Kind> {
    registry::kinds().iter().find(|kind| kind.storage == resource)
}

fn change(entry: &Entry) -> Result<Value> {
    let key = &entry.event.object.key;
    let kind = kind_of(&key.resource);
    let mut item = match kind {
        // Whether it was created is told below: the floor is about the log's own history.
        Some(kind) => history::item(kind, entry, 0)?,
        None => json!({"at": entry.at, "requestId": entry.actor.request_id, "client": entry.actor.client}),
    };
    let is_first = entry.event.previous.is_none() && !entry.event.deleted;
    if is_first && !created_then(entry) {
        item["change"] = "known".into();
    }
    let verb = match item["change"].as_str() {
        Some("created") => "create",
        Some("deleted") => "delete",
        _ => "update",
    };
    item["verb"] = verb.into();
    item["actor"] = entry.actor.user.as_str().into();
    if let Some(item) = item.as_object_mut() {
        item.remove("user");
    }
    item["object"] = about(kind.map_or(key.resource.as_str(), |kind| kind.kind), &key.namespace, &key.name);
    Ok(item)
}

/// Whether the object came to be with this entry, rather than that the state before it is not known any more.
fn created_then(entry: &Entry) -> bool {
    let body: Value = serde_json::from_str(&entry.event.object.body).unwrap_or_default();
    let created = body.pointer("/metadata/creationTimestamp").and_then(Value::as_str);
    let created = created.and_then(|text| text.parse::<Timestamp>().ok());
    // Kept in whole seconds, and taken a moment before the commit.
    created.is_none_or(|created| entry.at.as_second() - created.as_second() <= 5)
}

fn access(access: &Access) -> Value {
    let (resource, subresource) = access.resource.split_once('/').unwrap_or((&access.resource, ""));
    let kind = kind_of(resource).map_or(resource, |kind| kind.kind);
    let mut item = json!({
        "at": access.at,
        "actor": access.actor,
        "client": access.client,
        "requestId": access.request_id,
        "verb": access.verb,
        "object": about(kind, &access.namespace, &access.name),
        "outcome": access.outcome,
        "code": access.code,
        "count": access.count,
    });
    if !access.address.is_empty() {
        item["address"] = access.address.as_str().into();
    }
    if !subresource.is_empty() {
        item["object"]["subresource"] = subresource.into();
    }
    item
}

fn about(kind: &str, namespace: &str, name: &str) -> Value {
    let mut object = json!({"kind": kind});
    for (field, value) in [("namespace", namespace), ("name", name)] {
        if !value.is_empty() {
            object[field] = value.into();
        }
    }
    object
}

fn told(answer: Result<Response>) -> Response {
    answer.unwrap_or_else(|error| refused(&error, Surface::Tasks))
}
