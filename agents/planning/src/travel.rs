//! How long it takes to get from one place to another. Another source of travel times replaces [`seconds`].
//!
//! A place is a point on the unit sphere, so neither the poles nor the date line is a special case and the spatial
//! index needs no projection: the nearest chord is the nearest great circle.

use dropmate_api::Location;

use crate::moment::Seconds;

/// Mean radius of the Earth.
const EARTH_RADIUS_METERS: f64 = 6_371_008.8;

/// Stops this close to one another are one place: the doors of one building, or the noise of a geocoder.
const SAME_SITE_METERS: f64 = 30.0;

/// A place on Earth.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Place(pub(crate) [f64; 3]);

impl Place {
    /// The place at these degrees.
    pub(crate) fn new(location: Location) -> Self {
        let (latitude, longitude) = (location.latitude.to_radians(), location.longitude.to_radians());
        Self([latitude.cos() * longitude.cos(), latitude.cos() * longitude.sin(), latitude.sin()])
    }

    /// The squared chord on the unit sphere.
    fn chord_squared(self, other: Self) -> f64 {
        let [x, y, z] = [0, 1, 2].map(|axis: usize| self.0[axis] - other.0[axis]);
        x * x + y * y + z * z
    }

    /// Metres along the great circle.
    pub(crate) fn meters_to(self, other: Self) -> f64 {
        let half = self.chord_squared(other).sqrt() / 2.0;
        2.0 * EARTH_RADIUS_METERS * half.min(1.0).asin()
    }

    /// Whether a driver who is at one is at the other.
    pub(crate) fn is_same_site(self, other: Self) -> bool {
        const CHORD: f64 = SAME_SITE_METERS / EARTH_RADIUS_METERS;
        self.chord_squared(other) <= CHORD * CHORD
    }
}

/// Metres along the great circle between two places.
pub fn meters(from: Location, to: Location) -> f64 {
    Place::new(from).meters_to(Place::new(to))
}

/// Seconds from one place to the other over the straight line, rounded up.
pub(crate) fn seconds(from: Place, to: Place, meters_per_second: f64) -> Seconds {
    (from.meters_to(to) / meters_per_second).ceil() as Seconds
}
