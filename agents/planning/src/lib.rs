//! Dispatch decisions as pure functions over a snapshot: no clock, no I/O, no tokio, no hash-map order, no randomness
//! but a seed. The dispatch agent, the simulator, the benchmark and the back-test are shells around [`step`].

mod bound;
mod candidates;
mod commit;
mod explain;
mod fleet;
mod improve;
mod insertion;
mod job;
mod life;
mod limits;
mod moment;
mod plan;
mod report;
mod route;
mod settle;
mod travel;
mod world;

use std::{borrow::Cow, sync::Arc};

use dropmate_api::{
    Depot, DispatchPolicySpec, Driver, Order,
    driver::RouteStop,
    order::{AssignmentReason, Decision, RuledOut},
};
use jiff::Timestamp;

pub use travel::meters;

use crate::{moment::NEVER, world::World};

/// The state of one namespace. Orders, drivers and depots are sorted by name; finished orders may be left out.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Orders.
    pub orders: Vec<Arc<Order>>,
    /// Drivers.
    pub drivers: Vec<Arc<Driver>>,
    /// Depots.
    pub depots: Vec<Arc<Depot>>,
    /// The policy in force.
    pub policy: DispatchPolicySpec,
}

/// A disposable cache between steps (warm plan). Lost on restart; only quality and speed suffer.
#[derive(Debug, Default)]
pub struct Memory {
    world: World,
}

/// Something to be done, with its reason. `order` and `driver` are names in the snapshot's namespace.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Record when the order is to be released.
    Schedule { order: String, release_at: Timestamp },
    /// Release the order: it may be bound from now on.
    Release { order: String },
    /// Bind the order to the driver.
    Bind { order: String, driver: String, trip_id: String, reason: AssignmentReason },
    /// Take the order from its driver.
    Unbind { order: String, reason: String },
    /// Give the order up for lateness.
    Expire { order: String },
    /// Decide what follows a failed attempt.
    Decide { order: String, decision: Decision },
    /// No driver may take the order: which limits ruled out how many. Becomes the condition `Unassignable`.
    Unassignable { order: String, message: String, ruled_out: Vec<RuledOut> },
    /// The condition `Unassignable` holds no more.
    Assignable { order: String },
    /// The driver's load and route have changed.
    Route { driver: String, active_orders: i32, route: Vec<RouteStop> },
}

/// One look at the world: what to do now, and when to look again even if nothing changes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// What to do, in this order.
    pub commands: Vec<Command>,
    /// Business time at which something becomes due; `None` if only a change can make a difference.
    pub wake_at: Option<Timestamp>,
}

/// Decides. The same memory, snapshot and `now` (business time) give the same plan, byte for byte.
pub fn step(memory: &mut Memory, snapshot: &Snapshot, now: Timestamp) -> Plan {
    let world = &mut memory.world;
    let seconds = now.as_second();
    let in_place = world.are_orders_in_place(&snapshot.orders);
    let orders = by_name(&snapshot.orders, in_place, |order| world::name(order.metadata.name.as_ref()));
    let in_place = world.are_drivers_in_place(&snapshot.drivers);
    let drivers = by_name(&snapshot.drivers, in_place, |driver| world::name(driver.metadata.name.as_ref()));
    let depots = by_name(&snapshot.depots, false, |depot| world::name(depot.metadata.name.as_ref()));
    world.sync(&orders, &drivers, &depots, &snapshot.policy, now);
    settle::settle(world, seconds);
    plan::insert_queue(world, now);
    improve::improve(world, seconds);

    let mut life = Vec::new();
    let mut unbindings = Vec::new();
    let mut bindings = Vec::new();
    let mut conditions = Vec::new();
    let mut wake_at: Option<Timestamp> = None;
    let mut wake = |at: Timestamp| wake_at = Some(wake_at.map_or(at, |held| held.min(at)));
    let next_binding = commit::bind_due(world, seconds, &mut bindings);
    if next_binding < NEVER {
        wake(moment::timestamp(next_binding));
    }
    // An order that is given up in this step is not bound in it, too.
    for &id in &world.order_ids {
        let slot = world.order(id);
        let given_up = life.len();
        if let Some(at) = slot.next.due(slot.name(), now, &mut life) {
            wake(at);
        }
        if let Some(Command::Expire { order }) = life.get(given_up) {
            bindings.retain(|command| !matches!(command, Command::Bind { order: bound, .. } if bound == order));
            continue;
        }
        if slot.before_pickup {
            let reason =
                if slot.holder.is_some() { slot.unbind.clone() } else { report::must_unbind(world, id, seconds) };
            unbindings.extend(reason.map(|reason| Command::Unbind { order: slot.name().to_owned(), reason }));
        }
        if let Some((tried_at, _)) = slot.tried_at {
            wake(moment::timestamp(tried_at + plan::RETRY_SECONDS));
        }
        conditions.extend(report::assignability(world, id));
    }
    let mut routes = Vec::new();
    let mut next_look = improve::next_at(world);
    for &id in &world.driver_ids {
        let slot = world.driver(id);
        if slot.route_due {
            routes.push(report::route(slot));
        }
        next_look = next_look.min(slot.check_at);
    }
    if next_look < NEVER {
        wake(moment::timestamp(next_look));
    }
    // `bind_due` goes by driver; a reader goes by order.
    bindings.sort_by(|a, b| bound_order(a).cmp(bound_order(b)));
    let commands = [life, unbindings, bindings, conditions, routes].concat();
    Plan { commands, wake_at }
}

fn bound_order(command: &Command) -> &str {
    if let Command::Bind { order, .. } = command { order } else { "" }
}

/// The objects sorted by name, each name once. A snapshot is sorted already, so this is at most one look at each, and
/// none where they are known to be in place.
fn by_name<T>(objects: &[Arc<T>], in_place: bool, name: impl Fn(&T) -> &str) -> Cow<'_, [Arc<T>]> {
    if in_place || objects.is_sorted_by(|a, b| name(a) < name(b)) {
        return Cow::Borrowed(objects);
    }
    let mut objects = objects.to_vec();
    objects.sort_by(|a, b| name(a).cmp(name(b)));
    objects.dedup_by(|later, earlier| name(later) == name(earlier));
    Cow::Owned(objects)
}
