//! What an apply patch must be, before it is merged: the schema's fields and types, and no item twice.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{
    element::Element,
    shape::{self, Schema},
};
use crate::{
    schema::node::{ListType, Type},
    validation::shown,
};

/// More help nobody, and an answer must stay small.
const FAULTS_MAX: usize = 100;

/// Everything wrong with the patch, as path and rule.
pub(super) fn check(schema: Schema<'_>, patch: &Value) -> Vec<String> {
    let mut check = Check { path: String::new(), faults: Vec::new() };
    check.value(schema, patch);
    check.faults
}

struct Check {
    path: String,
    faults: Vec<String>,
}

impl Check {
    fn value(&mut self, schema: Schema<'_>, value: &Value) {
        let Some(node) = schema else { return };
        if value.is_null() || self.faults.len() >= FAULTS_MAX {
            return;
        }
        let expected = match node.type_ {
            Type::Any => return,
            Type::Object if !value.is_object() => Some("map"),
            Type::Array if !value.is_array() => Some("list"),
            Type::String if !value.is_string() => Some("string"),
            Type::Boolean if !value.is_boolean() => Some("boolean"),
            Type::Integer | Type::Number if !value.is_number() => Some("numeric (int or float)"),
            Type::IntOrString if value.is_array() || value.is_object() => Some("any scalar"),
            _ => None,
        };
        if let Some(expected) = expected {
            self.fault(&format!("expected {expected}, got {}", shown(value)));
        }
        match value {
            Value::Object(fields) => {
                for (name, value) in fields {
                    let below = shape::child(schema, name);
                    self.enter(&Element::field(name), |check| {
                        if below.is_none() && !node.preserve_unknown {
                            check.fault("field not declared in schema");
                        } else {
                            check.value(below, value);
                        }
                    });
                }
            }
            Value::Array(items) => self.items(schema, &node.list, items),
            _ => {}
        }
    }

    fn items(&mut self, schema: Schema<'_>, list: &ListType, items: &[Value]) {
        let mut seen = BTreeSet::new();
        for (index, item) in items.iter().enumerate() {
            let element = match list {
                ListType::Atomic => None,
                ListType::Set => Some(Element::value(item)),
                ListType::Map(keys) => {
                    let Some(element) = Element::keyed(item, keys) else {
                        let missing = keys.iter().find(|key| item.get(key).is_none()).map_or("", String::as_str);
                        self.fault(&format!(
                            "element {index}: associative list with keys has an element that omits key field {missing:?} (and doesn't have default value)"
                        ));
                        continue;
                    };
                    Some(element)
                }
            };
            if let Some(element) = &element
                && !seen.insert(element.clone())
            {
                let mut key = String::new();
                element.render(&mut key);
                self.fault(&format!("duplicate entries for key {key}"));
                continue;
            }
            let element = element.or_else(|| Element::read(&format!("i:{index}")));
            if let Some(element) = element {
                self.enter(&element, |check| check.value(shape::items(schema), item));
            }
        }
    }

    fn enter(&mut self, element: &Element, walk: impl FnOnce(&mut Self)) {
        let end = self.path.len();
        element.render(&mut self.path);
        walk(self);
        self.path.truncate(end);
    }

    fn fault(&mut self, rule: &str) {
        if self.faults.len() < FAULTS_MAX {
            self.faults.push(format!("{}: {rule}", self.path));
        }
    }
}
