//! `dropmate history`.

use clap::Args;
use serde_json::Value;

use crate::{
    commands::get::targets,
    connection::{Connection, ConnectionArgs, escape},
    failure::{Failure, Outcome},
    kinds::{Kinds, Resource},
    output::{self, Format, Grid},
};

/// Changes asked for at once.
const PAGE: usize = 100;
/// Fields of a change that are told, unless all are wanted.
const FIELDS_SHOWN: usize = 4;
/// The longest value that is shown in the table, in characters.
const VALUE_SHOWN: usize = 40;

/// Show who changed an object and what: every revision, oldest first.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  dropmate history order o-1001 -n acme
  dropmate history driver/sam --all-fields
  dropmate history namespace acme -o json
  dropmate get order o-1001 -n acme --at 12345 -o yaml   # the object at one of these revisions

History is kept for a day unless the operator says otherwise; an object that has not changed since is told with its last
change. Deleted objects have a history as well.")]
pub(crate) struct HistoryArgs {
    /// Kind and name: `order o-1`, `driver/sam`.
    #[arg(value_name = "KIND NAME", required = true)]
    target: Vec<String>,
    /// Tell all fields that changed, each on a line.
    #[arg(long)]
    all_fields: bool,
    /// How to print.
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// Runs it.
pub(crate) async fn run(connection: &ConnectionArgs, args: HistoryArgs) -> Outcome {
    let connection = Connection::open(connection).await?;
    let targets = targets(&connection, &Kinds::default(), &args.target).await?;
    let [target] = &targets[..] else { return Err(Failure::No("name one object".to_owned())) };
    let [name] = &target.names[..] else {
        return Err(Failure::No(format!("name the {} whose history is meant", target.resource.singular)));
    };
    let path = path(&connection, &target.resource, name);
    let (mut all, mut after, mut widths, mut first) = (Vec::new(), String::new(), Vec::new(), true);
    loop {
        let mut page = connection.get(&format!("{path}?limit={PAGE}{after}")).await?.accepted()?;
        let items = page["items"].as_array_mut().map(std::mem::take).unwrap_or_default();
        if args.output == Format::Json {
            all.extend(items);
        } else {
            let mut grid = Grid::new(&["REVISION", "AT", "USER", "CLIENT", "CHANGE"]);
            grid.rows = items.iter().flat_map(|item| rows(item, args.all_fields)).collect();
            for line in grid.lines(&mut widths, first) {
                output::line(line);
            }
            if first && items.first().is_some_and(|item| item["change"] == "known") {
                output::note("What came before the first line is older than the history that is kept.");
            }
            first = false;
        }
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    if args.output == Format::Json {
        output::json(&all);
    }
    Ok(())
}

fn path(connection: &Connection, resource: &Resource, name: &str) -> String {
    let plural = match resource.group() {
        "" => resource.plural.clone(),
        group => format!("{}.{group}", resource.plural),
    };
    let name = escape(name);
    if resource.namespaced {
        format!("/v1/namespaces/{}/history/{plural}/{name}", connection.namespace)
    } else {
        format!("/v1/history/{plural}/{name}")
    }
}

/// The rows of one change: who and when, and what changed, on one line or on one for each field.
fn rows(item: &Value, all_fields: bool) -> Vec<Vec<String>> {
    let text = |name: &str| item[name].as_str().unwrap_or_default().to_owned();
    let changes: Vec<String> = item["changes"].as_array().into_iter().flatten().map(field).collect();
    let uncounted = item["moreChanges"].as_u64().unwrap_or_default() as usize;
    let change = text("change");
    let mut lines = match (changes.is_empty(), all_fields) {
        (true, _) => vec![change],
        (false, true) => changes,
        (false, false) => {
            let left_out = changes.len().saturating_sub(FIELDS_SHOWN) + uncounted;
            let mut shown = changes.into_iter().take(FIELDS_SHOWN).collect::<Vec<_>>().join(", ");
            if left_out > 0 {
                shown.extend([" (+", &left_out.to_string(), " more)"]);
            }
            vec![shown]
        }
    };
    if all_fields && uncounted > 0 {
        lines.push(format!("… and {uncounted} more"));
    }
    let at = text("at").parse().map_or_else(|_| text("at"), super::explain::second);
    let head = [text("revision"), at, text("user"), client(&text("client"))];
    let row = |(index, line): (usize, String)| {
        let mut row = if index == 0 { head.to_vec() } else { vec![String::new(); head.len()] };
        row.push(line);
        row
    };
    lines.into_iter().enumerate().map(row).collect()
}

/// `kubectl/v1.32.4 (linux/amd64) kubernetes/…` → `kubectl/v1.32.4`.
fn client(agent: &str) -> String {
    agent.split(' ').next().unwrap_or_default().to_owned()
}

/// `spec.priority: 3 → 4`.
fn field(change: &Value) -> String {
    let value = |side: &Value| match side {
        Value::Null => "–".to_owned(),
        Value::String(text) => short(text),
        other => short(&other.to_string()),
    };
    let field = change["field"].as_str().unwrap_or_default();
    format!("{field}: {} → {}", value(&change["old"]), value(&change["new"]))
}

fn short(text: &str) -> String {
    if text.chars().count() <= VALUE_SHOWN {
        return text.to_owned();
    }
    text.chars().take(VALUE_SHOWN - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_change_is_told_on_one_line_or_field_by_field() {
        let changes: Vec<Value> =
            (0..6).map(|index| json!({"field": format!("spec.f{index}"), "old": index, "new": "x"})).collect();
        let item = json!({"revision": "7", "at": "2026-11-23T12:00:00Z", "user": "operator",
            "client": "kubectl/v1.32.4 (linux/amd64)", "change": "modified", "changes": changes, "moreChanges": 1});
        let short = rows(&item, false);
        assert_eq!(short.len(), 1);
        assert_eq!(short[0][0], "7");
        assert_eq!(short[0][3], "kubectl/v1.32.4");
        assert!(
            short[0][4].starts_with("spec.f0: 0 → x, spec.f1: 1 → x") && short[0][4].ends_with("(+3 more)"),
            "{short:?}"
        );
        let all = rows(&item, true);
        assert_eq!(all.len(), 7);
        assert_eq!((all[1][0].as_str(), all[1][4].as_str()), ("", "spec.f1: 1 → x"));
    }
}
