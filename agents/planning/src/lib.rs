//! Dispatch decisions as pure functions over a snapshot: no clock, no I/O, no tokio, no hash-map order, no randomness
//! but a seed. The dispatch agent, the simulator, the benchmark and the back-test are shells around [`step`].

use std::sync::Arc;

use dropmate_api::{
    Depot, DispatchPolicySpec, Driver, Order,
    driver::RouteStop,
    order::{AssignmentReason, Decision, RuledOut},
};
use jiff::Timestamp;

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
pub struct Memory {}

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
pub fn step(_memory: &mut Memory, _snapshot: &Snapshot, _now: Timestamp) -> Plan {
    unimplemented!()
}
