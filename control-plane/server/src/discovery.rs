//! Discovery: which groups, versions and resources there are, from the registry of kinds.
//!
//! Plain discovery only. A client that would like the aggregated form is offered the plain one as well, and takes it.

use std::collections::BTreeMap;

use axum::{
    Router,
    extract::Path,
    response::{IntoResponse, Response},
    routing::get,
};
use dropmate_api::registry::{Kind, kinds};
use http::{HeaderMap, HeaderValue, header};
use serde_json::{Value, json};

use crate::{
    accept::{self, Representation},
    error::ApiError,
};

/// The version of Kubernetes whose API this is; clients choose what they ask by it.
const KUBERNETES_MAJOR: &str = "1";
const KUBERNETES_MINOR: &str = "36";

/// The routes of discovery, each with and without a slash at the end.
pub(crate) fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new()
        .route("/version", get(version))
        .route("/version/", get(version))
        .route("/api", get(core_versions))
        .route("/api/", get(core_versions))
        .route("/apis", get(groups))
        .route("/apis/", get(groups))
        .route("/apis/{group}", get(group))
        .route("/apis/{group}/", get(group))
        .route("/api/v1", get(core_resources))
        .route("/api/v1/", get(core_resources))
        .route("/apis/{group}/{version}", get(group_resources))
        .route("/apis/{group}/{version}/", get(group_resources))
}

async fn version(headers: HeaderMap) -> Response {
    answer(
        &headers,
        &json!({
            "major": KUBERNETES_MAJOR,
            "minor": KUBERNETES_MINOR,
            "gitVersion": git_version(),
            "gitCommit": "",
            "gitTreeState": "clean",
            "buildDate": "1970-01-01T00:00:00Z",
            "goVersion": "",
            "compiler": "rustc",
            "platform": format!("{}/{}", std::env::consts::OS, std::env::consts::ARCH),
        }),
    )
}

/// A version of Kubernetes as clients parse it, with ours behind it.
fn git_version() -> String {
    format!("v{KUBERNETES_MAJOR}.{KUBERNETES_MINOR}.0+dropmate-{}", env!("CARGO_PKG_VERSION"))
}

async fn core_versions(headers: HeaderMap) -> Response {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let addresses = json!([{"clientCIDR": "0.0.0.0/0", "serverAddress": host}]);
    answer(&headers, &json!({"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": addresses}))
}

async fn groups(headers: HeaderMap) -> Response {
    let groups: Vec<Value> = group_versions()
        .into_iter()
        .filter(|(group, _)| !group.is_empty())
        .map(|(group, version)| api_group(group, version))
        .collect();
    answer(&headers, &json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}))
}

async fn group(Path(name): Path<String>, headers: HeaderMap) -> Response {
    let Some((group, version)) = group_versions().into_iter().find(|(group, _)| *group == name && !group.is_empty())
    else {
        return ApiError::no_such_path().into_response();
    };
    let mut body = api_group(group, version);
    body["kind"] = json!("APIGroup");
    body["apiVersion"] = json!("v1");
    answer(&headers, &body)
}

async fn core_resources(headers: HeaderMap) -> Response {
    resources("", "v1", &headers)
}

async fn group_resources(Path((group, version)): Path<(String, String)>, headers: HeaderMap) -> Response {
    resources(&group, &version, &headers)
}

fn resources(group: &str, version: &str, headers: &HeaderMap) -> Response {
    let resources: Vec<Value> =
        kinds().iter().filter(|kind| kind.group == group && kind.version == version).flat_map(api_resources).collect();
    if resources.is_empty() {
        return ApiError::no_such_path().into_response();
    }
    let group_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    answer(
        headers,
        &json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": resources}),
    )
}

/// Every group with its one served version, in the order of their names.
pub(crate) fn group_versions() -> BTreeMap<&'static str, &'static str> {
    kinds().iter().map(|kind| (kind.group, kind.version)).collect()
}

fn api_group(group: &str, version: &str) -> Value {
    let version = json!({"groupVersion": format!("{group}/{version}"), "version": version});
    json!({"name": group, "versions": [version], "preferredVersion": version})
}

/// What may be done with the objects of a kind.
pub(crate) fn verbs(kind: &Kind) -> &'static [&'static str] {
    // As in Kubernetes, namespaces are deleted one by one.
    if kind.group.is_empty() && kind.kind == "Namespace" {
        &["create", "delete", "get", "list", "patch", "update", "watch"]
    } else {
        &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]
    }
}

/// A kind and its subresources.
fn api_resources(kind: &Kind) -> Vec<Value> {
    let mut main = json!({
        "name": kind.plural,
        "singularName": kind.singular,
        "namespaced": kind.namespaced,
        "kind": kind.kind,
        "verbs": verbs(kind),
    });
    if !kind.short_names.is_empty() {
        main["shortNames"] = json!(kind.short_names);
    }
    if !kind.categories.is_empty() {
        main["categories"] = json!(kind.categories);
    }
    let mut all = vec![main];
    let subresource = |name: &str, sub_kind: &str, verbs: &[&str]| {
        json!({
            "name": format!("{}/{name}", kind.plural),
            "singularName": "",
            "namespaced": kind.namespaced,
            "kind": sub_kind,
            "verbs": verbs,
        })
    };
    if kind.status_subresource {
        all.push(subresource("status", kind.kind, &["get", "patch", "update"]));
    }
    for name in kind.subresources {
        all.push(match *name {
            "binding" => subresource(name, "Binding", &["create", "delete"]),
            _ => subresource(name, "Report", &["create"]),
        });
    }
    all
}

fn answer(headers: &HeaderMap, body: &Value) -> Response {
    if let Err(refused) = accept::negotiate(headers, &[Representation::Json]) {
        return refused.into_response();
    }
    let mut response = body.to_string().into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("Accept"));
    response
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use http::{Request, StatusCode};
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    use super::*;

    async fn get(path: &str, accept: Option<&str>) -> (StatusCode, Value) {
        let mut request = Request::get(path);
        if let Some(accept) = accept {
            request = request.header("accept", accept);
        }
        let request = request.body(Body::empty()).unwrap();
        let response = routes::<()>().oneshot(request).await.unwrap();
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&body).unwrap_or_default())
    }

    #[tokio::test]
    async fn every_document_is_there_with_and_without_a_slash() {
        for path in ["/version", "/api", "/apis", "/api/v1", "/apis/dropmate.dev", "/apis/dropmate.dev/v1"] {
            let (status, plain) = get(path, None).await;
            assert_eq!(status, StatusCode::OK, "{path}");
            assert_eq!(get(&format!("{path}/"), Some("*/*")).await, (StatusCode::OK, plain), "{path}/");
        }
        assert_eq!(get("/apis/dropmate.dev/v2", None).await.0, StatusCode::NOT_FOUND);
        assert_eq!(get("/apis/nobody", None).await.0, StatusCode::NOT_FOUND);
    }

    #[tokio::test]
    async fn a_client_that_asks_for_the_aggregated_form_gets_the_plain_one() {
        let accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json;\
                      g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json";
        assert_eq!(get("/apis", Some(accept)).await.1["kind"], "APIGroupList");
        let only = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
        assert_eq!(get("/apis", Some(only)).await.0, StatusCode::NOT_ACCEPTABLE);
    }

    #[tokio::test]
    async fn orders_are_found_by_short_name_with_their_subresources() {
        let (_, list) = get("/apis/dropmate.dev/v1", None).await;
        let named = |name: &str| list["resources"].as_array().unwrap().iter().find(|r| r["name"] == name).unwrap();
        assert_eq!(named("orders")["shortNames"], json!(["ord"]));
        assert_eq!(named("orders")["categories"], json!(["dropmate", "all"]));
        assert_eq!(named("orders")["verbs"].as_array().unwrap().len(), 8);
        assert_eq!(named("orders/status")["singularName"], "");
        assert_eq!(named("orders/binding")["verbs"], json!(["create", "delete"]));
        assert_eq!(named("orders/progress")["verbs"], json!(["create"]));
    }
}
