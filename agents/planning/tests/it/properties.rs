//! What holds for every snapshot, whatever it looks like.

use std::collections::BTreeMap;

use dropmate_api::{Driver, Order, VehicleType, order::Custody, policy::DispatchMode};
use dropmate_planning::{Command, Memory, Plan, Snapshot, step};
use jiff::SignedDuration;
use proptest::prelude::*;

use super::{
    build::{With, assigned, at, carried, carries, crate_of, driver, fresh, needs, order, place, shift, snapshot},
    day::Day,
};

fn any_order(name: String) -> impl Strategy<Value = Order> {
    let places = (-3000.0..3000.0_f64, -3000.0..3000.0_f64, 0..4_usize);
    let times = (0..60_i64, 0..40_i64);
    let wants = (0..10_u8, 0.0..30.0_f64, 0..6_u8, 0..20_usize);
    (places, times, wants).prop_map(move |((x, y, kitchen), (placed, prep), (state, weight, need, pin))| {
        let base = match state {
            0 | 1 => fresh(&name),
            2 => assigned(&name, &format!("d-{:02}", pin % 6)),
            3 => carried(&name, &format!("d-{:02}", pin % 6)),
            _ => order(&name),
        };
        base.with(|o| {
            o.spec.pickup.location = place(500.0 * kitchen as f64, 0.0);
            o.spec.dropoff.location = place(x, y);
            o.spec.placed_at = Some(at("11:30") + SignedDuration::from_mins(placed));
            o.spec.ready_at = Some(at("11:30") + SignedDuration::from_mins(placed + prep));
            o.spec.items = crate_of(weight);
            o.spec.requirements = match need {
                0 => needs(&["cold-chain"], &[]),
                1 => needs(&[], &[VehicleType::Van]),
                _ => None,
            };
            o.spec.driver_name = (pin >= 18).then(|| format!("d-{:02}", pin - 18));
            o.spec.priority = i32::from(need == 2);
        })
    })
}

fn any_driver(name: String) -> impl Strategy<Value = Driver> {
    ((-3000.0..3000.0_f64), 0..12_u8, 1..4_i32, 10.0..60.0_f64).prop_map(move |(east, kind, orders, weight)| {
        driver(&name, east).with(|d| {
            d.spec.capacity = carries(orders, weight);
            match kind {
                0 => d.spec.suspended = true,
                1 => d.spec.shifts = shift("08:00", "11:00"),
                2 => d.spec.shifts = shift("08:00", "12:20"),
                3 => d.spec.shifts = shift("13:00", "18:00"),
                4 => d.spec.vehicle.as_mut().unwrap().type_ = VehicleType::Van,
                5 => d.spec.skills = vec!["cold-chain".into()],
                _ => {}
            }
        })
    })
}

fn any_world() -> impl Strategy<Value = Snapshot> {
    let modes = prop_oneof![
        4 => Just(DispatchMode::Plan),
        1 => Just(DispatchMode::Nearest),
        1 => Just(DispatchMode::Balanced),
        1 => Just(DispatchMode::Manual),
    ];
    let orders =
        (0..14_usize).prop_flat_map(|count| (0..count).map(|n| any_order(format!("o-{n:02}"))).collect::<Vec<_>>());
    let drivers =
        (0..7_usize).prop_flat_map(|count| (0..count).map(|n| any_driver(format!("d-{n:02}"))).collect::<Vec<_>>());
    (orders, drivers, modes)
        .prop_map(|(orders, drivers, mode)| snapshot(orders, drivers).with(|world| world.policy.mode = mode))
}

/// Every hard limit, checked from the resources alone.
fn assert_lawful(world: &Snapshot, plan: &Plan, now: jiff::Timestamp) {
    let orders: BTreeMap<_, _> =
        world.orders.iter().map(|order| (order.metadata.name.clone().unwrap(), order)).collect();
    let drivers: BTreeMap<_, _> =
        world.drivers.iter().map(|driver| (driver.metadata.name.clone().unwrap(), driver)).collect();
    let mut trips: BTreeMap<(&str, &str), Vec<&Order>> = BTreeMap::new();
    for command in &plan.commands {
        let Command::Bind { order, driver, trip_id, reason } = command else { continue };
        let (name, order) = (order, orders[order]);
        let spec = &drivers[driver].spec;
        assert!(serde_json::to_string(reason).unwrap().len() <= 2048, "the reason of {name} is too long");
        assert!(!spec.suspended, "{name} is bound to a suspended driver");
        assert!(order.placed_at() <= Some(now), "{name} is bound before it was placed");
        if let Some(pin) = &order.spec.driver_name {
            assert_eq!(pin, driver, "{name} is not bound to its pinned driver");
            continue;
        }
        assert_ne!(world.policy.mode, DispatchMode::Manual, "{name} is bound by itself");
        trips.entry((driver, trip_id)).or_default().push(order);
        let wanted = order.spec.requirements.clone().unwrap_or_default();
        assert!(wanted.skills.iter().all(|skill| spec.skills.contains(skill)), "{name}: skill");
        assert!(
            wanted.vehicle_types.is_empty() || wanted.vehicle_types.contains(&spec.vehicle_type()),
            "{name}: vehicle"
        );
        let pickup = reason.candidates[0].pickup_at.expect("a pickup is expected");
        let in_shift = spec.shifts.iter().any(|shift| shift.start <= pickup && pickup <= shift.end);
        assert!(spec.shifts.is_empty() || in_shift, "{name} is fetched off shift at {pickup}");
    }
    for ((driver, trip_id), mut mates) in trips {
        mates.extend(world.orders.iter().map(|order| &**order).filter(|order| {
            let bound = order.status.as_ref().and_then(|s| s.assignment.as_ref());
            bound.is_some_and(|a| a.trip_id.as_deref() == Some(trip_id)) && order.spec.driver_name.is_none()
        }));
        let capacity = drivers[driver].spec.capacity.clone().unwrap();
        let weight: f64 =
            mates.iter().flat_map(|order| &order.spec.items).filter_map(|item| item.weight_kilograms).sum();
        assert!(mates.len() <= capacity.orders.unwrap() as usize, "{driver} carries {} orders", mates.len());
        assert!(weight <= capacity.weight_kilograms.unwrap() + 1e-3, "{driver} carries {weight} kg");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn hard_limits_hold(world in any_world()) {
        assert_lawful(&world, &step(&mut Memory::default(), &world, at("12:00")), at("12:00"));
    }

    #[test]
    fn the_same_input_gives_the_same_bytes_in_any_order(world in any_world(), turn in 0..14_usize) {
        let plan = step(&mut Memory::default(), &world, at("12:00"));
        let turned = world.with(|w| {
            let (orders, drivers) = (turn.min(w.orders.len()), turn.min(w.drivers.len()));
            w.orders.rotate_left(orders);
            w.drivers.rotate_left(drivers);
        });
        prop_assert_eq!(format!("{plan:?}"), format!("{:?}", step(&mut Memory::default(), &turned, at("12:00"))));
    }

    #[test]
    fn looking_again_says_the_same(world in any_world()) {
        let mut memory = Memory::default();
        let plan = step(&mut memory, &world, at("12:00"));
        prop_assert_eq!(plan, step(&mut memory, &world, at("12:00")));
    }

    #[test]
    fn what_was_carried_out_is_not_asked_for_again(world in any_world()) {
        let mut day = Day::new(world.with(only_bindable), at("12:00"));
        day.dispatch();
        let world = day.snapshot();
        let again = step(&mut day.memory, &world, at("12:00"));
        prop_assert_eq!(again.commands, vec![]);
    }

    #[test]
    fn a_warm_and_an_empty_memory_are_both_lawful(world in any_world(), later in 1..30_i64) {
        let mut day = Day::new(world.with(only_bindable), at("12:00"));
        day.dispatch();
        let now = at("12:00") + SignedDuration::from_mins(later);
        let world = day.snapshot();
        assert_lawful(&world, &step(&mut day.memory, &world, now), now);
        assert_lawful(&world, &step(&mut Memory::default(), &world, now), now);
    }
}

/// Without orders whose made-up facts the server would never have let happen.
fn only_bindable(world: &mut Snapshot) {
    world.orders.retain(|order| {
        let status = order.status.as_ref().unwrap();
        let driver = status.driver_name.as_deref();
        let known = driver.is_none_or(|name| world.drivers.iter().any(|d| d.metadata.name.as_deref() == Some(name)));
        known
            && (status.released_at.is_none() || order.placed_at() <= Some(at("12:00")))
            && status.custody != Custody::Returned
    });
}
