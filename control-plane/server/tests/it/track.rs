//! Customers' links: who gets them, where they lead, what is seen there, and what is not.

#[path = "track/doors.rs"]
mod doors;
#[path = "track/links.rs"]
mod links;
#[path = "track/page.rs"]
mod page;
#[path = "track/probe.rs"]
mod probe;
#[path = "track/quiet.rs"]
mod quiet;
#[path = "track/stream.rs"]
mod stream;

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use dropmate_api::Clock;
use dropmate_live::Position;
use jiff::{SignedDuration, Timestamp};
use reqwest::Response;
use serde_json::{Value, json};

use crate::{
    client::{Answer, DISPATCH, LEASES, clock, text},
    proofs::Shop,
    server::Server,
    tenants::at,
};

pub(crate) const NOTIFICATION: &str = "system:serviceaccount:dropmate-system:notification";

/// A shop whose time can be put forward.
pub(crate) struct Late {
    pub(crate) shop: Shop,
    ahead: Arc<AtomicI64>,
}

impl Late {
    pub(crate) async fn open(flags: &[&str]) -> Self {
        let ahead = Arc::<AtomicI64>::default();
        let (seconds, real) = (ahead.clone(), clock());
        let later = move || real.system_now() + SignedDuration::from_secs(seconds.load(Ordering::Relaxed));
        let shop = Shop::on(Server::start_at(flags, Clock::real(Arc::new(later))).await).await;
        Self { shop, ahead }
    }

    pub(crate) fn pass(&self, time: SignedDuration) {
        self.ahead.fetch_add(time.as_secs(), Ordering::Relaxed);
    }
}

impl Shop {
    /// The link to an order, as the manager gets it.
    pub(crate) async fn link(&self, name: &str) -> String {
        let path = format!("/v1/namespaces/acme/orders/{name}/tracking-links");
        let made = self.of_acme("manager").post(&path, &json!({})).await;
        assert_eq!(made.code, 201, "{}", made.body);
        text(&made.body["url"]).to_owned()
    }

    /// The token in it.
    pub(crate) async fn link_token(&self, name: &str) -> String {
        self.link(name).await.rsplit('/').next().unwrap().to_owned()
    }

    /// A request of somebody with no account.
    pub(crate) async fn stranger(&self, path: &str) -> Response {
        self.server.http.get(self.server.url(path)).send().await.unwrap()
    }

    pub(crate) async fn seen(&self, token: &str) -> Value {
        let answer = self.stranger(&format!("/v1/track/{token}")).await;
        let (code, body): (_, Value) = (answer.status(), answer.json().await.unwrap());
        assert_eq!(code, 200, "{body}");
        body
    }

    /// A report of a driver, through the dispatcher.
    pub(crate) async fn tell(&self, order: &str, type_: &str, driver: &str, more: &Value) -> Answer {
        let id = uuid::Uuid::new_v4().to_string();
        let mut report = json!({"clientEventId": id, "type": type_, "occurredAt": self.now(), "driver": driver});
        for (name, value) in more.as_object().into_iter().flatten() {
            report[name] = value.clone();
        }
        self.of_acme("dispatcher").post(&at("acme", &format!("orders/{order}/progress")), &report).await
    }

    /// The driver brings an order, from wherever it is.
    pub(crate) async fn bring(&self, order: &str, driver: &str) {
        self.tell(order, "pickUp", driver, &Value::Null).await.ok();
        self.tell(order, "deliver", driver, &Value::Null).await.ok();
    }

    /// What the agent for dispatch plans for a driver.
    pub(crate) async fn plan(&self, driver: &str, stops: &[(&str, &str)]) {
        let stop = |(order, stop): &(&str, &str)| {
            let place = order.bytes().map(f64::from).sum::<f64>() / 100_000.0;
            json!({"order": order, "stop": stop, "location": {"latitude": 43.64 + place, "longitude": -79.37}})
        };
        let route: Vec<Value> = stops.iter().map(stop).collect();
        let patch = json!({"status": {"route": route}});
        let dispatch = self.operator.as_user(DISPATCH);
        dispatch.merge(&format!("{}/status", at("acme", &format!("drivers/{driver}"))), &patch).await.ok();
    }

    /// The driver is there now.
    pub(crate) fn drives(&self, driver: &str, latitude: f64) {
        self.drove(driver, latitude, self.server.plane.clock().business_now());
    }

    pub(crate) fn drove(&self, driver: &str, latitude: f64, at: Timestamp) {
        self.server.plane.live().saw([Position {
            namespace: "acme".to_owned(),
            driver: driver.to_owned(),
            uid: String::new(),
            at,
            latitude,
            longitude: -79.37,
            speed_meters_per_second: None,
            bearing: None,
            accuracy_meters: None,
        }]);
    }

    /// Takes the orders that the shop begins with out of the way.
    pub(crate) async fn only(&self) {
        for name in ["sams", "kims"] {
            self.operator.delete(&at("acme", &format!("orders/{name}")), &json!({})).await.ok();
        }
        let lease = self.operator.as_user(DISPATCH).get(&format!("{LEASES}/dispatch")).await;
        assert!(lease.code.is_success());
    }
}
