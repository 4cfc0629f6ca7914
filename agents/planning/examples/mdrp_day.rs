//! Runs the day of an instance of the Meal Delivery Routing Problem through `step`, a step a minute, and prints how it
//! went: `cargo run --release --example mdrp_day -- DIR…`. The instances are public (Grubhub, `mdrplib`).

#![expect(clippy::unwrap_used, reason = "a tool for developers that may end on the first surprise")]
#![expect(clippy::print_stdout, reason = "its output is its purpose")]

#[path = "../tests/it/day.rs"]
#[allow(dead_code, reason = "shared with the tests, which use more of it")]
mod day;

use std::{path::Path, sync::Arc};

use day::{Day, Summary};
use dropmate_api::{
    Driver, DriverSpec, Location, Order, OrderSpec, Phase,
    driver::{Shift, Vehicle},
    order::{Recipient, Stop},
};
use dropmate_planning::Snapshot;
use jiff::{SignedDuration, Timestamp};

const METERS_PER_DEGREE: f64 = 111_195.08;

fn place(x: f64, y: f64) -> Location {
    Location { latitude: y / METERS_PER_DEGREE, longitude: x / METERS_PER_DEGREE }
}

fn rows(dir: &Path, file: &str) -> Vec<Vec<String>> {
    let text = std::fs::read_to_string(dir.join(file)).unwrap();
    text.lines()
        .skip(1)
        .filter(|l| !l.trim().is_empty())
        .map(|l| l.split('\t').map(|c| c.trim().to_owned()).collect())
        .collect()
}

fn main() {
    let minute = |minutes: &str| Timestamp::from_second((minutes.parse::<f64>().unwrap() * 60.0) as i64).unwrap();
    let number = |cell: &str| cell.parse::<f64>().unwrap();
    for dir in std::env::args().skip(1) {
        let dir = Path::new(&dir);
        let parameters = rows(dir, "instance_parameters.txt").remove(0);
        let speed = number(&parameters[0]) / 60.0;
        let stop = |x, y, service: &str| Stop {
            address: "-".into(),
            location: place(x, y),
            depot_name: None,
            window: None,
            service_seconds: Some((number(service) * 60.0) as i64),
            contact: None,
            instructions: None,
        };
        let restaurants: std::collections::BTreeMap<String, (f64, f64)> = rows(dir, "restaurants.txt")
            .into_iter()
            .map(|row| (row[0].clone(), (number(&row[1]), number(&row[2]))))
            .collect();
        let orders = rows(dir, "orders.txt").into_iter().map(|row| {
            let (x, y) = restaurants[&row[4]];
            let spec = OrderSpec {
                pickup: stop(x, y, &parameters[1]),
                dropoff: stop(number(&row[1]), number(&row[2]), &parameters[2]),
                recipient: Recipient { name: "-".into(), ..Recipient::default() },
                placed_at: Some(minute(&row[3])),
                ready_at: Some(minute(&row[5])),
                due_by: Some(minute(&row[3]) + SignedDuration::from_mins(number(&parameters[3]) as i64)),
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
            Arc::new(Order::new(&row[0], spec))
        });
        let drivers = rows(dir, "couriers.txt").into_iter().map(|row| {
            let spec = DriverSpec {
                display_name: row[0].clone(),
                vehicle: Some(Vehicle { speed_meters_per_second: Some(speed), ..Vehicle::default() }),
                start_location: Some(place(number(&row[1]), number(&row[2]))),
                shifts: vec![Shift { start: minute(&row[3]), end: minute(&row[4]) }],
                ..DriverSpec::default()
            };
            Arc::new(Driver::new(&row[0], spec))
        });
        let snapshot = Snapshot { orders: orders.collect(), drivers: drivers.collect(), ..Snapshot::default() };
        let began = std::time::Instant::now();
        let mut day = Day::new(snapshot, Timestamp::UNIX_EPOCH);
        day.run(SignedDuration::from_mins(1), minute("2400"));
        let took = began.elapsed();
        let summary = day.summary();
        let mean = |v: &[f64]| Summary::mean(v) / 60.0;
        println!(
            "{:<16} delivered {}/{} ({:.2} %)  CtD {:.2} (floor {:.2}, p90 {:.1})  RtP {:.2}  bindings {}  {:.1} s",
            dir.file_name().unwrap().to_string_lossy(),
            summary.delivered,
            summary.orders,
            100.0 * summary.delivered as f64 / summary.orders as f64,
            mean(&summary.click_to_door),
            mean(&summary.floor),
            Summary::p90(&summary.click_to_door) / 60.0,
            mean(&summary.ready_to_pickup),
            day.bindings.len(),
            took.as_secs_f64(),
        );
        for order in day.orders.values().filter(|order| order.phase() != Phase::Delivered).take(10) {
            let conditions = &order.status.as_ref().unwrap().conditions;
            let message = conditions.iter().find(|c| c.type_ == "Unassignable").map(|c| c.message.as_str());
            println!("  {} {:?} {}", order.metadata.name.as_deref().unwrap(), order.phase(), message.unwrap_or("-"));
        }
    }
}
