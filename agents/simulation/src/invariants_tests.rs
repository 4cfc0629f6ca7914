use serde_json::{Value, json};

use super::*;

/// An order as the server would have written it.
fn order(revision: u64, status: &Value) -> Order {
    let stop = json!({"address": "x", "location": {"latitude": 0.0, "longitude": 0.0}});
    serde_json::from_value(json!({
        "apiVersion": "dropmate.dev/v1", "kind": "Order",
        "metadata": {"name": "o-1", "namespace": "acme", "resourceVersion": revision.to_string()},
        "spec": {"pickup": stop, "dropoff": stop, "recipient": {"name": "Ada"}, "placedAt": "2026-05-01T12:00:00Z"},
        "status": status,
    }))
    .unwrap()
}

fn ready(generation: i64) -> Value {
    json!({
        "phase": "Ready", "releasedAt": "2026-05-01T12:00:00Z", "assignment": {"generation": generation},
    })
}

fn bound(driver: &str, generation: i64) -> Value {
    json!({
        "phase": "Assigned", "releasedAt": "2026-05-01T12:00:00Z",
        "assignment": {
            "driverName": driver, "boundAt": "2026-05-01T12:01:00Z", "generation": generation,
            "reason": {"summary": "nearest"},
        },
    })
}

fn broken(states: &[Value]) -> Vec<String> {
    let mut checker = Checker::default();
    for (index, status) in states.iter().enumerate() {
        checker.see_order(order(index as u64 + 1, status));
    }
    checker.broken().to_vec()
}

#[test]
fn a_binding_taken_away_and_given_to_another_is_fine() {
    assert_eq!(broken(&[ready(0), bound("sam", 0), ready(1), bound("kim", 1)]), [] as [String; 0]);
}

#[test]
fn a_binding_that_moves_is_found() {
    let found = broken(&[ready(0), bound("sam", 0), bound("kim", 0)]);
    assert_eq!(found, ["at revision 3: acme/o-1: moved from sam to kim without an unbinding"]);
}

#[test]
fn an_unbinding_that_leaves_the_generation_is_found() {
    assert_eq!(broken(&[ready(0), bound("sam", 0), ready(0)]).len(), 1);
}

#[test]
fn a_binding_before_placement_or_without_a_reason_is_found() {
    let mut early = bound("sam", 0);
    early["assignment"]["boundAt"] = json!("2026-05-01T11:59:00Z");
    early["assignment"].as_object_mut().unwrap().remove("reason");
    assert_eq!(broken(&[ready(0), early]).len(), 2);
}

#[test]
fn a_phase_that_does_not_follow_from_the_facts_is_found() {
    let mut wrong = ready(0);
    wrong["phase"] = json!("Expired");
    assert_eq!(broken(&[wrong])[..1], ["at revision 1: acme/o-1: the phase Expired does not follow from the facts"]);
}

#[test]
fn an_end_that_is_no_end_is_found() {
    let expired = json!({"phase": "Expired", "expiredAt": "2026-05-01T12:30:00Z"});
    assert_eq!(broken(&[ready(0), expired, ready(0)]), ["at revision 3: acme/o-1: Ready followed Expired"]);
}

#[test]
fn revisions_that_do_not_rise_are_found() {
    let mut checker = Checker::default();
    checker.see_order(order(5, &ready(0)));
    checker.see_order(order(5, &ready(0)));
    assert_eq!(checker.broken(), ["at revision 5: o-1: revision 5 came after 5"]);
}

#[test]
fn more_in_the_car_than_fits_is_found() {
    let driver = json!({
        "apiVersion": "dropmate.dev/v1", "kind": "Driver",
        "metadata": {"name": "sam", "namespace": "acme", "resourceVersion": "1"},
        "spec": {"displayName": "Sam", "capacity": {"weightKilograms": 5.0}},
    });
    let mut checker = Checker::default();
    checker.see_driver(serde_json::from_value(driver).unwrap());
    let mut aboard = bound("sam", 0);
    aboard["phase"] = json!("OutForDelivery");
    aboard["custody"] = json!("Driver");
    checker.see_order(order(2, &ready(0)));
    checker.see_order(order(3, &bound("sam", 0)));
    let mut heavy = order(4, &aboard);
    heavy.spec.items =
        serde_json::from_value(json!([{"name": "crate", "quantity": 2, "weightKilograms": 3.0}])).unwrap();
    checker.see_order(heavy);
    assert_eq!(checker.broken(), ["at revision 4: acme/sam carries 1 orders, 6 kg, 0 l: more than fits"]);
}

#[test]
fn what_waits_without_saying_why_is_not_settled() {
    let mut checker = Checker::default();
    checker.see_order(order(1, &ready(0)));
    assert_eq!(checker.unsettled(), ["o-1 is Ready"]);
    let mut told = ready(0);
    told["conditions"] =
        json!([{"type": "Unassignable", "status": "True", "lastTransitionTime": "2026-05-01T12:00:00Z"}]);
    checker.see_order(order(2, &told));
    assert_eq!(checker.unsettled(), [] as [String; 0]);
}
