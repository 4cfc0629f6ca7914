//! Defaulting, with the nulls and whole floats that go before it.

use serde_json::Value;

use super::node::{Node, Type};

/// Up to here every whole float is exactly an integer.
const WHOLE_FLOAT_MAX: f64 = 9_007_199_254_740_991.0;

pub(super) fn default(node: &Node, value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|name, child| !child.is_null() || node.child(name).is_none_or(|node| node.nullable));
            for (name, node) in &node.properties {
                if let Some(default) = &node.default
                    && !fields.contains_key(name)
                {
                    fields.insert(name.clone(), default.clone());
                }
            }
            for (name, child) in fields {
                if let Some(node) = node.child(name) {
                    default(node, child);
                }
            }
        }
        Value::Array(items) => {
            if let Some(node) = node.items.as_deref() {
                for item in items {
                    default(node, item);
                }
            }
        }
        Value::Number(number) if node.type_ == Type::Integer && number.is_f64() => {
            if let Some(whole) = number.as_f64().filter(|f| f.fract() == 0.0 && f.abs() <= WHOLE_FLOAT_MAX) {
                *value = Value::from(whole as i64);
            }
        }
        _ => {}
    }
}
