//! Which drivers are worth a closer look for an order.

use std::collections::BTreeSet;

use dropmate_api::policy::DispatchMode;

use crate::{
    insertion::Insertion,
    moment::Seconds,
    route::{OrderId, Weights},
    settle, travel,
    world::{DriverId, World},
};

/// How many drivers an order is tried with.
pub(crate) const MAX_CANDIDATES: usize = 32;

/// How many fit drivers are found before the best of them are chosen.
const MAX_FOUND: usize = 64;

/// How many entries of the index are looked at where most drivers around are unfit.
const MAX_LOOKED_AT: usize = 512;

/// In balanced mode, each order a driver already has weighs like this many seconds.
const LOAD_SECONDS: f64 = 300.0;

/// A driver, with the least that giving him the order can cost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Prospect {
    pub(crate) driver: DriverId,
    pub(crate) at_least: f64,
    rank: f64,
}

/// The drivers near the order who are fit for it, the most promising first.
pub(crate) fn nearby(world: &World, order: OrderId, now: Seconds) -> Vec<Prospect> {
    let slot = world.order(order);
    if let Some(only) = slot.only_driver() {
        let known = world.driver_named(only).filter(|&driver| !world.driver(driver).fitness.suspended);
        return known.map(|driver| Prospect { driver, at_least: f64::NEG_INFINITY, rank: 0.0 }).into_iter().collect();
    }
    let job = &world.jobs[order];
    let mut found = BTreeSet::new();
    let mut prospects = Vec::new();
    for entry in world.index.nearest_neighbor_iter(&job.pickup.0).take(MAX_LOOKED_AT) {
        let driver = entry.data;
        let fitness = &world.driver(driver).fitness;
        if found.insert(driver) && fitness.takes_orders() && fitness.unfit(&slot.seen, job).is_none() {
            prospects.extend(prospect(world, order, driver, now));
            if prospects.len() >= MAX_FOUND {
                break;
            }
        }
    }
    most_promising(world, prospects)
}

/// The same among these drivers, wherever they are.
pub(crate) fn among(world: &World, order: OrderId, drivers: &[DriverId], now: Seconds) -> Vec<Prospect> {
    most_promising(world, drivers.iter().filter_map(|&driver| prospect(world, order, driver, now)).collect())
}

fn most_promising(world: &World, mut prospects: Vec<Prospect>) -> Vec<Prospect> {
    prospects.sort_by(|a, b| {
        a.rank.total_cmp(&b.rank).then_with(|| world.driver(a.driver).name().cmp(world.driver(b.driver).name()))
    });
    prospects.truncate(MAX_CANDIDATES);
    prospects
}

fn prospect(world: &World, order: OrderId, driver: DriverId, now: Seconds) -> Option<Prospect> {
    let weights = Weights::new(&world.policy);
    let job = &world.jobs[order];
    let slot = world.driver(driver);
    let (free_at, _) = slot.fitness.shift_from(slot.free_at.max(now))?;
    let travel = travel::seconds(slot.free_place, job.pickup, slot.fitness.meters_per_second);
    if world.policy.mode == DispatchMode::Nearest {
        // Whoever stands idle nearest takes it, whatever it costs elsewhere.
        let idle = slot.legs.is_empty() && free_at <= now;
        return idle.then_some(Prospect { driver, at_least: f64::NEG_INFINITY, rank: travel as f64 });
    }
    if slot.open_bundle {
        return Some(Prospect { driver, at_least: f64::NEG_INFINITY, rank: travel as f64 * weights.driving });
    }
    let ride = travel::seconds(job.pickup, job.dropoff, slot.fitness.meters_per_second);
    let fetched = (free_at + travel + job.pickup_service).max(job.fetch_from);
    let door = (fetched + ride).max(job.dropoff_from) + job.dropoff_service;
    let fresh = (door - job.ready_at) as f64;
    let late = (door - job.due_at).max(0) as f64;
    // Rounding up each leg may lengthen the whole by a second a leg; the bound must not exceed the truth by it.
    let at_least = job.urgency * (weights.freshness * (fresh - 4.0) + weights.lateness * (late - 4.0).max(0.0));
    Some(Prospect { driver, at_least, rank: at_least + weights.driving * travel as f64 })
}

/// The cheapest way for this driver to take the order, by the rules of the mode in force.
pub(crate) fn evaluate(world: &mut World, order: OrderId, driver: DriverId, now: Seconds) -> Option<Insertion> {
    let mut inserter = std::mem::take(&mut world.inserter);
    let forced = world.order(order).only_driver().is_some();
    let max_per_trip = world.max_per_trip();
    let slot = world.driver(driver);
    let mut best = inserter.best(&settle::walker(world, driver, now), &slot.legs, order, forced, max_per_trip);
    if let Some(best) = &mut best {
        match world.policy.mode {
            DispatchMode::Balanced => best.added.total += LOAD_SECONDS * slot.legs.len() as f64,
            DispatchMode::Nearest => {
                let pickup = world.jobs[order].pickup;
                best.added.total = travel::seconds(slot.free_place, pickup, slot.fitness.meters_per_second) as f64;
            }
            DispatchMode::Plan | DispatchMode::Manual => {}
        }
    }
    world.inserter = inserter;
    best
}
