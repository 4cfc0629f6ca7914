//! `dropmate secret`: values that the server keeps sealed and never gives back.

use clap::{Args, Subcommand};
use http::Method;
use serde_json::json;

use crate::{
    connection::{Connection, ConnectionArgs, escape},
    failure::Outcome,
    output::{self, Format, Grid},
    session::ask,
};

/// Keep secrets of a business (keys of mail and message services): written, listed by name, never shown.
#[derive(Args, Debug)]
pub(crate) struct SecretArgs {
    #[command(subcommand)]
    command: SecretCommand,
}

#[derive(Subcommand, Debug)]
enum SecretCommand {
    Set(SetArgs),
    List(ListArgs),
    Delete(DeleteArgs),
}

/// Set a secret to what is on standard input.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  dropmate secret set smtp-password -n acme < password
  pass show smtp | dropmate secret set smtp-password -n acme

One line's end is left out.")]
struct SetArgs {
    /// The secret's name.
    name: String,
}

/// List the names of secrets.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  dropmate secret list -n acme")]
struct ListArgs {
    /// How to print.
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// Delete a secret.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  dropmate secret delete smtp-password -n acme")]
struct DeleteArgs {
    /// The secret's name.
    name: String,
}

/// Runs it.
pub(crate) async fn run(connection: &ConnectionArgs, args: SecretArgs) -> Outcome {
    let connection = Connection::open(connection).await?;
    let secrets = format!("/v1/namespaces/{}/secrets", connection.namespace);
    match args.command {
        SecretCommand::Set(SetArgs { name }) => {
            let body = json!({"value": ask::stdin("the secret")?});
            let path = format!("{secrets}/{}", escape(&name));
            connection.write(Method::PUT, &path, "application/json", &body).await?.accepted()?;
            output::line(format!("secret/{name} set"));
        }
        SecretCommand::Delete(DeleteArgs { name }) => {
            connection.delete(&format!("{secrets}/{}", escape(&name))).await?.accepted()?;
            output::line(format!("secret/{name} deleted"));
        }
        SecretCommand::List(args) => {
            let found = connection.get(&secrets).await?.accepted()?;
            if args.output == Format::Json {
                output::json(&found["items"]);
                return Ok(());
            }
            let mut grid = Grid::new(&["NAME", "UPDATED", "BY"]);
            for item in found["items"].as_array().into_iter().flatten() {
                let text = |name: &str| item[name].as_str().unwrap_or_default().to_owned();
                grid.rows.push(vec![text("name"), text("updatedAt"), text("updatedBy")]);
            }
            for line in grid.lines(&mut Vec::new(), true) {
                output::line(line);
            }
        }
    }
    Ok(())
}
