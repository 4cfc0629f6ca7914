//! `dropmate keys`.

use clap::{Args, Subcommand};
use serde_json::json;

use crate::{
    connection::{Connection, ConnectionArgs},
    failure::Outcome,
    output,
};

/// Manage the keys that the server signs access tokens with.
#[derive(Args, Debug)]
pub(crate) struct KeysArgs {
    #[command(subcommand)]
    command: KeysCommand,
}

#[derive(Subcommand, Debug)]
enum KeysCommand {
    Rotate(RotateArgs),
}

/// Make a new signing key (for the operator). Tokens signed before stay good until they end.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  dropmate keys rotate")]
struct RotateArgs {}

/// Runs it.
pub(crate) async fn run(connection: &ConnectionArgs, args: KeysArgs) -> Outcome {
    let connection = Connection::open(connection).await?;
    let KeysCommand::Rotate(RotateArgs {}) = args.command;
    let rotated = connection.post("/v1/keys/rotate", &json!({})).await?.accepted()?;
    let text = |name: &str| rotated[name].as_str().unwrap_or_default();
    output::line(format!("key {} signs from {}", text("kid"), text("signsFrom")));
    Ok(())
}
