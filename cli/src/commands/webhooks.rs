//! `dropmate webhooks`: whether programs that listen to events get them.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::{
    commands::audit::{Moment, moment},
    connection::{Connection, ConnectionArgs, escape},
    failure::{Failure, Outcome},
    output::{self, Format, Grid},
    session::now,
};

/// Look at webhooks, try one, send again what one missed.
#[derive(Args, Debug)]
pub(crate) struct WebhooksArgs {
    #[command(subcommand)]
    command: WebhooksCommand,
}

#[derive(Subcommand, Debug)]
enum WebhooksCommand {
    List(ListArgs),
    Test(TestArgs),
    Replay(ReplayArgs),
    Enable(EnableArgs),
}

/// List webhooks, and how each is doing.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  dropmate webhooks list -n acme")]
struct ListArgs {
    /// How to print.
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// Send a test event now, and tell the answer.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  dropmate webhooks test shop-backend -n acme

The event is called webhook.test and is signed as every other. Exit code 1: it was not taken.")]
struct TestArgs {
    /// The webhook.
    name: String,
    /// How to print.
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// Send again what was planned for a webhook, with the same ids.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  dropmate webhooks replay shop-backend --since 6h -n acme
  dropmate webhooks replay shop-backend --since 2026-11-01T00:00:00Z --until 2026-11-02T00:00:00Z -n acme
  dropmate webhooks replay shop-backend --since 7d --failed -n acme

An endpoint that keeps the header webhook-id drops what it has already.")]
struct ReplayArgs {
    /// The webhook.
    name: String,
    /// From then on: a time, or how long ago (`90s`, `15m`, `1h`, `7d`).
    #[arg(long, value_name = "TIME|AGO", value_parser = moment)]
    since: Moment,
    /// Until then, said likewise.
    #[arg(long, value_name = "TIME|AGO", value_parser = moment)]
    until: Option<Moment>,
    /// Only what was not taken.
    #[arg(long)]
    failed: bool,
}

/// Send to a webhook again that was disabled because it kept failing.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  dropmate webhooks enable shop-backend -n acme

What it missed meanwhile: dropmate webhooks replay. A change of its spec enables it too.")]
struct EnableArgs {
    /// The webhook.
    name: String,
}

/// Runs it.
pub(crate) async fn run(connection: &ConnectionArgs, args: WebhooksArgs) -> Outcome {
    let connection = Connection::open(connection).await?;
    let namespace = escape(&connection.namespace);
    let of = |name: &str, part: &str| format!("/v1/namespaces/{namespace}/webhooks/{}/{part}", escape(name));
    match args.command {
        WebhooksCommand::List(args) => {
            let listed = connection.get(&format!("{}/webhooks", connection.ours())).await?.accepted()?;
            let items = listed["items"].as_array().map(Vec::as_slice).unwrap_or_default();
            if args.output == Format::Json {
                output::json(&items);
                return Ok(());
            }
            let mut grid = Grid::new(&["NAME", "URL", "EVENTS", "STATE", "FAILURES", "LAST SUCCESS"]);
            grid.rows = items.iter().map(row).collect();
            for line in grid.lines(&mut Vec::new(), true) {
                output::line(line);
            }
        }
        WebhooksCommand::Test(args) => {
            let tried = connection.post(&of(&args.name, "test"), &json!({})).await?.accepted()?;
            let text = |field: &str| tried[field].as_str().unwrap_or_default();
            match args.output {
                Format::Json => output::json(&tried),
                Format::Text => output::line(format!(
                    "webhook/{} {}: {} ({} ms)",
                    args.name,
                    text("outcome"),
                    text("answer"),
                    tried["milliseconds"].as_u64().unwrap_or_default()
                )),
            }
            if text("outcome") != "sent" {
                return Err(Failure::Different);
            }
        }
        WebhooksCommand::Replay(args) => {
            let now = now();
            let mut asked = json!({"since": args.since.at(now).to_string(), "failedOnly": args.failed});
            if let Some(until) = args.until {
                asked["until"] = until.at(now).to_string().into();
            }
            let answer = connection.post(&of(&args.name, "replay"), &asked).await?.accepted()?;
            let replayed = answer["replayed"].as_i64().unwrap_or_default();
            let events = if replayed == 1 { "event" } else { "events" };
            output::line(format!("webhook/{}: {replayed} {events} will be sent again", args.name));
        }
        WebhooksCommand::Enable(args) => {
            let answer = connection.post(&of(&args.name, "enable"), &json!({})).await?.accepted()?;
            let was = if answer["wasDisabled"] == true { "enabled" } else { "was not disabled" };
            output::line(format!("webhook/{} {was}", args.name));
        }
    }
    Ok(())
}

fn row(webhook: &Value) -> Vec<String> {
    let text = |pointer: &str| webhook.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let events: Vec<&str> =
        webhook["spec"]["events"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let failures = webhook["status"]["failures"].as_i64().unwrap_or_default();
    let state = if webhook["spec"]["suspended"] == true {
        "suspended".to_owned()
    } else if !text("/status/disabledAt").is_empty() {
        format!("disabled: {}", text("/status/disabledReason"))
    } else if failures > 0 {
        format!("failing since {}", text("/status/failingSince"))
    } else {
        "fine".to_owned()
    };
    let or_none = |text: String| if text.is_empty() { "–".to_owned() } else { text };
    vec![
        text("/metadata/name"),
        text("/spec/url"),
        if events.is_empty() { "*".to_owned() } else { events.join(",") },
        state,
        failures.to_string(),
        or_none(text("/status/lastSuccessAt")),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_is_the_worst_that_is_true() {
        let webhook = |spec: Value, status: Value| {
            let mut spec = spec;
            spec["url"] = json!("https://x.example");
            row(&json!({"metadata": {"name": "w"}, "spec": spec, "status": status}))
        };
        assert_eq!(webhook(json!({}), json!({})), ["w", "https://x.example", "*", "fine", "0", "–"]);
        let failing = json!({"failures": 3, "failingSince": "T"});
        assert_eq!(webhook(json!({"events": ["order.*"]}), failing)[3], "failing since T");
        let disabled = json!({"failures": 9, "disabledAt": "T", "disabledReason": "Gone"});
        assert_eq!(webhook(json!({}), disabled.clone())[3], "disabled: Gone");
        assert_eq!(webhook(json!({"suspended": true}), disabled)[3], "suspended");
    }
}
