//! Validation against the schema, in the words of Kubernetes.

use std::collections::BTreeSet;

use serde_json::{Number, Value};

use super::{
    format::Format,
    node::{ListType, Node, Type},
    path::Path,
};
use crate::validation::{Cause, float, quote};

/// More causes than this help nobody, and an answer must stay small.
const CAUSES_MAX: usize = 100;

pub(super) fn validate(root: &Node, object: &Value) -> Vec<Cause> {
    let mut check = Check { path: Path::default(), causes: Vec::new() };
    check.value(root, object);
    check.causes
}

struct Check {
    path: Path,
    causes: Vec<Cause>,
}

impl Check {
    fn value(&mut self, node: &Node, value: &Value) {
        if self.causes.len() >= CAUSES_MAX {
            return;
        }
        if value.is_null() {
            if node.type_ != Type::Any && !node.nullable {
                self.wrong_type(node, "null");
            }
            return;
        }
        self.type_(node, value);
        if let Some(allowed) = &node.enumeration
            && !allowed.iter().any(|a| same(a, value))
        {
            let allowed: Vec<String> =
                allowed.iter().map(|a| a.as_str().map_or_else(|| a.to_string(), str::to_owned)).collect();
            self.push(|field| Cause::not_supported(field, value, &allowed));
        }
        match value {
            Value::String(text) => self.string(node, text, value),
            Value::Number(number) => self.number(node, number, value),
            Value::Array(items) => self.array(node, items),
            Value::Object(fields) => self.object(node, fields),
            Value::Bool(_) | Value::Null => {}
        }
    }

    fn type_(&mut self, node: &Node, value: &Value) {
        let right = match node.type_ {
            Type::Any => true,
            Type::Object => value.is_object(),
            Type::Array => value.is_array(),
            Type::String => value.is_string(),
            Type::Boolean => value.is_boolean(),
            Type::Number => value.is_number(),
            Type::Integer => value.as_number().is_some_and(is_whole),
            Type::IntOrString => value.is_string() || value.as_number().is_some_and(is_whole),
        };
        if !right {
            self.wrong_type(node, type_name(value));
        }
    }

    fn wrong_type(&mut self, node: &Node, found: &str) {
        let wanted = match node.type_ {
            Type::Any => return,
            Type::Object => "object",
            Type::Array => "array",
            Type::String => "string",
            Type::Integer => "integer",
            Type::Number => "number",
            Type::Boolean => "boolean",
            Type::IntOrString => "integer,string",
        };
        self.push(|field| {
            let detail = format!("{field} in body must be of type {wanted}: {}", quote(found));
            Cause::type_invalid(field, &Value::from(found), &detail)
        });
    }

    fn string(&mut self, node: &Node, text: &str, value: &Value) {
        // Bytes bound characters, so most strings need no counting.
        if let Some(max) = node.length.max
            && text.len() > max
            && text.chars().count() > max
        {
            self.push(|field| Cause::too_long(field, max));
        }
        if let Some(min) = node.length.min
            && (min > text.len() || text.chars().count() < min)
        {
            self.invalid(value, &format!("should be at least {min} chars long"));
        }
        if let Some(pattern) = &node.pattern
            && !pattern.is_match(text)
        {
            self.invalid(value, &format!("should match '{}'", pattern.as_str()));
        }
        if let Some(format) = node.format
            && !format.accepts(text)
        {
            self.push(|field| {
                let detail = format!("{field} in body must be of type {}: {}", format.name(), quote(text));
                Cause::type_invalid(field, value, &detail)
            });
        }
    }

    fn number(&mut self, node: &Node, number: &Number, value: &Value) {
        if let (Type::Integer, Some(format)) = (node.type_, node.format)
            && is_whole(number)
        {
            let fits = match format {
                Format::Int32 => number.as_f64().is_some_and(|n| n >= f64::from(i32::MIN) && n <= f64::from(i32::MAX)),
                _ => number.as_i64().is_some() || number.is_f64(),
            };
            if !fits {
                let name = format.name();
                self.push(|field| {
                    let detail = format!("Checked value must be of type integer with format {name} in {field}");
                    Cause::invalid(field, value, &detail)
                });
            }
        }
        let Some(n) = number.as_f64() else { return };
        if let Some(limit) = node.maximum
            && (n > limit.value || limit.exclusive && n >= limit.value)
        {
            let or_equal = if limit.exclusive { "" } else { " or equal to" };
            self.invalid(value, &format!("should be less than{or_equal} {}", float(limit.value)));
        }
        if let Some(limit) = node.minimum
            && (n < limit.value || limit.exclusive && n <= limit.value)
        {
            let or_equal = if limit.exclusive { "" } else { " or equal to" };
            self.invalid(value, &format!("should be greater than{or_equal} {}", float(limit.value)));
        }
        if let Some(factor) = node.multiple_of
            && (n / factor).fract() != 0.0
        {
            self.invalid(value, &format!("should be a multiple of {}", float(factor)));
        }
    }

    fn array(&mut self, node: &Node, items: &[Value]) {
        if let Some(max) = node.count.max
            && items.len() > max
        {
            self.push(|field| Cause::too_many(field, items.len(), max));
        }
        if let Some(min) = node.count.min
            && items.len() < min
        {
            self.invalid(&Value::from(items.len()), &format!("should have at least {min} items"));
        }
        if !node.repeats {
            self.duplicates(&node.list, items);
        }
        if let Some(node) = node.items.as_deref() {
            for (index, item) in items.iter().enumerate() {
                self.index(index, |check| check.value(node, item));
            }
        }
    }

    fn duplicates(&mut self, list: &ListType, items: &[Value]) {
        if *list == ListType::Atomic {
            return;
        }
        let mut seen = BTreeSet::new();
        for (index, item) in items.iter().enumerate() {
            let key = match list {
                ListType::Map(keys) => {
                    Value::Object(keys.iter().filter_map(|k| Some((k.clone(), item.get(k)?.clone()))).collect())
                }
                ListType::Set | ListType::Atomic => item.clone(),
            };
            if !seen.insert(key.to_string()) {
                self.index(index, |check| check.push(|field| Cause::duplicate(field, &key)));
            }
        }
    }

    fn object(&mut self, node: &Node, fields: &serde_json::Map<String, Value>) {
        if let Some(max) = node.size.max
            && fields.len() > max
        {
            self.push(|field| Cause::too_many(field, fields.len(), max));
        }
        if let Some(min) = node.size.min
            && fields.len() < min
        {
            self.invalid(&Value::from(fields.len()), &format!("should have at least {min} properties"));
        }
        for name in &node.required {
            if !fields.contains_key(name) {
                self.field(name, |check| check.push(|field| Cause::required(field, "")));
            }
        }
        for (name, child) in fields {
            if let Some(node) = node.child(name) {
                self.field(name, |check| check.value(node, child));
            }
        }
    }

    fn invalid(&mut self, value: &Value, rule: &str) {
        self.push(|field| {
            let detail = format!("{field} in body {rule}");
            Cause::invalid(field, value, &detail)
        });
    }

    fn push(&mut self, cause: impl FnOnce(String) -> Cause) {
        if self.causes.len() < CAUSES_MAX {
            self.causes.push(cause(self.path.render()));
        }
    }

    fn field(&mut self, name: &str, walk: impl FnOnce(&mut Self)) {
        let mark = self.path.enter_field(name);
        walk(self);
        self.path.leave(mark);
    }

    fn index(&mut self, index: usize, walk: impl FnOnce(&mut Self)) {
        let mark = self.path.enter_index(index);
        walk(self);
        self.path.leave(mark);
    }
}

/// Whether the number is an integer, or a float with the value of one that JSON readers agree on.
fn is_whole(number: &Number) -> bool {
    const SAFE: f64 = 9_007_199_254_740_991.0;
    !number.is_f64() || number.as_f64().is_some_and(|n| n.fract() == 0.0 && n.abs() <= SAFE)
}

/// Equal as JSON, where `1` and `1.0` are one number.
fn same(a: &Value, b: &Value) -> bool {
    a == b || matches!((a.as_f64(), b.as_f64()), (Some(a), Some(b)) if a.to_bits() == b.to_bits())
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(n) if n.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}
