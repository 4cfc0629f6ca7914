//! Taking fields out of an object, and which ones go when an applier no longer names them.

use serde_json::{Map, Value};

use super::{
    element::Element,
    extract::{extract, with_named},
    merge::merge,
    set::FieldSet,
    shape::{self, Schema, Shape},
};

/// `merged` without the fields that the applier owned last time, does not name now, and nobody else owns. `owned` is
/// what all managers own now, and `config` what was merged in.
pub(super) fn prune(schema: Schema<'_>, merged: Value, config: &Value, (last, owned): (&FieldSet, &FieldSet)) -> Value {
    if last.is_empty() {
        return merged;
    }
    let last = with_named(schema, last);
    let without_last = remove(schema, merged.clone(), &last).unwrap_or_default();
    // Back comes what somebody owns.
    let all = with_named(schema, &extract(schema, &merged));
    let mut nobodys = all.clone();
    nobodys.subtract(&with_named(schema, &extract(schema, &without_last)));
    nobodys.subtract(&with_named(schema, owned));
    let without_nobodys = remove(schema, merged.clone(), &nobodys).unwrap_or_default();
    // And what the applier never owned.
    let mut gone = all;
    gone.subtract(&with_named(schema, &extract(schema, &without_nobodys)));
    gone.intersect(&last);
    if gone.is_empty() {
        return merged;
    }
    // What was emptied by that goes with it, unless the applier names it as empty.
    merge(schema, remove(schema, merged, &gone).unwrap_or_default(), config)
}

/// The value without these fields; `None` if nothing is left of it.
fn remove(schema: Schema<'_>, value: Value, fields: &FieldSet) -> Option<Value> {
    match (shape::shape(schema, &value), value) {
        (Shape::Fields, Value::Object(held)) => {
            let kept: Map<String, Value> = held
                .into_iter()
                .filter_map(|(name, value)| {
                    let value = part(shape::child(schema, &name), &Element::field(&name), value, fields)?;
                    Some((name, value))
                })
                .collect();
            (!kept.is_empty()).then_some(Value::Object(kept))
        }
        (Shape::Items(list), Value::Array(held)) => {
            let kept: Vec<Value> = held
                .into_iter()
                .filter_map(|item| {
                    let element = shape::element(list, &item);
                    part(shape::items(schema), &element, item, fields)
                })
                .collect();
            (!kept.is_empty()).then_some(Value::Array(kept))
        }
        // A part of something that is owned as a whole cannot be taken out.
        (_, whole) => Some(whole),
    }
}

fn part(schema: Schema<'_>, element: &Element, value: Value, fields: &FieldSet) -> Option<Value> {
    match fields.get(element) {
        None => Some(value),
        Some(branch) if branch.here => None,
        Some(branch) => remove(schema, value, &branch.below),
    }
}
