//! `dropmate crds`.

use clap::Args;

use crate::output;

/// Print the CustomResourceDefinitions of DropMate's kinds, for schema tools and editors.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  dropmate crds > crds.yaml\n  dropmate crds -o json | jq -r '.items[].metadata.name'"
)]
pub(crate) struct CrdsArgs {
    /// How to print.
    #[arg(short, long, value_enum, default_value_t)]
    output: Form,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
enum Form {
    /// YAML documents.
    #[default]
    Yaml,
    /// One JSON List.
    Json,
}

/// Runs it.
pub(crate) fn run(args: &CrdsArgs) {
    let crds = dropmate_api::crd::crds();
    match args.output {
        Form::Json => {
            output::json(&serde_json::json!({"apiVersion": "v1", "kind": "List", "items": crds}));
        }
        Form::Yaml => {
            for crd in crds {
                output::line("---");
                output::yaml(&crd);
            }
        }
    }
}
