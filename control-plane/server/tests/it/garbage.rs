//! Owners and dependents: what goes with an owner, what goes before it, and what stays.

use std::time::Duration;

use dropmate_api::{Driver, Order};
use dropmate_store::Key;
use http::Method;
use kube::api::{DeleteParams, ListParams, PostParams, Preconditions};
use serde_json::{Value, json};

use crate::client::{Api, DRIVERS, ORDERS, driver, namespace, order, text};

const WITHIN: Duration = Duration::from_secs(20);
const HOLD: &str = "example.com/hold";

/// Tries until it is so.
pub(crate) async fn until(what: &str, mut so: impl AsyncFnMut() -> bool) {
    let waits = async {
        while !so().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    assert!(tokio::time::timeout(WITHIN, waits).await.is_ok(), "{what}: not within {WITHIN:?}");
}

/// A reference to that object.
pub(crate) fn owner(object: &Value, blocks: bool) -> Value {
    json!({"apiVersion": object["apiVersion"], "kind": object["kind"], "name": object["metadata"]["name"],
        "uid": object["metadata"]["uid"], "blockOwnerDeletion": blocks})
}

/// An order with those owners.
pub(crate) fn owned(name: &str, owners: &[Value]) -> Value {
    let mut order = order(name);
    order["metadata"]["ownerReferences"] = owners.into();
    order
}

fn at(collection: &str, name: &str) -> String {
    format!("{collection}/{name}")
}

async fn is_gone(api: &Api, path: &str) -> bool {
    api.get(path).await.code == 404
}

async fn gone(api: &Api, path: &str) {
    until(&format!("{path} goes"), async || is_gone(api, path).await).await;
}

/// The revision that deleted an object.
pub(crate) async fn deleted_at(api: &Api, resource: &str, name: &str) -> u64 {
    let key = Key { resource: resource.into(), namespace: "default".into(), name: name.into() };
    let history = api.plane.store().history(&key, 0, 50).await.unwrap();
    let last = &history.last().unwrap().event;
    assert!(last.deleted, "{name} is still there");
    last.revision
}

/// Once this has returned, the collector has looked at everything written before.
async fn collector_has_looked(api: &Api) {
    let sam = api.post(DRIVERS, &driver("mark")).await.ok();
    api.delete(&at(DRIVERS, "mark"), &Value::Null).await.ok();
    api.post(ORDERS, &owned("mark", &[owner(&sam, false)])).await.ok();
    gone(api, &at(ORDERS, "mark")).await;
}

#[tokio::test]
async fn in_the_background_dependents_go_once_their_last_owner_is_gone() {
    let api = Api::start().await;
    let (sam, kim) = (api.post(DRIVERS, &driver("sam")).await.ok(), api.post(DRIVERS, &driver("kim")).await.ok());
    let both = [owner(&sam, true), owner(&kim, true)];
    let shared = api.apply(&at(ORDERS, "shared"), "shop", &owned("shared", &both)).await.ok();
    let one = api.post(ORDERS, &owned("one", &both[..1])).await.ok();
    api.post(ORDERS, &owned("grandchild", &[owner(&one, false)])).await.ok();

    let drivers: kube::Api<Driver> = kube::Api::default_namespaced(api.client());
    let answer = drivers.delete("sam", &DeleteParams::background()).await.unwrap();
    assert!(answer.is_right(), "it is gone at once");
    gone(&api, &at(ORDERS, "one")).await;
    gone(&api, &at(ORDERS, "grandchild")).await;
    until("the reference that dangles goes", async || {
        api.get(&at(ORDERS, "shared")).await.ok()["metadata"]["ownerReferences"] == json!([owner(&kim, true)])
    })
    .await;
    let left = api.get(&at(ORDERS, "shared")).await.ok();
    assert_eq!((&left["metadata"]["generation"], &left["spec"]), (&shared["metadata"]["generation"], &shared["spec"]));
    let managers = left["metadata"]["managedFields"].as_array().unwrap();
    assert_eq!(managers.len(), 1, "the collector owns nothing: {managers:?}");
    let references = &managers[0]["fieldsV1"]["f:metadata"]["f:ownerReferences"];
    let uid = |of: &Value| format!("k:{{\"uid\":\"{}\"}}", text(&of["metadata"]["uid"]));
    assert!(references.get(uid(&kim)).is_some() && references.get(uid(&sam)).is_none(), "{references}");

    drivers.delete("kim", &DeleteParams::default()).await.unwrap();
    gone(&api, &at(ORDERS, "shared")).await;
    let key = Key { resource: "orders.dropmate.dev".into(), namespace: "default".into(), name: "shared".into() };
    let history = api.plane.store().history(&key, 0, 9).await.unwrap();
    let actors: Vec<&str> = history.iter().map(|entry| entry.actor.user.as_str()).collect();
    assert_eq!(actors, ["operator", "system:garbage-collector", "system:garbage-collector"]);
}

#[tokio::test]
async fn in_the_foreground_an_owner_goes_after_the_dependents_that_block_it() {
    let api = Api::start().await;
    let sam = api.post(DRIVERS, &driver("sam")).await.ok();
    let mut held = owned("held", &[owner(&sam, true)]);
    held["metadata"]["finalizers"] = json!([HOLD]);
    let held = api.post(ORDERS, &held).await.ok();
    api.post(ORDERS, &owned("grandchild", &[owner(&held, true)])).await.ok();
    api.post(ORDERS, &owned("free", &[owner(&sam, true)])).await.ok();

    let drivers: kube::Api<Driver> = kube::Api::default_namespaced(api.client());
    let marked = drivers.delete("sam", &DeleteParams::foreground()).await.unwrap().left().expect("it waits");
    assert_eq!(marked.metadata.finalizers, Some(vec!["foregroundDeletion".to_owned()]));
    assert!(marked.metadata.deletion_timestamp.is_some());
    assert_eq!(marked.metadata.generation, Some(2));

    gone(&api, &at(ORDERS, "free")).await;
    gone(&api, &at(ORDERS, "grandchild")).await;
    until("the held one waits for its holder alone", async || {
        api.get(&at(ORDERS, "held")).await.ok()["metadata"]["finalizers"] == json!([HOLD])
    })
    .await;
    collector_has_looked(&api).await;
    assert_eq!(api.get(&at(DRIVERS, "sam")).await.code, 200, "it is blocked");

    api.merge(&at(ORDERS, "held"), &json!({"metadata": {"finalizers": null}})).await.ok();
    gone(&api, &at(DRIVERS, "sam")).await;
    let owner = deleted_at(&api, "drivers.dropmate.dev", "sam").await;
    for name in ["held", "free", "grandchild"] {
        assert!(deleted_at(&api, "orders.dropmate.dev", name).await < owner, "{name}");
    }
    let (grandchild, held) = (
        deleted_at(&api, "orders.dropmate.dev", "grandchild").await,
        deleted_at(&api, "orders.dropmate.dev", "held").await,
    );
    assert!(grandchild < held, "what is waited for waits for its own");
}

#[tokio::test]
async fn a_dependent_that_does_not_block_is_not_waited_for() {
    let api = Api::start().await;
    let sam = api.post(DRIVERS, &driver("sam")).await.ok();
    let mut held = owned("held", &[owner(&sam, false)]);
    held["metadata"]["finalizers"] = json!([HOLD]);
    api.post(ORDERS, &held).await.ok();
    api.delete(&at(DRIVERS, "sam"), &json!({"propagationPolicy": "Foreground"})).await.ok();
    gone(&api, &at(DRIVERS, "sam")).await;
    until("the dependent is deleted all the same", async || {
        api.get(&at(ORDERS, "held")).await.ok()["metadata"]["deletionTimestamp"].is_string()
    })
    .await;
}

#[tokio::test]
async fn orphans_stay_and_name_the_owner_no_more() {
    let api = Api::start().await;
    let (sam, kim) = (api.post(DRIVERS, &driver("sam")).await.ok(), api.post(DRIVERS, &driver("kim")).await.ok());
    for name in ["o1", "o2", "o3"] {
        api.post(ORDERS, &owned(name, &[owner(&sam, true)])).await.ok();
    }
    api.post(ORDERS, &owned("shared", &[owner(&sam, true), owner(&kim, false)])).await.ok();
    let drivers: kube::Api<Driver> = kube::Api::default_namespaced(api.client());
    let uid = text(&sam["metadata"]["uid"]).to_owned();
    let precise = DeleteParams::orphan().preconditions(Preconditions { uid: Some(uid), resource_version: None });
    let marked = drivers.delete("sam", &precise).await.unwrap().left().expect("it waits");
    assert_eq!(marked.metadata.finalizers, Some(vec!["orphan".to_owned()]));
    gone(&api, &at(DRIVERS, "sam")).await;
    collector_has_looked(&api).await;
    let orders: kube::Api<Order> = kube::Api::default_namespaced(api.client());
    for order in orders.list(&ListParams::default()).await.unwrap().items {
        let left = order.metadata.owner_references.unwrap_or_default();
        let names: Vec<&str> = left.iter().map(|reference| reference.name.as_str()).collect();
        let expected: &[&str] = if order.metadata.name.as_deref() == Some("shared") { &["kim"] } else { &[] };
        assert_eq!(names, expected);
        assert_eq!(order.metadata.generation, Some(1));
    }
    let all = orders.list(&ListParams::default()).await.unwrap().items.len();
    assert_eq!(all, 4);
}

#[tokio::test]
async fn the_way_may_be_said_in_the_query_in_the_old_words_and_by_finalizers() {
    let api = Api::start().await;
    let deleted = async |query: &str, body: Value| {
        api.post(DRIVERS, &driver("sam")).await.ok();
        api.delete(&format!("{}?dryRun=All{query}", at(DRIVERS, "sam")), &body).await.ok()["metadata"]["finalizers"]
            .clone()
    };
    let (foreground, orphan) = (json!(["foregroundDeletion"]), json!(["orphan"]));
    assert_eq!(deleted("&propagationPolicy=Foreground", Value::Null).await, foreground);
    api.delete(&at(DRIVERS, "sam"), &Value::Null).await.ok();
    assert_eq!(deleted("&orphanDependents=true", Value::Null).await, orphan);
    api.delete(&at(DRIVERS, "sam"), &Value::Null).await.ok();
    assert_eq!(deleted("", json!({"orphanDependents": true})).await, orphan);
    api.delete(&at(DRIVERS, "sam"), &Value::Null).await.ok();
    assert_eq!(deleted("&propagationPolicy=Orphan", json!({"propagationPolicy": "Foreground"})).await, foreground);
    api.delete(&at(DRIVERS, "sam"), &Value::Null).await.ok();

    let mut sam = driver("sam");
    sam["metadata"]["finalizers"] = json!(["orphan"]);
    let sam = api.post(DRIVERS, &sam).await.ok();
    api.post(ORDERS, &owned("o1", &[owner(&sam, true)])).await.ok();
    api.delete(&at(DRIVERS, "sam"), &Value::Null).await.ok();
    gone(&api, &at(DRIVERS, "sam")).await;
    assert_eq!(api.get(&at(ORDERS, "o1")).await.ok()["metadata"]["ownerReferences"], Value::Null);
}

#[tokio::test]
async fn a_wish_that_means_nothing_is_refused() {
    let api = Api::start().await;
    api.post(DRIVERS, &driver("sam")).await.ok();
    let unsupported = "DeleteOptions.meta.k8s.io \"\" is invalid: propagationPolicy: Unsupported value: \"Later\": \
                       supported values: \"Foreground\", \"Background\", \"Orphan\", \"nil\"";
    for (query, body) in [("?propagationPolicy=Later", Value::Null), ("", json!({"propagationPolicy": "Later"}))] {
        for path in [at(DRIVERS, "sam"), DRIVERS.to_owned()] {
            let refused = api.delete(&format!("{path}{query}"), &body).await;
            assert_eq!(refused.refusal(), (422, "Invalid", unsupported));
        }
    }
    let both = json!({"propagationPolicy": "Orphan", "orphanDependents": true});
    let refused = api.delete(&at(DRIVERS, "sam"), &both).await;
    assert_eq!(
        refused.refusal().2,
        "DeleteOptions.meta.k8s.io \"\" is invalid: propagationPolicy: Invalid value: \"Orphan\": \
         orphanDependents and deletionPropagation cannot be both set"
    );
    assert_eq!(api.delete(&at(DRIVERS, "sam"), &json!({"propagationPolicy": 1})).await.refusal().0, 400);
    assert_eq!(api.get(&at(DRIVERS, "sam")).await.code, 200);
}

#[tokio::test]
async fn a_second_delete_may_choose_another_way() {
    let api = Api::start().await;
    let sam = api.post(DRIVERS, &driver("sam")).await.ok();
    let mut held = owned("held", &[owner(&sam, true)]);
    held["metadata"]["finalizers"] = json!([HOLD]);
    api.post(ORDERS, &held).await.ok();
    api.delete(&at(DRIVERS, "sam"), &json!({"propagationPolicy": "Foreground"})).await.ok();
    let again = api.delete(&at(DRIVERS, "sam"), &Value::Null).await.ok();
    assert_eq!(again["metadata"]["finalizers"], json!(["foregroundDeletion"]), "nothing was asked for");
    api.delete(&at(DRIVERS, "sam"), &json!({"propagationPolicy": "Background"})).await.ok();
    assert!(is_gone(&api, &at(DRIVERS, "sam")).await, "it waits for nobody any more");
}

#[tokio::test]
async fn a_collection_is_deleted_in_the_asked_way() {
    let api = Api::start().await;
    for (way, stay) in [("Orphan", true), ("Foreground", false)] {
        for name in ["sam", "kim"] {
            let made = api.post(DRIVERS, &driver(name)).await.ok();
            api.post(ORDERS, &owned(&format!("of-{name}"), &[owner(&made, true)])).await.ok();
        }
        let body = json!({"propagationPolicy": way}).to_string();
        api.send(Method::DELETE, DRIVERS, "application/json", body).await.ok();
        for name in ["sam", "kim"] {
            gone(&api, &at(DRIVERS, name)).await;
            assert_eq!(api.get(&at(ORDERS, &format!("of-{name}"))).await.code.is_success(), stay, "{way}");
        }
        api.send(Method::DELETE, ORDERS, "application/json", "").await.ok();
    }
}

#[tokio::test]
async fn who_own_each_other_go_together() {
    let api = Api::start().await;
    let circle = async |names: [&str; 3]| {
        let mut made = Vec::new();
        for name in names {
            made.push(api.post(ORDERS, &order(name)).await.ok());
        }
        for (index, name) in names.iter().enumerate() {
            let reference = owner(&made[(index + 1) % 3], true);
            api.merge(&at(ORDERS, name), &json!({"metadata": {"ownerReferences": [reference]}})).await.ok();
        }
    };
    circle(["a", "b", "c"]).await;
    api.delete(&at(ORDERS, "a"), &json!({"propagationPolicy": "Foreground"})).await.ok();
    circle(["d", "e", "f"]).await;
    api.delete(&at(ORDERS, "e"), &json!({"propagationPolicy": "Background"})).await.ok();
    for name in ["a", "b", "c", "d", "e", "f"] {
        gone(&api, &at(ORDERS, name)).await;
    }
}

#[tokio::test]
async fn an_owner_in_another_namespace_counts_as_none_and_people_are_told() {
    let api = Api::start().await;
    api.post("/api/v1/namespaces", &namespace("acme")).await.ok();
    let elsewhere = api.post("/apis/dropmate.dev/v1/namespaces/acme/drivers", &driver("sam")).await.ok();
    let made = api.post(ORDERS, &owned("o1", &[owner(&elsewhere, true)])).await.ok();
    gone(&api, &at(ORDERS, "o1")).await;
    let events = api.get("/api/v1/namespaces/default/events?fieldSelector=reason=OwnerRefInvalidNamespace").await.ok();
    let [event] = events["items"].as_array().unwrap().as_slice() else { panic!("{events}") };
    assert_eq!((&event["type"], &event["involvedObject"]["uid"]), (&json!("Warning"), &made["metadata"]["uid"]));
    let uid = text(&elsewhere["metadata"]["uid"]);
    assert_eq!(
        text(&event["message"]),
        format!(
            "ownerRef [dropmate.dev/v1/Driver, namespace: default, name: sam, uid: {uid}] does not exist in namespace \"default\""
        )
    );
}

#[tokio::test]
async fn only_what_certainly_has_no_owner_is_collected() {
    let api = Api::start().await;
    let sam = api.post(DRIVERS, &driver("sam")).await.ok();
    let mut unknown = owner(&sam, true);
    unknown["apiVersion"] = json!("apps/v1");
    unknown["kind"] = json!("Deployment");
    api.post(ORDERS, &owned("unknown", &[unknown])).await.ok();
    let mut other = owner(&sam, true);
    other["uid"] = json!("another-life");
    api.post(ORDERS, &owned("other", &[other])).await.ok();
    api.post(ORDERS, &owned("owned", &[owner(&sam, true)])).await.ok();
    // A namespace is in no namespace: nothing in one can own it.
    let mut misplaced = namespace("acme");
    misplaced["metadata"]["ownerReferences"] = json!([owner(&sam, true)]);
    api.post("/api/v1/namespaces", &misplaced).await.ok();
    gone(&api, &at(ORDERS, "other")).await;
    collector_has_looked(&api).await;
    for path in [at(ORDERS, "unknown"), at(ORDERS, "owned"), "/api/v1/namespaces/acme".to_owned()] {
        let object = api.get(&path).await.ok();
        assert_eq!(object["metadata"]["deletionTimestamp"], Value::Null, "{path}");
    }
}

#[tokio::test]
async fn a_namespace_goes_with_all_that_is_owned_in_it_and_what_it_owns() {
    let api = Api::start().await;
    let acme = api.post("/api/v1/namespaces", &namespace("acme")).await.ok();
    api.post(ORDERS, &owned("of-acme", &[owner(&acme, false)])).await.ok();
    let (drivers, orders) =
        ("/apis/dropmate.dev/v1/namespaces/acme/drivers", "/apis/dropmate.dev/v1/namespaces/acme/orders");
    let mut sam = driver("sam");
    sam["metadata"]["finalizers"] = json!(["orphan"]);
    let sam = api.post(drivers, &sam).await.ok();
    let mut held = owned("held", &[owner(&sam, true)]);
    held["metadata"]["finalizers"] = json!([HOLD]);
    api.post(orders, &held).await.ok();
    let kim = api.post(drivers, &driver("kim")).await.ok();
    let mut blocks = owned("blocks", &[owner(&kim, true)]);
    blocks["metadata"]["finalizers"] = json!([HOLD]);
    api.post(orders, &blocks).await.ok();
    api.delete(&at(drivers, "kim"), &json!({"propagationPolicy": "Foreground"})).await.ok();

    api.delete("/api/v1/namespaces/acme", &json!({"propagationPolicy": "Background"})).await.ok();
    for name in ["sam", "kim"] {
        gone(&api, &at(drivers, name)).await;
    }
    assert_eq!(api.get("/api/v1/namespaces/acme").await.code, 200, "it is not empty");
    assert_eq!(api.get(&at(ORDERS, "of-acme")).await.code, 200);
    for name in ["held", "blocks"] {
        api.merge(&at(orders, name), &json!({"metadata": {"finalizers": null}})).await.ok();
    }
    gone(&api, "/api/v1/namespaces/acme").await;
    gone(&api, &at(ORDERS, "of-acme")).await;
}

#[tokio::test]
async fn a_namespace_may_wait_for_what_it_owns_elsewhere() {
    let api = Api::start().await;
    let acme = api.post("/api/v1/namespaces", &namespace("acme")).await.ok();
    let mut held = owned("of-acme", &[owner(&acme, true)]);
    held["metadata"]["finalizers"] = json!([HOLD]);
    api.post(ORDERS, &held).await.ok();
    api.delete("/api/v1/namespaces/acme", &json!({"propagationPolicy": "Foreground"})).await.ok();
    until("it is empty", async || {
        api.get("/api/v1/namespaces/acme").await.ok()["spec"]["finalizers"].as_array().is_none_or(Vec::is_empty)
    })
    .await;
    collector_has_looked(&api).await;
    assert_eq!(api.get("/api/v1/namespaces/acme").await.code, 200);
    api.merge(&at(ORDERS, "of-acme"), &json!({"metadata": {"finalizers": null}})).await.ok();
    gone(&api, "/api/v1/namespaces/acme").await;
}

#[tokio::test]
async fn thousands_of_dependents_go_with_their_owner() {
    const DEPENDENTS: usize = 2_000;
    let api = Api::start().await;
    let sam = api.post(DRIVERS, &driver("sam")).await.ok();
    let orders: kube::Api<Order> = kube::Api::default_namespaced(api.client());
    let creates = (0..DEPENDENTS).map(|index| {
        let order: Order = serde_json::from_value(owned(&format!("o{index}"), &[owner(&sam, true)])).unwrap();
        let orders = orders.clone();
        async move { orders.create(&PostParams::default(), &order).await.unwrap() }
    });
    futures::future::join_all(creates).await;
    api.delete(&at(DRIVERS, "sam"), &json!({"propagationPolicy": "Foreground"})).await.ok();
    gone(&api, &at(DRIVERS, "sam")).await;
    assert!(api.get(ORDERS).await.ok()["items"].as_array().unwrap().is_empty());
}
