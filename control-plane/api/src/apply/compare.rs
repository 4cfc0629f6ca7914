//! What differs between two states of an object, field by field.

use serde_json::Value;

use super::{
    element::Element,
    set::{Branch, FieldSet},
    shape::{self, Schema, Shape},
};

/// What differs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Difference {
    /// Fields that only the new state has.
    pub(super) added: FieldSet,
    /// Fields with another value.
    pub(super) modified: FieldSet,
    /// Fields that only the old state has.
    pub(super) removed: FieldSet,
}

impl Difference {
    pub(super) fn is_empty(&self) -> bool {
        self.added.is_empty() && self.modified.is_empty() && self.removed.is_empty()
    }

    /// Compares a field of two objects.
    pub(super) fn field(&mut self, schema: Schema<'_>, name: &str, old: Option<&Value>, new: Option<&Value>) {
        self.insert(&Element::field(name), walk(shape::child(schema, name), old, new));
    }

    /// Takes in what differs below a field.
    pub(super) fn nest(&mut self, name: &str, inner: Self) {
        self.insert(&Element::field(name), Found::below(inner));
    }

    fn insert(&mut self, element: &Element, found: Found) {
        for (set, branch) in
            [(&mut self.added, found.added), (&mut self.modified, found.modified), (&mut self.removed, found.removed)]
        {
            if !branch.is_empty() {
                set.insert(element.clone(), branch);
            }
        }
    }
}

#[derive(Default)]
struct Found {
    added: Branch,
    modified: Branch,
    removed: Branch,
}

impl Found {
    fn here(old: Option<&Value>, new: Option<&Value>) -> Self {
        let mut found = Self::default();
        match (old, new) {
            (None, Some(_)) => found.added.here = true,
            (Some(_), None) => found.removed.here = true,
            (Some(old), Some(new)) => found.modified.here = !shape::equal(old, new),
            (None, None) => {}
        }
        found
    }

    fn below(difference: Difference) -> Self {
        let branch = |below| Branch { here: false, below };
        Self {
            added: branch(difference.added),
            modified: branch(difference.modified),
            removed: branch(difference.removed),
        }
    }
}

fn walk(schema: Schema<'_>, old: Option<&Value>, new: Option<&Value>) -> Found {
    if let (Some(old), Some(new)) = (old, new)
        && old == new
    {
        return Found::default();
    }
    let (a, b) = (old.unwrap_or(&Value::Null), new.unwrap_or(&Value::Null));
    let shape = match (old, new) {
        (Some(old), None) => shape::shape(schema, old),
        (None, Some(new)) => shape::shape(schema, new),
        _ => match (shape::shape(schema, a), shape::shape(schema, b)) {
            (x, y) if x == y => x,
            _ => Shape::Whole,
        },
    };
    if shape::is_hollow(a) && shape::is_hollow(b) {
        return Found::here(old, new);
    }
    let mut below = Difference::default();
    match shape {
        Shape::Whole => return Found::here(old, new),
        Shape::Fields => {
            let (a, b) = (shape::fields(a), shape::fields(b));
            for (name, value) in a {
                below.field(schema, name, Some(value), b.get(name));
            }
            for (name, value) in b.iter().filter(|(name, _)| !a.contains_key(*name)) {
                below.field(schema, name, None, Some(value));
            }
        }
        Shape::Items(list) => {
            let (a, b) = (shape::by_element(list, a), shape::by_element(list, b));
            for (element, old) in &a {
                let new = b.get(element).map_or(&[][..], Vec::as_slice);
                below.insert(element, item(schema, old, new));
            }
            for (element, new) in b.iter().filter(|(element, _)| !a.contains_key(element)) {
                below.insert(element, item(schema, &[], new));
            }
        }
    }
    let mut found = Found::below(below);
    found.added.here = old.is_none();
    found.removed.here = new.is_none();
    found
}

/// The items that share an element. Where they repeat they count as one value.
fn item(schema: Schema<'_>, old: &[&Value], new: &[&Value]) -> Found {
    if let ([] | [_], [] | [_]) = (old, new) {
        return walk(shape::items(schema), old.first().copied(), new.first().copied());
    }
    let mut found = Found::default();
    match (old.is_empty(), new.is_empty()) {
        (true, false) => found.added.here = true,
        (false, true) => found.removed.here = true,
        _ => found.modified.here = old != new,
    }
    found
}
