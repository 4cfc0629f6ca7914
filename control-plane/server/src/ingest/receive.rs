//! `/ingest/{protocol}/{token}`: what tracker apps send. The gateway has found out whose phone it is.
//!
//! These apps drop a point only when they hear that it was taken, and else send the same one for ever. So whatever a known
//! phone sends is taken: what makes no sense is counted. Only what could not be made durable is refused.

use std::collections::HashMap;

use axum::{
    Extension, Json, Router,
    body::Body,
    extract::{Path, State},
    response::{IntoResponse, Response},
    routing::get,
};
use dropmate_api::roles::DRIVER_USER;
use http::{StatusCode, Uri};
use serde_json::json;

use super::{keep, osmand, overland, owntracks, parsed::Parsed, traccar};
use crate::{
    body,
    caller::Caller,
    error::{ApiError, Result},
    gateway::{Surface, refused},
    me::stops_of,
    request_info::decode,
    state::AppState,
};

/// What tracker apps ask.
pub(crate) fn routes(state: AppState) -> Router {
    let receive = || get(receive).post(receive).put(receive);
    Router::new()
        .route("/ingest/{protocol}", receive())
        .route("/ingest/{protocol}/", receive())
        .route("/ingest/{protocol}/{token}", receive())
        .with_state(state)
}

async fn receive(
    State(state): State<AppState>,
    Extension(caller): Extension<Caller>,
    Path(path): Path<HashMap<String, String>>,
    uri: Uri,
    body: Body,
) -> Response {
    let protocol = path.get("protocol").map(String::as_str).unwrap_or_default();
    let answer = take(&state, &caller, protocol, &uri, body).await;
    answer.unwrap_or_else(|error| refused(&error, Surface::Tasks))
}

async fn take(state: &AppState, caller: &Caller, protocol: &str, uri: &Uri, body: Body) -> Result<Response> {
    let driver = caller.user.strip_prefix(DRIVER_USER).and_then(|driver| driver.split_once(':'));
    let (namespace, driver) = driver.ok_or_else(ApiError::unauthorized)?;
    let query = uri.query().unwrap_or_default();
    let body = body::read(body).await?;
    let kept = async |source, Parsed { fixes, unread }| keep(state, source, namespace, driver, fixes, unread).await;
    match protocol {
        "osmand" => {
            kept("osmand", osmand::parse(query, &body, state.clock.business_now())).await?;
            Ok(StatusCode::OK.into_response())
        }
        "owntracks" => {
            let told = owntracks::parse(&body);
            kept("owntracks", told.parsed).await?;
            // That a phone does not hear where to go is no reason to have it send its place again.
            let stops =
                if told.located { stops_of(state, namespace, driver).await.unwrap_or_default() } else { Vec::new() };
            Ok(Json(owntracks::reply(&stops)).into_response())
        }
        "overland" => {
            kept("overland", overland::parse(&body)).await?;
            Ok(Json(json!({"result": "ok"})).into_response())
        }
        "traccar" => {
            let only = query.split('&').find_map(|pair| pair.strip_prefix("device="));
            let only = only.map(|only| decode(&only.replace('+', " ")));
            kept("traccar", traccar::parse(&body, only.as_deref())).await?;
            Ok(Json(json!({})).into_response())
        }
        _ => Err(ApiError::no_such_path()),
    }
}
