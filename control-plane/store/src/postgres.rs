//! The log in PostgreSQL, for any number of processes.
//!
//! A batch is one call of `control.commit_v1` (see the migrations), which locks the counter's row, checks and writes.
//! The lock orders the commits of all processes, so that no revision becomes visible before a lower one.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use dropmate_sql::{
    OpenError, Plan,
    postgres::{COMMIT_TIMEOUT, Postgres as Pools, QUERY_TIMEOUT, is_refusal, migrate, pending, within},
};
use jiff::Timestamp;
use sqlx::{Connection, PgConnection, Row, migrate::Migrator, postgres::PgRow};
use tokio::time::{Instant, timeout};

use crate::{
    Access, AccessPiece, Archived, AuditPage, AuditPiece, AuditQuery, Backend, BackendError, Batch, CommitError,
    Committed, Entries, Entry, Floors, Gone, Header, Key, Revision, Scope, Shared, Snapshot,
    backend::PIECE_BYTES,
    columns::{self, Columns},
};

mod audit;
mod batch;
mod listen;
mod statements;

use self::listen::Listener;

static MIGRATIONS: Migrator = sqlx::migrate!("../../migrations/control/postgres");

const SCHEMA: &str = "control";
/// Revisions looked through for a piece of the log: a scope may have next to nothing in a long stretch, and a query has
/// its deadline.
const PIECE_REVISIONS: u64 = 50_000;
/// A connection that has rested for longer is asked for a sign of life before a batch is entrusted to it, so that a
/// database which has gone away meanwhile leaves nothing in doubt.
const RESTED: Duration = Duration::from_secs(1);
/// A rested connection that turns out within this time to have ended is replaced before anybody hears of it, as after a
/// restart of the database. Later there is no time left for another try.
const REPLACED_WITHIN: Duration = Duration::from_millis(500);
/// How long the whole state may take to load.
const LOAD_WITHIN: Duration = Duration::from_mins(2);
/// All statements are small and look into tables by key, whatever the planner believes about their size, which it learns
/// late: on a young database it takes them for so dear that it compiles them, at 50 ms each time.
const BY_KEY: [(&str, &str); 5] = [
    ("enable_seqscan", "off"),
    ("enable_hashjoin", "off"),
    ("enable_mergejoin", "off"),
    ("jit", "off"),
    ("plan_cache_mode", "force_generic_plan"),
];

/// Keeps the log in a PostgreSQL database.
#[derive(Debug)]
pub struct Postgres {
    pools: Pools,
    /// Names this process to the listeners of the others, and to its own, which need not look at what it wrote itself.
    name: String,
    listener: Listener,
    /// When the database last carried out a batch.
    last_commit: Mutex<Instant>,
}

impl Postgres {
    /// Connects to a database that has been migrated; waits for a while if it is not there yet.
    pub async fn open(url: &str) -> Result<Self, OpenError> {
        let pools = Pools::open(url, SCHEMA, &MIGRATIONS, &BY_KEY).await?;
        let name = listen::fresh_name();
        let listener = Listener::start(pools.clone(), name.clone());
        Ok(Self { pools, name, listener, last_commit: Mutex::new(Instant::now()) })
    }

    /// Brings the schema of a database up to date and tells what was done. A database of a newer program is refused.
    pub async fn migrate(url: &str) -> Result<Plan, OpenError> {
        migrate(url, SCHEMA, &MIGRATIONS).await
    }

    /// What [`migrate`](Self::migrate) would do.
    pub async fn pending(url: &str) -> Result<Plan, OpenError> {
        pending(url, SCHEMA, &MIGRATIONS).await
    }

    /// The connections, for tests that get in the way of the database.
    pub fn pools(&self) -> &Pools {
        &self.pools
    }

    /// Commits on the writing connection; `sent` tells afterwards whether the database may have got to see the batch.
    async fn try_commit(&self, batch: &Batch, rested: bool, sent: &mut bool) -> Result<Committed, sqlx::Error> {
        let commit = self.pools.write.within(COMMIT_TIMEOUT, async |connection| {
            if rested {
                connection.ping().await?;
            }
            *sent = true;
            batch::commit(connection, &self.name, batch).await
        });
        commit.await
    }

    async fn read<T>(
        &self,
        op: impl AsyncFnOnce(&mut PgConnection) -> Result<T, sqlx::Error>,
    ) -> Result<T, BackendError> {
        Ok(within(&self.pools.read, QUERY_TIMEOUT, op).await?)
    }
}

#[async_trait]
impl Backend for Postgres {
    async fn load(&self) -> Result<Snapshot, BackendError> {
        let load = async {
            let mut connection = self.pools.connect().await?;
            let mut reading = connection.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
            let revision: i64 = sqlx::query_scalar(statements::NEWEST).fetch_one(&mut *reading).await?;
            let rows = sqlx::query(statements::LIVE_OBJECTS).fetch_all(&mut *reading).await?;
            let objects =
                rows.iter().map(|row| Ok(Arc::new(Columns::of(row).object()?))).collect::<Result<_, sqlx::Error>>()?;
            let floors = floors(&mut reading).await?;
            drop(reading);
            connection.close().await?;
            Ok(Snapshot { revision: revision as Revision, objects, floors })
        };
        timeout(LOAD_WITHIN, load).await.unwrap_or_else(|_| Err(BackendError("it takes too long".into())))
    }

    async fn commit(&self, batch: &Batch) -> Result<Committed, CommitError> {
        let rested = self.last_commit.lock().unwrap_or_else(PoisonError::into_inner).elapsed() > RESTED;
        let begun = Instant::now();
        let mut sent = false;
        let mut outcome = self.try_commit(batch, rested, &mut sent).await;
        if outcome.is_err() && rested && !sent && begun.elapsed() < REPLACED_WITHIN {
            outcome = self.try_commit(batch, false, &mut sent).await;
        }
        match outcome {
            Ok(committed) => {
                *self.last_commit.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
                Ok(committed)
            }
            Err(error) if !sent || is_refusal(&error) => Err(CommitError::NotWritten(error.into())),
            Err(error) => {
                self.pools.write.lose();
                Err(CommitError::Unknown(error.into()))
            }
        }
    }

    async fn newest(&self) -> Result<Revision, BackendError> {
        self.pools.write.end_lost().await?;
        // Waits for whoever holds the counter's row.
        let newest: i64 = self
            .pools
            .write
            .within(QUERY_TIMEOUT, async |connection| {
                sqlx::query_scalar(statements::NEWEST_SETTLED).fetch_one(connection).await
            })
            .await?;
        Ok(newest as Revision)
    }

    async fn entries(
        &self,
        scope: Option<&Scope>,
        after: Revision,
        upto: Revision,
        limit: usize,
    ) -> Result<Entries, BackendError> {
        let far = upto.min(after.saturating_add(PIECE_REVISIONS));
        let rows = self
            .read(async |connection| {
                sqlx::query(statements::ENTRIES)
                    .bind(after as i64)
                    .bind(far as i64)
                    .bind(scope.map(|scope| scope.resource.as_str()))
                    .bind(scope.and_then(|scope| scope.namespace.as_deref()))
                    .bind(limit as i64)
                    .bind(PIECE_BYTES as i64)
                    .fetch_all(connection)
                    .await
            })
            .await?;
        piece(&rows, 0, far, limit)
    }

    async fn history(&self, key: &Key, after: Revision, limit: usize) -> Result<Vec<Entry>, BackendError> {
        let rows = self
            .read(async |connection| {
                sqlx::query(statements::HISTORY)
                    .bind(&key.resource)
                    .bind(&key.namespace)
                    .bind(&key.name)
                    .bind(after as i64)
                    .bind(limit as i64)
                    .fetch_all(connection)
                    .await
            })
            .await?;
        Ok(rows.iter().map(|row| Columns::of(row).entry()).collect::<Result<_, _>>()?)
    }

    async fn headers(&self, after: Revision, limit: usize) -> Result<Vec<Header>, BackendError> {
        let rows = self
            .read(async |connection| {
                sqlx::query(statements::HEADERS).bind(after as i64).bind(limit as i64).fetch_all(connection).await
            })
            .await?;
        Ok(rows.iter().map(|row| Columns::of(row).header()).collect::<Result<_, _>>()?)
    }

    async fn appended(&self) -> Result<u64, BackendError> {
        let bytes: i64 =
            self.read(async |connection| sqlx::query_scalar(statements::APPENDED).fetch_one(connection).await).await?;
        Ok(bytes as u64)
    }

    async fn archived(
        &self,
        scope: &Scope,
        name: Option<&str>,
        before: Revision,
        limit: usize,
    ) -> Result<Vec<Archived>, BackendError> {
        let statement = if name.is_some() { statements::ARCHIVED_BY_NAME } else { statements::ARCHIVED };
        let rows = self
            .read(async |connection| {
                let mut query = sqlx::query(statement)
                    .bind(&scope.resource)
                    .bind(scope.namespace.as_deref())
                    .bind(i64::try_from(before).unwrap_or(i64::MAX))
                    .bind(limit as i64);
                if let Some(name) = name {
                    query = query.bind(name);
                }
                query.fetch_all(connection).await
            })
            .await?;
        Ok(rows.iter().map(|row| Columns::of(row).archived()).collect::<Result<_, _>>()?)
    }

    fn shared(&self) -> Option<&dyn Shared> {
        Some(self)
    }

    async fn prune(&self, gone: &[Gone], floors: &Floors) -> Result<(), BackendError> {
        let (resources, raised): (Vec<&str>, Vec<i64>) =
            floors.iter().map(|(resource, &floor)| (resource.as_str(), floor as i64)).unzip();
        self.read(async |connection| {
            let mut transaction = connection.begin().await?;
            // Who reads a floor after the entries are gone sees it raised. Floors first, in one order, so that two
            // processes which compact at the same time wait for each other here.
            sqlx::query(statements::RAISE_FLOORS).bind(resources).bind(raised).execute(&mut *transaction).await?;
            audit::take_out(&mut transaction, gone).await?;
            transaction.commit().await
        })
        .await
    }

    async fn audited(&self, query: &AuditQuery, page: AuditPage) -> Result<AuditPiece, BackendError> {
        self.find_audited(query, page).await
    }

    async fn audit_entries(&self, revisions: &[Revision]) -> Result<Vec<Entry>, BackendError> {
        self.find_entries(revisions).await
    }

    async fn note_accesses(&self, accesses: &[Access]) -> Result<(), BackendError> {
        self.note(accesses).await
    }

    async fn accesses(&self, query: &AuditQuery, page: AuditPage) -> Result<AccessPiece, BackendError> {
        self.find_accesses(query, page).await
    }

    async fn forget_audit(&self, before: Timestamp, limit: usize) -> Result<usize, BackendError> {
        self.forget(before, limit).await
    }

    async fn close(&self) {
        self.listener.stop();
        self.pools.close().await;
    }
}

#[async_trait]
impl Shared for Postgres {
    async fn news(&self, after: Revision, limit: usize) -> Result<(Revision, Entries), BackendError> {
        let rows = self
            .pools
            .follow
            .within(QUERY_TIMEOUT, async |connection| {
                sqlx::query(statements::NEWS)
                    .bind(after as i64)
                    .bind(limit as i64)
                    .bind(PIECE_BYTES as i64)
                    .fetch_all(connection)
                    .await
            })
            .await?;
        let first = rows.first().ok_or_else(|| BackendError("the counter is gone".into()))?;
        let newest = first.try_get::<i64, _>(0)? as Revision;
        if first.try_get::<Option<i64>, _>(1 + columns::REVISION)?.is_none() {
            return Ok((newest, Entries { entries: Vec::new(), upto: newest }));
        }
        Ok((newest, piece(&rows, 1, newest, limit)?))
    }

    async fn wait(&self) {
        self.listener.heard().await;
    }

    async fn floors(&self) -> Result<Floors, BackendError> {
        self.read(async |connection| floors(connection).await).await
    }
}

/// The rows of a piece of the log up to `upto`; `skip` columns stand before the entry's.
fn piece(rows: &[PgRow], skip: usize, upto: Revision, limit: usize) -> Result<Entries, BackendError> {
    let entries = rows.iter().map(|row| Columns::from(row, skip).entry()).collect::<Result<Vec<_>, _>>()?;
    // The first that did not fit is marked on the last that did.
    let more = match rows.last() {
        Some(last) => rows.len() >= limit || last.try_get::<bool, _>(skip + columns::ENTRY)?,
        None => false,
    };
    let upto = entries.last().filter(|_| more).map_or(upto, |last| last.event.revision);
    Ok(Entries { entries, upto })
}

async fn floors(connection: &mut PgConnection) -> Result<Floors, sqlx::Error> {
    let floors: Vec<(String, i64)> = sqlx::query_as(statements::FLOORS).fetch_all(connection).await?;
    Ok(floors.into_iter().map(|(resource, floor)| (resource, floor as Revision)).collect::<BTreeMap<_, _>>())
}
