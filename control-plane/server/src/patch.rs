//! The forms of PATCH as pure functions over JSON.

use json_patch::{Patch, PatchOperation};
use serde_json::{Map, Value};

use crate::error::{ApiError, Result};

/// More operations than this in one JSON patch are refused, as Kubernetes does: each may copy the object.
const MAX_OPERATIONS: usize = 10_000;
/// Bytes that the `copy` operations of one patch may add, as in Kubernetes: each could double the object.
const MAX_COPIED_BYTES: usize = 3 * 1024 * 1024;

/// JSON patch (RFC 6902). A `test` for null passes on a missing path: clients guard finalizers so.
pub(crate) fn json_patch(mut object: Value, body: &Value) -> Result<Value> {
    let patch: Patch = serde_json::from_value(body.clone())
        .map_err(|error| ApiError::bad_request(format!("error decoding patch: {error}")))?;
    if patch.0.len() > MAX_OPERATIONS {
        return Err(ApiError::too_many_operations(MAX_OPERATIONS, patch.0.len()));
    }
    let mut copied = 0;
    for operation in patch.0 {
        if let PatchOperation::Copy(copy) = &operation {
            copied += object.pointer(copy.from.as_str()).map_or(0, |value| value.to_string().len());
            if copied > MAX_COPIED_BYTES {
                return Err(ApiError::too_large(MAX_COPIED_BYTES));
            }
        }
        if let PatchOperation::Test(test) = &operation
            && test.value.is_null()
            && object.pointer(test.path.as_str()).is_none()
        {
            continue;
        }
        json_patch::patch(&mut object, &[operation]).map_err(|_| ApiError::patch_does_not_apply())?;
    }
    Ok(object)
}

/// JSON merge patch (RFC 7386).
pub(crate) fn merge_patch(mut object: Value, patch: &Value) -> Value {
    json_patch::merge(&mut object, patch);
    object
}

/// Strategic merge patch for the kinds whose schemas kubectl knows: a merge patch, except that `metadata.finalizers` is
/// a set, `metadata.ownerReferences` is merged by uid, and the directives `$patch`, `$retainKeys`,
/// `$deleteFromPrimitiveList` and `$setElementOrder` are honoured.
pub(crate) fn strategic_merge_patch(mut object: Value, patch: &Value) -> Result<Value> {
    let Value::Object(patch) = patch else {
        return Err(ApiError::bad_request("a strategic merge patch must be an object"));
    };
    if !object.is_object() {
        object = Value::Object(Map::new());
    }
    merge_map(&mut object, patch, "")?;
    Ok(object)
}

fn merge_map(target: &mut Value, patch: &Map<String, Value>, at: &str) -> Result<()> {
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(held) = target else { return Ok(()) };
    match patch.get("$patch").map(Value::as_str) {
        None | Some(Some("merge")) => {}
        Some(Some("replace")) => {
            *held =
                patch.iter().filter(|(key, _)| !key.starts_with('$')).map(|(k, v)| (k.clone(), v.clone())).collect();
            return Ok(());
        }
        Some(Some("delete")) => {
            held.clear();
            return Ok(());
        }
        Some(other) => {
            let other = other.unwrap_or("");
            return Err(ApiError::bad_request(format!("Unknown patch type found: {other}")));
        }
    }
    if let Some(Value::Array(keys)) = patch.get("$retainKeys") {
        held.retain(|key, _| keys.iter().any(|k| k == key));
    }
    for (key, value) in patch {
        let field = if at.is_empty() { key.clone() } else { format!("{at}.{key}") };
        if let Some(list) = key.strip_prefix("$deleteFromPrimitiveList/") {
            if let (Some(Value::Array(items)), Value::Array(gone)) = (held.get_mut(list), value) {
                items.retain(|item| !gone.contains(item));
            }
        } else if key.starts_with('$') {
            // `$setElementOrder` only orders; `$patch` and `$retainKeys` were read above.
        } else {
            match (field.as_str(), value) {
                (_, Value::Null) => {
                    held.remove(key);
                }
                ("metadata.finalizers", Value::Array(added)) => union(entry(held, key), added),
                ("metadata.ownerReferences", Value::Array(patches)) => {
                    merge_list(entry(held, key), patches, "uid", &field)?;
                }
                ("status.conditions", Value::Array(patches)) => merge_list(entry(held, key), patches, "type", &field)?,
                (_, Value::Object(inner)) => {
                    let slot = held.entry(key.clone()).or_insert_with(|| Value::Object(Map::new()));
                    merge_map(slot, inner, &field)?;
                }
                (_, plain) => {
                    held.insert(key.clone(), plain.clone());
                }
            }
        }
    }
    Ok(())
}

/// The list at `key`, made empty where there is none.
fn entry<'a>(held: &'a mut Map<String, Value>, key: &str) -> &'a mut Vec<Value> {
    let slot = held.entry(key.to_owned()).or_insert_with(|| Value::Array(Vec::new()));
    if !slot.is_array() {
        *slot = Value::Array(Vec::new());
    }
    slot.as_array_mut().expect("it was just made a list")
}

fn union(items: &mut Vec<Value>, added: &[Value]) {
    for value in added {
        if !items.contains(value) {
            items.push(value.clone());
        }
    }
}

fn merge_list(items: &mut Vec<Value>, patches: &[Value], merge_key: &str, path: &str) -> Result<()> {
    if patches.iter().any(|patch| patch.get("$patch") == Some(&Value::from("replace"))) {
        *items = patches.iter().filter(|patch| patch.get("$patch").is_none()).cloned().collect();
        return Ok(());
    }
    for patch in patches {
        let Some(id) = patch.get(merge_key) else {
            return Err(ApiError::bad_request(format!(
                "map: {patch} does not contain declared merge key: {merge_key}"
            )));
        };
        let held = items.iter().position(|item| item.get(merge_key) == Some(id));
        if patch.get("$patch") == Some(&Value::from("delete")) {
            if let Some(index) = held {
                items.remove(index);
            }
            continue;
        }
        match (held, patch) {
            (Some(index), Value::Object(inner)) => merge_map(&mut items[index], inner, path)?,
            _ => items.push(patch.clone()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_test_for_null_passes_on_a_missing_path_and_fails_on_a_present_one() {
        let patch = json!([
            {"op": "test", "path": "/metadata/finalizers", "value": null},
            {"op": "add", "path": "/metadata/finalizers", "value": ["a/b"]},
        ]);
        let once = json_patch(json!({"metadata": {}}), &patch).unwrap();
        assert_eq!(once, json!({"metadata": {"finalizers": ["a/b"]}}));
        assert_eq!(json_patch(once, &patch).unwrap_err().code().as_u16(), 422);
    }

    #[test]
    fn strategic_merge_keeps_finalizers_as_a_set_and_owners_by_uid() {
        let object = json!({"metadata": {
            "finalizers": ["a/b", "c/d"],
            "labels": {"x": "1", "y": "2"},
            "ownerReferences": [{"uid": "1", "name": "one"}, {"uid": "2", "name": "two"}],
        }});
        let patch = json!({"metadata": {
            "$deleteFromPrimitiveList/finalizers": ["a/b"],
            "finalizers": ["e/f", "c/d"],
            "labels": {"$patch": "replace", "z": "3"},
            "ownerReferences": [{"uid": "1", "controller": true}, {"uid": "2", "$patch": "delete"}],
        }});
        let expected = json!({"metadata": {
            "finalizers": ["c/d", "e/f"],
            "labels": {"z": "3"},
            "ownerReferences": [{"uid": "1", "name": "one", "controller": true}],
        }});
        assert_eq!(strategic_merge_patch(object, &patch).unwrap(), expected);
    }
}
