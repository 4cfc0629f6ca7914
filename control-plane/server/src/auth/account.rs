//! What users do about their own account.

use axum::{
    Extension,
    body::Bytes,
    extract::State,
    response::{IntoResponse, Response},
};
use dropmate_identity::{Identity, User};
use http::{HeaderMap, StatusCode};
use serde_json::json;

use super::{
    answer::{said, secret, told},
    door::{Address, ip},
    fields::Fields,
    identity,
};
use crate::{
    caller::Caller,
    error::{ApiError, Result},
    state::AppState,
};

/// The user who calls. Callers from elsewhere (the token file, service accounts, other issuers) have no account here.
async fn me(identity: &Identity, caller: &Caller) -> Result<User> {
    let user = if caller.uid.is_empty() { None } else { identity.user_by_uid(&caller.uid).await.map_err(said)? };
    let none = || ApiError::forbidden_path(format!("{} has no password here: it did not log in with one", caller.user));
    user.ok_or_else(none)
}

/// `POST /v1/auth/password {currentPassword, newPassword}` → 204. Every session but this one ends.
pub(crate) async fn change_password(
    State(state): State<AppState>,
    Extension(caller): Extension<Caller>,
    address: Address,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let answer = async {
        let mut fields = Fields::read(&headers, &body)?;
        let (current, new) = (fields.text("currentPassword")?, fields.text("newPassword")?);
        fields.end()?;
        let identity = identity(&state)?;
        let user = me(identity, &caller).await?;
        let changed = identity.change_password(&user.uid, &current, &new, ip(address), &caller.session);
        changed.await.map_err(said)?;
        Ok(StatusCode::NO_CONTENT.into_response())
    };
    told(answer.await)
}

/// `POST /v1/auth/totp {password}` → 200 `{secret, url, enrolment}`. Nothing changes until it is confirmed.
pub(crate) async fn enrol_totp(
    State(state): State<AppState>,
    Extension(caller): Extension<Caller>,
    address: Address,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let answer = async {
        let mut fields = Fields::read(&headers, &body)?;
        let password = fields.text("password")?;
        fields.end()?;
        let identity = identity(&state)?;
        let user = me(identity, &caller).await?;
        // Whoever found an unlocked screen must not lock the owner out.
        identity.confirm_password(&user, &password, ip(address)).await.map_err(said)?;
        let enrolment = identity.enrol_second_factor(&user).map_err(said)?;
        let body = json!({"secret": enrolment.secret, "url": enrolment.url, "enrolment": enrolment.enrolment});
        Ok(secret(StatusCode::OK, body))
    };
    told(answer.await)
}

/// `POST /v1/auth/totp/confirm {enrolment, code}` → 204: from now on a login needs a code.
pub(crate) async fn confirm_totp(
    State(state): State<AppState>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let answer = async {
        let mut fields = Fields::read(&headers, &body)?;
        let (enrolment, code) = (fields.text("enrolment")?, fields.text("code")?);
        fields.end()?;
        let identity = identity(&state)?;
        let user = me(identity, &caller).await?;
        identity.confirm_second_factor(&user, &enrolment, &code).await.map_err(said)?;
        Ok(StatusCode::NO_CONTENT.into_response())
    };
    told(answer.await)
}

/// `DELETE /v1/auth/totp {password}` → 204.
pub(crate) async fn remove_totp(
    State(state): State<AppState>,
    Extension(caller): Extension<Caller>,
    address: Address,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let answer = async {
        let mut fields = Fields::read(&headers, &body)?;
        let password = fields.text("password")?;
        fields.end()?;
        let identity = identity(&state)?;
        let user = me(identity, &caller).await?;
        identity.confirm_password(&user, &password, ip(address)).await.map_err(said)?;
        identity.remove_second_factor(&user).await.map_err(said)?;
        Ok(StatusCode::NO_CONTENT.into_response())
    };
    told(answer.await)
}
