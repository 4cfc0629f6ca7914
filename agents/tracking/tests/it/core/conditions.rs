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

fn on_the_way(conditions: Value) -> std::sync::Arc<dropmate_api::Order> {
    order("a", json!({}), fetched(json!({ "conditions": conditions })))
}

#[rstest]
#[case::nine_minutes_off(Some(5000.0), 400 + 540, true)]
#[case::ten_minutes_off(Some(5000.0), 400 + 600, true)]
#[case::eleven_minutes_off(Some(5000.0), 400 + 660, false)]
#[case::round_the_corner_in_a_jam(Some(500.0), 400 + 1800, true)]
#[case::further_off_in_a_jam(Some(501.0), 400 + 1800, false)]
#[case::goes_elsewhere_before(None, 400 + 60, false)]
fn a_driver_who_comes_here_next_and_soon_is_arriving(
    #[case] next_door: Option<f64>,
    #[case] expected: i64,
    #[case] arriving: bool,
) {
    let known = Knowledge { next_door, ..eta(expected) };
    assert_eq!(part(&on_the_way(json!([])), known, at(400)).holds("Arriving"), arriving);
    let silent = Knowledge { silent: Some(("sam", at(1))), ..known };
    assert!(!part(&on_the_way(json!([])), silent, at(400)).holds("Arriving"), "nobody knows where he is");
    let fetches = order("a", json!({}), super::bound(json!({})));
    assert!(!part(&fetches, known, at(400)).holds("Arriving"), "he has nothing yet");
}

#[test]
fn that_he_arrives_is_said_once_until_he_is_no_longer_on_the_way() {
    let said = on_the_way(json!([condition("Arriving", "True")]));
    // He was sent elsewhere first, or is later than expected: it is not taken back.
    assert_eq!(part(&said, Knowledge { next_door: None, ..eta(9000) }, at(400)).conditions, Part::of(&said).conditions);
    let failed = order(
        "a",
        json!({}),
        fetched(json!({
            "phase": "AttemptFailed", "conditions": [condition("Arriving", "True")],
            "attempts": [{"reason": "NobodyHome", "at": at(500), "stop": "dropoff"}],
        })),
    );
    let over = part(&failed, Knowledge::default(), at(500));
    assert!(!over.holds("Arriving"));
    // And at the next attempt it is said anew.
    let again = on_the_way(json!(over.conditions));
    let told = part(&again, Knowledge { next_door: Some(100.0), ..eta(900) }, at(800));
    assert!(told.holds("Arriving"));
    assert_eq!(told.conditions[0].last_transition_time, at(800));
}

#[test]
fn that_he_will_be_arriving_is_looked_at_when_it_comes() {
    use dropmate_tracking::promise::changes_at;
    let known = Knowledge { next_door: Some(9000.0), ..eta(2000) };
    assert_eq!(changes_at(&on_the_way(json!([])), known, at(400)), Some(at(1400)));
    assert_eq!(changes_at(&on_the_way(json!([])), Knowledge { next_door: None, ..known }, at(400)), None);
    assert_eq!(changes_at(&on_the_way(json!([condition("Arriving", "True")])), known, at(400)), None);
}
