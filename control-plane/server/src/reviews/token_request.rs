//! `POST …/serviceaccounts/NAME/token`: a token for a service account, which lasts as long as is asked, within bounds.

use axum::{body::Body, response::Response};
use dropmate_api::{registry::review_of, validation::Cause};
use dropmate_identity::{AUDIENCE, LIFE_MAX};
use dropmate_store::At;
use jiff::SignedDuration;
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use serde_json::{Value, json};

use super::{answered, read, typed};
use crate::{
    error::{ApiError, Result},
    object::{metadata_time, text},
    resources::Call,
};

/// How long a token lasts if nothing else is asked, as in Kubernetes.
const SECONDS_DEFAULT: i64 = 3_600;
/// Shorter ones are refused, as in Kubernetes: they would run out on slow clocks.
const SECONDS_MIN: i64 = 600;

/// Answers with a token.
pub(crate) async fn request_token(call: Call, body: Body) -> Result<Response> {
    let review = review_of(call.kind().plural, "token").ok_or_else(ApiError::no_such_path)?;
    let identity = call.state.identity.as_ref();
    let identity = identity.ok_or_else(|| ApiError::unavailable("this control plane issues no tokens"))?;
    let mut asked = read(review, &call.headers, body).await?;
    let request: TokenRequest = typed(review, &asked)?;
    let namespace = call.target.namespace.as_deref().unwrap_or_default();
    for (field, given, expected) in
        [("name", &request.metadata.name, call.name()), ("namespace", &request.metadata.namespace, namespace)]
    {
        if given.as_deref().is_some_and(|given| !given.is_empty() && given != expected) {
            return Err(ApiError::bad_request(format!(
                "the {field} of the provided object does not match the {field} on the URL"
            )));
        }
    }
    let causes = refusals(&request.spec);
    if !causes.is_empty() {
        return Err(ApiError::invalid_named(review.group, review.kind, call.name(), &causes));
    }
    let (account, _) = call.state.store.get(&call.key(), At::Latest).await?;
    let account = account.ok_or_else(|| ApiError::not_found(call.kind(), call.name()))?;
    let held: Value = serde_json::from_str(&account.body).map_err(ApiError::internal)?;
    if !text(&held, "/metadata/deletionTimestamp").is_empty() {
        return Err(ApiError::conflict(call.kind(), call.name(), "the service account is being deleted"));
    }
    let seconds = request.spec.expiration_seconds.unwrap_or(SECONDS_DEFAULT).min(LIFE_MAX.as_secs());
    let life = SignedDuration::from_secs(seconds);
    let (token, expires_at) = identity.issue_service_account(namespace, call.name(), &account.uid, life)?;
    asked["metadata"] = json!({
        "name": call.name(),
        "namespace": namespace,
        "creationTimestamp": metadata_time(call.state.clock.system_now()),
    });
    asked["spec"] = json!({"audiences": [AUDIENCE], "expirationSeconds": seconds, "boundObjectRef": null});
    Ok(answered(review, asked, json!({"token": token, "expirationTimestamp": metadata_time(expires_at)})))
}

fn refusals(spec: &TokenRequestSpec) -> Vec<Cause> {
    let mut causes = Vec::new();
    for (at, audience) in spec.audiences.iter().enumerate() {
        if audience != AUDIENCE {
            let value = Value::from(audience.as_str());
            causes.push(Cause::not_supported(format!("spec.audiences[{at}]"), &value, &[AUDIENCE]));
        }
    }
    if let Some(seconds) = spec.expiration_seconds.filter(|seconds| *seconds < SECONDS_MIN) {
        let why = "may not specify a duration less than 10 minutes";
        causes.push(Cause::invalid("spec.expirationSeconds", &seconds.into(), why));
    }
    if spec.bound_object_ref.is_some() {
        let why = "tokens here end with their service account, not with another object; leave it out";
        causes.push(Cause::forbidden("spec.boundObjectRef", why));
    }
    causes
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::authentication::v1::BoundObjectReference;

    use super::*;

    #[test]
    fn everything_that_cannot_be_given_is_named_at_once() {
        let wrong = TokenRequestSpec {
            audiences: vec!["dropmate".to_owned(), "vault".to_owned()],
            bound_object_ref: Some(BoundObjectReference::default()),
            expiration_seconds: Some(599),
        };
        let fields: Vec<String> = refusals(&wrong).into_iter().map(|cause| cause.field).collect();
        assert_eq!(fields, ["spec.audiences[1]", "spec.expirationSeconds", "spec.boundObjectRef"]);
        let right = TokenRequestSpec { expiration_seconds: Some(600), ..TokenRequestSpec::default() };
        assert_eq!(refusals(&right), []);
    }
}
