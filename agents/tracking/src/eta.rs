//! When a driver is expected at each of the stops ahead: a walk over them with the time of each leg.

use dropmate_api::{Location, order::StopKind};
use jiff::{SignedDuration, Timestamp};

use crate::stops::OpenStop;

/// Where the walk begins.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Start {
    /// When the driver was there.
    pub at: Timestamp,
    /// Where.
    pub place: Location,
}

/// A way between two places.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Leg {
    /// From here.
    pub from: Location,
    /// To there.
    pub to: Location,
}

/// The ways from the start through all stops, one for each stop.
pub fn legs(start: Location, stops: &[OpenStop]) -> Vec<Leg> {
    let mut from = start;
    let leg = |stop: &OpenStop| Leg { from: std::mem::replace(&mut from, stop.place), to: stop.place };
    stops.iter().map(leg).collect()
}

/// When the driver arrives at each stop; `seconds` are those of [`legs`].
///
/// What has happened counts as it happened. What was to happen by now and did not, happens now at the earliest. A driver
/// who has not set out leaves now. At a door that opens later he is expected when it opens.
pub fn arrivals(start: Start, stops: &[OpenStop], seconds: &[f64], now: Timestamp) -> Vec<Timestamp> {
    let under_way = stops
        .first()
        .is_some_and(|stop| stop.departed_at.is_some() || stop.returns || stop.id.kind == StopKind::Dropoff);
    let mut free_at = if under_way { start.at.min(now) } else { now };
    let mut expected = Vec::with_capacity(stops.len());
    // The visit under way: its first stop, and when the driver is done there.
    let mut visit: Option<(usize, Timestamp)> = None;
    for (index, (stop, seconds)) in stops.iter().zip(seconds).enumerate() {
        let mate = visit.filter(|(first, _)| stops[*first].is_same_visit(stop));
        let arrival = match (stop.arrived_at, mate) {
            (Some(arrived), _) => arrived,
            (None, Some((first, _))) => expected[first],
            (None, None) => whole(after(free_at, *seconds).max(now)),
        };
        let opened = arrival.max(stop.opens_at.unwrap_or(arrival));
        let service = stop.service_seconds as f64;
        // Parking and asking happen while the goods are being made; before a closed door nothing does.
        let mut done = match stop.id.kind {
            StopKind::Pickup => after(arrival, service).max(opened),
            StopKind::Dropoff => after(opened, service),
        };
        // The goods of a visit are handed over together: the longest service counts, once.
        if let Some((_, mates_done)) = mate {
            done = done.max(mates_done);
        }
        visit = Some((mate.map_or(index, |(first, _)| first), done));
        free_at = done.max(now);
        let at_the_door = stop.id.kind == StopKind::Dropoff && stop.arrived_at.is_none();
        expected.push(if at_the_door { opened } else { arrival });
    }
    expected
}

/// That many seconds later; the end of the calendar where it lies beyond.
fn after(at: Timestamp, seconds: f64) -> Timestamp {
    /// Longer than any drive: what a broken travel time is cut to.
    const LONGEST: f64 = 30.0 * 86_400.0;
    let seconds = if seconds.is_finite() { seconds.clamp(0.0, LONGEST) } else { LONGEST };
    at.checked_add(SignedDuration::from_secs(seconds.round() as i64)).unwrap_or(Timestamp::MAX)
}

/// The first whole second that is not before: an estimate has no fractions.
fn whole(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second() + i64::from(at.subsec_nanosecond() > 0)).unwrap_or(at)
}
