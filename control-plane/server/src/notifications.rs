//! `/v1/namespaces/{namespace}/notifications` and what is done to webhooks: what managers see of messages, and how they send
//! one again.
//!
//! The notification agent keeps the messages and is asked for them; who may see what is decided here before. Addresses of
//! people are for those who may send messages again, others see them masked.

mod messages;
mod preview;
mod webhooks;

pub(crate) use self::{
    messages::{list, of_order, retry, retry_dead, show},
    preview::preview,
    webhooks::{enable, replay, test},
};

use axum::{Json, response::IntoResponse, response::Response};
use bytes::Bytes;
use http::StatusCode;
use serde_json::Value;

use crate::{
    agents::{self, Errand, NOTIFICATION},
    error::{ApiError, Result},
    gateway::{Surface, refused},
    state::AppState,
};

/// Letters of what the agent says in a refusal.
const REFUSAL_MAX: usize = 1_000;

fn told(answer: Result<Response>) -> Response {
    answer.unwrap_or_else(|error| refused(&error, Surface::Tasks))
}

/// The agent's answer; what it refuses is refused in its words.
async fn errand(state: &AppState, errand: &Errand) -> Result<Value> {
    let (code, body) = agents::forward(state, NOTIFICATION, errand).await?;
    match code {
        StatusCode::OK | StatusCode::CREATED | StatusCode::ACCEPTED => {
            serde_json::from_slice(&body).map_err(|_| agents::away(NOTIFICATION, "no JSON"))
        }
        StatusCode::BAD_REQUEST | StatusCode::NOT_FOUND | StatusCode::CONFLICT | StatusCode::UNPROCESSABLE_ENTITY => {
            Err(ApiError::task(code, refusal(&body)))
        }
        other => Err(agents::away(NOTIFICATION, &format!("status {other}"))),
    }
}

fn refusal(body: &Bytes) -> String {
    let text = String::from_utf8_lossy(body);
    let said = serde_json::from_slice::<Value>(body).ok();
    let said =
        said.as_ref().and_then(|said| ["detail", "message", "error"].iter().find_map(|name| said[name].as_str()));
    let said: String = said.unwrap_or(&text).trim().chars().take(REFUSAL_MAX).collect();
    if said.is_empty() { "the notification agent refuses it".to_owned() } else { said }
}

fn answered(answer: Value) -> Response {
    Json(answer).into_response()
}
