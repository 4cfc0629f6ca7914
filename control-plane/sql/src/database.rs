//! The two databases behind one: statements are the same text for both (`$1`, no schema, `RETURNING`, `ON CONFLICT`),
//! and the macros here run them on whichever it is.

use std::path::Path;

use sqlx::migrate::Migrator;

use crate::{
    OpenError, Plan,
    postgres::{self, Postgres},
    sqlite::Sqlite,
};

/// A schema of ours: its name, and how it comes to be in either database.
#[derive(Debug)]
pub struct Schema {
    /// As PostgreSQL and the table of migrations call it.
    pub name: &'static str,
    /// The migrations of a SQLite file.
    pub sqlite: &'static Migrator,
    /// The migrations of a PostgreSQL database.
    pub postgres: &'static Migrator,
}

/// The connections to a schema.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "there are a few of them in a process")]
pub enum Db {
    /// A SQLite file.
    Sqlite(Sqlite),
    /// A PostgreSQL database.
    Postgres(Postgres),
}

impl Schema {
    /// Over a SQLite file, which is made if it is not there, and migrated. Only one process may use it: keeping others
    /// away is the caller's part.
    pub async fn open_sqlite(&self, path: &Path) -> Result<Db, OpenError> {
        Ok(Db::Sqlite(Sqlite::open(path, self.name, self.sqlite).await?))
    }

    /// Over a PostgreSQL database that has been migrated. Any number of processes may share it.
    pub async fn open_postgres(&self, url: &str) -> Result<Db, OpenError> {
        Ok(Db::Postgres(Postgres::open(url, self.name, self.postgres, &[("search_path", self.name)]).await?))
    }

    /// Brings a file up to date, makes it if it is not there, and tells what was done.
    pub async fn migrate_sqlite(&self, path: &Path) -> Result<Plan, OpenError> {
        let plan = self.pending_sqlite(path).await?;
        self.open_sqlite(path).await?.close().await;
        Ok(plan)
    }

    /// What [`migrate_sqlite`](Self::migrate_sqlite) would do.
    pub async fn pending_sqlite(&self, path: &Path) -> Result<Plan, OpenError> {
        Sqlite::pending(path, self.name, self.sqlite).await
    }

    /// Brings the schema of a PostgreSQL database up to date and tells what was done.
    pub async fn migrate_postgres(&self, url: &str) -> Result<Plan, OpenError> {
        postgres::migrate(url, self.name, self.postgres).await
    }

    /// What [`migrate_postgres`](Self::migrate_postgres) would do.
    pub async fn pending_postgres(&self, url: &str) -> Result<Plan, OpenError> {
        postgres::pending(url, self.name, self.postgres).await
    }
}

impl Db {
    /// Lets go of the database.
    pub async fn close(&self) {
        match self {
            Self::Sqlite(pools) => pools.close().await,
            Self::Postgres(pools) => pools.close().await,
        }
    }
}

/// Runs an expression that reads, over a connection of whichever database it is:
/// `reading!(db, connection => sqlx::query_scalar("…").bind(x).fetch_one(connection).await)`, a `Result<_, sqlx::Error>`.
#[macro_export]
macro_rules! reading {
    ($db:expr, $connection:ident => $body:expr) => {
        match $db {
            $crate::Db::Sqlite(pools) => {
                async {
                    let mut held = pools.read.acquire().await?;
                    let $connection = &mut *held;
                    $body
                }
                .await
            }
            $crate::Db::Postgres(pools) => {
                $crate::postgres::within(
                    &pools.read,
                    $crate::postgres::QUERY_TIMEOUT,
                    async |$connection: &mut sqlx::PgConnection| $body,
                )
                .await
            }
        }
    };
}

/// Runs an expression in a transaction of whichever database it is, and commits it if it is `Ok`:
/// `writing!(db, connection => { sqlx::query("…").execute(&mut *connection).await?; Ok(()) })`. In SQLite writers queue for
/// the one connection; in PostgreSQL rows that are decided on are locked by `UPDATE … RETURNING` or `FOR UPDATE` (which
/// SQLite does not know: decide by conditions in the `UPDATE`).
#[macro_export]
macro_rules! writing {
    ($db:expr, $connection:ident => $body:expr) => {
        match $db {
            $crate::Db::Sqlite(pools) => {
                async {
                    let mut transaction = pools.write.begin_with("BEGIN IMMEDIATE").await?;
                    let outcome = {
                        let $connection: &mut sqlx::SqliteConnection = &mut transaction;
                        async { $body }.await
                    };
                    match outcome {
                        Ok(done) => transaction.commit().await.map(|()| done),
                        Err(error) => {
                            // The connection rolls back before its next use at the latest.
                            let _ = transaction.rollback().await;
                            Err(error)
                        }
                    }
                }
                .await
            }
            $crate::Db::Postgres(pools) => {
                $crate::postgres::within(
                    &pools.read,
                    $crate::postgres::QUERY_TIMEOUT,
                    async |held: &mut sqlx::PgConnection| {
                        let mut transaction = sqlx::Connection::begin(held).await?;
                        let outcome = {
                            let $connection: &mut sqlx::PgConnection = &mut transaction;
                            async { $body }.await
                        };
                        match outcome {
                            Ok(done) => transaction.commit().await.map(|()| done),
                            Err(error) => {
                                let _ = transaction.rollback().await;
                                Err(error)
                            }
                        }
                    },
                )
                .await
            }
        }
    };
}
