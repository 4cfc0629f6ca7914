//! Makes the plan better while there is time: takes a few related orders out and puts them back where they cost least
//! now (ruin and recreate). A change stays only if the whole becomes cheaper.

use std::{cmp::Reverse, collections::BTreeMap};

use dropmate_api::policy::DispatchMode;

use crate::{
    candidates::{self, Prospect},
    moment::{NEVER, Seconds},
    plan,
    route::{Leg, OrderId},
    settle, travel,
    world::{DriverId, Stage, World},
};

/// Rounds for everything that changed since the last step: enough for its neighbourhood to come to rest.
const ROUNDS_PER_CHANGE: usize = 10;

/// Between two improvements: a single new order is answered at once, and what it stirred up is settled with the next.
const PAUSE_SECONDS: Seconds = 5;

/// Rounds in one step. More search finds little more, and a step should end well before the next tick.
const MAX_ROUNDS: usize = 200;

/// Orders taken out in one round.
const MAX_TAKEN_OUT: usize = 5;

/// Among how many orders the relatives of one are looked for.
const MAX_RELATIVES: usize = 128;

/// With how many drivers an order is tried in a round; the most promising come first.
const MAX_TRIED: usize = 16;

/// A change worth less than this, in weighted seconds, is not worth making.
const LEAST_GAIN: f64 = 0.5;

/// When the plan is improved next; never, while nothing changed.
pub(crate) fn next_at(world: &World) -> Seconds {
    match world.improved_at {
        _ if world.stirred == 0 => NEVER,
        Some(improved_at) => improved_at + PAUSE_SECONDS,
        None => Seconds::MIN,
    }
}

/// Improves the plans of orders that may still move.
pub(crate) fn improve(world: &mut World, now: Seconds) {
    if now < next_at(world) {
        return;
    }
    let changes = std::mem::take(&mut world.stirred);
    world.improved_at = Some(now);
    if world.policy.mode != DispatchMode::Plan {
        return;
    }
    let movable: Vec<OrderId> = world
        .order_ids
        .iter()
        .copied()
        .filter(|&id| {
            let slot = world.order(id);
            slot.stage == Stage::Open && slot.planned.is_some() && !slot.forced
        })
        .collect();
    if movable.len() < 2 {
        return;
    }
    let mut search = Search {
        chance: Chance(now.unsigned_abs().wrapping_mul(0x9E37_79B9_7F4A_7C15)),
        movable,
        prospects: BTreeMap::new(),
        now,
    };
    for _ in 0..(changes * ROUNDS_PER_CHANGE).min(MAX_ROUNDS) {
        search.round(world);
    }
}

struct Search {
    chance: Chance,
    movable: Vec<OrderId>,
    prospects: BTreeMap<OrderId, Vec<Prospect>>,
    now: Seconds,
}

impl Search {
    fn round(&mut self, world: &mut World) {
        let taken = self.choose(world);
        let mut before: BTreeMap<DriverId, Vec<Leg>> = BTreeMap::new();
        let mut drivers = Vec::with_capacity(taken.len());
        for &order in &taken {
            let driver = world.order_mut(order).planned.take().expect("a movable order is planned");
            let legs = &mut world.driver_mut(driver).legs;
            before.entry(driver).or_insert_with(|| legs.clone());
            legs.retain(|leg| leg.order != order);
            drivers.push(driver);
        }
        let complete = taken.iter().all(|&order| self.put_back(world, order, &mut before));
        let gained = complete && {
            let after = before.keys().map(|&driver| self.cost(world, driver, &world.driver(driver).legs)).sum::<f64>();
            let held = before.iter().map(|(&driver, legs)| self.cost(world, driver, legs)).sum::<f64>();
            after < held - LEAST_GAIN
        };
        if gained {
            for &driver in before.keys() {
                settle::refresh_anchors(world, driver, self.now);
            }
            return;
        }
        for (driver, legs) in before {
            world.driver_mut(driver).legs = legs;
        }
        for (order, driver) in taken.into_iter().zip(drivers) {
            world.order_mut(order).planned = Some(driver);
        }
    }

    /// A few orders that could change places with one another, in the order in which they are put back.
    fn choose(&mut self, world: &World) -> Vec<OrderId> {
        let first = self.movable[self.chance.below(self.movable.len())];
        let count = 1 + self.chance.below(MAX_TAKEN_OUT);
        let mut others: Vec<(Seconds, OrderId)> = if self.movable.len() <= MAX_RELATIVES {
            self.movable.iter().filter(|&&id| id != first).map(|&id| (distance(world, first, id), id)).collect()
        } else {
            let picks: Vec<OrderId> =
                (0..MAX_RELATIVES).map(|_| self.movable[self.chance.below(self.movable.len())]).collect();
            picks.into_iter().filter(|&id| id != first).map(|id| (distance(world, first, id), id)).collect()
        };
        others.sort_unstable();
        others.dedup();
        let mut taken = vec![first];
        while taken.len() < count && !others.is_empty() {
            // Near relatives most often, but not always the same ones.
            let nth = self
                .chance
                .below(others.len())
                .min(self.chance.below(others.len()))
                .min(self.chance.below(others.len()));
            taken.push(others.remove(nth).1);
        }
        if self.chance.below(2) == 0 {
            taken.sort_by_key(|&id| (Reverse(world.jobs[id].priority), world.jobs[id].fetch_from, id));
        } else {
            self.chance.shuffle(&mut taken);
        }
        taken
    }

    fn put_back(&mut self, world: &mut World, order: OrderId, before: &mut BTreeMap<DriverId, Vec<Leg>>) -> bool {
        let now = self.now;
        let prospects = self.prospects.entry(order).or_insert_with(|| {
            let mut nearby = candidates::nearby(world, order, now);
            nearby.truncate(MAX_TRIED);
            nearby
        });
        let Some((driver, insertion)) = plan::cheapest(world, order, prospects, now) else { return false };
        before.entry(driver).or_insert_with(|| world.driver(driver).legs.clone());
        plan::apply(world, order, driver, insertion);
        true
    }

    fn cost(&self, world: &World, driver: DriverId, legs: &[Leg]) -> f64 {
        settle::walker(world, driver, self.now).cost(legs).map_or(f64::INFINITY, |cost| cost.total)
    }
}

/// How little two orders have to do with one another: nothing if one driver has both.
fn distance(world: &World, one: OrderId, other: OrderId) -> Seconds {
    /// Both ways are compared at one pace.
    const METERS_PER_SECOND: f64 = 5.0;
    if world.order(one).planned == world.order(other).planned {
        return 0;
    }
    let (a, b) = (&world.jobs[one], &world.jobs[other]);
    travel::seconds(a.pickup, b.pickup, METERS_PER_SECOND) + (a.fetch_from - b.fetch_from).abs()
}

/// A small generator (splitmix64): the same seed gives the same plan.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, which is not zero.
    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}
