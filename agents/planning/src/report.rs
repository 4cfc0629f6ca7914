//! What follows for orders and drivers from their present state: bindings that no longer hold, conditions, routes.

use dropmate_api::{Phase, common::ConditionStatus, driver::RouteStop};

use crate::{
    Command, insertion,
    moment::Seconds,
    route::OrderId,
    settle,
    world::{DriverId, Stage, World},
};

/// An expected arrival is written again only when it moved by more than this: every write wakes watchers.
const ETA_TOLERANCE_SECONDS: f64 = 60.0;

/// Why the order must be taken from its driver, if it must. Only before the pickup; a suspended driver goes on.
pub(crate) fn must_unbind(world: &World, order: OrderId, now: Seconds) -> Option<String> {
    let slot = world.order(order);
    let before_pickup =
        matches!(slot.seen.phase(), Phase::Assigned | Phase::EnRouteToPickup) && !world.jobs[order].aboard;
    if !before_pickup {
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

/// The command that brings the condition `Unassignable` in line, if it is not.
pub(crate) fn assignability(world: &World, order: OrderId) -> Option<Command> {
    let slot = world.order(order);
    let held = slot.seen.status.as_ref().and_then(|status| {
        status.conditions.iter().find(|c| c.type_ == "Unassignable" && c.status == ConditionStatus::True)
    });
    let name = || slot.name().to_owned();
    match (&slot.verdict, slot.stage, held) {
        (Some(verdict), Stage::Open, held) if held.is_none_or(|held| held.message != verdict.message) => {
            Some(Command::Unassignable {
                order: name(),
                message: verdict.message.clone(),
                ruled_out: verdict.ruled_out.clone(),
            })
        }
        (None, Stage::Open, Some(_)) | (_, Stage::Bound, Some(_)) => Some(Command::Assignable { order: name() }),
        _ => None,
    }
}

/// The command that brings the driver's status in line, if it differs in meaning.
pub(crate) fn route(world: &World, driver: DriverId) -> Option<Command> {
    let slot = world.driver(driver);
    let status = slot.seen.status.as_ref();
    let active_orders = i32::try_from(slot.bound.len()).unwrap_or(i32::MAX);
    let shown = status.map(|s| s.route.as_slice()).unwrap_or_default();
    let same = status.and_then(|s| s.active_orders).unwrap_or(0) == active_orders && is_same_route(shown, &slot.stops);
    (!same).then(|| Command::Route { driver: slot.name().to_owned(), active_orders, route: slot.stops.clone() })
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
