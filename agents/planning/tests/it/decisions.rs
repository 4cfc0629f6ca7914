//! Readable plans for small situations, each with its reasons.

use dropmate_api::{
    DispatchPolicySpec, Phase, VehicleType,
    common::{Condition, ConditionStatus},
    driver::Availability,
    order::{Attempt, Custody, Decision, RetryPolicy, StopKind},
    policy::DispatchMode,
};
use dropmate_planning::{Command, Memory, Plan, Snapshot, step};
use insta::assert_snapshot;
use jiff::SignedDuration;
use rstest::rstest;

use super::build::{
    With, assigned, at, carried, carries, crate_of, driver, fresh, needs, order, place, shift, snapshot, text, until,
};

fn plan(snapshot: &Snapshot, clock: &str) -> Plan {
    step(&mut Memory::default(), snapshot, at(clock))
}

fn plan_text(snapshot: &Snapshot, clock: &str) -> String {
    text(&plan(snapshot, clock))
}

fn bound(plan: &Plan) -> Vec<(&str, &str)> {
    let pairs = plan.commands.iter().filter_map(|command| match command {
        Command::Bind { order, driver, .. } => Some((order.as_str(), driver.as_str())),
        _ => None,
    });
    pairs.collect()
}

fn in_mode(mode: DispatchMode) -> DispatchPolicySpec {
    DispatchPolicySpec { mode, ..DispatchPolicySpec::default() }
}

#[test]
fn the_nearest_of_two_idle_drivers_is_bound() {
    let world = snapshot(vec![order("o-1")], vec![driver("far", 3000.0), driver("near", 500.0)]);
    assert_snapshot!(plan_text(&world, "12:00"));
}

#[test]
fn an_order_is_bound_in_the_second_in_which_it_was_placed_and_not_before() {
    let placed_at = at("12:00") + SignedDuration::from_millis(300);
    let world = Snapshot {
        policy: in_mode(DispatchMode::Nearest),
        ..snapshot(vec![order("o-1").with(|o| o.spec.placed_at = Some(placed_at))], vec![driver("sam", 500.0)])
    };
    let mut memory = Memory::default();
    let before = step(&mut memory, &world, placed_at - SignedDuration::from_millis(200));
    assert_eq!(bound(&before), []);
    assert_eq!(before.wake_at, Some(at("12:00") + SignedDuration::from_secs(1)), "not half a minute later");
    let after = step(&mut Memory::default(), &world, placed_at + SignedDuration::from_millis(200));
    assert_eq!(bound(&after), [("o-1", "sam")]);
}

#[test]
fn a_driver_nobody_has_seen_starts_where_the_first_order_does() {
    let mut memory = Memory::default();
    let sam = driver("sam", 0.0).with(|d| d.spec.start_location = None);
    step(&mut memory, &snapshot(vec![], vec![sam.clone()]), at("12:00"));
    let plan = step(&mut memory, &snapshot(vec![order("o-1")], vec![sam]), at("12:00"));
    let Some(Command::Bind { reason, .. }) = plan.commands.iter().find(|c| matches!(c, Command::Bind { .. })) else {
        panic!("nothing is bound: {plan:?}");
    };
    assert!(reason.candidates[0].driving_seconds < 3600.0, "{reason:?}");
}

#[test]
fn orders_from_one_pickup_ride_together() {
    let orders = vec![
        order("o-1"),
        order("o-2").with(|o| o.spec.dropoff.location = place(50.0, 1100.0)),
        order("o-3").with(|o| o.spec.dropoff.location = place(-50.0, 1200.0)),
    ];
    assert_snapshot!(plan_text(&snapshot(orders, vec![driver("sam", 0.0)]), "12:00"));
}

#[test]
fn a_driver_leaves_just_in_time() {
    let late = order("o-1").with(|o| o.spec.ready_at = Some(at("12:30")));
    let world = snapshot(vec![late], vec![driver("sam", 1500.0)]);
    // Five minutes of riding and two of asking before 12:30, and a minute to get going.
    assert_snapshot!(plan_text(&world, "12:00"), @"wake at 12:22:00");
    assert_eq!(bound(&plan(&world, "12:21")), []);
    assert_eq!(bound(&plan(&world, "12:22")), [("o-1", "sam")]);
}

#[test]
fn what_no_vehicle_can_carry_is_unassignable_and_says_so() {
    let heavy = order("o-1").with(|o| o.spec.items = crate_of(30.0));
    let weak = driver("sam", 0.0).with(|d| d.spec.capacity = carries(4, 20.0));
    assert_snapshot!(plan_text(&snapshot(vec![heavy], vec![weak]), "12:00"));
}

#[test]
fn capacity_holds_over_the_whole_trip() {
    let orders = ["o-1", "o-2"].map(|name| order(name).with(|o| o.spec.items = crate_of(12.0)));
    let sam = driver("sam", 0.0).with(|d| d.spec.capacity = carries(4, 20.0));
    assert_eq!(bound(&plan(&snapshot(orders.to_vec(), vec![sam]), "12:00")), [("o-1", "sam")]);
}

#[test]
fn skills_and_vehicle_types_rule_drivers_out() {
    let cold = order("o-1").with(|o| o.spec.requirements = needs(&["cold-chain"], &[VehicleType::Van]));
    let van = |name: &str| driver(name, 5000.0).with(|d| d.spec.vehicle.as_mut().unwrap().type_ = VehicleType::Van);
    let kim = van("kim").with(|d| d.spec.skills = vec!["cold-chain".into()]);
    let world = snapshot(vec![cold.clone()], vec![kim, van("lee"), driver("sam", 0.0)]);
    assert_snapshot!(plan_text(&world, "12:00"));
    assert_snapshot!(plan_text(&snapshot(vec![cold], vec![van("lee"), driver("sam", 0.0)]), "12:00"));
}

#[test]
fn nobody_is_sent_to_a_pickup_after_the_shift() {
    let sam = driver("sam", 3000.0).with(|d| d.spec.shifts = shift("09:00", "12:05"));
    assert_snapshot!(plan_text(&snapshot(vec![order("o-1")], vec![sam]), "12:00"));
}

#[test]
fn an_order_waits_for_the_shift_that_begins_soon() {
    let sam = driver("sam", 0.0).with(|d| d.spec.shifts = shift("12:40", "20:00"));
    let world = snapshot(vec![order("o-1")], vec![sam]);
    assert_snapshot!(plan_text(&world, "12:00"), @"wake at 12:40:00");
    assert_eq!(bound(&plan(&world, "12:40")), [("o-1", "sam")]);
}

#[test]
fn a_closed_pickup_is_not_tried() {
    let closing = order("o-1").with(|o| o.spec.pickup.window = until("12:05"));
    assert_snapshot!(plan_text(&snapshot(vec![closing], vec![driver("sam", 3000.0)]), "12:00"));
}

#[test]
fn a_dropoff_window_chooses_the_driver_who_can_keep_it_and_late_beats_never() {
    let strict = order("o-1").with(|o| o.spec.dropoff.window = until("12:08"));
    let slow = driver("slow", 0.0).with(|d| d.spec.vehicle.as_mut().unwrap().speed_meters_per_second = Some(1.0));
    let world = snapshot(vec![strict.clone()], vec![driver("fast", 500.0), slow.clone()]);
    assert_eq!(bound(&plan(&world, "12:00")), [("o-1", "fast")]);
    assert_snapshot!(plan_text(&snapshot(vec![strict], vec![slow]), "12:00"));
}

#[test]
fn a_pin_is_obeyed_against_distance_skill_and_shift() {
    let pinned = order("o-1").with(|o| {
        o.spec.driver_name = Some("far".into());
        o.spec.requirements = needs(&["cold-chain"], &[]);
    });
    let far = driver("far", 9000.0).with(|d| d.spec.shifts = shift("08:00", "11:00"));
    assert_snapshot!(plan_text(&snapshot(vec![pinned], vec![far, driver("near", 0.0)]), "12:00"));
}

#[test]
fn a_pin_to_a_suspended_or_unknown_driver_is_unassignable() {
    let pinned = |name: &str| order("o-1").with(|o| o.spec.driver_name = Some(name.into()));
    let sam = driver("sam", 0.0).with(|d| d.spec.suspended = true);
    assert_snapshot!(plan_text(&snapshot(vec![pinned("sam")], vec![sam.clone()]), "12:00"));
    assert_snapshot!(plan_text(&snapshot(vec![pinned("ghost")], vec![sam]), "12:00"));
}

#[test]
fn nothing_happens_before_an_order_is_placed() {
    let later = fresh("o-1").with(|o| o.spec.placed_at = Some(at("13:00")));
    assert_snapshot!(plan_text(&snapshot(vec![later], vec![driver("sam", 0.0)]), "12:00"), @"wake at 13:00:00");
}

#[test]
fn an_order_is_scheduled_then_released_with_the_lead_time() {
    let later = fresh("o-1").with(|o| o.spec.ready_at = Some(at("14:00")));
    let world = snapshot(vec![later.clone()], vec![]);
    assert_snapshot!(plan_text(&world, "12:00"), @r"
    schedule o-1 for 13:30:00
    wake at 13:30:00
    ");
    assert_snapshot!(plan_text(&world, "13:30"), @r"
    release o-1
    sleep
    ");
    let held = snapshot(vec![later.with(|o| o.spec.hold = true)], vec![]);
    assert_snapshot!(plan_text(&held, "13:30"), @r"
    schedule o-1 for 13:30:00
    sleep
    ");
}

#[test]
fn a_binding_ends_when_its_driver_is_gone_unfit_off_shift_or_not_the_pinned_one() {
    let orders = vec![
        assigned("a-gone", "ghost"),
        assigned("b-unfit", "sam").with(|o| o.spec.requirements = needs(&["cold-chain"], &[])),
        assigned("c-shift", "tom"),
        assigned("d-pinned", "sam").with(|o| o.spec.driver_name = Some("tom".into())),
        carried("e-carried", "tom"),
    ];
    let tom = driver("tom", 0.0).with(|d| d.spec.shifts = shift("09:00", "12:01"));
    let plan = plan(&snapshot(orders, vec![driver("sam", 0.0), tom]), "12:02");
    let unbound = plan.commands.iter().filter(|command| matches!(command, Command::Unbind { .. })).cloned().collect();
    assert_snapshot!(text(&Plan { commands: unbound, wake_at: None }));
}

#[test]
fn a_suspended_driver_goes_on_with_what_is_bound_and_gets_nothing_new() {
    let sam = driver("sam", 0.0).with(|d| d.spec.suspended = true);
    assert_snapshot!(plan_text(&snapshot(vec![assigned("o-1", "sam"), order("o-2")], vec![sam]), "12:00"));
}

#[test]
fn a_driver_who_is_off_duty_gets_only_what_is_pinned() {
    let on = |said| driver("sam", 0.0).with(|d| d.status.get_or_insert_default().availability = Some(said));
    for said in [Availability::Offline, Availability::OnBreak] {
        let told = plan_text(&snapshot(vec![order("o-1")], vec![on(said)]), "12:00");
        assert!(told.starts_with("unassignable o-1: No driver can take the order: 1 driver is off duty."), "{told}");
        let bound_before = snapshot(vec![assigned("o-1", "sam"), order("o-2")], vec![on(said), driver("kim", 900.0)]);
        assert_eq!(bound(&plan(&bound_before, "12:00")), [("o-2", "kim")]);
        let pinned = order("o-1").with(|o| o.spec.driver_name = Some("sam".into()));
        assert_eq!(bound(&plan(&snapshot(vec![pinned], vec![on(said)]), "12:00")), [("o-1", "sam")]);
    }
    for said in [Availability::Available, Availability::Busy] {
        let plan = plan(&snapshot(vec![order("o-1")], vec![on(said)]), "12:00");
        assert_eq!(bound(&plan), [("o-1", "sam")]);
    }
}

#[test]
fn a_driver_under_way_is_not_diverted() {
    // Sam has passed o-2's pickup by; o-1 is handed over first.
    let world = snapshot(vec![carried("o-1", "sam"), order("o-2")], vec![driver("sam", 0.0)]);
    assert_snapshot!(plan_text(&world, "12:02"));
}

#[test]
fn a_bundle_stays_open_until_it_is_fetched() {
    let orders = vec![
        assigned("o-1", "sam").with(|o| o.spec.ready_at = Some(at("12:10"))),
        order("o-2").with(|o| {
            o.spec.ready_at = Some(at("12:11"));
            o.spec.dropoff.location = place(50.0, 1100.0);
        }),
    ];
    let world = snapshot(orders, vec![driver("kim", 2000.0), driver("sam", 0.0)]);
    assert_eq!(bound(&plan(&world, "12:05")), []);
    assert_snapshot!(plan_text(&world, "12:09"));
}

#[test]
fn an_order_expires_only_where_the_policy_says_so() {
    let due = order("o-1").with(|o| o.spec.due_by = Some(at("12:30")));
    let mut world = snapshot(vec![due], vec![]);
    assert!(!plan(&world, "13:00").commands.iter().any(|command| matches!(command, Command::Expire { .. })));
    world.policy.expire_after_due_seconds = Some(900);
    assert!(plan_text(&world, "12:44").ends_with("wake at 12:44:30"));
    assert!(plan_text(&world, "12:45").starts_with("expire o-1"));
}

#[rstest]
#[case(1, None, Custody::Driver, Decision::Retry)]
#[case(2, None, Custody::Driver, Decision::Return)]
#[case(2, None, Custody::Sender, Decision::Fail)]
#[case(2, Some(RetryPolicy { max_attempts: Some(3), return_to_pickup: None }), Custody::Driver, Decision::Retry)]
#[case(2, Some(RetryPolicy { max_attempts: None, return_to_pickup: Some(false) }), Custody::Driver, Decision::Fail)]
fn a_failed_attempt_is_followed_as_the_order_says(
    #[case] attempts: usize,
    #[case] retry: Option<RetryPolicy>,
    #[case] custody: Custody,
    #[case] expected: Decision,
) {
    let attempt = |decision| Attempt {
        reason: "nobody home".into(),
        at: at("12:20"),
        stop: StopKind::Dropoff,
        driver_name: Some("sam".into()),
        location: None,
        note: None,
        decision,
    };
    let failed = carried("o-1", "sam").with(|o| {
        o.spec.retry = retry;
        let status = o.status.as_mut().unwrap();
        status.phase = Phase::AttemptFailed;
        status.custody = custody;
        status.attempts = vec![attempt(Some(Decision::Retry)); attempts - 1];
        status.attempts.push(attempt(None));
    });
    let plan = plan(&snapshot(vec![failed], vec![driver("sam", 0.0)]), "12:21");
    assert_eq!(plan.commands[0], Command::Decide { order: "o-1".into(), decision: expected });
}

#[test]
fn goods_in_a_drivers_hands_stay_with_him() {
    let retried = carried("o-1", "sam").with(|o| {
        let status = o.status.as_mut().unwrap();
        status.phase = Phase::Ready;
        status.assignment = None;
    });
    let world = snapshot(vec![retried], vec![driver("kim", 0.0), driver("sam", 4000.0)]);
    assert_eq!(bound(&plan(&world, "12:30")), [("o-1", "sam")]);
}

#[test]
fn manual_mode_suggests_and_obeys_pins() {
    let pinned = order("o-2").with(|o| o.spec.driver_name = Some("far".into()));
    let world = snapshot(vec![order("o-1"), pinned], vec![driver("far", 4000.0), driver("near", 100.0)]);
    assert_snapshot!(plan_text(&world.with(|w| w.policy = in_mode(DispatchMode::Manual)), "12:00"));
}

#[test]
fn nearest_mode_takes_whoever_stands_idle_nearest_at_once() {
    let later = order("o-1").with(|o| o.spec.ready_at = Some(at("12:30")));
    let world = snapshot(vec![later, order("o-2")], vec![driver("far", 4000.0), driver("near", 100.0)]);
    let plan = plan(&world.with(|w| w.policy = in_mode(DispatchMode::Nearest)), "12:00");
    assert_eq!(bound(&plan), [("o-1", "far"), ("o-2", "near")]);
}

#[test]
fn balanced_mode_evens_out_the_load() {
    let orders = vec![order("o-1"), order("o-2")];
    let drivers = vec![driver("far", 300.0), driver("near", 0.0)];
    let world = snapshot(orders, drivers).with(|w| w.policy = in_mode(DispatchMode::Balanced));
    assert_eq!(bound(&plan(&world, "12:00")), [("o-1", "near"), ("o-2", "far")]);
}

#[test]
fn the_condition_ends_when_a_driver_can_take_the_order() {
    let blocked = order("o-1").with(|o| {
        o.spec.ready_at = Some(at("12:30"));
        o.status.as_mut().unwrap().conditions.push(Condition {
            type_: "Unassignable".into(),
            status: ConditionStatus::True,
            reason: "NoDriver".into(),
            message: "There are no drivers.".into(),
            last_transition_time: at("12:00"),
            observed_generation: None,
        });
    });
    assert!(plan(&snapshot(vec![blocked.clone()], vec![]), "12:00").commands.is_empty());
    let plan = plan(&snapshot(vec![blocked], vec![driver("sam", 0.0)]), "12:00");
    assert_eq!(plan.commands, [Command::Assignable { order: "o-1".into() }]);
}

#[test]
fn the_smallest_driver_works_from_the_first_pickup() {
    let sam = driver("sam", 0.0).with(|d| {
        d.spec.start_location = None;
        d.spec.vehicle = None;
    });
    assert_eq!(bound(&plan(&snapshot(vec![order("o-1")], vec![sam]), "12:00")), [("o-1", "sam")]);
}

#[test]
fn higher_priority_goes_first() {
    let urgent = order("o-2").with(|o| o.spec.priority = 5);
    let away = order("o-1").with(|o| o.spec.pickup.location = place(2000.0, 0.0));
    assert_eq!(bound(&plan(&snapshot(vec![away, urgent], vec![driver("sam", 1000.0)]), "12:00")), [("o-2", "sam")]);
}
