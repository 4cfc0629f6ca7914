//! `GET /v1/internal/mails`: the notification agent reads on from a number.

use std::time::Duration;

use axum::{
    Json,
    extract::{Query, State, rejection::QueryRejection},
    response::{IntoResponse, Response},
};
use dropmate_identity::{Identity, MAILS_MAX, Mail, MailPage};
use dropmate_live::Topic;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::answer::{said, told};
use crate::{
    error::{ApiError, Result},
    state::AppState,
};

/// Mails of a page unless the caller says otherwise.
const LIMIT_DEFAULT: u32 = 100;
/// How long the caller may have us wait for news: shorter than any proxy's patience.
const WAIT_MAX: u64 = 25;
/// How often we look while waiting, besides being woken: a wake-up is only a hint, and may be lost.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// From where on, and how much.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Asked {
    #[serde(default)]
    after: i64,
    limit: Option<u32>,
    /// Seconds to wait for the first mail.
    #[serde(default)]
    wait: u64,
}

/// A mail as the agent reads it. Its link is not in it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Pulled<'a> {
    seq: i64,
    id: &'a str,
    kind: &'a str,
    email: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    locale: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<&'a str>,
    at: Timestamp,
    expires_at: Timestamp,
}

impl<'a> From<&'a Mail> for Pulled<'a> {
    fn from(mail: &'a Mail) -> Self {
        Self {
            seq: mail.seq,
            id: &mail.id,
            kind: &mail.kind,
            email: &mail.email,
            locale: mail.letter.locale.as_deref(),
            namespace: mail.namespace.as_deref(),
            role: mail.letter.role.as_deref(),
            by: mail.letter.by.as_deref(),
            at: mail.at,
            expires_at: mail.expires_at,
        }
    }
}

/// `GET /v1/internal/mails?after=SEQ&limit=&wait=SECONDS` → `{mails: […], next}`.
pub(crate) async fn after(State(state): State<AppState>, asked: Result<Query<Asked>, QueryRejection>) -> Response {
    let answer = async {
        let Query(asked) = asked.map_err(|error| ApiError::bad_request(error.body_text()))?;
        let limit = asked.limit.unwrap_or(LIMIT_DEFAULT);
        if !(1..=MAILS_MAX).contains(&limit) {
            return Err(ApiError::bad_request(format!("limit: {limit} is not between 1 and {MAILS_MAX}")));
        }
        if asked.wait > WAIT_MAX {
            return Err(ApiError::bad_request(format!("wait: {} is more than {WAIT_MAX} seconds", asked.wait)));
        }
        let wait = Duration::from_secs(asked.wait);
        let Some(identity) = &state.identity else {
            // In memory nobody has an account: there is nothing to send, ever.
            let _ = tokio::time::timeout(wait, state.shutdown.cancelled()).await;
            return Ok(Json(json!({"mails": [], "next": asked.after})).into_response());
        };
        let page = waited(&state, identity, asked.after, limit, wait).await?;
        let mails: Vec<Pulled<'_>> = page.mails.iter().map(Pulled::from).collect();
        Ok(Json(json!({"mails": mails, "next": page.next})).into_response())
    };
    told(answer.await)
}

/// The next page, as soon as it has anything, or when the time is up.
async fn waited(state: &AppState, identity: &Identity, after: i64, limit: u32, wait: Duration) -> Result<MailPage> {
    let until = Instant::now() + wait;
    let mut woken = state.live.woken(Topic::Events);
    loop {
        woken.mark_unchanged();
        let page = identity.mails_after(after, limit).await.map_err(said)?;
        // A reader whose number is not from here hears so at once.
        if !page.mails.is_empty() || page.next < after || Instant::now() >= until {
            return Ok(page);
        }
        tokio::select! {
            biased;
            () = state.shutdown.cancelled() => return Ok(page),
            _ = timeout_at(until.min(Instant::now() + LOOK_EVERY), woken.changed()) => {}
            () = sleep_until(until) => {}
        }
    }
}
