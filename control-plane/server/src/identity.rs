//! Identity in the task API: the public keys and their rotation, the tokens of service accounts, secrets.

pub(crate) mod keys;
pub(crate) mod secrets;
mod service_accounts;

use std::sync::Arc;

use axum::response::Response;
use dropmate_identity::Identity;
use dropmate_store::{At, Object};
use serde_json::Value;

pub(crate) use self::service_accounts::revoke_tokens;

use crate::{
    error::{ApiError, Result},
    gateway::{Surface, refused},
    object::text,
    resources::namespace_key,
    state::AppState,
};

/// The service; in memory there is none.
fn of(state: &AppState) -> Result<&Identity> {
    state.identity.as_ref().ok_or_else(|| ApiError::unavailable("this control plane keeps no identities"))
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
