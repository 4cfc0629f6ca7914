//! A PostgreSQL database for one test, on the server that `make test` has started.

use std::net::SocketAddr;

use sqlx::{AssertSqlSafe, Connection, PgConnection, Row};

/// Names the server. `.ci/test` sets it.
const SERVER: &str = "DROPMATE_TEST_POSTGRES_URL";

/// An empty database, dropped with the value.
#[derive(Debug)]
pub struct Database {
    server: String,
    name: String,
}

impl Database {
    /// Makes one. Panics where there is no server, and says how to get one.
    pub async fn create() -> Self {
        let server = std::env::var(SERVER).unwrap_or_else(|_| {
            panic!(
                "{SERVER} is not set. Run `make test`, or: export {SERVER}=$(.ci/postgres start /tmp/dropmate-postgres)"
            )
        });
        let database = Self { server, name: format!("dropmate_test_{}", uuid::Uuid::new_v4().simple()) };
        run(&database.server, &format!("CREATE DATABASE {}", database.name))
            .await
            .expect("its user may make databases");
        database
    }

    /// Where it is.
    pub fn url(&self) -> String {
        format!("{}/{}", self.server_and_name().0, self.name)
    }

    /// Where it is by way of a proxy at that address.
    pub fn url_by(&self, proxy: SocketAddr) -> String {
        let (server, _) = self.server_and_name();
        let user = server.rsplit_once('@').map_or("postgres://", |(user, _)| user);
        format!("{user}@{proxy}/{}", self.name)
    }

    /// The address of its server.
    pub fn address(&self) -> SocketAddr {
        let (server, _) = self.server_and_name();
        let host = server.rsplit(['@', '/']).next().unwrap_or_default();
        host.parse().unwrap_or_else(|_| panic!("{SERVER}: {host:?} is not of the form ADDRESS:PORT"))
    }

    /// Executes a statement in it.
    pub async fn execute(&self, statement: &str) {
        run(&self.url(), statement).await.expect("the database executes the statement");
    }

    /// Ends up to so many of the program's sessions in it, chosen by chance, as a failing server would; says how many.
    pub async fn end_sessions(&self, most: u32) -> usize {
        let end = "
            SELECT pg_terminate_backend(pid) FROM (
                SELECT pid FROM pg_stat_activity
                WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name = 'dropmate'
                ORDER BY random() LIMIT $1
            ) AS chosen";
        let mut connection = PgConnection::connect(&self.url()).await.expect("the database answers");
        let ended = sqlx::query(end).bind(i64::from(most)).fetch_all(&mut connection).await.expect("sessions are told");
        ended.iter().filter(|row| row.get(0)).count()
    }

    fn server_and_name(&self) -> (&str, &str) {
        self.server.rsplit_once('/').expect("the URL names a database")
    }
}

async fn run(url: &str, statement: &str) -> Result<(), sqlx::Error> {
    let mut connection = PgConnection::connect(url).await?;
    sqlx::query(AssertSqlSafe(statement.to_owned())).execute(&mut connection).await?;
    connection.close().await
}

impl Drop for Database {
    fn drop(&mut self) {
        let drop = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
        let server = self.server.clone();
        // The test's runtime may be ending; and a database that stays is no reason to fail.
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.map(|runtime| runtime.block_on(run(&server, &drop)))
        });
        let _ = dropping.join();
    }
}
