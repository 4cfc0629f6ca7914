//! A day in real time on PostgreSQL: replicas of the control plane that come and go, two dispatch agents, clients that
//! go to whatever replica is drawn, and a witness at each. A seed that fails is printed; run it alone with
//! `DROPMATE_SIMULATION_SEED=N`. The seed draws what goes wrong; when exactly it hits is up to the machine.

use rstest::rstest;

use super::{
    day::{Plan, Stage, live},
    days::{assert_invariants, setting},
};

#[rstest]
#[case(1)]
#[case(3)]
fn replicas_that_come_and_go_lose_nothing_and_everything_settles(#[case] replicas: usize) {
    let seed = setting("DROPMATE_SIMULATION_SEED").unwrap_or(7);
    let stage = Stage::Postgres { replicas };
    let plan = Plan { seed, orders: 50, drivers: 8, faults: true, fail_share: 0.05, stage };
    println!("seed {seed}");
    let outcome = live(&plan);
    assert_invariants(&plan, &outcome);
    let happened = outcome.faults();
    let (bindings, unbindings) = outcome.checker.bindings();
    let compared = outcome.replicas.stale().1;
    println!("what happened: {happened:?}; {bindings} bindings, {unbindings} unbindings; {compared} answers compared");
    // A test of faults in which one did not happen proves nothing about it.
    for (fault, times) in happened {
        assert!(times > 0, "no {fault} under seed {seed}");
    }
    assert!(bindings >= plan.orders, "{bindings} bindings of {} orders under seed {seed}", plan.orders);
    assert!(compared > plan.orders, "next to nothing was compared under seed {seed}");
}
