use dropmate_tracking::promise::{Knowledge, Part, part};
use rstest::rstest;
use serde_json::{Value, json};

use super::{at, fetched, order};

fn due(status: Value) -> std::sync::Arc<dropmate_api::Order> {
    order("a", json!({"dueBy": at(3600)}), fetched(status))
}

fn eta(seconds: i64) -> Knowledge<'static> {
    Knowledge { eta: Some(at(seconds)), ..Knowledge::default() }
}

fn condition(type_: &str, status: &str) -> Value {
    json!({"type": type_, "status": status, "reason": "X", "message": "", "lastTransitionTime": at(1)})
}

#[rstest]
#[case::in_time(3200, 400, &[])]
#[case::nearly_late(3400, 400, &["AtRisk"])]
#[case::expected_late(3700, 400, &["AtRisk"])]
#[case::late(3800, 3700, &["AtRisk", "Late"])]
fn the_promise_is_at_risk_and_then_broken(#[case] expected: i64, #[case] now: i64, #[case] hold: &[&str]) {
    let told = part(&due(json!({})), eta(expected), at(now));
    let held: Vec<&str> = told.conditions.iter().map(|condition| condition.type_.as_str()).collect();
    assert_eq!(held, hold);
    assert!(held.iter().all(|type_| told.holds(type_)));
}

#[test]
fn an_order_nobody_fetches_is_at_risk_by_the_clock_alone() {
    let waits = order("a", json!({"dueBy": at(3600)}), json!({"phase": "Ready", "releasedAt": at(0)}));
    assert!(!part(&waits, Knowledge::default(), at(3300)).holds("AtRisk"));
    assert!(part(&waits, Knowledge::default(), at(3301)).holds("AtRisk"));
    let promised_nothing = order("a", json!({}), fetched(json!({})));
    assert_eq!(part(&promised_nothing, eta(99_999), at(400)).conditions, []);
}

#[test]
fn a_risk_that_trembles_is_told_once() {
    let at_risk = due(json!({"conditions": [condition("AtRisk", "True")]}));
    // Just outside the slack it still holds; well outside no more.
    assert!(part(&at_risk, eta(3250), at(400)).holds("AtRisk"));
    let calm = part(&at_risk, eta(3100), at(400));
    assert!(!calm.holds("AtRisk"));
    assert_eq!((calm.conditions[0].reason.as_str(), calm.conditions[0].last_transition_time), ("InTime", at(400)));
}

#[test]
fn what_has_ended_is_neither_late_nor_silent() {
    let status = json!({
        "phase": "Delivered", "custody": "Recipient", "finishedAt": at(4000), "eta": at(3900),
        "conditions": [condition("AtRisk", "True"), condition("Late", "True")],
    });
    let told = part(&due(status), Knowledge { silent: Some(("sam", at(1))), ..Knowledge::default() }, at(9000));
    assert!(!told.holds("AtRisk") && !told.holds("Late") && !told.holds("TrackingStale"));
    assert_eq!(told.conditions[0].reason, "Finished");
    assert_eq!(told.eta, Some(at(3900)), "what was expected last stays");
    // And looked at again there is nothing to write.
    let done = due(json!({
        "phase": "Delivered", "custody": "Recipient", "finishedAt": at(4000), "eta": at(3900),
        "conditions": told.conditions,
    }));
    assert_eq!(part(&done, Knowledge::default(), at(9999)), Part::of(&done));
}

#[rstest]
#[case::a_little(2000, 2030, None, 2000)]
#[case::a_minute(2000, 2060, None, 2060)]
#[case::sooner(2000, 1900, None, 1900)]
#[case::a_minute_just_after_it_was_written(2000, 2060, Some(390), 2000)]
#[case::a_minute_later_on(2000, 2060, Some(370), 2060)]
#[case::a_little_over_the_promise(3590, 3610, None, 3610)]
fn an_eta_is_written_when_it_has_moved(
    #[case] held: i64,
    #[case] expected: i64,
    #[case] written: Option<i64>,
    #[case] wanted: i64,
) {
    let known = Knowledge { eta_written_at: written.map(at), ..eta(expected) };
    assert_eq!(part(&due(json!({"eta": at(held)})), known, at(400)).eta, Some(at(wanted)));
}

#[test]
fn an_order_taken_from_its_driver_has_no_eta() {
    let waits = order("a", json!({}), json!({"phase": "Ready", "releasedAt": at(0), "eta": at(900)}));
    assert_eq!(part(&waits, Knowledge::default(), at(10)).eta, None);
}
