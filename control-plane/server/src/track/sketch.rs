//! An uncomplicated sketch of the driver's approach: the door in the middle, and how far and in which direction the driver
//! is. No map: nobody else hears of the delivery, and it costs a cheap phone nothing.

use dropmate_api::Location;

/// Metres in a degree of latitude.
const PER_DEGREE: f64 = 111_320.0;
/// Metres at the outer ring; the smallest is taken that holds the driver.
const RINGS: [f64; 8] = [500.0, 1_000.0, 2_000.0, 5_000.0, 10_000.0, 20_000.0, 50_000.0, 100_000.0];
/// The outer ring's radius in the drawing, whose sides are 200.
const EDGE: f64 = 88.0;

/// Where the driver's dot is; y grows downwards.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Sketch {
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) meters: f64,
    /// What the outer ring stands for.
    pub(super) ring: f64,
}

/// The sketch of a driver who comes to a door. What is near is drawn larger than what is far.
pub(super) fn sketch(home: Location, driver: Location) -> Sketch {
    let (east, north) = offset(home, driver);
    let meters = east.hypot(north);
    let ring = RINGS.into_iter().find(|ring| meters <= *ring).unwrap_or(RINGS[RINGS.len() - 1]);
    let radius = EDGE * (meters / ring).sqrt().min(1.0);
    let scale = if meters > 0.0 { radius / meters } else { 0.0 };
    Sketch { x: east * scale, y: -north * scale, meters, ring }
}

/// How far one place is from another, within a town.
pub(super) fn meters(from: Location, to: Location) -> f64 {
    let (east, north) = offset(from, to);
    east.hypot(north)
}

/// Metres to the east and to the north.
fn offset(from: Location, to: Location) -> (f64, f64) {
    let mut east = to.longitude - from.longitude;
    // Over the date line the short way.
    if east.abs() > 180.0 {
        east -= 360.0_f64.copysign(east);
    }
    (east * PER_DEGREE * from.latitude.to_radians().cos(), (to.latitude - from.latitude) * PER_DEGREE)
}

/// A distance as people say it, with that decimal sign: `350 m`, `1.2 km`, `14 km`.
pub(super) fn distance(meters: f64, decimal: char) -> String {
    if meters < 950.0 {
        return format!("{:.0} m", ((meters / 50.0).round() * 50.0).max(50.0));
    }
    let kilometers = meters / 1_000.0;
    if meters < 9_950.0 {
        format!("{kilometers:.1} km").replace('.', &decimal.to_string())
    } else {
        format!("{kilometers:.0} km")
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const HOME: Location = Location { latitude: 43.65, longitude: -79.38 };

    #[rstest]
    #[case::north(0.01, 0.0, 0.0, -1.0)]
    #[case::south(-0.01, 0.0, 0.0, 1.0)]
    #[case::east(0.0, 0.01, 1.0, 0.0)]
    #[case::west(0.0, -0.01, -1.0, 0.0)]
    fn north_is_up(#[case] north: f64, #[case] east: f64, #[case] x: f64, #[case] y: f64) {
        let driver = Location { latitude: HOME.latitude + north, longitude: HOME.longitude + east };
        let drawn = sketch(HOME, driver);
        let length = drawn.x.hypot(drawn.y);
        assert!((drawn.x / length - x).abs() < 1e-6 && (drawn.y / length - y).abs() < 1e-6, "{drawn:?}");
        assert!(length <= EDGE && drawn.meters <= drawn.ring);
    }

    #[test]
    fn who_is_there_is_in_the_middle_and_who_is_far_at_the_edge() {
        assert_eq!(sketch(HOME, HOME), Sketch { x: 0.0, y: 0.0, meters: 0.0, ring: 500.0 });
        let far = sketch(HOME, Location { latitude: 10.0, longitude: -79.38 });
        assert!((far.x.hypot(far.y) - EDGE).abs() < 1e-6, "{far:?}");
        let (fiji, samoa) =
            (Location { latitude: -17.0, longitude: 179.9 }, Location { latitude: -17.0, longitude: -179.9 });
        assert!(sketch(fiji, samoa).meters < 25_000.0, "over the date line");
    }

    #[rstest]
    #[case(3.0, "50 m")]
    #[case(349.0, "350 m")]
    #[case(949.0, "950 m")]
    #[case(1_234.0, "1,2 km")]
    #[case(14_400.0, "14 km")]
    fn a_distance_is_told_as_people_say_it(#[case] meters: f64, #[case] told: &str) {
        assert_eq!(distance(meters, ','), told);
    }
}
