//! Membership in an ApplySet, as it stands on the member itself.

use dropmate_api::applyset::PART_OF;
use serde_json::{Value, json};

/// The id of the ApplySet that an object is a member of.
pub(super) fn label(object: &Value) -> Option<&str> {
    object["metadata"]["labels"][PART_OF].as_str()
}

/// Makes an object a member.
pub(super) fn set_label(object: &mut Value, id: &str) {
    let labels = &mut object["metadata"]["labels"];
    if labels.is_object() {
        labels[PART_OF] = json!(id);
    } else {
        *labels = json!({PART_OF: id});
    }
}

/// Whether the server keeps that this manager, and nobody else, has applied the label of membership.
pub(super) fn owns_label(object: &Value, manager: &str) -> bool {
    let entries = object.pointer("/metadata/managedFields").and_then(Value::as_array);
    let owns = |entry: &&Value| entry["fieldsV1"]["f:metadata"]["f:labels"].get(format!("f:{PART_OF}")).is_some();
    let owners: Vec<_> = entries.into_iter().flatten().filter(owns).collect();
    matches!(owners[..], [one] if one["operation"] == "Apply" && one["manager"] == manager)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(manager: &str, operation: &str) -> Value {
        json!({"metadata": {"labels": {PART_OF: "x"}, "managedFields": [
            {"manager": manager, "operation": operation, "fieldsV1": {"f:metadata": {"f:labels": {format!("f:{PART_OF}"): {}}}}},
            {"manager": "dispatch", "operation": "Update", "subresource": "status", "fieldsV1": {"f:status": {}}},
        ]}})
    }

    #[test]
    fn a_label_that_was_copied_is_nobody_s_membership() {
        assert!(owns_label(&member("dropmate", "Apply"), "dropmate"));
        assert!(!owns_label(&member("dropmate", "Update"), "dropmate"));
        assert!(!owns_label(&member("kubectl-create", "Update"), "dropmate"));
        assert!(!owns_label(&json!({"metadata": {"labels": {PART_OF: "x"}}}), "dropmate"));
    }
}
