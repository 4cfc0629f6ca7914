//! The control plane: the Kubernetes-compatible resource API over a revisioned store, behind one gateway.
//!
//! Decides nothing about deliveries: agents do, through the same API as everybody else.

mod accept;
mod admin;
mod agents;
mod archive;
pub mod args;
mod asyncapi;
mod audit;
mod auth;
mod authenticate;
mod body;
pub mod bootstrap;
mod callbacks;
pub mod caller;
pub mod datadir;
mod definitions;
mod discovery;
mod document;
mod edge;
mod error;
mod events;
mod expiry;
mod folder;
mod form;
mod form_body;
mod garbage;
mod gateway;
mod history;
mod identity;
mod incidents;
mod ingest;
mod kubeconfig;
mod limits;
mod me;
mod members;
mod metrics;
pub mod migrations;
mod namespaces;
mod noted;
mod notifications;
mod object;
mod openapi;
mod options;
mod patch;
mod phone;
mod pins;
mod proofs;
mod protobuf;
mod request_info;
mod resources;
mod reviews;
mod router;
mod selector;
mod serve;
mod state;
mod stream;
mod table;
mod target;
mod tls;
mod tokens;
mod track;

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::Context;
pub use args::{Args, Config};
use axum::Router;
pub use bootstrap::bootstrap;
pub use caller::{Caller, ClientAddress};
use dropmate_api::{Clock, events::cloud::CloudEvent};
use dropmate_identity::Identity;
use dropmate_ingest::Ingest;
use dropmate_live::Live;
use dropmate_sql::OpenError;
use dropmate_store::Store;
pub use edge::AgentDatabase;
use prometheus_client::registry::Registry;
pub use tls::install_crypto_provider;
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

use crate::{
    agents::Agents,
    audit::Audit,
    authenticate::{Authenticator, Jwts},
    edge::Edge,
    events::Events,
    gateway::{Authentication, Bounds, Gateway},
    limits::RateLimits,
    members::Directory,
    metrics::Metrics,
    proofs::Proofs,
    state::AppState,
    stream::{Origins, Streams},
    tokens::Tokens,
    track::Track,
};

/// A control plane. Cheap to clone; clones share it.
#[derive(Clone, Debug)]
pub struct ControlPlane {
    state: AppState,
    bounds: Bounds,
    limits: RateLimits,
    metrics: Metrics,
    registry: Arc<Mutex<Registry>>,
    /// `None` in memory: nothing is kept and nothing listens.
    edge: Option<Arc<Edge>>,
}

impl ControlPlane {
    /// One that keeps everything in memory, for tests and simulation; works on a current-thread runtime under paused
    /// time. Nobody has a token: ask [`in_process`](Self::in_process).
    pub async fn in_memory(clock: Clock) -> Self {
        let system = clock.clone();
        Self::over_store(Store::memory(Arc::new(move || system.system_now())), clock).await
    }

    /// One over a store of the caller's, without a data dir, ports and tokens, for tests and simulation: ask
    /// [`in_process`](Self::in_process), and [`close`](Self::close) it.
    pub async fn over_store(store: Store, clock: Clock) -> Self {
        let kept = Kept { store, identity: None, ingest: None, proofs: None, live: Live::memory() };
        Self::over(kept, clock, Authenticator::new(Tokens::none(), None), RateLimits::none(), None).await
    }

    /// Takes the data dir, makes what is missing in it, opens the store and binds the ports. From then on clients may
    /// connect; they are answered once [`serve`](Self::serve) runs.
    pub async fn open(config: Config) -> anyhow::Result<Self> {
        let edge = Edge::open(&config).await?;
        let system = config.clock.clone();
        let store = edge.store(&config, Arc::new(move || system.system_now())).await?;
        let system = config.clock.clone();
        let identity = edge.identity(&config, Arc::new(move || system.system_now())).await?;
        let system = config.clock.clone();
        let ingest = edge.ingest(&config, Arc::new(move || system.system_now())).await?;
        let proofs = Some(edge.proofs(&config, &ingest).await?);
        let system = config.clock.clone();
        let outside = Edge::outside(&config, Arc::new(move || system.system_now()))?;
        let tokens = edge.tokens(config.token_auth_file.as_deref())?;
        let (store_of, clock) = (store.clone(), config.clock.clone());
        let jwts = Jwts { identity: identity.clone(), outside, store: store_of, clock };
        let authenticator = Authenticator::new(tokens, Some(jwts));
        let live = match &config.redis {
            Some(url) => Live::redis(url).context("--redis-url")?,
            None => Live::memory(),
        };
        let limits = RateLimits::new(config.rates).shared_by(live.clone());
        let origins = Origins::of(&edge, config.public_url.as_ref(), config.allowed_origins);
        let edge = Some(Arc::new(edge));
        let kept = Kept { store, identity: Some(identity), ingest: Some(ingest), proofs, live };
        let mut plane = Self::over(kept, config.clock, authenticator, limits, edge).await;
        plane.state.open_registration = config.open_registration;
        plane.state.streams.allow(origins);
        Ok(plane)
    }

    async fn over(
        kept: Kept,
        clock: Clock,
        authenticator: Authenticator,
        limits: RateLimits,
        edge: Option<Arc<Edge>>,
    ) -> Self {
        let Kept { store, identity, ingest, proofs, live } = kept;
        let metrics = Metrics::new();
        let mut registry = Registry::default();
        metrics.register(&mut registry);
        store.metrics().register(&mut registry);
        let phones = ingest::Metrics::default();
        phones.register(&mut registry);
        if let Some(proofs) = &proofs {
            proofs.register(&mut registry);
        }
        let shutdown = CancellationToken::new();
        let members = Directory::follow(&store, &live, shutdown.clone()).await;
        let audit = Audit::start(store.clone(), shutdown.clone());
        audit.register(&mut registry);
        live.register(&mut registry);
        let streams = Streams::new(live.clone(), shutdown.clone());
        streams.register(&mut registry);
        let events = Events::default();
        events.register(&mut registry);
        let track = Track::follow(&store, &live, &clock, shutdown.clone()).await;
        track.register(&mut registry);
        let state = AppState {
            agents: Agents::default(),
            store,
            identity,
            ingest,
            phones,
            proofs,
            live,
            authenticator,
            members,
            audit,
            events,
            streams,
            track,
            open_registration: false,
            clock,
            shutdown,
        };
        if let Err(error) = resources::bootstrap_namespaces(&state).await {
            tracing::error!(error = error.message(), "the first namespaces could not be made");
        }
        if let Err(error) = definitions::bootstrap(&state).await {
            tracing::error!(error = error.message(), "the definitions of our kinds could not be written");
        }
        tokio::spawn(namespaces::run(state.clone()));
        tokio::spawn(expiry::run(state.clone()));
        let garbage = garbage::Metrics::default();
        garbage.register(&mut registry);
        tokio::spawn(garbage::run(state.clone(), garbage));
        Self { state, bounds: Bounds::new(), limits, metrics, registry: Arc::new(Mutex::new(registry)), edge }
    }

    /// Adds the metrics of what runs in this process beside the control plane (an agent) to `/metrics` of the admin port.
    pub fn register_metrics(&self, register: impl FnOnce(&mut Registry)) {
        register(&mut self.registry.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Both clocks.
    pub fn clock(&self) -> &Clock {
        &self.state.clock
    }

    /// The objects.
    pub fn store(&self) -> &Store {
        &self.state.store
    }

    /// The hints about the present.
    pub fn live(&self) -> &Live {
        &self.state.live
    }

    /// Every domain event that this process publishes from now on. One replica publishes at a time; after another has
    /// taken over, the last seconds may come again, under the same ids.
    pub fn events(&self) -> broadcast::Receiver<Arc<CloudEvent>> {
        self.state.events.listen()
    }

    /// The API; authenticates by bearer token.
    pub fn router(&self) -> Router {
        self.router_for(Authentication::Bearer(self.state.authenticator.clone()))
    }

    /// The API as `user`, without a socket and without a token, under the same authorization.
    pub fn in_process(&self, user: &str) -> Router {
        self.in_process_as(Caller::named(user))
    }

    /// The same as a caller with an identity of theirs.
    pub fn in_process_as(&self, caller: Caller) -> Router {
        self.router_for(Authentication::Fixed(caller))
    }

    fn router_for(&self, authentication: Authentication) -> Router {
        let routes = router::routes(self.state.clone())
            .merge(admin::probes(self.state.clone()))
            .merge(admin::well_known(self.state.clone()))
            .merge(phone::routes())
            .merge(track::pages(self.state.clone()))
            .merge(auth::pages(self.state.clone()))
            .merge(admin::tasks(self.state.clone()))
            .merge(ingest::routes(self.state.clone()));
        Gateway {
            authentication,
            members: self.state.members.clone(),
            bounds: self.bounds.clone(),
            limits: self.limits.clone(),
            phones: self.state.identity.clone(),
            audit: Some((self.state.audit.clone(), self.state.clock.clone())),
            metrics: self.metrics.clone(),
        }
        .around(routes)
    }

    /// Where an agent in this process keeps what it keeps: `file` in the data dir, or our PostgreSQL database.
    pub fn agent_database(&self, file: &str) -> anyhow::Result<AgentDatabase> {
        self.edge.as_deref().context("a control plane in memory keeps nothing")?.agent_database(file)
    }

    /// What an agent in this process tells through the control plane: asked as it would be on its admin port.
    pub fn attach_agent(&self, agent: &'static str, routes: Router) {
        self.state.agents.attach(agent, routes);
    }

    /// The bound `https://ADDRESS:PORT`; `None` in memory.
    pub fn url(&self) -> Option<&str> {
        self.edge.as_deref().map(Edge::url)
    }

    /// The bound `http://ADDRESS:PORT` of the admin port; `None` in memory.
    pub fn admin_url(&self) -> Option<&str> {
        self.edge.as_deref().map(Edge::admin_url)
    }

    /// The operator's kubeconfig; `None` in memory, or if the operator's token is not in the data dir.
    pub fn kubeconfig(&self) -> Option<&Path> {
        self.edge.as_deref().and_then(Edge::kubeconfig)
    }

    /// Serves HTTPS and the admin port until `shutdown`; then ends watches, lets requests end (up to 30 s) and closes
    /// the store. Only once, and only what [`open`](Self::open) made.
    pub async fn serve(self, shutdown: CancellationToken) -> anyhow::Result<()> {
        let edge = self.edge.clone().context("a control plane in memory has no ports")?;
        // Also when this future is dropped: what it spawned must not outlive it.
        let _ends = self.state.shutdown.clone().drop_guard();
        tokio::spawn(auth::sweep(self.state.clone()));
        if let Some(ingest) = &self.state.ingest {
            tokio::spawn(ingest.clone().tidy(self.state.shutdown.clone()));
            tokio::spawn(ingest::recall(self.state.clone()));
        }
        tokio::spawn(proofs::sweep(self.state.clone()));
        tokio::spawn(incidents::run(self.state.clone()));
        self.state.authenticator.follow(&self.state.shutdown);
        tokio::spawn(self.limits.clone().tidy(self.state.shutdown.clone()));
        tokio::spawn(stream::forget_old_positions(self.state.clone()));
        tokio::spawn(events::run(self.state.clone()));
        tokio::spawn(track::follow_revocations(self.state.clone()));
        let ends = self.state.shutdown.clone();
        tokio::spawn(async move {
            tokio::select! {
                biased;
                () = ends.cancelled() => {}
                () = shutdown.cancelled() => ends.cancel(),
            }
        });
        let admin = admin::admin_routes(self.state.clone(), self.registry.clone());
        edge.serve(self.router(), admin, self.metrics.clone(), self.state.shutdown.clone()).await?;
        self.close().await;
        Ok(())
    }

    /// Ends watches, answers the writes that wait, refuses what comes, and closes the store.
    pub async fn close(&self) {
        self.state.shutdown.cancel();
        self.state.store.close().await;
        if let Some(identity) = &self.state.identity {
            identity.close().await;
        }
        if let Some(ingest) = &self.state.ingest {
            ingest.close().await;
        }
    }
}

/// Where things are kept.
struct Kept {
    store: Store,
    identity: Option<Identity>,
    ingest: Option<Ingest>,
    proofs: Option<Proofs>,
    live: Live,
}

/// The exit code for a failure to start: 1 the answer is no (another process has the data dir; the database is newer
/// than the program, has not been migrated, or was sealed with another key), 2 it could not.
pub fn exit_code(error: &anyhow::Error) -> u8 {
    let refused = error.chain().any(|cause| {
        let locked = || matches!(cause.downcast_ref(), Some(datadir::DataDirError::Locked { .. }));
        let version = |error: &OpenError| matches!(error, OpenError::Newer { .. } | OpenError::Older { .. });
        let unfit = || match cause.downcast_ref::<dropmate_store::OpenError>() {
            Some(dropmate_store::OpenError::Database(error)) => version(error),
            _ => cause.downcast_ref::<OpenError>().is_some_and(version),
        };
        let identity = || match cause.downcast_ref::<dropmate_identity::OpenError>() {
            Some(dropmate_identity::OpenError::Database(error)) => version(error),
            Some(dropmate_identity::OpenError::Keys(dropmate_identity::Error::Seal(_))) => true,
            _ => false,
        };
        locked() || unfit() || identity()
    });
    if refused { 1 } else { 2 }
}
