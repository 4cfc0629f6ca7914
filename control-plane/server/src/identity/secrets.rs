//! Secrets of a namespace: what is written here is read back by no call.

use axum::{
    Extension, Json,
    body::Body,
    extract::{Path, Query, State, rejection::QueryRejection},
    response::{IntoResponse, Response},
};
use dropmate_api::validation::is_dns_subdomain;
use dropmate_identity::SECRET_BYTES_MAX;
use http::{HeaderValue, StatusCode, header::CACHE_CONTROL};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{active_namespace, of, told};
use crate::{
    body,
    caller::Caller,
    error::{ApiError, Result},
    state::AppState,
};

/// A value of the largest size, each byte of it escaped as JSON may (`\u0000`), and the braces.
const BODY_BYTES_MAX: usize = 6 * SECRET_BYTES_MAX + 1024;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Given {
    value: String,
}

/// `GET /v1/namespaces/{namespace}/secrets` → `{items: [{name, createdAt, updatedAt, updatedBy}]}`.
pub(crate) async fn list(State(state): State<AppState>, Path(namespace): Path<String>) -> Response {
    let answer = async {
        active_namespace(&state, &namespace).await?;
        let secrets = of(&state)?.secrets(&namespace).await?;
        let item = |secret: &dropmate_identity::SecretInfo| {
            json!({
                "name": secret.name,
                "createdAt": secret.created_at,
                "updatedAt": secret.updated_at,
                "updatedBy": secret.updated_by,
            })
        };
        let items: Vec<Value> = secrets.iter().map(item).collect();
        Ok(Json(json!({"items": items})).into_response())
    };
    told(answer.await)
}

/// `PUT /v1/namespaces/{namespace}/secrets/{name}` with `{value}`: 201 where there was none, else 200.
pub(crate) async fn put(
    State(state): State<AppState>,
    Extension(caller): Extension<Caller>,
    Path((namespace, name)): Path<(String, String)>,
    body: Body,
) -> Response {
    let answer = async {
        let identity = of(&state)?;
        if !is_dns_subdomain(&name) {
            let why = "must be lower case letters, digits, '-' and '.', at most 253, and begin and end with one of the \
                       first two";
            return Err(ApiError::bad_request(format!("name: {name:?} {why}")));
        }
        let value = read(body).await?;
        let before = active_namespace(&state, &namespace).await?;
        let new = identity.put_secret(&namespace, &name, &value, &caller.user).await?;
        // The namespace may have gone in between, with what was in it: the next of its name must not find this.
        match active_namespace(&state, &namespace).await {
            Ok(after) if after.uid == before.uid => {}
            Ok(_) | Err(_) => {
                identity.delete_secret(&namespace, &name).await?;
                return Err(ApiError::namespace_not_found(&namespace));
            }
        }
        Ok(if new { StatusCode::CREATED } else { StatusCode::OK }.into_response())
    };
    told(answer.await)
}

/// `DELETE /v1/namespaces/{namespace}/secrets/{name}`: 204.
pub(crate) async fn delete(State(state): State<AppState>, Path((namespace, name)): Path<(String, String)>) -> Response {
    let answer = async {
        active_namespace(&state, &namespace).await?;
        if of(&state)?.delete_secret(&namespace, &name).await? {
            return Ok(StatusCode::NO_CONTENT.into_response());
        }
        Err(ApiError::no_such(format!("secrets {name:?} not found")))
    };
    told(answer.await)
}

/// Which one.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Which {
    namespace: String,
    name: String,
}

/// `GET /v1/internal/secrets?namespace=&name=` → `{value}`: what the notification agent signs and logs in with on behalf of
/// the namespace. Nobody else may ask, whatever they may otherwise.
pub(crate) async fn resolve(
    State(state): State<AppState>,
    which: std::result::Result<Query<Which>, QueryRejection>,
) -> Response {
    let answer = async {
        let Query(Which { namespace, name }) = which.map_err(|error| ApiError::bad_request(error.body_text()))?;
        let value = of(&state)?.resolve_secret(&namespace, &name).await?;
        let value = value.ok_or_else(|| ApiError::no_such(format!("secrets {name:?} not found")))?;
        let no_store = [(CACHE_CONTROL, HeaderValue::from_static("no-store"))];
        Ok((no_store, Json(json!({"value": value}))).into_response())
    };
    told(answer.await)
}

/// The value. A refusal says nothing of what was sent: it may be most of a secret.
async fn read(body: Body) -> Result<String> {
    let bytes = body::read(body).await?;
    if bytes.len() > BODY_BYTES_MAX {
        return Err(ApiError::too_large(BODY_BYTES_MAX));
    }
    let given: Given = serde_json::from_slice(&bytes)
        .map_err(|_| ApiError::bad_request("the body must be JSON of the form {\"value\": \"…\"}, and nothing else"))?;
    if given.value.len() > SECRET_BYTES_MAX {
        return Err(ApiError::too_large(SECRET_BYTES_MAX));
    }
    Ok(given.value)
}
