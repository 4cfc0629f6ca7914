//! `GET /v1/namespaces/{namespace}/proofs/{id}`: the picture.

use axum::{
    Extension,
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use dropmate_api::roles::Sight;
use dropmate_store::{At, Key};
use http::{
    HeaderMap, HeaderValue, StatusCode,
    header::{
        CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH,
        X_CONTENT_TYPE_OPTIONS,
    },
};
use jiff::Timestamp;
use serde_json::Value;

use super::{ID_PREFIX, Proofs, told};
use crate::{
    caller::Admission,
    error::{ApiError, Result},
    state::AppState,
};

/// Where Drivers are stored.
const DRIVERS: &str = "drivers.dropmate.dev";
/// For the one who asked, who asks again whether they still may. A picture never changes.
const CACHED: HeaderValue = HeaderValue::from_static("private, no-cache");
/// Whatever somebody got into a picture, nothing in it runs.
const SANDBOX: HeaderValue = HeaderValue::from_static("sandbox; default-src 'none'");

/// The picture, for whoever may read the order's namespace, and for the driver who gave it.
pub(crate) async fn show(
    State(state): State<AppState>,
    Extension(admission): Extension<Admission>,
    Path((namespace, id)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    told(shown(&state, &admission, &namespace, &id, &headers).await)
}

async fn shown(
    state: &AppState,
    admission: &Admission,
    namespace: &str,
    id: &str,
    headers: &HeaderMap,
) -> Result<Response> {
    let proofs = Proofs::of(state)?;
    let missing = || ApiError::no_such(format!("proofs {id:?} not found"));
    let id = Some(id).filter(|id| id.starts_with(ID_PREFIX)).ok_or_else(missing)?;
    let row = proofs.ingest.proof(namespace, id).await?.ok_or_else(missing)?;
    let seen = match &admission.permit.sight {
        Sight::Everything => true,
        Sight::Own(own) => {
            own.drivers.contains(&row.driver) && is_whose(state, namespace, &row.driver, row.created()).await?
        }
    };
    if !seen {
        return Err(missing());
    }
    let tag = format!("\"{id}\"");
    let common = [
        (ETAG, HeaderValue::try_from(&tag).map_err(ApiError::internal)?),
        (CACHE_CONTROL, CACHED),
        (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (CONTENT_SECURITY_POLICY, SANDBOX),
    ];
    if headers.get(IF_NONE_MATCH).is_some_and(|held| held.as_bytes() == tag.as_bytes()) {
        return Ok((StatusCode::NOT_MODIFIED, common).into_response());
    }
    // A row is written after its file: without one, the store has lost it.
    let bytes = proofs.store.get(id).await?.ok_or_else(|| ApiError::unavailable("the picture is not in the store"))?;
    let own = [
        (CONTENT_TYPE, HeaderValue::try_from(&row.media_type).map_err(ApiError::internal)?),
        (CONTENT_DISPOSITION, HeaderValue::from_static("inline")),
    ];
    Ok((common, own, bytes).into_response())
}

/// Whether the Driver who is there by that name was there at that time: who had the name before is somebody else.
async fn is_whose(state: &AppState, namespace: &str, driver: &str, at: Timestamp) -> Result<bool> {
    let key = Key { resource: DRIVERS.to_owned(), namespace: namespace.to_owned(), name: driver.to_owned() };
    let (held, _) = state.store.get(&key, At::Latest).await?;
    let Some(held) = held else { return Ok(false) };
    let body: Value = serde_json::from_str(&held.body).map_err(ApiError::internal)?;
    let since = body.pointer("/metadata/creationTimestamp").and_then(Value::as_str).and_then(|at| at.parse().ok());
    Ok(since.is_some_and(|since: Timestamp| at >= since))
}
