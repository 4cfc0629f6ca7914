//! Who owns which field after writes that are no apply.

use axum::body::Body;
use http::{Request, header::USER_AGENT};
use serde_json::{Value, json};

use crate::client::{Api, DISPATCH, LEASES, ORDERS, order};

fn at(name: &str) -> String {
    format!("{ORDERS}/{name}")
}

fn managers(object: &Value) -> Vec<(&str, &str, &str)> {
    let entries = object["metadata"]["managedFields"].as_array().map_or(&[][..], Vec::as_slice);
    entries
        .iter()
        .map(|entry| {
            let text = |field: &str| entry[field].as_str().unwrap_or("");
            (text("manager"), text("operation"), text("subresource"))
        })
        .collect()
}

#[tokio::test]
async fn a_writer_is_known_by_its_manager_its_program_or_its_account() {
    let api = Api::start().await;
    let post = |agent: &str, query: &str, name: &str| {
        Request::post(format!("{ORDERS}{query}"))
            .header(USER_AGENT, agent)
            .header("content-type", "application/json")
            .body(Body::from(order(name).to_string()))
            .unwrap()
    };
    let named = api.request(post("curl/8.1 (x)", "?fieldManager=shop", "o1")).await.ok();
    assert_eq!(managers(&named), [("shop", "Update", "")]);
    let program = api.request(post("curl/8.1 (x)", "", "o2")).await.ok();
    assert_eq!(managers(&program), [("curl", "Update", "")]);
    let nameless = api.post(ORDERS, &order("o3")).await.ok();
    assert_eq!(managers(&nameless), [("unknown", "Update", "")]);
    let lease = json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "dispatch"},
        "spec": {"holderIdentity": "me"}});
    let agents = api.as_user(DISPATCH).post(LEASES, &lease).await.ok();
    assert_eq!(managers(&agents), [("dispatch", "Update", "")]);
}

#[tokio::test]
async fn who_changes_a_field_owns_it_alone() {
    let api = Api::start().await;
    api.apply(&at("o1"), "a", &order("o1")).await.ok();
    let path = format!("{}?fieldManager=ed", at("o1"));
    let changed = api.merge(&path, &json!({"spec": {"recipient": {"name": "Bob"}, "priority": 3}})).await.ok();
    let entries = &changed["metadata"]["managedFields"];
    assert_eq!(entries[0]["fieldsV1"]["f:spec"]["f:recipient"], Value::Null);
    assert_eq!(entries[1]["fieldsV1"], json!({"f:spec": {"f:priority": {}, "f:recipient": {"f:name": {}}}}));
    let status = format!("{}/status?fieldManager=eta", at("o1"));
    let written =
        api.merge(&status, &json!({"status": {"eta": "2026-11-23T12:00:00Z"}, "spec": {"priority": 9}})).await;
    let written = written.ok();
    assert_eq!(managers(&written), [("a", "Apply", ""), ("ed", "Update", ""), ("eta", "Update", "status")]);
    assert_eq!(written["metadata"]["managedFields"][2]["fieldsV1"], json!({"f:status": {"f:eta": {}}}));
    let mut replaced = written.clone();
    replaced["metadata"].as_object_mut().unwrap().remove("managedFields");
    let same = api.put(&at("o1"), &replaced).await.ok();
    assert_eq!(same, written, "whoever does not send the owners changes none");
}

#[tokio::test]
async fn what_the_server_keeps_in_the_status_is_nobodys() {
    let api = Api::start().await;
    api.post(ORDERS, &order("o1")).await.ok();
    let before = api.get(&at("o1")).await.ok();
    let facts = json!({"status": {"phase": "Delivered", "driverName": "sam"}});
    let after = api.merge(&format!("{}/status?fieldManager=liar", at("o1")), &facts).await.ok();
    assert_eq!(after, before);
}

#[tokio::test]
async fn owners_can_be_cleared_and_named_anew() {
    let api = Api::start().await;
    let made = api.post(&format!("{ORDERS}?fieldManager=kubectl-client-side-apply"), &order("o1")).await.ok();
    let mut entry = made["metadata"]["managedFields"][0].clone();
    entry["manager"] = json!("kubectl");
    entry["operation"] = json!("Apply");
    let version = &made["metadata"]["resourceVersion"];
    let migration = |version: &Value| {
        json!([
            {"op": "replace", "path": "/metadata/managedFields", "value": [entry]},
            {"op": "replace", "path": "/metadata/resourceVersion", "value": version},
        ])
    };
    assert_eq!(api.json_patch(&at("o1"), &migration(&json!("1"))).await.refusal().0, 409);
    let migrated = api.json_patch(&at("o1"), &migration(version)).await.ok();
    assert_eq!(managers(&migrated), [("kubectl", "Apply", "")]);
    assert_eq!(migrated["metadata"]["generation"], 1);
    let cleared = api.merge(&at("o1"), &json!({"metadata": {"managedFields": [{}]}})).await.ok();
    assert_eq!(managers(&cleared), []);
    let status = json!({"metadata": {"managedFields": [entry]}, "status": {"eta": "2026-11-23T12:00:00Z"}});
    let through_status = api.merge(&format!("{}/status?fieldManager=eta", at("o1")), &status).await.ok();
    assert_eq!(managers(&through_status), [], "only the main path may say so");
    let refused = api
        .apply(
            &at("o1"),
            "a",
            &json!({"apiVersion": "dropmate.dev/v1", "kind": "Order",
        "spec": {"recipient": {"name": "Bob"}}}),
        )
        .await;
    assert_eq!(
        refused.refusal().2,
        "Apply failed with 1 conflict: conflict with \"before-first-apply\" using dropmate.dev/v1: .spec.recipient.name"
    );
}

#[tokio::test]
async fn the_owners_of_an_object_do_not_grow_without_end() {
    let api = Api::start().await;
    api.post(&format!("{ORDERS}?fieldManager=first"), &order("o1")).await.ok();
    for n in 0..15 {
        let label = json!({"metadata": {"labels": {format!("l{n}"): "x"}}});
        api.merge(&format!("{}?fieldManager=m{n}", at("o1")), &label).await.ok();
    }
    let held = api.get(&at("o1")).await.ok();
    let managers = managers(&held);
    assert_eq!(managers.len(), 10);
    assert!(managers.iter().any(|(name, ..)| *name == "ancient-changes"), "{managers:?}");
}
