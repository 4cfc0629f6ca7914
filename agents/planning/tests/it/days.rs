//! Whole generated days: what a change of the planner does to the people at the counter and at the door.

use std::sync::Arc;

use dropmate_api::{Order, Phase};
use dropmate_planning::{Memory, Snapshot, step};
use jiff::{SignedDuration, Timestamp};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{
    build::{With, at, driver, fresh, place, shift, snapshot},
    day::{Day, Summary},
};

/// An evening in a town four kilometres across: dishes from a few kitchens, placed well before they are ready.
fn evening(seed: u64, orders: usize, drivers: usize) -> Snapshot {
    let mut chance = ChaCha8Rng::seed_from_u64(seed);
    let kitchens: Vec<_> =
        (0..8).map(|_| place(chance.random_range(-2000.0..2000.0), chance.random_range(-2000.0..2000.0))).collect();
    let opening = at("17:00");
    let orders = (0..orders).map(|number| {
        let placed = opening + SignedDuration::from_secs(chance.random_range(0..3 * 3600));
        let kitchen = kitchens[chance.random_range(0..kitchens.len())];
        fresh(&format!("o-{number:04}")).with(|o| {
            o.spec.placed_at = Some(placed);
            o.spec.ready_at = Some(placed + SignedDuration::from_mins(chance.random_range(8..25)));
            o.spec.due_by = Some(placed + SignedDuration::from_mins(45));
            o.spec.pickup.location = kitchen;
            o.spec.dropoff.location = place(chance.random_range(-2500.0..2500.0), chance.random_range(-2500.0..2500.0));
        })
    });
    let orders = orders.collect();
    let drivers = (0..drivers).map(|number| {
        driver(&format!("d-{number:03}"), chance.random_range(-2000.0..2000.0))
            .with(|d| d.spec.shifts = shift("16:30", "22:00"))
    });
    snapshot(orders, drivers.collect())
}

#[test]
fn an_evening_is_delivered_nearly_as_fast_as_can_be() {
    let mut day = Day::new(evening(1, 150, 22), at("16:59"));
    day.run(SignedDuration::from_secs(30), at("23:30"));
    let summary = day.summary();
    assert!(summary.delivered as f64 >= 0.99 * summary.orders as f64, "{} of {}", summary.delivered, summary.orders);
    let (mean, floor) = (Summary::mean(&summary.click_to_door), Summary::mean(&summary.floor));
    assert!(mean <= 1.15 * floor, "click to door {:.1} min over a floor of {:.1} min", mean / 60.0, floor / 60.0);
}

#[test]
fn a_crowded_evening_is_delivered_too() {
    let mut day = Day::new(evening(2, 150, 9), at("16:59"));
    day.run(SignedDuration::from_mins(1), at("23:30"));
    let summary = day.summary();
    assert!(summary.delivered as f64 >= 0.9 * summary.orders as f64, "{} of {}", summary.delivered, summary.orders);
}

#[test]
fn the_day_is_the_same_every_time() {
    let run = || {
        let mut day = Day::new(evening(3, 60, 8), at("16:59"));
        day.run(SignedDuration::from_mins(1), at("23:30"));
        day.bindings
    };
    assert_eq!(run(), run());
}

#[test]
fn a_planner_that_forgets_everything_delivers_as_well() {
    let mut day = Day::new(evening(4, 80, 14), at("16:59"));
    while day.now < at("23:00") {
        day.memory = Memory::default();
        day.pass(SignedDuration::from_mins(2));
    }
    let summary = day.summary();
    assert!(summary.delivered as f64 >= 0.99 * summary.orders as f64, "{} of {}", summary.delivered, summary.orders);
}

#[test]
fn no_order_is_bound_before_it_is_placed_or_bound_twice() {
    let mut day = Day::new(evening(5, 60, 10), at("16:59"));
    day.run(SignedDuration::from_mins(1), at("23:30"));
    let mut names: Vec<_> = day.bindings.iter().map(|(order, _)| order).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), day.bindings.len());
    let early = |order: &Arc<Order>| {
        let bound_at = order.status.as_ref()?.assignment.as_ref()?.bound_at?;
        Some(bound_at < order.placed_at()?)
    };
    assert!(
        day.orders.values().filter(|order| order.phase() == Phase::Delivered).all(|order| early(order) == Some(false))
    );
}

#[test]
fn knowing_the_future_changes_nothing_before_it_happens() {
    let whole = evening(6, 60, 10);
    let cut: Timestamp = at("18:00");
    let past = whole.clone().with(|w| w.orders.retain(|order| order.placed_at().is_some_and(|placed| placed <= cut)));
    let plans = [whole, past].map(|snapshot| {
        let mut day = Day::new(snapshot, at("16:59"));
        while day.now < cut {
            day.pass(SignedDuration::from_mins(1));
        }
        day.bindings
    });
    assert_eq!(plans[0], plans[1]);
    let mut memory = Memory::default();
    let unplaced = evening(6, 60, 10);
    assert!(step(&mut memory, &unplaced, at("16:59")).commands.is_empty());
}
