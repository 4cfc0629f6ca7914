//! Migrating the databases without serving: what `dropmate migrate` does.

use anyhow::Context;
pub use dropmate_sql::Plan;
use dropmate_store::{Postgres, Sqlite};

use crate::{args::Database, datadir::DataDir, edge::CONTROL_DB};

/// Brings every schema up to this program's version and tells what was done, or with `dry_run` what would be. Safe to
/// run twice, side by side, and to be killed.
pub async fn migrate(database: &Database, dry_run: bool) -> anyhow::Result<Vec<Plan>> {
    let plan = match database {
        Database::Postgres { url } if dry_run => Postgres::pending(url).await?,
        Database::Postgres { url } => Postgres::migrate(url).await?,
        Database::Sqlite { data_dir } => {
            let path = data_dir.join(CONTROL_DB);
            if dry_run {
                return Ok(vec![Sqlite::pending(&path).await?]);
            }
            // Only one process may have the file.
            let dir = DataDir::open(data_dir)?;
            let path = dir.database(CONTROL_DB)?;
            Sqlite::migrate(&path).await.with_context(|| format!("cannot migrate {}", path.display()))?
        }
    };
    Ok(vec![plan])
}
