//! `metadata.managedFields`: who owns what.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::set::FieldSet;

/// Entries of operation Update beyond these are merged, oldest first, as in Kubernetes.
const UPDATERS_MAX: usize = 10;
/// An object has at most so many appliers. Each is somebody's tool or agent; more come only from names made up anew each
/// time, and every entry is carried by every read of the object.
pub(super) const APPLIERS_MAX: usize = 100;
/// The manager of what was there when nobody was kept as a manager.
const BEFORE_FIRST_APPLY: &str = "before-first-apply";
/// The manager of merged entries.
const ANCIENT: &str = "ancient-changes";

/// How fields came to be owned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Operation {
    /// By server-side apply.
    Apply,
    /// By any other write.
    Update,
}

/// What tells managers apart.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Id {
    pub(super) manager: String,
    pub(super) operation: Operation,
    /// Empty for appliers, who stay themselves when they apply another version.
    pub(super) api_version: String,
    pub(super) subresource: String,
}

/// What a manager owns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Entry {
    /// The version whose fields these are.
    pub(super) version: String,
    pub(super) time: Option<String>,
    pub(super) fields: FieldSet,
}

/// All managers of an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Managers(pub(super) BTreeMap<Id, Entry>);

impl Id {
    pub(super) fn new(manager: &str, operation: Operation, api_version: &str, subresource: &str) -> Self {
        let manager = if manager.is_empty() { "unknown" } else { manager };
        let api_version = if operation == Operation::Apply { "" } else { api_version };
        Self {
            manager: manager.to_owned(),
            operation,
            api_version: api_version.to_owned(),
            subresource: subresource.to_owned(),
        }
    }

    /// Whether an entry of `managedFields` is this manager's. For those that update: an applier's version may differ.
    pub(super) fn wrote(&self, entry: &Value) -> bool {
        let text = |field: &str| entry[field].as_str().unwrap_or("");
        self.operation == Operation::Update
            && text("operation") == "Update"
            && text("manager") == self.manager
            && text("apiVersion") == self.api_version
            && text("subresource") == self.subresource
    }

    /// As conflicts name it.
    pub(super) fn describe(&self) -> String {
        let mut text = crate::validation::quote(&self.manager);
        if !self.subresource.is_empty() {
            text = format!("{text} with subresource {}", crate::validation::quote(&self.subresource));
        }
        match self.operation {
            Operation::Apply => text,
            Operation::Update => format!("{text} using {}", self.api_version),
        }
    }
}

impl Managers {
    /// Reads `managedFields`; `None` if an entry is none.
    pub(super) fn read(managed: &Value) -> Option<Self> {
        let mut managers = Self::default();
        for json in managed.as_array().map_or(&[][..], Vec::as_slice) {
            let text = |field: &str| json[field].as_str().unwrap_or("");
            let operation = match text("operation") {
                "Apply" => Operation::Apply,
                "Update" => Operation::Update,
                _ => return None,
            };
            let version = text("apiVersion");
            if version.is_empty() || text("fieldsType") != "FieldsV1" {
                return None;
            }
            let fields = match json.get("fieldsV1") {
                None | Some(Value::Null) => FieldSet::default(),
                Some(fields) => FieldSet::read(fields)?,
            };
            let time = json["time"].as_str().map(str::to_owned);
            if time.as_ref().is_some_and(|time| time.parse::<Timestamp>().is_err()) {
                return None;
            }
            let id = Id::new(text("manager"), operation, version, text("subresource"));
            managers.0.insert(id, Entry { version: version.to_owned(), time, fields });
        }
        (managers.appliers() <= APPLIERS_MAX).then_some(managers)
    }

    pub(super) fn appliers(&self) -> usize {
        self.0.keys().filter(|id| id.operation == Operation::Apply).count()
    }

    /// Gives fields that nobody was kept to own to whoever set them before the first apply.
    pub(super) fn adopt(&mut self, writer: Id, fields: FieldSet, at: &str) {
        if !fields.is_empty() {
            let (version, time) = (writer.api_version.clone(), Some(at.to_owned()));
            let id = Id { manager: BEFORE_FIRST_APPLY.to_owned(), ..writer };
            self.0.insert(id, Entry { version, time, fields });
        }
    }

    /// Everything that somebody owns by the fields of that version.
    pub(super) fn owned(&self, version: &str) -> FieldSet {
        let mut owned = FieldSet::default();
        for entry in self.0.values().filter(|entry| entry.version == version) {
            owned.union(entry.fields.clone());
        }
        owned
    }

    /// Takes fields away from everybody, and drops who has none left.
    pub(super) fn disown(&mut self, version: &str, fields: &[&FieldSet]) {
        self.0.retain(|_, entry| {
            if entry.version == version {
                for fields in fields {
                    entry.fields.subtract(fields);
                }
            }
            !entry.fields.is_empty()
        });
    }

    /// Merges the oldest entries of operation Update, version by version, until there are few enough.
    pub(super) fn cap(&mut self) {
        let mut updaters: Vec<(Option<Timestamp>, Id)> = self
            .0
            .iter()
            .filter(|(id, _)| id.operation == Operation::Update)
            .map(|(id, entry)| (entry.time.as_deref().and_then(|time| time.parse().ok()), id.clone()))
            .collect();
        updaters.sort();
        let mut excess = updaters.len().saturating_sub(UPDATERS_MAX);
        let mut first: BTreeMap<String, Id> = BTreeMap::new();
        for (_, id) in updaters {
            if excess == 0 {
                break;
            }
            let version = id.api_version.clone();
            let bucket = Id::new(ANCIENT, Operation::Update, &version, "");
            let Some(held) = first.get(&version) else {
                first.insert(version, id);
                continue;
            };
            if *held != bucket
                && let Some(entry) = self.0.remove(held)
            {
                let slot = self.0.entry(bucket.clone()).or_default();
                slot.fields.union(entry.fields);
                slot.version = entry.version;
                first.insert(version, bucket.clone());
            }
            if id != bucket
                && let Some(entry) = self.0.remove(&id)
            {
                let slot = self.0.entry(bucket).or_default();
                slot.fields.union(entry.fields);
                slot.time = entry.time;
                excess -= 1;
            }
        }
    }

    /// `managedFields`.
    pub(super) fn write(&self) -> Value {
        let mut entries: Vec<Value> = self.0.iter().map(|(id, entry)| write(id, entry)).collect();
        sort(&mut entries);
        Value::Array(entries)
    }
}

/// Sorts entries as Kubernetes does: appliers first, then by time.
pub(super) fn sort(entries: &mut [Value]) {
    type Key<'a> = (&'a str, i64, &'a str, &'a str, &'a str);
    fn key(entry: &Value) -> Key<'_> {
        let text = |field: &str| entry[field].as_str().unwrap_or("");
        let seconds = text("time").parse::<Timestamp>().map_or(0, Timestamp::as_second);
        (text("operation"), seconds, text("manager"), text("apiVersion"), text("subresource"))
    }
    entries.sort_by(|a, b| key(a).cmp(&key(b)));
}

fn write(id: &Id, entry: &Entry) -> Value {
    let operation = match id.operation {
        Operation::Apply => "Apply",
        Operation::Update => "Update",
    };
    let mut json = json!({
        "manager": id.manager,
        "operation": operation,
        "apiVersion": entry.version,
        "fieldsType": "FieldsV1",
        "fieldsV1": entry.fields.write(),
    });
    if let Some(time) = &entry.time {
        json["time"] = Value::from(time.as_str());
    }
    if !id.subresource.is_empty() {
        json["subresource"] = Value::from(id.subresource.as_str());
    }
    json
}

/// Whether a write asks that nobody be a manager any more.
pub(super) fn is_reset(managed: &Value) -> bool {
    managed
        .as_array()
        .is_some_and(|entries| matches!(entries.as_slice(), [Value::Object(one)] if one.values().all(Value::is_null)))
}

/// Sets `metadata.managedFields` of an object.
pub(super) fn put(object: &mut Value, managed: Value) {
    let Value::Object(fields) = object else { return };
    let metadata = fields.entry("metadata").or_insert_with(|| Value::Object(Map::new()));
    if let Value::Object(metadata) = metadata {
        if managed.as_array().is_none_or(Vec::is_empty) {
            metadata.remove("managedFields");
        } else {
            metadata.insert("managedFields".to_owned(), managed);
        }
    }
}

/// Takes `metadata.managedFields` out of an object.
pub(super) fn take(object: &mut Value) -> Value {
    let metadata = object.get_mut("metadata").and_then(Value::as_object_mut);
    metadata.and_then(|metadata| metadata.remove("managedFields")).unwrap_or_default()
}
