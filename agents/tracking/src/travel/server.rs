//! Asking OSRM and Valhalla for one way. The operator names the server, so it may be anywhere; it is not followed elsewhere,
//! and an answer is small or none.

use std::time::Duration;

use dropmate_api::VehicleType;
use reqwest::{Client, StatusCode, redirect};
use serde_json::{Value, json};

use super::Source;
use crate::eta::Leg;

/// The largest answer that is read: one way without its geometry has a few kilobytes.
const ANSWER_MAX: usize = 256 * 1024;

/// A server that tells travel times.
#[derive(Debug)]
pub(super) struct Server {
    client: Client,
    source: Source,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum AskError {
    /// It did not come. The address asked for has places in it and is left out.
    #[error("{}", chain(.0))]
    Http(reqwest::Error),
    #[error("status {0}")]
    Status(StatusCode),
    #[error("more than {ANSWER_MAX} bytes")]
    TooLong,
    #[error("an answer without a duration")]
    Unreadable,
}

fn chain(error: &reqwest::Error) -> String {
    dropmate_agent::reach::chain(error)
}

impl Server {
    /// `None` for the straight line.
    pub(super) fn new(source: &Source, timeout: Duration) -> Result<Option<Self>, reqwest::Error> {
        if *source == Source::StraightLine {
            return Ok(None);
        }
        let client = Client::builder()
            .timeout(timeout)
            .connect_timeout(timeout)
            .redirect(redirect::Policy::none())
            .no_proxy()
            .build()?;
        Ok(Some(Self { client, source: source.clone() }))
    }

    pub(super) fn name(&self) -> &'static str {
        match self.source {
            Source::StraightLine => "straightLine",
            Source::Osrm(_) => "osrm",
            Source::Valhalla(_) => "valhalla",
        }
    }

    /// Seconds of the way; `None` if there is no road.
    pub(super) async fn seconds(&self, vehicle: VehicleType, leg: &Leg) -> Result<Option<f64>, AskError> {
        let Leg { from, to } = leg;
        let request = match &self.source {
            Source::StraightLine => return Ok(None),
            Source::Osrm(url) => {
                let profile = match vehicle {
                    VehicleType::Bicycle => "bike",
                    VehicleType::Foot => "foot",
                    _ => "car",
                };
                let places = format!("{},{};{},{}", from.longitude, from.latitude, to.longitude, to.latitude);
                self.client.get(format!("{url}/route/v1/{profile}/{places}?overview=false&steps=false"))
            }
            Source::Valhalla(url) => {
                let costing = match vehicle {
                    VehicleType::Bicycle => "bicycle",
                    VehicleType::Foot => "pedestrian",
                    VehicleType::Motorcycle => "motorcycle",
                    VehicleType::Truck => "truck",
                    VehicleType::Car | VehicleType::Van => "auto",
                };
                let place = |place: &dropmate_api::Location| json!({"lat": place.latitude, "lon": place.longitude});
                let asked = json!({
                    "locations": [place(from), place(to)], "costing": costing, "directions_type": "none",
                });
                self.client.post(format!("{url}/route")).json(&asked)
            }
        };
        let mut response = request.send().await.map_err(|error| AskError::Http(error.without_url()))?;
        let status = response.status();
        let mut body = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(|error| AskError::Http(error.without_url()))? {
            if body.len() + piece.len() > ANSWER_MAX {
                return Err(AskError::TooLong);
            }
            body.extend_from_slice(&piece);
        }
        let answer: Value = serde_json::from_slice(&body).unwrap_or_default();
        if no_road(&answer) {
            return Ok(None);
        }
        if !status.is_success() {
            return Err(AskError::Status(status));
        }
        let seconds = match self.source {
            Source::Valhalla(_) => answer.pointer("/trip/summary/time"),
            _ => answer.pointer("/routes/0/duration"),
        };
        let seconds = seconds.and_then(Value::as_f64).filter(|seconds| seconds.is_finite() && *seconds >= 0.0);
        seconds.map(Some).ok_or(AskError::Unreadable)
    }
}

/// Whether the server says that there is no way, which it says with 400.
fn no_road(answer: &Value) -> bool {
    /// Valhalla's numbers for "no path" and "no edges near".
    const NO_PATH: [i64; 2] = [442, 171];
    answer["code"] == "NoRoute"
        || answer["code"] == "NoSegment"
        || answer["error_code"].as_i64().is_some_and(|code| NO_PATH.contains(&code))
}
