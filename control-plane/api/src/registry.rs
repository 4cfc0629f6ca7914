//! The registry of kinds: every kind the API serves, as data. Verbs are written once over it.

use jiff::Timestamp;
use serde_json::Value;

use crate::{schema::Schema, validation::Cause};

/// A served kind: its names, its schema and what is special about it.
pub struct Kind {
    /// API group; empty for the core group.
    pub group: &'static str,
    /// Served version.
    pub version: &'static str,
    /// Kind, for example `Order`.
    pub kind: &'static str,
    /// Plural, as in paths: `orders`.
    pub plural: &'static str,
    /// Singular: `order`.
    pub singular: &'static str,
    /// Short names: `ord`.
    pub short_names: &'static [&'static str],
    /// Categories: `all`.
    pub categories: &'static [&'static str],
    /// Whether objects live in a namespace.
    pub namespaced: bool,
    /// Whether `/status` is a subresource (and the main path ignores status).
    pub status_subresource: bool,
    /// Subresources besides `/status`: `binding`, `progress`.
    pub subresources: &'static [&'static str],
    /// Columns of the Table form, besides NAME (first) and AGE (last).
    pub columns: &'static [Column],
    /// Fields a field selector may name, besides `metadata.name` and `metadata.namespace`: `status.phase`.
    pub selectable_fields: &'static [&'static str],
    /// Whether strategic merge patch is accepted (core kinds, whose schemas kubectl knows).
    pub strategic_merge: bool,
    /// Group-resource under which objects are stored; kinds served in two groups share it.
    pub storage: &'static str,
    /// Structural schema.
    pub schema: fn() -> &'static Schema,
    /// What is special about writes.
    pub strategy: &'static dyn Strategy,
}

/// A column of the Table form.
pub struct Column {
    /// Heading, for example `Phase`.
    pub name: &'static str,
    /// `string`, `integer`, `number`, `boolean` or `date`.
    pub type_: &'static str,
    /// What it shows.
    pub description: &'static str,
    /// JSON path in the form of CRD printer columns: `.status.phase`.
    pub json_path: &'static str,
    /// 0 is always shown, higher with `-o wide`.
    pub priority: i32,
}

/// Which part of the object a write means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The object's own path: everything but status.
    Main,
    /// `/status`.
    Status,
    /// A subresource that writes facts (`binding`, `progress`).
    Facts,
}

/// What a strategy may know about the write.
#[derive(Clone, Copy, Debug)]
pub struct WriteContext {
    /// Which part is written.
    pub part: Part,
    /// Business time.
    pub business_now: Timestamp,
}

/// What is special about a kind's writes. Called after merging, pruning and defaulting, before validation.
pub trait Strategy: Sync + Send {
    /// Keeps what this write may not touch, and computes what the server owns. `old` is absent on create.
    fn prepare(&self, _new: &mut Value, _old: Option<&Value>, _cx: &WriteContext) {}

    /// Rules beyond the schema. `old` is absent on create.
    fn validate(&self, _new: &Value, _old: Option<&Value>) -> Vec<Cause> {
        Vec::new()
    }
}

impl Kind {
    /// `dropmate.dev/v1`, or `v1` in the core group.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.to_owned() } else { format!("{}/{}", self.group, self.version) }
    }

    /// `orders.dropmate.dev`, or `namespaces` in the core group.
    pub fn group_resource(&self) -> String {
        if self.group.is_empty() { self.plural.to_owned() } else { format!("{}.{}", self.plural, self.group) }
    }

    /// `OrderList`.
    pub fn list_kind(&self) -> String {
        format!("{}List", self.kind)
    }
}

/// Every served kind.
pub fn kinds() -> &'static [Kind] {
    &[]
}

/// The kind served at that path.
pub fn by_resource(group: &str, version: &str, plural: &str) -> Option<&'static Kind> {
    kinds().iter().find(|k| k.group == group && k.version == version && k.plural == plural)
}
