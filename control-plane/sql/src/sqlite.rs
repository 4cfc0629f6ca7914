//! A SQLite file: one connection that writes, a few that read beside it.

use std::{path::Path, time::Duration};

use sqlx::{
    ConnectOptions, Connection, SqlitePool,
    migrate::Migrator,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

use crate::{
    OpenError, Plan,
    migrate::{migrate, plan},
};

/// Readers beside the writer. Reads of the log are rare: most are answered from memory.
const READERS: u32 = 4;
/// How long a statement waits for another's lock: long enough for the checkpoint of a large WAL.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a caller waits for a connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);

/// The connections to one file.
#[derive(Clone, Debug)]
pub struct Sqlite {
    /// The one connection that writes, so that writers queue here and not on the file's lock.
    pub write: SqlitePool,
    /// Connections that only read; they see the last commit and never wait for the writer.
    pub read: SqlitePool,
}

impl Sqlite {
    /// Opens a file, makes it if it is not there, and brings `schema` up to date.
    ///
    /// Every commit is flushed to the disk before it returns (WAL, `synchronous = FULL`). Only one process may use the
    /// file; keeping others away is the caller's part.
    pub async fn open(path: &Path, schema: &'static str, migrations: &Migrator) -> Result<Self, OpenError> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(BUSY_TIMEOUT)
            // Its owner logs what went wrong, once; statements are long and bodies are nobody's business.
            .disable_statement_logging();
        let failed = |source| OpenError::Open { path: path.to_owned(), source };
        let pool = |connections| SqlitePoolOptions::new().max_connections(connections).acquire_timeout(ACQUIRE_TIMEOUT);
        // The writer is kept for good: its prepared statements are worth more than its memory.
        let write = pool(1).min_connections(1).idle_timeout(None).max_lifetime(None);
        let write = write.connect_with(options.clone()).await.map_err(failed)?;
        migrate(&write, schema, migrations).await?;
        let read = pool(READERS).connect_lazy_with(options.create_if_missing(false).read_only(true));
        Ok(Self { write, read })
    }

    /// What `open` would do to the schema; changes nothing.
    pub async fn pending(path: &Path, schema: &'static str, migrations: &Migrator) -> Result<Plan, OpenError> {
        // A file that was made but never opened is empty.
        if std::fs::metadata(path).map_or(0, |file| file.len()) == 0 {
            return plan(schema, migrations, &[]);
        }
        let failed = |source| OpenError::Open { path: path.to_owned(), source };
        let options = SqliteConnectOptions::new().filename(path).read_only(true).disable_statement_logging();
        let mut connection = options.connect().await.map_err(failed)?;
        let table = "SELECT count(*) FROM sqlite_master WHERE name = '_sqlx_migrations'";
        let there: i64 = sqlx::query_scalar(table).fetch_one(&mut connection).await.map_err(failed)?;
        let applied: Vec<i64> = if there > 0 {
            let versions = "SELECT version FROM _sqlx_migrations WHERE success ORDER BY version";
            sqlx::query_scalar(versions).fetch_all(&mut connection).await.map_err(failed)?
        } else {
            Vec::new()
        };
        connection.close().await.map_err(failed)?;
        plan(schema, migrations, &applied)
    }

    /// Closes all connections; the last one moves the WAL into the file.
    pub async fn close(&self) {
        self.read.close().await;
        self.write.close().await;
    }
}
