//! Two dispatch agents, one lease: whoever lost it without noticing can write nothing any more.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::body::Body;
use dropmate_api::{Order, Phase};
use dropmate_control_plane::ControlPlane;
use dropmate_dispatch::{Config, Metrics};
use dropmate_simulation::town::{self, Size};
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use k8s_openapi::api::coordination::v1::Lease;
use kube::{
    Api, Client,
    api::{Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};
use tokio::{sync::watch, task::JoinSet};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::day::{DISPATCH, clock};

/// A gate in front of the API, behind which some requests wait. What passed it arrives even if nobody waits for the
/// answer any more, as on a real network.
#[derive(Clone)]
struct Gate {
    open: watch::Sender<bool>,
    /// Which requests wait, by a piece of their path.
    holds: &'static [&'static str],
    waiting: watch::Sender<usize>,
    answers: Arc<Mutex<Vec<(StatusCode, Value)>>>,
}

impl Gate {
    fn open(holds: &'static [&'static str]) -> Self {
        Self { open: watch::Sender::new(true), holds, waiting: watch::Sender::new(0), answers: Arc::default() }
    }

    fn client(&self, control: &ControlPlane) -> Client {
        let (router, gate) = (control.in_process(DISPATCH), self.clone());
        let service = tower::service_fn(move |request: Request<kube::client::Body>| {
            let (router, gate) = (router.clone(), gate.clone());
            async move {
                let path = request.uri().path();
                let held = gate.holds.iter().any(|piece| path.contains(piece)) && !*gate.open.borrow();
                let is_binding = path.ends_with("/binding");
                let passing = tokio::spawn(async move {
                    if held {
                        if is_binding {
                            gate.waiting.send_modify(|waiting| *waiting += 1);
                        }
                        let _ = gate.open.subscribe().wait_for(|open| *open).await;
                    }
                    let response = router.oneshot(request.map(Body::new)).await?;
                    Ok(if is_binding { gate.remember(response).await? } else { response })
                });
                passing.await.expect("a request does not panic").map_err(|error: tower::BoxError| error)
            }
        });
        Client::new(service, "default")
    }

    async fn remember(&self, response: Response<Body>) -> Result<Response<Body>, tower::BoxError> {
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await?.to_bytes();
        let status = serde_json::from_slice(&bytes).unwrap_or_default();
        self.answers.lock().unwrap().push((parts.status, status));
        Ok(Response::from_parts(parts, Body::from(bytes)))
    }

    async fn has_waiting(&self) {
        let mut waiting = self.waiting.subscribe();
        waiting.wait_for(|waiting| *waiting > 0).await.unwrap();
    }

    /// Whether bindings were answered, and each refused because of the lease.
    fn was_fenced(&self) -> bool {
        let fenced = |(code, status): &(StatusCode, Value)| {
            *code == StatusCode::CONFLICT && status["details"]["causes"][0]["reason"] == "FencedLease"
        };
        let answers = self.answers.lock().unwrap();
        !answers.is_empty() && answers.iter().all(fenced)
    }
}

/// Two agents: the old leader, who wants to bind an order and waits at its gate, and the one who stands by.
struct Scene {
    operator: Client,
    old: Gate,
    new: Gate,
    metrics: Metrics,
    agents: JoinSet<anyhow::Result<()>>,
}

impl Scene {
    async fn set(holds: &'static [&'static str]) -> Self {
        let control = ControlPlane::in_memory(clock(60.0)).await;
        let operator = Client::new(control.in_process("operator"), "default");
        let town = town::generate(1, &Size { drivers: 1, depots: 1, ..Size::default() });
        town::build(&operator, &town).await.unwrap();
        let (old, new) = (Gate::open(holds), Gate::open(&["/binding"]));
        let metrics = Metrics::default();
        let agent = |gate: &Gate, identity: &str, metrics: &Metrics| {
            let config = Config { metrics: metrics.clone(), ..Config::new(control.clock().clone(), identity) };
            dropmate_dispatch::run(gate.client(&control), config, CancellationToken::new())
        };
        let mut scene = Self { operator, old, new, metrics, agents: JoinSet::new() };
        scene.agents.spawn(agent(&scene.old, "old", &scene.metrics));
        scene.leader_is("old").await;
        scene.old.open.send_replace(false);
        scene.new.open.send_replace(false);
        scene.agents.spawn(agent(&scene.new, "new", &Metrics::default()));
        let mut order = town.orders(control.clock().business_now(), "o").next().unwrap();
        order.spec.ready_at = order.spec.placed_at;
        scene.orders().create(&PostParams::default(), &order).await.unwrap();
        scene.old.has_waiting().await;
        scene
    }

    fn orders(&self) -> Api<Order> {
        Api::namespaced(self.operator.clone(), "demo")
    }

    fn leases(&self) -> Api<Lease> {
        Api::namespaced(self.operator.clone(), "dropmate-system")
    }

    async fn leader_is(&self, holder: &str) {
        until(async || {
            let lease = self.leases().get_opt("dispatch").await.unwrap();
            lease.and_then(|lease| lease.spec?.holder_identity).as_deref() == Some(holder)
        })
        .await;
    }

    async fn order(&self) -> Order {
        self.orders().get("o-0001").await.unwrap()
    }
}

/// Waits until it is so; a minute is longer than anything here may take.
async fn until(mut so: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !so().await {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), wait).await.expect("it takes too long");
}

#[tokio::test(start_paused = true)]
async fn a_leader_whose_lease_was_taken_is_refused_and_sees_it() {
    let scene = Scene::set(&["/binding"]).await;
    let taken = json!({"spec": {"holderIdentity": ""}});
    scene.leases().patch("dispatch", &PatchParams::default(), &Patch::Merge(taken)).await.unwrap();
    scene.leader_is("new").await;

    scene.old.open.send_replace(true);
    until(async || scene.metrics.fenced.get() > 0).await;
    assert!(scene.old.was_fenced(), "{:?}", scene.old.answers);
    assert_eq!(scene.order().await.phase(), Phase::Ready, "the stale binding changed nothing");

    scene.new.open.send_replace(true);
    until(async || scene.order().await.phase() == Phase::Assigned).await;
    assert_eq!(scene.metrics.bound.get(), 0, "the new leader bound it");
}

#[tokio::test(start_paused = true)]
async fn a_binding_that_was_on_its_way_for_longer_than_the_lease_is_refused() {
    // The old leader hears and says nothing more, until its lease has run out.
    let scene = Scene::set(&["/binding", "/leases/"]).await;
    scene.leader_is("new").await;

    scene.old.open.send_replace(true);
    until(async || !scene.old.answers.lock().unwrap().is_empty()).await;
    assert!(scene.old.was_fenced(), "{:?}", scene.old.answers);
    assert_eq!(scene.order().await.phase(), Phase::Ready, "the stale binding changed nothing");

    scene.new.open.send_replace(true);
    until(async || scene.order().await.phase() == Phase::Assigned).await;
}
