//! Several control planes over one PostgreSQL database: one API to its callers, whichever of them they reach.

#[path = "replicas/database_away.rs"]
mod database_away;
#[path = "replicas/garbage.rs"]
mod garbage;
#[path = "replicas/namespaces.rs"]
mod namespaces;
#[path = "replicas/programs.rs"]
mod programs;
#[path = "replicas/proofs.rs"]
mod proofs;
#[path = "replicas/revoked.rs"]
mod revoked;
#[path = "replicas/versions.rs"]
mod versions;

use std::{sync::Arc, time::Duration};

use dropmate_control_plane::ControlPlane;
use dropmate_identity::Identity;
use dropmate_ingest::Ingest;
use dropmate_store::{Options, Postgres, Store};
use dropmate_testing::Database;
use futures::future::join_all;
use tokio::time::Instant;

use crate::client::{Api, clock};

/// What a busy machine may add to the time in which something is promised.
const BUSY: Duration = Duration::from_secs(3);
/// Longer than anything here may take that nothing is promised about.
const PATIENCE: Duration = Duration::from_secs(30);

/// The operator at two replicas.
struct Two {
    a: Api,
    b: Api,
    /// Dropped with the value.
    database: Database,
}

async fn migrated() -> Database {
    let database = Database::create().await;
    Postgres::migrate(&database.url()).await.unwrap();
    Identity::migrate_postgres(&database.url()).await.unwrap();
    Ingest::migrate_postgres(&database.url()).await.unwrap();
    database
}

/// A replica without ports.
async fn replica(database: &Database) -> Api {
    let clock = clock();
    let system = clock.clone();
    let now = Arc::new(move || system.system_now());
    let store = Store::postgres(&database.url(), now, Options::default()).await.unwrap();
    Api::over(ControlPlane::over_store(store, clock).await)
}

/// So many that are started side by side on an empty database.
async fn replicas(database: &Database, count: usize) -> Vec<Api> {
    join_all((0..count).map(|_| replica(database))).await
}

async fn two() -> Two {
    let database = migrated().await;
    let [a, b] = replicas(&database, 2).await.try_into().unwrap_or_else(|_| unreachable!());
    Two { a, b, database }
}

/// Tries until it is so.
async fn until(what: &str, mut so: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !so().await {
        assert!(Instant::now() < deadline, "{what}: not within {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
