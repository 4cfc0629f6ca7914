//! Which fields of an object a write is about, and which of those somebody may own.

use serde_json::{Map, Value};

use super::{
    compare::Difference,
    element::Element,
    set::FieldSet,
    shape::{self, Schema},
};

/// What the server alone sets in `metadata`; nobody owns it.
const SERVERS: [&str; 10] = [
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "generation",
    "managedFields",
    "name",
    "namespace",
    "resourceVersion",
    "selfLink",
    "uid",
];

/// The fields of an object that a write is about.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scope {
    /// Whether it is a write to `/status`.
    pub(super) status: bool,
    /// Whether the kind's status is written there only.
    pub(super) status_apart: bool,
}

impl Scope {
    /// Whether it is about this field of the whole object. Type and metadata are nobody's here: of metadata, only parts
    /// are anybody's.
    fn has(self, field: &str) -> bool {
        match field {
            "apiVersion" | "kind" | "metadata" => false,
            "status" => self.status || !self.status_apart,
            _ => !self.status,
        }
    }

    fn has_metadata(self, field: &str) -> bool {
        !self.status && !SERVERS.contains(&field)
    }

    /// What a write changed.
    pub(super) fn changes(self, schema: Schema<'_>, live: &Value, new: &Value) -> Difference {
        let mut changes = Difference::default();
        each(live, new, |name, old, new| {
            if self.has(name) {
                changes.field(schema, name, old, new);
            }
        });
        if !self.status {
            let mut inner = Difference::default();
            let schema = shape::child(schema, "metadata");
            each(&live["metadata"], &new["metadata"], |name, old, new| {
                if self.has_metadata(name) {
                    inner.field(schema, name, old, new);
                }
            });
            changes.nest("metadata", inner);
        }
        changes
    }

    /// The part of an apply patch that the write is about. The name stays: it keeps `metadata` from being taken for
    /// something that can go.
    pub(super) fn config(self, patch: &Value) -> Value {
        let mut config = Map::new();
        for (name, value) in shape::fields(patch) {
            if self.has(name) {
                config.insert(name.clone(), value.clone());
            }
        }
        if !self.status {
            let kept = |name: &str| name == "name" || self.has_metadata(name);
            let metadata: Map<String, Value> = shape::fields(&patch["metadata"])
                .iter()
                .filter(|(name, _)| kept(name))
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect();
            config.insert("metadata".to_owned(), Value::Object(metadata));
        }
        Value::Object(config)
    }

    /// Leaves in a set what somebody may own by such a write.
    pub(super) fn trim(self, fields: &mut FieldSet) {
        if self.status {
            fields.keep(&Element::field("status"));
            return;
        }
        for name in ["apiVersion", "kind"] {
            fields.remove(&Element::field(name));
        }
        if self.status_apart {
            fields.remove(&Element::field("status"));
        }
        fields.change(&Element::field("metadata"), |metadata| {
            metadata.here = false;
            for name in SERVERS {
                metadata.below.remove(&Element::field(name));
            }
        });
    }
}

/// Goes through the fields of two objects.
fn each<'v>(old: &'v Value, new: &'v Value, mut visit: impl FnMut(&str, Option<&'v Value>, Option<&'v Value>)) {
    let (old, new) = (shape::fields(old), shape::fields(new));
    for (name, value) in old {
        visit(name, Some(value), new.get(name));
    }
    for (name, value) in new.iter().filter(|(name, _)| !old.contains_key(*name)) {
        visit(name, None, Some(value));
    }
}
