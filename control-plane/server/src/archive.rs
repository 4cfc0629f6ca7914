//! The archive in the task API: finished orders that have left memory.

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::{Path, Query, State},
    response::{IntoResponse, Response},
};
use dropmate_api::registry::{self, Kind};
use dropmate_store::{Archived, Scope};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    caller::Admission,
    error::{ApiError, Result},
    gateway::{Surface, refused},
    members, resources,
    state::AppState,
};

/// Objects in an answer unless the caller says otherwise, and at most.
const LIMIT_DEFAULT: usize = 100;
const LIMIT_MAX: usize = 500;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Page {
    /// How many.
    limit: Option<String>,
    /// The `next` of the page before.
    before: Option<String>,
}

/// `GET /v1/namespaces/{namespace}/archive/{resource}`: newest first, `{items: [{archivedAt, object}], next}`.
pub(crate) async fn list(
    State(state): State<AppState>,
    Extension(admission): Extension<Admission>,
    Path((namespace, resource)): Path<(String, String)>,
    page: std::result::Result<Query<Page>, axum::extract::rejection::QueryRejection>,
) -> Response {
    let answer = async {
        let Query(page) = page.map_err(|error| ApiError::bad_request(error.body_text()))?;
        let kind = kind(&resource)?;
        let limit = number("limit", page.limit.as_deref())?.unwrap_or(LIMIT_DEFAULT as u64) as usize;
        if limit == 0 || limit > LIMIT_MAX {
            return Err(ApiError::bad_request(format!("limit: {limit} is not between 1 and {LIMIT_MAX}")));
        }
        let before = number("before", page.before.as_deref())?;
        let since = members::tenant_since(&state, &admission, &namespace).await?;
        let scope = Scope { resource: kind.storage.to_owned(), namespace: Some(namespace) };
        let mut found = state.store.archived(&scope, None, before, limit).await?;
        found.retain(|archived| since.is_none_or(|since| archived.at >= since));
        let next = found.last().filter(|_| found.len() == limit).map(|last| last.object.revision.to_string());
        let items = found.iter().map(|archived| item(kind, archived)).collect::<Result<Vec<_>>>()?;
        Ok(Json(json!({"items": items, "next": next})).into_response())
    };
    told(answer.await)
}

/// `GET /v1/namespaces/{namespace}/archive/{resource}/{name}`: the newest of that name, `{archivedAt, object}`.
pub(crate) async fn get(
    State(state): State<AppState>,
    Extension(admission): Extension<Admission>,
    Path((namespace, resource, name)): Path<(String, String, String)>,
) -> Response {
    let answer = async {
        let kind = kind(&resource)?;
        let since = members::tenant_since(&state, &admission, &namespace).await?;
        let scope = Scope { resource: kind.storage.to_owned(), namespace: Some(namespace) };
        let found = state.store.archived(&scope, Some(&name), None, 1).await?;
        let found = found.first().filter(|archived| since.is_none_or(|since| archived.at >= since));
        let archived = found.ok_or_else(|| ApiError::not_found(kind, &name))?;
        Ok(Json(item(kind, archived)?).into_response())
    };
    told(answer.await)
}

fn kind(resource: &str) -> Result<&'static Kind> {
    registry::by_resource(dropmate_api::GROUP, dropmate_api::VERSION, resource).ok_or_else(ApiError::no_such_path)
}

fn number(name: &str, value: Option<&str>) -> Result<Option<u64>> {
    let Some(value) = value else { return Ok(None) };
    value.parse().map(Some).map_err(|_| ApiError::bad_request(format!("{name}: {value:?} is not a whole number")))
}

fn item(kind: &Kind, archived: &Archived) -> Result<Value> {
    let object: &Arc<_> = &archived.object;
    Ok(json!({"archivedAt": archived.at, "object": resources::served(kind, object)?}))
}

fn told(answer: Result<Response>) -> Response {
    answer.unwrap_or_else(|error| refused(&error, Surface::Tasks))
}
