//! Asking OSRM and Valhalla for one way. The operator names the server, so it may be private; it is not followed elsewhere,
//! leads to no metadata of a cloud, and an answer is small or none.

use std::time::Duration;

use dropmate_api::VehicleType;
use dropmate_outbound::{Call, CallError, Client, ClientError, Guard, Limits, Trust};
use reqwest::{
    Method, StatusCode, Url,
    header::{CONTENT_TYPE, HeaderValue},
};
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
    #[error(transparent)]
    Http(CallError),
    #[error("the address is no URL")]
    Url,
    #[error("status {0}")]
    Status(StatusCode),
    #[error("more than {ANSWER_MAX} bytes, or an answer that breaks off")]
    TooLong,
    #[error("an answer without a duration")]
    Unreadable,
}

impl Server {
    /// `None` for the straight line.
    pub(super) fn new(source: &Source, timeout: Duration) -> Result<Option<Self>, ClientError> {
        let url = match source {
            Source::StraightLine => return Ok(None),
            Source::Osrm(url) | Source::Valhalla(url) => url,
        };
        let host = Url::parse(url).ok().and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_default();
        let limits = Limits { connect: timeout, total: timeout, answer_bytes: ANSWER_MAX };
        let client = Client::new(Guard::default().naming(&host), &Trust::machine(), limits)?;
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
                let url = format!("{url}/route/v1/{profile}/{places}?overview=false&steps=false");
                Call::new(Method::GET, Url::parse(&url).map_err(|_| AskError::Url)?)
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
                let url = Url::parse(&format!("{url}/route")).map_err(|_| AskError::Url)?;
                Call::new(Method::POST, url)
                    .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
                    .body(asked.to_string())
            }
        };
        let response = self.client.call(request).await.map_err(AskError::Http)?;
        if response.cut {
            return Err(AskError::TooLong);
        }
        let status = response.status;
        let answer: Value = serde_json::from_slice(&response.body).unwrap_or_default();
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
