//! A business with two drivers on a server that keeps what phones bring in.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    client::{Api, DISPATCH, LEASES, driver, namespace, order},
    server::Server,
    tenants::{at, member, person},
};

/// A business whose dispatch the test is.
pub(crate) struct Day {
    pub(crate) server: Server,
    pub(crate) operator: Api,
    dispatch: Api,
    fence: Value,
    /// Business time at the start.
    pub(crate) morning: Timestamp,
}

impl Day {
    pub(crate) async fn begin() -> Self {
        Self::begin_with(&[]).await
    }

    pub(crate) async fn begin_with(flags: &[&str]) -> Self {
        let server = Server::start_with(tempfile::tempdir().unwrap(), flags).await;
        let operator = Api::over(server.plane.clone());
        let dispatch = operator.as_user(DISPATCH);
        let lease = json!({
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "dispatch"},
            "spec": {"holderIdentity": "me", "leaseTransitions": 1, "leaseDurationSeconds": 15},
        });
        let lease = dispatch.post(LEASES, &lease).await.ok();
        let fence =
            json!({"lease": "dispatch", "leaseUid": lease["metadata"]["uid"], "holder": "me", "transitions": 1});
        operator.post("/api/v1/namespaces", &namespace("acme")).await.ok();
        for name in ["sam", "kim"] {
            operator.post(&at("acme", "drivers"), &driver(name)).await.ok();
        }
        for role in ["manager", "dispatcher", "driver", "customer", "viewer"] {
            operator.post(&at("acme", "members"), &member(role, &format!("{role}@acme.test"), role)).await.ok();
        }
        let morning = server.plane.clock().business_now();
        let day = Self { server, operator, dispatch, fence, morning };
        day.known(&day.of("viewer")).await;
        day
    }

    /// Ends the server and gives its data dir back.
    pub(crate) async fn end(self) -> TempDir {
        let Self { server, operator, dispatch, .. } = self;
        // They hold the server.
        drop((operator, dispatch));
        server.end().await
    }

    /// Somebody of the business.
    pub(crate) fn of(&self, role: &str) -> Api {
        self.operator.as_caller(person(&format!("{role}@acme.test")))
    }

    /// The phone of a driver, as the program itself vouches for it.
    pub(crate) fn phone(&self) -> Api {
        self.of("driver")
    }

    /// Waits until the gateway, which follows the store, knows the caller as somebody.
    pub(crate) async fn known(&self, caller: &Api) {
        for _ in 0..200 {
            if !caller.get("/v1/me").await.ok()["memberships"].as_array().unwrap().is_empty() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the caller is a member of nothing");
    }

    /// An order that is bound to the driver.
    pub(crate) async fn bound(&self, name: &str, driver: &str, spec: &Value) {
        self.released(name, spec).await;
        let binding = json!({
            "apiVersion": "dropmate.dev/v1", "kind": "Binding", "metadata": {"name": name},
            "target": {"kind": "Driver", "name": driver}, "fence": self.fence,
        });
        self.dispatch.post(&at("acme", &format!("orders/{name}/binding")), &binding).await.ok();
    }

    /// An order that waits for a driver.
    pub(crate) async fn released(&self, name: &str, spec: &Value) {
        let mut body = order(name);
        for (field, value) in spec.as_object().into_iter().flatten() {
            body["spec"][field] = value.clone();
        }
        self.operator.post(&at("acme", "orders"), &body).await.ok();
        self.decided(name, json!({"type": "release", "clientEventId": "release"})).await;
    }

    /// What dispatch reports about an order.
    pub(crate) async fn decided(&self, name: &str, mut report: Value) {
        report["occurredAt"] = self.morning.to_string().into();
        report["fence"] = self.fence.clone();
        self.dispatch.post(&at("acme", &format!("orders/{name}/progress")), &report).await.ok();
    }

    /// A report of a driver, so many minutes after the morning.
    pub(crate) fn report(&self, order: &str, type_: &str, minutes: i64) -> Value {
        json!({
            "order": format!("acme/{order}"), "clientEventId": format!("{order}-{type_}-{minutes}"), "type": type_,
            "occurredAt": self.minutes(minutes).to_string(),
        })
    }

    pub(crate) fn minutes(&self, minutes: i64) -> Timestamp {
        self.morning + SignedDuration::from_mins(minutes)
    }

    /// What `/metrics` says of a counter; 0 where it says nothing.
    pub(crate) async fn metric(&self, series: &str) -> u64 {
        let text = self.server.metrics().await;
        let value = text.lines().find_map(|line| line.strip_prefix(series)?.trim().parse().ok());
        value.unwrap_or_default()
    }

    pub(crate) async fn status_of(&self, order: &str) -> Value {
        self.operator.get(&at("acme", &format!("orders/{order}"))).await.ok()["status"].clone()
    }
}

/// What became of each report: `applied 200`.
pub(crate) fn outcomes(answer: &Value) -> Vec<String> {
    let results = answer["results"].as_array().unwrap();
    results.iter().map(|result| format!("{} {}", result["outcome"].as_str().unwrap(), result["status"])).collect()
}
