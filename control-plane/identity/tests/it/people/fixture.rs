//! An identity over each database, by a clock that tests turn.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use dropmate_identity::{Error, Grant, Identity, Letter, Options, Proof, Sealer};
use dropmate_testing::Database;
use jiff::Timestamp;
use tempfile::TempDir;

pub(crate) const ADA: &str = "ada@example.com";
pub(crate) const GOOD: &str = "four words are plenty";
pub(crate) const OTHER: &str = "brass engines hum along";
pub(crate) const HOME: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

/// Where an identity is kept.
enum Place {
    Sqlite { _folder: TempDir },
    Postgres(Database),
}

/// An identity with its clock.
pub(crate) struct Fixture {
    pub(crate) identity: Identity,
    clock: Arc<AtomicI64>,
    place: Place,
}

fn options(clock: &Arc<AtomicI64>) -> Options {
    let clock = clock.clone();
    let now = Arc::new(move || Timestamp::from_microsecond(clock.load(Ordering::SeqCst)).unwrap());
    let sealer = Sealer::from_hex(&"5a".repeat(32)).unwrap();
    Options { now, issuer: "https://dropmate.example".to_owned(), sealer }
}

impl Fixture {
    pub(crate) async fn sqlite() -> Self {
        let (folder, clock) = (tempfile::tempdir().unwrap(), clock());
        let identity = Identity::sqlite(&folder.path().join("identity.db"), options(&clock)).await.unwrap();
        Self { identity, clock, place: Place::Sqlite { _folder: folder } }
    }

    pub(crate) async fn postgres() -> Self {
        let (database, clock) = (Database::create().await, clock());
        Identity::migrate_postgres(&database.url()).await.unwrap();
        let identity = Identity::postgres(&database.url(), options(&clock)).await.unwrap();
        Self { identity, clock, place: Place::Postgres(database) }
    }

    /// Another replica, where there may be one; else the same.
    pub(crate) async fn replica(&self) -> Identity {
        match &self.place {
            Place::Sqlite { .. } => self.identity.clone(),
            Place::Postgres(database) => Identity::postgres(&database.url(), options(&self.clock)).await.unwrap(),
        }
    }

    pub(crate) fn pass(&self, time: Duration) {
        self.clock.fetch_add(i64::try_from(time.as_micros()).unwrap(), Ordering::SeqCst);
    }

    pub(crate) async fn register(&self, email: &str) {
        self.identity.register(email, GOOD, "Somebody", &Letter::default(), HOME).await.unwrap();
    }

    pub(crate) async fn login(&self, email: &str, password: &str) -> Result<Grant, Error> {
        self.identity.login(proof(email, password), "test").await
    }
}

fn clock() -> Arc<AtomicI64> {
    Arc::new(AtomicI64::new(1_800_000_000_000_000))
}

pub(crate) fn proof<'a>(email: &'a str, password: &'a str) -> Proof<'a> {
    Proof { email, password, totp: None, address: HOME }
}
