//! What is asked of the agent about endpoints, and what SMS services tell it later. As [`crate::api`]: the control plane
//! has asked who it is, but for the SMS service, which is believed by its signature.

use std::{sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::{Path, State},
    response::{IntoResponse, Response},
    routing::post,
};
use dropmate_api::Clock;
use http::StatusCode;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::json;
use tokio::{
    sync::Notify,
    time::{Instant, sleep},
};

use super::trial;
use crate::{
    api::unavailable,
    channel::{Channel, Outcome, Outgoing},
    plan::replayable,
    providers::{
        NoProvider, Providers,
        sms::callback::{self, Became},
    },
    store::{Store, View},
};

/// How long a callback waits for the end of the attempt that it is about: services may be faster than our own note of it.
const ATTEMPT_WITHIN: Duration = Duration::from_secs(3);

/// How often it looks.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// What answers need.
#[derive(Clone)]
pub struct Desk {
    /// What is kept.
    pub store: Store,
    /// System time.
    pub clock: Clock,
    /// Wakes the senders of this process.
    pub planned: Arc<Notify>,
    /// What messages go out through.
    pub providers: Providers,
}

/// `POST /webhooks/{namespace}/{name}/replay {since, until?, failedOnly?}` → `{replayed}`,
/// `POST /webhooks/{namespace}/{name}/test` → `{outcome, answer, milliseconds}`,
/// `POST /callbacks/sms/{namespace}/{message} {form, signature}` → 204.
pub fn routes(desk: Desk) -> Router {
    Router::new()
        .route("/webhooks/{namespace}/{name}/replay", post(replay))
        .route("/webhooks/{namespace}/{name}/test", post(test))
        .route("/callbacks/sms/{namespace}/{message}", post(reported))
        .with_state(desk)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Replay {
    since: Timestamp,
    until: Option<Timestamp>,
    #[serde(default)]
    failed_only: bool,
}

async fn replay(
    State(desk): State<Desk>,
    Path((namespace, name)): Path<(String, String)>,
    Json(Replay { since, until, failed_only }): Json<Replay>,
) -> Response {
    let webhook = match desk.providers.webhook_object(&namespace, &name).await {
        Ok(Some(webhook)) => webhook,
        Ok(None) => return (StatusCode::NOT_FOUND, format!("there is no Webhook {name:?}\n")).into_response(),
        Err(NoProvider { why, .. }) => return (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")).into_response(),
    };
    if super::is_disabled(&webhook) {
        let why = "the Webhook is disabled, so that nothing would be sent; enable it first\n";
        return (StatusCode::CONFLICT, why).into_response();
    }
    let now = desk.clock.system_now();
    // What is planned from now on goes out anyway.
    let until = until.map_or(now, |until| until.min(now));
    match desk.store.replay(&replayable(&webhook), since, until, failed_only, now).await {
        Ok(replayed) => {
            desk.planned.notify_one();
            Json(json!({"replayed": replayed})).into_response()
        }
        Err(error) => unavailable(&error),
    }
}

async fn test(State(desk): State<Desk>, Path((namespace, name)): Path<(String, String)>) -> Response {
    let id = uuid::Uuid::new_v4().simple();
    let event = trial::event(&format!("evt_test_{id}"), &namespace, &name, desk.clock.system_now());
    let message = Outgoing {
        id: format!("msg_test_{id}"),
        namespace: namespace.clone(),
        to: name.clone(),
        payload: Some(event),
        attempt: 1,
        ..Outgoing::default()
    };
    let provider = match desk.providers.endpoint(&namespace, &name).await {
        Ok(provider) => provider,
        Err(NoProvider { why, .. }) => {
            return Json(json!({"outcome": "not_sent", "answer": why, "milliseconds": 0})).into_response();
        }
    };
    let begun = Instant::now();
    let (outcome, answer) = match provider.send(&message).await {
        Outcome::Sent { answer, .. } => ("sent", answer),
        Outcome::Again { answer, .. } | Outcome::Unreachable { answer } => ("again", answer),
        Outcome::InDoubt { answer } => ("in_doubt", answer),
        Outcome::Refused { answer, .. } => ("refused", answer),
        Outcome::Gone { answer } => ("gone", answer),
    };
    let milliseconds = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    Json(json!({"outcome": outcome, "answer": answer, "milliseconds": milliseconds})).into_response()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Reported {
    form: String,
    signature: String,
}

/// Whatever is wrong, the refusal is the same: who calls learns nothing of what there is.
async fn reported(
    State(desk): State<Desk>,
    Path((namespace, message)): Path<(String, String)>,
    Json(Reported { form, signature }): Json<Reported>,
) -> Response {
    let refused = || StatusCode::FORBIDDEN.into_response();
    let Some(url) = desk.providers.callback_url(&namespace, &message) else { return refused() };
    let policy = match desk.store.message(&namespace, &message).await {
        Ok(Some(full)) if full.view.channel == Channel::Sms.name() => full.view.policy,
        Ok(_) => return refused(),
        Err(error) => return unavailable(&error),
    };
    let token = match desk.providers.sms_token(&namespace, &policy).await {
        Ok(token) => token,
        Err(NoProvider { wait: Some(_), .. }) => return StatusCode::SERVICE_UNAVAILABLE.into_response(),
        Err(NoProvider { wait: None, .. }) => return refused(),
    };
    let fields = callback::fields(&form);
    if !callback::is_signed(token.expose(), &url, &fields, &signature) {
        return refused();
    }
    let done = StatusCode::NO_CONTENT.into_response();
    let Some(told) = callback::read(&fields) else { return done };
    let opted_out = match told.became {
        // What is on its way is known, and may be told after the end.
        Became::Underway => return done,
        Became::Delivered => None,
        Became::Failed { opted_out } => Some(opted_out),
    };
    let view = match settled(&desk.store, &namespace, &message).await {
        Ok(Some(view)) => view,
        Ok(None) => return refused(),
        Err(error) => return unavailable(&error),
    };
    // Of an attempt before: the one that counts is another.
    if !view.provider_id.is_empty() && view.provider_id != told.provider_id {
        return done;
    }
    let now = desk.clock.system_now();
    match desk.store.reported(&view, opted_out, &told.answer, now).await {
        Ok(()) => done,
        Err(error) => unavailable(&error),
    }
}

/// The message, once no attempt is under way, or the wait is over.
async fn settled(store: &Store, namespace: &str, id: &str) -> Result<Option<View>, sqlx::Error> {
    let until = Instant::now() + ATTEMPT_WITHIN;
    loop {
        let view = store.message(namespace, id).await?.map(|full| full.view);
        if view.as_ref().is_none_or(|view| view.state != "sending") || Instant::now() >= until {
            return Ok(view);
        }
        sleep(LOOK_EVERY).await;
    }
}
