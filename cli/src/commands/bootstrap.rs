//! `dropmate bootstrap`.

use std::path::PathBuf;

use anyhow::anyhow;
use clap::Args;
use dropmate_control_plane::bootstrap::{Database, Owner, Wanted, bootstrap};

use crate::{
    connection::ConnectionArgs,
    failure::{Failure, Outcome},
    output,
};

/// Make what several processes of one installation share: certificates, tokens, kubeconfig, sealing key.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  dropmate bootstrap --out secrets --server https://dispatch.example.com:7443
  dropmate bootstrap --out secrets --server https://localhost:7443 --san control-plane,10.0.0.7 --owner 1000:1000
  dropmate bootstrap --out secrets --server https://localhost:7443 --database postgres://dropmate@postgres/dropmate

Makes what is missing and keeps what is there, so it may run before every start: ca.crt ca.key tls.crt tls.key
tokens.csv admin.kubeconfig agents/NAME.token secrets.key, and with --database postgres.password and database.url. The server
certificate is made anew when it lacks a name or ends within 30 days. All replicas get the same files:
  dropmate-control-plane --tls-cert secrets/tls.crt --tls-key secrets/tls.key --token-auth-file secrets/tokens.csv \\
    --secrets-key-file secrets/secrets.key
  dropmate-dispatch --ca-file secrets/ca.crt --token-file secrets/agents/dispatch.token --server …")]
pub(crate) struct BootstrapArgs {
    /// The folder to make the files in.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Names and addresses the server certificate is good for, beside --server's and this machine's own.
    #[arg(long, value_name = "NAME", value_delimiter = ',', num_args = 1..)]
    san: Vec<String>,
    /// Whose the files shall be, by numbers.
    #[arg(long, value_name = "UID:GID")]
    owner: Option<Owner>,
    /// Also make a database password, which --owner's group may read, and the URL that has it.
    #[arg(long, value_name = "postgres://USER@HOST[:PORT]/DB", hide_env_values = true)]
    database: Option<String>,
}

/// Runs it.
pub(crate) fn run(connection: &ConnectionArgs, args: BootstrapArgs) -> Outcome {
    let server = connection
        .server
        .clone()
        .ok_or_else(|| anyhow!("--server is missing: how the control plane is reached, as https://HOST[:PORT]"))?;
    // Not by clap, whose refusal would show a password that somebody put into it.
    let database = args.database.as_deref().map(str::parse::<Database>).transpose();
    let database = database.map_err(|why| Failure::Unknown(anyhow!("--database {why}")))?;
    let wanted = Wanted { out: args.out, server, sans: args.san, owner: args.owner, database };
    #[expect(clippy::disallowed_methods, reason = "the one reading of the wall clock in this process")]
    let now = jiff::Timestamp::now();
    for piece in bootstrap(&wanted, now)? {
        output::line(piece.to_string());
    }
    Ok(())
}
