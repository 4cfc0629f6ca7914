//! What phones bring in, kept before it is acknowledged. Owns the schema `ingest`.
//!
//! Knows no HTTP and no kind, and decides nothing about deliveries.

#![warn(missing_docs)]

mod fix;
mod incidents;
#[cfg(test)]
mod kept_tests;
mod links;
mod pins;
mod positions;
mod proofs;
mod ratings;
mod unavailable;

use std::{path::Path, sync::Arc};

use dropmate_sql::{Db, OpenError, Plan, Schema};
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

pub use crate::{
    fix::{Detail, Fix, Senseless},
    incidents::{Incident, IncidentFilter},
    links::{LinkedOrder, Revocations, SealedLink},
    pins::{PIN_TRIES_MAX, PinTry, SealedPin},
    positions::{Counts, KeepError, Kept, PAGE_MAX, Page},
    proofs::ProofRow,
    ratings::Rating,
    unavailable::Unavailable,
};

static SCHEMA: Schema = Schema {
    name: "ingest",
    sqlite: &sqlx::migrate!("../../migrations/ingest/sqlite"),
    postgres: &sqlx::migrate!("../../migrations/ingest/postgres"),
};

/// A source of time.
pub type Now = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// What phones brought in. Cheap to clone; clones share it.
#[derive(Clone)]
pub struct Ingest {
    inner: Arc<Inner>,
}

struct Inner {
    db: Db,
    now: Now,
    positions: positions::Writer,
}

impl Ingest {
    /// Over a SQLite file, which is made if it is not there, and migrated. Only one process may use it.
    pub async fn sqlite(path: &Path, now: Now) -> Result<Self, OpenError> {
        Ok(Self::over(SCHEMA.open_sqlite(path).await?, now))
    }

    /// Over a PostgreSQL database that has been migrated. Any number of processes may share it.
    pub async fn postgres(url: &str, now: Now) -> Result<Self, OpenError> {
        Ok(Self::over(SCHEMA.open_postgres(url).await?, now))
    }

    fn over(db: Db, now: Now) -> Self {
        let positions = positions::Writer::start(db.clone(), now.clone());
        Self { inner: Arc::new(Inner { db, now, positions }) }
    }

    /// Brings a file up to date, makes it if it is not there, and tells what was done.
    pub async fn migrate_sqlite(path: &Path) -> Result<Plan, OpenError> {
        SCHEMA.migrate_sqlite(path).await
    }

    /// What [`migrate_sqlite`](Self::migrate_sqlite) would do.
    pub async fn pending_sqlite(path: &Path) -> Result<Plan, OpenError> {
        SCHEMA.pending_sqlite(path).await
    }

    /// Brings the schema of a PostgreSQL database up to date and tells what was done.
    pub async fn migrate_postgres(url: &str) -> Result<Plan, OpenError> {
        SCHEMA.migrate_postgres(url).await
    }

    /// What [`migrate_postgres`](Self::migrate_postgres) would do.
    pub async fn pending_postgres(url: &str) -> Result<Plan, OpenError> {
        SCHEMA.pending_postgres(url).await
    }

    /// Keeps the fixes of a driver, and answers when they are durable. What was kept before counts as a duplicate.
    pub async fn keep(&self, namespace: &str, driver: &str, fixes: &[Fix]) -> Result<Counts, KeepError> {
        self.inner.positions.keep(namespace, driver, fixes).await
    }

    /// Deletes what has had its time, now and then, until `stop`.
    pub async fn tidy(self, stop: CancellationToken) {
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = tokio::time::sleep(positions::DELETE_EVERY) => {}
            }
            if let Err(error) = self.delete_old_positions().await {
                let error: &dyn std::error::Error = &error;
                tracing::warn!(error, "old positions cannot be deleted; trying again in a minute");
            }
        }
    }

    /// Answers what waits, takes no more, and lets go of the database.
    pub async fn close(&self) {
        self.inner.positions.close().await;
        self.inner.db.close().await;
    }

    /// System time in microseconds, as the database keeps it.
    pub fn now(&self) -> i64 {
        (self.inner.now)().as_microsecond()
    }

    pub(crate) fn db(&self) -> &Db {
        &self.inner.db
    }
}

impl std::fmt::Debug for Ingest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ingest").finish_non_exhaustive()
    }
}
