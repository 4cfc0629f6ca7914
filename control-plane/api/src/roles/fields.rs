//! Which fields a write changes, against those that it may.

use std::sync::LazyLock;

use serde_json::{Map, Value};

/// What the server keeps in `metadata` at every write.
const KEPT: [&str; 3] = ["metadata.managedFields", "metadata.resourceVersion", "metadata.generation"];

/// The first field, by path, that differs between two states of an object and is in none of `allowed`.
///
/// A path is `spec.suspended`; of a list of conditions, `status.conditions[type=Late]` is one of them. What is below an
/// allowed path is allowed.
pub fn outside(old: &Value, new: &Value, allowed: &[&str]) -> Option<String> {
    differs(String::new(), old, new, allowed)
}

fn differs(path: String, old: &Value, new: &Value, allowed: &[&str]) -> Option<String> {
    if old == new || covered(&path, allowed) || KEPT.contains(&path.as_str()) {
        return None;
    }
    match (filled(old, new), filled(new, old)) {
        (Value::Object(held), Value::Object(wanted)) => {
            let keys = held.keys().chain(wanted.keys().filter(|key| !held.contains_key(*key)));
            keys.into_iter().find_map(|key| {
                let below = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                let at = |fields: &'_ Map<String, Value>| fields.get(key).cloned();
                match (held.get(key), wanted.get(key)) {
                    (Some(held), Some(wanted)) => differs(below, held, wanted, allowed),
                    _ => differs(below, &at(held).unwrap_or_default(), &at(wanted).unwrap_or_default(), allowed),
                }
            })
        }
        (Value::Array(held), Value::Array(wanted)) if is_below(&path, allowed) => {
            let types: Vec<&str> = held.iter().chain(wanted).filter_map(|item| item["type"].as_str()).collect();
            let at = |items: &[Value], type_: &str| items.iter().find(|item| item["type"] == type_).cloned();
            // An item without a type belongs to nobody.
            let nameless = types.len() < held.len() + wanted.len();
            let changed = types.into_iter().find_map(|type_| {
                let below = format!("{path}[type={type_}]");
                (at(held, type_) != at(wanted, type_) && !covered(&below, allowed)).then_some(below)
            });
            changed.or_else(|| nameless.then_some(path))
        }
        _ => Some(path),
    }
}

/// What is not there counts as empty: whether one may make it depends on what is put in.
fn filled<'a>(value: &'a Value, other: &Value) -> &'a Value {
    static NOTHING: LazyLock<Value> = LazyLock::new(|| Value::Object(Map::new()));
    static NONE: LazyLock<Value> = LazyLock::new(|| Value::Array(Vec::new()));
    match (value, other) {
        (Value::Null, Value::Object(_)) => &NOTHING,
        (Value::Null, Value::Array(_)) => &NONE,
        (value, _) => value,
    }
}

/// Whether the path is an allowed one, or below one.
fn covered(path: &str, allowed: &[&str]) -> bool {
    let below = |allowed: &str| {
        path.strip_prefix(allowed).is_some_and(|rest| rest.is_empty() || rest.starts_with('.') || rest.starts_with('['))
    };
    allowed.iter().any(|allowed| below(allowed))
}

/// Whether an item of the list at the path is allowed.
fn is_below(path: &str, allowed: &[&str]) -> bool {
    allowed.iter().any(|allowed| allowed.strip_prefix(path).is_some_and(|rest| rest.starts_with('[')))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    #[rstest]
    #[case(json!({"spec": {"suspended": false}}), json!({"spec": {"suspended": true}}), None)]
    #[case(json!({"spec": {}}), json!({"spec": {"suspended": true}}), None)]
    #[case(json!({}), json!({"spec": {"suspended": true}}), None)]
    #[case(json!({"spec": {"suspended": true}}), json!({"spec": {"suspended": true, "phone": "1"}}), Some("spec.phone"))]
    #[case(json!({"spec": {"phone": "1"}}), json!({"spec": {}}), Some("spec.phone"))]
    #[case(json!({"metadata": {}}), json!({"metadata": {"labels": {"a": "b"}}}), Some("metadata.labels.a"))]
    #[case(json!({"metadata": {"generation": 1}}), json!({"metadata": {"generation": 2, "managedFields": []}}), None)]
    #[case(json!({"spec": {"suspendedBy": 1}}), json!({"spec": {"suspendedBy": 2}}), Some("spec.suspendedBy"))]
    fn only_what_is_allowed_may_change(#[case] old: Value, #[case] new: Value, #[case] outside_of: Option<&str>) {
        assert_eq!(outside(&old, &new, &["spec.suspended"]).as_deref(), outside_of);
    }

    #[rstest]
    #[case(json!([]), json!([{"type": "Late", "status": "True"}]), None)]
    #[case(json!(null), json!([{"type": "Late", "status": "True"}]), None)]
    #[case(json!([{"type": "Late"}]), json!([]), None)]
    #[case(json!([{"type": "Held"}]), json!([{"type": "Held"}, {"type": "Late"}]), None)]
    #[case(json!([{"type": "Held"}]), json!([{"type": "Late"}]), Some("status.conditions[type=Held]"))]
    #[case(json!([]), json!([{"type": "Lates"}]), Some("status.conditions[type=Lates]"))]
    #[case(json!([]), json!([{"status": "True"}]), Some("status.conditions"))]
    fn a_condition_is_its_writers_alone(#[case] old: Value, #[case] new: Value, #[case] outside_of: Option<&str>) {
        let of = |conditions: Value| match conditions {
            Value::Null => json!({"status": {}}),
            conditions => json!({"status": {"conditions": conditions}}),
        };
        assert_eq!(outside(&of(old), &of(new), &["status.conditions[type=Late]"]).as_deref(), outside_of);
    }
}
