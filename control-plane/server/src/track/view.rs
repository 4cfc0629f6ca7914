//! What a customer sees of a delivery, as a function of what is known now.
//!
//! The rule about the driver's position is the reason for this file. It is shown while the phase is one of those that the
//! order shows it in, while this order is the driver's current stop, only if it was taken since, and not at the door of the
//! one before: a customer never sees where the driver was before, at whose doors the others live, or where the driver goes
//! next.

use dropmate_api::{
    Driver, Location, Order, Phase,
    driver::{RouteStop, first_name},
    order::{Attempt, Custody, StopKind, StopState, StopStatus, Stops, binding::bound_driver},
};
use dropmate_live::Position;
use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::Serialize;

use super::sketch::meters;

/// A position that is older is not shown: the driver is elsewhere by now.
const HIDDEN_AFTER: SignedDuration = SignedDuration::from_mins(15);
/// One that is older than this is said to be old.
pub(super) const OLD_AFTER: SignedDuration = SignedDuration::from_mins(2);
/// Around the stop before, so many metres are somebody else's door: a block, and what a phone may be wrong by.
const DOORSTEP_METERS: f64 = 150.0;
/// How wrong an expected time may be: a share of the time until then, and at least and at most so much.
const UNSURE_SHARE: f64 = 0.2;
const UNSURE_MIN: SignedDuration = SignedDuration::from_mins(3);
const UNSURE_MAX: SignedDuration = SignedDuration::from_mins(15);
/// Times are told in steps: nobody believes in a minute.
const STEP_SECONDS: i64 = 300;

/// All that is known, at a moment (business time).
#[derive(Clone, Copy, Debug)]
pub(super) struct Known<'a> {
    pub(super) order: &'a Order,
    /// The driver that it is bound to.
    pub(super) driver: Option<&'a Driver>,
    /// The other orders that are bound to that driver and not over.
    pub(super) others: &'a [Order],
    /// Where the driver was last for each of the other orders, also for those that are over or somebody else's by now.
    pub(super) visits: &'a [Visit],
    /// When something changed last of which order is the driver's current stop: another order, or the plan.
    pub(super) turned: Option<Timestamp>,
    pub(super) position: Option<&'a Position>,
    pub(super) now: Timestamp,
}

/// A driver was at a stop.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Visit {
    pub(super) at: Timestamp,
    pub(super) place: Location,
}

/// What is shown.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct View {
    pub(super) phase: Phase,
    /// When the goods are expected; null where nobody knows, and at the end.
    pub(super) eta: Option<Expected>,
    /// How many stops of other orders come before; null where nobody knows, and at the end.
    pub(super) stops_before: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) driver: Option<SeenDriver>,
    pub(super) timeline: Vec<Entry>,
}

/// Between when and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(super) struct Expected {
    pub(super) earliest: Timestamp,
    pub(super) latest: Timestamp,
}

/// Who brings it.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct SeenDriver {
    pub(super) first_name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) position: Option<Location>,
    /// When the driver was there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) position_at: Option<Timestamp>,
}

/// Something that happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(super) struct Entry {
    pub(super) at: Timestamp,
    pub(super) what: What,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) enum What {
    Placed,
    Assigned,
    DriverAtPickup,
    PickedUp,
    OutForDelivery,
    AtTheDoor,
    AttemptFailed,
    Returning,
    Delivered,
    Returned,
    Cancelled,
    Failed,
    Expired,
}

impl View {
    /// Where the driver is, if that is shown.
    pub(super) fn position(&self) -> Option<(Location, Timestamp)> {
        let driver = self.driver.as_ref()?;
        driver.position.zip(driver.position_at)
    }

    /// The same without where the driver is exactly: what changes seldom.
    pub(super) fn without_position(&self) -> Self {
        let mut rest = self.clone();
        if let Some(driver) = &mut rest.driver {
            driver.position = driver.position.map(|_| Location { latitude: 0.0, longitude: 0.0 });
            driver.position_at = None;
        }
        rest
    }
}

/// What the customer sees.
pub(super) fn view(known: &Known<'_>) -> View {
    let Known { order, now, .. } = *known;
    let phase = order.phase();
    let on_the_way = (Phase::Assigned..=Phase::AtDropoff).contains(&phase);
    View {
        phase,
        eta: expected(order, now).filter(|_| on_the_way && phase != Phase::AtDropoff),
        stops_before: if on_the_way { stops_before(known) } else { None },
        driver: seen_driver(known),
        timeline: timeline(order),
    }
}

/// Between when and when it is expected.
fn expected(order: &Order, now: Timestamp) -> Option<Expected> {
    let eta = order.status.as_ref()?.eta?;
    let ahead = eta.duration_since(now).max(SignedDuration::ZERO);
    let unsure = SignedDuration::try_from_secs_f64(ahead.as_secs_f64() * UNSURE_SHARE).unwrap_or(UNSURE_MAX);
    let unsure = unsure.clamp(UNSURE_MIN, UNSURE_MAX);
    let earliest = stepped(eta.checked_sub(unsure).ok()?, 0)?.max(now);
    // Who is late is not there in the past.
    let latest = stepped(eta.max(now).checked_add(unsure).ok()?, STEP_SECONDS - 1)?;
    Some(Expected { earliest, latest })
}

fn stepped(at: Timestamp, up: i64) -> Option<Timestamp> {
    let second = (at.as_second() + up).div_euclid(STEP_SECONDS) * STEP_SECONDS;
    Timestamp::from_second(second).ok()
}

fn seen_driver(known: &Known<'_>) -> Option<SeenDriver> {
    let Known { order, driver, position, .. } = *known;
    let driver = driver?;
    let from = order.spec.tracking_from.unwrap_or(Phase::OutForDelivery);
    let phase = order.phase();
    // Phases stand in the order of the way; those after the door are not on it.
    if phase < from || phase > Phase::AtDropoff || phase < Phase::Assigned {
        return None;
    }
    // One of that name who was there before is somebody else.
    let is_theirs =
        |position: &&Position| position.uid.is_empty() || driver.metadata.uid.as_ref() == Some(&position.uid);
    let shown = position.filter(is_theirs).filter(|position| is_turn(known) && is_of_this_way(known, from, position));
    Some(SeenDriver {
        first_name: first_name(&driver.spec.display_name).to_owned(),
        position: shown.map(|position| Location { latitude: position.latitude, longitude: position.longitude }),
        position_at: shown.map(|position| position.at),
    })
}

/// Whether a position was taken on the way to this order: not before the phase in which it is shown began, not before this
/// became the current stop, not at the door of the stop before, and not long ago.
fn is_of_this_way(known: &Known<'_>, from: Phase, position: &Position) -> bool {
    let own_pickup = known.order.spec.pickup.location;
    let others = known.others.iter().filter_map(last_visit);
    let before = known.visits.iter().copied().chain(others);
    let since = before.clone().map(|visit| visit.at).chain(known.turned).chain(began(known.order, from)).max();
    let place = Location { latitude: position.latitude, longitude: position.longitude };
    // Goods of several orders are fetched at one place: that is nobody's door.
    let door = before.filter(|visit| visit.place != own_pickup).max_by_key(|visit| visit.at);
    known.now.duration_since(position.at) <= HIDDEN_AFTER
        && since.is_none_or(|since| position.at >= since)
        && door.is_none_or(|door| meters(door.place, place) > DOORSTEP_METERS)
}

/// When the order came to the first phase in which the driver is shown.
fn began(order: &Order, from: Phase) -> Option<Timestamp> {
    let status = order.status.as_ref()?;
    let bound = status.assignment.as_ref().and_then(|assignment| assignment.bound_at);
    let stops = status.stops.clone().unwrap_or_default();
    let then = match from {
        Phase::EnRouteToPickup => stops.pickup.departed_at,
        Phase::AtPickup => stops.pickup.arrived_at,
        Phase::OutForDelivery => stops.pickup.completed_at,
        Phase::AtDropoff => stops.dropoff.arrived_at,
        _ => None,
    };
    bound.max(then)
}

/// Where a driver was last for the order.
pub(super) fn last_visit(order: &Order) -> Option<Visit> {
    let status = order.status.as_ref()?;
    let stops = status.stops.clone().unwrap_or_default();
    visited(order.spec.pickup.location, order.spec.dropoff.location, &stops, &status.attempts)
}

/// The same, of what is needed for it. Attempts tell it also after the stops have begun anew.
pub(super) fn visited(pickup: Location, dropoff: Location, stops: &Stops, attempts: &[Attempt]) -> Option<Visit> {
    let place = |stop: StopKind| match stop {
        StopKind::Pickup => pickup,
        StopKind::Dropoff => dropoff,
    };
    let of_stop = |stop: &StopStatus| stop.arrived_at.max(stop.completed_at);
    let stops = [(StopKind::Pickup, of_stop(&stops.pickup)), (StopKind::Dropoff, of_stop(&stops.dropoff))];
    let tried = attempts.iter().map(|attempt| (attempt.stop, Some(attempt.at)));
    let visits = stops.into_iter().chain(tried).filter_map(|(stop, at)| Some(Visit { at: at?, place: place(stop) }));
    visits.max_by_key(|visit| visit.at)
}

/// A stop that is still to be made.
#[derive(Clone, Copy)]
struct Next {
    stop: StopKind,
    state: StopState,
    /// When it came to that, as the driver says.
    since: Option<Timestamp>,
}

/// The stop of the order that the driver is to make next, and how far that is.
fn next_stop(order: &Order) -> Option<Next> {
    let status = order.status.as_ref()?;
    bound_driver(status)?;
    let stops = status.stops.clone().unwrap_or_default();
    let at = |stop: StopKind, seen: &StopStatus| Next {
        stop,
        state: seen.state,
        since: seen.arrived_at.max(seen.departed_at),
    };
    match (status.phase, status.custody) {
        // Nobody goes anywhere with it until somebody decides.
        (Phase::AttemptFailed, _) => None,
        (Phase::Returning, _) => {
            let since = status.return_started_at;
            let state = if since.is_some() { StopState::EnRoute } else { StopState::Pending };
            Some(Next { stop: StopKind::Pickup, state, since })
        }
        (phase, _) if phase.is_terminal() => None,
        (_, Custody::Driver) => Some(at(StopKind::Dropoff, &stops.dropoff)),
        _ => Some(at(StopKind::Pickup, &stops.pickup)),
    }
}

/// Whether a stop of the plan is still to be made.
fn is_ahead(stop: &RouteStop, order: &Order) -> bool {
    match next_stop(order).map(|next| next.stop) {
        Some(StopKind::Pickup) => stop.stop == StopKind::Pickup || order.phase() != Phase::Returning,
        Some(StopKind::Dropoff) => stop.stop == StopKind::Dropoff,
        None => false,
    }
}

fn named<'a>(known: &Known<'a>, name: &str) -> Option<&'a Order> {
    let is_named = |order: &&Order| order.metadata.name.as_deref() == Some(name);
    std::iter::once(known.order).chain(known.others).find(is_named)
}

fn route<'a>(known: &Known<'a>) -> &'a [RouteStop] {
    known.driver.and_then(|driver| driver.status.as_ref()).map(|status| status.route.as_slice()).unwrap_or_default()
}

/// Whether this order is the driver's current stop.
fn is_turn(known: &Known<'_>) -> bool {
    let Some(mine) = next_stop(known.order) else { return false };
    // Who stands at a door where nobody takes the goods is still there.
    if known.others.iter().any(|other| other.phase() == Phase::AttemptFailed) {
        return false;
    }
    let others = known.others.iter().filter_map(next_stop);
    // What the driver reports counts more than the plan: who is at another door, or has set out for one since, is not on
    // the way to this one.
    let goes_first = |other: Next| (other.state, other.since) > (mine.state, mine.since);
    if others.clone().any(|other| other.state >= StopState::EnRoute && goes_first(other)) {
        return false;
    }
    let first = route(known).iter().find(|stop| named(known, &stop.order).is_some_and(|order| is_ahead(stop, order)));
    match first {
        Some(first) => Some(first.order.as_str()) == known.order.metadata.name.as_deref(),
        // Nobody has planned: then it must be the only one.
        None => others.count() == 0,
    }
}

/// How many stops of other orders the driver makes before this order's door. Stops at the same place are one.
fn stops_before(known: &Known<'_>) -> Option<usize> {
    let mine = known.order.metadata.name.as_deref();
    let ahead = route(known).iter().filter(|stop| named(known, &stop.order).is_some_and(|order| is_ahead(stop, order)));
    let (mut before, mut last) = (0, None);
    for stop in ahead {
        if Some(stop.order.as_str()) == mine {
            if stop.stop == StopKind::Dropoff {
                return Some(before);
            }
            continue;
        }
        if last != Some(stop.location) {
            before += 1;
        }
        last = Some(stop.location);
    }
    is_turn(known).then_some(0)
}

/// What happened so far, the oldest first.
fn timeline(order: &Order) -> Vec<Entry> {
    let status = order.status.clone().unwrap_or_default();
    let Stops { pickup, dropoff } = status.stops.clone().unwrap_or_default();
    let handed_over = dropoff.completed_at.filter(|_| status.custody == Custody::Recipient);
    let end = match status.phase {
        Phase::Delivered => handed_over.or(status.finished_at).map(|at| (at, What::Delivered)),
        Phase::Returned => status.finished_at.map(|at| (at, What::Returned)),
        Phase::Cancelled => status.finished_at.map(|at| (at, What::Cancelled)),
        Phase::Failed => status.finished_at.map(|at| (at, What::Failed)),
        Phase::Expired => status.finished_at.map(|at| (at, What::Expired)),
        _ => None,
    };
    let bound = status.assignment.as_ref().and_then(|assignment| assignment.bound_at);
    let picked_up = pickup.completed_at.filter(|_| status.custody != Custody::Sender);
    let known = [
        (order.placed_at(), What::Placed),
        (bound, What::Assigned),
        (pickup.arrived_at.filter(|_| !pickup.inferred.iter().any(|name| name == "arrivedAt")), What::DriverAtPickup),
        (picked_up, What::PickedUp),
        (dropoff.departed_at.filter(|at| picked_up.is_none_or(|picked_up| *at > picked_up)), What::OutForDelivery),
        (dropoff.arrived_at.filter(|_| !dropoff.inferred.iter().any(|name| name == "arrivedAt")), What::AtTheDoor),
        (status.return_started_at, What::Returning),
    ];
    let known = known.into_iter().filter_map(|(at, what)| Some((at?, what)));
    let attempts = status.attempts.iter().map(|attempt| (attempt.at, What::AttemptFailed));
    let mut entries: Vec<Entry> = known.chain(attempts).chain(end).map(|(at, what)| Entry { at, what }).collect();
    // Of two at the same moment, the one that comes first on the way.
    entries.sort_by_key(|entry| (entry.at, entry.what));
    entries
}

#[cfg(test)]
#[path = "view_tests.rs"]
mod tests;
