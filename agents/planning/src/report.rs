//! What follows for orders and drivers from their present state: bindings that no longer hold, conditions, routes.

use dropmate_api::{
    DispatchPolicySpec,
    driver::{Availability, RouteStop},
};

use crate::{
    Command,
    fleet::Limit,
    insertion,
    moment::Seconds,
    route::OrderId,
    settle,
    world::{DriverSlot, Stage, UNASSIGNABLE, World},
};

/// An expected arrival is written again only when it moved by more than this: every write wakes watchers.
const ETA_TOLERANCE_SECONDS: f64 = 60.0;

/// Why the order must be taken from its driver, if it must. Only before the pickup; a suspended driver goes on.
pub(crate) fn must_unbind(world: &World, order: OrderId, now: Seconds) -> Option<String> {
    let slot = world.order(order);
    if !slot.before_pickup {
        return None;
    }
    let holder = slot.holder_name()?;
    let Some(driver) = slot.holder else {
        return Some(format!("{holder} is no driver here any more"));
    };
    if let Some(pin) = slot.seen.spec.driver_name.as_deref() {
        return (pin != holder).then(|| format!("the order is pinned to {pin}"));
    }
    let candidate = world.driver(driver);
    // A break is over soon; who has gone home fetches nothing.
    let availability = candidate.seen.status.as_ref().and_then(|status| status.availability);
    if availability == Some(Availability::Offline) {
        return Some(format!("{holder} {}", Limit::OffDuty.phrase(false)));
    }
    if silent_until(candidate, &world.policy).is_some_and(|until| until <= now) {
        return Some(format!("{holder} {}", Limit::Silent.phrase(false)));
    }
    if let Some(limit) = candidate.fitness.unfit(&slot.seen, &world.jobs[order]) {
        return Some(format!("{holder} {}", limit.phrase(false)));
    }
    let off_shift = || Some(format!("{holder}'s shift ends before the pickup"));
    match candidate.fitness.shift_from(now) {
        Some((start, end)) if start <= now => {
            let bound: Vec<_> = candidate.legs.iter().filter(|leg| leg.bound).copied().collect();
            let (pickup, _) = insertion::times(&settle::walker(world, driver, now), &bound, order);
            if pickup.is_some_and(|pickup| pickup > end) { off_shift() } else { None }
        }
        _ => off_shift(),
    }
}

/// Until when a silent driver keeps what is not fetched yet, where the policy says so.
pub(crate) fn silent_until(slot: &DriverSlot, policy: &DispatchPolicySpec) -> Option<Seconds> {
    Some(slot.fitness.silent_since? + policy.unbind_silent_seconds?)
}

/// The command that brings the condition `Unassignable` in line, if it is not.
pub(crate) fn assignability(world: &World, order: OrderId) -> Option<Command> {
    let slot = world.order(order);
    let name = || slot.name().to_owned();
    let says = |message: &str| {
        let conditions = slot.seen.status.iter().flat_map(|status| &status.conditions);
        conditions.into_iter().any(|c| c.type_ == UNASSIGNABLE && c.message == message)
    };
    match (&slot.verdict, slot.stage, slot.unassignable) {
        (Some(verdict), Stage::Open, held) if !held || !says(&verdict.message) => Some(Command::Unassignable {
            order: name(),
            message: verdict.message.clone(),
            ruled_out: verdict.ruled_out.clone(),
        }),
        (None, Stage::Open, true) | (_, Stage::Bound, true) => Some(Command::Assignable { order: name() }),
        _ => None,
    }
}

/// Whether the driver's status shows something else than what is planned.
pub(crate) fn is_route_due(slot: &DriverSlot) -> bool {
    let status = slot.seen.status.as_ref();
    let shown = status.map(|s| s.route.as_slice()).unwrap_or_default();
    status.and_then(|s| s.active_orders).unwrap_or(0) != active_orders(slot) || !is_same_route(shown, &slot.stops)
}

/// The command that brings the driver's status in line.
pub(crate) fn route(slot: &DriverSlot) -> Command {
    Command::Route { driver: slot.name().to_owned(), active_orders: active_orders(slot), route: slot.stops.clone() }
}

fn active_orders(slot: &DriverSlot) -> i32 {
    i32::try_from(slot.bound.len()).unwrap_or(i32::MAX)
}

fn is_same_route(shown: &[RouteStop], wanted: &[RouteStop]) -> bool {
    shown.len() == wanted.len()
        && shown.iter().zip(wanted).all(|(shown, wanted)| {
            let moved = match (shown.eta, wanted.eta) {
                (Some(shown), Some(wanted)) => wanted.duration_since(shown).abs().as_secs_f64() > ETA_TOLERANCE_SECONDS,
                (shown, wanted) => shown != wanted,
            };
            shown.order == wanted.order && shown.stop == wanted.stop && shown.location == wanted.location && !moved
        })
}
