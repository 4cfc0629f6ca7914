use rstest::rstest;
use serde_json::{Value, json};

use super::*;

/// An order with that status, over one that waits.
fn order(status: &Value) -> Order {
    let mut all = json!({"phase": "Ready", "releasedAt": "2026-11-29T12:00:00Z", "placedAt": "2026-11-29T11:00:00Z"});
    for (field, value) in status.as_object().unwrap() {
        all[field] = value.clone();
    }
    let stop = json!({"address": "12 Mill St", "location": {"latitude": 43.65, "longitude": -79.36}});
    serde_json::from_value(json!({
        "apiVersion": "dropmate.dev/v1", "kind": "Order", "metadata": {"name": "o-1", "namespace": "acme"},
        "spec": {"pickup": stop, "dropoff": stop, "recipient": {"name": "Ada"}}, "status": all,
    }))
    .unwrap()
}

fn names(before: &Value, after: &Value) -> Vec<&'static str> {
    let events = order_events(Some(&order(before)), Some(&order(after)));
    events.into_iter().map(|event| event.name).collect()
}

fn bound_to(driver: &str) -> Value {
    json!({"phase": "Assigned", "driverName": driver, "assignment": {"driverName": driver, "boundAt": "2026-11-29T12:05:00Z"}})
}

fn with(mut status: Value, more: &Value) -> Value {
    for (field, value) in more.as_object().unwrap() {
        status[field] = value.clone();
    }
    status
}

fn holds(type_: &str, status: &str) -> Value {
    json!({"type": type_, "status": status, "lastTransitionTime": T})
}

const T: &str = "2026-11-29T12:10:00Z";

#[rstest]
#[case::released(json!({"phase": "Scheduled", "releasedAt": null}), json!({}), &["order.ready", "delivery.updated"])]
#[case::bound(json!({}), bound_to("sam"), &["order.assigned", "delivery.updated"])]
#[case::unbound(bound_to("sam"), json!({"assignment": {"generation": 1}}), &["order.unassigned", "order.ready", "delivery.updated"])]
#[case::bound_to_another(bound_to("sam"), bound_to("kim"), &["order.unassigned", "order.assigned", "delivery.updated"])]
#[case::offered(
    json!({}), json!({"phase": "Offered", "offers": [{"driver": "sam", "deadline": T, "state": "Open"}]}), &["order.offered", "delivery.updated"]
)]
#[case::declined_and_offered_on(
    json!({"phase": "Offered", "offers": [{"driver": "sam", "deadline": T, "state": "Open"}]}),
    json!({"phase": "Offered", "offers": [
        {"driver": "sam", "deadline": T, "state": "Declined"}, {"driver": "kim", "deadline": T, "state": "Open"}]}),
    &["order.offer_declined", "order.offered"]
)]
#[case::set_out(
    bound_to("sam"),
    with(bound_to("sam"), &json!({"phase": "EnRouteToPickup", "stops": {"pickup": {"state": "EnRoute", "departedAt": T}}})),
    &["order.pickup_enroute", "delivery.updated"]
)]
#[case::picked_up_without_a_word_before(
    bound_to("sam"),
    with(bound_to("sam"), &json!({"phase": "OutForDelivery", "custody": "Driver", "stops": {"pickup": {
        "state": "Completed", "departedAt": T, "arrivedAt": T, "completedAt": T, "inferred": ["departedAt", "arrivedAt"]}}})),
    &["order.picked_up", "order.out_for_delivery", "delivery.updated"]
)]
#[case::a_late_report_fills_what_was_inferred(
    with(bound_to("sam"), &json!({"stops": {"pickup": {"state": "Completed", "inferred": ["arrivedAt", "departedAt"]}}})),
    with(bound_to("sam"), &json!({"stops": {"pickup": {"state": "Completed", "inferred": ["departedAt"], "arrivedAt": T}}})),
    &["order.pickup_arrived"]
)]
#[case::delivered(
    with(bound_to("sam"), &json!({"phase": "AtDropoff", "stops": {"dropoff": {"state": "Arrived", "arrivedAt": T}}})),
    with(bound_to("sam"), &json!({"phase": "Delivered", "custody": "Recipient", "stops": {"dropoff": {"state": "Completed", "completedAt": T}}})),
    &["order.delivered", "delivery.updated"]
)]
#[case::failed(
    with(bound_to("sam"), &json!({"phase": "AtDropoff"})),
    with(bound_to("sam"), &json!({"phase": "AttemptFailed", "attempts": [{"reason": "NobodyHome", "at": T, "stop": "dropoff"}]})),
    &["order.attempt_failed", "delivery.updated"]
)]
#[case::on_the_way_back(
    json!({"phase": "Returning"}), json!({"phase": "Returning", "returnStartedAt": T}), &["order.return_started"]
)]
#[case::expired(json!({}), json!({"phase": "Expired", "expiredAt": T}), &["order.expired", "delivery.updated"])]
#[case::late(
    json!({"conditions": [{"type": "Late", "status": "False", "lastTransitionTime": T}]}),
    json!({"conditions": [{"type": "Late", "status": "True", "lastTransitionTime": T}], "eta": T}),
    &["order.delayed", "order.eta_changed"]
)]
#[case::at_the_pickup(
    with(bound_to("sam"), &json!({"phase": "EnRouteToPickup", "stops": {"pickup": {"state": "EnRoute", "departedAt": T}}})),
    with(bound_to("sam"), &json!({"phase": "AtPickup", "stops": {"pickup": {"state": "Arrived", "departedAt": T, "arrivedAt": T}}})),
    &["order.pickup_arrived", "delivery.updated"]
)]
#[case::at_the_door(
    with(bound_to("sam"), &json!({"phase": "OutForDelivery", "stops": {"dropoff": {"state": "EnRoute", "departedAt": T}}})),
    with(bound_to("sam"), &json!({"phase": "AtDropoff", "stops": {"dropoff": {"state": "Arrived", "departedAt": T, "arrivedAt": T}}})),
    &["order.dropoff_arrived", "delivery.updated"]
)]
#[case::nearly_there(
    with(bound_to("sam"), &json!({"phase": "OutForDelivery"})),
    with(bound_to("sam"), &json!({"phase": "OutForDelivery", "conditions": [holds("Arriving", "True")]})),
    &["order.arriving"]
)]
#[case::still_nearly_there(
    json!({"conditions": [holds("Arriving", "True")]}),
    json!({"releaseAt": T, "conditions": [holds("Arriving", "True")]}),
    &["order.updated"]
)]
#[case::nearly_there_again(
    json!({"conditions": [holds("Arriving", "False")]}), json!({"conditions": [holds("Arriving", "True")]}), &["order.arriving"]
)]
#[case::the_offer_ran_out(
    json!({"phase": "Offered", "offers": [{"driver": "sam", "deadline": T, "state": "Open"}]}),
    json!({"offers": [{"driver": "sam", "deadline": T, "state": "TimedOut"}]}),
    &["order.ready", "order.offer_expired", "delivery.updated"]
)]
#[case::nobody_takes_it(json!({}), json!({"conditions": [holds("Unassignable", "True")]}), &["order.unassignable"])]
#[case::back_where_it_came_from(
    json!({"phase": "Returning", "returnStartedAt": T}), json!({"phase": "Returned", "returnStartedAt": T, "finishedAt": T}),
    &["order.returned", "delivery.updated"]
)]
#[case::called_off(json!({}), json!({"phase": "Cancelled", "finishedAt": T}), &["order.cancelled", "delivery.updated"])]
#[case::a_decision_moves_it_without_a_name(
    json!({"phase": "AttemptFailed"}), json!({"phase": "Failed", "finishedAt": T}), &["order.updated", "delivery.updated"]
)]
#[case::nobody_was_told(
    json!({"conditions": [holds("CustomerNotified", "True")]}), json!({"conditions": [holds("CustomerNotified", "False")]}),
    &["notification.failed"]
)]
#[case::another_message_failed(
    json!({"conditions": [holds("CustomerNotified", "False")]}),
    json!({"conditions": [{"type": "CustomerNotified", "status": "False", "message": "order.delivered by sms", "lastTransitionTime": T}]}),
    &["notification.failed"]
)]
#[case::nothing_with_a_name(json!({}), json!({"releaseAt": T}), &["order.updated"])]
fn a_change_is_called_by_its_name(#[case] before: Value, #[case] after: Value, #[case] expected: &[&str]) {
    assert_eq!(names(&before, &after), expected);
}

#[test]
fn coming_changing_and_going_have_names_too() {
    let mut changed = order(&json!({}));
    changed.spec.priority = 7;
    let (waiting, pending) = (order(&json!({})), order(&json!({"phase": "Pending", "releasedAt": null})));
    let of = |before, after| order_events(before, after).into_iter().map(|event| event.name).collect::<Vec<_>>();
    assert_eq!(of(None, Some(&pending)), ["order.created"]);
    assert_eq!(of(None, Some(&waiting)), ["order.created", "order.ready", "delivery.updated"]);
    assert_eq!(of(Some(&waiting), Some(&changed)), ["order.updated"]);
    assert_eq!(of(Some(&waiting), None), ["order.deleted"]);
    assert!(of(None, None).is_empty());
}

#[test]
fn times_and_drivers_are_those_of_the_facts() {
    let events = order_events(Some(&order(&json!({}))), Some(&order(&bound_to("sam"))));
    assert_eq!(events[0].at, Some("2026-11-29T12:05:00Z".parse().unwrap()));
    assert_eq!(events[0].driver.as_deref(), Some("sam"));
    assert!(!events[0].is_between_dispatch_and_driver());
}
