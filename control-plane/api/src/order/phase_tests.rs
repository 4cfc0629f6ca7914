use proptest::prelude::*;
use rstest::rstest;

use super::{
    super::{
        Order,
        fixtures::{PHASES, Step, TYPES, a_report, at, try_step, walk, way_to},
        progress::{legal_next, report},
    },
    *,
};
use crate::subresource::{ReportOutcome, ReportType};

use Step::{Bind, Cancel, Decide, Hold, Say, Unbind};

/// Every step that leads from one phase to another, as the table of the design has it; what is not here is refused.
const TRANSITIONS: &[(Phase, Step, Phase)] = &[
    (Phase::Pending, Say(ReportType::Schedule), Phase::Scheduled),
    (Phase::Pending, Say(ReportType::Release), Phase::Ready),
    (Phase::Scheduled, Say(ReportType::Schedule), Phase::Scheduled),
    (Phase::Scheduled, Say(ReportType::Release), Phase::Ready),
    (Phase::Ready, Say(ReportType::Offer), Phase::Offered),
    (Phase::Ready, Say(ReportType::Expire), Phase::Expired),
    (Phase::Ready, Bind, Phase::Assigned),
    (Phase::Offered, Say(ReportType::Accept), Phase::Offered),
    (Phase::Offered, Say(ReportType::Decline), Phase::Ready),
    (Phase::Offered, Say(ReportType::Release), Phase::Offered),
    (Phase::Offered, Say(ReportType::Offer), Phase::Offered),
    (Phase::Offered, Say(ReportType::Expire), Phase::Expired),
    (Phase::Offered, Bind, Phase::Assigned),
    (Phase::Assigned, Unbind, Phase::Ready),
    (Phase::Assigned, Say(ReportType::Depart), Phase::EnRouteToPickup),
    (Phase::Assigned, Say(ReportType::Arrive), Phase::AtPickup),
    (Phase::Assigned, Say(ReportType::PickUp), Phase::OutForDelivery),
    (Phase::EnRouteToPickup, Unbind, Phase::Ready),
    (Phase::EnRouteToPickup, Say(ReportType::Arrive), Phase::AtPickup),
    (Phase::EnRouteToPickup, Say(ReportType::PickUp), Phase::OutForDelivery),
    (Phase::AtPickup, Say(ReportType::PickUp), Phase::OutForDelivery),
    (Phase::AtPickup, Say(ReportType::Fail), Phase::AttemptFailed),
    (Phase::OutForDelivery, Say(ReportType::Depart), Phase::OutForDelivery),
    (Phase::OutForDelivery, Say(ReportType::Arrive), Phase::AtDropoff),
    (Phase::OutForDelivery, Say(ReportType::Deliver), Phase::Delivered),
    (Phase::OutForDelivery, Say(ReportType::Fail), Phase::AttemptFailed),
    (Phase::AtDropoff, Say(ReportType::Deliver), Phase::Delivered),
    (Phase::AtDropoff, Say(ReportType::Fail), Phase::AttemptFailed),
    (Phase::AttemptFailed, Decide(Decision::Retry), Phase::Ready),
    (Phase::AttemptFailed, Decide(Decision::Return), Phase::Returning),
    (Phase::AttemptFailed, Decide(Decision::Fail), Phase::Failed),
    (Phase::Returning, Say(ReportType::StartReturn), Phase::Returning),
    (Phase::Returning, Say(ReportType::Returned), Phase::Returned),
];

#[test]
fn every_phase_is_reached_by_its_way() {
    for phase in PHASES {
        assert_eq!(walk(&way_to(phase)).phase(), phase);
    }
}

#[test]
fn each_step_leads_where_the_table_says_and_every_other_is_refused() {
    let reports = TYPES.iter().filter(|t| **t != ReportType::Decide).map(|t| Say(*t));
    let decisions = [Decision::Retry, Decision::Return, Decision::Fail].map(Decide);
    let steps: Vec<Step> = reports.chain(decisions).chain([Bind, Unbind]).collect();
    for from in PHASES {
        let order = walk(&way_to(from));
        for step in &steps {
            let row = TRANSITIONS.iter().find(|(f, s, _)| *f == from && s == step);
            match (row, try_step(&order, *step, 30)) {
                (Some((_, _, to)), Ok(next)) => assert_eq!(next.phase(), *to, "{from:?} {step:?}"),
                (None, Err(_)) => {}
                (Some(_), Err(refused)) => panic!("{from:?} {step:?} was refused: {refused}"),
                (None, Ok(next)) => panic!("{from:?} {step:?} was taken and led to {:?}", next.phase()),
            }
        }
    }
}

#[rstest]
#[case::before_pickup(Phase::Pending, Phase::Cancelled)]
#[case::bound(Phase::Assigned, Phase::Cancelled)]
#[case::at_the_counter(Phase::AtPickup, Phase::Cancelled)]
#[case::with_the_goods(Phase::OutForDelivery, Phase::Returning)]
#[case::at_the_door(Phase::AtDropoff, Phase::Returning)]
#[case::failed_with_the_goods(Phase::AttemptFailed, Phase::Returning)]
#[case::finished(Phase::Delivered, Phase::Delivered)]
#[case::back(Phase::Returned, Phase::Returned)]
#[case::given_up(Phase::Failed, Phase::Failed)]
#[case::too_late(Phase::Expired, Phase::Expired)]
fn a_cancellation_ends_an_order_or_turns_it_back(#[case] from: Phase, #[case] to: Phase) {
    assert_eq!(walk(&[way_to(from), vec![Cancel]].concat()).phase(), to);
}

#[test]
fn goods_of_a_cancelled_order_come_back_before_it_is_cancelled() {
    let returning = [way_to(Phase::OutForDelivery), vec![Cancel]].concat();
    assert_eq!(legal_next(&walk(&returning)), [ReportType::StartReturn, ReportType::Returned]);
    let back = [returning, vec![Say(ReportType::StartReturn), Say(ReportType::Returned)]].concat();
    assert_eq!(walk(&back).phase(), Phase::Cancelled);
}

#[rstest]
#[case::pending(Phase::Pending, Phase::Pending)]
#[case::scheduled(Phase::Scheduled, Phase::Scheduled)]
#[case::ready(Phase::Ready, Phase::Pending)]
#[case::offered(Phase::Offered, Phase::Pending)]
#[case::bound(Phase::Assigned, Phase::Assigned)]
#[case::under_way(Phase::OutForDelivery, Phase::OutForDelivery)]
fn a_hold_takes_an_order_out_of_the_queue_but_not_from_its_driver(#[case] from: Phase, #[case] to: Phase) {
    let held = walk(&[way_to(from), vec![Hold(true)]].concat());
    assert_eq!(held.phase(), to);
    assert!(!legal_next(&held).contains(&ReportType::Release));
    let lifted = walk(&[way_to(from), vec![Hold(true), Hold(false)]].concat());
    assert_eq!(lifted.phase(), from);
}

#[test]
fn a_second_attempt_at_the_door_starts_with_the_goods_in_the_car() {
    let retry = [way_to(Phase::AttemptFailed), vec![Decide(Decision::Retry)]].concat();
    assert_eq!(walk(&retry).phase(), Phase::Ready);
    let bound = [retry, vec![Bind]].concat();
    assert_eq!(walk(&bound).phase(), Phase::Assigned);
    assert_eq!(legal_next(&walk(&bound)), [ReportType::Depart, ReportType::Arrive]);
    let gone = [bound, vec![Say(ReportType::Depart)]].concat();
    assert_eq!(walk(&gone).phase(), Phase::OutForDelivery);
    let done = [gone, vec![Say(ReportType::Deliver)]].concat();
    assert_eq!(walk(&done).phase(), Phase::Delivered);
}

/// How far an order is, along the way it takes if all goes well.
fn lowers(before: Phase, after: Phase) -> bool {
    after < before
}

/// The ways back that the design lists.
fn may_lower(step: Step, before: Phase, after: Phase) -> bool {
    match step {
        Unbind | Decide(Decision::Retry) => after == Phase::Ready || after <= Phase::Scheduled,
        Say(ReportType::Decline | ReportType::Release | ReportType::Offer) => {
            (before, after) == (Phase::Offered, Phase::Ready)
        }
        Hold(true) => matches!(before, Phase::Ready | Phase::Offered) && after <= Phase::Scheduled,
        _ => false,
    }
}

fn any_step() -> impl Strategy<Value = Step> {
    let reports = TYPES.iter().filter(|t| **t != ReportType::Decide).map(|t| Say(*t)).collect::<Vec<_>>();
    prop_oneof![
        12 => prop::sample::select(reports),
        3 => prop::sample::select(vec![Decide(Decision::Retry), Decide(Decision::Return), Decide(Decision::Fail)]),
        4 => Just(Bind),
        1 => Just(Unbind),
        1 => any::<bool>().prop_map(Hold),
        1 => Just(Cancel),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Steps in any order and with times that jump back and forth, as phones without a network send them.
    #[test]
    fn whatever_is_reported_the_phase_only_falls_in_the_listed_ways(
        steps in prop::collection::vec((any_step(), -20i64..20), 1..80)
    ) {
        let mut order: Order = super::super::fixtures::order();
        for (index, (step, jitter)) in steps.into_iter().enumerate() {
            let minutes = index as i64 * 5 + jitter;
            let Ok(next) = try_step(&order, step, minutes) else { continue };
            let (before, after) = (order.phase(), next.phase());
            prop_assert_eq!(after, phase(&next.spec, next.status.as_ref().unwrap()));
            prop_assert!(!before.is_terminal() || before == after, "{:?} came back to life as {:?}", before, after);
            prop_assert!(!lowers(before, after) || may_lower(step, before, after),
                "{:?} led from {:?} to {:?}", step, before, after);
            prop_assert!(!after.is_terminal() || legal_next(&next).is_empty());
            prop_assert!(after.is_terminal() || next.spec.hold || !legal_next(&next).is_empty());
            if let Say(type_) = step {
                let again = report(&next, &a_report(type_, minutes), at(minutes + 1)).unwrap();
                prop_assert_eq!(again.outcome, ReportOutcome::Replayed);
                prop_assert_eq!(&again.order, &next);
            }
            order = next;
        }
    }
}
