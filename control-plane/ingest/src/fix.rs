//! A fix: where a phone says that it was. What makes no sense is told apart here, without a clock of its own.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// Further ahead than this a phone's clock is wrong: such a fix would stay the newest until its time has come, and hide
/// where the driver is.
const AHEAD_MAX: SignedDuration = SignedDuration::from_hours(1);
/// Older fixes say nothing to anybody: the history is kept as long.
const AGE_MAX: SignedDuration = SignedDuration::from_hours(30 * 24);
/// Degrees are kept as whole numbers of this many to one: a centimetre, and the same place is the same number.
pub(crate) const UNITS: f64 = 1e7;
/// Faster than anything that delivers: a receiver that has lost its bearings.
const SPEED_MAX: f64 = 350.0;
/// A circle of this radius in metres says nothing about where somebody is; nothing larger is kept.
const ACCURACY_MAX: f64 = 100_000.0;
/// Metres above or below the sea at which there are no roads.
const ALTITUDE_MAX: f64 = 20_000.0;

/// Where a driver's phone says that it was.
#[derive(Clone, Debug, PartialEq)]
pub struct Fix {
    /// When, by the phone (business time).
    pub at: Timestamp,
    /// WGS 84 degrees.
    pub latitude: f64,
    /// WGS 84 degrees.
    pub longitude: f64,
    /// What else it says.
    pub detail: Detail,
}

/// What else a phone says of a fix.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Detail {
    /// Metres a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub speed_meters_per_second: Option<f64>,
    /// Degrees clockwise from north, below 360.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bearing: Option<f64>,
    /// Radius in metres within which the phone probably is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accuracy_meters: Option<f64>,
    /// Metres above the sea.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub altitude_meters: Option<f64>,
    /// How full the battery is, from 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub battery: Option<f64>,
    /// By which way it came: `me`, `osmand`, `owntracks`, `owntracks/enter`, `overland`, `traccar`.
    pub source: String,
}

/// Why a fix counts for nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Senseless {
    /// No such place, or the zero point that receivers show without a fix.
    #[error("it is at no place on earth where anybody delivers")]
    Place,
    /// Too far ahead.
    #[error("it is more than an hour ahead of the clock")]
    Ahead,
    /// Too old.
    #[error("it is more than 30 days old")]
    Old,
}

impl Fix {
    /// The fix with what makes no sense of its detail left out; refused if the place or the time makes none. `now` is
    /// business time.
    pub fn checked(mut self, now: Timestamp) -> Result<Self, Senseless> {
        let on_earth = (-90.0..=90.0).contains(&self.latitude) && (-180.0..=180.0).contains(&self.longitude);
        if !on_earth || (units(self.latitude), units(self.longitude)) == (0, 0) {
            return Err(Senseless::Place);
        }
        let age = now.duration_since(self.at);
        if age < -AHEAD_MAX {
            return Err(Senseless::Ahead);
        }
        if age > AGE_MAX {
            return Err(Senseless::Old);
        }
        let detail = &mut self.detail;
        // Phones say -1 where they do not know.
        let within = |value: Option<f64>, low: f64, high: f64| value.filter(|value| (low..=high).contains(value));
        detail.speed_meters_per_second = within(detail.speed_meters_per_second, 0.0, SPEED_MAX);
        detail.bearing = within(detail.bearing, 0.0, 360.0).map(|degrees| degrees % 360.0);
        detail.accuracy_meters = within(detail.accuracy_meters, 0.0, ACCURACY_MAX);
        detail.altitude_meters = within(detail.altitude_meters, -ALTITUDE_MAX, ALTITUDE_MAX);
        detail.battery = within(detail.battery, 0.0, 1.0);
        Ok(self)
    }
}

/// Degrees as they are kept.
#[expect(clippy::cast_possible_truncation, reason = "a degree on earth times ten million is far below 2^53")]
pub(crate) fn units(degrees: f64) -> i64 {
    (degrees * UNITS).round() as i64
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    fn fix(latitude: f64, longitude: f64, hours: i64) -> Fix {
        let at = NOW + SignedDuration::from_hours(hours);
        Fix { at, latitude, longitude, detail: Detail::default() }
    }

    #[rstest]
    #[case(fix(43.65, -79.38, 0), Ok(()))]
    #[case(fix(90.0, 180.0, 1), Ok(()))]
    #[case(fix(0.0, -79.38, -720), Ok(()))]
    #[case(fix(0.0, 0.0, 0), Err(Senseless::Place))]
    #[case(fix(0.000_000_01, -0.0, 0), Err(Senseless::Place))]
    #[case(fix(f64::NAN, 1.0, 0), Err(Senseless::Place))]
    #[case(fix(1.0, f64::INFINITY, 0), Err(Senseless::Place))]
    #[case(fix(90.1, 1.0, 0), Err(Senseless::Place))]
    #[case(fix(1.0, -180.1, 0), Err(Senseless::Place))]
    #[case(fix(1.0, 1.0, 25), Err(Senseless::Ahead))]
    #[case(fix(1.0, 1.0, -721), Err(Senseless::Old))]
    fn a_fix_is_somewhere_and_about_now(#[case] fix: Fix, #[case] outcome: Result<(), Senseless>) {
        assert_eq!(fix.checked(NOW).map(|_| ()), outcome);
    }

    #[test]
    fn what_a_phone_does_not_know_is_left_out() {
        let detail = Detail {
            speed_meters_per_second: Some(-1.0),
            bearing: Some(360.0),
            accuracy_meters: Some(f64::NAN),
            altitude_meters: Some(76.5),
            battery: Some(1.5),
            source: "me".to_owned(),
        };
        let kept = Fix { detail, ..fix(1.0, 1.0, 0) }.checked(NOW).unwrap().detail;
        let expected =
            Detail { bearing: Some(0.0), altitude_meters: Some(76.5), source: "me".to_owned(), ..Detail::default() };
        assert_eq!(kept, expected);
    }
}
