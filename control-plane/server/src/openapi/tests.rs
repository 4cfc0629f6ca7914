use std::collections::BTreeSet;

use axum::body::Body;
use http::Request;
use http_body_util::BodyExt;
use tower::ServiceExt;

use super::*;

async fn get(path: &str, headers: &[(&str, &str)]) -> (StatusCode, HeaderMap, Value) {
    let mut request = Request::get(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = routes::<()>().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (parts.status, parts.headers, serde_json::from_slice(&body).unwrap_or_default())
}

async fn url(root: &str) -> String {
    let (_, _, index) = get("/openapi/v3", &[]).await;
    index["paths"][root]["serverRelativeURL"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn the_index_leads_to_documents_that_may_be_kept_for_ever() {
    let (status, headers, document) = get(&url("apis/dropmate.dev/v1").await, &[]).await;
    assert_eq!(status, StatusCode::OK);
    assert!(headers["cache-control"].to_str().unwrap().contains("immutable"));
    assert_eq!(document["openapi"], "3.0.0");
    assert_eq!(get("/openapi/v3/apis/nobody/v1", &[]).await.0, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_document_that_is_known_is_not_sent_again() {
    for path in ["/openapi/v3", "/openapi/v2", "/openapi/v3/api/v1"] {
        let (_, headers, _) = get(path, &[]).await;
        let etag = headers["etag"].to_str().unwrap().to_owned();
        assert_eq!(get(path, &[("if-none-match", &etag)]).await.0, StatusCode::NOT_MODIFIED, "{path}");
        assert_eq!(get(path, &[("if-none-match", "\"other\"")]).await.0, StatusCode::OK, "{path}");
    }
}

#[tokio::test]
async fn an_old_address_leads_to_the_new_document() {
    let (status, headers, _) = get("/openapi/v3/api/v1?hash=OLD", &[]).await;
    assert_eq!(status, StatusCode::MOVED_PERMANENTLY);
    assert_eq!(headers["location"].to_str().unwrap(), url("api/v1").await);
}

#[tokio::test]
async fn a_form_that_is_not_served_is_refused() {
    for accept in ["application/yaml", "text/html"] {
        assert_eq!(get("/openapi/v2", &[("accept", accept)]).await.0, StatusCode::NOT_ACCEPTABLE, "{accept}");
    }
}

async fn v2_as(accept: &str) -> (HeaderMap, Vec<u8>) {
    let request = Request::get("/openapi/v2").header("accept", accept).body(Body::empty()).unwrap();
    let (parts, body) = routes::<()>().oneshot(request).await.unwrap().into_parts();
    (parts.headers, body.collect().await.unwrap().to_bytes().to_vec())
}

#[tokio::test]
async fn older_clients_get_the_document_in_protobuf_under_the_same_hash() {
    let (json, _) = v2_as("application/json").await;
    for name in PROTOBUF_NAMES {
        let (headers, body) = v2_as(&format!("{name}, application/json")).await;
        assert_eq!(headers["content-type"], PROTOBUF_NAMES[1]);
        assert_eq!(headers["etag"], json["etag"]);
        let read = <protobuf::Document as prost::Message>::decode(body.as_slice()).unwrap();
        assert_eq!(read.swagger, "2.0");
        let definitions = read.definitions.unwrap().named;
        let order = definitions.into_iter().find(|held| held.name == "dev.dropmate.v1.Order").unwrap().value.unwrap();
        let spec = order.properties.unwrap().named.into_iter().find(|held| held.name == "spec").unwrap();
        assert!(!spec.value.unwrap().description.is_empty());
        let kind = order.extensions.into_iter().find(|held| held.name == "x-kubernetes-group-version-kind").unwrap();
        let kind: Value = serde_yaml::from_str(&kind.value.unwrap().yaml).unwrap();
        assert_eq!(kind, json!([{"group": "dropmate.dev", "version": "v1", "kind": "Order"}]));
    }
    assert_eq!(v2_as(&format!("application/json, {}", PROTOBUF_NAMES[0])).await.0["content-type"], "application/json");
}

/// What kubectl looks for before it leaves validation to the server.
#[tokio::test]
async fn every_kind_takes_field_validation_when_patched() {
    for kind in kinds().iter().filter(|kind| !kind.is_read_only()) {
        let (_, _, document) = get(&url(&root(kind.group, kind.version)).await, &[]).await;
        let patches = document["paths"].as_object().unwrap().values().map(|path| &path["patch"]);
        let ours = patches
            .filter(|patch| patch["x-kubernetes-group-version-kind"] == schemas::group_version_kind(kind))
            .collect::<Vec<_>>();
        assert!(!ours.is_empty(), "{}", kind.kind);
        for patch in ours {
            let content = &patch["requestBody"]["content"];
            assert!(content.get("application/apply-patch+yaml").is_some(), "{} {content}", kind.kind);
            let names: Vec<&Value> = patch["parameters"].as_array().unwrap().iter().map(|p| &p["name"]).collect();
            for wanted in ["fieldValidation", "dryRun", "fieldManager", "force"] {
                assert!(names.iter().any(|name| *name == wanted), "{} {wanted}", kind.kind);
            }
        }
    }
}

fn references<'a>(value: &'a Value, found: &mut BTreeSet<&'a str>) {
    match value {
        Value::Object(fields) => {
            found.extend(fields.get("$ref").and_then(Value::as_str));
            fields.values().for_each(|value| references(value, found));
        }
        Value::Array(items) => items.iter().for_each(|value| references(value, found)),
        _ => {}
    }
}

#[test]
fn every_reference_leads_somewhere_and_operations_have_names_of_their_own() {
    let mut documents = vec![v2_document()];
    documents.extend(group_versions().into_iter().map(|(group, version)| v3_document(group, version)));
    for document in &documents {
        let mut found = BTreeSet::new();
        references(document, &mut found);
        assert!(!found.is_empty());
        for reference in found {
            let pointer = reference.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{reference}");
        }
        let mut ids = BTreeSet::new();
        for path in document["paths"].as_object().unwrap().values() {
            for operation in path.as_object().unwrap().values() {
                assert!(ids.insert(operation["operationId"].as_str().unwrap()), "{}", operation["operationId"]);
            }
        }
    }
}

#[test]
fn schemas_are_named_as_kubernetes_names_them() {
    let names: Vec<String> = kinds().iter().map(schemas::name).collect();
    for name in [
        "io.k8s.api.core.v1.Namespace",
        "io.k8s.api.coordination.v1.Lease",
        "io.k8s.api.events.v1.Event",
        "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinition",
        "dev.dropmate.v1.Order",
        "io.k8s.api.core.v1.ServiceAccount",
    ] {
        assert!(names.iter().any(|held| held == name), "{name} in {names:?}");
    }
}
