//! Objects last applied on the client's side: whoever applied them so keeps what he owns, by server-side apply.

use dropmate_api::API_VERSION;
use serde_json::{Map, Value, json};

/// Where client-side apply keeps what it applied last.
pub(super) const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// As whom kubectl applies on the client's side.
const KUBECTL: &str = "kubectl-client-side-apply";

/// The patch that makes `manager` the applier of all fields that client-side apply owns; `None` if it owns none. It is
/// for this very version of the object.
pub(super) fn patch(live: &Value, manager: &str) -> Option<Value> {
    let entries = upgraded(live.pointer("/metadata/managedFields")?.as_array()?, manager)?;
    Some(json!([
        {"op": "replace", "path": "/metadata/managedFields", "value": entries},
        {"op": "replace", "path": "/metadata/resourceVersion", "value": live.pointer("/metadata/resourceVersion")?},
    ]))
}

/// The names by which client-side apply owns fields of the object.
pub(super) fn owners(live: &Value) -> Vec<String> {
    let managed = live.pointer("/metadata/managedFields").and_then(Value::as_array);
    let ours = managed.into_iter().flatten().filter(|entry| is_client_side(entry));
    ours.filter_map(|entry| Some(entry["manager"].as_str()?.to_owned())).collect()
}

/// What a dry run cannot show of a migrated object, since it cannot migrate: fields that were applied and have left the
/// manifest go, and so does the annotation.
pub(super) fn without_what_left(live: &Value, wanted: &Value, mut would_be: Value) -> Value {
    if let Some(last) = live.pointer("/metadata/annotations").and_then(|held| held[LAST_APPLIED].as_str())
        && let Ok(last) = serde_json::from_str::<Value>(last)
    {
        remove_what_left(&last, wanted, &mut would_be);
    }
    if let Some(Value::Object(annotations)) = would_be.pointer_mut("/metadata/annotations") {
        annotations.remove(LAST_APPLIED);
        if annotations.is_empty()
            && let Some(Value::Object(metadata)) = would_be.get_mut("metadata")
        {
            metadata.remove("annotations");
        }
    }
    would_be
}

fn remove_what_left(last: &Value, wanted: &Value, would_be: &mut Value) {
    let (Value::Object(last), Value::Object(held)) = (last, would_be) else { return };
    for (name, value) in last {
        match wanted.get(name) {
            Some(wanted) => {
                if let Some(held) = held.get_mut(name) {
                    remove_what_left(value, wanted, held);
                }
            }
            None if name == "status" => {}
            None => {
                held.remove(name);
            }
        }
    }
}

fn upgraded(entries: &[Value], manager: &str) -> Option<Vec<Value>> {
    let (theirs, mut kept): (Vec<Value>, Vec<Value>) = entries.iter().cloned().partition(is_client_side);
    let first = theirs.first()?;
    let is_own = |entry: &Value| entry["operation"] == "Apply" && entry["manager"] == manager && no_part(entry);
    let mut own = match kept.iter().position(is_own) {
        Some(index) => kept.remove(index),
        None => json!({
            "manager": manager,
            "operation": "Apply",
            "apiVersion": first.get("apiVersion").cloned().unwrap_or_else(|| API_VERSION.into()),
            "time": first.get("time"),
            "fieldsType": "FieldsV1",
            "fieldsV1": {},
        }),
    };
    let mut fields = own["fieldsV1"].take();
    for entry in &theirs {
        fields = union(fields, entry["fieldsV1"].clone());
    }
    own["fieldsV1"] = fields;
    kept.insert(0, own);
    Some(kept)
}

/// Whoever updates and owns the annotation of client-side apply applies on the client's side.
fn is_client_side(entry: &Value) -> bool {
    let annotation = &entry["fieldsV1"]["f:metadata"]["f:annotations"][format!("f:{LAST_APPLIED}")];
    entry["operation"] == "Update" && no_part(entry) && (entry["manager"] == KUBECTL || !annotation.is_null())
}

/// Whether an entry is about the object itself and not its status.
fn no_part(entry: &Value) -> bool {
    entry["subresource"].as_str().unwrap_or_default().is_empty()
}

/// Both sets of fields. A field that is in one by itself and in the other by what lies below is in both ways.
fn union(a: Value, b: Value) -> Value {
    match (a, b) {
        (Value::Object(mut a), Value::Object(b)) => {
            if a.is_empty() != b.is_empty() {
                a.insert(".".to_owned(), json!({}));
            }
            for (name, below) in b {
                let held = a.remove(&name);
                a.insert(name, held.map_or(below.clone(), |held| union(held, below)));
            }
            Value::Object(a)
        }
        (Value::Object(a), _) => Value::Object(a),
        (_, Value::Object(b)) => Value::Object(b),
        _ => Value::Object(Map::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn annotated(manager: &str, fields: &Value) -> Value {
        let mut fields = fields.clone();
        fields["f:metadata"] = json!({"f:annotations": {".": {}, format!("f:{LAST_APPLIED}"): {}}});
        json!({"manager": manager, "operation": "Update", "apiVersion": API_VERSION, "fieldsType": "FieldsV1", "fieldsV1": fields})
    }

    #[test]
    fn who_applied_on_the_client_s_side_becomes_the_applier_of_what_he_owned() {
        let before = [
            annotated(KUBECTL, &json!({"f:spec": {".": {}, "f:hold": {}}})),
            annotated("dropmate", &json!({"f:spec": {"f:priority": {}}})),
            json!({"manager": "kubectl-edit", "operation": "Update", "fieldsV1": {"f:spec": {"f:note": {}}}}),
        ];
        let after = upgraded(&before, "dropmate").unwrap();
        assert_eq!(after.len(), 2);
        assert_eq!((&after[0]["manager"], &after[0]["operation"]), (&json!("dropmate"), &json!("Apply")));
        assert_eq!(after[0]["fieldsV1"]["f:spec"], json!({".": {}, "f:hold": {}, "f:priority": {}}));
        assert_eq!(after[1], before[2]);
    }

    #[test]
    fn who_already_applies_keeps_his_fields_as_well() {
        let own = json!({"manager": "dropmate", "operation": "Apply", "fieldsV1": {"f:spec": {"f:a": {}}}});
        let after = upgraded(&[own, annotated(KUBECTL, &json!({"f:spec": {"f:b": {}}}))], "dropmate").unwrap();
        assert_eq!(after.len(), 1);
        assert_eq!(after[0]["fieldsV1"]["f:spec"], json!({"f:a": {}, "f:b": {}}));
    }

    #[test]
    fn other_writers_and_appliers_are_left_alone() {
        let cordon = json!({"manager": "dropmate", "operation": "Update", "fieldsV1": {"f:spec": {"f:suspended": {}}}});
        let mut status = annotated("dispatch", &json!({}));
        status["subresource"] = json!("status");
        let mut applier = annotated("kubectl", &json!({}));
        applier["operation"] = json!("Apply");
        assert_eq!(upgraded(&[cordon, status, applier], "dropmate"), None);
    }

    #[test]
    fn a_field_with_and_without_something_below_is_both() {
        assert_eq!(union(json!({"f:a": {}}), json!({"f:a": {"f:b": {}}})), json!({"f:a": {".": {}, "f:b": {}}}));
    }

    #[test]
    fn what_left_the_manifest_is_not_in_what_would_be() {
        let last = json!({"spec": {"a": 1, "b": {"c": 2, "d": 3}}}).to_string();
        let live = json!({"metadata": {"annotations": {LAST_APPLIED: last}}});
        let would_be =
            json!({"metadata": {"annotations": {LAST_APPLIED: "x"}}, "spec": {"a": 1, "b": {"c": 2, "d": 3}, "e": 4}});
        let after = without_what_left(&live, &json!({"spec": {"b": {"c": 2}}}), would_be);
        assert_eq!(after, json!({"metadata": {}, "spec": {"b": {"c": 2}, "e": 4}}));
    }
}
