//! What differs between two states of an object, field by field.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::{Map, Value};

/// Fields told of one change.
const FIELDS_MAX: usize = 50;
/// A value longer than this, as JSON, is cut: history tells what happened, not whole objects.
const VALUE_CHARS_MAX: usize = 200;
/// What changes with every change, and says nothing: in metadata, and anywhere.
const NOISE: [&str; 3] = ["generation", "managedFields", "resourceVersion"];
const NOISE_ANYWHERE: &str = "observedGeneration";

/// A field that differs. A value that was not there before, or is not there after, is absent.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Change {
    /// `spec.priority`, `status.stops.pickup.state`, `metadata.labels[app.example/x]`, `spec.items[0]`.
    pub(super) field: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) old: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) new: Option<Value>,
}

/// What differs, and how much of it is left out.
pub(super) fn between(before: &Value, after: &Value) -> (Vec<Change>, usize) {
    let mut found = Found::default();
    let both = (without_noise(before), without_noise(after));
    found.compare(&mut String::new(), Some(&both.0), Some(&both.1));
    (found.changes, found.left_out)
}

fn without_noise(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.retain(|name, _| !NOISE.contains(&name.as_str()));
    }
    object
}

#[derive(Default)]
struct Found {
    changes: Vec<Change>,
    left_out: usize,
}

impl Found {
    fn compare(&mut self, path: &mut String, old: Option<&Value>, new: Option<&Value>) {
        if old == new {
            return;
        }
        match (old, new) {
            // A map that comes or goes is told by what is in it, like one that stays.
            (Some(Value::Object(_)) | None, Some(Value::Object(_)) | None) => {
                let (old, new) = (old.and_then(Value::as_object), new.and_then(Value::as_object));
                let names: BTreeSet<&String> = old.into_iter().chain(new).flat_map(Map::keys).collect();
                for name in names {
                    self.below(path, name, old.and_then(|old| old.get(name)), new.and_then(|new| new.get(name)));
                }
            }
            (Some(Value::Array(old)), Some(Value::Array(new))) if old.len() == new.len() => {
                for (index, (old, new)) in old.iter().zip(new).enumerate() {
                    let end = path.len();
                    path.extend(["[", &index.to_string(), "]"]);
                    self.compare(path, Some(old), Some(new));
                    path.truncate(end);
                }
            }
            _ => self.add(path, old, new),
        }
    }

    fn below(&mut self, path: &mut String, name: &str, old: Option<&Value>, new: Option<&Value>) {
        if name == NOISE_ANYWHERE {
            return;
        }
        let end = path.len();
        if name.contains(['.', '/']) {
            path.extend(["[", name, "]"]);
        } else {
            if end > 0 {
                path.push('.');
            }
            path.push_str(name);
        }
        self.compare(path, old, new);
        path.truncate(end);
    }

    fn add(&mut self, path: &str, old: Option<&Value>, new: Option<&Value>) {
        if self.changes.len() >= FIELDS_MAX {
            self.left_out += 1;
            return;
        }
        self.changes.push(Change { field: path.to_owned(), old: old.map(cut), new: new.map(cut) });
    }
}

/// The value, or its beginning as text.
fn cut(value: &Value) -> Value {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    if text.chars().count() <= VALUE_CHARS_MAX {
        return value.clone();
    }
    let mut short: String = text.chars().take(VALUE_CHARS_MAX).collect();
    short.push('…');
    short.into()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(before: &Value, after: &Value) -> Vec<String> {
        let shown = |value: &Option<Value>| value.as_ref().map_or("–".to_owned(), Value::to_string);
        let (changes, _) = between(before, after);
        changes.iter().map(|c| format!("{}: {} → {}", c.field, shown(&c.old), shown(&c.new))).collect()
    }

    #[test]
    fn each_field_is_told_with_its_path() {
        let before = json!({"metadata": {"labels": {"a.b/c": "1"}, "generation": 1}, "spec": {"a": 1, "list": [1, 2], "gone": {"x": 1}}});
        let after = json!({"metadata": {"labels": {"a.b/c": "2"}, "generation": 2}, "spec": {"a": 1, "list": [1, 3], "come": {"y": true}}});
        assert_eq!(
            told(&before, &after),
            [
                "metadata.labels[a.b/c]: \"1\" → \"2\"",
                "spec.come.y: – → true",
                "spec.gone.x: 1 → –",
                "spec.list[1]: 2 → 3",
            ]
        );
    }

    #[test]
    fn a_list_that_grows_is_told_as_a_whole() {
        assert_eq!(told(&json!({"a": [1]}), &json!({"a": [1, 2]})), ["a: [1] → [1,2]"]);
    }

    #[test]
    fn long_values_are_cut_and_many_fields_counted() {
        let long = "x".repeat(1_000_000);
        let (changes, _) = between(&json!({"a": 1}), &json!({"a": long}));
        assert_eq!(changes[0].new.as_ref().unwrap().as_str().unwrap().chars().count(), VALUE_CHARS_MAX + 1);
        let many: Map<String, Value> = (0..FIELDS_MAX + 7).map(|index| (index.to_string(), json!(1))).collect();
        let (changes, left_out) = between(&json!({}), &Value::Object(many));
        assert_eq!((changes.len(), left_out), (FIELDS_MAX, 7));
    }
}
