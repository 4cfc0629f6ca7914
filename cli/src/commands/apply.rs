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
  dropmate apply -f shop/ -R --prune --applyset shop   # and delete what has left the files since

The server keeps which field is whose. A field that you take out of a manifest is removed, unless somebody else owns it
too; a field that somebody else owns and you would change is a conflict, and is told with its owner.

A bad document is named with its file, line and field; the others still go in. Exit code 1 then, 2 if there is
no server to talk to.")]
pub(crate) struct ApplyArgs {
    #[command(flatten)]
    manifests: Manifests,
    /// `server`: the server checks everything and keeps nothing.
    #[arg(long, value_enum, default_value_t, num_args = 0..=1, require_equals = true, default_missing_value = "server")]
    dry_run: DryRun,
    /// How to print what was done.
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// Which manifests, and how they are meant: the same for `apply` and `diff`.
#[derive(Args, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(super) struct Manifests {
    /// A file, a directory, or - for standard input.
    #[arg(short, long = "filename", required = true, value_name = "FILE|DIR|-")]
    filename: Vec<String>,
    /// Also read the directories below.
    #[arg(short = 'R', long)]
    recursive: bool,
    /// Make the namespaces that are missing.
    #[arg(long)]
    create_namespace: bool,
    /// As whom the fields of the manifests are owned.
    #[arg(long, value_name = "NAME", default_value = "dropmate")]
    field_manager: String,
    /// Take over the fields that others own.
    #[arg(long)]
    force_conflicts: bool,
    /// The ApplySet, in the namespace to work in, that keeps which objects these manifests have put there.
    #[arg(long, value_name = "NAME", env = "DROPMATE_APPLYSET")]
    applyset: Option<String>,
    /// Delete the objects of the ApplySet that have left the manifests. After an error nothing is deleted, and Namespaces
    /// never are.
    #[arg(long, requires = "applyset")]
    prune: bool,
    /// The manifests may hold no objects at all: with --prune, all that the ApplySet holds is deleted then.
    #[arg(long, requires = "prune")]
    allow_empty: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum DryRun {
    /// Not a dry run.
    #[default]
    None,
    /// The server checks everything and keeps nothing.
    Server,
}

impl Manifests {
    pub(super) async fn run(self, connection: &ConnectionArgs, dry_run: bool, diff: bool, format: Format) -> Outcome {
        let inputs = manifest::inputs(&self.filename, self.recursive, self.allow_empty)?;
        let connection = Connection::open(connection).await?;
        let options = Options {
            manager: self.field_manager,
            force: self.force_conflicts,
            create_namespace: self.create_namespace,
            dry_run,
            diff,
            applyset: self.applyset,
            prune: self.prune,
            allow_empty: self.allow_empty,
            format,
        };
        apply::run(&connection, inputs, options).await
    }
}

/// Runs it.
pub(crate) async fn run(connection: &ConnectionArgs, args: ApplyArgs) -> Outcome {
    let dry_run = args.dry_run == DryRun::Server;
    args.manifests.run(connection, dry_run, false, args.output).await
}
