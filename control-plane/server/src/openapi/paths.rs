//! The paths of the documents, with what each takes.

use dropmate_api::registry::{Kind, Place, Review};
use serde_json::{Map, Value, json};

use super::{
    root,
    schemas::{group_version_kind, name, reference, review_group_version_kind, review_name},
};
use crate::resources::patch_types;

/// What a request does to a resource, in the words of Kubernetes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Action {
    List,
    Create,
    DeleteCollection,
    Get,
    Replace,
    Patch,
    Delete,
}

impl Action {
    fn method(self) -> &'static str {
        match self {
            Self::List | Self::Get => "get",
            Self::Create => "post",
            Self::Replace => "put",
            Self::Patch => "patch",
            Self::Delete | Self::DeleteCollection => "delete",
        }
    }

    /// The value of `x-kubernetes-action`.
    fn word(self) -> &'static str {
        match self {
            Self::List => "list",
            Self::Create => "post",
            Self::DeleteCollection => "deletecollection",
            Self::Get => "get",
            Self::Replace => "put",
            Self::Patch => "patch",
            Self::Delete => "delete",
        }
    }

    /// The first word of the operation's id, as generated clients name their methods.
    fn id(self) -> &'static str {
        match self {
            Self::List => "list",
            Self::Create => "create",
            Self::DeleteCollection => "deleteCollection",
            Self::Get => "read",
            Self::Replace => "replace",
            Self::Patch => "patch",
            Self::Delete => "delete",
        }
    }

    /// Names, types and descriptions of what stands in the query.
    fn query(self) -> &'static [(&'static str, &'static str, &'static str)] {
        const WRITE: &[(&str, &str, &str)] = &[
            ("dryRun", "string", "`All`: everything is done but the write."),
            ("fieldManager", "string", "Who makes the change."),
            (
                "fieldValidation",
                "string",
                "What happens to unknown and duplicate fields: `Ignore`, `Warn` (the default) or `Strict`.",
            ),
        ];
        const PATCH: &[(&str, &str, &str)] = &[
            WRITE[0],
            WRITE[1],
            WRITE[2],
            ("force", "boolean", "Takes over fields of other managers; for apply patches only."),
        ];
        const DELETE: &[(&str, &str, &str)] = &[
            WRITE[0],
            ("gracePeriodSeconds", "integer", "Accepted for compatibility; deletion is immediate."),
            ("orphanDependents", "boolean", "Said `propagationPolicy` before there was one."),
            ("propagationPolicy", "string", "What becomes of dependents: `Background`, `Foreground` or `Orphan`."),
        ];
        const LIST: &[(&str, &str, &str)] = &[
            ("allowWatchBookmarks", "boolean", "Sends bookmarks in a watch."),
            ("continue", "string", "Goes on with a list where the last page ended."),
            ("fieldSelector", "string", "Only objects whose fields are so."),
            ("labelSelector", "string", "Only objects whose labels are so."),
            ("limit", "integer", "At most so many objects in a page."),
            ("resourceVersion", "string", "The version to list or to watch from."),
            ("resourceVersionMatch", "string", "How `resourceVersion` is meant: `Exact` or `NotOlderThan`."),
            ("sendInitialEvents", "boolean", "Begins a watch with what is there."),
            ("timeoutSeconds", "integer", "Ends the call after so long."),
            ("watch", "boolean", "Streams changes instead of a list."),
        ];
        match self {
            Self::List | Self::DeleteCollection => LIST,
            Self::Create | Self::Replace => WRITE,
            Self::Patch => PATCH,
            Self::Delete => DELETE,
            Self::Get => &[],
        }
    }
}

const COLLECTION: &[Action] = &[Action::List, Action::Create, Action::DeleteCollection];
const OBJECT: &[Action] = &[Action::Get, Action::Replace, Action::Patch, Action::Delete];
const PART: &[Action] = &[Action::Get, Action::Replace, Action::Patch];

/// Every path of a kind, with what may be done there.
fn places(kind: &Kind) -> Vec<(String, &'static [Action])> {
    let reading = |actions: &'static [Action]| if kind.is_read_only() { &actions[..1] } else { actions };
    let root = root(kind.group, kind.version);
    let collection = if kind.namespaced {
        format!("/{root}/namespaces/{{namespace}}/{}", kind.plural)
    } else {
        format!("/{root}/{}", kind.plural)
    };
    let mut places = vec![(format!("{collection}/{{name}}"), reading(OBJECT))];
    if kind.namespaced {
        places.push((format!("/{root}/{}", kind.plural), &COLLECTION[..1]));
    }
    if kind.status_subresource {
        places.push((format!("{collection}/{{name}}/status"), reading(PART)));
    }
    places.push((collection, reading(COLLECTION)));
    places
}

/// The paths, as version 3 writes them.
pub(super) fn of(kinds: &[&Kind], reviews: &[&Review]) -> Map<String, Value> {
    let mut paths = paths(kinds, operation);
    paths.extend(reviews.iter().map(|review| (review.path(), json!({"post": review_operation(review)}))));
    paths
}

/// The paths, as version 2 writes them.
pub(super) fn of_v2(kinds: &[&Kind], reviews: &[&Review]) -> Map<String, Value> {
    let mut paths = paths(kinds, operation_v2);
    paths.extend(reviews.iter().map(|review| (review.path(), json!({"post": review_operation_v2(review)}))));
    paths
}

fn review_operation(review: &Review) -> Value {
    let mut operation = review_common(review);
    let schema = reference(&review_name(review));
    let body = json!({"schema": schema});
    operation["parameters"] = path_parameters(&review.path()).map(in_path).collect();
    operation["requestBody"] =
        json!({"required": true, "content": {"application/json": body, "application/yaml": body}});
    operation["responses"] = json!({
        "201": {"description": "Created", "content": {"application/json": body}},
        "401": {"description": "Unauthorized"},
    });
    operation
}

fn review_operation_v2(review: &Review) -> Value {
    let mut operation = review_common(review);
    let schema = reference(&review_name(review));
    let body = json!({"name": "body", "in": "body", "required": true, "schema": schema});
    operation["parameters"] = path_parameters(&review.path()).map(in_path_v2).chain(std::iter::once(body)).collect();
    operation["responses"] = json!({
        "201": {"description": "Created", "schema": schema},
        "401": {"description": "Unauthorized"},
    });
    operation["produces"] = json!(["application/json"]);
    operation["consumes"] = json!(["application/json", "application/yaml"]);
    operation
}

fn review_common(review: &Review) -> Value {
    let id = match review.place {
        Place::Cluster(_) => {
            let group: String = review.group.split('.').map(capitalized).collect();
            format!("create{group}{}{}", capitalized(review.version), review.kind)
        }
        Place::Part(..) => format!("createCoreV1NamespacedServiceAccount{}", review.kind),
    };
    json!({
        "operationId": id,
        "description": format!("Answers a {}, which is not kept.", review.kind),
        "x-kubernetes-action": "post",
        "x-kubernetes-group-version-kind": review_group_version_kind(review),
    })
}

fn paths(kinds: &[&Kind], operation: fn(&Kind, &str, Action) -> Value) -> Map<String, Value> {
    let mut paths = Map::new();
    for kind in kinds {
        for (path, actions) in places(kind) {
            let operations =
                actions.iter().map(|action| (action.method().to_owned(), operation(kind, &path, *action))).collect();
            paths.insert(path, Value::Object(operations));
        }
    }
    paths
}

fn operation(kind: &Kind, path: &str, action: Action) -> Value {
    let schema = answered(kind, action);
    let mut operation = common(kind, path, action);
    let in_path = path_parameters(path).map(in_path);
    let in_query = action.query().iter().map(|(name, type_, description)| {
        json!({"name": name, "in": "query", "description": description, "schema": {"type": type_}})
    });
    operation["parameters"] = in_path.chain(in_query).collect();
    operation["responses"] = json!({
        "200": {"description": "OK", "content": {"application/json": {"schema": schema}}},
        "401": {"description": "Unauthorized"},
    });
    match action {
        Action::Patch => {
            let content: Map<String, Value> = patch_types(kind)
                .into_iter()
                .map(|media_type| (media_type.to_owned(), json!({"schema": {"type": "object"}})))
                .collect();
            operation["requestBody"] = json!({"required": true, "content": content});
        }
        Action::Create | Action::Replace => {
            let body = json!({"schema": reference(&name(kind))});
            operation["requestBody"] =
                json!({"required": true, "content": {"application/json": body, "application/yaml": body}});
        }
        _ => {}
    }
    operation
}

fn operation_v2(kind: &Kind, path: &str, action: Action) -> Value {
    let mut operation = common(kind, path, action);
    let in_path = path_parameters(path).map(in_path_v2);
    let in_query = action.query().iter().map(
        |(name, type_, description)| json!({"name": name, "in": "query", "description": description, "type": type_}),
    );
    let body = match action {
        Action::Create | Action::Replace => Some(reference(&name(kind))),
        Action::Patch => Some(json!({"type": "object"})),
        _ => None,
    };
    let in_body = body.map(|schema| json!({"name": "body", "in": "body", "required": true, "schema": schema}));
    operation["parameters"] = in_path.chain(in_query).chain(in_body).collect();
    operation["responses"] = json!({
        "200": {"description": "OK", "schema": answered(kind, action)},
        "401": {"description": "Unauthorized"},
    });
    operation["produces"] = json!(["application/json"]);
    operation["consumes"] = match action {
        Action::Patch => json!(patch_types(kind)),
        _ => json!(["application/json", "application/yaml"]),
    };
    operation
}

/// What both versions say alike.
fn common(kind: &Kind, path: &str, action: Action) -> Value {
    let scope = if path.contains("{namespace}") { "Namespaced" } else { "" };
    let everywhere = if kind.namespaced && scope.is_empty() { "ForAllNamespaces" } else { "" };
    let part = if path.ends_with("/status") { "Status" } else { "" };
    let group: String = kind.group.split('.').map(capitalized).collect();
    let id = format!("{}{group}{}{scope}{}{part}{everywhere}", action.id(), capitalized(kind.version), kind.kind);
    json!({
        "operationId": id,
        "description": format!("{} objects of kind {}.", action.word(), kind.kind),
        "x-kubernetes-action": action.word(),
        "x-kubernetes-group-version-kind": group_version_kind(kind),
    })
}

fn capitalized(word: &str) -> String {
    let mut chars = word.chars();
    chars.next().map(|first| first.to_ascii_uppercase().to_string() + chars.as_str()).unwrap_or_default()
}

fn path_parameters(path: &str) -> impl Iterator<Item = (&'static str, &'static str)> {
    [("name", "Name of the object."), ("namespace", "Its namespace.")]
        .into_iter()
        .filter(|(name, _)| path.contains(&format!("{{{name}}}")))
        .collect::<Vec<_>>()
        .into_iter()
}

fn in_path((name, description): (&str, &str)) -> Value {
    json!({"name": name, "in": "path", "required": true, "description": description, "schema": {"type": "string"}})
}

fn in_path_v2((name, description): (&str, &str)) -> Value {
    json!({"name": name, "in": "path", "required": true, "description": description, "type": "string"})
}

/// The schema of the answer.
fn answered(kind: &Kind, action: Action) -> Value {
    match action {
        Action::List => reference(&format!("{}List", name(kind))),
        Action::Delete | Action::DeleteCollection => reference("io.k8s.apimachinery.pkg.apis.meta.v1.Status"),
        _ => reference(&name(kind)),
    }
}
