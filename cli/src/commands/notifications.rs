//! `dropmate notifications`: what was told to whom, what would be, and telling it again.

use std::fmt::Write;

use anyhow::{Context as _, anyhow};
use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

use crate::{
    commands::audit::{Moment, moment},
    connection::{Connection, ConnectionArgs, escape},
    failure::{Failure, Outcome},
    manifest::Input,
    output::{self, Format, Grid},
    session::now,
};

/// Messages asked for at once.
const PAGE: usize = 200;
/// Characters of a provider's answer that are told in the table.
const ANSWER_SHOWN: usize = 60;

/// Look at messages to customers, drivers and the shop: what was sent, what was given up, what would be sent.
#[derive(Args, Debug)]
pub(crate) struct NotificationsArgs {
    #[command(subcommand)]
    command: NotificationsCommand,
}

#[derive(Subcommand, Debug)]
enum NotificationsCommand {
    Preview(PreviewArgs),
    List(ListArgs),
    Show(ShowArgs),
    Retry(RetryArgs),
}

/// Show the messages that an event would send, without sending any.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  dropmate notifications preview order.out_for_delivery -n acme              # of a sample order, as the shop is set up
  dropmate notifications preview order.delivered -n acme --order o-1001
  dropmate notifications preview order.delayed -n acme -f policy.yaml        # before it is applied
  dropmate notifications preview order.delivered -n acme --rule delivered-email --locale de --html > mail.html

Exit code 1: nothing would be sent.")]
struct PreviewArgs {
    /// The event: `order.assigned`, `order.delivered`, …
    event: String,
    /// Of this order; otherwise of a sample, of which every condition holds.
    #[arg(long, value_name = "NAME")]
    order: Option<String>,
    /// Only the rules of this NotificationPolicy.
    #[arg(long, value_name = "NAME", conflicts_with = "file")]
    policy: Option<String>,
    /// Only the rules of the NotificationPolicy in this file (`-`: standard input), as if it were applied.
    #[arg(short, long, value_name = "FILE")]
    file: Option<String>,
    /// Only this rule; the built-in ones are called like `delivered-email`, `delivered-sms`.
    #[arg(long, value_name = "NAME")]
    rule: Option<String>,
    /// In this locale, whatever the order says.
    #[arg(long, value_name = "LOCALE")]
    locale: Option<String>,
    /// Print the HTML of the first e-mail, for a browser.
    #[arg(long)]
    html: bool,
    /// How to print.
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// List messages, newest first.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  dropmate notifications list -n acme
  dropmate notifications list -n acme --order o-1001
  dropmate notifications list -n acme --failed           # given up: `dropmate notifications retry` sends them again

States: planned, sending, sent, dead (given up), suppressed (no longer true, or not wanted).")]
struct ListArgs {
    /// Only of this order.
    #[arg(long, value_name = "NAME")]
    order: Option<String>,
    /// Only those that were given up.
    #[arg(long, conflicts_with = "state")]
    failed: bool,
    /// Only in this state.
    #[arg(long, value_enum)]
    state: Option<State>,
    /// Only over this channel.
    #[arg(long, value_enum)]
    channel: Option<Channel>,
    /// How many at most.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,
    /// How to print.
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum State {
    /// Waits for its turn.
    Planned,
    /// Is on its way.
    Sending,
    /// A provider took it.
    Sent,
    /// Was given up.
    Dead,
    /// Was not sent, on purpose.
    Suppressed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Channel {
    /// E-mail.
    Email,
    /// SMS.
    Sms,
    /// A request that a policy describes.
    Http,
    /// A webhook.
    Webhook,
}

/// Show one message: its words, and what providers said to each attempt.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  dropmate notifications show msg_4k2… -n acme

Links and PINs are not shown: only the recipient gets them.")]
struct ShowArgs {
    /// The message's id.
    id: String,
    /// How to print.
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// Send messages again that were given up.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  dropmate notifications retry msg_4k2… -n acme
  dropmate notifications retry --failed --channel sms --since 2h -n acme    # the SMS service works again

A message keeps its id, so that a provider that has it already drops the double.")]
struct RetryArgs {
    /// These messages.
    #[arg(value_name = "ID", required_unless_present = "failed", conflicts_with = "failed")]
    ids: Vec<String>,
    /// All that were given up.
    #[arg(long)]
    failed: bool,
    /// Of all, only those over this channel.
    #[arg(long, value_enum, requires = "failed")]
    channel: Option<Channel>,
    /// Of all, only those from then on: a time, or how long ago (`90s`, `15m`, `1h`, `7d`).
    #[arg(long, value_name = "TIME|AGO", value_parser = moment, requires = "failed")]
    since: Option<Moment>,
}

/// Runs it.
pub(crate) async fn run(connection: &ConnectionArgs, args: NotificationsArgs) -> Outcome {
    let connection = Connection::open(connection).await?;
    let base = format!("/v1/namespaces/{}/notifications", escape(&connection.namespace));
    match args.command {
        NotificationsCommand::Preview(args) => preview(&connection, &base, args).await,
        NotificationsCommand::List(args) => list(&connection, &base, args).await,
        NotificationsCommand::Show(args) => {
            let message = connection.get(&format!("{base}/{}", escape(&args.id))).await?.accepted()?;
            match args.output {
                Format::Json => output::json(&message),
                Format::Text => output::print(&told(&message)),
            }
            Ok(())
        }
        NotificationsCommand::Retry(args) => retry(&connection, &base, args).await,
    }
}

async fn preview(connection: &Connection, base: &str, args: PreviewArgs) -> Outcome {
    let mut asked = json!({"event": args.event});
    for (field, value) in
        [("order", &args.order), ("rule", &args.rule), ("locale", &args.locale), ("policy", &args.policy)]
    {
        if let Some(value) = value {
            asked[field] = value.as_str().into();
        }
    }
    if let Some(file) = &args.file {
        asked["policy"] = policy(file)?;
    }
    let shown = connection.post(&format!("{base}/preview"), &asked).await?.accepted()?;
    let messages = shown["messages"].as_array().map(Vec::as_slice).unwrap_or_default();
    if args.html {
        let html = messages.iter().find_map(|message| message["html"].as_str());
        let html =
            html.ok_or_else(|| Failure::No("no message of this event has HTML; see without --html".to_owned()))?;
        output::print(html);
        return Ok(());
    }
    match args.output {
        Format::Json => output::json(&shown),
        Format::Text => output::print(&previewed(&shown)),
    }
    if messages.is_empty() { Err(Failure::Different) } else { Ok(()) }
}

/// The NotificationPolicy in the file: the one, of several documents.
fn policy(file: &str) -> Outcome<Value> {
    let input = if file == "-" { Input::Stdin } else { Input::File(file.into()) };
    let mut text = String::new();
    let mut reader = input.open().with_context(|| format!("cannot read {file}"))?;
    std::io::Read::read_to_string(&mut reader, &mut text).with_context(|| format!("cannot read {file}"))?;
    let mut found = Vec::new();
    for document in serde_yaml::Deserializer::from_str(&text) {
        let object: Value =
            serde::Deserialize::deserialize(document).map_err(|error| Failure::No(format!("{file}: {error}")))?;
        if object["kind"] == "NotificationPolicy" {
            found.push(object);
        }
    }
    match <[Value; 1]>::try_from(found) {
        Ok([policy]) => Ok(policy),
        Err(found) => {
            Err(Failure::No(format!("{file}: has {} NotificationPolicies; a preview tries one", found.len())))
        }
    }
}

fn previewed(shown: &Value) -> String {
    let mut told = String::new();
    for message in shown["messages"].as_array().into_iter().flatten() {
        let text = |field: &str| message[field].as_str().unwrap_or_default();
        let mut head =
            format!("{} {} to {}", text("channel").to_lowercase(), text("locale"), text("audience").to_lowercase());
        for (label, value) in [(" <", text("to")), (" policy ", text("policy"))] {
            if !value.is_empty() {
                head.extend([label, value, if label == " <" { ">" } else { "" }]);
            }
        }
        if let Some(segments) = message["segments"].as_u64() {
            let _ = write!(head, ", {segments} segment{}", if segments == 1 { "" } else { "s" });
        }
        if let Some(delay) = message["delaySeconds"].as_i64() {
            let _ = write!(head, ", {delay} s later");
        }
        if !text("quietUntil").is_empty() {
            head.extend([", now quiet until ", text("quietUntil")]);
        }
        let _ = writeln!(told, "=== {} ({head})", text("rule"));
        if !text("warning").is_empty() {
            let _ = writeln!(told, "!!! built-in words, because {}", text("warning"));
        }
        if !text("subject").is_empty() {
            let _ = writeln!(told, "Subject: {}\n", text("subject"));
        }
        let _ = writeln!(told, "{}", text("text"));
        if !text("payload").is_empty() {
            let _ = writeln!(told, "\nBody:\n{}", text("payload"));
        }
        told.push('\n');
    }
    for skipped in shown["skipped"].as_array().into_iter().flatten() {
        let text = |field: &str| skipped[field].as_str().unwrap_or_default();
        let _ = writeln!(told, "--- {}: not sent: {}", text("rule"), text("why"));
    }
    if told.is_empty() {
        let _ = writeln!(told, "nothing is sent for {}", shown["event"].as_str().unwrap_or_default());
    }
    told
}

async fn list(connection: &Connection, base: &str, args: ListArgs) -> Outcome {
    let state = if args.failed { Some(State::Dead) } else { args.state };
    let named = |value: Option<&dyn ToName>| value.map(ToName::name);
    let query = [
        ("order", args.order.as_deref().map(escape)),
        ("state", named(state.as_ref().map(|state| state as &dyn ToName))),
        ("channel", named(args.channel.as_ref().map(|channel| channel as &dyn ToName))),
    ];
    let query: String = query.into_iter().filter_map(|(field, value)| Some(format!("&{field}={}", value?))).collect();
    let limit = args.limit as usize;
    let (mut all, mut before) = (Vec::new(), String::new());
    let (mut widths, mut first, mut count) = (Vec::new(), true, 0);
    while count < limit {
        let page = format!("{base}?limit={}{query}{before}", PAGE.min(limit - count));
        let mut page = connection.get(&page).await?.accepted()?;
        let messages = page["messages"].as_array_mut().map(std::mem::take).unwrap_or_default();
        count += messages.len();
        let next = page["next"].as_i64().filter(|_| !messages.is_empty());
        if args.output == Format::Json {
            all.extend(messages);
        } else {
            let mut grid = Grid::new(&["ID", "CREATED", "STATE", "CHANNEL", "TO", "ORDER", "EVENT", "TRIES", "WHAT"]);
            grid.rows = messages.iter().map(row).collect();
            for line in grid.lines(&mut widths, first) {
                output::line(line);
            }
            first = false;
        }
        match next {
            Some(next) => before = format!("&before={next}"),
            None => break,
        }
    }
    if args.output == Format::Json {
        output::json(&all);
    } else if count == 0 {
        output::note("no messages");
    }
    Ok(())
}

/// As the server calls it.
trait ToName {
    fn name(&self) -> String;
}

impl<T: ValueEnum> ToName for T {
    fn name(&self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }
}

fn row(message: &Value) -> Vec<String> {
    let text = |field: &str| message[field].as_str().unwrap_or_default();
    let or = |text: &str| if text.is_empty() { "–".to_owned() } else { text.to_owned() };
    vec![
        text("id").to_owned(),
        text("createdAt").to_owned(),
        text("state").to_owned(),
        text("channel").to_owned(),
        text("to").to_owned(),
        or(text("order")),
        or(text("event")),
        message["attempts"].as_i64().unwrap_or_default().to_string(),
        what(message),
    ]
}

/// What became of it, on one line.
fn what(message: &Value) -> String {
    let text = |field: &str| message[field].as_str().unwrap_or_default();
    let parts: Vec<&str> =
        [text("reason"), text("provider"), text("answer")].into_iter().filter(|part| !part.is_empty()).collect();
    let told = parts.join(": ").replace(['\n', '\r', '\t'], " ");
    if told.chars().count() <= ANSWER_SHOWN {
        return told;
    }
    told.chars().take(ANSWER_SHOWN - 1).chain(['…']).collect()
}

/// One message, for people.
fn told(message: &Value) -> String {
    let text = |field: &str| message[field].as_str().unwrap_or_default();
    let mut told = String::new();
    let rows = [
        ("Id", "id"),
        ("State", "state"),
        ("Reason", "reason"),
        ("Order", "order"),
        ("Event", "event"),
        ("Rule", "rule"),
        ("Policy", "policy"),
        ("Channel", "channel"),
        ("To", "to"),
        ("Locale", "locale"),
        ("Created", "createdAt"),
        ("Due", "dueAt"),
        ("Finished", "finishedAt"),
        ("Provider", "provider"),
        ("Provider id", "providerId"),
        ("Answer", "answer"),
    ];
    for (label, field) in rows {
        if !text(field).is_empty() {
            let label = format!("{label}:");
            let _ = writeln!(told, "{label:<12} {}", text(field));
        }
    }
    if let Some(attempts) = message["attempts"].as_array() {
        let _ = writeln!(told, "Attempts:");
        let mut grid = Grid::new(&["  #", "STARTED", "FINISHED", "PROVIDER", "OUTCOME", "ANSWER"]);
        for attempt in attempts {
            let text = |field: &str| attempt[field].as_str().unwrap_or("–").replace(['\n', '\r'], " ");
            let number = format!("  {}", attempt["number"].as_i64().unwrap_or_default());
            grid.rows.push(vec![
                number,
                text("startedAt"),
                text("finishedAt"),
                text("provider"),
                text("outcome"),
                text("answer"),
            ]);
        }
        for line in grid.lines(&mut Vec::new(), true) {
            let _ = writeln!(told, "{line}");
        }
    }
    if !text("subject").is_empty() {
        let _ = writeln!(told, "\nSubject: {}", text("subject"));
    }
    for part in [text("text"), text("payload")] {
        if !part.is_empty() {
            let _ = writeln!(told, "\n{part}");
        }
    }
    told
}

async fn retry(connection: &Connection, base: &str, args: RetryArgs) -> Outcome {
    if args.failed {
        let mut asked = json!({"state": "dead"});
        if let Some(channel) = args.channel {
            asked["channel"] = channel.name().into();
        }
        if let Some(since) = args.since {
            asked["since"] = since.at(now()).to_string().into();
        }
        let answer = connection.post(&format!("{base}/retry"), &asked).await?.accepted()?;
        let retried =
            answer["retried"].as_i64().ok_or_else(|| anyhow!("the server does not say how many are sent again"))?;
        output::line(format!("{retried} message{} will be sent again", if retried == 1 { "" } else { "s" }));
        return Ok(());
    }
    let mut refused = false;
    for id in &args.ids {
        match connection.post(&format!("{base}/{}/retry", escape(id)), &json!({})).await?.accepted() {
            Ok(_) => output::line(format!("{id} will be sent again")),
            // Each is told; one that cannot be sent keeps no other back.
            Err(refusal) => {
                output::error(format!("{id}: {}", refusal.message));
                refused = true;
            }
        }
    }
    if refused { Err(Failure::Different) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_told_on_a_line_and_at_length() {
        let message = json!({"id": "msg_1", "createdAt": "T", "state": "dead", "channel": "email", "to": "ada@example.com",
            "order": "o-1", "event": "order.delivered", "attempts": 3, "reason": "expired", "answer": "450\nbusy"});
        let cells = row(&message);
        assert_eq!(cells[..8], ["msg_1", "T", "dead", "email", "ada@example.com", "o-1", "order.delivered", "3"]);
        assert_eq!(cells[8], "expired: 450 busy");
        let full = json!({"id": "msg_1", "state": "sent", "subject": "Hi", "text": "Hello [link]",
            "attempts": [{"number": 1, "startedAt": "T", "provider": "smtp:mail:465", "outcome": "sent", "answer": "250 ok"}]});
        let told = told(&full);
        assert!(told.contains("smtp:mail:465") && told.contains("Subject: Hi\n\nHello [link]\n"), "{told}");
        assert!(!told.contains("Reason"), "{told}");
    }

    #[test]
    fn a_preview_says_what_is_sent_and_what_is_not() {
        let shown = json!({"event": "order.delivered", "messages": [
            {"rule": "delivered-sms", "channel": "Sms", "audience": "Recipient", "to": "+49", "locale": "en", "text": "Hi", "segments": 1}],
            "skipped": [{"rule": "vip", "why": "its conditions do not hold of the order"}]});
        assert_eq!(
            previewed(&shown),
            "=== delivered-sms (sms en to recipient <+49>, 1 segment)\nHi\n\n--- vip: not sent: its conditions do not hold of the order\n"
        );
        assert_eq!(previewed(&json!({"event": "order.ready"})), "nothing is sent for order.ready\n");
    }
}
