//! A control plane in memory, phones whose positions are handed on as its ingest does, and tracking agents that can be
//! started and killed.

use std::{
    convert::Infallible,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Json, Router,
    body::Body,
    extract::{Query, State},
    routing::get,
};
use dropmate_api::{Clock, DispatchPolicy, Driver, Location, Order};
use dropmate_control_plane::ControlPlane;
use dropmate_tracking::{
    Config, Metrics,
    store::Store,
    travel::{Source, TravelTimes},
};
use http::Request;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Event;
use kube::{
    Api, Client,
    api::{ListParams, PostParams},
};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tower::{ServiceExt, service_fn};

use super::core::{noon, north};

const DISPATCH: &str = "system:serviceaccount:dropmate-system:dispatch";
const TRACKING: &str = "system:serviceaccount:dropmate-system:tracking";

/// Longer than anything here may take.
const LONG: Duration = Duration::from_secs(30);

pub(crate) struct Town {
    pub(crate) plane: ControlPlane,
    pub(crate) orders: Api<Order>,
    pub(crate) drivers: Api<Driver>,
    pub(crate) clock: Clock,
    pub(crate) phones: Phones,
    folder: tempfile::TempDir,
}

/// The ingest of this town: positions by their numbers.
#[derive(Clone, Default)]
pub(crate) struct Phones(Arc<Mutex<Vec<Value>>>);

/// A tracking agent at work.
pub(crate) struct Agent {
    pub(crate) store: Store,
    pub(crate) metrics: Metrics,
    shutdown: CancellationToken,
    running: JoinHandle<anyhow::Result<()>>,
}

#[derive(Deserialize)]
struct Asked {
    after: usize,
    limit: usize,
    wait: u64,
}

impl Phones {
    /// A phone says that the driver was there then.
    pub(crate) fn say(&self, driver: &str, at: Timestamp, place: Location) {
        let mut positions = self.0.lock().unwrap();
        let seq = positions.len() + 1;
        positions.push(json!({
            "seq": seq, "namespace": "default", "driver": driver, "at": at, "recordedAt": at,
            "latitude": place.latitude, "longitude": place.longitude, "accuracyMeters": 8.0, "source": "me",
        }));
    }

    fn routes(&self) -> Router {
        Router::new().route("/v1/internal/positions", get(hand_on)).with_state(self.clone())
    }
}

async fn hand_on(State(phones): State<Phones>, Query(asked): Query<Asked>) -> Json<Value> {
    let until = Instant::now() + Duration::from_secs(asked.wait);
    loop {
        let found: Vec<Value> = phones.0.lock().unwrap().iter().skip(asked.after).take(asked.limit).cloned().collect();
        if !found.is_empty() || Instant::now() >= until {
            return Json(json!({"next": asked.after + found.len(), "oldest": 1, "positions": found}));
        }
        sleep(Duration::from_millis(10)).await;
    }
}

impl Town {
    pub(crate) async fn new() -> Self {
        let started = Instant::now();
        let now = Arc::new(move || noon() + SignedDuration::try_from(started.elapsed()).unwrap());
        let clock = Clock::real(now);
        let plane = ControlPlane::in_memory(clock.clone()).await;
        let operator = Client::new(plane.in_process("operator"), "default");
        let lease = json!({
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "dispatch"},
            "spec": {"holderIdentity": "test", "leaseTransitions": 0},
        });
        let leases: Api<k8s_openapi::api::coordination::v1::Lease> =
            Api::namespaced(Client::new(plane.in_process(DISPATCH), "default"), "dropmate-system");
        leases.create(&PostParams::default(), &serde_json::from_value(lease).unwrap()).await.unwrap();
        Self {
            orders: Api::default_namespaced(operator.clone()),
            drivers: Api::default_namespaced(operator),
            clock,
            plane,
            phones: Phones::default(),
            folder: tempfile::tempdir().unwrap(),
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.business_now()
    }

    fn as_user(&self, user: &str) -> Client {
        Client::new(self.plane.in_process(user), "default")
    }

    /// A phone of sam's was so many metres north of the pickup, so many seconds from now.
    pub(crate) fn sam_was(&self, seconds: i64, meters: f64) {
        self.phones.say("sam", self.now() + SignedDuration::from_secs(seconds), north(meters));
    }

    pub(crate) async fn add_sam(&self) {
        let driver = json!({
            "apiVersion": "dropmate.dev/v1", "kind": "Driver", "metadata": {"name": "sam"},
            "spec": {"displayName": "Sam", "vehicle": {"type": "car", "speedMetersPerSecond": 10.0}},
        });
        self.drivers.create(&PostParams::default(), &serde_json::from_value(driver).unwrap()).await.unwrap();
    }

    /// An order from the middle of the town to a door two kilometres north, bound to sam.
    pub(crate) async fn bind_to_sam(&self, name: &str, more: Value) {
        let mut spec = json!({
            "pickup": {"address": "12 Mill St", "location": north(0.0), "serviceSeconds": 60},
            "dropoff": {"address": "88 Queens Quay", "location": north(2000.0), "serviceSeconds": 60},
            "recipient": {"name": "Ada"},
        });
        spec.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
        let order = json!({"apiVersion": "dropmate.dev/v1", "kind": "Order", "metadata": {"name": name}, "spec": spec});
        self.orders.create(&PostParams::default(), &serde_json::from_value(order).unwrap()).await.unwrap();
        let leases: Api<k8s_openapi::api::coordination::v1::Lease> =
            Api::namespaced(self.as_user(DISPATCH), "dropmate-system");
        let uid = leases.get("dispatch").await.unwrap().metadata.uid;
        let fence = json!({"lease": "dispatch", "leaseUid": uid, "holder": "test", "transitions": 0});
        let release = json!({"clientEventId": "r", "type": "release", "occurredAt": self.now(), "fence": fence});
        self.post(DISPATCH, name, "progress", &release).await;
        let binding = json!({
            "apiVersion": "dropmate.dev/v1", "kind": "Binding", "metadata": {"name": name},
            "target": {"kind": "Driver", "name": "sam"}, "fence": fence,
        });
        self.post(DISPATCH, name, "binding", &binding).await;
    }

    /// Sam reports.
    pub(crate) async fn sam_reports(&self, order: &str, type_: &str) {
        let report = json!({"clientEventId": type_, "type": type_, "occurredAt": self.now(), "driver": "sam"});
        self.post("operator", order, "progress", &report).await;
    }

    async fn post(&self, user: &str, order: &str, part: &str, body: &Value) {
        let orders: Api<Order> = Api::default_namespaced(self.as_user(user));
        let _: Value = orders.create_subresource(part, order, &PostParams::default(), body).await.unwrap();
    }

    pub(crate) async fn set_policy(&self, spec: Value) {
        let policy = json!({
            "apiVersion": "dropmate.dev/v1", "kind": "DispatchPolicy", "metadata": {"name": "default"}, "spec": spec,
        });
        let policies: Api<DispatchPolicy> = Api::default_namespaced(self.as_user("operator"));
        policies.create(&PostParams::default(), &serde_json::from_value(policy).unwrap()).await.unwrap();
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.folder.path().join("tracking.db")
    }

    /// Starts an agent on this town's file.
    pub(crate) async fn start(&self, identity: &str) -> Agent {
        self.start_on(identity, Store::sqlite(&self.file()).await.unwrap())
    }

    /// Starts an agent on that store.
    pub(crate) fn start_on(&self, identity: &str, store: Store) -> Agent {
        let (plane, phones) = (self.plane.in_process(TRACKING), self.phones.routes());
        let service = service_fn(move |request: Request<kube::client::Body>| {
            let routes = if request.uri().path() == "/v1/internal/positions" { phones.clone() } else { plane.clone() };
            async move { Ok::<_, Infallible>(routes.oneshot(request.map(Body::new)).await.unwrap()) }
        });
        let metrics = Metrics::default();
        let travel_times = TravelTimes::new(&Source::StraightLine, Duration::from_secs(1), metrics.clone()).unwrap();
        let config = Config {
            tick: Duration::from_millis(20),
            ..Config::new(self.clock.clone(), identity, store.clone(), travel_times, metrics.clone())
        };
        let shutdown = CancellationToken::new();
        let running = tokio::spawn(dropmate_tracking::run(Client::new(service, "default"), config, shutdown.clone()));
        Agent { store, metrics, shutdown, running }
    }

    /// Waits until the order is as wanted, and returns it.
    pub(crate) async fn order_when(&self, name: &str, wanted: impl Fn(&Order) -> bool) -> Order {
        let until = Instant::now() + LONG;
        loop {
            let order = self.orders.get(name).await.unwrap();
            if wanted(&order) {
                return order;
            }
            assert!(Instant::now() < until, "never as wanted: {:#?}", order.status);
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Reasons of the events about an order.
    pub(crate) async fn events(&self, order: &str) -> Vec<String> {
        let events: Api<Event> = Api::default_namespaced(self.as_user("operator"));
        let found = events.list(&ListParams::default()).await.unwrap().items;
        let about = found.into_iter().filter(|event| event.involved_object.name.as_deref() == Some(order));
        about.filter_map(|event| event.reason).collect()
    }
}

impl Agent {
    /// Waits until the timeline says that, and returns what it says.
    pub(crate) async fn told(&self, order: &str, what: &str) -> Vec<String> {
        let found = timeout(LONG, async {
            loop {
                let said = self.whats(order).await;
                if said.iter().any(|said| said == what) {
                    return said;
                }
                sleep(Duration::from_millis(20)).await;
            }
        });
        if let Ok(said) = found.await {
            return said;
        }
        panic!("{what} was never said: {:?}", self.whats(order).await)
    }

    pub(crate) async fn whats(&self, order: &str) -> Vec<String> {
        let lines = self.store.timeline("default", order, None).await.unwrap();
        lines.into_iter().map(|line| line.what).collect()
    }

    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        self.running.await.unwrap().unwrap();
        self.store.close().await;
    }

    /// As `kill -9` does, but for what is already with the database.
    pub(crate) async fn kill(self) {
        self.running.abort();
        let _ = self.running.await;
    }
}
