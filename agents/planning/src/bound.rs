//! What a driver is already bound to: where the driver is, and the stops ahead that dispatch does not change.

use dropmate_api::{
    Driver, Order, Phase,
    order::{StopKind, StopState, StopStatus},
};
use jiff::Timestamp;

use crate::{
    insertion,
    job::Job,
    moment::{self, Seconds},
    route::{Errand, Leg, OrderId, Start, Walker},
    travel::{self, Place},
};

/// Where a driver was seen, and when.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Sighting {
    pub(crate) at: Timestamp,
    pub(crate) place: Place,
}

impl Sighting {
    /// The later of the two; the first if they are of one moment.
    pub(crate) fn later(one: Option<Self>, other: Option<Self>) -> Option<Self> {
        match (one, other) {
            (Some(one), Some(other)) => Some(if other.at > one.at { other } else { one }),
            (one, other) => one.or(other),
        }
    }

    /// By the position the tracking agent wrote.
    pub(crate) fn of_driver(driver: &Driver) -> Option<Self> {
        let position = driver.status.as_ref()?.position.as_ref()?;
        let location = dropmate_api::Location { latitude: position.latitude, longitude: position.longitude };
        Some(Self { at: position.at, place: Place::new(location) })
    }

    /// By what the driver last reported about this order.
    pub(crate) fn of_order(order: &Order, job: &Job) -> Option<Self> {
        let status = order.status.as_ref()?;
        let stops = status.stops.as_ref();
        let at_stop = |stop: &StopStatus, place: Place| {
            // A stop is left as soon as the driver sets out for the next; until then its own place is as good as any.
            let place = stop.location.map_or(place, Place::new);
            stop.completed_at.or(stop.arrived_at).map(|at| Self { at, place })
        };
        let departed = |stop: &StopStatus| {
            Some(Self { at: stop.departed_at?, place: Place::new(stop.location?) })
                .filter(|_| stop.arrived_at.is_none())
        };
        let mut seen = None;
        if let Some(stops) = stops {
            for (stop, place) in [(&stops.dropoff, job.dropoff), (&stops.pickup, job.pickup)] {
                seen = Self::later(seen, at_stop(stop, place));
                seen = Self::later(seen, departed(stop));
            }
        }
        let attempt = status.attempts.last().map(|attempt| {
            let stop = if attempt.stop == StopKind::Pickup { job.pickup } else { job.dropoff };
            Self { at: attempt.at, place: attempt.location.map_or(stop, Place::new) }
        });
        Self::later(seen, attempt)
    }
}

/// Whether the order is a driver's work in this phase.
pub(crate) fn is_bound(phase: Phase) -> bool {
    matches!(
        phase,
        Phase::Assigned
            | Phase::EnRouteToPickup
            | Phase::AtPickup
            | Phase::OutForDelivery
            | Phase::AtDropoff
            | Phase::AttemptFailed
            | Phase::Returning
    )
}

/// One bound order.
pub(crate) struct Bound<'a> {
    pub(crate) id: OrderId,
    pub(crate) order: &'a Order,
    pub(crate) job: &'a Job,
}

impl Bound<'_> {
    fn errand(&self) -> Errand {
        match (self.order.phase(), self.job.aboard) {
            (Phase::Returning, _) => Errand::Return,
            (_, true) => Errand::Aboard,
            (_, false) => Errand::Fetch,
        }
    }

    fn stop(&self) -> Option<&StopStatus> {
        let stops = self.order.status.as_ref()?.stops.as_ref()?;
        Some(if self.job.aboard { &stops.dropoff } else { &stops.pickup })
    }

    fn place(&self) -> Place {
        if self.errand() == Errand::Aboard { self.job.dropoff } else { self.job.pickup }
    }

    fn trip(&self) -> Option<&str> {
        self.order.status.as_ref()?.assignment.as_ref()?.trip_id.as_deref()
    }

    fn bound_at(&self) -> Option<Timestamp> {
        self.order.status.as_ref()?.assignment.as_ref()?.bound_at
    }

    /// Whether the driver is at the next stop (`true`) or on the way to it, and since when.
    fn heading(&self) -> Option<(bool, Timestamp)> {
        if self.errand() == Errand::Return {
            return self.order.status.as_ref()?.return_started_at.map(|at| (false, at));
        }
        let stop = self.stop()?;
        match stop.state {
            StopState::Arrived => stop.arrived_at.map(|at| (true, at)),
            StopState::EnRoute => stop.departed_at.map(|at| (false, at)),
            _ => None,
        }
    }
}

/// Where the driver's route begins and the legs that are fixed, in order. `seen` is the driver's last sighting, `home`
/// where a driver is taken to be who was never seen.
pub(crate) fn route(
    walker: &Walker<'_>,
    bound: &[Bound<'_>],
    seen: Option<Sighting>,
    home: Place,
) -> (Start, Vec<Leg>) {
    let place = seen.map_or(home, |seen| seen.place);
    let mut start = Start { at: seen.map_or(Seconds::MIN / 4, |seen| moment::ceil(seen.at)), place, arrival: None };
    // Being somewhere outweighs being on the way; then the latest word counts.
    let heading = bound
        .iter()
        .filter_map(|bound| bound.heading().map(|(there, since)| (bound, there, since)))
        .max_by_key(|(bound, there, since)| (*there, *since, std::cmp::Reverse(bound.order.metadata.name.as_deref())));
    if let Some((target, there, since)) = heading {
        let since = moment::ceil(since);
        let travel = travel::seconds(place, target.place(), walker.fitness.meters_per_second);
        // Where the driver was last seen is where the leg began, or later on the way.
        let left_at = seen.map_or(since, |seen| moment::ceil(seen.at).max(since));
        let arrival = if there { since } else { (left_at + travel).max(walker.now) };
        start = Start { at: arrival, place, arrival: Some(arrival) };
    }
    let target = heading.map(|(target, ..)| target);
    let (first, fixed, rest) = current_trip(bound, target, place);
    let mut legs: Vec<Leg> = first.iter().map(|bound| leg(bound, 0)).collect();
    insertion::arrange(&Walker { start: &start, ..*walker }, &mut legs, fixed);
    for (trip, mates) in (1..).zip(later_trips(rest)) {
        let mut tail: Vec<Leg> = mates.iter().map(|bound| leg(bound, trip)).collect();
        let so_far = legs.len();
        legs.append(&mut tail);
        insertion::arrange(&Walker { start: &start, ..*walker }, &mut legs, so_far);
    }
    (start, legs)
}

fn leg(bound: &Bound<'_>, trip: u32) -> Leg {
    Leg { order: bound.id, trip, errand: bound.errand(), bound: true, forced: false }
}

/// The trip in hand, how many of its legs are locked at the front, and everything else.
fn current_trip<'a, 'b>(
    bound: &'b [Bound<'a>],
    target: Option<&'b Bound<'a>>,
    place: Place,
) -> (Vec<&'b Bound<'a>>, usize, Vec<&'b Bound<'a>>) {
    let carried: Vec<&str> = bound.iter().filter(|b| b.job.aboard).filter_map(Bound::trip).collect();
    let in_hand = |candidate: &Bound<'_>| {
        if candidate.job.aboard {
            return true;
        }
        match target {
            Some(target) if target.id == candidate.id => true,
            // Mates wait at the counter the driver is heading for.
            Some(target) if target.errand() == Errand::Fetch => {
                candidate.job.pickup.is_same_site(target.job.pickup)
                    && (candidate.trip() == target.trip() && target.trip().is_some() || candidate.heading().is_some())
            }
            Some(_) => false,
            // The driver holds part of the trip and still stands where the rest is.
            None => {
                candidate.job.pickup.is_same_site(place) && candidate.trip().is_some_and(|trip| carried.contains(&trip))
            }
        }
    };
    let (mut first, rest): (Vec<_>, Vec<_>) = bound.iter().partition(|candidate| in_hand(candidate));
    let fixed = match target {
        Some(target) if target.errand() != Errand::Fetch => {
            first.sort_by_key(|bound| bound.id != target.id);
            1
        }
        _ => 0,
    };
    (first, fixed, rest)
}

/// What was bound but not begun: by trip, in the order of binding.
fn later_trips<'a, 'b>(rest: Vec<&'b Bound<'a>>) -> Vec<Vec<&'b Bound<'a>>> {
    let mut trips: Vec<Vec<&Bound<'_>>> = Vec::new();
    for candidate in rest {
        let mates = trips.iter_mut().find(|mates| {
            let first = mates[0];
            first.trip().is_some()
                && first.trip() == candidate.trip()
                && first.job.pickup.is_same_site(candidate.job.pickup)
        });
        match mates {
            Some(mates) => mates.push(candidate),
            None => trips.push(vec![candidate]),
        }
    }
    trips.sort_by_key(|mates| {
        let bound_at = mates.iter().filter_map(|bound| bound.bound_at()).min();
        (bound_at, mates.iter().map(|bound| bound.order.metadata.name.clone()).min())
    });
    trips
}
