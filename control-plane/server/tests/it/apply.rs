//! Server-side apply through the API: what an applier gets, and what it is refused.

use http::Method;
use rstest::rstest;
use serde_json::{Value, json};

use crate::client::{Api, ORDERS, namespace, order, text};

fn at(name: &str) -> String {
    format!("{ORDERS}/{name}")
}

/// An order with these fields beside what it needs.
fn with(spec: &Value) -> Value {
    let mut wanted = order("o1");
    for (name, value) in spec.as_object().unwrap() {
        wanted["spec"][name] = value.clone();
    }
    wanted
}

/// Only these fields of the order.
fn only(spec: &Value) -> Value {
    json!({"apiVersion": "dropmate.dev/v1", "kind": "Order", "metadata": {"name": "o1"}, "spec": spec})
}

fn version(object: &Value) -> &str {
    text(&object["metadata"]["resourceVersion"])
}

/// What a manager owns by an operation on a part of the object.
fn owned<'a>(object: &'a Value, manager: &str, operation: &str, subresource: &Value) -> &'a Value {
    let entries = object["metadata"]["managedFields"].as_array().map_or(&[][..], Vec::as_slice);
    entries
        .iter()
        .find(|e| e["manager"] == manager && e["operation"] == operation && &e["subresource"] == subresource)
        .map_or(&Value::Null, |entry| &entry["fieldsV1"])
}

#[tokio::test]
async fn apply_creates_changes_and_does_nothing_where_nothing_changes() {
    let api = Api::start().await;
    let mut watch = api.watch(&format!("{ORDERS}?watch=true&resourceVersion=0")).await;
    let made = api.apply(&at("o1"), "a", &with(&json!({"priority": 2}))).await;
    assert_eq!(made.code, 201);
    let made = made.ok();
    assert_eq!(made["status"]["phase"], "Pending");
    let fields = owned(&made, "a", "Apply", &Value::Null);
    assert_eq!(fields["f:spec"]["f:priority"], json!({}));
    assert_eq!(fields["f:spec"]["f:hold"], Value::Null, "a default is nobody's");
    assert_eq!(fields["f:metadata"], Value::Null, "{fields}");
    let again = api.apply(&at("o1"), "a", &with(&json!({"priority": 2}))).await;
    assert_eq!(again.code, 200);
    assert_eq!(again.ok(), made, "not even a time changes");
    let changed = api.apply(&at("o1"), "a", &with(&json!({"priority": 3}))).await.ok();
    assert_eq!((&changed["spec"]["priority"], &changed["metadata"]["generation"]), (&json!(3), &json!(2)));
    assert_eq!(watch.next_named().await, ("ADDED".into(), "o1".into()));
    let event = watch.next().await.unwrap();
    assert_eq!(version(&event["object"]), version(&changed), "the second apply was no event");
}

#[tokio::test]
async fn a_field_that_its_last_owner_drops_goes_and_defaults_return() {
    let api = Api::start().await;
    api.apply(&at("o1"), "a", &with(&json!({"hold": true, "priority": 2}))).await.ok();
    let both = api.apply(&at("o1"), "b", &only(&json!({"priority": 2}))).await.ok();
    assert_eq!(owned(&both, "b", "Apply", &Value::Null), &json!({"f:spec": {"f:priority": {}}}));
    let left = api.apply(&at("o1"), "a", &order("o1")).await.ok();
    assert_eq!((&left["spec"]["hold"], &left["spec"]["priority"]), (&json!(false), &json!(2)));
    let left = api.apply(&at("o1"), "b", &only(&json!({}))).await.ok();
    assert_eq!(left["spec"]["priority"], 0);
}

#[tokio::test]
async fn a_conflict_names_manager_and_field_and_force_takes_over() {
    let api = Api::start().await;
    api.apply(&at("o1"), "mgr-a", &with(&json!({"priority": 2, "hold": true}))).await.ok();
    let refused = api.apply(&at("o1"), "mgr-b", &only(&json!({"priority": 3}))).await;
    assert_eq!(
        refused.refusal(),
        (409, "Conflict", "Apply failed with 1 conflict: conflict with \"mgr-a\": .spec.priority")
    );
    assert_eq!(
        refused.body["details"],
        json!({"causes": [{
            "reason": "FieldManagerConflict", "message": "conflict with \"mgr-a\"", "field": ".spec.priority",
        }]})
    );
    api.send(
        Method::PATCH,
        &format!("{}?fieldManager=ed", at("o1")),
        "application/merge-patch+json",
        json!({"spec": {"hold": false}}).to_string(),
    )
    .await
    .ok();
    let refused = api.apply(&at("o1"), "mgr-b", &only(&json!({"priority": 3, "hold": true}))).await;
    assert_eq!(
        refused.refusal().2,
        "Apply failed with 2 conflicts: conflicts with \"ed\" using dropmate.dev/v1:\n- .spec.hold\nconflicts with \"mgr-a\":\n- .spec.priority"
    );
    let forced = api.apply(&at("o1"), "mgr-b&force=true", &only(&json!({"priority": 3}))).await.ok();
    assert_eq!(forced["spec"]["priority"], 3);
    assert_eq!(owned(&forced, "mgr-a", "Apply", &Value::Null)["f:spec"]["f:priority"], Value::Null);
}

#[tokio::test]
async fn status_is_applied_apart_from_the_rest() {
    let api = Api::start().await;
    let condition = |status: &str| {
        json!({"apiVersion": "dropmate.dev/v1", "kind": "Order", "metadata": {"name": "o1"},
        "spec": {"priority": 9},
        "status": {"conditions": [{
            "type": "A", "status": status, "reason": "R", "message": "",
            "lastTransitionTime": "2026-11-23T10:00:00Z",
        }]}})
    };
    let status = format!("{}/status", at("o1"));
    assert_eq!(api.apply(&status, "a", &condition("True")).await.refusal().0, 404);
    let made = api.apply(&at("o1"), "a", &order("o1")).await.ok();
    let applied = api.apply(&status, "a", &condition("True")).await.ok();
    assert_eq!(applied["spec"], made["spec"]);
    let own = owned(&applied, "a", "Apply", &json!("status"));
    assert_eq!(own["f:status"]["f:conditions"]["k:{\"type\":\"A\"}"]["f:status"], json!({}));
    assert_eq!(own["f:spec"], Value::Null);
    let refused = api.apply(&status, "b", &condition("False")).await;
    assert_eq!(
        refused.refusal().2,
        "Apply failed with 1 conflict: conflict with \"a\" with subresource \"status\": .status.conditions[type=\"A\"].status"
    );
    let main = api.apply(&at("o1"), "b", &condition("False")).await.ok();
    assert_eq!(main["spec"]["priority"], 9);
    assert_eq!(main["status"]["conditions"][1], applied["status"]["conditions"][1]);
    assert_eq!(owned(&main, "b", "Apply", &Value::Null), &json!({"f:spec": {"f:priority": {}}}));
    let left = api.apply(&status, "a", &only(&json!({}))).await.ok();
    let conditions = left["status"]["conditions"].as_array().unwrap();
    assert!(conditions.iter().all(|condition| condition["type"] != "A"), "{left}");
    assert_eq!(left["status"]["phase"], "Pending");
}

#[rstest]
#[case("", json!({}), 422, "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required for apply patch")]
#[case("a%07b", json!({}), 422, "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Invalid value: \"a\\x07b\": invalid character U+0007 (at position 1)")]
#[case("a", json!({"metadata": {"name": "o2"}}), 400, "the name of the object (o2) does not match the name on the URL (o1)")]
#[case("a", json!({"metadata": {"generateName": "o-"}}), 400, "the name of the object (o1 based on URL) was undeterminable: name must be provided")]
#[case("a", json!({"metadata": {"name": "o1", "managedFields": []}}), 400, "metadata.managedFields must be nil")]
#[case("a", json!({"metadata": {"name": "o1", "namespace": "x"}}), 400, "the namespace of the provided object does not match the namespace sent on the request")]
#[case("a", json!({"metadata": {"name": "o1", "uid": "u"}}), 409, "Operation cannot be fulfilled on orders.dropmate.dev \"o1\": uid mismatch: the provided object specified uid u, and no existing object was found")]
#[case("a", json!({"apiVersion": "dropmate.dev/v2"}), 400, "Incorrect version specified in apply patch. Specified patch version: dropmate.dev/v2, expected: dropmate.dev/v1")]
#[case("a", json!({"kind": "Driver"}), 422, "Order.dropmate.dev \"o1\" is invalid: kind: Invalid value: \"Driver\": must be Order")]
#[case("a", json!({"metadata": "x"}), 400, "metadata must be an object, not \"\\\"x\\\"\"")]
#[case("a&fieldValidation=Ignore", json!({"bogus": 1}), 500, "failed to create typed patch object (default/o1; dropmate.dev/v1, Kind=Order): .bogus: field not declared in schema")]
#[case("a", json!({"metadata": {"name": "o1", "bogus": 1}}), 500, "failed to create typed patch object (default/o1; dropmate.dev/v1, Kind=Order): .metadata.bogus: field not declared in schema")]
#[tokio::test]
async fn what_no_apply_may_say_is_refused(
    #[case] query: &str,
    #[case] fields: Value,
    #[case] code: u16,
    #[case] message: &str,
) {
    let api = Api::start().await;
    let mut patch = order("o1");
    for (name, value) in fields.as_object().unwrap() {
        patch[name] = value.clone();
    }
    let refused = api.apply(&at("o1"), query, &patch).await;
    assert_eq!((refused.refusal().0, refused.refusal().2), (code, message));
    assert_eq!(api.get(&at("o1")).await.code, 404, "nothing was created");
}

#[tokio::test]
async fn a_wrong_value_is_refused_as_everywhere() {
    let api = Api::start().await;
    let mut wanted = order("o1");
    wanted["spec"]["pickup"]["location"]["latitude"] = json!(91);
    let refused = api.apply(&at("o1"), "a", &wanted).await;
    assert_eq!(refused.refusal().0, 422);
    assert_eq!(refused.body["details"]["causes"][0]["field"], "spec.pickup.location.latitude");
    let other = api.merge(&format!("{}?force=true", at("o1")), &json!({})).await;
    assert_eq!(
        other.refusal().2,
        "PatchOptions.meta.k8s.io \"\" is invalid: force: Forbidden: may not be specified for non-apply patch"
    );
    let long = "m".repeat(129);
    let other = api.apply(&at("o1"), &long, &order("o1")).await;
    assert_eq!(
        other.refusal().2,
        "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Too long: may not be more than 128 bytes"
    );
}

#[tokio::test]
async fn version_and_uid_in_the_patch_are_preconditions() {
    let api = Api::start().await;
    let mut versioned = order("o1");
    versioned["metadata"]["resourceVersion"] = json!("1");
    assert_eq!(api.apply(&at("o1"), "a", &versioned).await.code, 201, "there is nothing that it could differ from");
    let refused = api.apply(&at("o1"), "a", &versioned).await;
    assert_eq!(refused.refusal().0, 409);
    assert!(refused.refusal().2.contains("the object has been modified"));
    let mut other = order("o1");
    other["metadata"]["uid"] = json!("u");
    assert_eq!(api.apply(&at("o1"), "a", &other).await.refusal().0, 422);
}

#[tokio::test]
async fn a_dry_run_tells_the_outcome_and_leaves_everything() {
    let api = Api::start().await;
    let path = at("o1");
    assert_eq!(api.apply(&path, "a&dryRun=All", &order("o1")).await.code, 201);
    assert_eq!(api.get(&path).await.code, 404);
    let made = api.apply(&path, "a", &order("o1")).await.ok();
    let tried = api.apply(&path, "b&dryRun=All", &only(&json!({"priority": 7}))).await.ok();
    assert_eq!(tried["spec"]["priority"], 7);
    assert_eq!(api.get(&path).await.ok(), made);
}

#[tokio::test]
async fn yaml_is_read_and_keys_given_twice_are_told() {
    let api = Api::start().await;
    let yaml = "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: acme\n  labels: {team: a}\n  labels: {team: b}\n";
    let path = |validation: &str| format!("/api/v1/namespaces/acme?fieldManager=a&fieldValidation={validation}");
    let refused = api.send(Method::PATCH, &path("Strict"), "application/apply-patch+yaml", yaml).await;
    assert_eq!(refused.refusal().0, 400);
    assert_eq!(refused.refusal().2, "error strict decoding YAML: duplicate field \"metadata.labels\"");
    let warned = api.send(Method::PATCH, &path("Warn"), "application/apply-patch+yaml", yaml).await;
    assert_eq!(warned.headers["warning"], "299 - \"duplicate field \\\"metadata.labels\\\"\"");
    assert_eq!(warned.ok()["metadata"]["labels"]["team"], "b");
    let broken = api.send(Method::PATCH, &path("Warn"), "application/apply-patch+yaml", "a: b: c").await;
    assert!(broken.refusal().2.starts_with("error decoding YAML: "), "{:?}", broken.refusal());
}

#[tokio::test]
async fn finalizers_of_several_managers_are_one_set() {
    let api = Api::start().await;
    let with = |finalizer: &str| {
        let mut wanted = only(&json!({}));
        wanted["metadata"]["finalizers"] = json!([finalizer]);
        wanted
    };
    api.post(ORDERS, &order("o1")).await.ok();
    api.apply(&at("o1"), "a", &with("example.com/a")).await.ok();
    let both = api.apply(&at("o1"), "b", &with("example.com/b")).await.ok();
    assert_eq!(both["metadata"]["finalizers"], json!(["example.com/a", "example.com/b"]));
    api.delete(&at("o1"), &Value::Null).await.ok();
    let left = api.apply(&at("o1"), "a", &only(&json!({}))).await.ok();
    assert_eq!(left["metadata"]["finalizers"], json!(["example.com/b"]));
    api.apply(&at("o1"), "b", &only(&json!({}))).await.ok();
    assert_eq!(api.get(&at("o1")).await.code, 404, "the last finalizer held it");
}

#[tokio::test]
async fn many_who_apply_at_once_all_get_their_fields() {
    let api = Api::start().await;
    let tasks: Vec<_> = (0..6)
        .map(|n| {
            let api = api.clone();
            tokio::spawn(async move {
                let mut wanted = namespace("acme");
                wanted["metadata"]["labels"] = json!({format!("l{n}"): "x"});
                api.apply("/api/v1/namespaces/acme", &format!("m{n}"), &wanted).await.code.as_u16()
            })
        })
        .collect();
    let mut codes = Vec::new();
    for task in tasks {
        codes.push(task.await.unwrap());
    }
    codes.sort_unstable();
    assert_eq!(codes, [200, 200, 200, 200, 200, 201]);
    let held = api.get("/api/v1/namespaces/acme").await.ok();
    assert_eq!(held["metadata"]["labels"].as_object().unwrap().len(), 7, "theirs and the name's: {held}");
}
