//! `ApplySet`: which objects one set of manifests has put here, so that what leaves the manifests can be pruned.
//!
//! The record stands in labels and annotations, in the form that Kubernetes gave them (KEP-3659), so that its tools read
//! it: the label [`PART_OF`] on every member, and on the ApplySet its id, the kinds and the namespaces of its members.

use jiff::Timestamp;
use kube_derive::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    cross,
    registry::{Strategy, WriteContext},
    validation::Cause,
};

/// The label of every member: the id of its ApplySet.
pub const PART_OF: &str = "applyset.kubernetes.io/part-of";
/// The label of the ApplySet itself: its id.
pub const ID: &str = "applyset.kubernetes.io/id";
/// Annotation: the program, with its version, that keeps this ApplySet. Others leave it alone.
pub const TOOLING: &str = "applyset.kubernetes.io/tooling";
/// Annotation: the kinds of the members, `Order.dropmate.dev`, with commas between them.
pub const GROUP_KINDS: &str = "applyset.kubernetes.io/contains-group-kinds";
/// Annotation: the namespaces of members beside the ApplySet's own.
pub const NAMESPACES: &str = "applyset.kubernetes.io/additional-namespaces";
/// Label of a CRD whose objects may be ApplySets to other tools.
pub const IS_PARENT: &str = "applyset.kubernetes.io/is-parent-type";

/// Who is at work on the set.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(crates(kube_core = "::kube_core"))]
#[kube(group = "dropmate.dev", version = "v1", kind = "ApplySet", plural = "applysets", singular = "applyset")]
#[kube(category = "dropmate")]
#[kube(namespaced, status = "ApplySetStatus", derive = "PartialEq")]
#[serde(rename_all = "camelCase")]
pub struct ApplySetSpec {
    /// The run of `dropmate apply` that has the set now. Another one waits for its end, or until it has not been renewed
    /// for more than a minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<ApplySetRun>,
}

/// A run of `dropmate apply` over a set.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApplySetRun {
    /// Tells it from every other run.
    pub id: String,
    /// Who runs it, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holder: Option<String>,
    /// When it said last that it goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renewed_at: Option<Timestamp>,
}

/// What came of the last run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApplySetStatus {
    /// Objects in the set at the end of the last whole run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub members: Option<i64>,
    /// When the last whole run ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub applied_at: Option<Timestamp>,
}

/// The strategy of [`ApplySet`]: other tools make one without a spec.
#[derive(Debug)]
pub struct ApplySetStrategy;

impl Strategy for ApplySetStrategy {
    fn prepare(&self, new: &mut Value, _old: Option<&Value>, _cx: &WriteContext) {
        if let Value::Object(fields) = new {
            fields.entry("spec").or_insert_with(|| json!({}));
        }
    }

    fn validate(&self, new: &Value, _old: Option<&Value>) -> Vec<Cause> {
        let mut causes = Vec::new();
        cross::readable::<ApplySet>(&mut causes, new, "applysets");
        causes
    }
}
