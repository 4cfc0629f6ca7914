//! `Driver`: a person with a vehicle who carries orders. To DropMate what a node is to Kubernetes.

use jiff::Timestamp;
use kube_derive::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    common::{Condition, Location},
    cross,
    registry::{Part, Strategy, WriteContext},
    validation::Cause,
};

/// What is wanted of a driver.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(crates(kube_core = "::kube_core"))]
#[kube(group = "dropmate.dev", version = "v1", kind = "Driver", plural = "drivers", shortname = "drv")]
#[kube(category = "dropmate", category = "all")]
#[kube(namespaced, status = "DriverStatus", derive = "PartialEq")]
#[serde(rename_all = "camelCase")]
pub struct DriverSpec {
    /// The name people see.
    #[schemars(length(min = 1, max = 256))]
    pub display_name: String,
    /// Phone number (E.164).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^\+[1-9][0-9]{6,14}$"))]
    pub phone: Option<String>,
    /// What the driver drives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vehicle: Option<Vehicle>,
    /// How much the driver can carry at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity: Option<Capacity>,
    /// What the driver is able or licensed to carry, matched against `Order.spec.requirements.skills`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skills: Vec<String>,
    /// When the driver works; none means always.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shifts: Vec<Shift>,
    /// Where the driver is before the first report.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_location: Option<Location>,
    /// IANA time zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// No new bindings; bound orders go on (`dropmate cordon driver`).
    #[serde(default)]
    pub suspended: bool,
}

/// What customers are told of a driver's name: `Sam` of `Sam Smith`, and of `Smith, Sam`.
pub fn first_name(name: &str) -> &str {
    let given = name.split_once(',').map_or(name, |(_, given)| given);
    given.split_whitespace().next().or_else(|| name.split_whitespace().next()).unwrap_or_default()
}

/// A vehicle and how fast it goes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Vehicle {
    /// The kind of vehicle; a bicycle when absent.
    #[serde(default, rename = "type")]
    pub type_: VehicleType,
    /// Average speed over the straight line in metres a second; by `type` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.1, max = 100.0))]
    pub speed_meters_per_second: Option<f64>,
}

/// The kinds of vehicle.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum VehicleType {
    /// A bicycle.
    #[default]
    Bicycle,
    /// A motorcycle or scooter.
    Motorcycle,
    /// A car.
    Car,
    /// A van.
    Van,
    /// A truck.
    Truck,
    /// On foot.
    Foot,
}

/// What fits at once; an absent dimension is by vehicle type (`orders`) or unlimited (weight, volume).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Capacity {
    /// How many orders at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub orders: Option<i32>,
    /// How many kilograms at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0))]
    pub weight_kilograms: Option<f64>,
    /// How many litres at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0))]
    pub volume_liters: Option<f64>,
}

/// One working period, half-open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Shift {
    /// First moment of the shift.
    pub start: Timestamp,
    /// First moment after it; a pickup may not happen later.
    pub end: Timestamp,
}

/// What was observed of a driver.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DriverStatus {
    /// Whether the driver takes orders, as the driver says (`PUT /v1/me/availability`); absent: by the shifts. Written by
    /// the server alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub availability: Option<Availability>,
    /// How many orders are bound to the driver and not finished.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub active_orders: Option<i32>,
    /// The stops ahead, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub route: Vec<RouteStop>,
    /// Coarse last position.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<Position>,
    /// Conditions by type.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

/// Whether a driver takes orders.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Availability {
    /// Has gone home.
    Offline,
    /// Works, and has nothing to carry.
    Available,
    /// Will be back, and gets nothing new until then.
    OnBreak,
    /// Works, and has orders.
    Busy,
}

impl Availability {
    /// Whether the driver may be given new orders.
    pub fn takes_orders(self) -> bool {
        matches!(self, Self::Available | Self::Busy)
    }

    /// As everybody sees it: who works is busy while orders are bound.
    #[must_use]
    pub fn with_orders(self, active_orders: i64) -> Self {
        match self {
            Self::Available | Self::Busy if active_orders > 0 => Self::Busy,
            Self::Available | Self::Busy => Self::Available,
            away => away,
        }
    }
}

/// A stop ahead of a driver.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RouteStop {
    /// Name of the order, in the driver's namespace.
    pub order: String,
    /// Which of the order's stops.
    pub stop: crate::order::StopKind,
    /// Where it is.
    pub location: Location,
    /// When the driver is expected there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eta: Option<Timestamp>,
}

/// A position with its time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Position {
    /// Degrees north.
    #[schemars(range(min = -90.0, max = 90.0))]
    pub latitude: f64,
    /// Degrees east.
    #[schemars(range(min = -180.0, max = 180.0))]
    pub longitude: f64,
    /// When the driver was there.
    pub at: Timestamp,
}

impl VehicleType {
    /// Average speed over the straight line in metres a second, for a city and where nothing is known of the vehicle.
    /// Rounded door-to-door city averages, streets' detour included.
    pub fn default_speed(self) -> f64 {
        match self {
            Self::Bicycle => 4.2,
            Self::Motorcycle => 7.0,
            Self::Car | Self::Van => 6.5,
            Self::Truck => 5.5,
            Self::Foot => 1.3,
        }
    }

    /// How many orders such a vehicle carries at once where `capacity.orders` does not say.
    pub fn default_orders(self) -> i32 {
        match self {
            Self::Foot => 2,
            Self::Bicycle => 4,
            Self::Motorcycle => 5,
            Self::Car => 12,
            Self::Van => 40,
            Self::Truck => 120,
        }
    }
}

impl DriverSpec {
    /// The vehicle's type; a bicycle when absent.
    pub fn vehicle_type(&self) -> VehicleType {
        self.vehicle.as_ref().map(|v| v.type_).unwrap_or_default()
    }

    /// Average speed over the straight line in metres a second.
    pub fn speed(&self) -> f64 {
        let given = self.vehicle.as_ref().and_then(|v| v.speed_meters_per_second);
        given.unwrap_or_else(|| self.vehicle_type().default_speed())
    }
}

/// The strategy of [`Driver`]: rules that no single field's schema can say.
#[derive(Debug)]
pub struct DriverStrategy;

impl Strategy for DriverStrategy {
    /// What the driver says stays, whoever else writes the status; whether that means busy follows from the orders.
    fn prepare(&self, new: &mut Value, old: Option<&Value>, cx: &WriteContext) {
        const AVAILABILITY: &str = "/status/availability";
        let said = if cx.part == Part::Facts {
            new.pointer(AVAILABILITY)
        } else {
            old.and_then(|old| old.pointer(AVAILABILITY))
        };
        let said = said.and_then(|said| Availability::deserialize(said).ok());
        // A status that is none is left for validation to name.
        let Some(object) = new.as_object_mut() else { return };
        if said.is_some() && !object.contains_key("status") {
            object.insert("status".to_owned(), json!({}));
        }
        let Some(status) = object.get_mut("status").and_then(Value::as_object_mut) else { return };
        let orders = status.get("activeOrders").and_then(Value::as_i64).unwrap_or_default();
        match said {
            Some(said) => status.insert("availability".to_owned(), json!(said.with_orders(orders))),
            None => status.remove("availability"),
        };
    }

    fn validate(&self, new: &Value, _old: Option<&Value>) -> Vec<Cause> {
        let mut causes = Vec::new();
        let count = cross::at(new, "spec.shifts").and_then(Value::as_array).map_or(0, Vec::len);
        let mut shifts: Vec<(Timestamp, Timestamp, usize)> = Vec::new();
        for index in 0..count {
            let (from, to) = (format!("spec.shifts[{index}].start"), format!("spec.shifts[{index}].end"));
            let (Some(start), Some(end)) = (cross::moment(new, &from), cross::moment(new, &to)) else { continue };
            if end <= start {
                let value = cross::at(new, &to).cloned().unwrap_or_default();
                cross::invalid(&mut causes, &to, &value, &format!("must be after {from} ({start})"));
            } else {
                shifts.push((start, end, index));
            }
        }
        shifts.sort_unstable();
        for pair in shifts.windows(2) {
            let ((_, end, before), (start, _, index)) = (pair[0], pair[1]);
            if start < end {
                let field = format!("spec.shifts[{index}].start");
                let value = cross::at(new, &field).cloned().unwrap_or_default();
                cross::invalid(&mut causes, &field, &value, &format!("must not lie within spec.shifts[{before}]"));
            }
        }
        cross::time_zone(&mut causes, new, "spec.timeZone");
        cross::readable::<Driver>(&mut causes, new, "drivers");
        causes
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fields(spec: &Value) -> Vec<String> {
        DriverStrategy.validate(&json!({ "spec": spec }), None).into_iter().map(|cause| cause.field).collect()
    }

    fn prepared(part: Part, new: Value, old: Option<&Value>) -> Value {
        let mut new = new;
        DriverStrategy.prepare(&mut new, old, &WriteContext { part, business_now: Timestamp::UNIX_EPOCH });
        new["status"]["availability"].clone()
    }

    #[test]
    fn whether_a_driver_works_is_the_drivers_word_and_busy_is_who_has_orders() {
        let said =
            |availability: &str, orders: i64| json!({"status": {"availability": availability, "activeOrders": orders}});
        assert_eq!(prepared(Part::Facts, said("Available", 0), None), "Available");
        assert_eq!(prepared(Part::Facts, said("Available", 2), None), "Busy");
        assert_eq!(prepared(Part::Facts, said("OnBreak", 2), None), "OnBreak");
        // Dispatch writes how many orders there are; what it says of the driver's word counts for nothing.
        let old = said("Busy", 2);
        assert_eq!(prepared(Part::Status, json!({"status": {"activeOrders": 0}}), Some(&old)), "Available");
        assert_eq!(prepared(Part::Status, said("Offline", 2), Some(&old)), "Busy");
        assert_eq!(prepared(Part::Status, json!({}), Some(&old)), "Available");
        // Nobody says it at the creation.
        assert_eq!(prepared(Part::Main, said("Available", 0), None), Value::Null);
        assert_eq!(prepared(Part::Status, said("Available", 0), Some(&json!({"status": {}}))), Value::Null);
    }

    #[test]
    fn a_shift_that_ends_before_it_starts_is_named_by_its_index() {
        let shifts = json!([
            {"start": "2026-01-01T08:00:00Z", "end": "2026-01-01T12:00:00Z"},
            {"start": "2026-01-01T18:00:00Z", "end": "2026-01-01T14:00:00Z"},
        ]);
        assert_eq!(fields(&json!({ "shifts": shifts })), ["spec.shifts[1].end"]);
    }

    #[test]
    fn shifts_that_overlap_are_refused_in_whatever_order_they_stand() {
        let shifts = json!([
            {"start": "2026-01-01T11:00:00Z", "end": "2026-01-01T14:00:00Z"},
            {"start": "2026-01-01T08:00:00Z", "end": "2026-01-01T12:00:00Z"},
        ]);
        assert_eq!(fields(&json!({ "shifts": shifts })), ["spec.shifts[0].start"]);
    }

    #[test]
    fn shifts_that_touch_are_fine_and_so_is_a_known_zone() {
        let shifts = json!([
            {"start": "2026-01-01T08:00:00Z", "end": "2026-01-01T12:00:00Z"},
            {"start": "2026-01-01T12:00:00Z", "end": "2026-01-01T14:00:00Z"},
        ]);
        assert!(fields(&json!({ "shifts": shifts, "timeZone": "America/Toronto" })).is_empty());
    }

    #[test]
    fn an_unknown_zone_is_refused() {
        assert_eq!(fields(&json!({ "timeZone": "Mars/Olympus" })), ["spec.timeZone"]);
    }
}
