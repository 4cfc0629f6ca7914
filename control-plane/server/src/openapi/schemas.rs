//! The schemas of the documents.

use dropmate_api::registry::{Kind, Review, shared_schemas};
use serde_json::{Map, Value, json};

/// The schema of what every object is called and labelled.
const OBJECT_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";
const LIST_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta";
const DELETE_OPTIONS: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions";

/// The schemas of these kinds, of their lists and of what they refer to.
pub(super) fn of(kinds: &[&Kind], reviews: &[&Review]) -> Map<String, Value> {
    let mut schemas: Map<String, Value> =
        shared_schemas().into_iter().map(|(name, schema)| (name.to_owned(), schema)).collect();
    if let Some(options) = schemas.get_mut(DELETE_OPTIONS) {
        let groups: Vec<Value> = kinds
            .iter()
            .map(|kind| json!({"group": kind.group, "version": kind.version, "kind": "DeleteOptions"}))
            .collect();
        options["x-kubernetes-group-version-kind"] = groups.into();
    }
    for kind in kinds {
        schemas.insert(name(kind), object(kind));
        schemas.insert(format!("{}List", name(kind)), list(kind));
    }
    for review in reviews {
        let mut schema = (review.schema)();
        schema["properties"]["metadata"] = described_reference(OBJECT_META, "Standard object's metadata.");
        schema["x-kubernetes-group-version-kind"] = json!([review_group_version_kind(review)]);
        schemas.insert(review_name(review), schema);
    }
    schemas
}

/// `dev.dropmate.v1.Order`, `io.k8s.api.core.v1.Namespace`.
pub(super) fn name(kind: &Kind) -> String {
    published(kind.group, kind.version, kind.kind)
}

/// `io.k8s.api.authentication.v1.TokenReview`.
pub(super) fn review_name(review: &Review) -> String {
    published(review.group, review.version, review.kind)
}

fn published(group: &str, version: &str, kind: &str) -> String {
    let package = match group {
        "" => "io.k8s.api.core".to_owned(),
        "apiextensions.k8s.io" => "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions".to_owned(),
        group => match group.strip_suffix(".k8s.io") {
            Some(short) => format!("io.k8s.api.{short}"),
            None => group.rsplit('.').collect::<Vec<_>>().join("."),
        },
    };
    format!("{package}.{version}.{kind}")
}

/// A reference to a schema.
pub(super) fn reference(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

/// What the extension says of a kind.
pub(super) fn group_version_kind(kind: &Kind) -> Value {
    json!({"group": kind.group, "version": kind.version, "kind": kind.kind})
}

/// The same of a review.
pub(super) fn review_group_version_kind(review: &Review) -> Value {
    json!({"group": review.group, "version": review.version, "kind": review.kind})
}

fn object(kind: &Kind) -> Value {
    let mut schema = (kind.schema)().json().clone();
    schema["properties"]["metadata"] = described_reference(OBJECT_META, "Standard object's metadata.");
    schema["x-kubernetes-group-version-kind"] = json!([group_version_kind(kind)]);
    schema
}

fn list(kind: &Kind) -> Value {
    let text = |description: &str| json!({"type": "string", "description": description});
    json!({
        "type": "object",
        "description": format!("{} is a list of {}.", kind.list_kind(), kind.kind),
        "required": ["items"],
        "properties": {
            "apiVersion": text("APIVersion defines the versioned schema of this representation of an object."),
            "kind": text("Kind is a string value representing the REST resource this object represents."),
            "metadata": described_reference(LIST_META, "Standard list metadata."),
            "items": {"type": "array", "description": "The objects.", "items": reference(&name(kind))},
        },
        "x-kubernetes-group-version-kind": [
            {"group": kind.group, "version": kind.version, "kind": kind.list_kind()}
        ],
    })
}

/// A reference beside which a description may stand.
fn described_reference(name: &str, description: &str) -> Value {
    json!({"allOf": [reference(name)], "description": description})
}
