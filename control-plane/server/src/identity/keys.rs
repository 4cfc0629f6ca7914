//! The keys that tokens are signed with: public for whoever checks tokens, rotated by the operator.

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use http::{
    HeaderName, StatusCode,
    header::{CACHE_CONTROL, CONTENT_TYPE},
};
use serde_json::json;

use super::{of, told};
use crate::{error::ApiError, state::AppState};

/// A new key is published for a minute before it signs: nobody may keep the set for longer.
const FRESH: (HeaderName, &str) = (CACHE_CONTROL, "public, max-age=60");

/// `GET /.well-known/jwks.json`.
pub(crate) async fn jwks(State(state): State<AppState>) -> Response {
    let Some(identity) = &state.identity else { return ApiError::no_such_path().into_response() };
    ([FRESH, (CONTENT_TYPE, "application/jwk-set+json")], identity.public_keys().to_string()).into_response()
}

/// `GET /.well-known/openid-configuration`: enough of it for programs that check our service accounts' tokens.
pub(crate) async fn configuration(State(state): State<AppState>) -> Response {
    let Some(identity) = &state.identity else { return ApiError::no_such_path().into_response() };
    let issuer = identity.issuer();
    let configuration = json!({
        "issuer": issuer,
        "jwks_uri": format!("{issuer}/.well-known/jwks.json"),
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256"],
    });
    ([FRESH], Json(configuration)).into_response()
}

/// `POST /v1/keys/rotate` → `{kid, signsFrom}`.
pub(crate) async fn rotate(State(state): State<AppState>) -> Response {
    let answer = async {
        let rotation = of(&state)?.rotate_keys().await?;
        let answer = json!({"kid": rotation.kid, "signsFrom": rotation.signs_from});
        Ok((StatusCode::OK, Json(answer)).into_response())
    };
    told(answer.await)
}
