//! A control plane in memory, orders that are delivered, and notification agents that can be started and killed.

use std::{path::PathBuf, sync::Arc, time::Duration};

use axum::body::Body;
use dropmate_api::{Clock, Order};
use dropmate_control_plane::ControlPlane;
use dropmate_notification::{
    Config, Metrics,
    api::{self, Desk},
    providers::{Flags, Providers, Setup},
    seam::Vault,
    store::{Full, Store, View, Which},
};
use dropmate_outbound::{Guard, Trust};
use http::Request;
use http_body_util::BodyExt;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Event;
use kube::{
    Api, Client,
    api::{ListParams, PostParams},
};
use serde_json::{Value, json};
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::kept::noon;

const DISPATCH: &str = "system:serviceaccount:dropmate-system:dispatch";
const NOTIFICATION: &str = "system:serviceaccount:dropmate-system:notification";

/// Longer than anything here may take.
pub(crate) const LONG: Duration = Duration::from_secs(30);

pub(crate) struct Town {
    pub(crate) plane: ControlPlane,
    pub(crate) clock: Clock,
    folder: tempfile::TempDir,
}

/// A notification agent at work.
pub(crate) struct Agent {
    pub(crate) store: Store,
    pub(crate) metrics: Metrics,
    clock: Clock,
    shutdown: CancellationToken,
    running: JoinHandle<anyhow::Result<()>>,
}

impl Town {
    pub(crate) async fn new() -> Self {
        let started = Instant::now();
        let clock = Clock::real(Arc::new(move || noon() + SignedDuration::try_from(started.elapsed()).unwrap()));
        let plane = ControlPlane::in_memory(clock.clone()).await;
        let lease = json!({
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "dispatch"},
            "spec": {"holderIdentity": "test", "leaseTransitions": 0},
        });
        let leases: Api<k8s_openapi::api::coordination::v1::Lease> =
            Api::namespaced(Client::new(plane.in_process(DISPATCH), "default"), "dropmate-system");
        leases.create(&PostParams::default(), &serde_json::from_value(lease).unwrap()).await.unwrap();
        Self { plane, clock, folder: tempfile::tempdir().unwrap() }
    }

    fn as_user(&self, user: &str) -> Client {
        Client::new(self.plane.in_process(user), "default")
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.business_now()
    }

    /// Makes an object of ours as the operator.
    pub(crate) async fn make(&self, plural: &str, kind: &str, name: &str, spec: Value) {
        let body = json!({"apiVersion": "dropmate.dev/v1", "kind": kind, "metadata": {"name": name}, "spec": spec});
        let (code, answer) =
            self.ask("POST", &format!("/apis/dropmate.dev/v1/namespaces/default/{plural}"), &body).await;
        assert_eq!(code, 201, "{answer}");
    }

    pub(crate) async fn add_sam(&self) {
        let spec = json!({"displayName": "Sam Smith", "phone": "+14165550100"});
        self.make("drivers", "Driver", "sam", spec).await;
    }

    /// Orders something for somebody.
    pub(crate) async fn place(&self, name: &str, recipient: Value) {
        let stop = |address: &str| json!({"address": address, "location": {"latitude": 43.65, "longitude": -79.36}});
        let spec = json!({"pickup": stop("12 Mill St"), "dropoff": stop("88 Queens Quay"), "recipient": recipient});
        self.make("orders", "Order", name, spec).await;
    }

    /// Binds an order to sam.
    pub(crate) async fn bind(&self, name: &str) {
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

    /// From the shop to the door.
    pub(crate) async fn deliver(&self, order: &str) {
        for report in ["depart", "arrive", "pickUp", "deliver"] {
            self.sam_reports(order, report).await;
        }
    }

    async fn post(&self, user: &str, order: &str, part: &str, body: &Value) {
        let orders: Api<Order> = Api::default_namespaced(self.as_user(user));
        let _: Value = orders.create_subresource(part, order, &PostParams::default(), body).await.unwrap();
    }

    pub(crate) async fn ask(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", "application/json")
            .body(if body.is_null() { Body::empty() } else { Body::from(body.to_string()) })
            .unwrap();
        let answer = self.plane.in_process("operator").oneshot(request).await.unwrap();
        let code = answer.status().as_u16();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        (code, serde_json::from_slice(&body).unwrap_or_default())
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.folder.path().join("notification.db")
    }

    /// Starts an agent on this town's file that has nothing but an outbox.
    pub(crate) async fn start(&self, identity: &str, vault: Arc<dyn Vault>) -> Agent {
        self.start_on(identity, vault, Store::sqlite(&self.file()).await.unwrap()).await
    }

    /// Starts an agent on that store, and waits until it leads and has begun to read.
    pub(crate) async fn start_on(&self, identity: &str, vault: Arc<dyn Vault>, store: Store) -> Agent {
        let client = self.as_user(NOTIFICATION);
        let system = self.clock.clone();
        let setup = Setup {
            client: client.clone(),
            guard: Guard::new([]),
            trust: Trust::machine(),
            now: Arc::new(move || system.system_now()),
            settings: Flags::default().checked(None).unwrap(),
        };
        let providers = Arc::new(Providers::new(setup).unwrap());
        let config = Config::new(self.clock.clone(), identity, store.clone(), providers, vault);
        let metrics = config.metrics.clone();
        let desk = Desk { store: store.clone(), clock: self.clock.clone(), planned: config.planned.clone() };
        self.plane.attach_agent("notification", api::routes(desk));
        let shutdown = CancellationToken::new();
        let running = tokio::spawn(dropmate_notification::run(client, config, shutdown.clone()));
        let agent = Agent { store, metrics, clock: self.clock.clone(), shutdown, running };
        let until = Instant::now() + LONG;
        while agent.store.progress(dropmate_notification::store::Feed::Events).await.unwrap().position < 0 {
            assert!(Instant::now() < until, "never led");
            sleep(Duration::from_millis(20)).await;
        }
        agent
    }

    /// Nobody waits here until the lease of the dead runs out.
    pub(crate) async fn forget_lease(&self) {
        let leases: Api<k8s_openapi::api::coordination::v1::Lease> =
            Api::namespaced(self.as_user("operator"), "dropmate-system");
        leases.delete("notification", &kube::api::DeleteParams::default()).await.unwrap();
    }

    /// Waits until the order is as wanted, and returns it.
    pub(crate) async fn order_when(&self, name: &str, wanted: impl Fn(&Order) -> bool) -> Order {
        let orders: Api<Order> = Api::default_namespaced(self.as_user("operator"));
        let until = Instant::now() + LONG;
        loop {
            let order = orders.get(name).await.unwrap();
            if wanted(&order) {
                return order;
            }
            assert!(Instant::now() < until, "never as wanted: {:#?}", order.status);
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Reasons and messages of the events about an order.
    pub(crate) async fn events(&self, order: &str) -> Vec<(String, String)> {
        let events: Api<Event> = Api::default_namespaced(self.as_user("operator"));
        let found = events.list(&ListParams::default()).await.unwrap().items;
        let about = found.into_iter().filter(|event| event.involved_object.name.as_deref() == Some(order));
        about.map(|event| (event.reason.unwrap_or_default(), event.message.unwrap_or_default())).collect()
    }
}

impl Agent {
    /// The messages about an order, the oldest first.
    pub(crate) async fn messages(&self, order: &str) -> Vec<View> {
        let which =
            Which { namespace: "default".to_owned(), order: Some(order.to_owned()), limit: 500, ..Which::default() };
        let mut messages = self.store.messages(&which).await.unwrap().messages;
        messages.reverse();
        messages
    }

    /// Waits until there are so many about an order, and all have ended.
    pub(crate) async fn ended(&self, order: &str, count: usize) -> Vec<View> {
        let until = Instant::now() + LONG;
        loop {
            let messages = self.messages(order).await;
            let ended = messages.iter().filter(|message| message.finished_at > 0).count();
            if ended >= count && ended == messages.len() {
                return messages;
            }
            assert!(Instant::now() < until, "only {messages:#?}");
            sleep(Duration::from_millis(20)).await;
        }
    }

    pub(crate) async fn full(&self, id: &str) -> Full {
        self.store.message("default", id).await.unwrap().unwrap()
    }

    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        self.running.await.unwrap().unwrap();
        self.store.close().await;
    }

    /// As `kill -9` does, but for what is already with the database; its signs of life are over.
    pub(crate) async fn kill(self, identity: &str) {
        self.running.abort();
        let _ = self.running.await;
        self.store.beat(identity, self.clock.system_now()).await.unwrap();
    }
}
