//! `dropmate audit`.

use clap::{Args, ValueEnum};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::{
    connection::{Connection, ConnectionArgs, escape},
    failure::Outcome,
    output::{self, Grid},
    session::now,
};

/// Items asked for at once.
const PAGE: usize = 100;
/// Fields of a change that are told in the table, and the longest value, in characters.
const FIELDS_SHOWN: usize = 3;
const VALUE_SHOWN: usize = 30;

/// Show who did what and who was refused: changes, refused requests, reads of what is sensitive; newest first.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  dropmate audit -n acme --since 1h
  dropmate audit -n acme --object order/o-1001 -o yaml     # with all fields that changed
  dropmate audit --all --actor ada@example.com --since 2026-11-01T00:00:00Z --until 2026-11-02T00:00:00Z

Kept for 90 days. Managers read that of their namespace; --all is for the operator.")]
pub(crate) struct AuditArgs {
    /// All namespaces, and what is in none (for the operator).
    #[arg(short = 'A', long)]
    all: bool,
    /// Only what this user did.
    #[arg(long, value_name = "USER")]
    actor: Option<String>,
    /// Only what was done to this object, or to these: `order/o-1`, `orders`.
    #[arg(long, value_name = "KIND[/NAME]")]
    object: Option<String>,
    /// Only what came after: a time, or how long ago (`90s`, `15m`, `1h`, `7d`).
    #[arg(long, value_name = "TIME|AGO", value_parser = moment)]
    since: Option<Moment>,
    /// Only what came before, said likewise.
    #[arg(long, value_name = "TIME|AGO", value_parser = moment)]
    until: Option<Moment>,
    /// How many at most.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,
    /// How to print.
    #[arg(short, long, value_enum, default_value_t)]
    output: AuditFormat,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum AuditFormat {
    /// For people.
    #[default]
    Table,
    /// For programs.
    Json,
    /// For both.
    Yaml,
}

/// A time, said as such or by how long ago it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    /// That time.
    At(Timestamp),
    /// So long before now.
    Ago(SignedDuration),
}

impl Moment {
    /// The time itself.
    pub(crate) fn at(self, now: Timestamp) -> Timestamp {
        match self {
            Self::At(at) => at,
            Self::Ago(ago) => now.checked_sub(ago).unwrap_or(Timestamp::MIN),
        }
    }
}

/// Reads one of the command line.
pub(crate) fn moment(text: &str) -> Result<Moment, String> {
    if let Ok(at) = text.parse() {
        return Ok(Moment::At(at));
    }
    let wrong = || "must be a time, like 2026-11-23T12:00:00Z, or how long ago, like 90s, 15m, 1h, 7d".to_owned();
    let (number, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(wrong)?;
    let unit = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return Err(wrong()),
    };
    let number: u32 = number.parse().map_err(|_| wrong())?;
    Ok(Moment::Ago(SignedDuration::from_secs(i64::from(number) * unit)))
}

/// Runs it.
pub(crate) async fn run(connection: &ConnectionArgs, args: AuditArgs) -> Outcome {
    let connection = Connection::open(connection).await?;
    let base = if args.all { "/v1/audit".to_owned() } else { format!("/v1/namespaces/{}/audit", connection.namespace) };
    let time = |moment: Option<Moment>| moment.map(|moment| moment.at(now()).to_string());
    let query = [
        ("actor", args.actor.clone()),
        ("object", args.object.clone()),
        ("from", time(args.since)),
        ("to", time(args.until)),
    ];
    let query = query.into_iter().filter_map(|(name, value)| Some(format!("&{name}={}", escape(&value?))));
    let query: String = query.collect();
    let limit = args.limit as usize;
    let (mut all, mut told, mut after) = (Vec::new(), 0, String::new());
    let (mut widths, mut first) = (Vec::new(), true);
    while told < limit {
        let count = PAGE.min(limit - told);
        let mut page = connection.get(&format!("{base}?limit={count}{query}{after}")).await?.accepted()?;
        let items = page["items"].as_array_mut().map(std::mem::take).unwrap_or_default();
        told += items.len();
        if args.output == AuditFormat::Table {
            let mut grid = Grid::new(&["AT", "ACTOR", "VERB", "OBJECT", "WHAT"]);
            grid.rows = items.iter().map(row).collect();
            for line in grid.lines(&mut widths, first) {
                output::line(line);
            }
            first = false;
        } else {
            all.extend(items);
        }
        // A page may be short, or empty, where there is much to look through.
        match page["next"].as_str() {
            Some(next) => after = format!("&after={}", escape(next)),
            None => break,
        }
    }
    match args.output {
        AuditFormat::Table => {}
        AuditFormat::Json => output::json(&all),
        AuditFormat::Yaml => output::yaml(&Value::Array(all)),
    }
    Ok(())
}

fn row(item: &Value) -> Vec<String> {
    let text = |pointer: &str| item.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let or = |text: &str, other: &str| if text.is_empty() { other.to_owned() } else { text.to_owned() };
    let mut object = text("/object/kind").to_owned();
    for part in [text("/object/namespace"), text("/object/name")] {
        if !part.is_empty() {
            object.extend(["/", part]);
        }
    }
    if !text("/object/subresource").is_empty() {
        object.extend([" (", text("/object/subresource"), ")"]);
    }
    vec![
        text("/at").to_owned(),
        or(text("/actor"), &or(text("/address"), "?")),
        text("/verb").to_owned(),
        object,
        what(item),
    ]
}

/// What came of it, on one line.
fn what(item: &Value) -> String {
    if let Some(outcome) = item["outcome"].as_str() {
        let mut told = format!("{outcome} ({})", item["code"]);
        if let Some(count) = item["count"].as_u64().filter(|&count| count > 1) {
            told.extend([" × ", &count.to_string()]);
        }
        return told;
    }
    let changes = item["changes"].as_array().map(Vec::as_slice).unwrap_or_default();
    if changes.is_empty() {
        return item["change"].as_str().unwrap_or_default().to_owned();
    }
    let value = |value: &Value| match value {
        Value::Null => "–".to_owned(),
        Value::String(text) => short(text),
        other => short(&other.to_string()),
    };
    let field = |change: &Value| {
        format!(
            "{}: {} → {}",
            change["field"].as_str().unwrap_or_default(),
            value(&change["old"]),
            value(&change["new"])
        )
    };
    let mut told = changes.iter().take(FIELDS_SHOWN).map(field).collect::<Vec<_>>().join(", ");
    let more = changes.len().saturating_sub(FIELDS_SHOWN) + item["moreChanges"].as_u64().unwrap_or_default() as usize;
    if more > 0 {
        told.extend([" (+", &more.to_string(), " more)"]);
    }
    told
}

fn short(text: &str) -> String {
    let text = text.replace(['\n', '\r', '\t'], " ");
    if text.chars().count() <= VALUE_SHOWN {
        return text;
    }
    text.chars().take(VALUE_SHOWN - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_moment_is_a_time_or_how_long_ago() {
        let now: Timestamp = "2026-11-24T12:00:00Z".parse().unwrap();
        let at = |text: &str| moment(text).map(|moment| moment.at(now).to_string());
        assert_eq!(at("1h").unwrap(), "2026-11-24T11:00:00Z");
        assert_eq!(at("7d").unwrap(), "2026-11-17T12:00:00Z");
        assert_eq!(at("2026-11-23T12:00:00Z").unwrap(), "2026-11-23T12:00:00Z");
        for wrong in ["", "h", "1", "-1h", "yesterday", "1w", "5µ"] {
            assert!(at(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn changes_and_refusals_are_told_on_a_line_each() {
        let change = json!({"at": "T", "actor": "ada", "verb": "update", "change": "modified",
            "object": {"kind": "Order", "namespace": "acme", "name": "o1"},
            "changes": [{"field": "spec.priority", "old": 0, "new": 7}, {"field": "spec.notes", "new": "a\nb"}]});
        assert_eq!(row(&change), ["T", "ada", "update", "Order/acme/o1", "spec.priority: 0 → 7, spec.notes: – → a b"]);
        let denied = json!({"at": "T", "actor": "", "address": "192.0.2.1", "verb": "get", "outcome": "denied",
            "code": 401, "count": 20, "object": {"kind": ""}});
        assert_eq!(row(&denied), ["T", "192.0.2.1", "get", "", "denied (401) × 20"]);
    }
}
