//! What tracking tells others: timelines and positions. In process the control plane calls this router itself, otherwise
//! on the admin port.
//!
//! It asks nobody who they are: the control plane has, before it forwards. So the admin port is for the control plane and
//! for those who may read metrics, never public.

use axum::{
    Json, Router,
    extract::{Path, Query, State},
    response::{IntoResponse, Response},
    routing::get,
};
use http::StatusCode;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::json;

use crate::store::{Between, Store};

/// Positions in one answer unless asked for fewer, and at most: a working day of one each ten seconds.
pub const POSITIONS_MAX: u32 = 5_000;

/// `GET /timeline/{namespace}/{name}?uid=` and `GET /positions/{namespace}/{driver}?from&to&limit&recordedSince`.
pub fn routes(store: Store) -> Router {
    Router::new()
        .route("/timeline/{namespace}/{name}", get(timeline))
        .route("/positions/{namespace}/{driver}", get(positions))
        .with_state(store)
}

#[derive(Deserialize)]
struct Of {
    uid: Option<String>,
}

async fn timeline(
    State(store): State<Store>,
    Path((namespace, name)): Path<(String, String)>,
    Query(of): Query<Of>,
) -> Response {
    match store.timeline(&namespace, &name, of.uid.as_deref()).await {
        Ok(lines) => Json(json!({"timeline": lines})).into_response(),
        Err(error) => unavailable(&error),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Which {
    from: Option<Timestamp>,
    to: Option<Timestamp>,
    limit: Option<u32>,
    recorded_since: Option<Timestamp>,
}

async fn positions(
    State(store): State<Store>,
    Path((namespace, driver)): Path<(String, String)>,
    Query(which): Query<Which>,
) -> Response {
    let between = Between {
        from: which.from.unwrap_or(Timestamp::MIN),
        to: which.to.unwrap_or(Timestamp::MAX),
        recorded_since: which.recorded_since.unwrap_or(Timestamp::MIN),
        limit: which.limit.unwrap_or(POSITIONS_MAX).min(POSITIONS_MAX),
    };
    match store.positions(&namespace, &driver, between).await {
        Ok(positions) => Json(json!({"positions": positions})).into_response(),
        Err(error) => unavailable(&error),
    }
}

fn unavailable(error: &sqlx::Error) -> Response {
    tracing::warn!(error = %error, "what tracking keeps could not be read");
    (StatusCode::SERVICE_UNAVAILABLE, "the database of tracking does not answer\n").into_response()
}
