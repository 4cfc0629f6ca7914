//! A control plane in memory with a few orders and drivers, and dispatch agents that can be started and stopped.

use std::{convert::Infallible, future::Future, pin::Pin, sync::Arc, time::Duration};

use axum::{body::Body, response::Response};
use dropmate_api::{Clock, DispatchPolicy, Driver, Order, Phase};
use dropmate_control_plane::ControlPlane;
use dropmate_dispatch::{Config, Metrics};
use http::Request;
use jiff::{SignedDuration, Timestamp};
use kube::{
    Api, Client,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tower::{Service, service_fn};

pub(crate) const DISPATCH: &str = "system:serviceaccount:dropmate-system:dispatch";

/// Longer than anything here may take.
const LONG: Duration = Duration::from_mins(2);

pub(crate) struct City {
    pub(crate) plane: ControlPlane,
    pub(crate) orders: Api<Order>,
    pub(crate) drivers: Api<Driver>,
    pub(crate) policies: Api<DispatchPolicy>,
}

/// A dispatch agent at work.
pub(crate) struct Agent {
    pub(crate) metrics: Metrics,
    shutdown: CancellationToken,
    running: JoinHandle<anyhow::Result<()>>,
}

/// What becomes of a request on its way.
pub(crate) type Passage = Pin<Box<dyn Future<Output = Fate> + Send>>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Pass,
    /// The server never sees it.
    Lost,
    /// The server does it, but the answer is lost.
    AnswerLost,
}

impl City {
    pub(crate) async fn new() -> Self {
        let origin: Timestamp = "2026-11-23T08:00:00Z".parse().unwrap();
        let started = Instant::now();
        let now = Arc::new(move || origin + SignedDuration::try_from(started.elapsed()).unwrap());
        let plane = ControlPlane::in_memory(Clock::real(now)).await;
        let operator = Client::new(plane.in_process("operator"), "default");
        // Nobody moves here, so dispatch may not wait until a driver is where the next order would join.
        let policies: Api<DispatchPolicy> = Api::default_namespaced(operator.clone());
        let policy = json!({
            "apiVersion": "dropmate.dev/v1", "kind": "DispatchPolicy", "metadata": {"name": "default"},
            "spec": {"mode": "Nearest"},
        });
        policies.create(&PostParams::default(), &serde_json::from_value(policy).unwrap()).await.unwrap();
        Self {
            orders: Api::default_namespaced(operator.clone()),
            drivers: Api::default_namespaced(operator),
            policies,
            plane,
        }
    }

    pub(crate) fn client(&self, user: &str) -> Client {
        Client::new(self.plane.in_process(user), "default")
    }

    /// A driver on a bicycle, `north` kilometres from the pickup.
    pub(crate) async fn add_driver(&self, name: &str, north: f64) {
        self.apply_driver(name, json!({"displayName": name, "startLocation": at(north)})).await;
    }

    /// As many drivers as needed for each order to have its own: nobody has to wait until a driver is free.
    pub(crate) async fn add_drivers(&self, count: u32) {
        for n in 0..count {
            self.add_driver(&format!("d-{n}"), 0.1 * f64::from(n)).await;
        }
    }

    pub(crate) async fn apply_driver(&self, name: &str, spec: Value) {
        let driver =
            json!({"apiVersion": "dropmate.dev/v1", "kind": "Driver", "metadata": {"name": name}, "spec": spec});
        self.drivers.create(&PostParams::default(), &serde_json::from_value(driver).unwrap()).await.unwrap();
    }

    /// An order from the middle of the town to a door two kilometres north, with `more` in its spec.
    pub(crate) async fn add_order(&self, name: &str, more: Value) {
        let mut spec = json!({
            "pickup": {"address": "12 Mill St", "location": at(0.0)},
            "dropoff": {"address": "88 Queens Quay", "location": at(2.0)},
            "recipient": {"name": "Ada"},
        });
        spec.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
        let order = json!({"apiVersion": "dropmate.dev/v1", "kind": "Order", "metadata": {"name": name}, "spec": spec});
        self.orders.create(&PostParams::default(), &serde_json::from_value(order).unwrap()).await.unwrap();
    }

    pub(crate) async fn delete_driver(&self, name: &str) {
        self.drivers.delete(name, &DeleteParams::default()).await.unwrap();
    }

    pub(crate) async fn patch_order(&self, name: &str, patch: Value) {
        self.orders.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    }

    pub(crate) async fn order(&self, name: &str) -> Order {
        self.orders.get(name).await.unwrap()
    }

    /// The driver an order is bound to.
    pub(crate) async fn driver_of(&self, name: &str) -> Option<String> {
        self.order(name).await.status?.assignment?.driver_name
    }

    pub(crate) async fn all_orders(&self) -> Vec<Order> {
        self.orders.list(&ListParams::default()).await.unwrap().items
    }

    /// Waits until the order is as wanted, and returns it.
    pub(crate) async fn order_when(&self, name: &str, wanted: impl Fn(&Order) -> bool) -> Order {
        let found = timeout(LONG, async {
            loop {
                let order = self.order(name).await;
                if wanted(&order) {
                    return order;
                }
                sleep(Duration::from_millis(100)).await;
            }
        });
        let Ok(order) = found.await else {
            panic!("order {name} never became as wanted: {:#?}", self.order(name).await.status)
        };
        order
    }

    pub(crate) async fn bound(&self, name: &str) -> Order {
        self.order_when(name, |order| order.phase() == Phase::Assigned).await
    }

    /// A dispatch agent whose requests all get through.
    pub(crate) fn start(&self, identity: &str) -> Agent {
        self.start_with(identity, self.client(DISPATCH))
    }

    pub(crate) fn start_with(&self, identity: &str, client: Client) -> Agent {
        let config = Config::new(self.plane.clock().clone(), identity);
        let metrics = config.metrics.clone();
        let shutdown = CancellationToken::new();
        let running = tokio::spawn(dropmate_dispatch::run(client, config, shutdown.clone()));
        Agent { metrics, shutdown, running }
    }

    /// A client of the dispatch agent; `fate` is asked about each request and may take its time.
    pub(crate) fn client_by_fate(
        &self,
        fate: impl Fn(&Request<kube::client::Body>) -> Passage + Send + Sync + 'static,
    ) -> Client {
        let router = self.plane.in_process(DISPATCH);
        let service = service_fn(move |request: Request<kube::client::Body>| {
            let mut router = router.clone();
            let fate = fate(&request);
            async move {
                let broken = || std::io::Error::new(std::io::ErrorKind::ConnectionReset, "the connection is lost");
                match fate.await {
                    Fate::Lost => Err(broken()),
                    Fate::Pass => {
                        let Ok(answer) = router.call(request).await;
                        Ok(answer)
                    }
                    Fate::AnswerLost => {
                        let Ok(_unseen): Result<Response<Body>, Infallible> = router.call(request).await;
                        Err(broken())
                    }
                }
            }
        });
        Client::new(service, "default")
    }
}

impl Agent {
    /// Shuts the agent down in good order.
    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        timeout(LONG, self.running).await.expect("the agent ends").unwrap().unwrap();
    }

    /// Ends it as a crash would.
    pub(crate) fn kill(self) {
        self.running.abort();
    }
}

fn at(north: f64) -> Value {
    json!({"latitude": 43.65 + north / 111.2, "longitude": -79.38})
}
