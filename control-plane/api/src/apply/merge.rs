//! Putting what is applied over what is there.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::{
    element::Element,
    shape::{self, Schema, Shape},
};
use crate::schema::node::ListType;

/// `live` with everything that `patch` says. Nothing is removed here.
pub(super) fn merge(schema: Schema<'_>, live: Value, patch: &Value) -> Value {
    match (shape::shape(schema, &live), shape::shape(schema, patch)) {
        (Shape::Fields, Shape::Fields) if !(shape::is_hollow(&live) && shape::is_hollow(patch)) => {
            let mut merged = match live {
                Value::Object(fields) => fields,
                _ => Map::new(),
            };
            for (name, value) in shape::fields(patch) {
                let value = match merged.remove(name) {
                    Some(held) => merge(shape::child(schema, name), held, value),
                    None => value.clone(),
                };
                merged.insert(name.clone(), value);
            }
            Value::Object(merged)
        }
        (Shape::Items(list), Shape::Items(_)) if !(shape::is_hollow(&live) && shape::is_hollow(patch)) => {
            Value::Array(items(schema, list, live, shape::array(patch)))
        }
        _ if shape::equal(&live, patch) => live,
        _ => patch.clone(),
    }
}

/// Items of both, in the patch's order; what only `live` has stays where it is between them.
fn items(schema: Schema<'_>, list: &ListType, live: Value, patch: &[Value]) -> Vec<Value> {
    let Value::Array(live) = live else { return patch.to_vec() };
    let wanted: Vec<Element> = patch.iter().map(|item| shape::element(list, item)).collect();
    let held: Vec<Element> = live.iter().map(|item| shape::element(list, item)).collect();
    let (in_patch, in_live): (BTreeSet<&Element>, BTreeSet<&Element>) =
        (wanted.iter().collect(), held.iter().collect());
    // What both have follows the patch's order: a shared item of `live` is passed over until its turn has come.
    let mut shared = wanted.iter().filter(|element| in_live.contains(element));
    let mut turn = shared.next();
    let mut merged: BTreeSet<&Element> = BTreeSet::new();
    let take = |element: &Element, patched: &Value| {
        let same: Vec<&Value> = held.iter().zip(&live).filter(|(e, _)| *e == element).map(|(_, item)| item).collect();
        match same.as_slice() {
            [one] => merge(shape::items(schema), (*one).clone(), patched),
            _ => patched.clone(),
        }
    };
    let mut out = Vec::with_capacity(live.len().max(patch.len()));
    let (mut l, mut r) = (0, 0);
    while l < live.len() || r < patch.len() {
        if let (Some(left), Some(right)) = (held.get(l), wanted.get(r)) {
            if left == right {
                merged.insert(right);
                out.push(take(right, &patch[r]));
                l += 1;
                r += 1;
                turn = shared.next();
                continue;
            }
            if in_patch.contains(left) && turn.is_some_and(|turn| turn != left) {
                l += 1;
                continue;
            }
        }
        if let Some(left) = held.get(l) {
            if !in_patch.contains(left) {
                out.push(live[l].clone());
                l += 1;
                continue;
            }
            if merged.contains(left) {
                l += 1;
            }
        }
        if let Some(right) = wanted.get(r) {
            merged.insert(right);
            out.push(take(right, &patch[r]));
            r += 1;
            if turn == Some(right) {
                turn = shared.next();
            }
        }
    }
    out
}
