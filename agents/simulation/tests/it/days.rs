//! Many days, each from a seed. A seed that fails is printed; run it alone with `DROPMATE_SIMULATION_SEED=N`, and more
//! of them with `DROPMATE_SIMULATION_DAYS=N`.

use std::collections::BTreeMap;

use dropmate_api::Phase;
use rstest::rstest;

use super::day::{Outcome, Plan, Stage, live};

/// Days with faults in a usual run.
const DAYS: u64 = 20;
const PARTS: u64 = 4;

pub(super) fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().expect("the setting is a number"))
}

fn good(seed: u64) -> Plan {
    Plan { seed, orders: 30, drivers: 6, faults: false, fail_share: 0.0, stage: Stage::Memory }
}

fn bad(seed: u64) -> Plan {
    Plan { faults: true, fail_share: 0.05, ..good(seed) }
}

pub(super) fn assert_invariants(plan: &Plan, outcome: &Outcome) {
    let seed = plan.seed;
    assert_eq!(outcome.replicas.stale().0, &[] as &[String], "read too old a state under seed {seed}");
    assert_eq!(outcome.differences, &[] as &[String], "witnesses saw another log under seed {seed}");
    assert_eq!(outcome.checker.broken(), &[] as &[String], "broken under seed {seed}");
    assert_eq!(outcome.checker.unsettled(), &[] as &[String], "stuck under seed {seed}");
    assert_eq!(outcome.checker.orders().count(), plan.orders, "orders were lost under seed {seed}");
}

#[test]
fn on_a_good_day_every_order_is_delivered() {
    let plan = good(setting("DROPMATE_SIMULATION_SEED").unwrap_or(1));
    let outcome = live(&plan);
    assert_invariants(&plan, &outcome);
    let left: Vec<_> = outcome.checker.trace().into_iter().filter(|line| !line.contains("Delivered")).collect();
    assert_eq!(left, &[] as &[String]);
}

#[test]
fn the_same_seed_makes_the_same_decisions() {
    let trace = || live(&good(5)).checker.trace();
    assert_eq!(trace(), trace());
}

/// In four parts, so that they run side by side.
#[rstest]
#[case(100)]
#[case(200)]
#[case(300)]
#[case(400)]
fn whatever_goes_wrong_no_invariant_breaks_and_everything_settles(#[case] first: u64) {
    let seeds = match setting("DROPMATE_SIMULATION_SEED") {
        Some(seed) => seed..seed + 1,
        None => first..first + setting("DROPMATE_SIMULATION_DAYS").unwrap_or(DAYS) / PARTS,
    };
    let whole = seeds.end - seeds.start >= DAYS / PARTS;
    let mut happened: BTreeMap<&str, usize> = BTreeMap::new();
    let mut phases: BTreeMap<Phase, usize> = BTreeMap::new();
    for seed in seeds {
        let plan = bad(seed);
        let outcome = live(&plan);
        assert_invariants(&plan, &outcome);
        for (fault, times) in outcome.faults() {
            *happened.entry(fault).or_default() += times;
        }
        let (bindings, unbindings) = outcome.checker.bindings();
        *happened.entry("bindings").or_default() += bindings;
        *happened.entry("unbindings").or_default() += unbindings;
        for order in outcome.checker.orders() {
            *phases.entry(order.phase()).or_default() += 1;
        }
    }
    println!("what happened: {happened:?}; how orders ended: {phases:?}");
    if whole {
        // A test of faults in which one did not happen proves nothing about it.
        for (fault, times) in happened {
            assert!(times > 0, "no {fault} in all those days");
        }
    }
}
