//! The write that agents repeat: new values in fields that are the writer's own already. Nothing but a time changes then,
//! and the sets, which may be long, need not be read and written anew.

use serde_json::Value;

use super::{managers, set::FieldSet};

/// Sets the time in `managed`, if the taken fields are all this writer's and nobody else's. Otherwise nothing changes.
pub(super) fn renew(managed: &mut Value, writer: &managers::Id, taken: &FieldSet, at: &str) -> bool {
    let Some(entries) = managed.as_array_mut() else { return false };
    let mut own = None;
    for (index, entry) in entries.iter().enumerate() {
        let fields = &entry["fieldsV1"];
        if writer.wrote(entry) {
            if !holds_all(fields, taken) {
                return false;
            }
            own = Some(index);
        } else if entry["apiVersion"] == writer.api_version.as_str() && holds_any(fields, taken) {
            return false;
        }
    }
    let Some(Value::Object(own)) = own.and_then(|index| entries.get_mut(index)) else { return false };
    own.insert("time".to_owned(), at.into());
    managers::sort(entries);
    true
}

fn holds_all(fields: &Value, set: &FieldSet) -> bool {
    set.iter().all(|(element, branch)| {
        let held = fields.get(element.text());
        held.is_some_and(|held| (!branch.here || is_here(held)) && holds_all(held, &branch.below))
    })
}

fn holds_any(fields: &Value, set: &FieldSet) -> bool {
    set.iter().any(|(element, branch)| {
        let held = fields.get(element.text());
        held.is_some_and(|held| branch.here && is_here(held) || holds_any(held, &branch.below))
    })
}

/// Whether the path itself is in the set.
fn is_here(fields: &Value) -> bool {
    fields.as_object().is_some_and(|below| below.is_empty() || below.contains_key("."))
}
