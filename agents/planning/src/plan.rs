//! Finds a driver for every order that waits for one: cheapest insertion, one order after the other.

use std::cmp::Reverse;

use dropmate_api::policy::DispatchMode;
use jiff::Timestamp;

use crate::{
    candidates::{self, Prospect},
    explain,
    insertion::Insertion,
    limits,
    moment::{self, Seconds},
    route::OrderId,
    settle,
    world::{DriverId, Stage, World},
};

/// An order that found no driver is tried again after this long even if the fleet stays as it is.
pub(crate) const RETRY_SECONDS: Seconds = 30;

/// Plans every order of the queue.
pub(crate) fn insert_queue(world: &mut World, moment: Timestamp) {
    let now = moment.as_second();
    for position in 0..world.order_ids.len() {
        let id = world.order_ids[position];
        let slot = world.order(id);
        if slot.stage == Stage::Open
            && slot.planned.is_none()
            && slot.tried_at.is_some_and(|(at, fleet)| at + RETRY_SECONDS <= now || fleet != world.fleet_version)
        {
            world.queue.push(id);
        }
    }
    let mut queue = std::mem::take(&mut world.queue);
    if queue.is_empty() {
        return;
    }
    queue.sort_unstable_by(|&a, &b| {
        let key = |id: OrderId| (Reverse(world.jobs[id].priority), world.jobs[id].fetch_from, world.jobs[id].due_at);
        key(a).cmp(&key(b)).then_with(|| world.order(a).name().cmp(world.order(b).name()))
    });
    queue.dedup();
    world.stirred += queue.len();
    for order in queue {
        let slot = world.order(order);
        if slot.stage == Stage::Open && slot.planned.is_none() {
            insert(world, order, moment);
        }
    }
}

fn insert(world: &mut World, order: OrderId, moment: Timestamp) {
    let now = moment.as_second();
    if let Some(placed_at) = world.order(order).seen.placed_at().filter(|at| *at > moment) {
        // Released, and then given a later placement: nothing is planned before it, and it is tried again then.
        let fleet = world.fleet_version;
        world.order_mut(order).tried_at = Some((moment::ceil(placed_at) - RETRY_SECONDS, fleet));
        return;
    }
    let prospects = candidates::nearby(world, order, now);
    let mut best = cheapest(world, order, &prospects, now);
    let mut verdict = None;
    if best.is_none() {
        let (ruled_out, able) = limits::survey(world, order, now);
        if able.is_empty() {
            verdict = Some(explain::unassignable(world, order, ruled_out));
        } else {
            let prospects = candidates::among(world, order, &able, now);
            best = cheapest(world, order, &prospects, now);
        }
    }
    let manual = world.policy.mode == DispatchMode::Manual && world.order(order).only_driver().is_none();
    if manual && let Some((driver, _)) = best.take() {
        verdict = Some(explain::suggestion(world, driver));
    }
    let slot = world.orders[order].as_mut().expect("a queued order has a slot");
    slot.verdict = verdict;
    slot.tried_at = best.is_none().then_some((now, world.fleet_version));
    if let Some((driver, insertion)) = best {
        apply(world, order, driver, insertion);
        settle::refresh_anchors(world, driver, now);
    }
}

/// Puts the order into the driver's plan.
pub(crate) fn apply(world: &mut World, order: OrderId, driver: DriverId, insertion: Insertion) {
    world.order_mut(order).planned = Some(driver);
    world.driver_mut(driver).legs.insert(insertion.at, insertion.leg);
}

/// The cheapest of the prospects; the first among equals.
pub(crate) fn cheapest(
    world: &mut World,
    order: OrderId,
    prospects: &[Prospect],
    now: Seconds,
) -> Option<(DriverId, Insertion)> {
    let mut best: Option<(DriverId, Insertion)> = None;
    for prospect in prospects {
        if best.as_ref().is_some_and(|(_, held)| prospect.at_least >= held.added.total) {
            continue;
        }
        if let Some(found) = candidates::evaluate(world, order, prospect.driver, now)
            && best.as_ref().is_none_or(|(_, held)| found.added.total < held.added.total - 1e-9)
        {
            best = Some((prospect.driver, found));
        }
    }
    best
}
