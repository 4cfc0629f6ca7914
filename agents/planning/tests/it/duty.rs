//! Bindings of drivers who went home, or of whom nothing is heard.

use dropmate_api::{Condition, DispatchPolicySpec, Driver, common::ConditionStatus, driver::Availability};
use dropmate_planning::{Command, Memory, Plan, Snapshot, step};
use jiff::{SignedDuration, Timestamp};
use rstest::rstest;

use super::build::{With, assigned, at, carried, driver, order, snapshot};

fn unbound(plan: &Plan) -> Vec<(&str, &str)> {
    let unbindings = plan.commands.iter().filter_map(|command| match command {
        Command::Unbind { order, reason } => Some((order.as_str(), reason.as_str())),
        _ => None,
    });
    unbindings.collect()
}

fn silent_since(driver: Driver, since: Timestamp) -> Driver {
    driver.with(|driver| {
        driver.status.get_or_insert_default().conditions.push(Condition {
            type_: "TrackingStale".to_owned(),
            status: ConditionStatus::True,
            reason: "DriverSilent".to_owned(),
            message: String::new(),
            last_transition_time: since,
            observed_generation: None,
        });
    })
}

#[rstest]
#[case::home(Availability::Offline, &[("b-fetch", "sam is off duty")])]
#[case::on_a_break(Availability::OnBreak, &[])]
#[case::at_work(Availability::Busy, &[])]
fn who_goes_home_loses_what_is_not_fetched_and_brings_what_is(
    #[case] said: Availability,
    #[case] expected: &[(&str, &str)],
) {
    let sam = driver("sam", 0.0).with(|driver| driver.status.get_or_insert_default().availability = Some(said));
    let pinned = assigned("c-pinned", "sam").with(|order| order.spec.driver_name = Some("sam".into()));
    let orders = vec![carried("a-aboard", "sam"), assigned("b-fetch", "sam"), pinned];
    let plan = step(&mut Memory::default(), &snapshot(orders, vec![sam, driver("kim", 900.0)]), at("12:00"));
    assert_eq!(unbound(&plan), expected);
}

#[test]
fn silence_takes_nothing_away_unless_the_policy_says_after_how_long() {
    let sam = || silent_since(driver("sam", 0.0), at("12:00"));
    let world = |after: Option<i64>| Snapshot {
        policy: DispatchPolicySpec { unbind_silent_seconds: after, ..DispatchPolicySpec::default() },
        ..snapshot(vec![assigned("o-1", "sam"), order("o-2")], vec![sam()])
    };
    let late = at("12:00") + SignedDuration::from_hours(1);
    assert_eq!(unbound(&step(&mut Memory::default(), &world(None), late)), []);
    // The same memory comes back to it when the time is over, though nothing has changed.
    let (mut memory, world) = (Memory::default(), world(Some(600)));
    let early = step(&mut memory, &world, at("12:09"));
    assert_eq!(unbound(&early), []);
    assert!(early.wake_at.is_some_and(|wake| wake <= at("12:10")), "{:?}", early.wake_at);
    assert_eq!(unbound(&step(&mut memory, &world, at("12:10"))), [("o-1", "sam has not been heard of")]);
    let bound = |plan: &Plan| plan.commands.iter().any(|command| matches!(command, Command::Bind { .. }));
    assert!(!bound(&early), "and gets nothing new meanwhile");
}
