//! The fields that an object has.

use serde_json::Value;

use super::{
    element::Element,
    set::{Branch, FieldSet},
    shape::{self, Schema, Shape},
};

/// The fields of an object: what an applier of it owns.
pub(super) fn extract(schema: Schema<'_>, object: &Value) -> FieldSet {
    walk(schema, object).below
}

fn walk(schema: Schema<'_>, value: &Value) -> Branch {
    let mut branch = Branch::default();
    match shape::shape(schema, value) {
        Shape::Whole => branch.here = true,
        Shape::Fields => {
            for (name, value) in shape::fields(value) {
                let mut field = walk(shape::child(schema, name), value);
                field.here |= !shape::is_named(schema, name) || value.is_null();
                field.here |= value.as_object().is_some_and(serde_json::Map::is_empty);
                branch.below.insert(Element::field(name), field);
            }
        }
        Shape::Items(list) => {
            for item in shape::array(value) {
                let mut found = walk(shape::items(schema), item);
                found.here = true;
                branch.below.insert(shape::element(list, item), found);
            }
        }
    }
    branch
}

/// The set with the fields that hold its fields, where the schema names them: whoever removes all of `spec.window`
/// removes `spec.window` as well.
pub(super) fn with_named(schema: Schema<'_>, set: &FieldSet) -> FieldSet {
    let mut out = FieldSet::default();
    for (element, branch) in set.iter() {
        let (below, named) = match element.name() {
            Some(name) => (shape::child(schema, name), shape::is_named(schema, name)),
            None => (shape::items(schema), false),
        };
        out.insert(element.clone(), Branch { here: branch.here || named, below: with_named(below, &branch.below) });
    }
    out
}
