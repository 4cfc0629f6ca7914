//! Identity in the task API: the public keys and their rotation, the tokens of service accounts, secrets.

mod keys;
mod secrets;
mod service_accounts;

use axum::{
    Router,
    response::Response,
    routing::{delete, get, post},
};
use dropmate_api::roles::OPERATOR;
use dropmate_identity::Identity;
use dropmate_store::{At, Object};
use serde_json::Value;
use std::sync::Arc;

use crate::{
    caller::Caller,
    error::{ApiError, Result},
    gateway::{Surface, refused},
    object::text,
    resources::namespace_key,
    state::AppState,
};

/// What anybody may read: how our tokens are checked.
pub(crate) fn well_known(state: AppState) -> Router {
    Router::new()
        .route("/.well-known/jwks.json", get(keys::jwks))
        .route("/.well-known/openid-configuration", get(keys::configuration))
        .with_state(state)
}

/// The routes under `/v1`.
pub(crate) fn tasks() -> Router<AppState> {
    Router::new()
        .route("/keys/rotate", post(keys::rotate))
        .route("/namespaces/{namespace}/serviceaccounts/{name}/tokens", delete(service_accounts::revoke_tokens))
        .route("/namespaces/{namespace}/secrets", get(secrets::list))
        .route("/namespaces/{namespace}/secrets/{name}", axum::routing::put(secrets::put).delete(secrets::delete))
}

/// The service; in memory there is none.
fn of(state: &AppState) -> Result<&Identity> {
    state.identity.as_ref().ok_or_else(|| ApiError::unavailable("this control plane keeps no identities"))
}

fn operator_only(caller: &Caller) -> Result<()> {
    if caller.user == OPERATOR {
        return Ok(());
    }
    Err(ApiError::forbidden_path(format!("User {:?} may not do that: only the operator may", caller.user)))
}

/// The namespace, if it is there and stays.
async fn active_namespace(state: &AppState, namespace: &str) -> Result<Arc<Object>> {
    let (held, _) = state.store.get(&namespace_key(namespace), At::Latest).await?;
    let held = held.ok_or_else(|| ApiError::namespace_not_found(namespace))?;
    let body: Value = serde_json::from_str(&held.body).map_err(ApiError::internal)?;
    if text(&body, "/status/phase") == "Terminating" {
        return Err(ApiError::forbidden_path(format!("namespace {namespace} is being terminated")));
    }
    Ok(held)
}

fn told(answer: Result<Response>) -> Response {
    answer.unwrap_or_else(|error| refused(&error, Surface::Tasks))
}
