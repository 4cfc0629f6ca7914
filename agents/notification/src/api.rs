//! What the agent tells others, and what may be asked of it: messages, and sending them again. In process the control
//! plane calls this router itself, otherwise on the admin port.
//!
//! It asks nobody who they are: the control plane has, before it forwards. So the admin port is for the control plane and
//! for those who may read metrics, never public.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{Path, Query, State},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use dropmate_api::{Clock, notification::template::fill};
use http::StatusCode;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::json;
use tokio::sync::Notify;

use crate::store::{Full, Store, Which};

/// Messages in an answer unless asked for fewer or more.
const LISTED: u32 = 100;

/// What answers need.
#[derive(Clone)]
pub struct Desk {
    /// What is kept.
    pub store: Store,
    /// System time.
    pub clock: Clock,
    /// Wakes the senders of this process.
    pub planned: Arc<Notify>,
}

/// `GET /messages/{namespace}`, `GET /messages/{namespace}/{id}`, `POST /messages/{namespace}/{id}/retry` and
/// `POST /messages/{namespace}/retry`.
pub fn routes(desk: Desk) -> Router {
    Router::new()
        .route("/messages/{namespace}", get(list))
        .route("/messages/{namespace}/retry", post(retry_dead))
        .route("/messages/{namespace}/{id}", get(show))
        .route("/messages/{namespace}/{id}/retry", post(retry))
        .with_state(desk)
}

#[derive(Deserialize)]
struct Asked {
    order: Option<String>,
    uid: Option<String>,
    state: Option<String>,
    channel: Option<String>,
    before: Option<i64>,
    limit: Option<u32>,
}

async fn list(State(desk): State<Desk>, Path(namespace): Path<String>, Query(asked): Query<Asked>) -> Response {
    let Asked { order, uid, state, channel, before, limit } = asked;
    let which = Which { namespace, order, uid, state, channel, before, limit: limit.unwrap_or(LISTED) };
    match desk.store.messages(&which).await {
        Ok(listed) => Json(listed).into_response(),
        Err(error) => unavailable(&error),
    }
}

async fn show(State(desk): State<Desk>, Path((namespace, id)): Path<(String, String)>) -> Response {
    match desk.store.message(&namespace, &id).await {
        Ok(Some(full)) => Json(masked(full)).into_response(),
        Ok(None) => (StatusCode::NOT_FOUND, "there is no such message\n").into_response(),
        Err(error) => unavailable(&error),
    }
}

/// Link and PIN are told by the message alone.
fn masked(full: Full) -> Full {
    let masked = |text: String| fill(&text, None, None);
    let people = full.view.channel != crate::channel::Channel::Webhook.name();
    Full {
        subject: full.subject.map(masked),
        text: masked(full.text),
        html: full.html.map(masked),
        payload: if people { full.payload.map(masked) } else { full.payload },
        ..full
    }
}

async fn retry(State(desk): State<Desk>, Path((namespace, id)): Path<(String, String)>) -> Response {
    let now = desk.clock.system_now();
    match desk.store.retry(&namespace, &id, now).await {
        Ok(true) => {
            desk.planned.notify_one();
            Json(json!({"retried": 1})).into_response()
        }
        Ok(false) => match desk.store.message(&namespace, &id).await {
            Ok(None) => (StatusCode::NOT_FOUND, "there is no such message\n").into_response(),
            Ok(Some(full)) => (StatusCode::CONFLICT, refusal(&full)).into_response(),
            Err(error) => unavailable(&error),
        },
        Err(error) => unavailable(&error),
    }
}

/// Why a message is not sent again.
fn refusal(full: &Full) -> String {
    match full.view.state.as_str() {
        "dead" if full.view.reason == "template" => {
            "its template failed, so that there is nothing to send; mend the template: what happens from then on is told\n"
                .to_owned()
        }
        "dead" => "what it said is no longer kept: it is older than 30 days\n".to_owned(),
        state => format!("it is {state}; only a message that was given up (dead) is sent again\n"),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Dead {
    state: Option<String>,
    channel: Option<String>,
    since: Option<Timestamp>,
}

async fn retry_dead(
    State(desk): State<Desk>,
    Path(namespace): Path<String>,
    Json(Dead { state, channel, since }): Json<Dead>,
) -> Response {
    if let Some(state) = state.filter(|state| state != "dead") {
        return (
            StatusCode::UNPROCESSABLE_ENTITY,
            format!("state: {state:?}: only \"dead\" messages are sent again\n"),
        )
            .into_response();
    }
    let (since, now) = (since.unwrap_or(Timestamp::UNIX_EPOCH), desk.clock.system_now());
    match desk.store.retry_dead(&namespace, channel.as_deref(), since, now).await {
        Ok(retried) => {
            desk.planned.notify_one();
            Json(json!({"retried": retried})).into_response()
        }
        Err(error) => unavailable(&error),
    }
}

pub(crate) fn unavailable(error: &sqlx::Error) -> Response {
    tracing::warn!(error = %error, "what the notification agent keeps could not be used");
    (StatusCode::SERVICE_UNAVAILABLE, "the database of the notification agent does not answer\n").into_response()
}
