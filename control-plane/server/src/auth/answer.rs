//! What identity says, as the task API says it.

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use dropmate_identity::{ACCESS_SECONDS, BUSY_SECONDS, Error, Grant, OneTime};
use http::{HeaderValue, StatusCode, header::CACHE_CONTROL};
use serde_json::{Value, json};

use crate::{
    error::{ApiError, Result},
    gateway::{Surface, refused},
};

/// What programs tell a missing second factor by.
const TOTP_REQUIRED: &str = "totp_required";

/// An answer, or the refusal as a problem.
pub(super) fn told(answer: Result<Response>) -> Response {
    answer.unwrap_or_else(|error| refused(&error, Surface::Tasks))
}

/// A JSON answer that nobody may keep.
pub(crate) fn secret(code: StatusCode, body: Value) -> Response {
    (code, [(CACHE_CONTROL, HeaderValue::from_static("no-store"))], Json(body)).into_response()
}

/// What a login gives.
pub(super) fn granted(grant: &Grant) -> Response {
    let body = json!({
        "accessToken": grant.access_token,
        "tokenType": "Bearer",
        "expiresIn": ACCESS_SECONDS,
        "refreshToken": grant.refresh_token,
    });
    secret(StatusCode::OK, body)
}

/// The page that a link leads to. `kind` is `invitation`, `reset` or `verification`.
pub(crate) fn page(public_url: &str, kind: &str, token: &str) -> String {
    format!("{public_url}/{kind}s/{token}")
}

/// A link, shown once.
pub(super) fn linked(public_url: &str, kind: &str, link: &OneTime) -> Response {
    let url = page(public_url, kind, &link.token);
    secret(StatusCode::CREATED, json!({"url": url, "token": link.token, "expiresAt": link.expires_at}))
}

/// A refusal of the identity service.
pub(crate) fn said(error: Error) -> ApiError {
    let message = error.to_string();
    match error {
        Error::Invalid { field, why } => ApiError::invalid_field(field, &why),
        Error::Credentials | Error::BadToken => ApiError::task(StatusCode::UNAUTHORIZED, message),
        Error::SecondFactor => ApiError::task(StatusCode::UNAUTHORIZED, message).for_programs(TOTP_REQUIRED),
        Error::Throttled(seconds) => ApiError::too_many_requests(message, seconds),
        Error::Busy => ApiError::too_many_requests(message, BUSY_SECONDS),
        Error::BadLink => ApiError::task(StatusCode::GONE, message),
        Error::NoSuchUser(_) => ApiError::task(StatusCode::NOT_FOUND, message),
        Error::Conflict(_) => ApiError::task(StatusCode::CONFLICT, message),
        Error::Unavailable(source) => {
            tracing::warn!(error = %source, "the identity database is not available");
            ApiError::unavailable(message)
        }
        _ => {
            tracing::error!(error = message, "identity failed");
            ApiError::internal("it could not be completed")
        }
    }
}
