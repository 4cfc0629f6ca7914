//! The two databases behind one: statements are the same text for both (`$1`, no schema, `RETURNING`, `ON CONFLICT`), and
//! the macros here run them on whichever it is.

use std::path::Path;

use dropmate_sql::{
    OpenError, Plan,
    postgres::{Postgres, migrate, pending},
    sqlite::Sqlite,
};
use sqlx::migrate::Migrator;

static SQLITE: Migrator = sqlx::migrate!("../../migrations/identity/sqlite");
static POSTGRES: Migrator = sqlx::migrate!("../../migrations/identity/postgres");

const SCHEMA: &str = "identity";

/// The database of the schema `identity`.
#[expect(clippy::large_enum_variant, reason = "there is one of them in a process")]
pub(crate) enum Db {
    Sqlite(Sqlite),
    Postgres(Postgres),
}

impl Db {
    pub(crate) async fn sqlite(path: &Path) -> Result<Self, OpenError> {
        Ok(Self::Sqlite(Sqlite::open(path, SCHEMA, &SQLITE).await?))
    }

    pub(crate) async fn postgres(url: &str) -> Result<Self, OpenError> {
        Ok(Self::Postgres(Postgres::open(url, SCHEMA, &POSTGRES, &[("search_path", SCHEMA)]).await?))
    }

    pub(crate) async fn close(&self) {
        match self {
            Self::Sqlite(pools) => pools.close().await,
            Self::Postgres(pools) => pools.close().await,
        }
    }
}

pub(crate) async fn pending_sqlite(path: &Path) -> Result<Plan, OpenError> {
    Sqlite::pending(path, SCHEMA, &SQLITE).await
}

pub(crate) async fn migrate_postgres(url: &str) -> Result<Plan, OpenError> {
    migrate(url, SCHEMA, &POSTGRES).await
}

pub(crate) async fn pending_postgres(url: &str) -> Result<Plan, OpenError> {
    pending(url, SCHEMA, &POSTGRES).await
}

/// Runs an expression that reads, over a connection of whichever database it is:
/// `reading!(db, connection => sqlx::query_scalar("…").bind(x).fetch_one(connection).await)`, a `Result<_, sqlx::Error>`.
macro_rules! reading {
    ($db:expr, $connection:ident => $body:expr) => {
        match $db {
            $crate::db::Db::Sqlite(pools) => {
                async {
                    let mut held = pools.read.acquire().await?;
                    let $connection = &mut *held;
                    $body
                }
                .await
            }
            $crate::db::Db::Postgres(pools) => {
                dropmate_sql::postgres::within(
                    &pools.read,
                    dropmate_sql::postgres::QUERY_TIMEOUT,
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
macro_rules! writing {
    ($db:expr, $connection:ident => $body:expr) => {
        match $db {
            $crate::db::Db::Sqlite(pools) => {
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
            $crate::db::Db::Postgres(pools) => {
                dropmate_sql::postgres::within(
                    &pools.read,
                    dropmate_sql::postgres::QUERY_TIMEOUT,
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

pub(crate) use {reading, writing};

#[cfg(test)]
mod tests {
    use dropmate_testing::Database;

    use super::*;

    async fn raise(db: &Db) -> Result<i64, sqlx::Error> {
        let raised: Result<i64, sqlx::Error> = writing!(db, connection => {
            sqlx::query("UPDATE state SET version = version + $1").bind(1_i64).execute(&mut *connection).await?;
            sqlx::query_scalar("SELECT version FROM state").fetch_one(&mut *connection).await
        });
        let failed: Result<(), sqlx::Error> = writing!(db, connection => {
            sqlx::query("UPDATE state SET version = version + 100").execute(&mut *connection).await?;
            Err(sqlx::Error::RowNotFound)
        });
        assert!(failed.is_err());
        let read: Result<i64, sqlx::Error> = reading!(db, connection =>
            sqlx::query_scalar("SELECT version FROM state").fetch_one(connection).await);
        assert_eq!(read?, raised?, "what failed was rolled back");
        reading!(db, connection => sqlx::query_scalar("SELECT version FROM state").fetch_one(connection).await)
    }

    #[tokio::test]
    async fn the_same_statements_run_on_both_databases() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("identity.db");
        let db = Db::sqlite(&path).await.unwrap();
        assert_eq!(raise(&db).await.unwrap(), 2);
        db.close().await;
        let database = Database::create().await;
        migrate_postgres(&database.url()).await.unwrap();
        let db = Db::postgres(&database.url()).await.unwrap();
        assert_eq!(raise(&db).await.unwrap(), 2);
        db.close().await;
    }
}
