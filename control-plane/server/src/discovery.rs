//! Discovery: which groups, versions and resources there are, from the registry of kinds; a document at a time, or all
//! in one for clients that ask for that.

mod aggregated;

use std::collections::BTreeMap;

use axum::{
    Router,
    extract::Path,
    response::{IntoResponse, Response},
    routing::get,
};
use dropmate_api::registry::{Kind, REVIEWS, Review, kinds, review_of};
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
    if accept::prefers_aggregated_discovery(&headers) {
        return aggregated::CORE.answer(&headers, aggregated::MEDIA_TYPE);
    }
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let addresses = json!([{"clientCIDR": "0.0.0.0/0", "serverAddress": host}]);
    answer(&headers, &json!({"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": addresses}))
}

async fn groups(headers: HeaderMap) -> Response {
    if accept::prefers_aggregated_discovery(&headers) {
        return aggregated::GROUPS.answer(&headers, aggregated::MEDIA_TYPE);
    }
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
    let kinds = kinds().iter().filter(|kind| kind.group == group && kind.version == version).flat_map(api_resources);
    let resources: Vec<Value> = kinds.chain(reviews(group, version).filter_map(review_resource)).collect();
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
    let reviews = REVIEWS.iter().map(|review| (review.group, review.version));
    kinds().iter().map(|kind| (kind.group, kind.version)).chain(reviews).collect()
}

/// What may only be created there, and is not kept.
fn reviews(group: &str, version: &str) -> impl Iterator<Item = &'static Review> {
    REVIEWS.iter().filter(move |review| review.root() == (group, version))
}

fn review_resource(review: &'static Review) -> Option<Value> {
    Some(json!({
        "name": review.plural()?,
        "singularName": review.singular,
        "namespaced": false,
        "kind": review.kind,
        "verbs": CREATE,
    }))
}

/// What may be done with what is not kept.
const CREATE: &[&str] = &["create"];

fn api_group(group: &str, version: &str) -> Value {
    let version = json!({"groupVersion": format!("{group}/{version}"), "version": version});
    json!({"name": group, "versions": [version], "preferredVersion": version})
}

/// What may be done with the objects of a kind.
pub(crate) fn verbs(kind: &Kind) -> &'static [&'static str] {
    if kind.is_read_only() {
        return &["get", "list", "watch"];
    }
    // As in Kubernetes, namespaces are deleted one by one.
    if kind.group.is_empty() && kind.kind == "Namespace" {
        &["create", "delete", "get", "list", "patch", "update", "watch"]
    } else {
        &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]
    }
}

/// A kind and its subresources.
fn api_resources(kind: &'static Kind) -> Vec<Value> {
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
    let parts = subresources(kind).into_iter().map(|part| {
        let mut resource = json!({
            "name": format!("{}/{}", kind.plural, part.name),
            "singularName": "",
            "namespaced": kind.namespaced,
            "kind": part.kind,
            "verbs": part.verbs,
        });
        if let Some((group, version)) = part.group {
            resource["group"] = json!(group);
            resource["version"] = json!(version);
        }
        resource
    });
    std::iter::once(main).chain(parts).collect()
}

/// A part of an object with a path of its own.
struct Subresource {
    name: &'static str,
    kind: &'static str,
    /// Group and version of what goes in and out, where they are not those of the object.
    group: Option<(&'static str, &'static str)>,
    verbs: &'static [&'static str],
}

fn subresources(kind: &'static Kind) -> Vec<Subresource> {
    let status = kind.status_subresource.then_some(Subresource {
        name: "status",
        kind: kind.kind,
        group: None,
        verbs: if kind.is_read_only() { &["get"] } else { &["get", "patch", "update"] },
    });
    let others = kind.subresources.iter().map(|name| match (*name, review_of(kind.plural, name)) {
        (_, Some(review)) => {
            Subresource { name, kind: review.kind, group: Some((review.group, review.version)), verbs: CREATE }
        }
        ("binding", None) => Subresource { name, kind: "Binding", group: None, verbs: &["create", "delete"] },
        _ => Subresource { name, kind: "Report", group: None, verbs: CREATE },
    });
    status.into_iter().chain(others).collect()
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

    const NEW_CLIENT: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json;\
                              g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json";

    #[tokio::test]
    async fn a_client_that_asks_for_everything_in_one_document_gets_what_the_plain_ones_say() {
        for (path, groups) in [
            ("/api", vec![""]),
            (
                "/apis/",
                vec![
                    "apiextensions.k8s.io",
                    "authentication.k8s.io",
                    "coordination.k8s.io",
                    "dropmate.dev",
                    "events.k8s.io",
                ],
            ),
        ] {
            let (_, list) = get(path, Some(NEW_CLIENT)).await;
            assert_eq!(
                (&list["kind"], &list["apiVersion"]),
                (&json!("APIGroupDiscoveryList"), &json!("apidiscovery.k8s.io/v2"))
            );
            let items = list["items"].as_array().unwrap();
            let names: Vec<_> = items.iter().map(|item| item["metadata"]["name"].as_str().unwrap_or("")).collect();
            assert_eq!(names, groups);
            for item in items {
                let version = &item["versions"][0];
                let (root, name) = match item["metadata"]["name"].as_str() {
                    None => ("/api".to_owned(), ""),
                    Some(name) => (format!("/apis/{name}"), name),
                };
                let (_, plain) = get(&format!("{root}/{}", version["version"].as_str().unwrap()), None).await;
                let mut flat = Vec::new();
                for resource in version["resources"].as_array().unwrap() {
                    assert_eq!(resource["responseKind"]["group"], name);
                    flat.push((resource["resource"].clone(), resource["verbs"].clone()));
                    for part in resource["subresources"].as_array().into_iter().flatten() {
                        let name = format!(
                            "{}/{}",
                            resource["resource"].as_str().unwrap(),
                            part["subresource"].as_str().unwrap()
                        );
                        if name == "serviceaccounts/token" {
                            assert_eq!(part["responseKind"]["group"], "authentication.k8s.io");
                        }
                        flat.push((json!(name), part["verbs"].clone()));
                    }
                }
                let plain: Vec<_> = plain["resources"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|r| (r["name"].clone(), r["verbs"].clone()))
                    .collect();
                assert_eq!(flat, plain);
            }
        }
    }

    #[tokio::test]
    async fn the_form_is_told_with_its_parameters_and_a_client_that_has_it_is_told_so() {
        let ask = |etag: Option<String>| async move {
            let mut request = Request::get("/apis").header("accept", NEW_CLIENT);
            if let Some(etag) = etag {
                request = request.header("if-none-match", etag);
            }
            routes::<()>().oneshot(request.body(Body::empty()).unwrap()).await.unwrap()
        };
        let first = ask(None).await;
        let header = |name: &str| first.headers()[name].to_str().unwrap().to_owned();
        assert_eq!(header("content-type"), "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList");
        assert_eq!(header("vary"), "Accept");
        assert_eq!(ask(Some(header("etag"))).await.status(), StatusCode::NOT_MODIFIED);
    }

    #[tokio::test]
    async fn a_version_of_the_form_that_nobody_knows_yields_to_the_plain_one() {
        let accept = "application/json;g=apidiscovery.k8s.io;v=v3;as=APIGroupDiscoveryList,application/json";
        assert_eq!(get("/apis", Some(accept)).await.1["kind"], "APIGroupList");
        let only = "application/json;g=apidiscovery.k8s.io;v=v3;as=APIGroupDiscoveryList";
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
