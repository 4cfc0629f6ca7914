use rstest::rstest;
use serde_json::json;

use super::*;

pub(super) fn schema() -> Schema {
    let text = json!({"type": "string"});
    Schema::new(json!({"type": "object", "properties": {
        "spec": {"type": "object", "properties": {
            "a": text,
            "b": text,
            "count": {"type": "number"},
            "on": {"type": "boolean", "default": true},
            "window": {"type": "object", "properties": {"earliest": text, "latest": text}},
            "pair": {"type": "object", "x-kubernetes-map-type": "atomic", "properties": {"x": text, "y": text}},
            "items": {"type": "array", "items": {"type": "object", "properties": {"name": text}}},
            "skills": {"type": "array", "x-kubernetes-list-type": "set", "items": text},
            "stops": {
                "type": "array",
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["id"],
                "items": {"type": "object", "properties": {"id": text, "at": text, "note": text}},
            },
            "labels": {"type": "object", "additionalProperties": text},
            "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
        }},
        "status": {"type": "object", "properties": {
            "phase": text,
            "conditions": {
                "type": "array",
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["type"],
                "items": {"type": "object", "properties": {"type": text, "status": text}},
            },
        }},
    }}))
}

pub(super) fn writer<'a>(manager: &'a str, at: &'a str) -> Writer<'a> {
    Writer { manager, api_version: "x.dev/v1", subresource: "", status_apart: true, at }
}

const T1: &str = "2026-11-23T10:00:00Z";
const T2: &str = "2026-11-23T11:00:00Z";

pub(super) fn object(spec: &Value) -> Value {
    json!({"apiVersion": "x.dev/v1", "kind": "Thing", "metadata": {"name": "t"}, "spec": spec})
}

fn applied(live: &Value, manager: &str, spec: &Value) -> Value {
    apply(&schema(), live, &object(spec), &writer(manager, T1), false).unwrap()
}

fn updated(live: &Value, manager: &str, spec: &Value) -> Value {
    let mut new = live.clone();
    if new.is_null() {
        new = object(spec);
    }
    new["spec"] = spec.clone();
    update(&schema(), live, &mut new, &writer(manager, T1));
    new
}

/// What a manager owns, as `FieldsV1`.
fn owned<'a>(object: &'a Value, manager: &str) -> &'a Value {
    let entries = object["metadata"]["managedFields"].as_array().map_or(&[][..], Vec::as_slice);
    entries.iter().find(|entry| entry["manager"] == manager).map_or(&Value::Null, |entry| &entry["fieldsV1"])
}

#[test]
fn an_applier_owns_exactly_what_it_names() {
    let made = applied(&Value::Null, "a", &json!({"a": "1", "window": {"earliest": "x"}, "items": [{"name": "n"}]}));
    assert_eq!(made["spec"]["a"], "1");
    assert_eq!(
        made["metadata"]["managedFields"],
        json!([{
            "manager": "a", "operation": "Apply", "apiVersion": "x.dev/v1", "time": T1, "fieldsType": "FieldsV1",
            "fieldsV1": {"f:spec": {"f:a": {}, "f:items": {}, "f:window": {"f:earliest": {}}}},
        }])
    );
}

#[rstest]
#[case::set(json!({"skills": ["x"]}), json!({"f:skills": {"v:\"x\"": {}}}))]
#[case::keyed(
    json!({"stops": [{"id": "1", "at": "x"}]}),
    json!({"f:stops": {"k:{\"id\":\"1\"}": {".": {}, "f:id": {}, "f:at": {}}}})
)]
#[case::map(json!({"labels": {"k": "v"}}), json!({"f:labels": {"f:k": {}}}))]
#[case::empty(json!({"window": {}}), json!({"f:window": {}}))]
#[case::null(json!({"a": null}), json!({"f:a": {}}))]
#[case::atomic(json!({"pair": {"x": "1"}}), json!({"f:pair": {}}))]
#[case::free(json!({"free": {"x": {"y": 1}}}), json!({"f:free": {"f:x": {".": {}, "f:y": {}}}}))]
fn each_shape_is_owned_in_its_way(#[case] spec: Value, #[case] fields: Value) {
    let made = applied(&Value::Null, "a", &spec);
    assert_eq!(owned(&made, "a"), &json!({"f:spec": fields}));
}

#[test]
fn another_value_is_a_conflict_that_names_manager_and_field() {
    let live = applied(&Value::Null, "mgr-a", &json!({"a": "1"}));
    let refused = apply(&schema(), &live, &object(&json!({"a": "2"})), &writer("mgr-b", T1), false).unwrap_err();
    assert_eq!(refused.to_string(), "Apply failed with 1 conflict: conflict with \"mgr-a\": .spec.a");
    let cause = &refused.causes()[0];
    assert_eq!(
        (cause.reason.as_str(), cause.message.as_str(), cause.field.as_str()),
        ("FieldManagerConflict", "conflict with \"mgr-a\"", ".spec.a")
    );
}

#[test]
fn several_conflicts_are_listed_by_manager() {
    let live = updated(&Value::Null, "ed", &json!({"a": "1", "b": "1"}));
    let live = applied(&live, "mgr", &json!({"count": 1}));
    let wanted = object(&json!({"a": "2", "b": "2", "count": 2}));
    let refused = apply(&schema(), &live, &wanted, &writer("x", T1), false).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "Apply failed with 3 conflicts: conflicts with \"ed\" using x.dev/v1:\n- .spec.a\n- .spec.b\nconflicts with \"mgr\":\n- .spec.count"
    );
}

#[test]
fn force_takes_over() {
    let live = applied(&Value::Null, "a", &json!({"a": "1", "b": "1"}));
    let taken = apply(&schema(), &live, &object(&json!({"a": "2"})), &writer("b", T2), true).unwrap();
    assert_eq!(taken["spec"], json!({"a": "2", "b": "1"}));
    assert_eq!(owned(&taken, "a"), &json!({"f:spec": {"f:b": {}}}));
    assert_eq!(owned(&taken, "b"), &json!({"f:spec": {"f:a": {}}}));
}

#[test]
fn equal_values_are_owned_together_and_the_last_owner_takes_the_field_along() {
    let live = applied(&Value::Null, "a", &json!({"a": "1", "b": "1", "count": 1}));
    let both = applied(&live, "b", &json!({"a": "1", "count": 1.0}));
    assert_eq!(owned(&both, "a"), owned(&live, "a"));
    assert_eq!(both["spec"], live["spec"], "a number written otherwise is no change");
    let one = applied(&both, "a", &json!({"b": "1"}));
    assert_eq!(one["spec"], json!({"a": "1", "b": "1", "count": 1}), "b still wants it");
    let none = applied(&one, "b", &json!({"count": 1}));
    assert_eq!(none["spec"], json!({"b": "1", "count": 1}));
}

#[test]
fn what_an_updater_owns_stays_when_an_applier_leaves() {
    let live = updated(&Value::Null, "ed", &json!({"a": "1"}));
    let both = applied(&live, "a", &json!({"a": "1", "b": "1"}));
    let left = applied(&both, "a", &json!({}));
    assert_eq!(left["spec"], json!({"a": "1"}));
    assert_eq!(owned(&left, "a"), &json!({"f:spec": {}}));
}

#[test]
fn what_nobody_owns_stays_while_somebody_owns_beside_it() {
    let mut live = applied(&Value::Null, "z", &json!({"count": 1}));
    live["spec"]["on"] = json!(true);
    let one = applied(&live, "a", &json!({"a": "1", "b": "1"}));
    let left = applied(&one, "a", &json!({"a": "1"}));
    assert_eq!(left["spec"], json!({"on": true, "a": "1", "count": 1}));
    let alone = applied(&left, "z", &json!({}));
    assert_eq!(alone["spec"], json!({"on": true, "a": "1"}));
}

#[test]
fn what_was_there_before_owners_were_kept_belongs_to_before_first_apply() {
    let live = object(&json!({"a": "1", "b": "1"}));
    assert_eq!(updated(&live, "ed", &json!({"a": "2"})), object(&json!({"a": "2"})), "nobody is kept before an apply");
    let done = applied(&live, "a", &json!({"a": "1", "count": 1}));
    assert_eq!(owned(&done, "before-first-apply"), &json!({"f:spec": {".": {}, "f:a": {}, "f:b": {}}}));
    let refused = apply(&schema(), &live, &object(&json!({"a": "2"})), &writer("a", T1), false).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "Apply failed with 1 conflict: conflict with \"before-first-apply\" using x.dev/v1: .spec.a"
    );
}

#[test]
fn metadata_of_the_server_stays_when_labels_go() {
    let mut patch = object(&json!({"a": "1"}));
    patch["metadata"]["labels"] = json!({"x": "1"});
    let mut live = apply(&schema(), &Value::Null, &patch, &writer("a", T1), false).unwrap();
    live["metadata"]["uid"] = json!("u");
    let mut unnamed = object(&json!({"a": "1"}));
    unnamed.as_object_mut().unwrap().remove("metadata");
    let left = apply(&schema(), &live, &unnamed, &writer("a", T1), false).unwrap();
    assert_eq!(left["metadata"]["uid"], "u");
    assert_eq!(left["metadata"]["name"], "t");
    assert!(left["metadata"].get("labels").is_none(), "{left}");
}

#[test]
fn items_of_a_keyed_list_belong_to_who_names_them() {
    let live = applied(&Value::Null, "a", &json!({"stops": [{"id": "1", "at": "x"}, {"id": "2", "at": "y"}]}));
    let both = applied(&live, "b", &json!({"stops": [{"id": "3"}, {"id": "2", "note": "n"}]}));
    let ids: Vec<&str> = both["spec"]["stops"].as_array().unwrap().iter().map(|s| s["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["1", "3", "2"], "what b has comes in b's order");
    assert_eq!(both["spec"]["stops"][2], json!({"id": "2", "at": "y", "note": "n"}));
    let left = applied(&both, "a", &json!({}));
    assert_eq!(left["spec"]["stops"], json!([{"id": "3"}, {"id": "2", "note": "n"}]));
}

#[test]
fn items_of_a_set_come_and_go_one_by_one() {
    let live = applied(&Value::Null, "a", &json!({"skills": ["x", "y"]}));
    let both = applied(&live, "b", &json!({"skills": ["z", "y"]}));
    assert_eq!(both["spec"]["skills"], json!(["x", "z", "y"]));
    let left = applied(&both, "a", &json!({"skills": ["y"]}));
    assert_eq!(left["spec"]["skills"], json!(["z", "y"]));
}

#[test]
fn finalizers_are_a_set_and_owner_references_go_by_uid() {
    let with = |finalizer: &str, uid: &str| {
        let mut patch = object(&json!({}));
        patch["metadata"]["finalizers"] = json!([finalizer]);
        patch["metadata"]["ownerReferences"] = json!([{"uid": uid, "name": uid, "kind": "K", "apiVersion": "v1"}]);
        patch
    };
    let one = apply(&schema(), &Value::Null, &with("a/a", "1"), &writer("a", T1), false).unwrap();
    let two = apply(&schema(), &one, &with("b/b", "2"), &writer("b", T1), false).unwrap();
    assert_eq!(two["metadata"]["finalizers"], json!(["a/a", "b/b"]));
    assert_eq!(two["metadata"]["ownerReferences"].as_array().unwrap().len(), 2);
    let fields = &owned(&two, "b")["f:metadata"];
    assert_eq!(fields["f:ownerReferences"], json!({"k:{\"uid\":\"2\"}": {}}));
    assert_eq!(fields["f:finalizers"], json!({"v:\"b/b\"": {}}));
}

#[test]
fn what_is_named_as_empty_stays_when_the_last_of_it_goes() {
    let live = applied(&Value::Null, "a", &json!({"skills": ["x"]}));
    let emptied = applied(&live, "a", &json!({}));
    assert_eq!(emptied["spec"], json!({}));
    assert!(same_but_times(&emptied, &applied(&emptied, "a", &json!({}))));
}

#[test]
fn a_list_without_keys_has_one_owner() {
    let live = applied(&Value::Null, "a", &json!({"items": [{"name": "x"}]}));
    let refused = apply(&schema(), &live, &object(&json!({"items": []})), &writer("b", T1), false).unwrap_err();
    assert_eq!(refused.to_string(), "Apply failed with 1 conflict: conflict with \"a\": .spec.items");
}

#[test]
fn an_update_takes_what_it_changed_with_the_fields_that_came_into_being() {
    let made = updated(&Value::Null, "ed", &json!({"a": "1", "window": {"earliest": "x"}}));
    assert_eq!(owned(&made, "ed"), &json!({"f:spec": {".": {}, "f:a": {}, "f:window": {".": {}, "f:earliest": {}}}}));
    let live = applied(&made, "a", &json!({"a": "1", "b": "1"}));
    let changed = updated(&live, "other", &json!({"a": "2", "window": {"earliest": "x"}}));
    assert_eq!(owned(&changed, "other"), &json!({"f:spec": {"f:a": {}}}));
    assert_eq!(owned(&changed, "ed"), &json!({"f:spec": {".": {}, "f:window": {".": {}, "f:earliest": {}}}}));
    assert_eq!(owned(&changed, "a"), &Value::Null, "a changed, and b went");
}

#[test]
fn who_writes_its_own_fields_again_renews_its_time_and_its_place() {
    let live = updated(&Value::Null, "agent", &json!({"a": "1"}));
    let live = updated(&live, "ed", &json!({"a": "1", "b": "1"}));
    let mut new = live.clone();
    new["spec"]["a"] = json!("2");
    update(&schema(), &live, &mut new, &writer("agent", T2));
    let entries = new["metadata"]["managedFields"].as_array().unwrap();
    assert_eq!(entries[0], live["metadata"]["managedFields"][1], "ed's");
    assert_eq!((&entries[1]["manager"], &entries[1]["time"]), (&json!("agent"), &json!(T2)));
    assert_eq!(entries[1]["fieldsV1"], live["metadata"]["managedFields"][0]["fieldsV1"]);
    // A field that is shared is not the writer's own.
    let shared = applied(&live, "x", &json!({"a": "1"}));
    let mut new = shared.clone();
    new["spec"]["a"] = json!("2");
    update(&schema(), &shared, &mut new, &writer("agent", T2));
    assert_eq!(owned(&new, "x"), &Value::Null);
}

#[test]
fn an_update_that_changes_nothing_changes_no_owner_and_no_time() {
    let live = updated(&Value::Null, "ed", &json!({"a": "1"}));
    let mut same = live.clone();
    update(&schema(), &live, &mut same, &writer("other", T2));
    assert_eq!(same, live);
    managers::put(&mut same, Value::Null);
    update(&schema(), &live, &mut same, &writer("other", T2));
    assert_eq!(same, live, "whoever does not send the owners does not remove them");
}

#[test]
fn one_empty_entry_clears_the_owners_and_an_unreadable_one_counts_for_nothing() {
    let live = updated(&Value::Null, "ed", &json!({"a": "1"}));
    for (given, left) in [
        (json!([{}]), &Value::Null),
        (json!([]), &live["metadata"]["managedFields"]),
        (json!([{"manager": "x", "operation": "Steal"}]), &live["metadata"]["managedFields"]),
    ] {
        let mut new = live.clone();
        new["metadata"]["managedFields"] = given;
        update(&schema(), &live, &mut new, &writer("other", T2));
        assert_eq!(&new["metadata"]["managedFields"], left);
    }
}

#[test]
fn an_update_may_say_who_owns_what() {
    let live = updated(&Value::Null, "kubectl-client-side-apply", &json!({"a": "1"}));
    let mut new = live.clone();
    new["metadata"]["managedFields"][0]["manager"] = json!("kubectl");
    new["metadata"]["managedFields"][0]["operation"] = json!("Apply");
    let given = new["metadata"]["managedFields"].clone();
    update(&schema(), &live, &mut new, &writer("kubectl", T2));
    assert_eq!(new["metadata"]["managedFields"], given);
}

#[test]
fn status_and_the_rest_are_owned_apart() {
    let live = applied(&Value::Null, "a", &json!({"a": "1"}));
    let status = Writer { subresource: "status", ..writer("a", T1) };
    let patch = json!({"apiVersion": "x.dev/v1", "kind": "Thing", "metadata": {"name": "t", "labels": {"x": "1"}},
        "spec": {"a": "2"}, "status": {"phase": "P", "conditions": [{"type": "A", "status": "True"}]}});
    let both = apply(&schema(), &live, &patch, &status, false).unwrap();
    assert_eq!(both["spec"], json!({"a": "1"}));
    assert!(both["metadata"].get("labels").is_none());
    let entries = both["metadata"]["managedFields"].as_array().unwrap();
    assert_eq!(entries.len(), 2);
    assert_eq!(entries[1]["subresource"], "status");
    assert_eq!(
        entries[1]["fieldsV1"],
        json!({"f:status": {"f:phase": {},
            "f:conditions": {"k:{\"type\":\"A\"}": {".": {}, "f:type": {}, "f:status": {}}}}})
    );
    let again = apply(&schema(), &both, &patch, &writer("b", T1), false).unwrap_err();
    assert_eq!(again.to_string(), "Apply failed with 1 conflict: conflict with \"a\": .spec.a");
    let other = json!({"apiVersion": "x.dev/v1", "kind": "Thing",
        "status": {"conditions": [{"type": "A", "status": "False"}]}});
    let refused = apply(&schema(), &both, &other, &Writer { manager: "b", ..status }, false).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "Apply failed with 1 conflict: conflict with \"a\" with subresource \"status\": .status.conditions[type=\"A\"].status"
    );
}

#[rstest]
#[case(json!({"bogus": 1}), ".spec.bogus: field not declared in schema")]
#[case(json!({"window": {"x": 1}}), ".spec.window.x: field not declared in schema")]
#[case(json!({"a": 1}), ".spec.a: expected string, got 1")]
#[case(json!({"count": "1"}), ".spec.count: expected numeric (int or float), got \"1\"")]
#[case(json!({"items": {}}), ".spec.items: expected list, got {}")]
#[case(json!({"skills": ["x", "x"]}), ".spec.skills: duplicate entries for key [=\"x\"]")]
#[case(json!({"stops": [{"id": "1"}, {"id": "1"}]}), ".spec.stops: duplicate entries for key [id=\"1\"]")]
#[case(json!({"items": [{"bogus": 1}]}), ".spec.items[0].bogus: field not declared in schema")]
#[case(
    json!({"stops": [{"at": "x"}]}),
    ".spec.stops: element 0: associative list with keys has an element that omits key field \"id\" (and doesn't have default value)"
)]
#[case(json!({"bogus": 1, "a": 1}), "errors:\n  .spec.a: expected string, got 1\n  .spec.bogus: field not declared in schema")]
fn a_patch_that_does_not_fit_the_schema_is_refused(#[case] spec: Value, #[case] faults: &str) {
    let refused = apply(&schema(), &Value::Null, &object(&spec), &writer("a", T1), true).unwrap_err();
    assert_eq!(
        refused.to_string(),
        format!("failed to create typed patch object (/t; x.dev/v1, Kind=Thing): {faults}")
    );
}

#[test]
fn a_patch_may_not_say_who_owns_what() {
    let mut patch = object(&json!({}));
    patch["metadata"]["managedFields"] = json!([]);
    let refused = apply(&schema(), &Value::Null, &patch, &writer("a", T1), false).unwrap_err();
    assert_eq!(refused.to_string(), "metadata.managedFields must be nil");
}

#[test]
fn the_oldest_updaters_are_merged() {
    let names: Vec<String> = (10..24).map(|n| format!("m{n}")).collect();
    let times: Vec<String> = (10..24).map(|n| format!("2026-11-23T{n}:00:00Z")).collect();
    let mut live = updated(&Value::Null, "m09", &json!({}));
    for (name, time) in names.iter().zip(&times) {
        let mut new = live.clone();
        new["spec"]["labels"][name] = json!("x");
        update(&schema(), &live, &mut new, &writer(name, time));
        live = new;
    }
    let entries = live["metadata"]["managedFields"].as_array().unwrap();
    assert_eq!(entries.len(), 10);
    assert_eq!(entries[0]["manager"], "ancient-changes");
    assert_eq!(entries[0]["time"], times[4].as_str(), "that of the youngest of them");
    let merged = entries[0]["fieldsV1"]["f:spec"]["f:labels"].as_object().unwrap();
    assert_eq!(merged.len(), 6, "five managers' keys, and the map that the first made: {merged:?}");
}

#[test]
fn appliers_are_bounded() {
    let mut live = object(&json!({}));
    for n in 0..APPLIERS_MAX {
        live = applied(&live, &format!("m{n}"), &json!({"a": "1"}));
    }
    applied(&live, "m0", &json!({"b": "1"}));
    let refused = apply(&schema(), &live, &object(&json!({})), &writer("one-more", T1), false).unwrap_err();
    assert!(refused.to_string().contains("at most 100 managers"), "{refused}");
}

#[test]
fn kubectl_takes_over_what_it_applied_from_the_client_side_and_keeps_the_annotation_true() {
    let mut made = object(&json!({"a": "1", "b": "1"}));
    made["metadata"]["annotations"] =
        json!({"kubectl.kubernetes.io/last-applied-configuration": object(&json!({"a": "1", "b": "1"})).to_string()});
    update(&schema(), &Value::Null, &mut made, &writer("kubectl-client-side-apply", T1));
    let live = updated(&made, "ed", &json!({"a": "1", "b": "2"}));
    let wanted = object(&json!({"a": "3", "b": "3"}));
    let refused = apply(&schema(), &live, &wanted, &writer("kubectl", T1), false).unwrap_err();
    assert_eq!(refused.to_string(), "Apply failed with 1 conflict: conflict with \"ed\" using x.dev/v1: .spec.b");
    let wanted = object(&json!({"a": "3"}));
    let taken = apply(&schema(), &live, &wanted, &writer("kubectl", T1), false).unwrap();
    assert_eq!(taken["spec"], json!({"a": "3", "b": "2"}));
    let annotation = &taken["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"];
    assert_eq!(annotation, &json!(format!("{wanted}\n")));
    apply(&schema(), &live, &wanted, &writer("other", T1), false).unwrap_err();
}

#[test]
fn times_alone_are_no_difference() {
    let live = applied(&Value::Null, "a", &json!({"a": "1"}));
    let later = apply(&schema(), &live, &object(&json!({"a": "1"})), &writer("a", T2), false).unwrap();
    assert_ne!(later, live);
    assert!(same_but_times(&live, &later));
    assert!(!same_but_times(&live, &applied(&live, "b", &json!({"a": "1"}))));
}

#[test]
fn who_wants_nothing_makes_nobody_a_manager() {
    let bare = json!({"apiVersion": "x.dev/v1", "kind": "Thing", "metadata": {"name": "t"}});
    let live =
        json!({"apiVersion": "x.dev/v1", "kind": "Thing", "metadata": {"name": "t", "labels": {"by": "server"}}});
    let again = apply(&schema(), &live, &bare, &writer("one", T2), false).unwrap();
    assert_eq!(again, live);
}
