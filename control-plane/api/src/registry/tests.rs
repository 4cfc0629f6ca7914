use std::collections::BTreeSet;

use rstest::rstest;
use serde_json::json;

use super::*;
use crate::validation::object_meta;

fn kind(name: &str) -> &'static Kind {
    kinds().iter().find(|kind| kind.kind == name).unwrap()
}

fn order() -> Value {
    json!({
        "apiVersion": "dropmate.dev/v1", "kind": "Order", "metadata": {"name": "o-1001", "namespace": "acme"},
        "spec": {
            "pickup": {"address": "12 Mill St", "location": {"latitude": 43.6503, "longitude": -79.3596}},
            "dropoff": {"address": "88 Queens Quay", "location": {"latitude": 43.6405, "longitude": -79.3760}},
            "recipient": {"name": "Ada"},
        },
    })
}

#[test]
fn every_schema_compiles_and_names_are_unique() {
    let mut seen = BTreeSet::new();
    for kind in kinds() {
        assert!(seen.insert((kind.group, kind.plural)), "{}", kind.group_resource());
        assert!((kind.schema)().json()["properties"]["metadata"].is_object(), "{}", kind.kind);
        assert!(!kind.storage.is_empty());
        assert!(by_kind(&kind.api_version(), kind.kind).is_some());
    }
}

#[test]
fn the_smallest_order_and_driver_are_valid_and_gain_their_defaults() {
    let schema = (kind("Order").schema)();
    let mut smallest = order();
    assert_eq!(schema.prune(&mut smallest), Vec::<String>::new());
    schema.default(&mut smallest);
    assert_eq!(schema.validate(&smallest), []);
    assert_eq!(smallest["spec"]["priority"], 0);
    assert_eq!(smallest["spec"]["hold"], false);
    serde_json::from_value::<crate::Order>(smallest).unwrap();

    let schema = (kind("Driver").schema)();
    let mut sam = json!({
        "apiVersion": "dropmate.dev/v1", "kind": "Driver", "metadata": {"name": "sam", "namespace": "acme"},
        "spec": {"displayName": "Sam", "vehicle": {"type": "bicycle"}},
    });
    schema.default(&mut sam);
    assert_eq!(schema.validate(&sam), []);
    serde_json::from_value::<crate::Driver>(sam).unwrap();
}

#[rstest]
#[case("/spec/priority", json!("string"), r#"spec.priority: Invalid value: "string": spec.priority in body must be of type integer: "string""#)]
#[case("/spec/pickup/location/latitude", json!(91), "spec.pickup.location.latitude: Invalid value: 91: spec.pickup.location.latitude in body should be less than or equal to 90")]
#[case("/spec/recipient/name", json!(""), r#"spec.recipient.name: Invalid value: "": spec.recipient.name in body should be at least 1 chars long"#)]
fn a_wrong_order_is_refused(#[case] pointer: &str, #[case] value: Value, #[case] told: &str) {
    let mut order = order();
    order["spec"]["priority"] = json!(0);
    *order.pointer_mut(pointer).unwrap() = value;
    let causes = (kind("Order").schema)().validate(&order);
    let told_causes: Vec<String> = causes.iter().map(|c| format!("{}: {}", c.field, c.message)).collect();
    assert_eq!(told_causes, [told]);
}

#[test]
fn an_unknown_vehicle_hears_of_those_that_are_known() {
    let driver = json!({"metadata": {"name": "a"}, "spec": {"displayName": "A", "vehicle": {"type": "rocket"}}});
    let causes = (kind("Driver").schema)().validate(&driver);
    assert_eq!(
        causes[0].message,
        r#"Unsupported value: "rocket": supported values: "bicycle", "motorcycle", "car", "van", "truck", "foot""#
    );
}

#[test]
fn an_event_is_one_object_in_both_groups() {
    let events = by_resource("events.k8s.io", "v1", "events").unwrap();
    let core = by_resource("", "v1", "events").unwrap();
    assert_eq!(events.storage, core.storage);
    let served = json!({
        "apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"name": "e", "namespace": "acme"},
        "regarding": {"kind": "Order", "name": "o1", "namespace": "acme"}, "note": "Bound to sam", "reason": "Bound",
        "type": "Normal", "reportingController": "dropmate.dev/dispatch", "reportingInstance": "a", "action": "Bind",
        "eventTime": "2026-11-23T10:00:00.000000Z",
    });
    assert_eq!(events.strategy.validate(&served, None), []);
    let mut object = served.clone();
    events.to_stored(&mut object);
    assert_eq!(object["apiVersion"], "v1");
    assert_eq!(object["message"], "Bound to sam");
    assert_eq!(object["involvedObject"]["name"], "o1");
    assert_eq!((core.schema)().prune(&mut object.clone()), Vec::<String>::new());
    events.to_served(&mut object);
    assert_eq!(object, served);
    assert_eq!(events.stored_field("regarding.name"), "involvedObject.name");
    assert_eq!((events.stored_field("reason"), core.stored_field("type")), ("reason".to_owned(), "type".to_owned()));
}

#[test]
fn an_event_lives_where_its_object_does() {
    let core = by_resource("", "v1", "events").unwrap();
    let event = json!({"metadata": {"name": "e", "namespace": "acme"}, "involvedObject": {"namespace": "other"}});
    assert_eq!(core.strategy.validate(&event, None)[0].field, "involvedObject.namespace");
}

#[test]
fn a_namespace_is_active_and_can_be_selected_by_its_name() {
    let mut namespace = json!({"metadata": {"name": "acme"}, "spec": {"finalizers": ["mine"]}});
    let cx = WriteContext { part: Part::Main, business_now: Timestamp::UNIX_EPOCH };
    kind("Namespace").strategy.prepare(&mut namespace, None, &cx);
    assert_eq!(namespace["status"]["phase"], "Active");
    assert_eq!(namespace["spec"]["finalizers"], json!(["kubernetes"]));
    assert_eq!(namespace["metadata"]["labels"]["kubernetes.io/metadata.name"], "acme");
}

#[test]
fn a_lease_lasts_longer_than_nothing() {
    let lease = json!({"spec": {"leaseDurationSeconds": 0, "leaseTransitions": -1}});
    let fields: Vec<String> = kind("Lease").strategy.validate(&lease, None).into_iter().map(|c| c.field).collect();
    assert_eq!(fields, ["spec.leaseDurationSeconds", "spec.leaseTransitions"]);
}

fn meta_causes(kind_name: &str, meta: Value) -> Vec<String> {
    let object = Value::Object([("metadata".to_owned(), meta)].into_iter().collect());
    let causes = object_meta(&object, kind(kind_name));
    causes.into_iter().map(|cause| format!("{}: {}", cause.field, cause.message)).collect()
}

#[test]
fn metadata_follows_the_rules_of_kubernetes() {
    assert_eq!(
        meta_causes("Order", json!({"name": "o-1.x", "namespace": "acme", "finalizers": ["dropmate.dev/x"]})),
        [""; 0]
    );
    assert_eq!(meta_causes("Namespace", json!({"name": "acme"})), [""; 0]);
    assert_eq!(meta_causes("Order", json!({"generateName": "o-", "name": "o-abc", "namespace": "a"})), [""; 0]);
    assert_eq!(
        meta_causes("Order", json!({"namespace": "acme"})),
        ["metadata.name: Required value: name or generateName is required"]
    );
    assert!(
        meta_causes("Order", json!({"name": "Bad_Name", "namespace": "acme"}))[0]
            .starts_with(r#"metadata.name: Invalid value: "Bad_Name": a lowercase RFC 1123 subdomain must consist of"#)
    );
    assert!(meta_causes("Namespace", json!({"name": "a.b"}))[0].contains("a lowercase RFC 1123 label must"));
    assert!(
        meta_causes("Order", json!({"name": "a", "namespace": "a", "labels": {"a b": "ok", "ok": "a b"}}))
            .iter()
            .all(|cause| cause.starts_with("metadata.labels: Invalid value: \"a b\": "))
    );
    let large = "x".repeat(256 * 1024);
    assert_eq!(
        meta_causes("Order", json!({"name": "a", "namespace": "a", "annotations": {"a": large}})),
        ["metadata.annotations: Too long: may not be more than 262144 bytes"]
    );
    assert_eq!(
        meta_causes("Order", json!({"name": "a", "namespace": "a", "ownerReferences": [{"apiVersion": "v1"}]})).len(),
        3
    );
    assert_eq!(
        meta_causes("Namespace", json!({"name": "a", "namespace": "b"})),
        ["metadata.namespace: Forbidden: not allowed on this type"]
    );
}
