//! `GET /v1/internal/positions`: the tracking agent reads on from a number.

use std::time::Duration;

use axum::{
    Json,
    extract::{Query, State, rejection::QueryRejection},
    response::{IntoResponse, Response},
};
use dropmate_ingest::{PAGE_MAX, Page};
use dropmate_live::Topic;
use serde::Deserialize;
use serde_json::json;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::{Pulled, of};
use crate::{
    error::{ApiError, Result},
    gateway::{Surface, refused},
    state::AppState,
};

/// Positions of a page unless the caller says otherwise.
const LIMIT_DEFAULT: u32 = 1_000;
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
    /// Seconds to wait for the first position.
    #[serde(default)]
    wait: u64,
}

/// `GET /v1/internal/positions?after=SEQ&limit=&wait=SECONDS` → `{positions: […], next, oldest}`.
pub(crate) async fn after(
    State(state): State<AppState>,
    asked: std::result::Result<Query<Asked>, QueryRejection>,
) -> Response {
    let answer = async {
        let Query(asked) = asked.map_err(|error| ApiError::bad_request(error.body_text()))?;
        let limit = asked.limit.unwrap_or(LIMIT_DEFAULT);
        if !(1..=PAGE_MAX).contains(&limit) {
            return Err(ApiError::bad_request(format!("limit: {limit} is not between 1 and {PAGE_MAX}")));
        }
        if asked.wait > WAIT_MAX {
            return Err(ApiError::bad_request(format!("wait: {} is more than {WAIT_MAX} seconds", asked.wait)));
        }
        let page = waited(&state, asked.after, limit, Duration::from_secs(asked.wait)).await?;
        let positions: Vec<Pulled<'_>> = page.positions.iter().map(Pulled::from).collect();
        Ok(Json(json!({"positions": positions, "next": page.next, "oldest": page.oldest})).into_response())
    };
    answer.await.unwrap_or_else(|error| refused(&error, Surface::Tasks))
}

/// The next page, as soon as it has anything, or when the time is up.
async fn waited(state: &AppState, after: i64, limit: u32, wait: Duration) -> Result<Page> {
    let ingest = of(state)?;
    let until = Instant::now() + wait;
    let mut woken = state.live.woken(Topic::Positions);
    loop {
        woken.mark_unchanged();
        let page = ingest.positions_after(after, limit).await.map_err(|error| {
            tracing::warn!(%error, "positions cannot be read");
            ApiError::unavailable("positions cannot be read at the moment")
        })?;
        // A reader whose number is not from here hears so at once.
        if !page.positions.is_empty() || page.next < after || Instant::now() >= until {
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
