//! A PostgreSQL database: which connections a process keeps, how long it waits for them, and how a statement that does
//! not come back is given up.

use std::{
    str::FromStr,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use sqlx::{
    ConnectOptions, Connection, PgConnection, PgPool,
    migrate::Migrator,
    postgres::{PgConnectOptions, PgDatabaseError, PgListener, PgPoolOptions, PgSeverity},
};
use tokio::time::{Instant, sleep, timeout};

use crate::{
    OpenError,
    migrate::{Plan, applied, newer_or_failed, plan},
};

/// Connections that read the log beside the one that follows it. Most reads are answered from memory.
const READERS: u32 = 4;
/// How long a caller waits for a connection, a new one included. With [`QUERY_TIMEOUT`] it stays within the 5 s in which
/// a client is told that the database does not answer.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a query may take. What is read at once is bounded, so that more means trouble.
pub const QUERY_TIMEOUT: Duration = Duration::from_millis(2_500);
/// How long a commit may take, on the server's clock and then on ours. Longer than a slow disk, and short enough for the
/// look-up of a lost commit to be done within 5 s.
const COMMIT_STATEMENT_TIMEOUT: &str = "2500ms";
/// As [`COMMIT_STATEMENT_TIMEOUT`], from here.
pub const COMMIT_TIMEOUT: Duration = Duration::from_secs(3);
/// How long a commit waits for those of the other replicas.
const LOCK_TIMEOUT: &str = "2s";
/// How long a start waits for a database that is not there yet: containers start side by side.
const START_WITHIN: Duration = Duration::from_secs(30);
/// How long between two tries of a start.
const START_EVERY: Duration = Duration::from_secs(1);
/// How long a migration waits for a table that is in use, so that it does not hold up everybody behind it; and how often
/// it tries.
const MIGRATION_LOCK_TIMEOUT: &str = "5s";
const MIGRATION_TRIES: u32 = 12;

mod single;

pub use single::Single;

/// The connections of one process to one database.
#[derive(Clone, Debug)]
pub struct Postgres {
    /// The one connection that writes.
    pub write: Single,
    /// The one connection that follows what others write. Nothing else waits for it, so that it also tells whether the
    /// database is there when all others are busy.
    pub follow: Single,
    /// Connections that read old history.
    pub read: PgPool,
    options: PgConnectOptions,
}

impl Postgres {
    /// Connects, waiting for the database for a while, and checks that `schema` is at this program's version. Does not
    /// migrate: see [`migrate`].
    ///
    /// `settings` are further settings of all but [`connect`](Self::connect)'s connections.
    pub async fn open(
        url: &str,
        schema: &'static str,
        migrations: &Migrator,
        settings: &[(&str, &str)],
    ) -> Result<Self, OpenError> {
        let options = options(url)?;
        let give_up_at = Instant::now() + START_WITHIN;
        let mut connection = loop {
            match connect(&options).await {
                Ok(connection) => break connection,
                Err(error) if Instant::now() < give_up_at => {
                    tracing::warn!(host = options.get_host(), error = %error, "cannot reach the database; trying again");
                    sleep(START_EVERY).await;
                }
                Err(source) => return Err(unreachable(&options, source)),
            }
        };
        let found = applied(&mut connection, schema).await.and_then(|applied| plan(schema, migrations, &applied));
        let checked = match found {
            Ok(Plan { pending, .. }) if pending.is_empty() => Ok(()),
            Ok(Plan { pending, .. }) => Err(OpenError::Older { schema, pending: pending.len() }),
            Err(error) => Err(error),
        };
        // It is closed either way; that it says goodbye is only polite.
        let _ = timeout(ACQUIRE_TIMEOUT, connection.close()).await;
        checked?;

        let set = options.clone().options(settings.iter().copied());
        let read_options = set.clone().options([("statement_timeout", millis(QUERY_TIMEOUT))]);
        let writer = set.options([("statement_timeout", COMMIT_STATEMENT_TIMEOUT), ("lock_timeout", LOCK_TIMEOUT)]);
        Ok(Self {
            write: Single::new(writer),
            follow: Single::new(read_options.clone()),
            read: pool(READERS).connect_lazy_with(read_options),
            options,
        })
    }

    /// A connection of its own that hears what is notified on `channel`.
    pub async fn listen(&self, channel: &str) -> Result<PgListener, sqlx::Error> {
        let listening = async {
            let single = pool(1).connect_lazy_with(self.options.clone());
            let mut listener = PgListener::connect_with(&single).await?;
            listener.eager_reconnect(false);
            listener.listen(channel).await?;
            Ok(listener)
        };
        timeout(ACQUIRE_TIMEOUT, listening).await.unwrap_or_else(|_| Err(timed_out()))
    }

    /// A connection without a limit on its statements, for the one read of everything at the start.
    pub async fn connect(&self) -> Result<PgConnection, sqlx::Error> {
        connect(&self.options).await
    }

    /// Closes all connections.
    pub async fn close(&self) {
        // One that hangs is left to the operating system.
        let all = async { tokio::join!(self.write.close(), self.follow.close(), self.read.close()) };
        let _ = timeout(ACQUIRE_TIMEOUT, all).await;
    }
}

/// Runs `op` on a connection of the pool, at most for `limit`. A connection whose statement failed in another way than
/// by the server's word, or did not come back, is thrown away: nobody may meet the rest of its answer.
pub async fn within<T>(
    pool: &PgPool,
    limit: Duration,
    op: impl AsyncFnOnce(&mut PgConnection) -> Result<T, sqlx::Error>,
) -> Result<T, sqlx::Error> {
    let mut connection = pool.acquire().await?;
    let outcome = timeout(limit, op(&mut connection)).await.unwrap_or_else(|_| Err(timed_out()));
    if outcome.as_ref().is_err_and(|error| !stays(error)) {
        drop(connection.detach());
    } else {
        // The pool asks it for a sign of life, for which it would wait for ever: dropped, it makes room for another.
        tokio::spawn(timeout(ACQUIRE_TIMEOUT, connection.return_to_pool()));
    }
    outcome
}

/// Whether the server refused a statement: it certainly did nothing of it. (One that shuts down may say so after it has
/// committed; that is no refusal.)
pub fn is_refusal(error: &sqlx::Error) -> bool {
    let sqlx::Error::Database(error) = error else { return false };
    error.downcast_ref::<PgDatabaseError>().severity() == PgSeverity::Error
}

/// Whether a connection is good for the next statement after this error. On a server that has become read-only, such as
/// somebody's standby, it is not: the name may lead elsewhere by now.
fn stays(error: &sqlx::Error) -> bool {
    let read_only =
        || error.as_database_error().and_then(sqlx::error::DatabaseError::code).is_some_and(|code| code == "25006");
    is_refusal(error) && !read_only()
}

/// Brings `schema` up to this program's version. Safe to run twice, side by side, and to be killed: every migration is
/// one transaction, and one process migrates at a time. Returns what was done.
pub async fn migrate(url: &str, schema: &'static str, migrations: &Migrator) -> Result<Plan, OpenError> {
    let options = migration_options(url)?;
    let (mut connection, plan) = connect_and_plan(&options, schema, migrations).await?;
    let migrator = migrator(schema, migrations);
    let mut tries = 1;
    loop {
        match migrator.run_direct(None, &mut connection, false).await {
            Ok(()) => break,
            Err(error) if tries < MIGRATION_TRIES && is_locked(&error) => {
                tracing::warn!(schema, "the schema is in use; trying again");
                tries += 1;
                // The lock that keeps other migrations away ends with the connection.
                connection = connect(&options).await.map_err(|source| unreachable(&options, source))?;
            }
            Err(error) => return Err(newer_or_failed(schema, migrations, error)),
        }
    }
    let _ = timeout(ACQUIRE_TIMEOUT, connection.close()).await;
    Ok(plan)
}

/// What [`migrate`] would do.
pub async fn pending(url: &str, schema: &'static str, migrations: &Migrator) -> Result<Plan, OpenError> {
    connect_and_plan(&migration_options(url)?, schema, migrations).await.map(|(_, plan)| plan)
}

async fn connect_and_plan(
    options: &PgConnectOptions,
    schema: &'static str,
    migrations: &Migrator,
) -> Result<(PgConnection, Plan), OpenError> {
    let mut connection = connect(options).await.map_err(|source| unreachable(options, source))?;
    let applied = applied(&mut connection, schema).await?;
    let plan = plan(schema, migrations, &applied)?;
    Ok((connection, plan))
}

/// The migrations with the table that remembers them in the schema itself.
fn migrator(schema: &'static str, migrations: &Migrator) -> Migrator {
    let mut migrator = Migrator::with_migrations(migrations.iter().cloned().collect());
    migrator.create_schema(schema);
    migrator.dangerous_set_table_name(crate::migrate::table(schema));
    migrator
}

fn is_locked(error: &sqlx::migrate::MigrateError) -> bool {
    use sqlx::migrate::MigrateError::{Execute, ExecuteMigration};
    let (Execute(error) | ExecuteMigration(error, _)) = error else { return false };
    // lock_not_available
    error.as_database_error().and_then(sqlx::error::DatabaseError::code).is_some_and(|code| code == "55P03")
}

fn options(url: &str) -> Result<PgConnectOptions, OpenError> {
    let options = PgConnectOptions::from_str(url).map_err(|source| OpenError::Url { source })?;
    // Its owner logs what went wrong, once; statements are long and bodies are nobody's business.
    Ok(options.application_name("dropmate").disable_statement_logging())
}

fn migration_options(url: &str) -> Result<PgConnectOptions, OpenError> {
    Ok(options(url)?.options([("lock_timeout", MIGRATION_LOCK_TIMEOUT), ("statement_timeout", "0")]))
}

fn pool(connections: u32) -> PgPoolOptions {
    PgPoolOptions::new().max_connections(connections).acquire_timeout(ACQUIRE_TIMEOUT)
}

async fn connect(options: &PgConnectOptions) -> Result<PgConnection, sqlx::Error> {
    timeout(ACQUIRE_TIMEOUT, options.connect()).await.unwrap_or_else(|_| Err(timed_out()))
}

fn unreachable(options: &PgConnectOptions, source: sqlx::Error) -> OpenError {
    OpenError::Unreachable {
        database: format!(
            "{} at {}:{}",
            options.get_database().unwrap_or_default(),
            options.get_host(),
            options.get_port()
        ),
        source,
    }
}

fn locked<T>(value: &Mutex<T>) -> MutexGuard<'_, T> {
    value.lock().unwrap_or_else(PoisonError::into_inner)
}

fn timed_out() -> sqlx::Error {
    sqlx::Error::Io(std::io::Error::new(std::io::ErrorKind::TimedOut, "the database did not answer in time"))
}

fn millis(time: Duration) -> String {
    format!("{}ms", time.as_millis())
}
