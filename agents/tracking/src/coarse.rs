//! `Driver.status.position`: where a driver is, roughly. Written seldom, because each write wakes everybody who watches.

use dropmate_api::{Location, driver::Position};
use dropmate_planning::meters;
use jiff::SignedDuration;

use crate::fix::Fix;

/// A driver who is this far from where the status says …
pub const FAR_METERS: f64 = 500.0;

/// … is written anew, this long after the last time.
pub const PAUSE: SignedDuration = SignedDuration::from_secs(60);

/// The position that should stand in the status. `stopped`: something happened at a stop, or the driver went on or off
/// duty, since `shown` was written.
pub fn position(shown: Option<&Position>, newest: &Fix, stopped: bool) -> Option<Position> {
    let next = Position { latitude: newest.place.latitude, longitude: newest.place.longitude, at: newest.at };
    let Some(shown) = shown else { return Some(next) };
    if newest.at <= shown.at {
        return None;
    }
    let far = meters(Location { latitude: shown.latitude, longitude: shown.longitude }, newest.place) > FAR_METERS;
    let rested = newest.at.duration_since(shown.at) >= PAUSE;
    (stopped || far && rested).then_some(next)
}
