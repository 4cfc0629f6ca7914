//! Services over one database, of either kind, by a clock that the test moves.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use dropmate_identity::{Identity, OpenError, Options, Sealer, UserClaims};
use dropmate_testing::Database;
use jiff::{SignedDuration, Timestamp};
use tempfile::TempDir;

pub(crate) const ISSUER: &str = "https://dispatch.example";

/// A clock that stands until it is moved.
#[derive(Clone)]
pub(crate) struct Hand(Arc<AtomicI64>);

impl Hand {
    pub(crate) fn new() -> Self {
        let start: Timestamp = "2026-11-24T10:00:00.25Z".parse().unwrap();
        Self(Arc::new(AtomicI64::new(start.as_microsecond())))
    }

    pub(crate) fn now(&self) -> Timestamp {
        Timestamp::from_microsecond(self.0.load(Ordering::SeqCst)).unwrap()
    }

    pub(crate) fn pass(&self, time: SignedDuration) {
        self.0.fetch_add(i64::try_from(time.as_micros()).unwrap(), Ordering::SeqCst);
    }
}

/// A database that several services may be opened over.
pub(crate) enum Place {
    Sqlite(TempDir),
    Postgres(Database),
}

impl Place {
    /// One of each kind.
    pub(crate) async fn both() -> [Self; 2] {
        let database = Database::create().await;
        Identity::migrate_postgres(&database.url()).await.unwrap();
        [Self::Sqlite(tempfile::tempdir().unwrap()), Self::Postgres(database)]
    }

    pub(crate) async fn open(&self, clock: &Hand) -> Identity {
        self.open_with(clock, "a").await.unwrap()
    }

    /// With a sealing key of that hex digit.
    pub(crate) async fn open_with(&self, clock: &Hand, digit: &str) -> Result<Identity, OpenError> {
        let clock = clock.clone();
        let sealer = Sealer::from_hex(&digit.repeat(64)).unwrap();
        let options = Options { now: Arc::new(move || clock.now()), issuer: ISSUER.to_owned(), sealer };
        match self {
            Self::Sqlite(dir) => Identity::sqlite(&dir.path().join("identity.db"), options).await,
            Self::Postgres(database) => Identity::postgres(&database.url(), options).await,
        }
    }
}

pub(crate) fn ada(sid: &str) -> UserClaims {
    UserClaims {
        uid: "6f1c".to_owned(),
        email: "ada@example.com".to_owned(),
        name: "Ada".to_owned(),
        verified: true,
        sid: sid.to_owned(),
    }
}
