//! Turns plans into bindings, just in time: a driver is told to leave only when waiting would delay the pickup, and a
//! bundle stays open until it is fetched. Until then a better idea costs nothing.

use std::collections::BTreeMap;

use dropmate_api::policy::DispatchMode;

use crate::{
    Command, candidates, explain,
    insertion::Insertion,
    moment::{NEVER, Seconds},
    plan,
    route::{Errand, Leg, OrderId, Visit, useful_arrival},
    settle,
    world::{DriverId, World},
};

/// A binding is made this long before the driver has to leave: the time for a tick, the way to the phone, and a look.
const LEAVE_SLACK_SECONDS: Seconds = 60;

/// A mate is bound this long before the driver could leave the pickup without it.
const JOIN_SLACK_SECONDS: Seconds = 90;

/// An order whose turn has come may move to a better driver this often in one step.
const MAX_MOVES: usize = 2;

/// Binds what is due; returns when the next binding will be.
pub(crate) fn bind_due(world: &mut World, now: Seconds, commands: &mut Vec<Command>) -> Seconds {
    let planned = |world: &World| -> Vec<DriverId> {
        let ids = world.driver_ids.iter().copied();
        ids.filter(|&id| world.driver(id).legs.iter().any(|leg| !leg.bound)).collect()
    };
    // First every order whose turn has come finds its last place, then all are bound: mates must agree on their trip.
    let mut pending = planned(world);
    let mut moves = BTreeMap::new();
    let mut position = 0;
    while position < pending.len() {
        let driver = pending[position];
        position += 1;
        let (due, _) = due_legs(world, driver, now);
        for leg in due {
            if let Some(better) = reconsider(world, driver, leg, &mut moves, now) {
                // What is left of this driver's plan is looked at again after the move.
                pending.extend([better, driver]);
                break;
            }
        }
    }
    let mut wake_at = NEVER;
    for driver in planned(world) {
        let (due, next) = due_legs(world, driver, now);
        wake_at = wake_at.min(next);
        for leg in due {
            commands.push(bind(world, driver, leg, now));
        }
    }
    wake_at
}

/// The planned legs whose time has come, and when the next one's will.
fn due_legs(world: &World, driver: DriverId, now: Seconds) -> (Vec<Leg>, Seconds) {
    let slot = world.driver(driver);
    let legs = &slot.legs;
    let at_once = world.policy.mode != DispatchMode::Plan;
    let mut due = Vec::new();
    let mut next = NEVER;
    let mut head = true;
    let walker = settle::walker(world, driver, now);
    walker.walk(legs, |visit| {
        let Visit::Pickup { from, to, free_at, travel, arrival, leave } = visit else { return };
        let trip = &legs[from..to];
        let fetched = || trip.iter().filter(|leg| leg.errand == Errand::Fetch);
        let is_bound = trip.iter().any(|leg| leg.bound);
        let ready = |leg: &Leg| world.jobs[leg.order].fetch_from;
        // The order the trip is made for: what is bound already, else what is ready first.
        let Some(lead) = fetched().min_by_key(|leg| (!leg.bound, ready(leg), world.order(leg.order).name())) else {
            return;
        };
        let job = &world.jobs[lead.order];
        let leaves_pickup = arrival.max(useful_arrival(ready(lead), job.pickup_service)) + job.pickup_service;
        // A binding for a later shift would be taken away again at once.
        let in_shift = slot.fitness.shift_from(now).is_some_and(|(start, end)| start <= now && leave <= end);
        let begins = if in_shift { now } else { free_at };
        for leg in fetched().filter(|leg| !leg.bound) {
            let at = if leg.forced {
                now
            } else if at_once {
                begins
            } else if is_bound || leg.order != lead.order {
                leaves_pickup - JOIN_SLACK_SECONDS
            } else {
                let service = fetched().map(|leg| world.jobs[leg.order].pickup_service).max().unwrap_or(0);
                let wanted = fetched().map(ready).max().unwrap_or(0);
                let latest = useful_arrival(wanted, service) - travel;
                (free_at.max(latest) - LEAVE_SLACK_SECONDS).max(begins)
            };
            // Only the first trip that is not bound can be begun; its mates follow their lead.
            let reachable = head || is_bound || leg.forced || at_once;
            if reachable && at <= now {
                due.push(*leg);
            } else if reachable {
                next = next.min(at);
            }
        }
        head &= is_bound;
    });
    for leg in legs.iter().filter(|leg| !leg.bound && leg.errand == Errand::Aboard) {
        due.push(*leg);
    }
    // A mate is bound only together with, or after, the order it rides with.
    due.sort_by_key(|leg| (leg.trip, !leg.forced, world.jobs[leg.order].fetch_from, world.order(leg.order).name()));
    (due, next)
}

/// Moves the order to a driver who is cheaper now; a plan may have grown old since it was made. Once looked at, an order
/// is content until the clock moves on.
fn reconsider(
    world: &mut World,
    driver: DriverId,
    leg: Leg,
    moves: &mut BTreeMap<OrderId, usize>,
    now: Seconds,
) -> Option<DriverId> {
    if leg.forced
        || world.policy.mode == DispatchMode::Nearest
        || world.order(leg.order).reconsidered_at == Some(now)
        || moves.get(&leg.order).is_some_and(|moved| *moved >= MAX_MOVES)
    {
        return None;
    }
    let at = take_out(world, driver, leg.order);
    let prospects = candidates::nearby(world, leg.order, now);
    let held = candidates::evaluate(world, leg.order, driver, now);
    let best = plan::cheapest(world, leg.order, &prospects, now);
    match (held, best) {
        (held, Some((better, insertion)))
            if better != driver && held.is_none_or(|held| insertion.added.total < held.added.total - 1.0) =>
        {
            plan::apply(world, leg.order, better, insertion);
            settle::refresh_anchors(world, better, now);
            settle::refresh_anchors(world, driver, now);
            *moves.entry(leg.order).or_default() += 1;
            Some(better)
        }
        _ => {
            put_back(world, driver, leg, at);
            world.order_mut(leg.order).reconsidered_at = Some(now);
            None
        }
    }
}

fn take_out(world: &mut World, driver: DriverId, order: OrderId) -> usize {
    let legs = &mut world.driver_mut(driver).legs;
    let at = legs.iter().position(|leg| leg.order == order).expect("a planned order is in its driver's route");
    legs.remove(at);
    at
}

fn put_back(world: &mut World, driver: DriverId, leg: Leg, at: usize) {
    world.driver_mut(driver).legs.insert(at, leg);
}

/// The binding of a leg, with its reason.
fn bind(world: &mut World, driver: DriverId, leg: Leg, now: Seconds) -> Command {
    let at = take_out(world, driver, leg.order);
    let mut ranked: Vec<(DriverId, Insertion)> = Vec::new();
    let mut prospects: Vec<DriverId> =
        candidates::nearby(world, leg.order, now).iter().map(|prospect| prospect.driver).collect();
    if !prospects.contains(&driver) {
        prospects.push(driver);
    }
    for prospect in prospects {
        ranked.extend(candidates::evaluate(world, leg.order, prospect, now).map(|found| (prospect, found)));
    }
    put_back(world, driver, leg, at);
    let reason = explain::reason(world, leg.order, driver, &ranked, now);
    let trip_id = trip_id(world, driver, leg);
    Command::Bind {
        order: world.order(leg.order).name().to_owned(),
        driver: world.driver(driver).name().to_owned(),
        trip_id,
        reason,
    }
}

/// The trip's name: that of the bound mates, else after the order it is made for and how often that was bound before.
fn trip_id(world: &World, driver: DriverId, leg: Leg) -> String {
    let legs = &world.driver(driver).legs;
    let mates = || legs.iter().filter(|mate| mate.trip == leg.trip && mate.errand == leg.errand);
    let given = mates()
        .filter(|mate| mate.bound)
        .find_map(|mate| world.order(mate.order).seen.status.as_ref()?.assignment.as_ref()?.trip_id.clone());
    given.unwrap_or_else(|| {
        let lead = mates().min_by_key(|mate| (world.jobs[mate.order].fetch_from, world.order(mate.order).name()));
        let slot = world.order(lead.map_or(leg.order, |lead| lead.order));
        let generation = slot.seen.status.as_ref().and_then(|s| s.assignment.as_ref()).map_or(0, |a| a.generation);
        format!("{}-{generation}", slot.name())
    })
}
