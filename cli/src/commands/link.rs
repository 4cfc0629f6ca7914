//! `dropmate link`: the customer's link to an order.

use clap::Args;
use serde_json::json;

use crate::{
    connection::{Connection, ConnectionArgs, escape},
    failure::Outcome,
    output::{self, Format},
};

/// Print the customer's link to an order, or take back what was given out.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  dropmate link o-1001 -n acme             # the same link that messages carry
  dropmate link o-1001 -n acme --revoke    # no link that was given out is good any more

Whoever has the link sees the delivery, and the PIN if there is one. It is good until two hours after the delivery's end.
After --revoke, the next message and the next `dropmate link` carry another one.")]
pub(crate) struct LinkArgs {
    /// The order.
    name: String,
    /// Take back every link that was given out.
    #[arg(long)]
    revoke: bool,
    /// How to print.
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// Runs it.
pub(crate) async fn run(connection: &ConnectionArgs, args: LinkArgs) -> Outcome {
    let connection = Connection::open(connection).await?;
    let name = args.name.strip_prefix("order/").unwrap_or(&args.name);
    let path = format!("/v1/namespaces/{}/orders/{}/tracking-links", connection.namespace, escape(name));
    if args.revoke {
        connection.delete(&path).await?.accepted()?;
        output::line(format!("the links to order/{name} were revoked"));
        return Ok(());
    }
    let link = connection.post(&path, &json!({})).await?.accepted()?;
    if args.output == Format::Json {
        output::json(&link);
        return Ok(());
    }
    output::line(link["url"].as_str().unwrap_or_default());
    output::note(match link["expiresAt"].as_str() {
        Some(until) => format!("Good until {until}."),
        None => "Good until two hours after the delivery's end.".to_owned(),
    });
    Ok(())
}
