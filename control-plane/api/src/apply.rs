//! Server-side apply: who owns which field of an object, and what a write does to that.
//!
//! Two pure functions. [`apply`] merges what a manager wants into an object and refuses what would change other managers'
//! fields; [`update`] tells after any other write who owns what was changed. Both keep `metadata.managedFields`, in the
//! form of Kubernetes (`FieldsV1`). They know schemas and values, and neither kinds nor clocks. Entries of another
//! `apiVersion` than the written one speak of other fields, and stay as they are.

mod check;
mod compare;
mod element;
mod extract;
mod last_applied;
mod managers;
mod merge;
mod remove;
mod scope;
mod set;
mod shape;
mod steady;

use serde_json::Value;

use crate::{schema::Schema, validation::Cause};
use managers::{APPLIERS_MAX, Id, Managers, Operation};
use scope::Scope;
use set::FieldSet;

/// Who writes, and by which door.
#[derive(Clone, Copy, Debug)]
pub struct Writer<'a> {
    /// The name of the manager; an empty one counts as `unknown`.
    pub manager: &'a str,
    /// `apiVersion` of the written object.
    pub api_version: &'a str,
    /// `status` for writes to `/status`, else empty.
    pub subresource: &'a str,
    /// Whether the kind's status is written through `/status` only.
    pub status_apart: bool,
    /// When, as metadata holds times.
    pub at: &'a str,
}

impl Writer<'_> {
    fn id(&self, operation: Operation) -> Id {
        Id::new(self.manager, operation, self.api_version, self.subresource)
    }

    fn scope(&self) -> Scope {
        Scope { status: self.subresource == "status", status_apart: self.status_apart }
    }
}

/// A field that somebody else owns with another value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Conflict {
    /// Whose: `"mgr-a"`, `"mgr-b" using v1`.
    pub manager: String,
    /// Which: `.spec.driverName`.
    pub field: String,
}

/// Why an apply patch was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApplyError {
    /// The patch says something that no apply patch may say.
    #[error("{0}")]
    Refused(String),
    /// The patch does not fit the schema.
    #[error("failed to create typed patch object ({object}): {faults}")]
    Untyped {
        /// `NAMESPACE/NAME; GROUP/VERSION, Kind=KIND`.
        object: String,
        /// What is wrong, with paths.
        faults: String,
    },
    /// Others own fields that the patch would change.
    #[error("{}", conflict_message(.0))]
    Conflicts(Vec<Conflict>),
}

impl ApplyError {
    /// One cause for each conflict.
    pub fn causes(&self) -> Vec<Cause> {
        let Self::Conflicts(conflicts) = self else { return Vec::new() };
        let cause = |conflict: &Conflict| Cause {
            reason: "FieldManagerConflict".to_owned(),
            message: format!("conflict with {}", conflict.manager),
            field: conflict.field.clone(),
        };
        conflicts.iter().map(cause).collect()
    }
}

fn conflict_message(conflicts: &[Conflict]) -> String {
    if let [one] = conflicts {
        return format!("Apply failed with 1 conflict: conflict with {}: {}", one.manager, one.field);
    }
    let mut lines = Vec::new();
    let mut manager = "";
    for conflict in conflicts {
        if conflict.manager != manager {
            manager = &conflict.manager;
            lines.push(format!("conflicts with {manager}:"));
        }
        lines.push(format!("- {}", conflict.field));
    }
    format!("Apply failed with {} conflicts: {}", conflicts.len(), lines.join("\n"))
}

/// Merges an apply patch into `live`, which is null if there is no such object yet.
///
/// In the result, the writer owns exactly the fields of the patch; fields it owned before, does not name any more and that
/// nobody else owns are gone. `force` takes over other managers' fields instead of refusing. The part of the patch that
/// the writer's door does not lead to is left aside. What is there belongs to `before-first-apply`, if nobody was kept to
/// own anything. Nothing is defaulted here.
pub fn apply(
    schema: &Schema,
    live: &Value,
    patch: &Value,
    writer: &Writer<'_>,
    force: bool,
) -> Result<Value, ApplyError> {
    check(schema, patch)?;
    let (root, scope) = (Some(schema.root()), writer.scope());
    let mut base = live.clone();
    let mut managers = Managers::read(&managers::take(&mut base)).unwrap_or_default();
    let config = scope.config(&named(patch, live));
    let wanted = extract::extract(root, &config);
    let mut own = wanted.clone();
    scope.trim(&mut own);
    // Who wants nothing meets nobody: a Namespace that was applied stays as it is when it is applied again.
    if managers.0.is_empty() && !base.is_null() && !own.is_empty() {
        managers.adopt(writer.id(Operation::Update), scope.changes(root, &Value::Null, &base).added, writer.at);
    }
    let merged = if base.is_null() { created(patch, &config) } else { merge::merge(root, base.clone(), &config) };

    let id = writer.id(Operation::Apply);
    let before = managers.0.remove(&id);
    if before.is_none() && managers.appliers() >= APPLIERS_MAX {
        return Err(ApplyError::Refused(format!(
            "an object can be applied by at most {APPLIERS_MAX} managers: apply under a name that is one already"
        )));
    }
    let mut last = before.map(|entry| entry.fields).unwrap_or_default();
    scope.trim(&mut last);
    let mut owned = managers.owned(writer.api_version);
    owned.union(wanted);
    let mut object = remove::prune(root, merged, &config, (&last, &owned));

    let changes = scope.changes(root, &base, &object);
    let mut set = changes.added.clone();
    set.union(changes.modified.clone());
    if !force {
        let allowed = (writer.manager == last_applied::KUBECTL)
            .then(|| last_applied::allowed(root, scope, &base, writer.api_version))
            .flatten();
        let conflicts = conflicts(&managers, writer.api_version, &set, allowed.as_ref());
        if !conflicts.is_empty() {
            return Err(ApplyError::Conflicts(conflicts));
        }
    }
    managers.disown(writer.api_version, &[&set, &changes.removed]);
    if !own.is_empty() {
        let (version, time) = (writer.api_version.to_owned(), Some(writer.at.to_owned()));
        managers.0.insert(id, managers::Entry { version, time, fields: own });
    }
    if writer.manager == last_applied::KUBECTL && !scope.status {
        last_applied::keep_true(&mut object, patch);
    }
    managers::put(&mut object, managers.write());
    Ok(object)
}

/// Tells in `new` who owns what after a write that was no apply; `live` is null on create.
///
/// The writer owns what it changed, and nobody else does any more. Entries that `new` brings count instead of those of
/// `live`, where they can be read; `[{}]` clears them, and then nobody is kept until somebody applies.
pub fn update(schema: &Schema, live: &Value, new: &mut Value, writer: &Writer<'_>) {
    let (root, scope) = (Some(schema.root()), writer.scope());
    let mut given = managers::take(new);
    let held = &live["metadata"]["managedFields"];
    let changes = scope.changes(root, live, new);
    if given == *held && changes.is_empty() {
        managers::put(new, given);
        return;
    }
    let id = writer.id(Operation::Update);
    let mut taken = changes.added;
    taken.union(changes.modified);
    if given == *held && changes.removed.is_empty() && steady::renew(&mut given, &id, &taken, writer.at) {
        managers::put(new, given);
        return;
    }
    let mut managers = if scope.status {
        Managers::read(held).unwrap_or_default()
    } else if managers::is_reset(&given) {
        Managers::default()
    } else {
        let given = Managers::read(&given).filter(|given| !given.0.is_empty());
        given.or_else(|| Managers::read(held)).unwrap_or_default()
    };
    if managers.0.is_empty() && !live.is_null() {
        return;
    }
    managers.disown(writer.api_version, &[&taken, &changes.removed]);
    if !taken.is_empty() {
        let entry = managers.0.entry(id).or_default();
        entry.fields.union(taken);
        writer.api_version.clone_into(&mut entry.version);
        entry.time = Some(writer.at.to_owned());
    }
    managers.cap();
    managers::put(new, managers.write());
}

/// Whether two states of an object differ in nothing but the times at which fields were taken.
pub fn same_but_times(old: &Value, new: &Value) -> bool {
    let (Value::Object(a), Value::Object(b)) = (old, new) else { return old == new };
    let but_metadata = a.len() == b.len() && a.iter().all(|(key, a)| key == "metadata" || b.get(key) == Some(a));
    but_metadata && same_metadata(&old["metadata"], &new["metadata"])
}

fn same_metadata(old: &Value, new: &Value) -> bool {
    let (Value::Object(a), Value::Object(b)) = (old, new) else { return old == new };
    let managed = |key: &String| key == "managedFields";
    let same = a.iter().all(|(key, a)| managed(key) || b.get(key) == Some(a))
        && b.keys().all(|key| managed(key) || a.contains_key(key));
    if !same || old["managedFields"] == new["managedFields"] {
        return same;
    }
    let timeless = |metadata: &Value| {
        let mut managed = metadata["managedFields"].as_array().cloned().unwrap_or_default();
        for entry in &mut managed {
            if let Value::Object(entry) = entry {
                entry.remove("time");
            }
        }
        // Times also order the entries.
        managed.sort_by_cached_key(Value::to_string);
        managed
    };
    timeless(old) == timeless(new)
}

fn check(schema: &Schema, patch: &Value) -> Result<(), ApplyError> {
    if patch["metadata"].get("managedFields").is_some_and(|managed| !managed.is_null()) {
        return Err(ApplyError::Refused("metadata.managedFields must be nil".to_owned()));
    }
    let faults = check::check(Some(schema.root()), patch);
    if faults.is_empty() {
        return Ok(());
    }
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (namespace, name) = (text(&patch["metadata"]["namespace"]), text(&patch["metadata"]["name"]));
    let (api_version, kind) = (text(&patch["apiVersion"]), text(&patch["kind"]));
    let group_version = if api_version.contains('/') { api_version } else { format!("/{api_version}") };
    let faults = match faults.as_slice() {
        [one] => one.clone(),
        many => format!("errors:\n  {}", many.join("\n  ")),
    };
    Err(ApplyError::Untyped { object: format!("{namespace}/{name}; {group_version}, Kind={kind}"), faults })
}

/// The patch with the object's name, which it may leave out.
fn named(patch: &Value, live: &Value) -> Value {
    let mut patch = patch.clone();
    if patch["metadata"].get("name").is_none()
        && let (Some(name), Value::Object(fields)) = (live["metadata"].get("name"), &mut patch)
        && let Value::Object(metadata) = fields.entry("metadata").or_insert_with(|| serde_json::json!({}))
    {
        metadata.insert("name".to_owned(), name.clone());
    }
    patch
}

/// The object that a first apply makes: what the patch says, with its type and its namespace.
fn created(patch: &Value, config: &Value) -> Value {
    let mut object = config.clone();
    for field in ["apiVersion", "kind"] {
        if let Some(value) = patch.get(field) {
            object[field] = value.clone();
        }
    }
    if let Some(namespace) = patch["metadata"].get("namespace") {
        object["metadata"]["namespace"] = namespace.clone();
    }
    object
}

fn conflicts(managers: &Managers, version: &str, set: &FieldSet, allowed: Option<&FieldSet>) -> Vec<Conflict> {
    let mut found = Vec::new();
    for (id, entry) in managers.0.iter().filter(|(_, entry)| entry.version == version) {
        let mut fields = entry.fields.clone();
        fields.intersect(set);
        if let Some(allowed) = allowed {
            fields.subtract(allowed);
        }
        let manager = id.describe();
        found.extend(fields.paths().into_iter().map(|field| Conflict { manager: manager.clone(), field }));
    }
    found
}

#[cfg(test)]
#[path = "apply/properties.rs"]
mod properties;
#[cfg(test)]
mod tests;
