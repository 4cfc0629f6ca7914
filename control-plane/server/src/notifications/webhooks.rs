//! What managers do to a webhook: send again what it missed, try it, and let it have another chance.

use std::time::Duration;

use axum::{
    Extension,
    body::Bytes,
    extract::{Path, State},
    response::Response,
};
use dropmate_api::{
    Webhook,
    common::{Condition, ConditionStatus, set_condition},
    registry::{Kind, Part, WriteContext},
};
use dropmate_store::{Actor, Change, Expect, Key, Object, WriteError};
use http::HeaderMap;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    answered, errand,
    messages::{empty, escape, moment},
    told,
};
use crate::{
    agents::{self, Errand},
    auth::Fields,
    caller::{Admission, Caller, RequestId},
    error::{ApiError, Result},
    resources::{self, client, write},
    state::AppState,
};

/// A delivery may take 15 seconds; the agent needs a little more to tell of it.
const TEST_WITHIN: Duration = Duration::from_secs(20);
/// How long the agent may take to plan what is to be sent again.
const REPLAY_WITHIN: Duration = Duration::from_secs(30);
/// How often the write is tried against others' of the same webhook.
const MAX_ATTEMPTS: usize = 8;
/// The condition of a webhook to which nothing is sent any more.
const DISABLED: &str = "Disabled";

/// `POST /v1/namespaces/{namespace}/webhooks/{name}/replay {since, until?, failedOnly?}` → `{replayed}`: what was planned for
/// it then goes out again, with the same ids.
pub(crate) async fn replay(
    State(state): State<AppState>,
    Extension(admission): Extension<Admission>,
    Path((namespace, name)): Path<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let answer = async {
        let asked = read(&headers, &body)?;
        held(&state, &admission, &namespace, &name).await?;
        let path = format!("/webhooks/{}/{}/replay", escape(&namespace), escape(&name));
        Ok(answered(errand(&state, &Errand::post(path, asked, REPLAY_WITHIN)).await?))
    };
    told(answer.await)
}

fn read(headers: &HeaderMap, body: &Bytes) -> Result<Value> {
    let mut fields = Fields::read(headers, body)?;
    let (since, until) = (fields.text("since")?, fields.optional_text("until")?);
    let failed_only = fields.optional_truth("failedOnly")?.unwrap_or(false);
    fields.end()?;
    let since = moment("since", &since)?;
    let until = until.map(|until| moment("until", &until)).transpose()?;
    if let Some(until) = until.filter(|until| *until <= since) {
        return Err(ApiError::invalid_field("until", &format!("{until} is not after since ({since})")));
    }
    let mut asked = json!({"since": since, "failedOnly": failed_only});
    if let Some(until) = until {
        asked["until"] = json!(until);
    }
    Ok(asked)
}

/// `POST /v1/namespaces/{namespace}/webhooks/{name}/test` → `{outcome, answer, milliseconds}`: a `webhook.test` event, at
/// once.
pub(crate) async fn test(
    State(state): State<AppState>,
    Extension(admission): Extension<Admission>,
    Path((namespace, name)): Path<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let answer = async {
        empty(&headers, &body)?;
        held(&state, &admission, &namespace, &name).await?;
        let path = format!("/webhooks/{}/{}/test", escape(&namespace), escape(&name));
        Ok(answered(errand(&state, &Errand::post(path, json!({}), TEST_WITHIN)).await?))
    };
    told(answer.await)
}

/// `POST /v1/namespaces/{namespace}/webhooks/{name}/enable` → `{enabled, wasDisabled}`: it counts as a webhook that never
/// failed.
pub(crate) async fn enable(
    State(state): State<AppState>,
    Extension(admission): Extension<Admission>,
    Extension(caller): Extension<Caller>,
    id: Option<Extension<RequestId>>,
    Path((namespace, name)): Path<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let answer = async {
        empty(&headers, &body)?;
        let request_id = id.map(|Extension(RequestId(id))| id).unwrap_or_default();
        let actor = Actor { user: caller.user.clone(), client: client(&headers), request_id };
        let was_disabled = write_down(&state, &admission, &namespace, &name, &actor).await?;
        Ok(answered(json!({"enabled": true, "wasDisabled": was_disabled})))
    };
    told(answer.await)
}

async fn write_down(
    state: &AppState,
    admission: &Admission,
    namespace: &str,
    name: &str,
    actor: &Actor,
) -> Result<bool> {
    for _ in 0..MAX_ATTEMPTS {
        let (kind, held) = held(state, admission, namespace, name).await?;
        let old = resources::served(kind, &held)?;
        let webhook = Webhook::deserialize(&old).map_err(ApiError::internal)?;
        let Some(status) = enabled(&webhook, state.clock.system_now()) else { return Ok(false) };
        let mut new = old.clone();
        new["status"] = serde_json::to_value(status).map_err(ApiError::internal)?;
        let cx = WriteContext { part: Part::Facts, business_now: state.clock.business_now() };
        kind.strategy.prepare(&mut new, Some(&old), &cx);
        let key = Key { resource: kind.storage.to_owned(), namespace: namespace.to_owned(), name: name.to_owned() };
        let change = Change::Put { uid: held.uid.clone(), body: resources::body(kind, new) };
        match write(state, key, Expect::Revision(held.revision), change, Vec::new(), actor).await {
            Ok(_) => return Ok(true),
            Err(WriteError::Changed(_)) => {}
            Err(error) => return Err(ApiError::write(kind, name, &error)),
        }
    }
    Err(ApiError::unavailable("the webhook changes too fast at the moment; try again"))
}

/// Its status when it is enabled again; `None` if it is not disabled.
fn enabled(webhook: &Webhook, now: jiff::Timestamp) -> Option<dropmate_api::WebhookStatus> {
    let status = webhook.status.clone().unwrap_or_default();
    let held = status.conditions.iter().any(|held| held.type_ == DISABLED && held.status == ConditionStatus::True);
    if status.disabled_at.is_none() && !held {
        return None;
    }
    let mut conditions = status.conditions;
    let condition = Condition {
        type_: DISABLED.to_owned(),
        status: ConditionStatus::False,
        reason: "Enabled".to_owned(),
        message: "enabled again by a manager".to_owned(),
        last_transition_time: now,
        observed_generation: webhook.metadata.generation,
    };
    set_condition(&mut conditions, condition);
    Some(dropmate_api::WebhookStatus {
        disabled_at: None,
        disabled_reason: None,
        failing_since: None,
        failures: 0,
        observed_generation: webhook.metadata.generation,
        conditions,
        ..status
    })
}

/// The webhook, if it is there for the caller.
async fn held(
    state: &AppState,
    admission: &Admission,
    namespace: &str,
    name: &str,
) -> Result<(&'static Kind, std::sync::Arc<Object>)> {
    let kind = agents::kind("webhooks")?;
    let held = agents::seen(state, admission, kind, namespace, name).await?;
    Ok((kind, held.ok_or_else(|| ApiError::not_found(kind, name))?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_webhook_that_is_enabled_has_never_failed() {
        let now = "2026-05-01T12:00:00Z".parse().unwrap();
        let webhook: Webhook = serde_json::from_value(json!({
            "apiVersion": "dropmate.dev/v1", "kind": "Webhook", "metadata": {"name": "w", "generation": 3},
            "spec": {"url": "https://x.example", "secretName": "s"},
            "status": {"failures": 9, "failingSince": "2026-04-20T00:00:00Z", "disabledAt": "2026-04-25T00:00:00Z",
                "disabledReason": "Failing", "lastSuccessAt": "2026-04-19T00:00:00Z",
                "conditions": [{"type": "Disabled", "status": "True", "lastTransitionTime": "2026-04-25T00:00:00Z"}]},
        }))
        .unwrap();
        let status = enabled(&webhook, now).unwrap();
        assert_eq!((status.failures, status.failing_since, status.disabled_at), (0, None, None));
        assert!(status.last_success_at.is_some() && status.disabled_reason.is_none());
        assert_eq!(status.conditions[0].status, ConditionStatus::False);
        // Once is enough.
        assert_eq!(enabled(&Webhook { status: Some(status), ..webhook }, now), None);
    }

    #[test]
    fn a_replay_says_from_when_on() {
        let read = |body: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
            read(&headers, &Bytes::from(body.to_owned())).map_err(|refused| refused.message().to_owned())
        };
        let told = read(r#"{"since": "2026-05-01T14:00:00+02:00", "failedOnly": true}"#).unwrap();
        assert_eq!(told, json!({"since": "2026-05-01T12:00:00Z", "failedOnly": true}));
        for (wrong, field) in [
            ("{}", "since: is missing"),
            (r#"{"since": "1h"}"#, "since: \"1h\" is not a time"),
            (r#"{"since": "2026-05-01T12:00:00Z", "until": "2026-05-01T12:00:00Z"}"#, "until: "),
            (r#"{"since": "2026-05-01T12:00:00Z", "failedOnly": "yes"}"#, "failedOnly: must be true or false"),
            (r#"{"since": "2026-05-01T12:00:00Z", "form": 1}"#, "form: is not a field"),
        ] {
            let why = read(wrong).unwrap_err();
            assert!(why.starts_with(field), "{wrong}: {why}");
        }
    }
}
