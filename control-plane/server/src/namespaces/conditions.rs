//! What a namespace that is going away says about itself: what is left in it, and whose finalizers hold that.

use std::collections::BTreeMap;

use dropmate_api::registry::Kind;
use serde_json::{Value, json};

use crate::object;

/// What could not be deleted yet.
#[derive(Debug, Default)]
pub(super) struct Remaining {
    /// Instances by `drivers.dropmate.dev`.
    resources: BTreeMap<String, usize>,
    /// Instances by finalizer.
    finalizers: BTreeMap<String, usize>,
}

impl Remaining {
    /// Counts one object in.
    pub(super) fn add(&mut self, kind: &Kind, body: &str) {
        *self.resources.entry(format!("{}.{}", kind.plural, kind.group)).or_default() += 1;
        let object = serde_json::from_str(body).unwrap_or(Value::Null);
        for finalizer in object::finalizers(&object) {
            *self.finalizers.entry(finalizer.to_owned()).or_default() += 1;
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.resources.is_empty()
    }

    /// The conditions, with the texts of Kubernetes. Those that hold as before keep their time.
    pub(super) fn conditions(&self, held: &Value, now: &Value) -> Value {
        let counted = |counts: &BTreeMap<String, usize>, verb: &str| {
            let parts: Vec<String> =
                counts.iter().map(|(name, count)| format!("{name} {verb} {count} resource instances")).collect();
            parts.join(", ")
        };
        let remaining = format!("Some resources are remaining: {}", counted(&self.resources, "has"));
        let finalizers =
            format!("Some content in the namespace has finalizers remaining: {}", counted(&self.finalizers, "in"));
        let wanted = [
            (
                "NamespaceDeletionDiscoveryFailure",
                false,
                "ResourcesDiscovered",
                "All resources successfully discovered",
            ),
            (
                "NamespaceDeletionGroupVersionParsingFailure",
                false,
                "ParsedGroupVersions",
                "All legacy kube types successfully parsed",
            ),
            (
                "NamespaceDeletionContentFailure",
                false,
                "ContentDeleted",
                "All content successfully deleted, may be waiting on finalization",
            ),
            if self.resources.is_empty() {
                ("NamespaceContentRemaining", false, "ContentRemoved", "All content successfully removed")
            } else {
                ("NamespaceContentRemaining", true, "SomeResourcesRemain", remaining.as_str())
            },
            if self.finalizers.is_empty() {
                (
                    "NamespaceFinalizersRemaining",
                    false,
                    "ContentHasNoFinalizers",
                    "All content-preserving finalizers finished",
                )
            } else {
                ("NamespaceFinalizersRemaining", true, "SomeFinalizersRemain", finalizers.as_str())
            },
        ];
        wanted
            .into_iter()
            .map(|(type_, holds, reason, message)| {
                let status = if holds { "True" } else { "False" };
                let before = held
                    .as_array()
                    .into_iter()
                    .flatten()
                    .find(|condition| condition["type"] == type_ && condition["status"] == status)
                    .map(|condition| &condition["lastTransitionTime"]);
                json!({
                    "type": type_, "status": status, "reason": reason, "message": message,
                    "lastTransitionTime": before.unwrap_or(now),
                })
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use dropmate_api::registry::by_resource;

    use super::*;

    #[test]
    fn conditions_say_what_is_left_and_keep_the_time_at_which_they_came_true() {
        let kind = by_resource("dropmate.dev", "v1", "drivers").unwrap();
        let mut remaining = Remaining::default();
        remaining.add(kind, r#"{"metadata":{"finalizers":["example.com/a","example.com/b"]}}"#);
        remaining.add(kind, r#"{"metadata":{"finalizers":["example.com/a"]}}"#);
        let first = remaining.conditions(&Value::Null, &json!("t1"));
        let message = |type_: &str| {
            let found = first.as_array().unwrap().iter().find(|condition| condition["type"] == type_).unwrap();
            assert_eq!(found["status"], "True");
            found["message"].as_str().unwrap().to_owned()
        };
        assert_eq!(
            message("NamespaceContentRemaining"),
            "Some resources are remaining: drivers.dropmate.dev has 2 resource instances"
        );
        assert_eq!(
            message("NamespaceFinalizersRemaining"),
            "Some content in the namespace has finalizers remaining: example.com/a in 2 resource instances, example.com/b in 1 resource instances"
        );
        assert_eq!(remaining.conditions(&first, &json!("t2")), first);
        let later = Remaining::default().conditions(&first, &json!("t2"));
        let times: Vec<&str> =
            later.as_array().unwrap().iter().map(|c| c["lastTransitionTime"].as_str().unwrap()).collect();
        assert_eq!(times, ["t1", "t1", "t1", "t2", "t2"]);
    }
}
