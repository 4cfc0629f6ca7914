//! Orders for tests, brought to where a test begins by the same functions that bring real ones there.

use jiff::{SignedDuration, Timestamp};

use super::{
    Decision, Order, OrderSpec, Phase, ProofType,
    binding::{Bound, bind, unbind},
    progress::report,
    settle,
};
use crate::subresource::{Binding, ProofGiven, Report, ReportType, Unbinding};

/// Minutes after noon of the day all tests play on.
pub(super) fn at(minutes: i64) -> Timestamp {
    let noon: Timestamp = "2026-05-01T12:00:00Z".parse().unwrap();
    noon + SignedDuration::from_mins(minutes)
}

pub(super) fn spec() -> OrderSpec {
    serde_json::from_value(serde_json::json!({
        "pickup": {"address": "12 Mill St", "location": {"latitude": 43.6503, "longitude": -79.3596}},
        "dropoff": {"address": "88 Queens Quay", "location": {"latitude": 43.6405, "longitude": -79.3760}},
        "recipient": {"name": "Ada"},
    }))
    .unwrap()
}

pub(super) fn order() -> Order {
    let mut order = Order::new("o-1", spec());
    settle(&mut order, at(0));
    order
}

pub(super) fn a_report(type_: ReportType, minutes: i64) -> Report {
    Report {
        client_event_id: format!("{}-{minutes}", type_.as_str()),
        type_,
        occurred_at: at(minutes),
        location: None,
        proof: None,
        reason: (type_ == ReportType::Fail).then(|| "nobody home".to_owned()),
        note: None,
        driver: matches!(type_, ReportType::Offer | ReportType::Accept | ReportType::Decline).then(|| "sam".to_owned()),
        deadline: (type_ == ReportType::Offer).then(|| at(minutes + 40)),
        release_at: (type_ == ReportType::Schedule).then(|| at(minutes + 60)),
        decision: (type_ == ReportType::Decide).then_some(Decision::Retry),
        fence: None,
    }
}

pub(super) fn a_binding(driver: &str) -> Binding {
    serde_json::from_value(serde_json::json!({
        "apiVersion": "dropmate.dev/v1", "kind": "Binding", "metadata": {},
        "target": {"kind": "Driver", "name": driver},
        "reason": {"summary": format!("{driver} is nearest")},
    }))
    .unwrap()
}

pub(super) fn given(type_: ProofType) -> ProofGiven {
    ProofGiven { type_, reference: Some("secret-or-id".to_owned()) }
}

/// Something that happens to an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Say(ReportType),
    Decide(Decision),
    Bind,
    Unbind,
    Hold(bool),
    Cancel,
}

/// Takes the step at that minute, or leaves the order as it is and tells that the step was refused.
pub(super) fn try_step(order: &Order, step: Step, minutes: i64) -> Result<Order, String> {
    let mut next = order.clone();
    match step {
        Step::Say(type_) => {
            return report(order, &a_report(type_, minutes), at(minutes)).map(|a| a.order).map_err(|e| e.to_string());
        }
        Step::Decide(decision) => {
            let said = Report { decision: Some(decision), ..a_report(ReportType::Decide, minutes) };
            return report(order, &said, at(minutes)).map(|a| a.order).map_err(|e| e.to_string());
        }
        Step::Bind => {
            return match bind(order, &a_binding("sam"), at(minutes)) {
                Ok(Bound::Bound(bound)) => Ok(bound),
                Ok(Bound::Unchanged) => Err("unchanged".to_owned()),
                Err(refused) => Err(refused.to_string()),
            };
        }
        Step::Unbind => {
            return unbind(order, &Unbinding::default(), at(minutes)).map_err(|e| e.to_string());
        }
        Step::Hold(hold) => next.spec.hold = hold,
        Step::Cancel => next.spec.cancelled = true,
    }
    settle(&mut next, at(minutes));
    Ok(next)
}

pub(super) fn walk(steps: &[Step]) -> Order {
    let mut now = order();
    for (minutes, step) in steps.iter().enumerate() {
        now = try_step(&now, *step, minutes as i64).unwrap_or_else(|refused| panic!("{step:?}: {refused}"));
    }
    now
}

/// The shortest way to each phase.
pub(super) fn way_to(phase: Phase) -> Vec<Step> {
    use ReportType as R;
    use Step::{Bind, Cancel, Say};
    let then = |before: Phase, step: Step| [way_to(before), vec![step]].concat();
    match phase {
        Phase::Pending => vec![],
        Phase::Scheduled => vec![Say(R::Schedule)],
        Phase::Ready => vec![Say(R::Release)],
        Phase::Offered => then(Phase::Ready, Say(R::Offer)),
        Phase::Assigned => then(Phase::Ready, Bind),
        Phase::EnRouteToPickup => then(Phase::Assigned, Say(R::Depart)),
        Phase::AtPickup => then(Phase::EnRouteToPickup, Say(R::Arrive)),
        Phase::OutForDelivery => then(Phase::AtPickup, Say(R::PickUp)),
        Phase::AtDropoff => then(Phase::OutForDelivery, Say(R::Arrive)),
        Phase::AttemptFailed => then(Phase::AtDropoff, Say(R::Fail)),
        Phase::Returning => then(Phase::AttemptFailed, Step::Decide(Decision::Return)),
        Phase::Delivered => then(Phase::AtDropoff, Say(R::Deliver)),
        Phase::Returned => then(Phase::Returning, Say(R::Returned)),
        Phase::Cancelled => vec![Cancel],
        Phase::Failed => then(Phase::AttemptFailed, Step::Decide(Decision::Fail)),
        Phase::Expired => then(Phase::Ready, Say(R::Expire)),
    }
}

pub(super) const PHASES: [Phase; 16] = [
    Phase::Pending,
    Phase::Scheduled,
    Phase::Ready,
    Phase::Offered,
    Phase::Assigned,
    Phase::EnRouteToPickup,
    Phase::AtPickup,
    Phase::OutForDelivery,
    Phase::AtDropoff,
    Phase::AttemptFailed,
    Phase::Returning,
    Phase::Delivered,
    Phase::Returned,
    Phase::Cancelled,
    Phase::Failed,
    Phase::Expired,
];

pub(super) const TYPES: [ReportType; 14] = [
    ReportType::Accept,
    ReportType::Decline,
    ReportType::Depart,
    ReportType::Arrive,
    ReportType::PickUp,
    ReportType::Deliver,
    ReportType::Fail,
    ReportType::StartReturn,
    ReportType::Returned,
    ReportType::Schedule,
    ReportType::Release,
    ReportType::Offer,
    ReportType::Expire,
    ReportType::Decide,
];
