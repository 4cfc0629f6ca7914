//! Where a driver was.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Where a driver was at a time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Position {
    /// The driver's namespace.
    pub namespace: String,
    /// The driver's name.
    pub driver: String,
    /// The Driver's uid: another of that name is somebody else. Empty where nobody says.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub uid: String,
    /// When, by the phone (business time).
    pub at: Timestamp,
    /// WGS 84 degrees.
    pub latitude: f64,
    /// WGS 84 degrees.
    pub longitude: f64,
    /// Metres a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub speed_meters_per_second: Option<f64>,
    /// Degrees clockwise from north.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bearing: Option<f64>,
    /// Radius in metres within which the driver is with 68 % probability.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accuracy_meters: Option<f64>,
}
