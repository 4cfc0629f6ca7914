//! One step of a field's path: a field, an item by its keys, an item by its value, or a place in a list.

use std::fmt::Write;

use serde_json::{Map, Value};

use crate::validation::shown;

/// A path element in the form in which `FieldsV1` has it: `f:spec`, `k:{"type":"A"}`, `v:"a/b"`, `i:0`. Equal elements
/// have equal texts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Element(String);

impl Element {
    /// A field, or a key of a map.
    pub(super) fn field(name: &str) -> Self {
        Self(format!("f:{name}"))
    }

    /// An item of a set.
    pub(super) fn value(item: &Value) -> Self {
        Self(format!("v:{item}"))
    }

    /// An item of a keyed list; `None` if it lacks a key.
    pub(super) fn keyed(item: &Value, keys: &[String]) -> Option<Self> {
        let keys: Option<Map<String, Value>> =
            keys.iter().map(|key| Some((key.clone(), item.get(key)?.clone()))).collect();
        Some(Self(format!("k:{}", Value::Object(keys?))))
    }

    /// Reads one of `FieldsV1`; what JSON can write in several ways is brought into one.
    pub(super) fn read(text: &str) -> Option<Self> {
        let (kind, rest) = text.split_once(':')?;
        match kind {
            "f" => Some(Self(text.to_owned())),
            "k" => {
                let keys: Map<String, Value> = serde_json::from_str(rest).ok()?;
                Some(Self(format!("k:{}", Value::Object(keys))))
            }
            "v" => Some(Self::value(&serde_json::from_str(rest).ok()?)),
            "i" => Some(Self(format!("i:{}", rest.parse::<i64>().ok()?))),
            _ => None,
        }
    }

    /// The text of `FieldsV1`.
    pub(super) fn text(&self) -> &str {
        &self.0
    }

    /// The name, if it is a field.
    pub(super) fn name(&self) -> Option<&str> {
        self.0.strip_prefix("f:")
    }

    /// Appends it to a path as people read it: `.spec`, `[type="A"]`, `[="a/b"]`, `[0]`.
    pub(super) fn render(&self, path: &mut String) {
        let json = |text: &str| serde_json::from_str::<Value>(text).unwrap_or_default();
        // Writing to a String cannot fail.
        let _ = match self.0.split_at(2) {
            ("f:", name) => write!(path, ".{name}"),
            ("k:", keys) => {
                let keys = json(keys);
                let keys = keys.as_object().into_iter().flatten();
                let keys: Vec<String> = keys.map(|(key, value)| format!("{key}={}", shown(value))).collect();
                write!(path, "[{}]", keys.join(","))
            }
            ("v:", value) => write!(path, "[={}]", shown(&json(value))),
            (_, index) => write!(path, "[{index}]"),
        };
    }
}
