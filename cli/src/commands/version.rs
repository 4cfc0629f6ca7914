//! `dropmate version`.

use clap::Args;
use serde_json::json;

use crate::{
    connection::{Connection, ConnectionArgs},
    failure::Outcome,
    output::{self, Format},
};

/// Print the version of this program and of the server.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  dropmate version\n  dropmate version --client\n  dropmate version -o json")]
pub(crate) struct VersionArgs {
    /// Only this program's; ask no server.
    #[arg(long)]
    client: bool,
    /// How to print.
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// Runs it.
pub(crate) async fn run(connection: &ConnectionArgs, args: VersionArgs) -> Outcome {
    let client = env!("CARGO_PKG_VERSION");
    if args.output == Format::Text {
        output::line(format!("Client: {client}"));
    }
    if args.client {
        if args.output == Format::Json {
            output::json(&json!({"client": client}));
        }
        return Ok(());
    }
    let connection = Connection::open(connection).await?;
    let server = connection.get("/version").await?.accepted()?;
    match args.output {
        Format::Json => output::json(&json!({"client": client, "server": server})),
        Format::Text => {
            let version = server["gitVersion"].as_str().unwrap_or("unknown");
            output::line(format!("Server: {version} ({})", connection.server));
        }
    }
    Ok(())
}
