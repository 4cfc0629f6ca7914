//! `dropmate token`, `dropmate kubeconfig`: what lets other clients work as whoever is logged in.

use clap::Args;
use serde_json::json;

use crate::{
    commands::login::program,
    connection::ConnectionArgs,
    failure::{Failure, Outcome},
    output,
    session::{self, Sessions, kubeconfig},
};

/// Print the access token of the session as kubectl's exec plugins do, renewed if it must be.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  dropmate token --server https://shop.example:7443
  curl -H \"Authorization: Bearer $(dropmate token --raw)\" https://shop.example:7443/v1/me

kubectl calls it by itself (`dropmate kubeconfig`). Several at once take turns.")]
pub(crate) struct TokenArgs {
    /// Print the token alone.
    #[arg(long)]
    raw: bool,
}

/// Print a kubeconfig that asks `dropmate token` for the token; it holds no secret.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  dropmate kubeconfig -n acme > acme.kubeconfig
  kubectl --kubeconfig acme.kubeconfig get orders")]
pub(crate) struct KubeconfigArgs {}

/// Runs `token`.
pub(crate) async fn token(connection: &ConnectionArgs, args: TokenArgs) -> Outcome {
    let session = session::fresh(&server(connection)?).await?;
    if args.raw {
        output::line(&session.access_token);
        return Ok(());
    }
    output::json(&json!({
        "apiVersion": "client.authentication.k8s.io/v1",
        "kind": "ExecCredential",
        "status": {"token": session.access_token, "expirationTimestamp": session.expires_at},
    }));
    Ok(())
}

/// Runs `kubeconfig`.
pub(crate) fn kubeconfig(connection: &ConnectionArgs, _args: &KubeconfigArgs) -> Outcome {
    let server = server(connection)?;
    let kept = Sessions::read()?.servers.remove(&server).and_then(|session| session.ca);
    let ca = connection.ca_text()?.or(kept);
    let namespace = connection.namespace.as_deref().unwrap_or("default");
    output::yaml(&kubeconfig::whole(&server, ca.as_deref(), namespace, &program()));
    Ok(())
}

fn server(connection: &ConnectionArgs) -> Outcome<String> {
    if let Some(server) = &connection.server {
        return Ok(session::normal(server));
    }
    let current = Sessions::read()?.current;
    current.ok_or_else(|| Failure::No("not logged in: run `dropmate login --server URL`".to_owned()))
}
