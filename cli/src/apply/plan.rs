//! What has to change: a pure three-way merge of what was applied last, what is there, and what is wanted.

use serde_json::{Map, Value, json};

use super::encode;

/// Where the last applied configuration is kept, by kubectl and by us.
pub(super) const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// The object with the annotation that holds it. An annotation given in the manifest itself is dropped.
pub(super) fn annotated(mut object: Value) -> Value {
    let annotations = annotations_mut(&mut object);
    annotations.remove(LAST_APPLIED);
    let applied = encode(&object);
    annotations_mut(&mut object).insert(LAST_APPLIED.to_owned(), Value::String(applied));
    object
}

/// The annotations, made if missing. kubectl, too, writes an empty map where there was none.
fn annotations_mut(object: &mut Value) -> &mut Map<String, Value> {
    let metadata = &mut object["metadata"];
    if !metadata.is_object() {
        *metadata = json!({});
    }
    let annotations = &mut metadata["annotations"];
    if !annotations.is_object() {
        *annotations = json!({});
    }
    annotations.as_object_mut().expect("made an object above")
}

/// What was applied last, as the live object tells; `None` if it was never applied.
pub(super) fn last_applied(live: &Value) -> Option<Value> {
    let text = live.pointer("/metadata/annotations")?.get(LAST_APPLIED)?.as_str()?;
    serde_json::from_str(text).ok()
}

/// The merge patch that leads from `live` to `wanted` and takes away what `last` had and `wanted` has no more;
/// `None` when there is nothing to do. Fields that others set stay.
pub(super) fn three_way(last: Option<&Value>, live: &Value, wanted: &Value) -> Option<Value> {
    let mut patch = changes(live, wanted);
    if let Some(last) = last {
        merge(&mut patch, removals(last, wanted));
    }
    (!patch.is_empty()).then_some(Value::Object(patch))
}

/// Additions and changes; never removals. A null asks for nothing here, as in kubectl: it takes a field away only if
/// it was applied before.
fn changes(live: &Value, wanted: &Value) -> Map<String, Value> {
    let mut patch = Map::new();
    let Some(wanted) = wanted.as_object() else { return patch };
    for (key, wanted) in wanted {
        match (live.get(key), wanted) {
            (_, Value::Null) => {}
            (Some(live @ Value::Object(_)), Value::Object(_)) => {
                let inner = changes(live, wanted);
                if !inner.is_empty() {
                    patch.insert(key.clone(), Value::Object(inner));
                }
            }
            (Some(live), wanted) if same(live, wanted) => {}
            (_, wanted) => {
                patch.insert(key.clone(), without_nulls(wanted));
            }
        }
    }
    patch
}

/// A null for every field that `last` had and `wanted` does not have, or has as null.
fn removals(last: &Value, wanted: &Value) -> Map<String, Value> {
    let mut patch = Map::new();
    let Some(last) = last.as_object() else { return patch };
    for (key, last) in last {
        match (last, wanted.get(key)) {
            (Value::Null, None | Some(Value::Null)) => {}
            (_, None | Some(Value::Null)) => {
                patch.insert(key.clone(), Value::Null);
            }
            (Value::Object(_), Some(wanted @ Value::Object(_))) => {
                let inner = removals(last, wanted);
                if !inner.is_empty() {
                    patch.insert(key.clone(), Value::Object(inner));
                }
            }
            _ => {}
        }
    }
    patch
}

fn merge(into: &mut Map<String, Value>, from: Map<String, Value>) {
    for (key, value) in from {
        match (into.get_mut(&key), value) {
            (Some(Value::Object(into)), Value::Object(from)) => merge(into, from),
            (_, value) => {
                into.insert(key, value);
            }
        }
    }
}

/// In a merge patch a null inside a new map would be dropped by the server as well.
fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let kept = fields.iter().filter(|(_, value)| !value.is_null());
            Value::Object(kept.map(|(key, value)| (key.clone(), without_nulls(value))).collect())
        }
        other => other.clone(),
    }
}

/// Equal as JSON: `43` and `43.0` are one number.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| same(a, b)))
        }
        _ => a == b,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patch(last: &Value, live: &Value, wanted: &Value) -> Option<Value> {
        three_way(Some(last), live, wanted)
    }

    #[test]
    fn nothing_to_do_when_live_has_what_is_wanted_and_more() {
        let wanted = json!({"spec": {"hold": true, "items": [{"name": "a"}]}});
        let live =
            json!({"spec": {"hold": true, "items": [{"name": "a"}], "priority": 0}, "status": {"phase": "Ready"}});
        assert_eq!(patch(&wanted, &live, &wanted), None);
        assert_eq!(three_way(None, &live, &wanted), None);
    }

    #[test]
    fn a_changed_field_is_set_and_defaulted_fields_stay() {
        let last = json!({"spec": {"priority": 1}});
        let live = json!({"spec": {"priority": 1, "hold": false}});
        assert_eq!(patch(&last, &live, &json!({"spec": {"priority": 2}})), Some(json!({"spec": {"priority": 2}})));
    }

    #[test]
    fn a_field_taken_out_of_the_manifest_is_taken_out_of_the_object() {
        let last = json!({"spec": {"driverName": "sam", "hold": true}});
        let live = json!({"spec": {"driverName": "sam", "hold": true}});
        let wanted = json!({"spec": {"hold": true}});
        assert_eq!(patch(&last, &live, &wanted), Some(json!({"spec": {"driverName": null}})));
    }

    #[test]
    fn a_field_that_others_set_is_left_alone() {
        let last = json!({"spec": {"hold": true}});
        let live = json!({"spec": {"hold": true, "driverName": "sam"}});
        assert_eq!(patch(&last, &live, &last), None);
    }

    #[test]
    fn a_whole_map_taken_out_is_one_null() {
        let last = json!({"spec": {"proof": {"dropoff": ["pin"]}}});
        assert_eq!(patch(&last, &last.clone(), &json!({"spec": {}})), Some(json!({"spec": {"proof": null}})));
    }

    #[test]
    fn lists_are_replaced_whole() {
        let last = json!({"spec": {"items": [1, 2]}});
        let wanted = json!({"spec": {"items": [1, 3]}});
        assert_eq!(patch(&last, &last.clone(), &wanted), Some(wanted));
    }

    #[test]
    fn what_somebody_changed_by_hand_is_set_back() {
        let last = json!({"spec": {"priority": 1}});
        let live = json!({"spec": {"priority": 9}});
        assert_eq!(patch(&last, &live, &last), Some(last.clone()));
    }

    #[test]
    fn a_null_in_the_manifest_removes_only_what_was_applied() {
        let wanted = json!({"spec": {"driverName": null}});
        let live = json!({"spec": {"driverName": "sam"}});
        assert_eq!(patch(&json!({"spec": {}}), &live, &wanted), None);
        assert_eq!(patch(&live.clone(), &live, &wanted), Some(wanted.clone()));
        assert_eq!(patch(&wanted, &json!({"spec": {}}), &wanted), None);
    }

    #[test]
    fn a_map_that_becomes_a_scalar_is_replaced() {
        let last = json!({"spec": {"a": {"b": 1}}});
        assert_eq!(patch(&last, &last.clone(), &json!({"spec": {"a": 1}})), Some(json!({"spec": {"a": 1}})));
    }

    #[test]
    fn whole_numbers_equal_themselves_as_floats() {
        assert_eq!(three_way(None, &json!({"spec": {"x": 43}}), &json!({"spec": {"x": 43.0}})), None);
    }

    #[test]
    fn the_annotation_holds_the_object_without_it() {
        let object =
            json!({"kind": "Order", "metadata": {"name": "o-1", "annotations": {"a": "b", LAST_APPLIED: "old"}}});
        let annotated = annotated(object);
        assert_eq!(
            annotated["metadata"]["annotations"][LAST_APPLIED],
            "{\"kind\":\"Order\",\"metadata\":{\"annotations\":{\"a\":\"b\"},\"name\":\"o-1\"}}\n"
        );
        assert_eq!(last_applied(&annotated).unwrap()["metadata"]["name"], "o-1");
    }

    #[test]
    fn an_object_without_annotations_gets_an_empty_map_first_as_with_kubectl() {
        let applied = last_applied(&annotated(json!({"metadata": {"name": "o-1"}}))).unwrap();
        assert_eq!(applied, json!({"metadata": {"annotations": {}, "name": "o-1"}}));
    }
}
