//! Where requests go: to one control plane in memory, or to equal replicas over one PostgreSQL database, that come and
//! go. Each request goes to a replica drawn from a seed, as behind a load balancer.
//!
//! Whatever replica answers, nobody may read a state older than what anybody was told before: every answer is compared.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst},
    },
};

use axum::{Router, body::Body};
use dropmate_api::Clock;
use dropmate_control_plane::ControlPlane;
use dropmate_store::{Options, Postgres, Store};
use dropmate_testing::Database;
use http::{Method, Request, Response};
use http_body_util::BodyExt;
use rand::{RngExt, SeedableRng, seq::IteratorRandom};
use rand_chacha::ChaCha8Rng;
use serde::Deserialize;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

/// The control planes of a day.
pub(super) struct Replicas {
    clock: Clock,
    database: Option<Database>,
    running: Mutex<Vec<Option<Arc<Replica>>>>,
    chance: Mutex<ChaCha8Rng>,
    told: Told,
    pub(super) closed: AtomicUsize,
    pub(super) killed: AtomicUsize,
    pub(super) sessions_ended: AtomicUsize,
    /// Requests of one client that went to another replica than its last one.
    pub(super) moves: AtomicUsize,
}

/// One of them.
pub(super) struct Replica {
    pub(super) control: ControlPlane,
    /// One for each caller.
    routers: Mutex<BTreeMap<String, Router>>,
    /// What is under way ends here, as with a process that is killed.
    gone: CancellationToken,
}

/// How a replica goes away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exit {
    /// It answers what it has begun, and ends its watches.
    Closes,
    /// Nobody hears of what it had begun.
    Dies,
}

impl Replicas {
    /// One in memory, which never goes away.
    pub(super) async fn in_memory(clock: Clock) -> Arc<Self> {
        let control = ControlPlane::in_memory(clock.clone()).await;
        Arc::new(Self::new(clock, None, vec![Some(Arc::new(Replica::new(control)))], 0))
    }

    /// So many on a database of their own.
    pub(super) async fn on_postgres(clock: Clock, count: usize, seed: u64) -> Arc<Self> {
        let database = Database::create().await;
        Postgres::migrate(&database.url()).await.unwrap();
        let replicas = Self::new(clock, Some(database), vec![None; count], seed);
        // Side by side, as they are started.
        futures::future::join_all((0..count).map(|slot| replicas.open(slot))).await;
        Arc::new(replicas)
    }

    fn new(clock: Clock, database: Option<Database>, running: Vec<Option<Arc<Replica>>>, seed: u64) -> Self {
        Self {
            clock,
            database,
            running: Mutex::new(running),
            chance: Mutex::new(ChaCha8Rng::seed_from_u64(seed ^ 0x5EED)),
            told: Told::default(),
            closed: AtomicUsize::default(),
            killed: AtomicUsize::default(),
            sessions_ended: AtomicUsize::default(),
            moves: AtomicUsize::default(),
        }
    }

    pub(super) fn clock(&self) -> &Clock {
        &self.clock
    }

    pub(super) fn count(&self) -> usize {
        self.running.lock().unwrap().len()
    }

    /// Whether they are on a database, and may go away.
    pub(super) fn is_replicated(&self) -> bool {
        self.database.is_some()
    }

    /// Another replica on the same database, that nobody else asks.
    pub(super) async fn another(&self) -> ControlPlane {
        let database = self.database.as_ref().expect("it is not in memory");
        let system = self.clock.clone();
        let now = Arc::new(move || system.system_now());
        let store = Store::postgres(&database.url(), now, Options::default()).await.unwrap();
        ControlPlane::over_store(store, self.clock.clone()).await
    }

    async fn open(&self, slot: usize) {
        let replica = Replica::new(self.another().await);
        self.running.lock().unwrap()[slot] = Some(Arc::new(replica));
    }

    /// A replica goes away, and a while later another is started in its place.
    pub(super) async fn replace_one(&self, exit: Exit) {
        let count = self.count();
        let slot = self.chance.lock().unwrap().random_range(0..count);
        let gone = self.running.lock().unwrap()[slot].take().expect("one at a time goes away");
        match exit {
            Exit::Closes => {
                self.closed.fetch_add(1, SeqCst);
                gone.control.close().await;
            }
            Exit::Dies => {
                self.killed.fetch_add(1, SeqCst);
                gone.gone.cancel();
                // The dead let go of their connections, by and by.
                tokio::spawn(async move { gone.control.close().await });
            }
        }
        self.open(slot).await;
    }

    /// The database ends a few of the replicas' sessions.
    pub(super) async fn end_sessions(&self) {
        let most = self.chance.lock().unwrap().random_range(1..6);
        let ended = self.database.as_ref().expect("it is not in memory").end_sessions(most).await;
        self.sessions_ended.fetch_add(ended, SeqCst);
    }

    /// The replica in a slot while it runs.
    pub(super) fn running(&self, slot: usize) -> Option<Arc<Replica>> {
        self.running.lock().unwrap()[slot].clone()
    }

    /// Any replica that runs.
    pub(super) fn draw(&self) -> Option<Arc<Replica>> {
        let running = self.running.lock().unwrap();
        running.iter().flatten().choose(&mut *self.chance.lock().unwrap()).cloned()
    }

    /// The API as `user` reaches it.
    pub(super) fn caller(self: &Arc<Self>, user: &str) -> Caller {
        Caller { replicas: self.clone(), user: user.to_owned(), last: Arc::default() }
    }

    /// As [`caller`](Self::caller), for programs.
    pub(super) fn client(self: &Arc<Self>, user: &str) -> kube::Client {
        let caller = self.caller(user);
        let service = tower::service_fn(move |request: Request<kube::client::Body>| {
            let caller = caller.clone();
            async move { caller.send(request.map(Body::new)).await }
        });
        kube::Client::new(service, "default")
    }

    /// What was read that was older than what had been told, and how many answers were compared.
    pub(super) fn stale(&self) -> (Vec<String>, usize) {
        (self.told.stale.lock().unwrap().clone(), self.told.compared.load(SeqCst))
    }
}

impl Replica {
    fn new(control: ControlPlane) -> Self {
        Self { control, routers: Mutex::default(), gone: CancellationToken::new() }
    }

    fn router(&self, user: &str) -> Router {
        let mut routers = self.routers.lock().unwrap();
        routers.entry(user.to_owned()).or_insert_with(|| self.control.in_process(user)).clone()
    }
}

/// Somebody who asks whatever replica is drawn.
#[derive(Clone)]
pub(super) struct Caller {
    replicas: Arc<Replicas>,
    user: String,
    last: Arc<Mutex<Option<Arc<Replica>>>>,
}

impl Caller {
    pub(super) async fn send(&self, request: Request<Body>) -> Result<Response<Body>, tower::BoxError> {
        let Some(replica) = self.replicas.draw() else { return Err("connection refused".into()) };
        let last = self.last.lock().unwrap().replace(replica.clone());
        if last.is_some_and(|last| !Arc::ptr_eq(&last, &replica)) {
            self.replicas.moves.fetch_add(1, SeqCst);
        }
        let gone = replica.gone.clone();
        let asked = Asked::new(&request, &self.replicas.told);
        let answer = gone.run_until_cancelled(replica.router(&self.user).oneshot(request)).await;
        let (parts, body) = answer.ok_or("the connection was reset")??.into_parts();
        let Some(asked) = asked else {
            return Ok(Response::from_parts(parts, until(body, gone)));
        };
        let body = gone.run_until_cancelled(body.collect()).await.ok_or("the connection was reset")??.to_bytes();
        if parts.status.is_success() {
            asked.compare(&body, &self.replicas.told);
        }
        Ok(Response::from_parts(parts, Body::from(body)))
    }
}

/// The body of a watch, up to the end of its replica.
fn until(body: Body, gone: CancellationToken) -> Body {
    let frames = futures::stream::unfold((body, gone), |(mut body, gone)| async move {
        let frame = gone.run_until_cancelled(body.frame()).await??;
        let data = frame.ok()?.into_data().unwrap_or_default();
        Some((Ok::<_, std::convert::Infallible>(data), (body, gone)))
    });
    Body::from_stream(frames)
}

/// What anybody was told of revisions.
#[derive(Default)]
struct Told {
    newest: AtomicU64,
    /// The revisions of single objects, by their paths.
    objects: Mutex<BTreeMap<String, u64>>,
    stale: Mutex<Vec<String>>,
    compared: AtomicUsize,
}

/// A request, with what had been told when it was made.
struct Asked {
    method: Method,
    path: String,
    /// What its answer may not be older than.
    newest: u64,
    object: u64,
}

#[derive(Deserialize)]
struct Answer {
    metadata: Option<Metadata>,
    /// Only lists have them.
    items: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    name: Option<String>,
    resource_version: Option<String>,
}

impl Asked {
    /// `None` for a watch, which is compared by witnesses.
    fn new(request: &Request<Body>, told: &Told) -> Option<Self> {
        let query = request.uri().query().unwrap_or_default();
        if query.contains("watch=true") {
            return None;
        }
        let path = request.uri().path().to_owned();
        // Who asks for a version or a further page does not ask for the newest.
        let newest = if query.contains("resourceVersion=") || query.contains("continue=") {
            0
        } else {
            told.newest.load(SeqCst)
        };
        let object = told.objects.lock().unwrap().get(&path).copied().unwrap_or(0);
        Some(Self { method: request.method().clone(), path, newest, object })
    }

    fn compare(&self, body: &[u8], told: &Told) {
        let Ok(Answer { metadata: Some(metadata), items }) = serde_json::from_slice(body) else { return };
        let Some(revision) = metadata.resource_version.and_then(|text| text.parse::<u64>().ok()) else { return };
        let path = match (&self.method, metadata.name) {
            (&Method::POST, Some(name)) => format!("{}/{name}", self.path),
            _ => self.path.clone(),
        };
        let (older_than, at) = if items.is_some() { (self.newest, "the log") } else { (self.object, "it") };
        told.compared.fetch_add(1, SeqCst);
        if revision < older_than {
            let text = format!("{} {path} read revision {revision} after {at} was told at {older_than}", self.method);
            told.stale.lock().unwrap().push(text);
        }
        told.newest.fetch_max(revision, SeqCst);
        if items.is_none() {
            let mut objects = told.objects.lock().unwrap();
            let known = objects.entry(path).or_default();
            *known = revision.max(*known);
        }
    }
}
