//! `GET /v1/internal/events`: the notification agent reads on from a revision.

use std::time::Duration;

use axum::{
    Json,
    extract::{Query, State, rejection::QueryRejection},
    response::{IntoResponse, Response},
};
use dropmate_store::{ReadError, Revision};
use serde::Deserialize;
use serde_json::json;
use tokio::time::{Instant, timeout_at};

use super::read::{self, Page};
use crate::{
    error::{ApiError, Result},
    gateway::{Surface, refused},
    state::AppState,
};

/// Revisions looked at for one page unless the caller says otherwise, and at most: some megabytes of orders.
const LIMIT_DEFAULT: usize = 500;
const LIMIT_MAX: usize = 1_000;
/// How long the caller may have us wait for news: shorter than any proxy's patience.
const WAIT_MAX: u64 = 25;
/// What a caller says who begins now.
const LATEST: &str = "latest";

/// From where on, and how much.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Asked {
    /// A revision, or `latest`.
    after: String,
    limit: Option<usize>,
    /// Seconds to wait for the first event.
    #[serde(default)]
    wait: u64,
    /// The history that the revision is of, where the caller knows it.
    epoch: Option<String>,
}

/// `GET /v1/internal/events?after=REVISION|latest&limit=&wait=SECONDS&epoch=` → `{epoch, events: […], next, newest}`.
pub(crate) async fn after(
    State(state): State<AppState>,
    asked: std::result::Result<Query<Asked>, QueryRejection>,
) -> Response {
    let answer = async {
        let Query(asked) = asked.map_err(|error| ApiError::bad_request(error.body_text()))?;
        let limit = asked.limit.unwrap_or(LIMIT_DEFAULT);
        if !(1..=LIMIT_MAX).contains(&limit) {
            return Err(ApiError::bad_request(format!("limit: {limit} is not between 1 and {LIMIT_MAX}")));
        }
        if asked.wait > WAIT_MAX {
            return Err(ApiError::bad_request(format!("wait: {} is more than {WAIT_MAX} seconds", asked.wait)));
        }
        let (epoch, newest) = read::history(&state.store).await?;
        let page = if asked.after == LATEST {
            Page { events: Vec::new(), next: newest, newest }
        } else {
            let after: Revision = asked.after.parse().map_err(|_| {
                ApiError::bad_request(format!("after: {:?} is neither a revision nor {LATEST:?}", asked.after))
            })?;
            if asked.epoch.as_ref().is_some_and(|known| *known != epoch) {
                let why = "that revision is of another history: begin anew with after=latest".to_owned();
                return Err(gone(&state, why, &epoch).await?);
            }
            match waited(&state, &epoch, after, limit, Duration::from_secs(asked.wait)).await {
                Ok(page) => page,
                Err(ReadError::Expired { asked, floor }) => {
                    let why = format!("what happened after {asked} is gone; the oldest is {floor}");
                    return Err(gone(&state, why, &epoch).await?);
                }
                Err(ReadError::Future { asked, newest }) => {
                    let why = format!("{asked} has never been, the newest is {newest}: this is another history");
                    return Err(gone(&state, why, &epoch).await?);
                }
                Err(error) => return Err(error.into()),
            }
        };
        let Page { events, next, newest } = page;
        Ok(Json(json!({"epoch": epoch, "events": events, "next": next, "newest": newest})).into_response())
    };
    answer.await.unwrap_or_else(|error| refused(&error, Surface::Tasks))
}

/// 410: the caller has to begin elsewhere, and is told where that may be.
async fn gone(state: &AppState, why: String, epoch: &str) -> Result<ApiError> {
    let oldest = read::oldest(&state.store).await?;
    let newest = state.store.revision();
    Ok(ApiError::expired(why).telling("oldest", oldest).telling("newest", newest).telling("epoch", epoch))
}

/// The next page, as soon as it has anything, or when the time is up.
async fn waited(
    state: &AppState,
    epoch: &str,
    after: Revision,
    limit: usize,
    wait: Duration,
) -> std::result::Result<Page, ReadError> {
    let until = Instant::now() + wait;
    let mut revisions = state.store.revisions();
    let mut after = after;
    loop {
        revisions.mark_unchanged();
        let page = read::after(&state.store, &state.clock, epoch, after, limit).await?;
        if !page.events.is_empty() || Instant::now() >= until || state.shutdown.is_cancelled() {
            return Ok(page);
        }
        // What others have written meanwhile is nothing that events follow from.
        after = page.next;
        if page.next < page.newest {
            continue;
        }
        tokio::select! {
            biased;
            () = state.shutdown.cancelled() => return Ok(page),
            changed = timeout_at(until, revisions.changed()) => if !matches!(changed, Ok(Ok(()))) {
                return Ok(page);
            }
        }
    }
}
