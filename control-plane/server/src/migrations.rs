//! Migrating the databases without serving: what `dropmate migrate` does.

use anyhow::Context;
use dropmate_identity::Identity;
use dropmate_ingest::Ingest;
pub use dropmate_sql::Plan;
use dropmate_sql::Schema;
use dropmate_store::{Postgres, Sqlite};

use crate::{
    args::Database,
    datadir::DataDir,
    edge::{CONTROL_DB, IDENTITY_DB, INGEST_DB},
};

/// A schema of an agent, which is kept beside ours.
#[derive(Clone, Copy, Debug)]
pub struct AgentSchema {
    /// Its file in a data dir.
    pub file: &'static str,
    /// The schema.
    pub schema: &'static Schema,
}

/// Brings every schema up to this program's version and tells what was done, or with `dry_run` what would be. Safe to
/// run twice, side by side, and to be killed.
pub async fn migrate(database: &Database, agents: &[AgentSchema], dry_run: bool) -> anyhow::Result<Vec<Plan>> {
    match database {
        Database::Postgres { url } if dry_run => {
            let (control, identity) = (Postgres::pending(url).await?, Identity::pending_postgres(url).await?);
            let mut plans = vec![control, identity, Ingest::pending_postgres(url).await?];
            for agent in agents {
                plans.push(agent.schema.pending_postgres(url).await?);
            }
            Ok(plans)
        }
        Database::Postgres { url } => {
            let (control, identity) = (Postgres::migrate(url).await?, Identity::migrate_postgres(url).await?);
            let mut plans = vec![control, identity, Ingest::migrate_postgres(url).await?];
            for agent in agents {
                plans.push(agent.schema.migrate_postgres(url).await?);
            }
            Ok(plans)
        }
        Database::Sqlite { data_dir } if dry_run => {
            let mut plans = vec![
                Sqlite::pending(&data_dir.join(CONTROL_DB)).await?,
                Identity::pending_sqlite(&data_dir.join(IDENTITY_DB)).await?,
                Ingest::pending_sqlite(&data_dir.join(INGEST_DB)).await?,
            ];
            for agent in agents {
                plans.push(agent.schema.pending_sqlite(&data_dir.join(agent.file)).await?);
            }
            Ok(plans)
        }
        Database::Sqlite { data_dir } => {
            // Only one process may have the files.
            let dir = DataDir::open(data_dir)?;
            let (control, identity) = (dir.database(CONTROL_DB)?, dir.database(IDENTITY_DB)?);
            let ingest = dir.database(INGEST_DB)?;
            let failed = |path: &std::path::Path| format!("cannot migrate {}", path.display());
            let mut plans = vec![
                Sqlite::migrate(&control).await.with_context(|| failed(&control))?,
                Identity::migrate_sqlite(&identity).await.with_context(|| failed(&identity))?,
                Ingest::migrate_sqlite(&ingest).await.with_context(|| failed(&ingest))?,
            ];
            for agent in agents {
                let path = dir.database(agent.file)?;
                plans.push(agent.schema.migrate_sqlite(&path).await.with_context(|| failed(&path))?);
            }
            Ok(plans)
        }
    }
}
