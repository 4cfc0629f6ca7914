//! A PostgreSQL server of one test's own, with our schema.

use dropmate_store::Postgres;
use dropmate_testing::PostgresServer;

/// With further lines for its configuration. Its database is migrated.
pub(crate) async fn start(settings: &[&str]) -> PostgresServer {
    let server = PostgresServer::start(settings);
    Postgres::migrate(server.url()).await.unwrap();
    server
}
