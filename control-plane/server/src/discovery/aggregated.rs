//! Discovery in one document: every group with its resources (`apidiscovery.k8s.io/v2`). New clients ask for nothing
//! else.

use std::sync::LazyLock;

use dropmate_api::registry::{Kind, Review, kinds};
use serde_json::{Value, json};

use super::{CREATE, Subresource, group_versions, reviews, subresources, verbs};
use crate::document::Document;

/// What the document is; the answer repeats the parameters by which it was asked for.
pub(super) const MEDIA_TYPE: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

/// The core group, under `/api`.
pub(super) static CORE: LazyLock<Document> = LazyLock::new(|| Document::new(&list(str::is_empty)));

/// All other groups, under `/apis`.
pub(super) static GROUPS: LazyLock<Document> = LazyLock::new(|| Document::new(&list(|group| !group.is_empty())));

fn list(wanted: impl Fn(&str) -> bool) -> Value {
    let groups = group_versions().into_iter().filter(|(group, _)| wanted(group));
    let items: Vec<Value> = groups.map(|(name, version)| group(name, version)).collect();
    json!({"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items})
}

fn group(name: &str, version: &str) -> Value {
    let kinds = kinds().iter().filter(|kind| kind.group == name && kind.version == version);
    let resources: Vec<Value> = kinds.map(resource).chain(reviews(name, version).filter_map(review)).collect();
    // The core group has no name.
    let metadata = if name.is_empty() { json!({}) } else { json!({"name": name}) };
    json!({"metadata": metadata, "versions": [{"version": version, "resources": resources, "freshness": "Current"}]})
}

fn review(review: &'static Review) -> Option<Value> {
    Some(json!({
        "resource": review.plural()?,
        "responseKind": {"group": review.group, "version": review.version, "kind": review.kind},
        "scope": "Cluster",
        "singularResource": review.singular,
        "verbs": CREATE,
    }))
}

fn resource(kind: &'static Kind) -> Value {
    let mut resource = json!({
        "resource": kind.plural,
        "responseKind": response_kind(kind, kind.kind),
        "scope": if kind.namespaced { "Namespaced" } else { "Cluster" },
        "singularResource": kind.singular,
        "verbs": verbs(kind),
    });
    if !kind.short_names.is_empty() {
        resource["shortNames"] = json!(kind.short_names);
    }
    if !kind.categories.is_empty() {
        resource["categories"] = json!(kind.categories);
    }
    let parts: Vec<Value> = subresources(kind)
        .into_iter()
        .map(|Subresource { name, kind: sub_kind, group, verbs }| {
            let (group, version) = group.unwrap_or((kind.group, kind.version));
            let response_kind = json!({"group": group, "version": version, "kind": sub_kind});
            json!({"subresource": name, "responseKind": response_kind, "verbs": verbs})
        })
        .collect();
    if !parts.is_empty() {
        resource["subresources"] = Value::Array(parts);
    }
    resource
}

fn response_kind(kind: &Kind, name: &str) -> Value {
    json!({"group": kind.group, "version": kind.version, "kind": name})
}
