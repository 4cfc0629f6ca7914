//! Structural schemas: pruning, defaulting and validation as a Kubernetes CRD server does them.
//!
//! The JSON of `openAPIV3Schema` is compiled once into a tree of [`node::Node`]s; writes walk that tree. Recursion
//! over an object never goes deeper than the tree, so no input can exhaust the stack.

mod defaults;
mod format;
pub(crate) mod node;
mod path;
mod prune;
mod validate;

use serde_json::Value;

use crate::validation::Cause;
use node::Node;

/// A structural schema, from the JSON of `openAPIV3Schema`.
#[derive(Debug)]
pub struct Schema {
    json: Value,
    root: Node,
}

impl Schema {
    /// Takes `openAPIV3Schema`. Its root describes a whole object: `apiVersion`, `kind` and `metadata` are always
    /// known, and `metadata` keeps the fields of ObjectMeta only.
    ///
    /// # Panics
    /// On a pattern that is no regular expression: schemas are part of the program, not input.
    pub fn new(json: Value) -> Self {
        let root = Node::root(&json);
        Self { json, root }
    }

    /// The schema as JSON (`openAPIV3Schema`).
    pub fn json(&self) -> &Value {
        &self.json
    }

    /// The compiled form, for other walks over objects.
    pub(crate) fn root(&self) -> &Node {
        &self.root
    }

    /// Removes fields that the schema does not know, and returns their paths (`spec.bogus`), sorted.
    pub fn prune(&self, object: &mut Value) -> Vec<String> {
        prune::prune(&self.root, object)
    }

    /// Removes nulls from non-nullable fields, then sets absent fields to their defaults. Whole numbers written as
    /// `5.0` in integer fields become `5`, so that every typed client can read them.
    pub fn default(&self, object: &mut Value) {
        defaults::default(&self.root, object);
    }

    /// Everything wrong with the object by type, format, range, enum, pattern and list type; bounded in number.
    pub fn validate(&self, object: &Value) -> Vec<Cause> {
        validate::validate(&self.root, object)
    }
}

#[cfg(test)]
mod tests;
