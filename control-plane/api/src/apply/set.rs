//! Sets of fields, and their JSON form `FieldsV1`.

use std::collections::{BTreeMap, btree_map};

use serde_json::{Map, Value};

use super::element::Element;

/// A set of fields of an object: a tree over path elements.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct FieldSet(BTreeMap<Element, Branch>);

/// What a set holds at and below one path element.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Branch {
    /// Whether the path itself is in the set.
    pub(super) here: bool,
    /// The fields below.
    pub(super) below: FieldSet,
}

impl Branch {
    pub(super) fn is_empty(&self) -> bool {
        !self.here && self.below.is_empty()
    }

    fn union(&mut self, other: Self) {
        self.here |= other.here;
        self.below.union(other.below);
    }

    fn subtract(&mut self, other: &Self) {
        self.here &= !other.here;
        self.below.subtract(&other.below);
    }

    fn intersect(&mut self, other: &Self) {
        self.here &= other.here;
        self.below.intersect(&other.below);
    }
}

impl FieldSet {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What the set holds at and below an element.
    pub(super) fn get(&self, element: &Element) -> Option<&Branch> {
        self.0.get(element)
    }

    pub(super) fn iter(&self) -> btree_map::Iter<'_, Element, Branch> {
        self.0.iter()
    }

    /// Adds what a branch holds; nothing, if it is empty.
    pub(super) fn insert(&mut self, element: Element, branch: Branch) {
        if !branch.is_empty() {
            self.0.entry(element).or_default().union(branch);
        }
    }

    /// Removes an element with everything below it.
    pub(super) fn remove(&mut self, element: &Element) -> Option<Branch> {
        self.0.remove(element)
    }

    /// Keeps an element only, with everything below it.
    pub(super) fn keep(&mut self, element: &Element) {
        self.0.retain(|held, _| held == element);
    }

    /// Changes what the set holds below an element.
    pub(super) fn change(&mut self, element: &Element, change: impl FnOnce(&mut Branch)) {
        if let Some(branch) = self.0.get_mut(element) {
            change(branch);
            if branch.is_empty() {
                self.0.remove(element);
            }
        }
    }

    pub(super) fn union(&mut self, other: Self) {
        if self.0.is_empty() {
            *self = other;
            return;
        }
        for (element, branch) in other.0 {
            self.insert(element, branch);
        }
    }

    /// Takes out the paths of another set; what lies below such a path stays.
    pub(super) fn subtract(&mut self, other: &Self) {
        if other.0.is_empty() {
            return;
        }
        self.0.retain(|element, branch| {
            if let Some(other) = other.0.get(element) {
                branch.subtract(other);
            }
            !branch.is_empty()
        });
    }

    /// Leaves the paths that are in both sets.
    pub(super) fn intersect(&mut self, other: &Self) {
        self.0.retain(|element, branch| match other.0.get(element) {
            Some(other) => {
                branch.intersect(other);
                !branch.is_empty()
            }
            None => false,
        });
    }

    /// Every path of the set as people read it (`.spec.items[0]`): at each level first what is in the set, then what lies
    /// below.
    pub(super) fn paths(&self) -> Vec<String> {
        let mut paths = Vec::new();
        self.walk(&mut String::new(), &mut paths);
        paths
    }

    fn walk(&self, at: &mut String, paths: &mut Vec<String>) {
        let end = at.len();
        for (element, _) in self.0.iter().filter(|(_, branch)| branch.here) {
            element.render(at);
            paths.push(at.clone());
            at.truncate(end);
        }
        for (element, branch) in &self.0 {
            element.render(at);
            branch.below.walk(at, paths);
            at.truncate(end);
        }
    }

    /// Reads `FieldsV1`; `None` if it is none.
    pub(super) fn read(json: &Value) -> Option<Self> {
        let mut set = Self::default();
        for (key, below) in json.as_object()? {
            // A dot says that the path itself is in the set, and is read one level up.
            if key != "." {
                let below_is_leaf = below.as_object()?.is_empty();
                let here = below_is_leaf || below.get(".").is_some();
                set.insert(Element::read(key)?, Branch { here, below: Self::read(below)? });
            }
        }
        Some(set)
    }

    /// The set as `FieldsV1`.
    pub(super) fn write(&self) -> Value {
        let fields = self.0.iter().map(|(element, branch)| {
            let mut below = branch.below.write();
            if let (true, Value::Object(map)) = (branch.here && !branch.below.is_empty(), &mut below) {
                map.insert(".".to_owned(), Value::Object(Map::new()));
            }
            (element.text().to_owned(), below)
        });
        Value::Object(fields.collect())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn set(json: &Value) -> FieldSet {
        FieldSet::read(json).unwrap()
    }

    #[test]
    fn the_json_form_is_read_and_written_alike() {
        let json = json!({
            "f:metadata": {"f:finalizers": {".": {}, "v:\"a/b\"": {}}},
            "f:spec": {".": {}, "f:a": {}, "f:b": {"f:c": {}}},
            "f:status": {"f:conditions": {"k:{\"type\":\"A\"}": {".": {}, "f:status": {}}, "i:3": {}}},
        });
        assert_eq!(set(&json).write(), json);
        for wrong in [json!({"spec": {}}), json!({"f:a": 1}), json!([]), json!({"k:{": {}}), json!({"i:x": {}})] {
            assert_eq!(FieldSet::read(&wrong), None, "{wrong}");
        }
    }

    #[test]
    fn keys_written_otherwise_are_the_same_keys() {
        let json = json!({"k:{ \"b\": 1, \"a\": \"x\" }": {}});
        assert_eq!(set(&json).write(), json!({"k:{\"a\":\"x\",\"b\":1}": {}}));
    }

    #[test]
    fn a_path_leaves_a_set_without_what_lies_below() {
        let mut held = set(&json!({"f:a": {".": {}, "f:b": {}}, "f:c": {}}));
        held.subtract(&set(&json!({"f:a": {}, "f:c": {}})));
        assert_eq!(held.write(), json!({"f:a": {"f:b": {}}}));
        held.intersect(&set(&json!({"f:a": {}})));
        assert!(held.is_empty());
    }

    #[test]
    fn paths_read_as_people_write_them() {
        let held = set(&json!({
            "f:metadata": {"f:finalizers": {"v:\"a/b\"": {}}},
            "f:spec": {"f:x": {"f:y": {}}, "f:z": {}},
            "f:status": {"f:conditions": {"k:{\"n\":1,\"type\":\"A\"}": {".": {}, "f:status": {}}}},
        }));
        assert_eq!(
            held.paths(),
            [
                ".metadata.finalizers[=\"a/b\"]",
                ".spec.z",
                ".spec.x.y",
                ".status.conditions[n=1,type=\"A\"]",
                ".status.conditions[n=1,type=\"A\"].status"
            ]
        );
    }
}
