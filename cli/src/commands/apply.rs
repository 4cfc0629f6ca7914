//! `dropmate apply`.

use clap::{Args, ValueEnum};

use crate::{
    apply::{self, Options},
    connection::{Connection, ConnectionArgs},
    failure::Outcome,
    manifest,
    output::Format,
};

/// Bring objects to what their manifests say: create what is missing, change what differs, leave the rest.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  dropmate apply -f manifests/examples/        # every .yaml, .yml and .json in the directory
  dropmate apply -f day/ -R                    # and below it
  dropmate apply -f orders.yaml --dry-run=server
  shop-export | dropmate apply -f - -n acme --create-namespace

A bad document is named with its file, line and field; the others still go in. Exit code 1 then, 2 if there is
no server to talk to.")]
pub(crate) struct ApplyArgs {
    /// A file, a directory, or - for standard input.
    #[arg(short, long = "filename", required = true, value_name = "FILE|DIR|-")]
    filename: Vec<String>,
    /// Also read the directories below.
    #[arg(short = 'R', long)]
    recursive: bool,
    /// Make the namespaces that are missing.
    #[arg(long)]
    create_namespace: bool,
    /// `server`: the server checks everything and keeps nothing.
    #[arg(long, value_enum, default_value_t, num_args = 0..=1, require_equals = true, default_missing_value = "server")]
    dry_run: DryRun,
    /// How to print what was done.
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum DryRun {
    /// Not a dry run.
    #[default]
    None,
    /// The server checks everything and keeps nothing.
    Server,
}

/// Runs it.
pub(crate) async fn run(connection: &ConnectionArgs, args: ApplyArgs) -> Outcome {
    let inputs = manifest::inputs(&args.filename, args.recursive)?;
    let connection = Connection::open(connection).await?;
    let options = Options {
        create_namespace: args.create_namespace,
        dry_run: args.dry_run == DryRun::Server,
        format: args.output,
    };
    apply::run(&connection, inputs, options).await
}
