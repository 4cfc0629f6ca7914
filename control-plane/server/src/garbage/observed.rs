//! What a stored body says about owners and dependents. Bodies that say nothing of either are not parsed: this sees every
//! write.

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::resources::{FOREGROUND, ORPHAN};

/// A reference to an owner.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Reference {
    pub(super) api_version: String,
    pub(super) kind: String,
    pub(super) name: String,
    pub(super) uid: String,
    /// Whether an owner that waits for its dependents waits for this one.
    #[serde(deserialize_with = "is_true")]
    pub(super) block_owner_deletion: bool,
}

/// Where an object is in its life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Life {
    /// Nobody has deleted it.
    #[default]
    Alive,
    /// It is being deleted, and waits for its dependents to go.
    AwaitsDependents,
    /// It is being deleted, and is to let go of its dependents first.
    LetsGo,
    /// It is being deleted; others than the collector hold it.
    Going,
}

/// What a body says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Observed {
    pub(super) owners: Vec<Reference>,
    pub(super) life: Life,
}

/// Stored as it was given: null, or no boolean at all, says no.
fn is_true<'de, D: Deserializer<'de>>(value: D) -> Result<bool, D::Error> {
    Ok(Value::deserialize(value)? == true)
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Body {
    metadata: Metadata,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Metadata {
    owner_references: Vec<Reference>,
    deletion_timestamp: Option<String>,
    finalizers: Vec<String>,
}

impl Observed {
    /// Reads a stored body.
    pub(super) fn read(body: &str) -> Self {
        // In canonical text a key stands in plain quotes, and text that says the same has escaped ones.
        if !body.contains("\"ownerReferences\":") && !body.contains("\"deletionTimestamp\":") {
            return Self::default();
        }
        // What cannot be read was not written by this server: it is nobody's garbage.
        let Body { metadata } = serde_json::from_str(body).unwrap_or_default();
        let holds = |name: &str| metadata.finalizers.iter().any(|finalizer| finalizer == name);
        let life = match metadata.deletion_timestamp {
            None => Life::Alive,
            Some(_) if holds(FOREGROUND) => Life::AwaitsDependents,
            Some(_) if holds(ORPHAN) => Life::LetsGo,
            Some(_) => Life::Going,
        };
        Self { owners: metadata.owner_references, life }
    }

    /// Whether the collector has to do with it.
    pub(super) fn matters(&self) -> bool {
        !self.owners.is_empty() || matches!(self.life, Life::AwaitsDependents | Life::LetsGo)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_body_tells_its_owners_and_what_it_waits_for() {
        let reference =
            json!({"apiVersion": "v1", "kind": "Namespace", "name": "a", "uid": "u", "blockOwnerDeletion": null});
        let of = |metadata: Value| Observed::read(&json!({"metadata": metadata, "spec": {}}).to_string());
        let owned = of(json!({"ownerReferences": [reference]}));
        assert_eq!((owned.owners[0].uid.as_str(), owned.owners[0].block_owner_deletion), ("u", false));
        assert_eq!(owned.life, Life::Alive);
        let at = "2026-11-23T05:00:00Z";
        let life = |finalizers: &[&str]| of(json!({"deletionTimestamp": at, "finalizers": finalizers})).life;
        assert_eq!(life(&["x/y", "foregroundDeletion"]), Life::AwaitsDependents);
        assert_eq!(life(&["orphan"]), Life::LetsGo);
        assert_eq!(life(&["x/y"]), Life::Going);
        assert!(!of(json!({"finalizers": ["orphan"]})).matters(), "nobody has deleted it");
    }

    #[test]
    fn text_that_only_speaks_of_owners_says_nothing() {
        let note = json!({"metadata": {"ownerReferences": [{"uid": "u"}]}}).to_string();
        let body = json!({"metadata": {"annotations": {"note": note}}}).to_string();
        assert_eq!(Observed::read(&body), Observed::default());
        assert!(!body.contains("\"ownerReferences\":"), "it is not even parsed");
    }
}
