//! Where a driver was at a moment, as the phone says.

use dropmate_api::Location;
use jiff::Timestamp;

/// Degrees are kept to a ten-millionth, a centimetre: the same place is the same number in memory and in the database.
const PER_DEGREE: f64 = 1e7;

/// Where a driver was at a moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fix {
    /// When, by the phone (business time).
    pub at: Timestamp,
    /// Where.
    pub place: Location,
    /// The radius in metres within which the driver is with 68 % probability, if the phone says.
    pub accuracy_meters: Option<f64>,
    /// Metres a second, if the phone says.
    pub speed_meters_per_second: Option<f64>,
}

impl Fix {
    /// What makes two fixes of one driver the same one, and their order: by time, then by place.
    pub fn key(&self) -> (i64, i64, i64) {
        (self.at.as_microsecond(), degrees(self.place.latitude), degrees(self.place.longitude))
    }
}

/// Degrees as a whole number of ten-millionths.
pub(crate) fn degrees(value: f64) -> i64 {
    (value * PER_DEGREE).round() as i64
}

/// And back.
pub(crate) fn from_degrees(value: i64) -> f64 {
    value as f64 / PER_DEGREE
}

/// By fix time, each once: phones send late, twice and in any order.
pub fn in_order(mut fixes: Vec<Fix>) -> Vec<Fix> {
    fixes.sort_by_key(Fix::key);
    fixes.dedup_by_key(|fix| fix.key());
    fixes
}
