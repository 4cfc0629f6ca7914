//! `/binding` and `/progress` of an order.

use serde_json::{Value, json};

use crate::client::{Api, DISPATCH, DRIVERS, LEASES, ORDERS, driver, order, text};

/// An operator, the dispatch agent and its fence; order `o1` and driver `sam`.
struct Shop {
    operator: Api,
    dispatch: Api,
    fence: Value,
}

impl Shop {
    async fn open() -> Self {
        let operator = Api::start().await;
        let dispatch = operator.as_user(DISPATCH);
        let lease = json!({
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "dispatch"},
            "spec": {"holderIdentity": "me", "leaseTransitions": 1, "leaseDurationSeconds": 15},
        });
        let lease = dispatch.post(LEASES, &lease).await.ok();
        operator.post(ORDERS, &order("o1")).await.ok();
        operator.post(DRIVERS, &driver("sam")).await.ok();
        operator.post(DRIVERS, &driver("kim")).await.ok();
        let fence =
            json!({"lease": "dispatch", "leaseUid": lease["metadata"]["uid"], "holder": "me", "transitions": 1});
        Self { operator, dispatch, fence }
    }

    fn report(&self, type_: &str) -> Value {
        json!({"clientEventId": type_, "type": type_, "occurredAt": self.operator.plane.clock().business_now().to_string()})
    }

    async fn release(&self) {
        let mut report = self.report("release");
        report["fence"] = self.fence.clone();
        self.dispatch.post(&at("progress"), &report).await.ok();
    }

    fn binding(&self, to: &str) -> Value {
        json!({"apiVersion": "dropmate.dev/v1", "kind": "Binding", "metadata": {"name": "o1"},
            "target": {"kind": "Driver", "name": to}, "fence": self.fence})
    }

    async fn phase(&self) -> String {
        text(&self.operator.get(&format!("{ORDERS}/o1")).await.ok()["status"]["phase"]).to_owned()
    }
}

fn at(subresource: &str) -> String {
    format!("{ORDERS}/o1/{subresource}")
}

fn cause(answer: &crate::client::Answer) -> &str {
    text(&answer.body["details"]["causes"][0]["reason"])
}

#[tokio::test]
async fn an_order_is_released_bound_and_delivered() {
    let shop = Shop::open().await;
    shop.release().await;
    assert_eq!(shop.phase().await, "Ready");
    let bound = shop.dispatch.post(&at("binding"), &shop.binding("sam")).await;
    assert_eq!(bound.code, 201, "{}", bound.body);
    assert_eq!(bound.body["status"], "Success");
    assert_eq!(shop.phase().await, "Assigned");
    for (report, phase) in [("depart", "EnRouteToPickup"), ("arrive", "AtPickup"), ("pickUp", "OutForDelivery")] {
        let answer = shop.operator.post(&at("progress"), &shop.report(report)).await.ok();
        assert_eq!((&answer["outcome"], &answer["phase"]), (&json!("applied"), &json!(phase)));
        assert!(!answer["legalNext"].as_array().unwrap().is_empty());
    }
    let deliver = shop.report("deliver");
    shop.operator.post(&at("progress"), &deliver).await.ok();
    let replay = shop.operator.post(&at("progress"), &deliver).await.ok();
    assert_eq!(replay["outcome"], "replayed");
    assert_eq!(shop.phase().await, "Delivered");
    let mut other = deliver;
    other["note"] = json!("something else");
    assert_eq!(shop.operator.post(&at("progress"), &other).await.refusal().0, 422);
}

#[tokio::test]
async fn binding_again_is_unchanged_and_binding_elsewhere_a_conflict() {
    let shop = Shop::open().await;
    let early = shop.dispatch.post(&at("binding"), &shop.binding("sam")).await;
    assert_eq!((early.refusal().0, cause(&early)), (409, "NotBindable"));
    shop.release().await;
    shop.dispatch.post(&at("binding"), &shop.binding("sam")).await.ok();
    let before = shop.operator.get(&format!("{ORDERS}/o1")).await.ok();
    assert_eq!(shop.dispatch.post(&at("binding"), &shop.binding("sam")).await.code, 201);
    assert_eq!(shop.operator.get(&format!("{ORDERS}/o1")).await.ok(), before);
    let elsewhere = shop.dispatch.post(&at("binding"), &shop.binding("kim")).await;
    assert_eq!((elsewhere.refusal().0, cause(&elsewhere)), (409, "AlreadyBound"));
}

#[tokio::test]
async fn a_stale_fence_is_refused() {
    let shop = Shop::open().await;
    shop.release().await;
    let stale = [("holder", json!("another")), ("transitions", json!(0)), ("leaseUid", json!("x"))];
    for (field, value) in stale {
        let mut binding = shop.binding("sam");
        binding["fence"][field] = value;
        let refused = shop.dispatch.post(&at("binding"), &binding).await;
        assert_eq!((refused.refusal().0, cause(&refused)), (409, "FencedLease"), "{field}");
    }
    let mut release = shop.report("release");
    release["fence"] = shop.fence.clone();
    release["fence"]["holder"] = json!("another");
    assert_eq!(shop.dispatch.post(&at("progress"), &release).await.refusal().0, 409);
    assert_eq!(shop.phase().await, "Ready");
}

#[tokio::test]
async fn a_binding_without_the_fence_of_dispatch_is_invalid() {
    let shop = Shop::open().await;
    shop.release().await;
    let mut none = shop.binding("sam");
    none.as_object_mut().unwrap().remove("fence");
    let refused = shop.dispatch.post(&at("binding"), &none).await;
    assert_eq!((refused.refusal().0, text(&refused.body["details"]["causes"][0]["field"])), (422, "fence"));
    let mut other = shop.binding("sam");
    other["fence"]["lease"] = json!("tracking");
    assert_eq!(shop.dispatch.post(&at("binding"), &other).await.refusal().0, 422);
    let refused = shop.dispatch.post(&at("progress"), &shop.report("schedule")).await;
    assert_eq!(refused.refusal().0, 422);
}

#[tokio::test]
async fn only_a_known_driver_who_works_is_bound_and_only_by_dispatch() {
    let shop = Shop::open().await;
    shop.release().await;
    let unknown = shop.dispatch.post(&at("binding"), &shop.binding("nobody")).await;
    assert_eq!(unknown.refusal().0, 422);
    shop.operator.merge(&format!("{DRIVERS}/sam"), &json!({"spec": {"suspended": true}})).await.ok();
    assert_eq!(shop.dispatch.post(&at("binding"), &shop.binding("sam")).await.refusal().0, 422);
    assert_eq!(shop.operator.post(&at("binding"), &shop.binding("kim")).await.refusal().0, 403);
    assert_eq!(shop.phase().await, "Ready");
}

#[tokio::test]
async fn an_operator_unbinds_without_a_fence() {
    let shop = Shop::open().await;
    shop.release().await;
    shop.dispatch.post(&at("binding"), &shop.binding("sam")).await.ok();
    assert_eq!(shop.dispatch.delete(&at("binding"), &json!({"reason": "x"})).await.refusal().0, 422);
    shop.operator.delete(&at("binding"), &json!({"reason": "ill"})).await.ok();
    assert_eq!(shop.phase().await, "Ready");
    let again = shop.operator.delete(&at("binding"), &Value::Null).await;
    assert_eq!(again.refusal().0, 409);
}

#[tokio::test]
async fn an_illegal_report_names_what_is_legal() {
    let shop = Shop::open().await;
    shop.release().await;
    shop.dispatch.post(&at("binding"), &shop.binding("sam")).await.ok();
    let refused = shop.operator.post(&at("progress"), &shop.report("returned")).await;
    assert_eq!(refused.refusal().0, 409);
    let causes = refused.body["details"]["causes"].as_array().unwrap();
    assert!(causes.iter().all(|c| c["reason"] == "LegalNext" && c["field"] == "type"));
    assert!(causes.iter().any(|c| c["message"] == "depart"), "{causes:?}");
    let unknown = shop.operator.post(&at("progress"), &json!({"clientEventId": "x", "type": "fly"})).await;
    assert_eq!(unknown.refusal().0, 422);
}

#[tokio::test]
async fn a_binding_may_be_meant_for_one_version_only() {
    let shop = Shop::open().await;
    shop.release().await;
    let mut binding = shop.binding("sam");
    binding["metadata"]["resourceVersion"] = json!("1");
    assert_eq!(shop.dispatch.post(&at("binding"), &binding).await.refusal().1, "Conflict");
    let held = shop.operator.get(&format!("{ORDERS}/o1")).await.ok();
    binding["metadata"]["resourceVersion"] = held["metadata"]["resourceVersion"].clone();
    assert_eq!(shop.dispatch.post(&at("binding"), &binding).await.code, 201);
}
