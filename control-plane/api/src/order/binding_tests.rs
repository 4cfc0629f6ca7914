use super::{
    super::{
        Decision,
        fixtures::{Step, a_binding, at, order, walk, way_to},
    },
    *,
};
use crate::{order::Candidate, subresource::ReportType};

#[test]
fn binding_records_who_when_and_why() {
    let ready = walk(&way_to(Phase::Ready));
    let Ok(Bound::Bound(bound)) = bind(&ready, &a_binding("sam"), at(9)) else { panic!("not bound") };
    let status = bound.status.unwrap();
    let assignment = status.assignment.unwrap();
    assert_eq!(assignment.driver_name.as_deref(), Some("sam"));
    assert_eq!(assignment.bound_at, Some(at(9)));
    assert_eq!(assignment.generation, 0);
    assert_eq!(assignment.reason.unwrap().summary, "sam is nearest");
    assert_eq!(status.driver_name.as_deref(), Some("sam"));
    assert_eq!(status.phase, Phase::Assigned);
}

#[test]
fn the_same_driver_again_changes_nothing_and_another_is_refused() {
    let bound = walk(&way_to(Phase::EnRouteToPickup));
    assert_eq!(bind(&bound, &a_binding("sam"), at(9)), Ok(Bound::Unchanged));
    assert_eq!(bind(&bound, &a_binding("kim"), at(9)), Err(BindError::AlreadyBound { driver: "sam".to_owned() }));
}

#[test]
fn an_order_that_waits_for_no_driver_is_not_bound() {
    for phase in [Phase::Pending, Phase::Scheduled, Phase::Cancelled, Phase::Expired] {
        let order = walk(&way_to(phase));
        assert_eq!(bind(&order, &a_binding("sam"), at(9)), Err(BindError::NotBindable { phase }));
    }
}

#[test]
fn nothing_is_bound_before_it_was_placed() {
    let mut ready = walk(&way_to(Phase::Ready));
    ready.spec.placed_at = Some(at(20));
    assert_eq!(bind(&ready, &a_binding("sam"), at(19)), Err(BindError::NotPlaced { placed_at: at(20) }));
    assert!(matches!(bind(&ready, &a_binding("sam"), at(20)), Ok(Bound::Bound(_))));
}

#[test]
fn a_pin_is_not_overridden() {
    let mut ready = walk(&way_to(Phase::Ready));
    ready.spec.driver_name = Some("kim".to_owned());
    assert_eq!(bind(&ready, &a_binding("sam"), at(9)), Err(BindError::Pinned { driver: "kim".to_owned() }));
    assert!(matches!(bind(&ready, &a_binding("kim"), at(9)), Ok(Bound::Bound(_))));
}

#[test]
fn while_a_driver_has_the_goods_no_other_is_bound() {
    let retry = walk(&[way_to(Phase::AttemptFailed), vec![Step::Decide(Decision::Retry)]].concat());
    assert_eq!(bind(&retry, &a_binding("kim"), at(60)), Err(BindError::Custody { driver: "sam".to_owned() }));
    assert!(matches!(bind(&retry, &a_binding("sam"), at(60)), Ok(Bound::Bound(_))));
}

#[test]
fn unbinding_leaves_the_generation_and_starts_the_stops_anew() {
    let under_way = walk(&way_to(Phase::EnRouteToPickup));
    let status = unbind(&under_way, &Unbinding::default(), at(9)).unwrap().status.unwrap();
    assert_eq!(status.assignment, Some(Assignment { generation: 1, ..Assignment::default() }));
    assert_eq!(status.stops.unwrap().pickup, StopStatus::default());
    assert_eq!((status.phase, status.driver_name), (Phase::Ready, None));
}

#[test]
fn every_unbinding_raises_the_generation_and_a_binding_keeps_it() {
    let twice = [way_to(Phase::Assigned), vec![Step::Unbind, Step::Bind, Step::Unbind, Step::Bind]].concat();
    assert_eq!(walk(&twice).status.unwrap().assignment.unwrap().generation, 2);
}

#[test]
fn an_order_is_not_taken_from_a_driver_at_the_counter_or_later() {
    for phase in [Phase::AtPickup, Phase::OutForDelivery, Phase::AtDropoff, Phase::AttemptFailed, Phase::Delivered] {
        let order = walk(&way_to(phase));
        assert_eq!(unbind(&order, &Unbinding::default(), at(60)), Err(UnbindError::NotUnbindable { phase }));
    }
    assert_eq!(unbind(&order(), &Unbinding::default(), at(60)), Err(UnbindError::NotBound));
}

#[test]
fn an_accepted_offer_does_not_outlive_the_binding() {
    let accepted = [way_to(Phase::Offered), vec![Step::Say(ReportType::Accept), Step::Bind, Step::Unbind]].concat();
    assert_eq!(walk(&accepted).phase(), Phase::Ready);
}

#[test]
fn a_reason_keeps_within_its_bound_and_loses_the_worst_candidates_first() {
    let mut binding = a_binding("sam");
    let candidate = |n: usize| Candidate { driver: format!("driver-{n}-{}", "x".repeat(200)), ..Candidate::default() };
    binding.reason.as_mut().unwrap().candidates = (0..20).map(candidate).collect();
    let Ok(Bound::Bound(bound)) = bind(&walk(&way_to(Phase::Ready)), &binding, at(9)) else { panic!("not bound") };
    let reason = bound.status.unwrap().assignment.unwrap().reason.unwrap();
    assert!(serde_json::to_string(&reason).unwrap().len() <= MAX_REASON_BYTES);
    assert!(reason.candidates[0].driver.starts_with("driver-0-"));
}
