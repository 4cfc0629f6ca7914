//! The annotation of client-side apply, which `kubectl apply --server-side` takes over from and keeps true.

use serde_json::Value;

use super::{extract::extract, scope::Scope, set::FieldSet, shape::Schema};

/// The annotation.
const ANNOTATION: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// The manager for which it counts: kubectl, unless told to call itself otherwise.
pub(super) const KUBECTL: &str = "kubectl";
/// All annotations of an object together stay below this.
const ANNOTATIONS_BYTES_MAX: usize = 256 * 1024;

fn held(object: &Value) -> Option<&str> {
    object["metadata"]["annotations"][ANNOTATION].as_str().filter(|text| !text.is_empty())
}

/// The fields that client-side apply set and that are as it set them: kubectl may take them over from whoever owns them.
pub(super) fn allowed(schema: Schema<'_>, scope: Scope, live: &Value, api_version: &str) -> Option<FieldSet> {
    let applied: Value = serde_json::from_str(held(live)?).ok()?;
    if applied["apiVersion"] != api_version {
        return None;
    }
    let changes = scope.changes(schema, &applied, live);
    let mut fields = extract(schema, &applied);
    for changed in [&changes.added, &changes.modified, &changes.removed] {
        fields.subtract(changed);
    }
    Some(fields)
}

/// Writes the annotation anew, where there is one; one that would be too long goes.
pub(super) fn keep_true(object: &mut Value, patch: &Value) {
    if held(object).is_none() {
        return;
    }
    let mut applied = patch.clone();
    if let Some(annotations) = applied.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut) {
        annotations.remove(ANNOTATION);
    }
    let text = format!("{applied}\n");
    let Some(annotations) = object.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut) else { return };
    annotations.remove(ANNOTATION);
    let others: usize = annotations.iter().map(|(key, value)| key.len() + value.as_str().map_or(0, str::len)).sum();
    if others + ANNOTATION.len() + text.len() <= ANNOTATIONS_BYTES_MAX {
        annotations.insert(ANNOTATION.to_owned(), text.into());
    }
}
