//! `POST /v1/me/positions`: where a driver's phone was.

use axum::{
    Json,
    body::Body,
    extract::State,
    response::{IntoResponse, Response},
};
use dropmate_ingest::{Detail, Fix};
use http::HeaderMap;
use jiff::Timestamp;
use serde::Deserialize;

use super::{Me, list, told};
use crate::{ingest, state::AppState};

/// Positions in a request: a quarter of an hour at one a second.
const POSITIONS_MAX: usize = 1_000;

/// A position as a phone tells it. Fields that are not known are passed over: phones send much.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Told {
    #[serde(alias = "timestamp")]
    at: Timestamp,
    latitude: f64,
    longitude: f64,
    speed_meters_per_second: Option<f64>,
    bearing: Option<f64>,
    accuracy_meters: Option<f64>,
    altitude_meters: Option<f64>,
    battery: Option<f64>,
}

impl From<Told> for Fix {
    fn from(told: Told) -> Self {
        let detail = Detail {
            speed_meters_per_second: told.speed_meters_per_second,
            bearing: told.bearing,
            accuracy_meters: told.accuracy_meters,
            altitude_meters: told.altitude_meters,
            battery: told.battery,
            source: "me".to_owned(),
        };
        Self { at: told.at, latitude: told.latitude, longitude: told.longitude, detail }
    }
}

/// `POST /v1/me/positions {positions: […]}` → 200 `{accepted, duplicate, rejected}` when they are durable. What cannot be
/// read or makes no sense is counted and dropped, never the rest with it.
pub(crate) async fn keep(State(state): State<AppState>, me: Me, headers: HeaderMap, body: Body) -> Response {
    let answer = async {
        let positions = list::read(&headers, body, "positions", POSITIONS_MAX).await?;
        let all = positions.len();
        let read = |position| serde_json::from_value::<Told>(position).ok().map(Fix::from);
        let fixes: Vec<Fix> = positions.into_iter().filter_map(read).collect();
        let unread = all - fixes.len();
        let counts = ingest::keep(&state, "me", &me.namespace, &me.driver, fixes, unread).await?;
        Ok(Json(counts).into_response())
    };
    told(answer.await)
}
