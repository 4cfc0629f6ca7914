//! A PostgreSQL database for one test, as the store has it.

use std::sync::Arc;

use dropmate_store::{Backend, Postgres};

/// Dropped with the value.
pub(crate) struct Database(dropmate_testing::Database);

impl Database {
    /// Migrated.
    pub(crate) async fn create() -> Self {
        let database = Self::bare().await;
        Postgres::migrate(&database.url()).await.unwrap();
        database
    }

    /// As an operator makes it.
    pub(crate) async fn bare() -> Self {
        Self(dropmate_testing::Database::create().await)
    }

    pub(crate) fn url(&self) -> String {
        self.0.url()
    }

    pub(crate) async fn open(&self) -> Arc<dyn Backend> {
        Arc::new(Postgres::open(&self.url()).await.unwrap())
    }
}
