//! Brings a schema up to the program's version, or refuses.

use sqlx::{
    SqlitePool,
    migrate::{MigrateError, Migrator},
};

use crate::OpenError;

pub(crate) async fn migrate(pool: &SqlitePool, schema: &'static str, migrations: &Migrator) -> Result<(), OpenError> {
    let known = migrations.iter().map(|migration| migration.version).max().unwrap_or(0);
    migrations.run(pool).await.map_err(|source| match source {
        MigrateError::VersionMissing(found) if found > known => OpenError::Newer { schema, found, known },
        source => OpenError::Migrate { schema, source },
    })
}
