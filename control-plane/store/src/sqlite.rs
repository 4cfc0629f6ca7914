//! The log in a SQLite file, for one process.

use std::{collections::HashMap, path::Path, sync::Arc};

use async_trait::async_trait;
use dropmate_sql::{OpenError, Plan, sqlite::Sqlite as Pools};
use futures::TryStreamExt;
use jiff::Timestamp;
use sqlx::{SqliteConnection, migrate::Migrator};

use crate::{
    Access, AccessPiece, Archived, AuditPage, AuditPiece, AuditQuery, Backend, BackendError, Batch, Change,
    CommitError, Committed, Entries, Entry, Floors, Gone, Header, Key, Refusal, Revision, Scope, Snapshot, Write,
    archive,
    check::{Checker, Found},
    columns::Columns,
};

mod audit;
mod statements;

static MIGRATIONS: Migrator = sqlx::migrate!("../../migrations/control/sqlite");

/// Keeps the log in a SQLite file. Expectations are checked in Rust, but inside the transaction: `BEGIN IMMEDIATE`
/// holds the file's write lock, so that what is read is what is there at the commit.
#[derive(Clone, Debug)]
pub struct Sqlite {
    pools: Pools,
}

impl Sqlite {
    /// Opens a file, makes it if it is not there, and migrates it. A file of a newer program is refused.
    pub async fn open(path: &Path) -> Result<Self, OpenError> {
        Ok(Self { pools: Pools::open(path, "control", &MIGRATIONS).await? })
    }

    /// Brings a file up to date, makes it if it is not there, and tells what was done.
    pub async fn migrate(path: &Path) -> Result<Plan, OpenError> {
        let plan = Self::pending(path).await?;
        Self::open(path).await?.pools.close().await;
        Ok(plan)
    }

    /// What [`migrate`](Self::migrate) would do.
    pub async fn pending(path: &Path) -> Result<Plan, OpenError> {
        Pools::pending(path, "control", &MIGRATIONS).await
    }

    /// The connections, for tests that get in the way of the database.
    pub fn pools(&self) -> &Pools {
        &self.pools
    }
}

#[async_trait]
impl Backend for Sqlite {
    async fn load(&self) -> Result<Snapshot, BackendError> {
        let mut reading = self.pools.read.begin().await?;
        let revision: i64 = sqlx::query_scalar(statements::NEWEST).fetch_one(&mut *reading).await?;
        let rows = sqlx::query(statements::LIVE_OBJECTS).fetch_all(&mut *reading).await?;
        let objects =
            rows.iter().map(|row| Ok(Arc::new(Columns::of(row).object()?))).collect::<Result<_, sqlx::Error>>()?;
        let floors: Vec<(String, i64)> = sqlx::query_as(statements::FLOORS).fetch_all(&mut *reading).await?;
        let floors = floors.into_iter().map(|(resource, floor)| (resource, floor as Revision)).collect();
        Ok(Snapshot { revision: revision as Revision, objects, floors })
    }

    async fn commit(&self, batch: &Batch) -> Result<Committed, CommitError> {
        let begun = self.pools.write.begin_with("BEGIN IMMEDIATE").await;
        let mut transaction = begun.map_err(not_written)?;
        let committed = match write(&mut transaction, batch).await {
            Ok(committed) => committed,
            Err(error) => {
                // The connection rolls back before its next use at the latest.
                let _ = transaction.rollback().await;
                return Err(CommitError::NotWritten(error));
            }
        };
        if committed.newest == committed.before {
            transaction.rollback().await.map_err(not_written)?;
        } else {
            transaction.commit().await.map_err(|error| CommitError::Unknown(error.into()))?;
        }
        Ok(committed)
    }

    async fn newest(&self) -> Result<Revision, BackendError> {
        // On the connection that writes: it is only free when no commit is under way.
        let newest: i64 = sqlx::query_scalar(statements::NEWEST).fetch_one(&self.pools.write).await?;
        Ok(newest as Revision)
    }

    async fn entries(
        &self,
        scope: Option<&Scope>,
        after: Revision,
        upto: Revision,
        limit: usize,
    ) -> Result<Entries, BackendError> {
        let (mut piece, mut bytes) = (Entries::default(), 0);
        let mut rows = sqlx::query(statements::ENTRIES)
            .bind(after as i64)
            .bind(upto as i64)
            .bind(scope.map(|scope| scope.resource.clone()))
            .bind(scope.and_then(|scope| scope.namespace.clone()))
            .bind(limit as i64)
            .fetch(&self.pools.read);
        while let Some(row) = rows.try_next().await? {
            if piece.push(Columns::of(&row).entry()?, &mut bytes, limit) {
                return Ok(piece);
            }
        }
        piece.upto = upto;
        Ok(piece)
    }

    async fn history(&self, key: &Key, after: Revision, limit: usize) -> Result<Vec<Entry>, BackendError> {
        let rows = sqlx::query(statements::HISTORY)
            .bind(key.resource.clone())
            .bind(key.namespace.clone())
            .bind(key.name.clone())
            .bind(after as i64)
            .bind(limit as i64)
            .fetch_all(&self.pools.read)
            .await?;
        Ok(rows.iter().map(|row| Columns::of(row).entry()).collect::<Result<_, _>>()?)
    }

    async fn headers(&self, after: Revision, limit: usize) -> Result<Vec<Header>, BackendError> {
        let query = sqlx::query(statements::HEADERS).bind(after as i64).bind(limit as i64);
        let rows = query.fetch_all(&self.pools.read).await?;
        Ok(rows.iter().map(|row| Columns::of(row).header()).collect::<Result<_, _>>()?)
    }

    async fn appended(&self) -> Result<u64, BackendError> {
        let bytes: i64 = sqlx::query_scalar(statements::APPENDED).fetch_one(&self.pools.read).await?;
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
        let mut query = sqlx::query(statement)
            .bind(scope.resource.clone())
            .bind(scope.namespace.clone())
            .bind(i64::try_from(before).unwrap_or(i64::MAX))
            .bind(limit as i64);
        if let Some(name) = name {
            query = query.bind(name.to_owned());
        }
        let rows = query.fetch_all(&self.pools.read).await?;
        Ok(rows.iter().map(|row| Columns::of(row).archived()).collect::<Result<_, _>>()?)
    }

    async fn prune(&self, gone: &[Gone], floors: &Floors) -> Result<(), BackendError> {
        let mut transaction = self.pools.write.begin_with("BEGIN IMMEDIATE").await?;
        audit::take_out(&mut transaction, gone).await?;
        for (resource, &floor) in floors {
            let query = sqlx::query(statements::RAISE_FLOOR).bind(resource.clone()).bind(floor as i64);
            query.execute(&mut *transaction).await?;
        }
        Ok(transaction.commit().await?)
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
        self.pools.close().await;
    }
}

/// Numbers, checks and writes a batch.
async fn write(transaction: &mut SqliteConnection, batch: &Batch) -> Result<Committed, BackendError> {
    let writes = &batch.writes;
    let (taken, appended): (i64, i64) =
        sqlx::query_as(statements::TAKE).bind(writes.len() as i64).fetch_one(&mut *transaction).await?;
    let newest = taken as Revision;
    let before = newest - writes.len() as Revision;
    let found = find(transaction, writes).await?;
    let mut checker = Checker::new(|key| {
        let found = found.get(key)?;
        Some(Found { uid: &found.uid, revision: found.revision, body: &found.body })
    });
    let numbered = writes.iter().zip(before + 1..);
    let outcomes: Vec<Result<Revision, Refusal>> =
        numbered.map(|(write, revision)| checker.check(write).map(|()| revision)).collect();
    let rows: Vec<_> = writes
        .iter()
        .zip(&outcomes)
        .filter_map(|(write, outcome)| Some((write, outcome.ok()?, found.get(&write.key))))
        .collect();
    if rows.is_empty() {
        return Ok(Committed { before, newest: before, outcomes });
    }
    let appended = insert(transaction, &rows, batch.at, appended).await?;
    sqlx::query(statements::SET_APPENDED).bind(appended).execute(&mut *transaction).await?;
    sqlx::query(statements::POINT_OBJECTS).bind(before as i64).execute(&mut *transaction).await?;
    if rows.iter().any(|(write, ..)| write.change.removes()) {
        sqlx::query(statements::DROP_OBJECTS).bind(before as i64).execute(&mut *transaction).await?;
    }
    for (write, revision, _) in rows {
        if let Change::Archive { body } = &write.change {
            let query = sqlx::query(statements::ARCHIVE).bind(revision as i64).bind(archive::pack(body));
            query.execute(&mut *transaction).await?;
        }
    }
    Ok(Committed { before, newest, outcomes })
}

/// What the file holds under a key; the body only for keys that guards name.
struct Held {
    uid: String,
    revision: Revision,
    body: String,
}

async fn find(transaction: &mut SqliteConnection, writes: &[Write]) -> Result<HashMap<Key, Held>, BackendError> {
    let mut keys = HashMap::with_capacity(writes.len());
    for write in writes {
        keys.entry(&write.key).or_insert(false);
        for guard in &write.guards {
            keys.insert(&guard.key, true);
        }
    }
    let keys: Vec<_> = keys.into_iter().map(|(key, body)| (&key.resource, &key.namespace, &key.name, body)).collect();
    let keys = serde_json::to_string(&keys).map_err(|error| sqlx::Error::Encode(error.into()))?;
    let rows = sqlx::query(statements::FIND).bind(keys).fetch_all(&mut *transaction).await?;
    let held = rows.iter().map(|row| {
        let object = Columns::of(row).object()?;
        let held = Held { uid: object.uid, revision: object.revision, body: object.body.as_ref().to_owned() };
        Ok((object.key, held))
    });
    Ok(held.collect::<Result<_, sqlx::Error>>()?)
}

/// Appends to the log, many rows a statement: a statement for each row would spend its time between threads. Takes and
/// returns the bytes appended so far.
async fn insert(
    transaction: &mut SqliteConnection,
    rows: &[(&Write, Revision, Option<&Held>)],
    at: Timestamp,
    mut appended: i64,
) -> Result<i64, BackendError> {
    let mut rows = rows;
    while !rows.is_empty() {
        let (count, statement) = statements::append(rows.len());
        let (now, later) = rows.split_at(count);
        rows = later;
        let mut query = sqlx::query(statement);
        for (write, revision, held) in now {
            let uid = match &write.change {
                Change::Put { uid, .. } => uid.clone(),
                _ => held.map(|held| held.uid.clone()).unwrap_or_default(),
            };
            let body = write.change.body().clone();
            appended += body.len() as i64;
            query = query
                .bind(*revision as i64)
                .bind(write.key.resource.clone())
                .bind(write.key.namespace.clone())
                .bind(write.key.name.clone())
                .bind(uid)
                .bind(write.change.removes())
                .bind(held.map_or(0, |held| held.revision as i64))
                .bind(write.actor.user.clone())
                .bind(write.actor.client.clone())
                .bind(write.actor.request_id.clone())
                .bind(at.as_microsecond())
                .bind(appended)
                .bind(body);
        }
        query.execute(&mut *transaction).await?;
    }
    Ok(appended)
}

fn not_written(error: sqlx::Error) -> CommitError {
    CommitError::NotWritten(error.into())
}
