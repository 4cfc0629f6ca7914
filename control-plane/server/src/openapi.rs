//! The documents that describe the API: `/openapi/v3`, one document a group, and `/openapi/v2`, all in one. Made from
//! the registry once, on first use.
//!
//! kubectl reads them to explain fields, and to learn whether it may leave the validation of fields to the server.

mod paths;
mod protobuf;
mod schemas;

use std::{collections::BTreeMap, sync::LazyLock};

use axum::{
    Router,
    extract::{Path, RawQuery},
    response::{IntoResponse, Response},
    routing::get,
};
use dropmate_api::registry::{Kind, REVIEWS, Review, kinds};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::{Map, Value, json};

use crate::{
    accept::{self, Representation},
    discovery::group_versions,
    document::Document,
    error::ApiError,
};

/// A document asked for by its hash never changes: a year is for ever.
const IMMUTABLE: &str = "public, immutable, max-age=31536000";

/// The routes of the documents.
pub(crate) fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new()
        .route("/openapi/v2", get(v2))
        .route("/openapi/v3", get(index))
        .route("/openapi/v3/", get(index))
        .route("/openapi/v3/api/{version}", get(core_document))
        .route("/openapi/v3/apis/{group}/{version}", get(group_document))
}

/// The documents of `/openapi/v3` by their path: `apis/dropmate.dev/v1`.
static DOCUMENTS: LazyLock<BTreeMap<String, Document>> = LazyLock::new(|| {
    group_versions()
        .into_iter()
        .map(|(group, version)| (root(group, version), Document::new(&v3_document(group, version))))
        .collect()
});

static INDEX: LazyLock<Document> = LazyLock::new(|| {
    let paths: Map<String, Value> = DOCUMENTS
        .iter()
        .map(|(root, document)| {
            let url = format!("/openapi/v3/{root}?hash={}", document.hash);
            (root.clone(), json!({"serverRelativeURL": url}))
        })
        .collect();
    Document::new(&json!({"paths": paths}))
});

static V2: LazyLock<Document> = LazyLock::new(|| Document::new(&v2_document()));

/// The same in protobuf, under the same hash.
static V2_PROTOBUF: LazyLock<Document> = LazyLock::new(|| V2.encoded(protobuf::encode(&v2_document())));

/// What that is called, by old clients and new.
const PROTOBUF_NAMES: [&str; 2] = [
    "application/com.github.proto-openapi.spec.v2@v1.0+protobuf",
    "application/com.github.proto-openapi.spec.v2.v1.0+protobuf",
];

async fn index(headers: HeaderMap) -> Response {
    answer(&INDEX, &headers)
}

async fn v2(headers: HeaderMap) -> Response {
    if accept::prefers_one_of(&headers, &PROTOBUF_NAMES) {
        return V2_PROTOBUF.answer(&headers, PROTOBUF_NAMES[1]);
    }
    answer(&V2, &headers)
}

async fn core_document(Path(version): Path<String>, RawQuery(query): RawQuery, headers: HeaderMap) -> Response {
    document(&root("", &version), query.as_deref(), &headers)
}

async fn group_document(
    Path((group, version)): Path<(String, String)>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    document(&root(&group, &version), query.as_deref(), &headers)
}

fn document(root: &str, query: Option<&str>, headers: &HeaderMap) -> Response {
    let Some(document) = DOCUMENTS.get(root) else { return ApiError::no_such_path().into_response() };
    let asked = query.unwrap_or_default().split('&').find_map(|pair| pair.strip_prefix("hash="));
    match asked {
        Some(hash) if hash == document.hash => {
            let mut response = answer(document, headers);
            response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static(IMMUTABLE));
            response
        }
        // The document has changed since the caller read the index: the new one is at its new address.
        Some(_) => {
            let url = format!("/openapi/v3/{root}?hash={}", document.hash);
            (StatusCode::MOVED_PERMANENTLY, [(header::LOCATION, url)]).into_response()
        }
        None => answer(document, headers),
    }
}

fn answer(document: &Document, headers: &HeaderMap) -> Response {
    match accept::negotiate(headers, &[Representation::Json]) {
        Ok(_) => document.answer(headers, "application/json"),
        Err(_) => ApiError::not_acceptable(&["application/json"]).into_response(),
    }
}

/// `api/v1`, `apis/dropmate.dev/v1`.
fn root(group: &str, version: &str) -> String {
    if group.is_empty() { format!("api/{version}") } else { format!("apis/{group}/{version}") }
}

fn served(group: &str, version: &str) -> Vec<&'static Kind> {
    kinds().iter().filter(|kind| kind.group == group && kind.version == version).collect()
}

fn v3_document(group: &str, version: &str) -> Value {
    let kinds = served(group, version);
    let reviews: Vec<&Review> = REVIEWS.iter().filter(|review| review.root() == (group, version)).collect();
    json!({
        "openapi": "3.0.0",
        "info": {"title": "DropMate", "version": env!("CARGO_PKG_VERSION")},
        "paths": paths::of(&kinds, &reviews),
        "components": {"schemas": schemas::of(&kinds, &reviews)},
    })
}

/// The older form, for clients that know no other: all groups in one document.
fn v2_document() -> Value {
    let kinds: Vec<&Kind> = kinds().iter().collect();
    let reviews: Vec<&Review> = REVIEWS.iter().collect();
    let mut document = json!({
        "swagger": "2.0",
        "info": {"title": "DropMate", "version": env!("CARGO_PKG_VERSION")},
        "paths": paths::of_v2(&kinds, &reviews),
        "definitions": schemas::of(&kinds, &reviews),
    });
    point_into_definitions(&mut document);
    document
}

fn point_into_definitions(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            // In this version a reference may stand beside a description by itself.
            if let Some(Value::Array(parts)) = fields.get("allOf")
                && let [part] = parts.as_slice()
                && let Some(target) = part.get("$ref").cloned()
            {
                fields.remove("allOf");
                fields.insert("$ref".to_owned(), target);
            }
            if let Some(Value::String(target)) = fields.get_mut("$ref") {
                *target = target.replace("#/components/schemas/", "#/definitions/");
            }
            fields.values_mut().for_each(point_into_definitions);
        }
        Value::Array(items) => items.iter_mut().for_each(point_into_definitions),
        _ => {}
    }
}

#[cfg(test)]
mod tests;
