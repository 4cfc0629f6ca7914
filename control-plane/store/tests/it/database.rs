//! A PostgreSQL database for one test, on the server that `make test` has started.

use std::sync::Arc;

use dropmate_store::{Backend, Postgres};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

/// Names the server. `.ci/test` sets it.
const SERVER: &str = "DROPMATE_TEST_POSTGRES_URL";

/// Dropped with the value.
pub(crate) struct Database {
    server: String,
    name: String,
}

impl Database {
    /// Migrated.
    pub(crate) async fn create() -> Self {
        let database = Self::bare().await;
        Postgres::migrate(&database.url()).await.unwrap();
        database
    }

    /// As an operator makes it.
    pub(crate) async fn bare() -> Self {
        let server = std::env::var(SERVER).unwrap_or_else(|_| {
            panic!(
                "{SERVER} is not set. Run `make test`, or: export {SERVER}=$(.ci/postgres start /tmp/dropmate-postgres)"
            )
        });
        let database = Self { server, name: format!("dropmate_test_{}", uuid::Uuid::new_v4().simple()) };
        let mut connection = PgConnection::connect(&database.server).await.expect("the server of the tests answers");
        let create = format!("CREATE DATABASE {}", database.name);
        sqlx::query(AssertSqlSafe(create)).execute(&mut connection).await.expect("its user may make databases");
        connection.close().await.unwrap();
        database
    }

    pub(crate) fn url(&self) -> String {
        let (server, _) = self.server.rsplit_once('/').expect("the URL names a database");
        format!("{server}/{}", self.name)
    }

    pub(crate) async fn open(&self) -> Arc<dyn Backend> {
        Arc::new(Postgres::open(&self.url()).await.unwrap())
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let drop = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
        let server = self.server.clone();
        // The test's runtime may be ending; and a database that stays is no reason to fail.
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                let mut connection = PgConnection::connect(&server).await?;
                sqlx::query(AssertSqlSafe(drop)).execute(&mut connection).await?;
                anyhow::Ok(())
            })
        });
        let _ = dropping.join();
    }
}
