//! What every object has: `apiVersion`, `kind` and `metadata`. Checked, filled and kept by the server.

use std::io::Write as _;

use dropmate_api::{registry::Kind, validation::Cause};
use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::error::{ApiError, Result};

/// The fields of `metadata` and the JSON types they have in Kubernetes' words.
const METADATA_FIELDS: &[(&str, Shape)] = &[
    ("annotations", Shape::StringMap),
    ("creationTimestamp", Shape::Text),
    ("deletionGracePeriodSeconds", Shape::Number),
    ("deletionTimestamp", Shape::Text),
    ("finalizers", Shape::StringList),
    ("generateName", Shape::Text),
    ("generation", Shape::Number),
    ("labels", Shape::StringMap),
    ("managedFields", Shape::ObjectList),
    ("name", Shape::Text),
    ("namespace", Shape::Text),
    ("ownerReferences", Shape::ObjectList),
    ("resourceVersion", Shape::Text),
    ("selfLink", Shape::Text),
    ("uid", Shape::Text),
];

#[derive(Clone, Copy, PartialEq)]
enum Shape {
    Text,
    Number,
    StringMap,
    StringList,
    ObjectList,
}

/// The text at a pointer; empty if there is none.
pub(crate) fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or("")
}

/// `metadata` of an object that `read_metadata` let through.
pub(crate) fn metadata(object: &mut Value) -> &mut Map<String, Value> {
    let slot = &mut object["metadata"];
    if !slot.is_object() {
        *slot = Value::Object(Map::new());
    }
    slot.as_object_mut().expect("it was just made an object")
}

/// `metadata.finalizers`.
pub(crate) fn finalizers(object: &Value) -> Vec<&str> {
    let list = object.pointer("/metadata/finalizers").and_then(Value::as_array);
    list.into_iter().flatten().filter_map(Value::as_str).collect()
}

/// A time as metadata holds it: whole seconds.
pub(crate) fn metadata_time(at: Timestamp) -> Value {
    Timestamp::from_second(at.as_second()).unwrap_or(at).to_string().into()
}

/// Checks `apiVersion` and `kind`; clients of the core kinds may leave them out.
pub(crate) fn check_type(kind: &Kind, object: &mut Value) -> Result<()> {
    let Value::Object(map) = object else {
        return Err(ApiError::bad_request("the object provided is unrecognized (must be an object)"));
    };
    let ours = kind.group == dropmate_api::GROUP;
    let given = |field: &str| map.get(field).and_then(Value::as_str).unwrap_or("").to_owned();
    let (api_version, name) = (given("apiVersion"), given("kind"));
    if name.is_empty() && ours {
        return Err(ApiError::bad_request("Object 'Kind' is missing in the body of the request"));
    }
    if api_version.is_empty() && ours {
        return Err(ApiError::bad_request("Object 'apiVersion' is missing in the body of the request"));
    }
    if !api_version.is_empty() && api_version != kind.api_version() {
        return Err(ApiError::bad_request(format!(
            "the API version in the data ({api_version}) does not match the expected API version ({})",
            kind.api_version()
        )));
    }
    if !name.is_empty() && name != kind.kind {
        let object_name = text(object, "/metadata/name").to_owned();
        let message = format!("Invalid value: {name:?}: must be {}", kind.kind);
        return Err(ApiError::invalid(kind, &object_name, &[cause("FieldValueInvalid", message, "kind")]));
    }
    map.insert("apiVersion".into(), kind.api_version().into());
    map.insert("kind".into(), kind.kind.into());
    Ok(())
}

/// What Kubernetes' decoder calls the type of a value that it cannot take.
pub(crate) fn go_name(value: &Value) -> &'static str {
    match value {
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        _ => "object",
    }
}

/// Checks the types in `metadata`, drops what is null or empty, and takes out fields that it does not have; returns
/// their paths.
pub(crate) fn read_metadata(kind: &Kind, object: &mut Value) -> Result<Vec<String>> {
    let wrong = |field: &str, value: &Value, go: &str| {
        let found = go_name(value);
        ApiError::bad_request(format!(
            "{} in version {:?} cannot be handled as a {}: json: cannot unmarshal {found} into Go struct field ObjectMeta.{field} of type {go}",
            kind.kind, kind.version, kind.kind
        ))
    };
    if !matches!(object.get("metadata"), None | Some(Value::Null | Value::Object(_))) {
        return Err(wrong("metadata", &object["metadata"], "v1.ObjectMeta"));
    }
    let metadata = metadata(object);
    let mut unknown = Vec::new();
    for (field, value) in std::mem::take(metadata) {
        let Some((_, shape)) = METADATA_FIELDS.iter().find(|(known, _)| *known == field) else {
            unknown.push(format!("metadata.{field}"));
            continue;
        };
        let path = format!("metadata.{field}");
        let (go, fits) = match shape {
            Shape::Text => ("string", value.is_string() || value.is_null()),
            Shape::Number => ("int64", value.is_i64() || value.is_null()),
            Shape::StringMap => ("map[string]string", matches!(value, Value::Object(_) | Value::Null)),
            Shape::StringList | Shape::ObjectList => ("[]string", matches!(value, Value::Array(_) | Value::Null)),
        };
        if !fits {
            return Err(wrong(&path, &value, go));
        }
        let value = match (shape, value) {
            (Shape::StringMap, Value::Object(map)) => {
                if let Some(other) = map.values().find(|v| !v.is_string() && !v.is_null()) {
                    return Err(wrong(&path, other, "string"));
                }
                // A null in a map of strings is the empty string to Kubernetes.
                let text = |v: Value| if v.is_null() { Value::from("") } else { v };
                Value::Object(map.into_iter().map(|(key, value)| (key, text(value))).collect())
            }
            (Shape::StringList, Value::Array(items)) if items.iter().any(|v| !v.is_string()) => {
                let other = items.iter().find(|v| !v.is_string()).unwrap_or(&Value::Null);
                return Err(wrong(&path, other, "string"));
            }
            (Shape::ObjectList, Value::Array(items)) if items.iter().any(|v| !v.is_object()) => {
                let other = items.iter().find(|v| !v.is_object()).unwrap_or(&Value::Null);
                return Err(wrong(&path, other, "v1.OwnerReference"));
            }
            (_, value) => value,
        };
        let empty = match &value {
            Value::Null => true,
            Value::String(text) => text.is_empty(),
            Value::Array(items) => items.is_empty(),
            Value::Object(map) => map.is_empty(),
            _ => false,
        };
        if !empty && field != "selfLink" {
            metadata.insert(field, value);
        }
    }
    Ok(unknown)
}

/// Makes a cause.
pub(crate) fn cause(reason: &str, message: impl Into<String>, field: &str) -> Cause {
    Cause { reason: reason.into(), message: message.into(), field: field.into() }
}

/// The cause of a field that a write may not change.
pub(crate) fn immutable(field: &str, value: &str) -> Cause {
    cause("FieldValueInvalid", format!("Invalid value: {value:?}: field is immutable"), field)
}

/// Whether anything outside `metadata`, `status` and the type differs; that is what `generation` counts.
pub(crate) fn wants_differ(kind: &Kind, old: &Value, new: &Value) -> bool {
    let counts = |key: &str| key != "metadata" && !(key == "status" && kind.status_subresource);
    let (Value::Object(old), Value::Object(new)) = (old, new) else { return old != new };
    old.iter().any(|(key, value)| counts(key) && new.get(key) != Some(value))
        || new.keys().any(|key| counts(key) && !old.contains_key(key))
}

/// Before this, in canonical text, stands what belongs to a version: keys are sorted, so the first one outside a string is
/// the object's own metadata, and text inside strings has its quotes escaped.
const METADATA: &str = "\"metadata\":{";

/// Puts `resourceVersion` into canonical text.
pub(crate) fn with_version(body: &str, revision: u64, out: &mut Vec<u8>) {
    match body.find(METADATA) {
        Some(at) => {
            let (head, tail) = body.split_at(at + METADATA.len());
            out.reserve(body.len() + VERSION_BYTES_MAX);
            out.extend_from_slice(head.as_bytes());
            // Writing to a Vec cannot fail.
            let _ = write!(out, "\"resourceVersion\":\"{revision}\"");
            if !tail.starts_with('}') {
                out.push(b',');
            }
            out.extend_from_slice(tail.as_bytes());
        }
        None => out.extend_from_slice(body.as_bytes()),
    }
}

/// The object's metadata in canonical text, as it stands there.
pub(crate) fn metadata_of(body: &str) -> &str {
    let Some(at) = body.find(METADATA) else { return "{}" };
    let metadata = &body[at + METADATA.len() - 1..];
    let (mut depth, mut quoted, mut escaped) = (0_usize, false, false);
    for (index, byte) in metadata.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'{' if !quoted => depth += 1,
            b'}' if !quoted => {
                depth -= 1;
                if depth == 0 {
                    return &metadata[..=index];
                }
            }
            _ => {}
        }
    }
    "{}"
}

/// What [`with_version`] adds at most.
const VERSION_BYTES_MAX: usize = 48;

/// How many bytes [`with_version`] writes.
pub(crate) fn with_version_bytes(body: &str, revision: u64) -> usize {
    let Some(at) = body.find(METADATA) else { return body.len() };
    let digits = revision.checked_ilog10().unwrap_or(0) as usize + 1;
    let comma = usize::from(!body[at + METADATA.len()..].starts_with('}'));
    body.len() + "\"resourceVersion\":\"\"".len() + digits + comma
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn metadata_is_cut_out_of_the_text_whatever_its_strings_hold() {
        let metadata = r#"{"annotations":{"a":"}\\\"{","b":"\\\\"},"labels":{},"name":"x"}"#;
        let body = format!("{{\"kind\":\"Order\",\"metadata\":{metadata},\"spec\":{{\"metadata\":{{}}}}}}");
        assert!(serde_json::from_str::<Value>(&body).is_ok());
        assert_eq!(metadata_of(&body), metadata);
        assert_eq!(metadata_of("{}"), "{}");
    }

    proptest! {
        #[test]
        fn the_size_of_an_object_with_its_version_is_known_before(revision: u64, fields in "[a-z]{0,3}") {
            let metadata = if fields.is_empty() { "{}".to_owned() } else { format!("{{\"name\":\"{fields}\"}}") };
            for body in [format!("{{\"kind\":\"Order\",\"metadata\":{metadata}}}"), "{}".to_owned()] {
                let mut out = Vec::new();
                with_version(&body, revision, &mut out);
                prop_assert_eq!(with_version_bytes(&body, revision), out.len());
                prop_assert!(serde_json::from_slice::<Value>(&out).is_ok());
            }
        }
    }
}
