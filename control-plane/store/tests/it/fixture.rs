//! Backends to test with, and short ways to say what is written.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use dropmate_store::{
    Actor, At, Backend, Change, Event, Expect, Guard, Key, Memory, Now, Object, Options, Revision, Scope, Sqlite,
    Store, Watch, Write,
};
use jiff::Timestamp;
use serde_json::Value;
use tempfile::TempDir;
use tokio::time::timeout;

use super::database::Database;

pub(crate) const ORDERS: &str = "orders.dropmate.dev";

/// A backend under test. Stores opened on it one after the other find what the one before left.
pub(crate) struct Fixture {
    /// Where only one process may open it.
    backend: Mutex<Arc<dyn Backend>>,
    clock: Clock,
    place: Place,
}

/// Where a backend can be opened again.
enum Place {
    Memory,
    Sqlite(TempDir),
    Postgres(Database),
}

impl Fixture {
    #[expect(clippy::unused_async, reason = "all backends are made in one way")]
    pub(crate) async fn memory() -> Self {
        Self { backend: Mutex::new(Arc::new(Memory::new())), clock: Clock::default(), place: Place::Memory }
    }

    pub(crate) async fn sqlite() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let backend = Mutex::new(open_sqlite(&dir).await);
        Self { backend, clock: Clock::default(), place: Place::Sqlite(dir) }
    }

    /// As `postgres`; each store on it is a process of its own.
    pub(crate) async fn shared_postgres() -> Self {
        Self::postgres().await
    }

    pub(crate) async fn postgres() -> Self {
        let database = Database::create().await;
        let backend: Arc<dyn Backend> = Arc::new(Memory::new());
        Self { backend: Mutex::new(backend), clock: Clock::default(), place: Place::Postgres(database) }
    }

    /// A store on what a closed one has left.
    pub(crate) async fn store_after_close(&self) -> Store {
        let backend = match &self.place {
            Place::Sqlite(dir) => open_sqlite(dir).await,
            Place::Memory | Place::Postgres(_) => return self.store().await,
        };
        *self.backend.lock().unwrap() = backend;
        self.store().await
    }

    pub(crate) fn clock(&self) -> &Clock {
        &self.clock
    }

    pub(crate) async fn store(&self) -> Store {
        self.store_with(Options::default()).await
    }

    pub(crate) async fn store_with(&self, options: Options) -> Store {
        let backend = match &self.place {
            // As another process would: with connections of its own.
            Place::Postgres(database) => database.open().await,
            Place::Memory | Place::Sqlite(_) => self.backend.lock().unwrap().clone(),
        };
        Store::open(backend, self.clock.now(), options).await.unwrap()
    }

    /// A store that keeps so few events in memory that watchers and old reads must go to the log.
    pub(crate) async fn forgetful_store(&self) -> Store {
        self.store_with(Options { window_events: 4, ..Options::default() }).await
    }
}

async fn open_sqlite(dir: &TempDir) -> Arc<dyn Backend> {
    Arc::new(Sqlite::open(&dir.path().join("control.db")).await.unwrap())
}

/// A clock that stands still until it is moved.
#[derive(Clone, Default)]
pub(crate) struct Clock(Arc<AtomicI64>);

impl Clock {
    pub(crate) fn now(&self) -> Now {
        let seconds = self.0.clone();
        Arc::new(move || Timestamp::from_second(1_000_000_000 + seconds.load(Ordering::SeqCst)).unwrap())
    }

    pub(crate) fn advance(&self, time: Duration) -> Timestamp {
        self.0.fetch_add(time.as_secs() as i64, Ordering::SeqCst);
        (self.now())()
    }
}

pub(crate) fn key(name: &str) -> Key {
    key_in(ORDERS, "shop", name)
}

pub(crate) fn key_in(resource: &str, namespace: &str, name: &str) -> Key {
    Key { resource: resource.into(), namespace: namespace.into(), name: name.into() }
}

pub(crate) fn everything() -> Scope {
    Scope { resource: ORDERS.into(), namespace: None }
}

pub(crate) fn within(namespace: &str) -> Scope {
    Scope { resource: ORDERS.into(), namespace: Some(namespace.into()) }
}

pub(crate) fn put(key: Key, expect: Expect, body: &str) -> Write {
    let uid = format!("uid-of-{}", key.name);
    let change = Change::Put { uid, body: body.into() };
    Write { key, expect, change, guards: Vec::new(), urgent: false, actor: actor() }
}

pub(crate) fn create(name: &str, body: &str) -> Write {
    put(key(name), Expect::Absent, body)
}

pub(crate) fn update(name: &str, revision: Revision, body: &str) -> Write {
    put(key(name), Expect::Revision(revision), body)
}

pub(crate) fn delete(name: &str, revision: Revision, body: &str) -> Write {
    Write { change: Change::Delete { body: body.into() }, ..update(name, revision, "") }
}

pub(crate) fn guarded(write: Write, guards: impl IntoIterator<Item = Guard>) -> Write {
    Write { guards: guards.into_iter().collect(), ..write }
}

pub(crate) fn guard(key: Key, pointer: &str, equals: impl Into<Value>) -> Guard {
    Guard { key, uid: None, pointer: pointer.into(), equals: equals.into() }
}

pub(crate) fn actor() -> Actor {
    Actor { user: "operator".into(), client: "a test".into(), request_id: "1".into() }
}

/// Creates `count` orders named `o000`, `o001`, …
pub(crate) async fn create_many(store: &Store, count: usize) -> Vec<Arc<Object>> {
    let mut objects = Vec::new();
    for index in 0..count {
        objects.push(store.write(create(&format!("o{index:03}"), "{}")).await.unwrap());
    }
    objects
}

/// The next event; a stream that stays silent fails the test.
pub(crate) async fn next(watch: &mut Watch) -> Arc<Event> {
    let next = timeout(Duration::from_secs(10), watch.next()).await.expect("no event came");
    next.expect("the stream ended").expect("the stream failed")
}

/// A client that watches on where a stream ended, as real ones do.
pub(crate) struct Follower {
    store: Store,
    scope: Scope,
    pub(crate) watch: Watch,
}

impl Follower {
    pub(crate) async fn new(store: &Store, scope: Scope, after: Revision) -> Self {
        let watch = store.watch(scope.clone(), after).await.unwrap();
        Self { store: store.clone(), scope, watch }
    }

    pub(crate) async fn next(&mut self) -> Arc<Event> {
        loop {
            match timeout(Duration::from_secs(10), self.watch.next()).await.expect("no event came") {
                Some(event) => return event.expect("the stream failed"),
                None => self.watch = self.store.watch(self.scope.clone(), self.watch.position()).await.unwrap(),
            }
        }
    }
}

/// The next events up to a revision.
pub(crate) async fn events_up_to(watch: &mut Watch, revision: Revision) -> Vec<Arc<Event>> {
    let mut events = Vec::new();
    while events.last().is_none_or(|last: &Arc<Event>| last.revision < revision) {
        events.push(next(watch).await);
    }
    events
}

/// Names of everything at a revision, read in pages of a size.
pub(crate) async fn names_at(store: &Store, scope: &Scope, at: At, page: usize) -> Vec<String> {
    let mut names = Vec::new();
    let mut after = None;
    let mut at = at;
    loop {
        let page = store.list(scope, at, after.as_ref(), Some(page)).await.unwrap();
        names.extend(page.objects.iter().map(|object| object.key.name.clone()));
        at = At::Exact(page.revision);
        after = page.next;
        if after.is_none() {
            return names;
        }
    }
}
