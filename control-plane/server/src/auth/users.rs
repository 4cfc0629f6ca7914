//! What the operator does about users.

use axum::{
    Json,
    extract::{Path, Query, State, rejection::QueryRejection},
    response::{IntoResponse, Response},
};
use dropmate_identity::{Letter, PAGE_MAX, User};
use dropmate_live::Topic;
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    answer::{linked, said, told},
    identity,
};
use crate::{
    error::{ApiError, Result},
    state::AppState,
};

/// Users in an answer unless the caller says otherwise.
const LIMIT_DEFAULT: u32 = 100;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Page {
    /// How many.
    limit: Option<String>,
    /// The `next` of the page before.
    after: Option<String>,
}

fn shown(user: &User) -> Value {
    json!({
        "uid": user.uid,
        "email": user.email,
        "name": user.name,
        "verified": user.verified,
        "disabled": user.disabled,
        "secondFactor": user.second_factor,
        "createdAt": user.created_at,
    })
}

/// `GET /v1/users?limit&after` → 200 `{items, next}`, in the order of the addresses.
pub(crate) async fn list(State(state): State<AppState>, page: Result<Query<Page>, QueryRejection>) -> Response {
    let answer = async {
        let Query(page) = page.map_err(|error| ApiError::bad_request(error.body_text()))?;
        let limit = page.limit.as_deref().map_or(Ok(LIMIT_DEFAULT), str::parse).ok();
        let limit = limit.filter(|limit| (1..=PAGE_MAX).contains(limit)).ok_or_else(|| {
            let given = page.limit.as_deref().unwrap_or_default();
            ApiError::bad_request(format!("limit: {given:?} is not a number between 1 and {PAGE_MAX}"))
        })?;
        let found = identity(&state)?.users(page.after.as_deref().unwrap_or_default(), limit).await.map_err(said)?;
        let item = |(user, sessions): &(User, u32)| {
            let mut item = shown(user);
            item["sessions"] = (*sessions).into();
            item
        };
        let items: Vec<Value> = found.items.iter().map(item).collect();
        Ok(Json(json!({"items": items, "next": found.next})).into_response())
    };
    told(answer.await)
}

/// `POST /v1/users/{email}/disable` → 200 with the user. Every session ends, and no login is taken.
pub(crate) async fn disable(State(state): State<AppState>, Path(email): Path<String>) -> Response {
    let answer = async {
        let user = identity(&state)?.disable(&email).await.map_err(said)?;
        Ok(Json(shown(&user)).into_response())
    };
    told(answer.await)
}

/// `POST /v1/users/{email}/enable` → 200 with the user.
pub(crate) async fn enable(State(state): State<AppState>, Path(email): Path<String>) -> Response {
    let answer = async {
        let user = identity(&state)?.enable(&email).await.map_err(said)?;
        Ok(Json(shown(&user)).into_response())
    };
    told(answer.await)
}

/// `POST /v1/users/{email}/verify` → 200 with the user: the address is known to be theirs, so that Members with it take
/// effect.
pub(crate) async fn verify(State(state): State<AppState>, Path(email): Path<String>) -> Response {
    let answer = async {
        let user = identity(&state)?.mark_verified(&email).await.map_err(said)?;
        Ok(Json(shown(&user)).into_response())
    };
    told(answer.await)
}

/// `POST /v1/users/{email}/reset` → 201 `{url, token, expiresAt}`. The link is mailed as well.
pub(crate) async fn reset_link(State(state): State<AppState>, Path(email): Path<String>) -> Response {
    let answer = async {
        let identity = identity(&state)?;
        let link = identity.reset_link(&email, &Letter::default()).await.map_err(said)?;
        state.live.wake(Topic::Events);
        Ok(linked(identity.issuer(), "reset", &link))
    };
    told(answer.await)
}

/// `DELETE /v1/users/{email}/totp` → 200 with the user, who has lost the device: they log in without a code.
pub(crate) async fn remove_totp_of(State(state): State<AppState>, Path(email): Path<String>) -> Response {
    let answer = async {
        let identity = identity(&state)?;
        let user = identity.user(&email).await.map_err(said)?;
        let user = user.ok_or_else(|| said(dropmate_identity::Error::NoSuchUser(email)))?;
        identity.remove_second_factor(&user).await.map_err(said)?;
        Ok(Json(shown(&User { second_factor: false, ..user })).into_response())
    };
    told(answer.await)
}

/// `DELETE /v1/users/{email}/sessions` → 204.
pub(crate) async fn end_sessions(State(state): State<AppState>, Path(email): Path<String>) -> Response {
    let answer = async {
        identity(&state)?.end_sessions(&email).await.map_err(said)?;
        Ok(StatusCode::NO_CONTENT.into_response())
    };
    told(answer.await)
}
