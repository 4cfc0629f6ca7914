//! Brings the drivers up to date: where each is, what is bound to him, when he is free, and which of his plans still
//! hold.

use dropmate_api::{driver::RouteStop, order::StopKind};

use crate::{
    bound::{self, Bound},
    moment::{self, NEVER, Seconds},
    report,
    route::{Errand, Leg, Visit, Walker, Weights, last_stop, last_stop_kind, trip_end},
    world::{DriverId, DriverSlot, Stage, World},
};

/// Drivers whose shift begins within this time are planned with; the others would only crowd the index.
const LOOKAHEAD_SECONDS: Seconds = 2 * 3600;

/// A driver of whom a report is overdue is looked at this often, so that estimates slide with the clock.
const OVERDUE_CHECK_SECONDS: Seconds = 30;

/// Brings every driver up to date who changed or is due.
pub(crate) fn settle(world: &mut World, now: Seconds) {
    for position in 0..world.driver_ids.len() {
        let id = world.driver_ids[position];
        let slot = world.driver(id);
        if slot.dirty || slot.check_at <= now {
            refresh(world, id, now);
        }
    }
}

fn refresh(world: &mut World, id: DriverId, now: Seconds) {
    let weights = Weights::new(&world.policy);
    let mut slot = world.drivers[id].take().expect("ids in use have a slot");
    let home = slot.seen.spec.start_location.map_or(world.home, crate::travel::Place::new);
    slot.bound.sort_unstable_by(|a, b| world.order(*a).name().cmp(world.order(*b).name()));
    let bound: Vec<Bound<'_>> =
        slot.bound.iter().map(|&id| Bound { id, order: &world.order(id).seen, job: &world.jobs[id] }).collect();
    let walker = slot.walker(&world.jobs, weights, now);
    let (start, legs) = bound::route(&walker, &bound, slot.sighting, home);
    if start != slot.start || slot.legs.iter().filter(|leg| leg.bound).ne(legs.iter()) {
        world.stirred += 1;
    }
    slot.start = start;
    let planned: Vec<Leg> = slot.legs.iter().filter(|leg| !leg.bound).copied().collect();
    let was_bound: Vec<u32> = slot.legs.iter().filter(|leg| leg.bound).map(|leg| leg.trip).collect();
    let now_bound: Vec<u32> =
        planned.iter().filter(|leg| slot.bound.contains(&leg.order)).map(|leg| leg.trip).collect();
    slot.legs = legs;
    slot.dirty = false;
    time_bound(&mut slot, world, weights, now);
    slot.route_due = report::is_route_due(&slot);
    world.drivers[id] = Some(slot);
    for position in 0..world.driver(id).bound.len() {
        let order = world.driver(id).bound[position];
        let unbind = report::must_unbind(world, order, now);
        world.order_mut(order).unbind = unbind;
    }
    carry_over(world, id, &planned, |trip| was_bound.contains(&trip) || now_bound.contains(&trip), weights, now);
    refresh_anchors(world, id, now);
}

/// When and where the bound legs end, their stops, and when to look again.
fn time_bound(slot: &mut DriverSlot, world: &World, weights: Weights, now: Seconds) {
    let walker = slot.walker(&world.jobs, weights, now);
    let mut stops = Vec::new();
    let mut check_at = NEVER;
    let (mut free_at, mut free_place) = (slot.start.at.max(now), slot.start.place);
    let legs = &slot.legs;
    walker.walk(legs, |visit| {
        let done = match visit {
            Visit::Pickup { from, to, arrival, leave, .. } => {
                let fetched = legs[from..to].iter().filter(|leg| leg.errand == Errand::Fetch);
                stops.extend(fetched.map(|leg| stop(world, leg, StopKind::Pickup, arrival)));
                if arrival > now { arrival } else { leave }
            }
            Visit::Door { leg, arrival, done } => {
                let leg = &legs[leg];
                stops.push(stop(world, leg, last_stop_kind(leg.errand), arrival));
                (free_at, free_place) = (done, last_stop(&world.jobs[leg.order], leg.errand));
                if arrival > now { arrival } else { done }
            }
        };
        check_at = check_at.min(done);
    });
    let open_bundle = {
        let mut open = false;
        let mut from = 0;
        while from < legs.len() {
            let to = trip_end(legs, from);
            open |= legs[from..to].iter().all(|leg| leg.errand == Errand::Fetch);
            from = to;
        }
        open
    };
    if !legs.is_empty() {
        let overdue = now + OVERDUE_CHECK_SECONDS;
        check_at = if slot.start.arrival.is_some() { (check_at + 1).max(overdue) } else { overdue };
    }
    let silence = report::silent_until(slot, &world.policy).filter(|until| *until > now);
    slot.check_at = check_at.min(slot.fitness.shift_changes_after(now)).min(silence.unwrap_or(NEVER));
    if let Some((start, _)) = slot.fitness.shift_from(now)
        && start > now + LOOKAHEAD_SECONDS
    {
        slot.check_at = slot.check_at.min(start - LOOKAHEAD_SECONDS);
    }
    (slot.free_at, slot.free_place, slot.open_bundle, slot.stops) = (free_at, free_place, open_bundle, stops);
}

fn stop(world: &World, leg: &Leg, kind: StopKind, arrival: Seconds) -> RouteStop {
    let slot = world.order(leg.order);
    RouteStop {
        order: slot.name().to_owned(),
        stop: kind,
        location: slot.seen.spec.stop(kind).location,
        eta: Some(moment::timestamp(arrival)),
    }
}

/// Keeps the driver's planned trips where they still hold. Legs that were to join a bound trip, or whose mates were
/// bound since, are planned anew.
fn carry_over(
    world: &mut World,
    id: DriverId,
    planned: &[Leg],
    loosened: impl Fn(u32) -> bool,
    weights: Weights,
    now: Seconds,
) {
    for leg in planned {
        let Some(order) = world.orders[leg.order].as_ref() else { continue };
        if order.planned != Some(id) || order.stage != Stage::Open {
            continue;
        }
        let slot = world.driver(id);
        let fit = leg.forced
            || slot.fitness.takes_orders() && slot.fitness.unfit(&order.seen, &world.jobs[leg.order]).is_none();
        if loosened(leg.trip) || !fit {
            world.requeue(leg.order, id);
            continue;
        }
        let slot = world.driver_mut(id);
        // Trip numbers above any bound one keep planned trips apart from bound ones.
        let trip = leg.trip + PLANNED_TRIPS;
        slot.legs.push(Leg { trip, ..*leg });
    }
    let slot = world.driver_mut(id);
    renumber(&mut slot.legs);
    let slot = world.driver(id);
    if slot.walker(&world.jobs, weights, now).cost(&slot.legs).is_none() {
        world.release_plans(id);
    }
}

/// More than any driver has bound trips.
const PLANNED_TRIPS: u32 = 1 << 20;

/// Numbers the trips by their place in the route.
fn renumber(legs: &mut [Leg]) {
    let mut from = 0;
    let mut number = 0;
    while from < legs.len() {
        let to = trip_end(legs, from);
        for leg in &mut legs[from..to] {
            leg.trip = number;
        }
        from = to;
        number += 1;
    }
}

/// Shows the driver in the index where he can take something on; nowhere while he cannot.
pub(crate) fn refresh_anchors(world: &mut World, id: DriverId, now: Seconds) {
    let slot = world.driver(id);
    let works = slot.fitness.takes_orders()
        && slot.fitness.shift_from(now).is_some_and(|(start, _)| start <= now + LOOKAHEAD_SECONDS);
    let mut anchors = Vec::new();
    if works {
        anchors.push(slot.free_place.0);
        let mut from = 0;
        while from < slot.legs.len() {
            let to = trip_end(&slot.legs, from);
            let trip = &slot.legs[from..to];
            if trip.iter().all(|leg| leg.errand == Errand::Fetch) {
                anchors.push(world.jobs[trip[0].order].pickup.0);
            }
            if let Some(last) = trip.last().filter(|leg| !leg.bound) {
                anchors.push(last_stop(&world.jobs[last.order], last.errand).0);
            }
            from = to;
        }
    }
    world.place_anchors(id, anchors);
}

/// A route cut to what is bound.
pub(crate) fn walker(world: &World, id: DriverId, now: Seconds) -> Walker<'_> {
    world.driver(id).walker(&world.jobs, Weights::new(&world.policy), now)
}
