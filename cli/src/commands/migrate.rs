//! `dropmate migrate`: brings the databases up to this program's version.

use clap::Args;
use dropmate_control_plane::{
    args::DatabaseArgs,
    migrations::{self, AgentSchema, Plan},
};

use crate::{
    failure::{Failure, Outcome},
    output,
};

/// Bring the database up to this version of DropMate.
///
/// `dropmate up` does it by itself. With several replicas it is run once before the new version starts: the version
/// before runs on the migrated database as well. Safe to run twice, side by side, and to be interrupted.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  dropmate migrate --database-url postgres://dropmate@db/dropmate --dry-run
  DROPMATE_DATABASE_URL_FILE=/run/secrets/database_url dropmate migrate
  dropmate migrate --data-dir /var/lib/dropmate     # SQLite, while nothing runs on it

Exit codes: 0 it is up to date, 1 the database is newer than this program or in use, 2 it could not be reached or
migrated.")]
pub(crate) struct MigrateArgs {
    #[command(flatten)]
    database: DatabaseArgs,
    /// Only tell what would be done.
    #[arg(long)]
    dry_run: bool,
}

/// What the agents keep, beside the control plane.
const AGENTS: [AgentSchema; 2] = [
    AgentSchema { file: dropmate_tracking::store::FILE, schema: &dropmate_tracking::store::SCHEMA },
    AgentSchema { file: dropmate_notification::store::FILE, schema: &dropmate_notification::store::SCHEMA },
];

pub(crate) async fn run(args: MigrateArgs) -> Outcome {
    let database = args.database.database()?;
    let plans = migrations::migrate(&database, &AGENTS, args.dry_run).await.map_err(|error| {
        match dropmate_control_plane::exit_code(&error) {
            1 => Failure::No(format!("{error:#}")),
            _ => Failure::Unknown(error),
        }
    })?;
    for plan in &plans {
        output::tell(told(plan, args.dry_run));
    }
    Ok(())
}

fn told(plan: &Plan, dry_run: bool) -> String {
    let Plan { schema, version, pending } = plan;
    let Some((newest, _)) = pending.last() else { return format!("{schema}: up to date (version {version})") };
    let names: Vec<_> = pending.iter().map(|(version, name)| format!("{version} {name}")).collect();
    let would = if dry_run { " (dry run)" } else { "" };
    format!("{schema}: version {version} -> {newest}{would}: {}", names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_done_is_told_in_a_line() {
        let pending = vec![(2, "bounds".to_owned()), (3, "more".to_owned())];
        let plan = Plan { schema: "control", version: 1, pending };
        assert_eq!(told(&plan, true), "control: version 1 -> 3 (dry run): 2 bounds, 3 more");
        let plan = Plan { schema: "control", version: 3, pending: Vec::new() };
        assert_eq!(told(&plan, false), "control: up to date (version 3)");
    }
}
