//! Decisions over values: geofences, ETAs, conditions, timelines.

mod conditions;
mod etas;
mod geofences;
mod looks;
mod timelines;

use std::sync::Arc;

use dropmate_api::{Driver, Location, Order};
use dropmate_tracking::fix::Fix;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

/// Noon of a working day.
pub(crate) fn noon() -> Timestamp {
    "2026-11-23T12:00:00Z".parse().unwrap()
}

/// That many seconds after noon.
pub(crate) fn at(seconds: i64) -> Timestamp {
    noon() + SignedDuration::from_secs(seconds)
}

/// So many metres north of the middle of the town.
pub(crate) fn north(meters: f64) -> Location {
    Location { latitude: 43.65 + meters / 111_195.0, longitude: -79.38 }
}

pub(crate) fn fix(seconds: i64, meters: f64) -> Fix {
    Fix { at: at(seconds), place: north(meters), accuracy_meters: None, speed_meters_per_second: None }
}

/// An order from the middle of the town to a door two kilometres north.
pub(crate) fn order(name: &str, spec: Value, status: Value) -> Arc<Order> {
    let mut whole = json!({
        "pickup": {"address": "12 Mill St", "location": north(0.0), "serviceSeconds": 60},
        "dropoff": {"address": "88 Queens Quay", "location": north(2000.0), "serviceSeconds": 60},
        "recipient": {"name": "Ada"},
        "placedAt": at(-600),
    });
    whole.as_object_mut().unwrap().extend(spec.as_object().cloned().unwrap_or_default());
    let order = json!({
        "apiVersion": "dropmate.dev/v1", "kind": "Order",
        "metadata": {"name": name, "namespace": "acme", "uid": format!("uid-{name}"), "resourceVersion": "1", "generation": 1},
        "spec": whole, "status": status,
    });
    Arc::new(serde_json::from_value(order).unwrap())
}

/// The status of an order that was bound to sam at noon.
pub(crate) fn bound(more: Value) -> Value {
    let mut status = json!({
        "phase": "Assigned", "driverName": "sam", "custody": "Sender", "releasedAt": at(-300),
        "assignment": {"driverName": "sam", "boundAt": at(0), "generation": 0},
    });
    status.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
    status
}

/// The status of an order that sam fetched five minutes after noon.
pub(crate) fn fetched(more: Value) -> Value {
    let mut status = bound(json!({
        "phase": "OutForDelivery", "custody": "Driver",
        "stops": {
            "pickup": {"state": "Completed", "departedAt": at(10), "arrivedAt": at(200), "completedAt": at(300)},
            "dropoff": {"state": "Pending"},
        },
    }));
    status.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
    status
}

/// Sam on ten metres a second.
pub(crate) fn sam(status: Value) -> Arc<Driver> {
    let driver = json!({
        "apiVersion": "dropmate.dev/v1", "kind": "Driver",
        "metadata": {"name": "sam", "namespace": "acme", "uid": "uid-sam", "resourceVersion": "1"},
        "spec": {"displayName": "Sam", "vehicle": {"type": "car", "speedMetersPerSecond": 10.0}},
        "status": status,
    });
    Arc::new(serde_json::from_value(driver).unwrap())
}
