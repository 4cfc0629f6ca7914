//! What phones write for a number or a time, read generously: a point that can be read must not be lost to its spelling.

use jiff::{Timestamp, civil::DateTime, tz::TimeZone};
use serde_json::Value;

/// Larger numbers are milliseconds: as seconds they would lie beyond the year 5000.
const SECONDS_BELOW: f64 = 1e11;
const METERS_PER_SECOND_IN_A_KNOT: f64 = 1852.0 / 3600.0;
const KILOMETERS_PER_HOUR_IN_A_METER_PER_SECOND: f64 = 3.6;

/// A number, also where it is written as text.
pub(super) fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

/// A number of an object.
pub(super) fn number_at(object: &Value, field: &str) -> Option<f64> {
    number(object.get(field)?)
}

/// A time: seconds or milliseconds since the epoch, or ISO 8601; without a zone it is UTC.
pub(super) fn time(value: &Value) -> Option<Timestamp> {
    if let Some(number) = number(value) {
        let seconds = if number.abs() < SECONDS_BELOW { number } else { number / 1000.0 };
        // To the millisecond: what is written as a number has no more.
        let milliseconds = (seconds * 1000.0).round();
        if milliseconds.abs() > 1e15 || milliseconds.is_nan() {
            return None;
        }
        #[expect(clippy::cast_possible_truncation, reason = "it is below 1e15")]
        return Timestamp::from_millisecond(milliseconds as i64).ok();
    }
    let text = value.as_str()?.trim();
    let zoned: Option<Timestamp> = text.parse().ok();
    let utc = || text.parse::<DateTime>().ok()?.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp());
    zoned.or_else(utc)
}

/// Metres a second, of knots.
pub(super) fn knots(speed: f64) -> f64 {
    to_thousandths(speed * METERS_PER_SECOND_IN_A_KNOT)
}

/// Metres a second, of kilometres an hour.
pub(super) fn kilometers_per_hour(speed: f64) -> f64 {
    to_thousandths(speed / KILOMETERS_PER_HOUR_IN_A_METER_PER_SECOND)
}

/// From 0 to 1, of per cent.
pub(super) fn percent(level: f64) -> f64 {
    to_thousandths(level / 100.0)
}

/// What was converted is no more exact than what was told.
fn to_thousandths(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    #[rstest]
    #[case(json!(1_764_000_000))]
    #[case(json!("1764000000"))]
    #[case(json!(1_764_000_000_000_i64))]
    #[case(json!("1764000000000"))]
    #[case(json!("2025-11-24T16:00:00Z"))]
    #[case(json!("2025-11-24T16:00:00.000+00:00"))]
    #[case(json!("2025-11-24T18:00:00.000+0200"))]
    #[case(json!("2025-11-24 16:00:00"))]
    fn a_time_is_read_however_it_is_written(#[case] value: Value) {
        assert_eq!(time(&value), Some(Timestamp::from_second(1_764_000_000).unwrap()));
    }

    #[rstest]
    #[case(json!("yesterday"))]
    #[case(json!(null))]
    #[case(json!("NaN"))]
    #[case(json!("inf"))]
    #[case(json!(1e300))]
    #[case(json!([1]))]
    fn what_is_no_time_is_none(#[case] value: Value) {
        assert_eq!(time(&value), None);
    }
}
