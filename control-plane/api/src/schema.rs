//! Structural schemas: pruning, defaulting and validation as a Kubernetes CRD server does them.

use serde_json::Value;

use crate::validation::Cause;

/// A structural schema, from the JSON of `openAPIV3Schema`.
#[derive(Debug)]
pub struct Schema {
    json: Value,
}

impl Schema {
    /// Takes `openAPIV3Schema`.
    pub fn new(json: Value) -> Self {
        Self { json }
    }

    /// The schema as JSON (`openAPIV3Schema`).
    pub fn json(&self) -> &Value {
        &self.json
    }

    /// Removes fields that the schema does not know, and returns their paths (`spec.bogus`), sorted.
    pub fn prune(&self, _object: &mut Value) -> Vec<String> {
        unimplemented!()
    }

    /// Removes nulls from non-nullable fields, then sets absent fields to their defaults.
    pub fn default(&self, _object: &mut Value) {
        unimplemented!()
    }

    /// Everything wrong with the object by type, format, range, enum, pattern and list type.
    pub fn validate(&self, _object: &Value) -> Vec<Cause> {
        unimplemented!()
    }
}
