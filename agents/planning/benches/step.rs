//! How long a step takes beside its targets: `cargo bench -p dropmate-planning`. Absolute times depend on the machine;
//! the growth from one size to the next does not.

#![expect(clippy::unwrap_used, reason = "a tool for developers that may end on the first surprise")]
#![expect(clippy::print_stdout, reason = "its output is its purpose")]

#[path = "../tests/it/build.rs"]
#[allow(dead_code, reason = "shared with the tests, which use more of it")]
mod build;
#[path = "../tests/it/day.rs"]
#[allow(dead_code, reason = "shared with the tests, which use more of it")]
mod day;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use build::{With, at, driver, order, place, snapshot};
use day::Day;
use dropmate_api::{Driver, Order};
use dropmate_planning::{Memory, step};
use jiff::SignedDuration;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Targets of the design, in milliseconds at the 99th percentile: one new order, ≤ 1 % changed, cold.
const TARGETS: [(usize, [f64; 3]); 3] =
    [(100, [2.0, 20.0, 50.0]), (1_000, [5.0, 200.0, 1_000.0]), (10_000, [20.0, 2_000.0, 15_000.0])];

struct Town {
    chance: ChaCha8Rng,
    /// Metres from the crossing to the edge: the same density at every size.
    edge: f64,
    made: usize,
}

impl Town {
    fn order(&mut self) -> Order {
        let (x, y) = (self.chance.random_range(-self.edge..self.edge), self.chance.random_range(-self.edge..self.edge));
        let (dx, dy) = (self.chance.random_range(-2000.0..2000.0), self.chance.random_range(-2000.0..2000.0));
        let ready = at("12:00") + SignedDuration::from_secs(self.chance.random_range(0..1800));
        self.made += 1;
        order(&format!("o-{:06}", self.made)).with(|o| {
            o.spec.pickup.location = place(x, y);
            o.spec.dropoff.location = place(x + dx, y + dy);
            o.spec.ready_at = Some(ready);
        })
    }

    fn driver(&mut self, number: usize) -> Driver {
        let (x, y) = (self.chance.random_range(-self.edge..self.edge), self.chance.random_range(-self.edge..self.edge));
        driver(&format!("d-{number:06}"), 0.0).with(|d| d.spec.start_location = Some(place(x, y)))
    }
}

fn main() {
    println!("{:>7} {:<14} {:>10} {:>10} {:>10}", "size", "step", "p50 ms", "p99 ms", "p99 target");
    for (size, targets) in TARGETS {
        let mut town =
            Town { chance: ChaCha8Rng::seed_from_u64(size as u64), edge: 500.0 * (size as f64).sqrt(), made: 0 };
        let orders = (0..size).map(|_| town.order()).collect();
        let drivers = (0..size).map(|number| town.driver(number)).collect();
        let world = snapshot(orders, drivers);

        let colds = if size == 10_000 { 2 } else { 10 };
        report(
            size,
            "cold",
            targets[2],
            (0..colds).map(|_| timed(|| step(&mut Memory::default(), &world, at("12:00")))),
        );

        let mut day = Day::new(world, at("12:00"));
        day.dispatch();
        let samples = if size == 10_000 { 30 } else { 100 };
        let one = (0..samples).map(|_| {
            let order = Arc::new(town.order());
            day.orders.insert(order.metadata.name.clone().unwrap(), order);
            measured(&mut day)
        });
        report(size, "one new order", targets[0], one.collect::<Vec<_>>().into_iter());

        let full = (0..samples / 3).map(|_| {
            day.now += SignedDuration::from_secs(10);
            for _ in 0..(size / 200).max(1) {
                let order = Arc::new(town.order());
                day.orders.insert(order.metadata.name.clone().unwrap(), order);
            }
            for _ in 0..(size / 200).max(1) {
                let name = format!("d-{:06}", town.chance.random_range(0..size));
                let held = day.drivers.get_mut(&name).unwrap();
                Arc::make_mut(held).spec.display_name.push('x');
            }
            measured(&mut day)
        });
        report(size, "1 % changed", targets[1], full.collect::<Vec<_>>().into_iter());
    }
}

/// The computing time of the next step; then its commands are carried out.
fn measured(day: &mut Day) -> Duration {
    let snapshot = day.snapshot();
    let (memory, now) = (&mut day.memory, day.now);
    let took = timed(|| step(memory, &snapshot, now));
    day.dispatch();
    took
}

fn timed<T>(work: impl FnOnce() -> T) -> Duration {
    let (began, cpu) = (Instant::now(), cpu_time());
    let result = work();
    let took = cpu.and_then(|cpu| cpu_time()?.checked_sub(cpu)).unwrap_or_else(|| began.elapsed());
    drop(result);
    took
}

/// How long this thread has computed, where the system says: on a shared machine the clock on the wall measures the
/// neighbours.
fn cpu_time() -> Option<Duration> {
    let schedstat = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    Some(Duration::from_nanos(schedstat.split_whitespace().next()?.parse().ok()?))
}

fn report(size: usize, what: &str, target: f64, times: impl Iterator<Item = Duration>) {
    let mut times: Vec<f64> = times.map(|time| time.as_secs_f64() * 1000.0).collect();
    times.sort_by(f64::total_cmp);
    let percentile = |share: f64| times[((times.len() - 1) as f64 * share).round() as usize];
    println!("{size:>7} {what:<14} {:>10.2} {:>10.2} {target:>10.0}", percentile(0.5), percentile(0.99));
}
