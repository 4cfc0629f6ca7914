//! Phones of drivers: a code that somebody shows to a driver, and what a phone gets for it.

use axum::{
    body::Bytes,
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use dropmate_api::registry::{Kind, by_resource};
use dropmate_identity::{ACCESS_SECONDS, Identity, PairedDriver};
use dropmate_store::{At, Key};
use http::{HeaderMap, StatusCode};
use serde_json::json;

use super::{
    answer::{said, secret, told},
    fields::Fields,
    identity,
};
use crate::{
    error::{ApiError, Result},
    resources,
    state::AppState,
};

fn kind() -> Result<&'static Kind> {
    by_resource(dropmate_api::GROUP, dropmate_api::VERSION, "drivers")
        .ok_or_else(|| ApiError::internal("no kind Driver"))
}

/// The uid of a Driver, if it is there.
async fn uid_of(state: &AppState, namespace: &str, name: &str) -> Result<Option<String>> {
    let key = Key { resource: kind()?.storage.to_owned(), namespace: namespace.to_owned(), name: name.to_owned() };
    let (held, _) = state.store.get(&key, At::Latest).await?;
    Ok(held.map(|held| held.uid.clone()))
}

/// `POST /v1/namespaces/{namespace}/drivers/{name}/pairing` → 201 `{code, url, expiresAt, namespace, driver}`. The code is
/// good once, and takes the place of any before it that was not used. Phones that are paired stay so.
pub(crate) async fn make(State(state): State<AppState>, Path((namespace, name)): Path<(String, String)>) -> Response {
    let answer = async {
        let identity = identity(&state)?;
        let uid = uid_of(&state, &namespace, &name).await?;
        let uid = uid.ok_or_else(|| kind().map_or_else(|error| error, |kind| ApiError::not_found(kind, &name)))?;
        let driver = PairedDriver { namespace, name, uid };
        let code = identity.pairing_code(&driver).await.map_err(said)?;
        let body = json!({
            "code": code.token,
            // After the `#`: no server and no proxy on the way hears of it.
            "url": format!("{}/d#pair={}", identity.issuer(), code.token),
            "expiresAt": code.expires_at,
            "namespace": driver.namespace,
            "driver": driver.name,
        });
        Ok(secret(StatusCode::CREATED, body))
    };
    told(answer.await)
}

/// `DELETE /v1/namespaces/{namespace}/drivers/{name}/pairing` → 204: every phone of the driver ends, and the code that was
/// not used.
pub(crate) async fn end(State(state): State<AppState>, Path((namespace, name)): Path<(String, String)>) -> Response {
    let answer = async {
        let ended = identity(&state)?.unpair(&namespace, &name).await.map_err(said)?;
        if !ended && uid_of(&state, &namespace, &name).await?.is_none() {
            return Err(ApiError::not_found(kind()?, &name));
        }
        tracing::info!(namespace, driver.name = name, ended, "a driver's phones were unpaired");
        Ok(StatusCode::NO_CONTENT.into_response())
    };
    told(answer.await)
}

/// Ends the phones of Drivers that are gone. They may do nothing any more; here they are forgotten.
pub(super) async fn sweep(state: &AppState, identity: &Identity) {
    for driver in identity.paired_drivers() {
        let gone = matches!(uid_of(state, &driver.namespace, &driver.name).await, Ok(None));
        if gone && let Err(error) = identity.unpair(&driver.namespace, &driver.name).await {
            let error: &dyn std::error::Error = &error;
            tracing::warn!(error, "the phones of a driver who is gone cannot be forgotten; trying again later");
        }
    }
}

/// `POST /v1/pair {code}` → 200 `{ingestToken, accessToken, tokenType, expiresIn, refreshToken, namespace, driver, server}`.
pub(crate) async fn pair(State(state): State<AppState>, headers: HeaderMap, body: Bytes) -> Response {
    let answer = async {
        let mut fields = Fields::read(&headers, &body)?;
        let code = fields.text("code")?;
        fields.end()?;
        let identity = identity(&state)?;
        let meant = identity.pairing(&code).await.map_err(said)?;
        // A Driver that was made anew under the name is another one.
        if uid_of(&state, &meant.namespace, &meant.name).await? != Some(meant.uid) {
            return Err(said(dropmate_identity::Error::BadLink));
        }
        let paired = identity.pair(&code, &resources::client(&headers)).await.map_err(said)?;
        let (driver, grant) = (paired.driver, paired.grant);
        tracing::info!(namespace = driver.namespace, driver.name = driver.name, "a phone was paired");
        let body = json!({
            "ingestToken": paired.ingest_token,
            "accessToken": grant.access_token,
            "tokenType": "Bearer",
            "expiresIn": ACCESS_SECONDS,
            "refreshToken": grant.refresh_token,
            "namespace": driver.namespace,
            "driver": driver.name,
            "server": identity.issuer(),
        });
        Ok(secret(StatusCode::OK, body))
    };
    told(answer.await)
}
