//! What the server refuses, and in which words.

use axum::body::Body;
use http::{Method, Request};
use rstest::rstest;
use serde_json::{Value, json};

use crate::client::{Api, LEASES, ORDERS, namespace, order, text};

fn at(name: &str) -> String {
    format!("{ORDERS}/{name}")
}

#[tokio::test]
async fn a_missing_object_and_a_missing_namespace_are_not_found() {
    let api = Api::start().await;
    let missing = api.get(&at("o1")).await;
    assert_eq!(missing.refusal(), (404, "NotFound", "orders.dropmate.dev \"o1\" not found"));
    assert_eq!(missing.body["details"], json!({"name": "o1", "group": "dropmate.dev", "kind": "orders"}));
    let elsewhere = "/apis/dropmate.dev/v1/namespaces/nowhere/orders";
    let refused = api.post(elsewhere, &order("o1")).await;
    assert_eq!(refused.refusal(), (404, "NotFound", "namespaces \"nowhere\" not found"));
    assert_eq!(api.get(elsewhere).await.ok()["items"], json!([]));
    assert_eq!(api.put(&at("o1"), &order("o1")).await.code, 404);
}

#[tokio::test]
async fn a_name_that_is_taken_is_already_there() {
    let api = Api::start().await;
    api.post(ORDERS, &order("o1")).await.ok();
    let taken = api.post(ORDERS, &order("o1")).await;
    assert_eq!(taken.refusal(), (409, "AlreadyExists", "orders.dropmate.dev \"o1\" already exists"));
}

#[tokio::test]
async fn versions_and_uids_are_preconditions() {
    let api = Api::start().await;
    let created = api.post(ORDERS, &order("o1")).await.ok();
    api.merge(&at("o1"), &json!({"spec": {"priority": 1}})).await.ok();

    let stale = api.put(&at("o1"), &created).await;
    assert_eq!(
        stale.refusal(),
        (
            409,
            "Conflict",
            "Operation cannot be fulfilled on orders.dropmate.dev \"o1\": the object has been modified; please apply your changes to the latest version and try again"
        )
    );
    let stale =
        api.merge(&at("o1"), &json!({"metadata": {"resourceVersion": created["metadata"]["resourceVersion"]}})).await;
    assert_eq!(stale.refusal().1, "Conflict");

    let blind = api.put(&at("o1"), &order("o1")).await;
    assert_eq!(blind.refusal().0, 422);
    assert!(blind.refusal().2.ends_with("metadata.resourceVersion: Invalid value: 0: must be specified for an update"));

    let mut other = api.get(&at("o1")).await.ok();
    other["metadata"]["uid"] = json!("00000000-0000-4000-8000-000000000000");
    assert_eq!(api.put(&at("o1"), &other).await.refusal().0, 409);
    assert_eq!(api.merge(&at("o1"), &json!({"metadata": {"uid": "x"}})).await.refusal().0, 422);

    let mut versioned = order("o2");
    versioned["metadata"]["resourceVersion"] = json!("1");
    let refused = api.post(ORDERS, &versioned).await;
    assert_eq!(refused.refusal(), (400, "BadRequest", "resourceVersion should not be set on objects to be created"));

    let by_uid = api.delete(&at("o1"), &json!({"preconditions": {"uid": "x"}})).await;
    assert!(by_uid.refusal().2.contains("the UID in the precondition (x) does not match the UID in record ("));
    let by_version = api.delete(&at("o1"), &json!({"preconditions": {"resourceVersion": "1"}})).await;
    assert_eq!(by_version.refusal().0, 409);
    assert!(by_version.refusal().2.contains("the ResourceVersion in the precondition (1) does not match"));
}

#[rstest]
#[case(json!({"kind": "Driver"}), 422, "Order.dropmate.dev \"o1\" is invalid: kind: Invalid value: \"Driver\": must be Order")]
#[case(json!({"apiVersion": "dropmate.dev/v9"}), 400, "the API version in the data (dropmate.dev/v9) does not match the expected API version (dropmate.dev/v1)")]
#[case(json!({"metadata": {"name": "o1", "namespace": "other"}}), 400, "the namespace of the provided object does not match the namespace sent on the request")]
#[tokio::test]
async fn a_body_that_is_not_what_the_path_says_is_refused(
    #[case] change: Value,
    #[case] code: u16,
    #[case] message: &str,
) {
    let api = Api::start().await;
    let mut wanted = order("o1");
    for (key, value) in change.as_object().unwrap() {
        wanted[key] = value.clone();
    }
    let refused = api.post(ORDERS, &wanted).await;
    assert_eq!((refused.refusal().0, refused.refusal().2), (code, message));
}

#[tokio::test]
async fn everything_wrong_with_an_object_is_said_at_once() {
    let api = Api::start().await;
    let mut wanted = order("o1");
    wanted["spec"]["dropoff"]["location"]["latitude"] = json!(91);
    wanted["spec"]["priority"] = json!("high");
    wanted["spec"]["dropoff"]["window"] = json!({"earliest": "2026-11-23T12:00:00Z", "latest": "2026-11-23T11:00:00Z"});
    let refused = api.post(ORDERS, &wanted).await;
    assert_eq!(refused.refusal().0, 422);
    assert!(refused.refusal().2.starts_with("Order.dropmate.dev \"o1\" is invalid: ["), "{}", refused.refusal().2);
    assert_eq!(refused.body["details"]["kind"], "Order");
    let fields: Vec<&str> =
        refused.body["details"]["causes"].as_array().unwrap().iter().map(|c| text(&c["field"])).collect();
    for field in ["spec.dropoff.location.latitude", "spec.priority", "spec.dropoff.window.latest"] {
        assert!(fields.contains(&field), "{field} in {fields:?}");
    }
}

#[rstest]
#[case("metadata.name", json!({"name": "Not_A_Name"}))]
#[case("metadata.labels", json!({"name": "o1", "labels": {"a b": "c"}}))]
#[case("metadata.labels", json!({"name": "o1", "labels": {"a": "c d"}}))]
#[case("metadata.finalizers", json!({"name": "o1", "finalizers": ["not plain"]}))]
#[case("metadata.name", json!({"name": "x".repeat(254)}))]
#[tokio::test]
async fn metadata_follows_the_rules_of_kubernetes(#[case] field: &str, #[case] metadata: Value) {
    let api = Api::start().await;
    let mut wanted = order("o1");
    wanted["metadata"] = metadata;
    let refused = api.post(ORDERS, &wanted).await;
    assert_eq!(refused.refusal().0, 422, "{}", refused.body);
    assert_eq!(text(&refused.body["details"]["causes"][0]["field"]), field, "{}", refused.body);
}

#[tokio::test]
async fn unknown_and_duplicate_fields_are_warned_of_refused_or_dropped() {
    let api = Api::start().await;
    let body = order("o1").to_string().replace("\"priority\"", "\"p\"");
    let body = body.replacen("\"spec\":{", "\"spec\":{\"bogus\":1,\"hold\":false,\"hold\":true,", 1);
    let send = |validation: &str| {
        let path = format!("{ORDERS}?dryRun=All&fieldValidation={validation}");
        let (api, body) = (api.clone(), body.clone());
        async move { api.send(Method::POST, &path, "application/json", body).await }
    };
    let warned = send("Warn").await;
    assert_eq!(warned.code, 201);
    assert_eq!(warned.body["spec"]["hold"], true);
    assert_eq!(warned.body["spec"]["bogus"], Value::Null);
    let warnings: Vec<&str> = warned.headers.get_all("warning").iter().map(|v| v.to_str().unwrap()).collect();
    assert_eq!(warnings, ["299 - \"duplicate field \\\"spec.hold\\\"\"", "299 - \"unknown field \\\"spec.bogus\\\"\""]);
    let strict = send("Strict").await;
    assert_eq!(
        strict.refusal(),
        (
            400,
            "BadRequest",
            "Order in version \"v1\" cannot be handled as a Order: strict decoding error: duplicate field \"spec.hold\", unknown field \"spec.bogus\""
        )
    );
    let ignored = send("Ignore").await;
    assert_eq!(ignored.code, 201);
    assert!(ignored.headers.get("warning").is_none());
    assert_eq!(send("Loud").await.refusal().0, 422);
}

#[tokio::test]
async fn patches_in_forms_that_are_not_taken_name_those_that_are() {
    let api = Api::start().await;
    api.post(ORDERS, &order("o1")).await.ok();
    let refused = api.send(Method::PATCH, &at("o1"), "application/strategic-merge-patch+json", "{}").await;
    assert_eq!(
        refused.refusal(),
        (
            415,
            "UnsupportedMediaType",
            "the body of the request was in an unknown format - accepted media types include: application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml"
        )
    );
    api.post("/api/v1/namespaces", &namespace("acme")).await.ok();
    let strategic = json!({"metadata": {"labels": {"team": "a"}}}).to_string();
    let path = "/api/v1/namespaces/acme";
    let patched = api.send(Method::PATCH, path, "application/strategic-merge-patch+json", strategic).await.ok();
    assert_eq!(patched["metadata"]["labels"]["team"], "a");
    assert_eq!(patched["metadata"]["labels"]["kubernetes.io/metadata.name"], "acme");
}

#[tokio::test]
async fn a_failed_test_of_a_json_patch_is_invalid() {
    let api = Api::start().await;
    api.post(ORDERS, &order("o1")).await.ok();
    let refused = api.json_patch(&at("o1"), &json!([{"op": "test", "path": "/spec/priority", "value": 3}])).await;
    assert_eq!(refused.refusal(), (422, "Invalid", "the server rejected our request due to an error in our request"));
    let broken = api.json_patch(&at("o1"), &json!({"op": "test"})).await;
    assert_eq!(broken.refusal().0, 400);
}

#[tokio::test]
async fn a_body_of_more_than_three_mebibytes_is_too_large() {
    let api = Api::start().await;
    let mut wanted = order("o1");
    wanted["spec"]["dropoff"]["instructions"] = json!("x".repeat(3 * 1024 * 1024));
    let refused = api.post(ORDERS, &wanted).await;
    assert_eq!(refused.refusal(), (413, "RequestEntityTooLarge", "Request entity too large: limit is 3145728"));
}

#[rstest]
#[case(Method::GET, "/apis/dropmate.dev/v1/namespaces/default/rockets", 404)]
#[case(Method::GET, "/apis/rockets.dev/v1/namespaces/default/orders", 404)]
#[case(Method::GET, "/apis/dropmate.dev/v1/orders/o1", 404)]
#[case(Method::POST, "/apis/dropmate.dev/v1/orders", 405)]
#[case(Method::POST, "/apis/dropmate.dev/v1/namespaces/default/orders/o1", 405)]
#[case(Method::GET, "/nothing/here", 404)]
#[tokio::test]
async fn paths_and_methods_that_are_not_served_are_said_so(
    #[case] method: Method,
    #[case] path: &str,
    #[case] code: u16,
) {
    let api = Api::start().await;
    assert_eq!(api.send(method, path, "application/json", "{}").await.refusal().0, code);
}

#[rstest]
#[case("", 400)]
#[case("[]", 400)]
#[case("{", 400)]
#[case("{\"apiVersion\":\"dropmate.dev/v1\"}", 400)]
#[case("{\"apiVersion\":\"dropmate.dev/v1\",\"kind\":\"Order\"}", 422)]
#[case("{\"apiVersion\":\"dropmate.dev/v1\",\"kind\":\"Order\",\"metadata\":[]}", 400)]
#[case("{\"apiVersion\":\"dropmate.dev/v1\",\"kind\":\"Order\",\"metadata\":{\"labels\":{\"a\":1}}}", 400)]
#[case("{\"apiVersion\":\"dropmate.dev/v1\",\"kind\":\"Order\",\"metadata\":{\"name\":\"o1\"},\"spec\":null}", 422)]
#[tokio::test]
async fn a_broken_body_is_refused(#[case] body: &'static str, #[case] code: u16) {
    let api = Api::start().await;
    let refused = api.send(Method::POST, ORDERS, "application/json", body).await;
    assert_eq!(refused.refusal().0, code, "{}", refused.body);
}

#[tokio::test]
async fn a_compressed_body_is_taken_and_a_bomb_is_not() {
    let api = Api::start().await;
    let request = |body: Vec<u8>| {
        let request =
            Request::post(ORDERS).header("content-encoding", "gzip").header("content-type", "application/json");
        request.body(Body::from(body)).unwrap()
    };
    assert_eq!(api.request(request(gzip_stored(order("o1").to_string().as_bytes()))).await.code, 201);
    let large = vec![b' '; 4 * 1024 * 1024];
    assert_eq!(api.request(request(gzip_stored(&large))).await.refusal().0, 413);
}

/// A gzip member whose blocks are stored, which needs no compressor.
fn gzip_stored(data: &[u8]) -> Vec<u8> {
    let mut out = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    let mut chunks = data.chunks(0xffff).peekable();
    while let Some(chunk) = chunks.next() {
        out.push(u8::from(chunks.peek().is_none()));
        let length = u16::try_from(chunk.len()).unwrap();
        out.extend(length.to_le_bytes());
        out.extend((!length).to_le_bytes());
        out.extend(chunk);
    }
    let crc = !data.iter().fold(!0_u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 })
    });
    out.extend(crc.to_le_bytes());
    out.extend(u32::try_from(data.len()).unwrap().to_le_bytes());
    out
}

#[tokio::test]
async fn leases_are_never_replaced_blindly() {
    let api = Api::start().await;
    let lease = json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "x"}, "spec": {}});
    api.post(LEASES, &lease).await.ok();
    assert_eq!(api.put(&format!("{LEASES}/x"), &lease).await.refusal().0, 422);
}
