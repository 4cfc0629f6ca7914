//! Says in words why a driver was chosen, or why there is none.

use dropmate_api::order::{AssignmentReason, Candidate, RuledOut};

use crate::{
    fleet::Limit,
    insertion::{self, Insertion},
    limits,
    moment::{self, Seconds},
    route::OrderId,
    settle,
    world::{DriverId, Verdict, World},
};

/// A reason has at most this many bytes as JSON: it is stored with every order.
const MAX_REASON_BYTES: usize = 2048;

/// How many candidates a reason shows.
const SHOWN_CANDIDATES: usize = 5;

/// Why nobody can take the order.
pub(crate) fn unassignable(world: &World, order: OrderId, ruled_out: Vec<RuledOut>) -> Verdict {
    let slot = world.order(order);
    let unknown = slot.only_driver().filter(|only| world.driver_named(only).is_none());
    let message = match unknown {
        Some(only) if world.jobs[order].aboard => format!("The goods are with {only}, who is no driver here any more."),
        Some(only) => format!("The order is pinned to {only}, who does not exist."),
        None if ruled_out.is_empty() => "There are no drivers.".to_owned(),
        None => format!("No driver can take the order: {}.", sentence(&ruled_out)),
    };
    Verdict { message, ruled_out }
}

/// In manual mode: whom dispatch would choose.
pub(crate) fn suggestion(world: &World, driver: DriverId) -> Verdict {
    let name = world.driver(driver).name();
    let message = format!("Dispatch is manual: set spec.driverName to bind the order; the best driver now is {name}.");
    Verdict { message, ruled_out: Vec::new() }
}

/// "2 drivers lack a required skill, 1 driver is suspended".
fn sentence(ruled_out: &[RuledOut]) -> String {
    /// The most frequent limits tell the story.
    const NAMED_LIMITS: usize = 3;
    let words = ruled_out.iter().take(NAMED_LIMITS).filter_map(|entry| {
        let limit = Limit::ALL.into_iter().find(|limit| limit.name() == entry.limit)?;
        let many = entry.drivers != 1;
        let noun = if many { "drivers" } else { "driver" };
        Some(format!("{} {noun} {}", entry.drivers, limit.phrase(many)))
    });
    words.collect::<Vec<_>>().join(", ")
}

/// Why `chosen` gets the order. `ranked` are the candidates with what each would add, the order not yet counted.
pub(crate) fn reason(
    world: &World,
    order: OrderId,
    chosen: DriverId,
    ranked: &[(DriverId, Insertion)],
    now: Seconds,
) -> AssignmentReason {
    let mut ranked = ranked.to_vec();
    ranked.sort_by(|(a, first), (b, second)| {
        let by_cost = first.added.total.total_cmp(&second.added.total);
        let by_name = || world.driver(*a).name().cmp(world.driver(*b).name());
        (*a != chosen).cmp(&(*b != chosen)).then(by_cost).then_with(by_name)
    });
    let candidates: Vec<Candidate> = ranked
        .iter()
        .take(SHOWN_CANDIDATES)
        .map(|(driver, found)| {
            let mut legs = world.driver(*driver).legs.clone();
            legs.retain(|leg| leg.order != order);
            legs.insert(found.at.min(legs.len()), found.leg);
            let (pickup, door) = insertion::times(&settle::walker(world, *driver, now), &legs, order);
            Candidate {
                driver: world.driver(*driver).name().to_owned(),
                cost: found.added.total.round(),
                lateness_seconds: found.added.lateness,
                freshness_seconds: found.added.freshness,
                driving_seconds: found.added.driving,
                pickup_at: pickup.map(moment::timestamp),
                dropoff_at: door.map(moment::timestamp),
            }
        })
        .collect();
    let (ruled_out, _) = limits::survey(world, order, now);
    let mut reason = AssignmentReason {
        summary: summary(world, order, chosen, &candidates, ranked.len()),
        considered: i32::try_from(ranked.len()).unwrap_or(i32::MAX),
        candidates,
        ruled_out,
    };
    while serde_json::to_string(&reason).is_ok_and(|json| json.len() > MAX_REASON_BYTES)
        && reason.candidates.pop().is_some()
    {}
    reason
}

fn summary(world: &World, order: OrderId, chosen: DriverId, candidates: &[Candidate], considered: usize) -> String {
    let name = world.driver(chosen).name();
    let slot = world.order(order);
    let job = &world.jobs[order];
    let why = if job.aboard {
        format!("{name} has the goods")
    } else if slot.seen.spec.driver_name.is_some() {
        format!("Pinned to {name}")
    } else if considered > 1 {
        format!("{name} is the best of {considered} drivers")
    } else {
        format!("{name} is the only driver who can take it")
    };
    let Some(first) = candidates.first() else { return format!("{why}.") };
    let mut parts = vec![why];
    let clock = |at: jiff::Timestamp| at.strftime("%H:%M").to_string();
    match (first.pickup_at, first.dropoff_at) {
        (Some(pickup), Some(door)) => {
            parts.push(format!("pickup {} and door {} UTC", clock(pickup), clock(door)));
        }
        (None, Some(door)) => parts.push(format!("door {} UTC", clock(door))),
        _ => {}
    }
    if let Some(door) = first.dropoff_at {
        let minutes = (job.due_at - door.as_second()).div_euclid(60);
        parts.push(if minutes >= 0 {
            format!("{minutes} min before the promise")
        } else {
            format!("{} min late", -minutes)
        });
        if door.as_second() - job.dropoff_service > job.dropoff_until {
            parts.push("no driver can keep the dropoff's window".to_owned());
        }
    }
    let with = mates(world, chosen, order);
    if with > 0 {
        parts.push(format!("together with {with} more from the same pickup"));
    }
    format!("{}.", parts.join(", "))
}

/// How many orders ride along in the same trip.
fn mates(world: &World, driver: DriverId, order: OrderId) -> usize {
    let legs = &world.driver(driver).legs;
    let trip = legs.iter().find(|leg| leg.order == order).map(|leg| leg.trip);
    legs.iter().filter(|leg| Some(leg.trip) == trip && leg.order != order).count()
}
