//! Two businesses on one installation: what each role sees of its own, and that nobody sees the other.

use std::time::Duration;

use dropmate_control_plane::Caller;
use serde_json::{Value, json};

use crate::client::{Api, DISPATCH, LEASES, driver, namespace, order, text};

/// Stands in everything of the other business, and may be in no answer to anybody of this one.
pub(crate) const CANARY: &str = "canary-4711";

/// Two businesses, `acme` and `bolt`, each with drivers, orders and one Member of each role.
pub(crate) struct Town {
    pub(crate) operator: Api,
}

pub(crate) const ROLES: [&str; 5] = ["manager", "dispatcher", "driver", "customer", "viewer"];

pub(crate) fn at(namespace: &str, path: &str) -> String {
    format!("/apis/dropmate.dev/v1/namespaces/{namespace}/{path}")
}

/// A caller whose address is known to be theirs.
pub(crate) fn person(user: &str) -> Caller {
    Caller { verified: true, uid: format!("uid-of-{user}"), ..Caller::named(user) }
}

pub(crate) fn member(name: &str, user: &str, role: &str) -> Value {
    let mut member = json!({
        "apiVersion": "dropmate.dev/v1", "kind": "Member", "metadata": {"name": name}, "spec": {"user": user, "role": role},
    });
    match role {
        "driver" => member["spec"]["driverName"] = "sam".into(),
        "customer" => member["spec"]["customerName"] = "cust".into(),
        _ => {}
    }
    member
}

impl Town {
    pub(crate) async fn build() -> Self {
        let operator = Api::start().await;
        let dispatch = operator.as_user(DISPATCH);
        let lease = json!({
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "dispatch"},
            "spec": {"holderIdentity": "me", "leaseTransitions": 1, "leaseDurationSeconds": 15},
        });
        let lease = dispatch.post(LEASES, &lease).await.ok();
        let fence =
            json!({"lease": "dispatch", "leaseUid": lease["metadata"]["uid"], "holder": "me", "transitions": 1});
        for business in ["acme", "bolt"] {
            let tell = |object: Value| match business {
                "bolt" => {
                    json!({"labels": {"tell": CANARY}, "annotations": {"tell": CANARY}, "name": object["metadata"]["name"]})
                }
                _ => object["metadata"].clone(),
            };
            operator.post("/api/v1/namespaces", &namespace(business)).await.ok();
            for name in ["sam", "kim"] {
                let mut driver = driver(name);
                driver["metadata"] = tell(driver.clone());
                operator.post(&at(business, "drivers"), &driver).await.ok();
            }
            for (name, driver) in [("own-1", "sam"), ("other-1", "kim")] {
                let mut order = order(name);
                order["metadata"] = tell(order.clone());
                order["spec"]["recipient"]["email"] = "ada@private.example".into();
                order["spec"]["customerName"] = if name == "own-1" { "cust" } else { "somebody" }.into();
                operator.post(&at(business, "orders"), &order).await.ok();
                let path = at(business, &format!("orders/{name}"));
                let release = json!({
                    "clientEventId": "r", "type": "release", "fence": fence,
                    "occurredAt": operator.plane.clock().business_now().to_string(),
                });
                dispatch.post(&format!("{path}/progress"), &release).await.ok();
                let binding = json!({
                    "apiVersion": "dropmate.dev/v1", "kind": "Binding", "metadata": {"name": name},
                    "target": {"kind": "Driver", "name": driver}, "fence": fence,
                });
                dispatch.post(&format!("{path}/binding"), &binding).await.ok();
            }
            for role in ROLES {
                let member = member(role, &format!("{role}@{business}.test"), role);
                operator.post(&at(business, "members"), &member).await.ok();
            }
        }
        let town = Self { operator };
        town.known("viewer@bolt.test").await;
        town
    }

    /// Waits until the member is known to the gateway, which follows the store.
    pub(crate) async fn known(&self, user: &str) {
        let caller = self.operator.as_caller(person(user));
        for _ in 0..200 {
            if !caller.get("/v1/me").await.ok()["memberships"].as_array().unwrap().is_empty() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{user} is a member of nothing");
    }

    /// Somebody of `acme`.
    pub(crate) fn of_acme(&self, role: &str) -> Api {
        self.operator.as_caller(person(&format!("{role}@acme.test")))
    }
}

fn names(list: &Value) -> Vec<&str> {
    list["items"].as_array().unwrap().iter().map(|item| text(&item["metadata"]["name"])).collect()
}

#[tokio::test]
async fn everybody_lists_their_own_and_nothing_else() {
    let town = Town::build().await;
    for role in ["manager", "dispatcher", "viewer"] {
        let caller = town.of_acme(role);
        assert_eq!(names(&caller.get(&at("acme", "orders")).await.ok()), ["other-1", "own-1"], "{role}");
        assert_eq!(names(&caller.get(&at("acme", "drivers")).await.ok()), ["kim", "sam"], "{role}");
    }
    for role in ["driver", "customer"] {
        let caller = town.of_acme(role);
        let list = caller.get(&format!("{}?limit=1", at("acme", "orders"))).await.ok();
        assert_eq!(names(&list), ["own-1"], "{role}");
        assert!(list["metadata"].get("remainingItemCount").is_none(), "{role} learns how many others there are");
        assert_eq!(caller.get(&at("acme", "orders/other-1")).await.refusal().0, 404, "{role}");
        assert_eq!(caller.get(&at("acme", "orders/own-1")).await.code, 200, "{role}");
    }
    assert_eq!(names(&town.of_acme("driver").get(&at("acme", "drivers")).await.ok()), ["sam"]);
    assert_eq!(town.of_acme("customer").get(&at("acme", "drivers")).await.refusal().0, 403);
}

#[tokio::test]
async fn a_foreign_namespace_is_as_missing_as_one_that_never_was() {
    let town = Town::build().await;
    for role in ROLES {
        let caller = town.of_acme(role);
        for path in ["orders", "orders/own-1", "drivers", "members", "nothings"] {
            let foreign = caller.get(&at("bolt", path)).await;
            let missing = caller.get(&at("nowhere", path)).await;
            assert_eq!(foreign.refusal(), (404, "NotFound", "namespaces \"bolt\" not found"), "{role} {path}");
            assert_eq!(missing.refusal(), (404, "NotFound", "namespaces \"nowhere\" not found"), "{role} {path}");
        }
        let created = caller.post(&at("bolt", "orders"), &order("x")).await;
        assert_eq!(created.refusal(), (404, "NotFound", "namespaces \"bolt\" not found"), "{role}");
        assert_eq!(caller.get("/api/v1/namespaces/bolt").await.refusal().0, 404, "{role}");
        assert_eq!(caller.get("/api/v1/namespaces/acme").await.code, 200, "{role}");
        assert_eq!(names(&caller.get("/api/v1/namespaces").await.ok()), ["acme"], "{role}");
        assert_eq!(caller.get("/apis/dropmate.dev/v1/orders").await.refusal().0, 403, "{role} with -A");
    }
}

#[tokio::test]
async fn no_answer_to_one_business_says_anything_of_the_other() {
    let town = Town::build().await;
    let table = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
    for role in ROLES {
        let caller = town.of_acme(role);
        let roots = ["acme", "bolt"].map(|business| at(business, "orders"));
        let mut asked = 0;
        for root in roots.iter().map(String::as_str).chain(["/apis/dropmate.dev/v1/orders", "/api/v1/namespaces"]) {
            for query in [
                "",
                "?limit=1",
                "?labelSelector=tell%3Dcanary-4711",
                "?fieldSelector=metadata.name%3Down-1",
                "?resourceVersion=0",
                "?watch=true&timeoutSeconds=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true",
            ] {
                for accept in ["application/json", table] {
                    let request = http::Request::get(format!("{root}{query}")).header("accept", accept);
                    let answer = caller.request(request.body(axum::body::Body::empty()).unwrap()).await;
                    let said = answer.body.to_string();
                    // A selector that was refused is said again to whoever sent it.
                    assert!(!said.contains(CANARY), "{role} {root}{query}: {said}");
                    assert!(!said.contains("bolt.test"), "{role} {root}{query}: {said}");
                    asked += 1;
                }
            }
        }
        assert_eq!(asked, 48);
        let token = caller.get(&format!("{}?limit=1", at("acme", "orders"))).await.ok();
        let token = text(&token["metadata"]["continue"]).to_owned();
        if !token.is_empty() {
            let path = format!("{}?limit=1&continue={token}", at("acme", "orders"));
            let stranger = town.of_acme(if role == "manager" { "viewer" } else { "manager" });
            assert_eq!(stranger.get(&path).await.refusal().0, 400, "a token is good for whom it was given to");
        }
    }
}

#[tokio::test]
async fn a_driver_reads_an_order_without_what_is_not_theirs_by_every_door() {
    let town = Town::build().await;
    let driver = town.of_acme("driver");
    let private = ["ada@private.example", "managedFields", "\"reason\":{"];
    let path = at("acme", "orders");
    let full = town.of_acme("manager").get(&format!("{path}/own-1")).await.ok().to_string();
    assert!(full.contains(private[0]) && full.contains(private[1]), "there is something to hide: {full}");
    let watch = format!("{path}?watch=true&timeoutSeconds=1&resourceVersion=0");
    for path in [format!("{path}/own-1"), format!("{path}/own-1/status"), path.clone(), watch] {
        for accept in ["application/json", "application/json;as=Table;v=v1;g=meta.k8s.io"] {
            let separator = if path.contains('?') { '&' } else { '?' };
            let request = http::Request::get(format!("{path}{separator}includeObject=Object")).header("accept", accept);
            let answer = driver.request(request.body(axum::body::Body::empty()).unwrap()).await;
            assert!(answer.code.is_success(), "{path}: {}", answer.body);
            let said = answer.body.to_string();
            assert!(said.contains("own-1") && !said.contains("other-1"), "{path}: {said}");
            for private in private {
                assert!(!said.contains(private), "{path} says {private}: {said}");
            }
        }
    }
}

#[tokio::test]
async fn a_dispatcher_suspends_and_a_customer_calls_off_and_neither_writes_more() {
    let town = Town::build().await;
    let (dispatcher, customer) = (town.of_acme("dispatcher"), town.of_acme("customer"));
    let sam = at("acme", "drivers/sam");
    dispatcher.merge(&sam, &json!({"spec": {"suspended": true}})).await.ok();
    let refused = dispatcher.merge(&sam, &json!({"spec": {"suspended": false, "displayName": "Eve"}})).await;
    assert_eq!(refused.refusal().0, 403);
    assert_eq!(refused.body["details"]["causes"][0]["field"], "spec.displayName");
    let held = dispatcher.get(&sam).await.ok();
    assert_eq!((&held["spec"]["suspended"], &held["spec"]["displayName"]), (&json!(true), &json!("sam")));

    let own = at("acme", "orders/own-1");
    let refused = customer.merge(&own, &json!({"spec": {"priority": 99}})).await;
    assert_eq!(refused.body["details"]["causes"][0]["field"], "spec.priority", "{}", refused.body);
    assert_eq!(customer.merge(&at("acme", "orders/other-1"), &json!({"spec": {"cancelled": true}})).await.code, 404);
    customer.merge(&own, &json!({"spec": {"cancelled": true}})).await.ok();
    assert_eq!(town.of_acme("viewer").get(&own).await.ok()["status"]["phase"], "Cancelled");
    assert_eq!(customer.delete(&own, &Value::Null).await.refusal().0, 403);
}

#[tokio::test]
async fn a_customer_orders_for_themselves() {
    let town = Town::build().await;
    let customer = town.of_acme("customer");
    let made = customer.post(&at("acme", "orders"), &order("mine")).await.ok();
    assert_eq!(made["spec"]["customerName"], "cust");
    let mut other = order("theirs");
    other["spec"]["customerName"] = "somebody".into();
    assert_eq!(customer.post(&at("acme", "orders"), &other).await.refusal().0, 403);
    let mut pinned = order("pinned");
    pinned["spec"]["driverName"] = "sam".into();
    let refused = customer.post(&at("acme", "orders"), &pinned).await;
    assert_eq!(refused.body["details"]["causes"][0]["field"], "spec.driverName", "{}", refused.body);
    assert_eq!(names(&customer.get(&at("acme", "orders")).await.ok()), ["mine", "own-1"]);
}

#[tokio::test]
async fn an_agent_writes_its_own_part_of_a_status() {
    let town = Town::build().await;
    let path = at("acme", "orders/own-1/status");
    let condition = |type_: &str| {
        json!({"status": {"conditions": [{
            "type": type_, "status": "True", "reason": "R", "message": "", "lastTransitionTime": "2026-11-24T12:00:00Z",
        }]}})
    };
    for (agent, own, others) in [
        ("dispatch", condition("Unassignable"), condition("Late")),
        ("tracking", json!({"status": {"eta": "2026-11-24T12:00:00Z"}}), condition("Unassignable")),
        ("notification", condition("CustomerNotified"), json!({"status": {"eta": "2026-11-24T12:00:00Z"}})),
    ] {
        let caller = town.operator.as_user(&format!("system:serviceaccount:dropmate-system:{agent}"));
        let apply = |patch: &Value| {
            let mut applied = patch.clone();
            applied["apiVersion"] = "dropmate.dev/v1".into();
            applied["kind"] = "Order".into();
            applied["metadata"] = json!({"name": "own-1"});
            applied
        };
        caller.apply(&path, agent, &apply(&own)).await.ok();
        assert_eq!(caller.apply(&path, agent, &apply(&others)).await.refusal().0, 403, "{agent}");
    }
}

#[tokio::test]
async fn who_loses_the_role_loses_the_open_watch_and_everything_else() {
    let town = Town::build().await;
    let driver = town.of_acme("driver");
    let mut watch = driver.watch(&format!("{}?watch=true&resourceVersion=0", at("acme", "orders"))).await;
    assert_eq!(watch.next_named().await, ("ADDED".to_owned(), "own-1".to_owned()));
    town.of_acme("manager").delete(&at("acme", "members/driver"), &Value::Null).await.ok();
    let end = tokio::time::timeout(Duration::from_secs(5), watch.next()).await.expect("access ends within 5 s");
    assert_eq!(end, None);
    assert_eq!(driver.get(&at("acme", "orders")).await.refusal().0, 404);
    assert_eq!(driver.get("/v1/me").await.ok()["memberships"], json!([]));
}

#[tokio::test]
async fn an_order_comes_into_a_drivers_watch_when_it_is_theirs_and_leaves_it_again() {
    let town = Town::build().await;
    let driver = town.of_acme("driver");
    let mut watch = driver.watch(&format!("{}?watch=true&resourceVersion=0", at("acme", "orders"))).await;
    assert_eq!(watch.next_named().await, ("ADDED".to_owned(), "own-1".to_owned()));
    let unbinding = json!({"reason": "Manual"});
    town.of_acme("manager").delete(&at("acme", "orders/own-1/binding"), &unbinding).await.ok();
    assert_eq!(watch.next_named().await, ("DELETED".to_owned(), "own-1".to_owned()));
    assert_eq!(driver.get(&at("acme", "orders/own-1")).await.refusal().0, 404);
}

#[tokio::test]
async fn a_member_takes_effect_for_who_accepted_it_or_owns_the_address_and_for_nobody_who_only_claims_it() {
    let town = Town::build().await;
    let squatter = Caller { verified: false, uid: "squatter".into(), ..Caller::named("manager@acme.test") };
    let squatter = town.operator.as_caller(squatter);
    assert_eq!(squatter.get(&at("acme", "orders")).await.refusal().0, 404);
    assert_eq!(squatter.get("/v1/me").await.ok()["memberships"], json!([]));
    // Nobody makes themselves accepted.
    let forged = json!({"status": {"userUid": "squatter"}});
    town.of_acme("manager").merge(&at("acme", "members/viewer"), &forged).await.ok();
    let viewer = Caller { verified: false, uid: "squatter".into(), ..Caller::named("viewer@acme.test") };
    assert_eq!(town.operator.as_caller(viewer).get(&at("acme", "orders")).await.refusal().0, 404);
}

#[tokio::test]
async fn who_may_not_delete_gives_nothing_an_owner_that_would() {
    let town = Town::build().await;
    let owners = json!({"metadata": {"ownerReferences": [{
        "apiVersion": "dropmate.dev/v1", "kind": "Depot", "name": "none", "uid": "00000000-0000-4000-8000-000000000000",
    }]}});
    let own = at("acme", "orders/own-1");
    let refused = town.of_acme("dispatcher").merge(&own, &owners).await;
    assert_eq!(refused.refusal().0, 403);
    assert_eq!(refused.body["details"]["causes"][0]["field"], "metadata.ownerReferences");
    assert_eq!(town.of_acme("dispatcher").merge(&own, &json!({"spec": {"priority": 3}})).await.code, 200);
    assert_eq!(town.of_acme("manager").merge(&own, &owners).await.code, 200, "who may delete may");
}

#[tokio::test]
async fn a_business_does_not_find_what_another_of_its_name_left() {
    let town = Town::build().await;
    let operator = &town.operator;
    let before = text(&operator.get(&at("bolt", "orders")).await.ok()["metadata"]["resourceVersion"]).to_owned();
    operator.delete("/api/v1/namespaces/bolt", &Value::Null).await.ok();
    for _ in 0..500 {
        if operator.get("/api/v1/namespaces/bolt").await.code == 404 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // The time of a namespace's creation is told in whole seconds.
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    operator.post("/api/v1/namespaces", &namespace("bolt")).await.ok();
    operator.post(&at("bolt", "members"), &member("new", "new@bolt.test", "manager")).await.ok();
    town.known("new@bolt.test").await;
    let new = operator.as_caller(person("new@bolt.test"));
    let exact = format!("{}?resourceVersion={before}&resourceVersionMatch=Exact", at("bolt", "orders"));
    assert_eq!(names(&operator.get(&exact).await.ok()), ["other-1", "own-1"], "there is something to find");
    assert_eq!(new.get(&exact).await.refusal().0, 410);
    let watch = format!("{}?watch=true&timeoutSeconds=1&resourceVersion={before}", at("bolt", "orders"));
    for path in [watch, "/v1/namespaces/bolt/archive/orders".to_owned(), "/v1/namespaces/bolt/audit".to_owned()] {
        let answer = new.get(&path).await;
        assert!(!answer.body.to_string().contains("own-1"), "{path}: {}", answer.body);
    }
    assert_eq!(new.get("/v1/namespaces/bolt/history/orders/own-1").await.code, 404);
}
