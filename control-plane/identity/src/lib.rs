//! Who there is: users, sessions, invitations, keys, tokens, secrets. Owns the schema `identity`.
//!
//! Decides nothing about what anybody may do: that is the table of roles. Knows no HTTP and no kind.

#![warn(missing_docs)]

mod db;

use std::{path::Path, sync::Arc};

use dropmate_sql::{OpenError, Plan};
use jiff::Timestamp;

use crate::db::Db;

/// A source of system time.
pub type Now = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// How an identity service is set up.
#[derive(Clone)]
pub struct Options {
    /// System time.
    pub now: Now,
    /// The public URL, which tokens name as their issuer (`iss`).
    pub issuer: String,
}

/// The identity service. Cheap to clone; clones share it.
#[derive(Clone)]
pub struct Identity {
    inner: Arc<Inner>,
}

struct Inner {
    db: Db,
    options: Options,
}

/// Why the service cannot do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database does not answer, or not as it should. Nothing was done, unless a commit was under way.
    #[error("the identity database is not available")]
    Unavailable(#[from] sqlx::Error),
}

/// What the service answers.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Identity {
    /// Over a SQLite file, which is made if it is not there, and migrated. Only one process may use it: keeping others
    /// away is the caller's part.
    pub async fn sqlite(path: &Path, options: Options) -> Result<Self, OpenError> {
        Ok(Self { inner: Arc::new(Inner { db: Db::sqlite(path).await?, options }) })
    }

    /// Over a PostgreSQL database that has been migrated ([`migrate_postgres`](Self::migrate_postgres)). Any number of
    /// processes may share it.
    pub async fn postgres(url: &str, options: Options) -> Result<Self, OpenError> {
        Ok(Self { inner: Arc::new(Inner { db: Db::postgres(url).await?, options }) })
    }

    /// Brings a file up to date, makes it if it is not there, and tells what was done.
    pub async fn migrate_sqlite(path: &Path) -> Result<Plan, OpenError> {
        let plan = Self::pending_sqlite(path).await?;
        Db::sqlite(path).await?.close().await;
        Ok(plan)
    }

    /// What [`migrate_sqlite`](Self::migrate_sqlite) would do.
    pub async fn pending_sqlite(path: &Path) -> Result<Plan, OpenError> {
        db::pending_sqlite(path).await
    }

    /// Brings the schema of a PostgreSQL database up to date and tells what was done.
    pub async fn migrate_postgres(url: &str) -> Result<Plan, OpenError> {
        db::migrate_postgres(url).await
    }

    /// What [`migrate_postgres`](Self::migrate_postgres) would do.
    pub async fn pending_postgres(url: &str) -> Result<Plan, OpenError> {
        db::pending_postgres(url).await
    }

    /// Lets go of the database.
    pub async fn close(&self) {
        self.inner.db.close().await;
    }

    /// System time in microseconds, as the database keeps it.
    pub(crate) fn now(&self) -> i64 {
        (self.inner.options.now)().as_microsecond()
    }

    pub(crate) fn db(&self) -> &Db {
        &self.inner.db
    }
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity").field("issuer", &self.inner.options.issuer).finish_non_exhaustive()
    }
}
