//! What is asked by creating it, and not kept: reviews, and tokens for service accounts. Which there are,
//! `dropmate_api::registry::REVIEWS` says; discovery and documents read it too.

mod access;
mod token_request;

use axum::{
    Extension, Json, Router,
    body::Body,
    extract::State,
    response::{IntoResponse, Response},
    routing::post,
};
use dropmate_api::{
    registry::{REVIEWS, Review},
    roles::Grant,
};
use dropmate_identity::AUDIENCE;
use http::{HeaderMap, StatusCode};
use k8s_openapi::api::authentication::v1::TokenReview;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

pub(crate) use self::token_request::request_token;
use crate::{
    accept::{self, Representation},
    body,
    caller::{Admission, Caller},
    error::{ApiError, Result},
    state::AppState,
};

/// The reviews that are created in the cluster. (Those at an object stand with the object's verbs.)
pub(crate) fn routes() -> Router<AppState> {
    let in_cluster = REVIEWS.iter().filter(|review| review.plural().is_some());
    in_cluster.fold(Router::new(), |router, review| {
        let create = async move |State(state): State<AppState>,
                                 Extension(caller): Extension<Caller>,
                                 Extension(admission): Extension<Admission>,
                                 headers: HeaderMap,
                                 body: Body| {
            create(review, &state, (&caller, &admission.grants), &headers, body).await
        };
        router.route(&review.path(), post(create))
    })
}

async fn create(
    review: &'static Review,
    state: &AppState,
    (caller, grants): (&Caller, &[Grant]),
    headers: &HeaderMap,
    body: Body,
) -> Result<Response> {
    let asked = read(review, headers, body).await?;
    let status = match review.kind {
        "SelfSubjectReview" => json!({"userInfo": user_info(caller)}),
        "TokenReview" => token_review(state, typed(review, &asked)?).await?,
        "SelfSubjectAccessReview" => access::access(grants, &typed(review, &asked)?)?,
        "SelfSubjectRulesReview" => access::rules(grants, &typed(review, &asked)?)?,
        _ => return Err(ApiError::no_such_path()),
    };
    Ok(answered(review, asked, status))
}

/// Reads what is asked, and checks that it is of the right kind.
async fn read(review: &Review, headers: &HeaderMap, body: Body) -> Result<Value> {
    accept::negotiate(headers, &[Representation::Json])?;
    let bytes = body::read(body).await?;
    let asked = body::decode_builtin(&body::media_type(headers), &bytes)?.value;
    let api_version = review.api_version();
    for (field, expected) in [("apiVersion", api_version.as_str()), ("kind", review.kind)] {
        let given = asked[field].as_str().unwrap_or_default();
        if !asked.is_object() || !(given.is_empty() || given == expected) {
            return Err(ApiError::bad_request(format!(
                "the object provided is unrecognized: {field} {given:?} must be {expected:?} here"
            )));
        }
    }
    Ok(asked)
}

/// What is asked, as its type; a field of another type is named.
fn typed<T: DeserializeOwned>(review: &Review, asked: &Value) -> Result<T> {
    let mut asked = asked.clone();
    asked["apiVersion"] = review.api_version().into();
    asked["kind"] = review.kind.into();
    serde_json::from_value(asked)
        .map_err(|error| ApiError::bad_request(format!("{} cannot be read: {error}", review.kind)))
}

/// What was asked, with the answer as its status.
fn answered(review: &Review, mut asked: Value, status: Value) -> Response {
    asked["apiVersion"] = review.api_version().into();
    asked["kind"] = review.kind.into();
    if !asked["metadata"].is_object() {
        asked["metadata"] = json!({});
    }
    asked["status"] = status;
    (StatusCode::CREATED, Json(asked)).into_response()
}

/// A caller in the words of Kubernetes.
fn user_info(caller: &Caller) -> Value {
    let mut info = json!({"username": caller.user, "groups": caller.groups});
    if !caller.uid.is_empty() {
        info["uid"] = caller.uid.as_str().into();
    }
    if !caller.session.is_empty() && caller.user.starts_with("system:serviceaccount:") {
        info["extra"] = json!({"authentication.kubernetes.io/credential-id": [format!("JTI={}", caller.session)]});
    }
    info
}

/// Whose a token is.
async fn token_review(state: &AppState, review: TokenReview) -> Result<Value> {
    let token = review.spec.token.unwrap_or_default();
    if token.is_empty() {
        return Err(ApiError::bad_request("token is required for TokenReview in authentication"));
    }
    let audiences = review.spec.audiences.unwrap_or_default();
    if !audiences.is_empty() && !audiences.iter().any(|audience| audience == AUDIENCE) {
        let error = format!("token audiences {audiences:?} do not hold {AUDIENCE:?}");
        return Ok(json!({"authenticated": false, "error": error}));
    }
    match state.authenticator.authenticate(&token).await {
        Ok(session) => Ok(json!({
            "authenticated": true,
            "user": user_info(&session.caller),
            "audiences": [AUDIENCE],
        })),
        Err(error) if error.code() == StatusCode::UNAUTHORIZED => {
            Ok(json!({"authenticated": false, "error": "invalid bearer token"}))
        }
        Err(error) => Err(error),
    }
}
