//! What the board keeps of an object: a line, not the object.

use std::collections::BTreeMap;

use dropmate_api::{
    Driver, Order, Phase,
    common::ConditionStatus,
    driver::{RouteStop, Shift},
    order::{StopKind, binding::bound_driver},
};
use jiff::Timestamp;
use serde_json::Value;

/// An object's namespace and name.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) namespace: String,
    pub(super) name: String,
}

/// An object as a line of the board.
pub(super) trait Line: Sized {
    /// The word for the kind, for messages.
    const KIND: &'static str;
    /// Reads an object of a list or a watch.
    fn read(object: Value) -> Result<Self, serde_json::Error>;
}

/// An order.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct OrderLine {
    pub(super) key: Key,
    pub(super) phase: Phase,
    /// To whom it is bound, also after its end.
    pub(super) driver: Option<String>,
    pub(super) placed_at: Option<Timestamp>,
    pub(super) due_by: Option<Timestamp>,
    pub(super) eta: Option<Timestamp>,
    /// When it ended, as far as it is known.
    pub(super) ended_at: Option<Timestamp>,
    /// What keeps it.
    pub(super) note: String,
}

/// A driver.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct DriverLine {
    pub(super) key: Key,
    pub(super) display_name: String,
    pub(super) suspended: bool,
    pub(super) shifts: Vec<Shift>,
    /// How many orders fit at once.
    pub(super) capacity: usize,
    /// The next stop: the order, which stop of it, and when.
    pub(super) next: Option<(StopKind, String, Option<Timestamp>)>,
    /// When the goods of each order on the route are expected at the door.
    pub(super) arrivals: BTreeMap<String, Timestamp>,
}

impl Line for OrderLine {
    const KIND: &'static str = "order";

    fn read(object: Value) -> Result<Self, serde_json::Error> {
        let order: Order = serde_json::from_value(object)?;
        let status = order.status.clone().unwrap_or_default();
        let phase = order.phase();
        let delivered_at = status.stops.as_ref().and_then(|stops| stops.dropoff.completed_at);
        let attempted_at = status.attempts.last().map(|attempt| attempt.at);
        Ok(Self {
            phase,
            driver: bound_driver(&status).map(str::to_owned),
            placed_at: order.placed_at(),
            due_by: order.spec.due_by,
            eta: status.eta.filter(|_| !phase.is_terminal()),
            ended_at: delivered_at.or(status.expired_at).or(attempted_at).filter(|_| phase.is_terminal()),
            note: note(&order),
            key: Key {
                namespace: order.metadata.namespace.unwrap_or_default(),
                name: order.metadata.name.unwrap_or_default(),
            },
        })
    }
}

fn note(order: &Order) -> String {
    let mut notes = Vec::new();
    if order.spec.hold {
        notes.push("on hold".to_owned());
    }
    if let Some(driver) = &order.spec.driver_name {
        notes.push(format!("pinned to {driver}"));
    }
    let conditions = order.status.iter().flat_map(|status| &status.conditions);
    if conditions.into_iter().any(|c| c.type_ == "Unassignable" && c.status == ConditionStatus::True) {
        notes.push("no driver may take it".to_owned());
    }
    if order.phase().is_terminal() { String::new() } else { notes.join(", ") }
}

impl Line for DriverLine {
    const KIND: &'static str = "driver";

    fn read(object: Value) -> Result<Self, serde_json::Error> {
        let driver: Driver = serde_json::from_value(object)?;
        let given = driver.spec.capacity.as_ref().and_then(|capacity| capacity.orders);
        let capacity = given.unwrap_or_else(|| driver.spec.vehicle_type().default_orders());
        let route = driver.status.unwrap_or_default().route;
        Ok(Self {
            key: Key {
                namespace: driver.metadata.namespace.unwrap_or_default(),
                name: driver.metadata.name.unwrap_or_default(),
            },
            display_name: driver.spec.display_name,
            suspended: driver.spec.suspended,
            shifts: driver.spec.shifts,
            capacity: usize::try_from(capacity).unwrap_or_default(),
            arrivals: route.iter().filter_map(arrival).collect(),
            next: route.into_iter().next().map(|stop| (stop.stop, stop.order, stop.eta)),
        })
    }
}

fn arrival(stop: &RouteStop) -> Option<(String, Timestamp)> {
    Some((stop.order.clone(), stop.eta?)).filter(|_| stop.stop == StopKind::Dropoff)
}

impl OrderLine {
    /// Whether the promise is broken at that moment.
    pub(super) fn is_late(&self, now: Timestamp) -> bool {
        self.due_by.is_some_and(|due| self.ended_at.unwrap_or(now) > due)
    }
}

impl DriverLine {
    /// Whether a shift is on; without shifts it always is.
    pub(super) fn is_on_shift(&self, now: Timestamp) -> bool {
        self.shifts.is_empty() || self.shifts.iter().any(|shift| shift.start <= now && now < shift.end)
    }
}
