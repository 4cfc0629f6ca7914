//! What the server does to an object: metadata, defaults, generation, finalizers.

use http::Method;
use serde_json::{Value, json};

use crate::client::{Api, ORDERS, namespace, order, text};

fn at(name: &str) -> String {
    format!("{ORDERS}/{name}")
}

#[tokio::test]
async fn a_created_object_has_the_metadata_of_the_server() {
    let api = Api::start().await;
    let mut wanted = order("o1");
    wanted["metadata"]["uid"] = json!("mine");
    wanted["metadata"]["generation"] = json!(7);
    wanted["status"] = json!({"phase": "Delivered"});
    let created = api.post(ORDERS, &wanted).await;
    assert_eq!(created.code, 201);
    let created = created.ok();
    let metadata = &created["metadata"];
    assert_eq!(text(&metadata["uid"]).len(), 36);
    assert_eq!(metadata["generation"], 1);
    assert_eq!(metadata["namespace"], "default");
    assert!(text(&metadata["resourceVersion"]).parse::<u64>().unwrap() > 0);
    assert_eq!(text(&metadata["creationTimestamp"]).len(), "2026-11-23T05:00:00Z".len());
    assert_eq!(created["status"]["phase"], "Pending");
    assert!(created["status"]["placedAt"].is_string());
    assert_eq!(api.get(&at("o1")).await.ok(), created);
}

#[tokio::test]
async fn generate_name_makes_a_name() {
    let api = Api::start().await;
    let mut wanted = order("x");
    wanted["metadata"] = json!({"generateName": "order-"});
    let first = api.post(ORDERS, &wanted).await.ok();
    let second = api.post(ORDERS, &wanted).await.ok();
    assert!(text(&first["metadata"]["name"]).starts_with("order-"));
    assert_eq!(text(&first["metadata"]["name"]).len(), "order-".len() + 5);
    assert_ne!(first["metadata"]["name"], second["metadata"]["name"]);
}

#[tokio::test]
async fn generation_counts_wishes_alone() {
    let api = Api::start().await;
    api.post(ORDERS, &order("o1")).await.ok();
    let labelled = api.merge(&at("o1"), &json!({"metadata": {"labels": {"a": "b"}}})).await.ok();
    assert_eq!(labelled["metadata"]["generation"], 1);
    let raised = api.merge(&at("o1"), &json!({"spec": {"priority": 5}})).await.ok();
    assert_eq!(raised["metadata"]["generation"], 2);
    assert_ne!(raised["metadata"]["resourceVersion"], labelled["metadata"]["resourceVersion"]);
}

#[tokio::test]
async fn a_write_that_changes_nothing_writes_nothing() {
    let api = Api::start().await;
    let created = api.post(ORDERS, &order("o1")).await.ok();
    assert_eq!(api.put(&at("o1"), &created).await.ok(), created);
    assert_eq!(api.merge(&at("o1"), &json!({"spec": {"priority": 0}})).await.ok(), created);
    assert_eq!(api.get(&at("o1")).await.ok(), created);
}

#[tokio::test]
async fn the_main_path_ignores_status_and_the_status_path_all_else() {
    let api = Api::start().await;
    let created = api.post(ORDERS, &order("o1")).await.ok();
    let eta = json!({"dropoff": {"earliest": "2026-11-23T10:00:00Z"}});
    let main = api.merge(&at("o1"), &json!({"status": {"eta": eta, "phase": "Delivered"}})).await.ok();
    assert_eq!(main, created);
    let condition = json!({"type": "Unassignable", "status": "True", "reason": "NoDriver", "message": "none",
        "lastTransitionTime": "2026-11-23T10:00:00Z"});
    let patch = json!({"metadata": {"labels": {"a": "b"}}, "spec": {"priority": 9}, "status": {"phase": "Delivered", "conditions": [condition]}});
    let status = api.merge(&format!("{}/status", at("o1")), &patch).await.ok();
    assert_eq!(status["spec"], created["spec"]);
    assert_eq!(status["metadata"]["labels"], Value::Null);
    assert_eq!(status["metadata"]["generation"], 1);
    assert_eq!(status["status"]["phase"], "Pending");
    let conditions = status["status"]["conditions"].as_array().unwrap();
    assert!(conditions.iter().any(|c| c["type"] == "Unassignable"), "{status}");
}

#[tokio::test]
async fn a_finalizer_holds_an_object_until_it_is_removed() {
    let api = Api::start().await;
    let mut wanted = order("o1");
    wanted["metadata"]["finalizers"] = json!(["example.com/hold"]);
    api.post(ORDERS, &wanted).await.ok();
    let marked = api.delete(&at("o1"), &Value::Null).await.ok();
    assert_eq!(marked["kind"], "Order");
    assert!(marked["metadata"]["deletionTimestamp"].is_string());
    assert_eq!(marked["metadata"]["generation"], 2);
    assert_eq!(api.delete(&at("o1"), &Value::Null).await.ok(), marked);

    let again = api.post(ORDERS, &order("o1")).await;
    let (code, reason, message) = again.refusal();
    assert_eq!((code, reason), (409, "AlreadyExists"));
    assert_eq!(message, "object is being deleted: orders.dropmate.dev \"o1\" already exists");

    let more =
        api.merge(&at("o1"), &json!({"metadata": {"finalizers": ["example.com/hold", "example.com/new"]}})).await;
    assert_eq!(more.code, 422);
    assert!(
        more.refusal().2.contains("no new finalizers can be added if the object is being deleted"),
        "{}",
        more.body
    );

    let patch = json!([
        {"op": "test", "path": "/metadata/finalizers/0", "value": "example.com/hold"},
        {"op": "remove", "path": "/metadata/finalizers/0"},
    ]);
    api.json_patch(&at("o1"), &patch).await.ok();
    assert_eq!(api.get(&at("o1")).await.code, 404);
}

#[tokio::test]
async fn a_delete_answers_with_a_status_that_names_the_uid() {
    let api = Api::start().await;
    let created = api.post(ORDERS, &order("o1")).await.ok();
    let status = api.delete(&at("o1"), &Value::Null).await.ok();
    assert_eq!(status["status"], "Success");
    assert_eq!(
        status["details"],
        json!({"name": "o1", "group": "dropmate.dev", "kind": "orders", "uid": created["metadata"]["uid"]})
    );
    assert_eq!(api.get(&at("o1")).await.code, 404);
}

#[tokio::test]
async fn a_dry_run_answers_as_if_and_writes_nothing() {
    let api = Api::start().await;
    let revision = api.plane.store().revision();
    let created = api.post(&format!("{ORDERS}?dryRun=All"), &order("o1")).await;
    assert_eq!(created.code, 201);
    assert_eq!(created.body["status"]["phase"], "Pending");
    assert_eq!(api.get(&at("o1")).await.code, 404);
    assert_eq!(api.plane.store().revision(), revision);

    let real = api.post(ORDERS, &order("o1")).await.ok();
    let patched = api.merge(&format!("{}?dryRun=All", at("o1")), &json!({"spec": {"priority": 3}})).await.ok();
    assert_eq!(patched["spec"]["priority"], 3);
    api.delete(&format!("{}?dryRun=All", at("o1")), &Value::Null).await.ok();
    assert_eq!(api.get(&at("o1")).await.ok(), real);
}

#[tokio::test]
async fn bodies_may_be_yaml_and_compressed() {
    let api = Api::start().await;
    let yaml = "
apiVersion: dropmate.dev/v1
kind: Order
metadata: {name: o-1001}
spec:
  pickup:  {address: \"12 Mill St\", location: {latitude: 43.6503, longitude: -79.3596}}
  dropoff: {address: \"88 Queens Quay\", location: {latitude: 43.6405, longitude: -79.3760}}
  recipient: {name: \"Ada\"}
";
    let created = api.send(Method::POST, ORDERS, "application/yaml", yaml).await.ok();
    assert_eq!(created["metadata"]["name"], "o-1001");
}

#[tokio::test]
async fn a_namespace_empties_itself_and_goes() {
    let api = Api::start().await;
    api.post("/api/v1/namespaces", &namespace("acme")).await.ok();
    let orders = "/apis/dropmate.dev/v1/namespaces/acme/orders";
    for name in ["o1", "o2", "o3"] {
        api.post(orders, &order(name)).await.ok();
    }
    let mut held = order("held");
    held["metadata"]["finalizers"] = json!(["example.com/hold"]);
    api.post(orders, &held).await.ok();

    let marked = api.delete("/api/v1/namespaces/acme", &Value::Null).await.ok();
    assert_eq!(marked["status"]["phase"], "Terminating");
    let refused = api.post(orders, &order("late")).await;
    assert_eq!(refused.refusal().0, 403);
    assert_eq!(refused.body["details"]["causes"][0]["reason"], "NamespaceTerminating");

    until(|| async { api.get(orders).await.ok()["items"].as_array().unwrap().len() == 1 }).await;
    assert_eq!(api.get("/api/v1/namespaces/acme").await.code, 200);
    api.merge(&format!("{orders}/held"), &json!({"metadata": {"finalizers": null}})).await.ok();
    until(|| async { api.get("/api/v1/namespaces/acme").await.code == 404 }).await;
    assert_eq!(api.post(orders, &order("late")).await.refusal(), (404, "NotFound", "namespaces \"acme\" not found"));
}

async fn until<F: Future<Output = bool>>(mut holds: impl FnMut() -> F) {
    tokio::time::timeout(std::time::Duration::from_secs(20), async {
        while !holds().await {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
    .await
    .expect("it comes true");
}
