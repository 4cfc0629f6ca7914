//! `dropmate diff`.

use clap::Args;

use super::apply::Manifests;
use crate::{connection::ConnectionArgs, failure::Outcome, output::Format};

/// Show what `apply` would change, as the server would do it.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  dropmate diff -f orders.yaml
  dropmate diff -f shop/ -R --prune --applyset shop    # and what would be deleted

Exit codes: 0 nothing would change, 1 something would, 2 could not tell (a bad manifest, a conflict, no server).")]
pub(crate) struct DiffArgs {
    #[command(flatten)]
    manifests: Manifests,
    /// How to print the differences.
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// Runs it.
pub(crate) async fn run(connection: &ConnectionArgs, args: DiffArgs) -> Outcome {
    args.manifests.run(connection, true, true, args.output).await
}
