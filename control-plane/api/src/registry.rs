//! The registry of kinds: every kind the API serves, as data. Verbs are written once over it.

mod builtin;
mod kinds;
mod reviews;
mod schemas;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

pub use reviews::{Place, REVIEWS, Review, review, review_of};
pub use schemas::shared as shared_schemas;

use crate::{Clock, schema::Schema, validation::Cause};

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
    /// What clients may do with objects of this kind.
    pub access: Access,
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
    /// `apiVersion` of stored objects.
    pub stored_api_version: &'static str,
    /// Fields that stored objects have under another name.
    pub renamed: &'static [Renamed],
    /// Structural schema.
    pub schema: fn() -> &'static Schema,
    /// What is special about writes.
    pub strategy: &'static dyn Strategy,
}

/// What clients may do with objects of a kind, if their role lets them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Everything.
    Full,
    /// Read them; the server keeps them.
    ReadOnly,
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

    /// Whether owners and dependents mean something to the garbage collector. What is only told, nobody owns.
    fn collected(&self) -> bool {
        true
    }

    /// Whether objects of this kind may leave by themselves.
    fn expires(&self) -> bool {
        false
    }

    /// Whether it is worth reading a stored body for its `expiry`.
    fn may_expire(&self, _body: &str) -> bool {
        false
    }

    /// When a stored object leaves by itself; `None`: it stays.
    fn expiry(&self, _object: &Value) -> Option<Expiry> {
        None
    }
}

/// When an object leaves by itself, and where to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expiry {
    /// From when on its time counts.
    pub since: Since,
    /// How long it stays from then on, in system time.
    pub after: SignedDuration,
    /// Whether its last state goes to the archive.
    pub archive: bool,
}

/// A moment on one of the two clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Since {
    /// System time.
    System(Timestamp),
    /// Business time.
    Business(Timestamp),
}

impl Expiry {
    /// The moment in system time.
    pub fn due(&self, clock: &Clock) -> Timestamp {
        let since = match self.since {
            Since::System(at) => at,
            Since::Business(at) => clock.to_system(at),
        };
        since.checked_add(self.after).unwrap_or(Timestamp::MAX)
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

    /// Whether clients may only read objects of this kind.
    pub fn is_read_only(&self) -> bool {
        self.access == Access::ReadOnly
    }

    /// `OrderList`.
    pub fn list_kind(&self) -> String {
        format!("{}List", self.kind)
    }
}

/// A field that a kind served in two groups has under two names.
pub struct Renamed {
    /// Its name in objects of this kind.
    pub served: &'static str,
    /// Its name in stored objects.
    pub stored: &'static str,
}

impl Kind {
    /// Turns an object of this kind into the form it is stored in. Only kinds served in two groups differ.
    pub fn to_stored(&self, object: &mut Value) {
        self.rename(object, self.stored_api_version, |field| (field.served, field.stored));
    }

    /// Turns a stored object into this kind. Only kinds served in two groups differ.
    pub fn to_served(&self, object: &mut Value) {
        self.rename(object, &self.api_version(), |field| (field.stored, field.served));
    }

    /// The path in stored objects of a field of this kind: `regarding.name` is stored as `involvedObject.name`.
    pub fn stored_field(&self, field: &str) -> String {
        let (head, rest) = field.find('.').map_or((field, ""), |dot| field.split_at(dot));
        let head = self.renamed.iter().find(|renamed| renamed.served == head).map_or(head, |renamed| renamed.stored);
        format!("{head}{rest}")
    }

    fn rename(&self, object: &mut Value, api_version: &str, names: fn(&Renamed) -> (&'static str, &'static str)) {
        if self.renamed.is_empty() {
            return;
        }
        if let Some(fields) = object.as_object_mut() {
            for (from, to) in self.renamed.iter().map(names) {
                if let Some(value) = fields.remove(from) {
                    fields.insert(to.to_owned(), value);
                }
            }
            fields.insert("apiVersion".to_owned(), Value::from(api_version));
        }
    }
}

/// Every served kind.
pub fn kinds() -> &'static [Kind] {
    &kinds::KINDS
}

/// The kind served at that path.
pub fn by_resource(group: &str, version: &str, plural: &str) -> Option<&'static Kind> {
    kinds().iter().find(|k| k.group == group && k.version == version && k.plural == plural)
}

/// The kind of that `apiVersion` and `kind`.
pub fn by_kind(api_version: &str, kind: &str) -> Option<&'static Kind> {
    kinds().iter().find(|k| k.kind == kind && k.api_version() == api_version)
}

#[cfg(test)]
mod tests;
