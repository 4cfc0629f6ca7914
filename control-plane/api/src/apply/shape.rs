//! How a value is owned, by its schema: as a whole, or part by part.

use std::{collections::BTreeMap, sync::LazyLock};

use serde_json::{Map, Value};

use super::element::Element;
use crate::schema::node::{ListType, MapType, Node, Type};

/// The schema of a value. `None`: no schema says anything; then maps are owned field by field, the rest as a whole.
pub(super) type Schema<'a> = Option<&'a Node>;

/// How a value is owned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape<'a> {
    /// As a whole.
    Whole,
    /// Field by field.
    Fields,
    /// Item by item.
    Items(&'a ListType),
}

/// How this value is owned. Null counts as whatever the schema says, without content.
pub(super) fn shape<'a>(schema: Schema<'a>, value: &Value) -> Shape<'a> {
    match (value, schema) {
        (Value::Object(_), None) => Shape::Fields,
        (Value::Object(_), Some(node)) if node.map == MapType::Granular => Shape::Fields,
        (Value::Null, Some(node)) if node.type_ == Type::Object && node.map == MapType::Granular => Shape::Fields,
        (Value::Array(_), Some(node)) if node.list != ListType::Atomic => Shape::Items(&node.list),
        (Value::Null, Some(node)) if node.type_ == Type::Array && node.list != ListType::Atomic => {
            Shape::Items(&node.list)
        }
        _ => Shape::Whole,
    }
}

/// The schema of a field or of a map's value.
pub(super) fn child<'a>(schema: Schema<'a>, name: &str) -> Schema<'a> {
    schema.and_then(|node| node.child(name))
}

/// Whether the schema names the field; a map's keys are not named.
pub(super) fn is_named(schema: Schema<'_>, name: &str) -> bool {
    schema.is_some_and(|node| node.properties.contains_key(name))
}

/// The schema of a list's items.
pub(super) fn items(schema: Schema<'_>) -> Schema<'_> {
    schema.and_then(|node| node.items.as_deref())
}

/// The element by which an item of a list is owned. One that lacks a key is known by its whole value.
pub(super) fn element(list: &ListType, item: &Value) -> Element {
    match list {
        ListType::Map(keys) => Element::keyed(item, keys),
        ListType::Set | ListType::Atomic => None,
    }
    .unwrap_or_else(|| Element::value(item))
}

/// The items of a list by their elements; in a list that was not applied, elements may repeat.
pub(super) fn by_element<'v>(list: &ListType, value: &'v Value) -> BTreeMap<Element, Vec<&'v Value>> {
    let mut found: BTreeMap<Element, Vec<&Value>> = BTreeMap::new();
    for item in array(value) {
        found.entry(element(list, item)).or_default().push(item);
    }
    found
}

/// The fields of an object; none, if it is none.
pub(super) fn fields(value: &Value) -> &Map<String, Value> {
    static NONE: LazyLock<Map<String, Value>> = LazyLock::new(Map::new);
    value.as_object().unwrap_or(&NONE)
}

/// The items of a list; none, if it is none.
pub(super) fn array(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// Whether there is nothing in it.
pub(super) fn is_hollow(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(fields) => fields.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

/// Equal as JSON, where `1` and `1.0` are one number.
pub(super) fn equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(x), Value::Number(y)) => {
            x == y || (x.is_f64() || y.is_f64()) && x.as_f64().map(f64::to_bits) == y.as_f64().map(f64::to_bits)
        }
        (Value::Array(x), Value::Array(y)) => x.len() == y.len() && x.iter().zip(y).all(|(x, y)| equal(x, y)),
        (Value::Object(x), Value::Object(y)) => {
            x.len() == y.len() && x.iter().zip(y).all(|((k, x), (l, y))| k == l && equal(x, y))
        }
        _ => a == b,
    }
}
