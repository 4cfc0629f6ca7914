use serde_json::{Value, json};

use super::{
    super::{
        Phase,
        fixtures::{at, spec, walk, way_to},
    },
    *,
};

fn cx(part: Part) -> WriteContext {
    WriteContext { part, business_now: at(0) }
}

fn fresh() -> Value {
    json!({
        "apiVersion": "dropmate.dev/v1", "kind": "Order",
        "metadata": {"name": "o-1", "namespace": "acme", "generation": 1},
        "spec": spec(),
    })
}

fn stored(phase: Phase) -> Value {
    let mut order = walk(&way_to(phase));
    order.metadata.generation = Some(1);
    serde_json::to_value(order).unwrap()
}

fn fields(spec_changes: &Value) -> Vec<String> {
    let mut order = fresh();
    json_merge(&mut order["spec"], spec_changes);
    OrderStrategy.validate(&order, None).into_iter().map(|cause| cause.field).collect()
}

fn json_merge(into: &mut Value, from: &Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                json_merge(into.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from.clone(),
    }
}

#[test]
fn a_new_order_has_no_facts_whatever_its_maker_wrote() {
    let mut order = fresh();
    order["status"] = json!({"phase": "Delivered", "custody": "Recipient", "driverName": "sam"});
    OrderStrategy.prepare(&mut order, None, &cx(Part::Main));
    assert_eq!(order["status"]["phase"], "Pending");
    assert_eq!(order["status"]["custody"], "Sender");
    assert_eq!(order["status"].get("driverName"), None);
    assert_eq!(order["status"]["placedAt"], "2026-05-01T12:00:00Z");
    assert_eq!(order["status"]["conditions"][0]["type"], "Assigned");
}

#[test]
fn an_order_that_says_when_it_was_placed_gets_no_other_moment() {
    let mut order = fresh();
    order["spec"]["placedAt"] = json!("2026-05-01T11:00:00Z");
    OrderStrategy.prepare(&mut order, None, &cx(Part::Main));
    assert_eq!(order["status"].get("placedAt"), None);
}

#[test]
fn a_write_of_the_spec_keeps_the_status_and_moves_the_phase() {
    let old = stored(Phase::Ready);
    let mut new = old.clone();
    new["status"] = json!({"phase": "Delivered"});
    new["spec"]["hold"] = json!(true);
    OrderStrategy.prepare(&mut new, Some(&old), &cx(Part::Main));
    assert_eq!(new["status"]["phase"], "Pending");
    assert_eq!(new["status"]["releasedAt"], old["status"]["releasedAt"]);
    let held = new["status"]["conditions"].as_array().unwrap().iter().find(|c| c["type"] == "Held").unwrap();
    assert_eq!(held["status"], "True");
    assert_eq!(held["observedGeneration"], 2);
}

#[test]
fn a_write_of_the_status_keeps_the_facts_and_takes_the_rest() {
    let old = stored(Phase::OutForDelivery);
    let mut new = old.clone();
    new["status"] = json!({
        "phase": "Delivered", "driverName": "kim", "custody": "Recipient", "assignment": {"driverName": "kim"},
        "eta": "2026-05-01T13:00:00Z",
        "conditions": [
            {"type": "Assigned", "status": "False", "lastTransitionTime": "2026-05-01T13:00:00Z"},
            {"type": "Late", "status": "True", "lastTransitionTime": "2026-05-01T13:00:00Z"},
        ],
    });
    new["spec"]["priority"] = json!(9);
    OrderStrategy.prepare(&mut new, Some(&old), &cx(Part::Status));
    for field in PROTECTED {
        assert_eq!(new["status"].get(field), old["status"].get(field), "{field}");
    }
    assert_eq!(new["spec"], old["spec"]);
    assert_eq!(new["status"]["eta"], "2026-05-01T13:00:00Z");
    let conditions: Vec<_> = new["status"]["conditions"].as_array().unwrap().iter().map(|c| &c["status"]).collect();
    assert_eq!(conditions, ["True", "True"], "Assigned is the server's, Late is taken");
}

#[test]
fn a_status_taken_away_leaves_the_facts() {
    let old = stored(Phase::Assigned);
    let mut new = old.clone();
    new.as_object_mut().unwrap().remove("status");
    OrderStrategy.prepare(&mut new, Some(&old), &cx(Part::Status));
    assert_eq!(new["status"]["phase"], "Assigned");
    assert_eq!(new["status"]["driverName"], "sam");
}

#[test]
fn a_field_of_a_newer_version_survives_every_write() {
    let mut old = stored(Phase::Ready);
    old["status"]["fromTheFuture"] = json!(7);
    let mut new = old.clone();
    new["spec"]["priority"] = json!(1);
    OrderStrategy.prepare(&mut new, Some(&old), &cx(Part::Main));
    assert_eq!(new["status"]["fromTheFuture"], 7);
}

#[test]
fn preparing_twice_changes_nothing_the_second_time() {
    let mut once = fresh();
    OrderStrategy.prepare(&mut once, None, &cx(Part::Main));
    let mut twice = once.clone();
    OrderStrategy.prepare(&mut twice, Some(&once), &cx(Part::Main));
    assert_eq!(once, twice);
}

#[test]
fn a_window_that_ends_before_it_starts_names_its_end() {
    let window = json!({"earliest": "2026-05-01T13:00:00Z", "latest": "2026-05-01T12:00:00Z"});
    let mut order = fresh();
    order["spec"]["dropoff"]["window"] = window;
    let causes = OrderStrategy.validate(&order, None);
    assert_eq!(causes.len(), 1);
    assert_eq!(causes[0].field, "spec.dropoff.window.latest");
    assert_eq!(
        causes[0].message,
        "Invalid value: \"2026-05-01T12:00:00Z\": must not be before spec.dropoff.window.earliest \
         (2026-05-01T13:00:00Z)"
    );
}

#[test]
fn all_that_is_wrong_is_said_at_once() {
    let changes = json!({
        "placedAt": "2026-05-01T12:00:00Z", "dueBy": "2026-05-01T11:00:00Z",
        "recipient": {"timeZone": "Europe/Nowhere"},
        "proof": {"dropoff": ["none", "photo", "photo"]},
        "pickup": {"window": {"earliest": "2026-05-01T12:00:00Z"}},
        "dropoff": {"window": {"latest": "2026-05-01T10:00:00Z"}},
    });
    assert_eq!(
        fields(&changes),
        [
            "spec.proof.dropoff",
            "spec.proof.dropoff[2]",
            "spec.dropoff.window.latest",
            "spec.dueBy",
            "spec.recipient.timeZone"
        ]
    );
}

#[test]
fn a_cancellation_is_not_taken_back() {
    let mut old = fresh();
    old["spec"]["cancelled"] = json!(true);
    let causes = OrderStrategy.validate(&fresh(), Some(&old));
    assert_eq!(causes[0].field, "spec.cancelled");
    assert_eq!(causes[0].reason, "FieldValueForbidden");
}
