//! Small orders and drivers around one crossing, and plans as text.

#![expect(clippy::unnecessary_wraps, reason = "they fill optional fields")]

use std::sync::Arc;

use dropmate_api::{
    Driver, DriverSpec, DriverStatus, Location, Order, OrderSpec, OrderStatus, Phase, TimeWindow, VehicleType,
    driver::{Capacity, Shift, Vehicle},
    order::{Assignment, Custody, Item, Recipient, Requirements, Stop, StopState, StopStatus, Stops},
};
use dropmate_planning::{Command, Plan, Snapshot};
use jiff::Timestamp;

/// The day's moment, as `"12:30"`.
pub(crate) fn at(clock: &str) -> Timestamp {
    format!("2026-03-02T{clock}:00Z").parse().expect("a clock time")
}

/// So many metres east and north of the crossing.
pub(crate) fn place(east: f64, north: f64) -> Location {
    const METERS_PER_DEGREE: f64 = 111_195.08;
    let latitude = 43.65;
    Location {
        latitude: latitude + north / METERS_PER_DEGREE,
        longitude: -79.38 + east / METERS_PER_DEGREE / f64::to_radians(latitude).cos(),
    }
}

fn stop(location: Location) -> Stop {
    Stop {
        address: "12 Mill St".into(),
        location,
        depot_name: None,
        window: None,
        service_seconds: None,
        contact: None,
        instructions: None,
    }
}

/// An order from the crossing to a door a kilometre north: placed and ready at noon, released.
pub(crate) fn order(name: &str) -> Order {
    let spec = OrderSpec {
        pickup: stop(place(0.0, 0.0)),
        dropoff: stop(place(0.0, 1000.0)),
        recipient: Recipient { name: "Ada".into(), ..Recipient::default() },
        placed_at: Some(at("12:00")),
        ready_at: Some(at("12:00")),
        due_by: None,
        items: Vec::new(),
        priority: 0,
        requirements: None,
        proof: None,
        driver_name: None,
        hold: false,
        cancelled: false,
        retry: None,
        customer_name: None,
        ttl_seconds_after_finished: None,
        tracking_from: None,
    };
    let mut order = Order::new(name, spec);
    order.status = Some(OrderStatus {
        phase: Phase::Ready,
        release_at: Some(at("12:00")),
        released_at: Some(at("12:00")),
        ..OrderStatus::default()
    });
    order
}

/// The order before dispatch saw it.
pub(crate) fn fresh(name: &str) -> Order {
    Order { status: Some(OrderStatus::default()), ..order(name) }
}

/// The order bound to a driver who has not set out.
pub(crate) fn assigned(name: &str, driver: &str) -> Order {
    let mut order = order(name);
    let status = order.status.as_mut().unwrap();
    status.phase = Phase::Assigned;
    status.driver_name = Some(driver.into());
    status.assignment = Some(Assignment {
        driver_name: Some(driver.into()),
        bound_at: Some(at("12:00")),
        trip_id: Some(format!("{name}-0")),
        ..Assignment::default()
    });
    status.stops = Some(Stops::default());
    order
}

/// The order in the vehicle of a driver who is on the way to the door.
pub(crate) fn carried(name: &str, driver: &str) -> Order {
    let mut order = assigned(name, driver);
    let status = order.status.as_mut().unwrap();
    status.phase = Phase::OutForDelivery;
    status.custody = Custody::Driver;
    let done = Some(at("12:00"));
    let (pickup, dropoff) = (order.spec.pickup.location, StopState::EnRoute);
    status.stops = Some(Stops {
        pickup: StopStatus {
            state: StopState::Completed,
            completed_at: done,
            location: Some(pickup),
            ..StopStatus::default()
        },
        dropoff: StopStatus { state: dropoff, departed_at: done, location: Some(pickup), ..StopStatus::default() },
    });
    order
}

/// A cyclist who starts so many metres east of the crossing.
pub(crate) fn driver(name: &str, east: f64) -> Driver {
    let spec = DriverSpec {
        display_name: name.into(),
        vehicle: Some(Vehicle { type_: VehicleType::Bicycle, speed_meters_per_second: Some(5.0) }),
        start_location: Some(place(east, 0.0)),
        ..DriverSpec::default()
    };
    let mut driver = Driver::new(name, spec);
    driver.status = Some(DriverStatus::default());
    driver
}

/// Changes something and gives it back.
pub(crate) trait With: Sized {
    /// Changes something and gives it back.
    fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }
}

impl With for Order {}
impl With for Driver {}
impl With for Snapshot {}

pub(crate) fn needs(skills: &[&str], vehicle_types: &[VehicleType]) -> Option<Requirements> {
    let skills = skills.iter().map(|skill| (*skill).to_owned()).collect();
    Some(Requirements { skills, vehicle_types: vehicle_types.to_vec() })
}

pub(crate) fn carries(orders: i32, weight_kilograms: f64) -> Option<Capacity> {
    Some(Capacity { orders: Some(orders), weight_kilograms: Some(weight_kilograms), volume_liters: None })
}

pub(crate) fn crate_of(weight_kilograms: f64) -> Vec<Item> {
    let weight_kilograms = Some(weight_kilograms);
    vec![Item { name: "Crate".into(), quantity: 1, weight_kilograms, volume_liters: None, reference: None }]
}

pub(crate) fn shift(start: &str, end: &str) -> Vec<Shift> {
    vec![Shift { start: at(start), end: at(end) }]
}

pub(crate) fn until(latest: &str) -> Option<TimeWindow> {
    Some(TimeWindow { earliest: None, latest: Some(at(latest)) })
}

/// The objects as dispatch sees them.
pub(crate) fn snapshot(orders: Vec<Order>, drivers: Vec<Driver>) -> Snapshot {
    Snapshot {
        orders: orders.into_iter().map(Arc::new).collect(),
        drivers: drivers.into_iter().map(Arc::new).collect(),
        ..Snapshot::default()
    }
}

/// A plan for a reviewer.
pub(crate) fn text(plan: &Plan) -> String {
    let clock = |at: Timestamp| at.strftime("%H:%M:%S").to_string();
    let mut lines = Vec::new();
    for command in &plan.commands {
        match command {
            Command::Schedule { order, release_at } => {
                lines.push(format!("schedule {order} for {}", clock(*release_at)));
            }
            Command::Release { order } => lines.push(format!("release {order}")),
            Command::Bind { order, driver, trip_id, reason } => {
                lines.push(format!("bind {order} to {driver}, trip {trip_id}"));
                lines.push(format!("  {}", reason.summary));
                for candidate in &reason.candidates {
                    lines.push(format!(
                        "  {}: cost {} = {} s late, {} s from ready to the door, {} s driven; {} to {}",
                        candidate.driver,
                        candidate.cost,
                        candidate.lateness_seconds,
                        candidate.freshness_seconds,
                        candidate.driving_seconds,
                        candidate.pickup_at.map_or_else(|| "-".into(), clock),
                        candidate.dropoff_at.map_or_else(|| "-".into(), clock),
                    ));
                }
                for limit in &reason.ruled_out {
                    lines.push(format!("  ruled out by {}: {}", limit.limit, limit.drivers));
                }
            }
            Command::Unbind { order, reason } => lines.push(format!("unbind {order}: {reason}")),
            Command::Expire { order } => lines.push(format!("expire {order}")),
            Command::Decide { order, decision } => lines.push(format!("decide {order}: {decision:?}")),
            Command::Unassignable { order, message, .. } => lines.push(format!("unassignable {order}: {message}")),
            Command::Assignable { order } => lines.push(format!("assignable {order}")),
            Command::Route { driver, active_orders, route } => {
                lines.push(format!("route of {driver}, {active_orders} active"));
                for stop in route {
                    let eta = stop.eta.map_or_else(|| "-".into(), clock);
                    lines.push(format!("  {:?} {} {eta}", stop.stop, stop.order));
                }
            }
        }
    }
    lines.push(plan.wake_at.map_or_else(|| "sleep".into(), |at| format!("wake at {}", clock(at))));
    lines.join("\n")
}
