//! Straight lines over the ground.

use dropmate_api::Location;
use jiff::SignedDuration;

/// Mean radius of the Earth.
const EARTH_RADIUS_METERS: f64 = 6_371_008.8;

/// Closer than this, two places are one: the doors of one building, or the noise of a geocoder.
const SAME_SITE_METERS: f64 = 30.0;

/// Metres along the great circle.
pub(crate) fn meters(from: Location, to: Location) -> f64 {
    let (a, b) = (from.latitude.to_radians(), to.latitude.to_radians());
    let half_lat = (b - a) / 2.0;
    let half_lon = (to.longitude - from.longitude).to_radians() / 2.0;
    let h = half_lat.sin().powi(2) + a.cos() * b.cos() * half_lon.sin().powi(2);
    2.0 * EARTH_RADIUS_METERS * h.sqrt().min(1.0).asin()
}

/// Whether whoever is at one is at the other.
pub(crate) fn same_site(a: Location, b: Location) -> bool {
    meters(a, b) <= SAME_SITE_METERS
}

/// How long the way takes, in whole seconds, rounded up.
pub(crate) fn travel(from: Location, to: Location, meters_per_second: f64) -> SignedDuration {
    SignedDuration::from_secs((meters(from, to) / meters_per_second).ceil() as i64)
}

/// The place at that share of the way; over a city the Earth is flat.
pub(crate) fn between(from: Location, to: Location, share: f64) -> Location {
    let share = share.clamp(0.0, 1.0);
    Location {
        latitude: from.latitude + (to.latitude - from.latitude) * share,
        longitude: from.longitude + (to.longitude - from.longitude) * share,
    }
}

/// The place so many metres east and north of another; for distances of a city.
pub(crate) fn offset(from: Location, east_meters: f64, north_meters: f64) -> Location {
    let north = (north_meters / EARTH_RADIUS_METERS).to_degrees();
    let east = (east_meters / (EARTH_RADIUS_METERS * from.latitude.to_radians().cos())).to_degrees();
    Location { latitude: from.latitude + north, longitude: from.longitude + east }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_offset_is_that_far_away() {
        let here = Location { latitude: 43.65, longitude: -79.38 };
        let there = offset(here, 300.0, 400.0);
        assert!((meters(here, there) - 500.0).abs() < 1.0);
        assert_eq!(travel(here, there, 5.0).as_secs(), 100);
        assert!(same_site(here, offset(here, 10.0, 10.0)));
    }
}
