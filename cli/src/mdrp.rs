//! Instances of the Meal Delivery Routing Problem (Reyes et al., 2018; <https://github.com/grubhub/mdrplib>) as
//! manifests. Times are minutes of a day, places metres on a plane.

mod read;

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context as _, anyhow};
use dropmate_api::{
    Depot, DepotSpec, Driver, DriverSpec, Location, Order, OrderSpec, VehicleType,
    driver::{Shift, Vehicle},
    order::{Item, Recipient, Stop},
};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::{api::core::v1::Namespace, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use serde::Serialize;

pub(crate) use read::{Instance, Point, read};

/// Metres of one degree of latitude on the sphere that distances are measured on (radius 6,371,008.8 m).
const METERS_PER_DEGREE: f64 = 6_371_008.8 * std::f64::consts::PI / 180.0;

/// Where and when the instance happens.
#[derive(Clone, Debug)]
pub(crate) struct Placement {
    /// The namespace of all objects.
    pub(crate) namespace: String,
    /// Where the middle of the plane is put.
    pub(crate) at: Location,
    /// What minute 0 is.
    pub(crate) midnight: Timestamp,
    /// How many orders at most.
    pub(crate) limit: Option<usize>,
}

/// A day as objects.
#[derive(Debug)]
pub(crate) struct Day {
    pub(crate) namespace: Namespace,
    pub(crate) depots: Vec<Depot>,
    pub(crate) drivers: Vec<Driver>,
    pub(crate) orders: Vec<Order>,
    /// When the first order is placed.
    pub(crate) first_placed_at: Option<Timestamp>,
}

/// Converts an instance.
pub(crate) fn convert(instance: &Instance, placement: &Placement) -> anyhow::Result<Day> {
    let plane = Plane::around(instance, placement.at);
    let at = |minute: f64| moment(placement.midnight, minute);
    let meta = |name: &str| ObjectMeta {
        name: Some(name.to_owned()),
        namespace: Some(placement.namespace.clone()),
        ..ObjectMeta::default()
    };
    let parameters = &instance.parameters;

    let depots = instance.restaurants.iter().map(|(name, point)| {
        let spec = DepotSpec {
            address: Some(format!("Restaurant {name}")),
            location: Some(plane.location(*point)),
            time_zone: None,
            preparation_seconds: None,
        };
        Depot { metadata: meta(name), spec, status: None }
    });

    let mut drivers = Vec::new();
    for courier in &instance.couriers {
        let vehicle = Vehicle {
            type_: VehicleType::Car,
            speed_meters_per_second: Some(rounded(parameters.meters_per_minute / 60.0, 1e6)),
        };
        let spec = DriverSpec {
            display_name: format!("Courier {}", courier.name),
            vehicle: Some(vehicle),
            shifts: vec![Shift { start: at(courier.on_minute)?, end: at(courier.off_minute)? }],
            start_location: Some(plane.location(courier.point)),
            ..DriverSpec::default()
        };
        drivers.push(Driver { metadata: meta(&courier.name), spec, status: None });
    }

    let restaurants: BTreeMap<&str, Point> =
        instance.restaurants.iter().map(|(name, at)| (name.as_str(), *at)).collect();
    let mut orders = Vec::new();
    for order in instance.orders.iter().take(placement.limit.unwrap_or(usize::MAX)) {
        let restaurant = restaurants.get(order.restaurant.as_str()).ok_or_else(|| {
            anyhow!("order {} is of restaurant {}, which is not in restaurants.txt", order.name, order.restaurant)
        })?;
        let stop = |address: String, point: Point, minutes: f64| Stop {
            address,
            location: plane.location(point),
            depot_name: None,
            window: None,
            service_seconds: Some((minutes * 60.0).round() as i64),
            contact: None,
            instructions: None,
        };
        let pickup = Stop {
            depot_name: Some(order.restaurant.clone()),
            ..stop(format!("Restaurant {}", order.restaurant), *restaurant, parameters.pickup_service_minutes)
        };
        let spec = OrderSpec {
            pickup,
            dropoff: stop(format!("Customer of {}", order.name), order.point, parameters.dropoff_service_minutes),
            recipient: Recipient { name: format!("Customer of {}", order.name), ..Recipient::default() },
            placed_at: Some(at(order.placed_minute)?),
            ready_at: Some(at(order.ready_minute)?),
            due_by: Some(at(order.placed_minute + parameters.target_click_to_door_minutes)?),
            items: vec![Item {
                name: "Meal".to_owned(),
                quantity: 1,
                weight_kilograms: None,
                volume_liters: None,
                reference: None,
            }],
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
        orders.push(Order { metadata: meta(&order.name), spec, status: None });
    }

    Ok(Day {
        namespace: Namespace {
            metadata: ObjectMeta { name: Some(placement.namespace.clone()), ..ObjectMeta::default() },
            ..Namespace::default()
        },
        depots: depots.collect(),
        first_placed_at: orders.iter().filter_map(|order| order.spec.placed_at).min(),
        drivers,
        orders,
    })
}

fn moment(midnight: Timestamp, minute: f64) -> anyhow::Result<Timestamp> {
    let after = SignedDuration::from_millis((minute * 60_000.0).round() as i64);
    midnight.checked_add(after).with_context(|| format!("minute {minute} is out of range"))
}

/// The instance's plane, laid tangentially on the Earth so that its middle is at a given point.
struct Plane {
    middle: Point,
    at: Location,
}

impl Plane {
    fn around(instance: &Instance, at: Location) -> Self {
        let mut low = Point { x: f64::INFINITY, y: f64::INFINITY };
        let mut high = Point { x: f64::NEG_INFINITY, y: f64::NEG_INFINITY };
        for point in instance.points() {
            low = Point { x: low.x.min(point.x), y: low.y.min(point.y) };
            high = Point { x: high.x.max(point.x), y: high.y.max(point.y) };
        }
        let middle = Point { x: low.x.midpoint(high.x), y: low.y.midpoint(high.y) };
        Self { middle: if middle.x.is_finite() { middle } else { Point { x: 0.0, y: 0.0 } }, at }
    }

    /// The azimuthal equidistant projection, backwards: lengths hold far better than 0.1 % at the size of a city,
    /// north and south of the middle alike.
    fn location(&self, point: Point) -> Location {
        let (x, y) = (point.x - self.middle.x, point.y - self.middle.y);
        let distance = x.hypot(y);
        if distance == 0.0 {
            return self.at;
        }
        let angle = (distance / METERS_PER_DEGREE).to_radians();
        let latitude = self.at.latitude.to_radians();
        let sine = angle.cos() * latitude.sin() + y * angle.sin() * latitude.cos() / distance;
        let east = (x * angle.sin()).atan2(distance * latitude.cos() * angle.cos() - y * latitude.sin() * angle.sin());
        // A seventh decimal is a centimetre.
        Location {
            latitude: rounded(sine.asin().to_degrees(), 1e7),
            longitude: rounded(self.at.longitude + east.to_degrees(), 1e7),
        }
    }
}

fn rounded(value: f64, scale: f64) -> f64 {
    (value * scale).round() / scale
}

impl Day {
    /// Writes the manifests, in the order in which a directory is applied: the namespace is found wherever it stands.
    pub(crate) fn write(&self, out: &Path) -> anyhow::Result<()> {
        fs::create_dir_all(out).with_context(|| format!("cannot make {}", out.display()))?;
        write(&out.join("namespace.yaml"), std::slice::from_ref(&self.namespace))?;
        write(&out.join("depots.yaml"), &self.depots)?;
        write(&out.join("drivers.yaml"), &self.drivers)?;
        write(&out.join("orders.yaml"), &self.orders)
    }
}

fn write<T: Serialize>(path: &Path, objects: &[T]) -> anyhow::Result<()> {
    let mut text = String::new();
    for object in objects {
        text += "---\n";
        text += &serde_yaml::to_string(object)?;
    }
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Great-circle distance in metres.
    fn distance(a: Location, b: Location) -> f64 {
        let (north, east) = ((b.latitude - a.latitude).to_radians(), (b.longitude - a.longitude).to_radians());
        let half = (north / 2.0).sin().powi(2)
            + a.latitude.to_radians().cos() * b.latitude.to_radians().cos() * (east / 2.0).sin().powi(2);
        2.0 * half.sqrt().asin().to_degrees() * METERS_PER_DEGREE
    }

    #[test]
    fn distances_on_the_earth_are_those_of_the_plane() {
        for latitude in [0.0, 43.65, -33.9, 60.0] {
            let plane = Plane { middle: Point { x: 8_000.0, y: 8_000.0 }, at: Location { latitude, longitude: -79.4 } };
            let points: Vec<Point> = (0..5)
                .flat_map(|x| (0..5).map(move |y| Point { x: f64::from(x) * 4_000.0, y: f64::from(y) * 4_000.0 }))
                .collect();
            for a in &points {
                for b in points.iter().filter(|b| *b != a) {
                    let wanted = (a.x - b.x).hypot(a.y - b.y);
                    let found = distance(plane.location(*a), plane.location(*b));
                    assert!((found / wanted - 1.0).abs() < 0.001, "{latitude}: {found} instead of {wanted}");
                }
            }
        }
    }
}
