//! Which hard limits keep which drivers from an order.

use dropmate_api::order::RuledOut;

use crate::{
    fleet::Limit,
    moment::Seconds,
    route::OrderId,
    travel,
    world::{DriverId, World},
};

/// A driver whose shift begins later than this is no hope for an order that waits now.
const HORIZON_SECONDS: Seconds = 24 * 3600;

/// The first limit that keeps the driver from the order, now and for the horizon; being busy is none.
pub(crate) fn first(world: &World, order: OrderId, driver: DriverId, now: Seconds) -> Option<Limit> {
    let slot = world.order(order);
    let job = &world.jobs[order];
    let candidate = world.driver(driver);
    if let Some(only) = slot.only_driver() {
        if only != candidate.name() {
            return Some(if job.aboard { Limit::Custody } else { Limit::NotThePinnedDriver });
        }
        // A pin outweighs every limit but one: the server binds nothing to a suspended driver.
        return candidate.fitness.suspended.then_some(Limit::Suspended);
    }
    if candidate.fitness.suspended {
        return Some(Limit::Suspended);
    }
    if candidate.fitness.off_duty {
        return Some(Limit::OffDuty);
    }
    if candidate.fitness.silent_since.is_some() {
        return Some(Limit::Silent);
    }
    if let Some(limit) = candidate.fitness.unfit(&slot.seen, job) {
        return Some(limit);
    }
    let travel = travel::seconds(candidate.free_place, job.pickup, candidate.fitness.meters_per_second);
    let mut from = candidate.free_at.max(now);
    while let Some((start, end)) =
        candidate.fitness.shift_from(from).filter(|(start, _)| *start <= now + HORIZON_SECONDS)
    {
        let pickup = (start + travel + job.pickup_service).max(job.fetch_from);
        if pickup > job.pickup_until {
            return Some(Limit::PickupWindow);
        }
        if pickup <= end {
            return None;
        }
        from = end;
    }
    Some(Limit::OffShift)
}

/// How many drivers each limit rules out, the most frequent first, and who is left.
pub(crate) fn survey(world: &World, order: OrderId, now: Seconds) -> (Vec<RuledOut>, Vec<DriverId>) {
    let mut counts = [0_i32; Limit::ALL.len()];
    let mut able = Vec::new();
    for &driver in &world.driver_ids {
        match first(world, order, driver, now) {
            Some(limit) => counts[limit as usize] += 1,
            None => able.push(driver),
        }
    }
    (ruled_out(&counts), able)
}

fn ruled_out(counts: &[i32; Limit::ALL.len()]) -> Vec<RuledOut> {
    let mut found: Vec<_> = Limit::ALL.into_iter().zip(*counts).filter(|(_, drivers)| *drivers > 0).collect();
    found.sort_by_key(|(limit, drivers)| (std::cmp::Reverse(*drivers), *limit));
    found.into_iter().map(|(limit, drivers)| RuledOut { limit: limit.name().to_owned(), drivers }).collect()
}
