//! What the recipient thought of the delivery: said once, when it is over.

use axum::{
    Json,
    body::Bytes,
    extract::{Path, Query, State, rejection::QueryRejection},
    response::{IntoResponse, Response},
};
use dropmate_api::{Phase, order::binding::bound_driver};
use dropmate_ingest::Rating;
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Address, Found, find, network, told};
use crate::{
    body,
    error::{ApiError, Result},
    gateway::SMALL_BODY_MAX,
    ingest,
    state::AppState,
};

/// The best.
pub(super) const STARS_MAX: i64 = 5;
/// As of a driver's note.
pub(super) const COMMENT_CHARS_MAX: usize = 2_000;
/// Ratings on a page.
const PAGE_DEFAULT: i64 = 100;
/// The most that one may ask for.
const PAGE_MAX: i64 = 500;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Said {
    stars: i64,
    comment: Option<String>,
}

/// `POST /v1/track/{token}/rating {stars, comment?}` → 201 `{stars, comment}`; 409 before the end, and if it was said
/// before.
pub(crate) async fn rate(
    State(state): State<AppState>,
    address: Address,
    Path(token): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let answer = async {
        let found = find(&state, network(address), &token).await?;
        if bytes_are_too_many(&body) {
            return Err(ApiError::too_large(SMALL_BODY_MAX));
        }
        if body::media_type(&headers) != "application/json" {
            return Err(ApiError::unsupported_media_type(&["application/json"]));
        }
        let said: Said = serde_json::from_value(body::json(&body)?.value).map_err(|error| {
            ApiError::task(StatusCode::UNPROCESSABLE_ENTITY, format!("the rating cannot be read: {error}"))
        })?;
        let rating = keep(&state, &found, said.stars, said.comment.unwrap_or_default()).await?;
        let told = json!({"stars": rating.stars, "comment": rating.comment});
        Ok((StatusCode::CREATED, Json(told)).into_response())
    };
    told(answer.await)
}

fn bytes_are_too_many(body: &Bytes) -> bool {
    body.len() > SMALL_BODY_MAX
}

/// Keeps what was said, if it may be said now.
pub(super) async fn keep(state: &AppState, found: &Found, stars: i64, comment: String) -> Result<Rating> {
    if !(1..=STARS_MAX).contains(&stars) {
        return Err(ApiError::invalid_field("stars", &format!("{stars} must be from 1 to {STARS_MAX}")));
    }
    let comment = comment.trim().replace("\r\n", "\n");
    if comment.chars().count() > COMMENT_CHARS_MAX {
        return Err(ApiError::invalid_field("comment", &format!("must have at most {COMMENT_CHARS_MAX} characters")));
    }
    if comment.chars().any(|c| c.is_control() && c != '\n') {
        return Err(ApiError::invalid_field("comment", "must have no control characters"));
    }
    if found.order.phase() != Phase::Delivered {
        return Err(ApiError::task(StatusCode::CONFLICT, "a delivery can be rated once it has been delivered"));
    }
    let driver = found.order.status.as_ref().and_then(bound_driver).unwrap_or_default();
    let rating = Rating {
        order_uid: found.link.order_uid.clone(),
        namespace: found.link.namespace.clone(),
        order_name: found.link.order_name.clone(),
        driver: driver.to_owned(),
        stars,
        comment,
        created_at: state.clock.system_now().as_microsecond(),
    };
    if ingest::of(state)?.rate(&rating).await? {
        return Ok(rating);
    }
    Err(ApiError::task(StatusCode::CONFLICT, "this delivery has been rated before"))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Asked {
    driver: Option<String>,
    limit: Option<i64>,
    after: Option<String>,
}

/// `GET /v1/namespaces/{namespace}/ratings?driver=&limit=&after=` → `{items, next?}`, the newest first.
pub(crate) async fn list(
    State(state): State<AppState>,
    Path(namespace): Path<String>,
    query: Result<Query<Asked>, QueryRejection>,
) -> Response {
    let answer = async {
        let ingest = ingest::of(&state)?;
        let Query(asked) =
            query.map_err(|error| ApiError::bad_request(format!("the query cannot be read: {}", error.body_text())))?;
        let limit = asked.limit.unwrap_or(PAGE_DEFAULT);
        if !(1..=PAGE_MAX).contains(&limit) {
            return Err(ApiError::invalid_field("limit", &format!("{limit} must be from 1 to {PAGE_MAX}")));
        }
        let before = match asked.after.as_deref() {
            None => None,
            Some(text) => Some(cursor(text).ok_or_else(|| {
                ApiError::invalid_field("after", &format!("{text:?} is not the `next` of a page before"))
            })?),
        };
        let mut found = ingest.ratings(&namespace, asked.driver.as_deref(), before, limit + 1).await?;
        let more = found.len() as i64 > limit;
        found.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        let mut page = json!({"items": found.iter().map(shown).collect::<Vec<_>>()});
        if let Some(last) = found.last().filter(|_| more) {
            page["next"] = format!("{}.{}", last.created_at, last.order_uid).into();
        }
        Ok(Json(page).into_response())
    };
    answer.await.unwrap_or_else(|error| crate::gateway::refused(&error, crate::gateway::Surface::Tasks))
}

fn cursor(text: &str) -> Option<(i64, &str)> {
    let (at, uid) = text.split_once('.')?;
    Some((at.parse().ok()?, uid))
}

fn shown(rating: &Rating) -> Value {
    json!({
        "order": rating.order_name,
        "driver": rating.driver,
        "stars": rating.stars,
        "comment": rating.comment,
        "createdAt": rating.created(),
    })
}
