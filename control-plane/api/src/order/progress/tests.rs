use super::{
    super::fixtures::{Step, a_report, at, given, order, walk, way_to},
    *,
};
use crate::{
    order::{Decision, OfferState, ProofPolicy, StopStatus},
    subresource::ProofGiven,
};

fn pickup(order: &Order) -> StopStatus {
    order.status.clone().unwrap().stops.unwrap().pickup
}

fn take(order: &Order, said: &Report) -> Order {
    report(order, said, at(100)).unwrap().order
}

#[test]
fn a_replay_answers_with_the_present_phase_and_changes_nothing() {
    let assigned = walk(&way_to(Phase::Assigned));
    let departed = take(&assigned, &a_report(ReportType::Depart, 10));
    let arrived = take(&departed, &a_report(ReportType::Arrive, 15));
    let again = report(&arrived, &a_report(ReportType::Depart, 10), at(200)).unwrap();
    assert_eq!(again.order, arrived);
    assert_eq!(again.answer().outcome, ReportOutcome::Replayed);
    assert_eq!(again.answer().phase, Phase::AtPickup);
}

#[test]
fn an_idempotency_key_stands_for_one_report_only() {
    let departed = take(&walk(&way_to(Phase::Assigned)), &a_report(ReportType::Depart, 10));
    let other = Report { note: Some("another body".to_owned()), ..a_report(ReportType::Depart, 10) };
    let refused = report(&departed, &other, at(11)).unwrap_err();
    assert_eq!(refused, ReportError::IdReused { client_event_id: "depart-10".to_owned() });
}

#[test]
fn a_repetition_under_a_newer_lease_is_still_a_replay() {
    let fence = |transitions| {
        Some(crate::subresource::Fence {
            lease: "dispatch".to_owned(),
            lease_uid: "u".to_owned(),
            holder: "h".to_owned(),
            transitions,
        })
    };
    let first = Report { fence: fence(1), ..a_report(ReportType::Release, 0) };
    let ready = take(&order(), &first);
    let again = report(&ready, &Report { fence: fence(2), ..first }, at(1)).unwrap();
    assert_eq!(again.outcome, ReportOutcome::Replayed);
}

#[test]
fn a_refusal_names_the_legal_next_steps() {
    let refused = report(&walk(&way_to(Phase::EnRouteToPickup)), &a_report(ReportType::Deliver, 30), at(30));
    let Err(ReportError::Illegal { phase, legal_next, .. }) = refused else { panic!("{refused:?}") };
    assert_eq!(phase, Phase::EnRouteToPickup);
    assert_eq!(legal_next, [ReportType::Arrive, ReportType::PickUp]);
}

#[test]
fn skipped_steps_are_inferred() {
    let fetched = take(&walk(&way_to(Phase::Assigned)), &a_report(ReportType::PickUp, 20));
    let stop = pickup(&fetched);
    assert_eq!((stop.departed_at, stop.arrived_at, stop.completed_at), (Some(at(20)), Some(at(20)), Some(at(20))));
    assert_eq!(stop.inferred, ["departedAt", "arrivedAt"]);
    assert_eq!(fetched.phase(), Phase::OutForDelivery);
}

#[test]
fn a_late_report_fills_what_was_inferred_and_leaves_the_phase() {
    let fetched = take(&walk(&way_to(Phase::Assigned)), &a_report(ReportType::PickUp, 20));
    let arrived = take(&fetched, &a_report(ReportType::Arrive, 17));
    let departed = take(&arrived, &a_report(ReportType::Depart, 12));
    let stop = pickup(&departed);
    assert_eq!((stop.departed_at, stop.arrived_at, stop.completed_at), (Some(at(12)), Some(at(17)), Some(at(20))));
    assert!(stop.inferred.is_empty());
    assert_eq!(departed.phase(), Phase::OutForDelivery);
}

#[test]
fn a_late_arrival_at_the_door_is_not_taken_for_the_pickup() {
    let fetched = take(&walk(&way_to(Phase::AtPickup)), &a_report(ReportType::PickUp, 20));
    let delivered = take(&fetched, &a_report(ReportType::Deliver, 40));
    let known = take(&delivered, &a_report(ReportType::Arrive, 35));
    let dropoff = known.status.clone().unwrap().stops.unwrap().dropoff;
    assert_eq!(dropoff.arrived_at, Some(at(35)));
    assert_eq!(known.phase(), Phase::Delivered);
}

#[test]
fn a_late_report_of_what_is_known_already_is_refused() {
    let fetched = take(&walk(&way_to(Phase::AtPickup)), &a_report(ReportType::PickUp, 20));
    let refused = report(&fetched, &a_report(ReportType::Arrive, 19), at(30));
    assert!(matches!(refused, Err(ReportError::Illegal { .. })), "{refused:?}");
}

#[test]
fn a_new_driver_is_not_measured_by_the_clock_of_the_one_before() {
    let again = walk(&[way_to(Phase::EnRouteToPickup), vec![Step::Unbind, Step::Bind]].concat());
    assert_eq!(take(&again, &a_report(ReportType::Depart, 1)).phase(), Phase::EnRouteToPickup);
}

#[test]
fn a_digest_does_not_tell_the_pin_and_still_tells_reports_apart() {
    let with = |type_, reference: &str| {
        let given = ProofGiven { type_, reference: Some(reference.to_owned()) };
        digest(&Report { proof: Some(vec![given]), ..a_report(ReportType::Deliver, 30) })
    };
    assert_eq!(with(ProofType::Pin, "123456"), with(ProofType::Pin, "654321"));
    assert_ne!(with(ProofType::Photo, "prf_1"), with(ProofType::Photo, "prf_2"));
}

#[test]
fn a_handover_without_the_required_proof_is_refused_and_names_it() {
    let mut door = walk(&way_to(Phase::AtDropoff));
    door.spec.proof =
        Some(ProofPolicy { pickup: vec![], dropoff: vec![ProofType::Photo, ProofType::Pin, ProofType::None] });
    let photo = Report { proof: Some(vec![given(ProofType::Photo)]), ..a_report(ReportType::Deliver, 30) };
    let refused = report(&door, &photo, at(30)).unwrap_err();
    assert_eq!(refused, ReportError::ProofMissing { stop: StopKind::Dropoff, missing: vec![ProofType::Pin] });
    assert_eq!(refused.to_string(), "missing proof at the dropoff: pin");

    let both = Report { proof: Some(vec![given(ProofType::Photo), given(ProofType::Pin)]), ..photo };
    let status = take(&door, &both).status.unwrap();
    assert_eq!(status.phase, Phase::Delivered);
    assert_eq!(status.proofs[0].reference.as_deref(), Some("secret-or-id"));
    assert_eq!(status.proofs[1].reference, None, "a PIN is never stored in the order");
}

#[test]
fn only_the_bound_driver_reports() {
    let assigned = walk(&way_to(Phase::Assigned));
    let other = Report { driver: Some("kim".to_owned()), ..a_report(ReportType::Depart, 10) };
    let refused = report(&assigned, &other, at(10)).unwrap_err();
    assert_eq!(refused, ReportError::OtherDriver { driver: "kim".to_owned() });
    let own = Report { driver: Some("sam".to_owned()), ..other };
    assert_eq!(take(&assigned, &own).phase(), Phase::EnRouteToPickup);
}

#[test]
fn a_failed_attempt_keeps_what_the_driver_said() {
    let failed = walk(&way_to(Phase::AttemptFailed)).status.unwrap();
    assert_eq!(failed.attempts[0].reason, "nobody home");
    assert_eq!(failed.attempts[0].driver_name.as_deref(), Some("sam"));
    assert_eq!(failed.attempts[0].stop, StopKind::Dropoff);
    assert_eq!(failed.stops.unwrap().dropoff.state, StopState::Failed);
}

#[test]
fn a_retry_reopens_the_stop_and_keeps_what_is_done() {
    let retry = walk(&[way_to(Phase::AttemptFailed), vec![Step::Decide(Decision::Retry)]].concat()).status.unwrap();
    let stops = retry.stops.unwrap();
    assert_eq!((stops.pickup.state, stops.dropoff.state), (StopState::Completed, StopState::Pending));
    assert_eq!(retry.custody, Custody::Driver);
}

#[test]
fn goods_that_never_left_cannot_be_sent_back() {
    let counter = walk(&[way_to(Phase::AtPickup), vec![Step::Say(ReportType::Fail)]].concat());
    let back = Report { decision: Some(Decision::Return), ..a_report(ReportType::Decide, 30) };
    let refused = report(&counter, &back, at(30));
    assert!(matches!(refused, Err(ReportError::Invalid { field: "decision", .. })), "{refused:?}");
}

#[test]
fn an_offer_nobody_answers_times_out_at_the_next_look() {
    let offered = walk(&way_to(Phase::Offered));
    let looked = take(&offered, &a_report(ReportType::Release, 60));
    assert_eq!(looked.phase(), Phase::Ready);
    assert_eq!(looked.status.unwrap().offers[0].state, OfferState::TimedOut);
    let late = report(&offered, &a_report(ReportType::Accept, 60), at(60));
    assert!(matches!(late, Err(ReportError::Invalid { field: "occurredAt", .. })), "{late:?}");
}

#[test]
fn the_last_hundred_reports_are_remembered() {
    let mut scheduled = order();
    for minutes in 0..130 {
        scheduled = take(&scheduled, &a_report(ReportType::Schedule, minutes));
    }
    let reports = scheduled.status.unwrap().reports;
    assert_eq!(reports.len(), MAX_REPORTS);
    assert_eq!(reports[0].client_event_id, "schedule-30");
}

#[test]
fn a_report_lacking_what_its_type_needs_is_refused_by_field() {
    let cases = [
        (ReportType::Fail, "reason"),
        (ReportType::Offer, "driver"),
        (ReportType::Schedule, "releaseAt"),
        (ReportType::Decide, "decision"),
    ];
    for (type_, wanted) in cases {
        let bare = Report { reason: None, driver: None, release_at: None, decision: None, ..a_report(type_, 1) };
        let refused = report(&order(), &bare, at(1));
        assert!(matches!(refused, Err(ReportError::Invalid { field, .. }) if field == wanted), "{refused:?}");
    }
    let nameless = Report { client_event_id: String::new(), ..a_report(ReportType::Release, 1) };
    assert!(matches!(report(&order(), &nameless, at(1)), Err(ReportError::Invalid { field: "clientEventId", .. })));
}
