//! Brings a schema up to the program's version, or refuses.

use sqlx::{
    AssertSqlSafe, PgConnection, SqlitePool,
    migrate::{MigrateError, Migrator},
};

use crate::OpenError;

/// What a schema lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The schema.
    pub schema: &'static str,
    /// The newest migration that it has had; 0 if none.
    pub version: i64,
    /// The migrations to come, in order: version and description.
    pub pending: Vec<(i64, String)>,
}

pub(crate) async fn migrate(pool: &SqlitePool, schema: &'static str, migrations: &Migrator) -> Result<(), OpenError> {
    migrations.run(pool).await.map_err(|source| newer_or_failed(schema, migrations, source))
}

/// Where a PostgreSQL schema remembers its migrations.
pub(crate) fn table(schema: &str) -> String {
    format!("{schema}.migrations")
}

/// The migrations that a PostgreSQL schema has had, in order.
pub(crate) async fn applied(connection: &mut PgConnection, schema: &'static str) -> Result<Vec<i64>, OpenError> {
    let failed = |source: sqlx::Error| OpenError::Migrate { schema, source: MigrateError::Execute(source) };
    let table = table(schema);
    let there: bool = sqlx::query_scalar("SELECT to_regclass($1) IS NOT NULL")
        .bind(&table)
        .fetch_one(&mut *connection)
        .await
        .map_err(failed)?;
    if !there {
        return Ok(Vec::new());
    }
    let versions = AssertSqlSafe(format!("SELECT version FROM {table} WHERE success ORDER BY version"));
    sqlx::query_scalar(versions).fetch_all(connection).await.map_err(failed)
}

/// What a schema lacks that has had these. One that is newer than the program is refused.
pub(crate) fn plan(schema: &'static str, migrations: &Migrator, applied: &[i64]) -> Result<Plan, OpenError> {
    let version = applied.last().copied().unwrap_or(0);
    let known = newest(migrations);
    if version > known {
        return Err(OpenError::Newer { schema, found: version, known });
    }
    let pending = migrations.iter().filter(|migration| !applied.contains(&migration.version));
    let pending = pending.map(|migration| (migration.version, migration.description.to_string())).collect();
    Ok(Plan { schema, version, pending })
}

/// A failed migration; one that is not known here is a newer program's.
pub(crate) fn newer_or_failed(schema: &'static str, migrations: &Migrator, source: MigrateError) -> OpenError {
    let known = newest(migrations);
    match source {
        MigrateError::VersionMissing(found) if found > known => OpenError::Newer { schema, found, known },
        source => OpenError::Migrate { schema, source },
    }
}

fn newest(migrations: &Migrator) -> i64 {
    migrations.iter().map(|migration| migration.version).max().unwrap_or(0)
}
