//! `dropmate describe KIND NAME`: everything about an object, for people.

use std::fmt::Write as _;

use anyhow::anyhow;
use clap::Args;
use dropmate_api::{Order, order::StopStatus};
use serde_json::Value;

use crate::{
    commands::{
        explain::{clock, explain, second},
        get::targets,
    },
    connection::{Connection, ConnectionArgs, escape},
    failure::Outcome,
    kinds::{Kinds, Resource},
    output::{self, Grid},
};

/// How many events are shown; more would bury the object.
const MAX_EVENTS: usize = 50;

/// Show everything about objects: what is wanted, what was observed, and what happened.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  dropmate describe order o-1 -n acme
  dropmate describe driver/sam
  dropmate describe namespace acme")]
pub(crate) struct DescribeArgs {
    /// Kind and names: `order o-1`, `driver/sam`.
    #[arg(value_name = "KIND NAME", required = true)]
    target: Vec<String>,
}

/// Runs it.
pub(crate) async fn run(connection: &ConnectionArgs, args: DescribeArgs) -> Outcome {
    let connection = Connection::open(connection).await?;
    let mut described = 0;
    for target in targets(&connection, &Kinds::default(), &args.target).await? {
        let collection = target.resource.path(Some(&connection.namespace));
        if target.names.is_empty() {
            return Err(anyhow!("name the {} to describe", target.resource.singular).into());
        }
        for name in target.names {
            let object = connection.get(&format!("{collection}/{}", escape(&name))).await?.accepted()?;
            let events = events(&connection, &target.resource, &object).await?;
            if described > 0 {
                output::line("");
            }
            output::print(&describe(&object, &events)?);
            described += 1;
        }
    }
    Ok(())
}

/// The events about the object, oldest first.
async fn events(connection: &Connection, resource: &Resource, object: &Value) -> Outcome<Vec<Value>> {
    let text = |pointer| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let namespace = if resource.namespaced { text("/metadata/namespace") } else { "default" };
    let (kind, name) = (&resource.kind, text("/metadata/name"));
    let selector = format!("involvedObject.kind={kind},involvedObject.name={name}");
    let path = format!("/api/v1/namespaces/{namespace}/events?limit={MAX_EVENTS}&fieldSelector={}", escape(&selector));
    match connection.get(&path).await?.accepted() {
        Ok(mut list) => {
            let mut events = match list["items"].take() {
                Value::Array(events) => events,
                _ => Vec::new(),
            };
            events.sort_by_key(|event| event_time(event).to_owned());
            Ok(events)
        }
        // Not everybody may read events; the object is worth showing without.
        Err(_) => Ok(Vec::new()),
    }
}

fn event_time(event: &Value) -> &str {
    let times = ["/lastTimestamp", "/series/lastObservedTime", "/eventTime", "/metadata/creationTimestamp"];
    times.iter().find_map(|pointer| event.pointer(pointer).and_then(Value::as_str)).unwrap_or_default()
}

/// The text for an object and its events.
fn describe(object: &Value, events: &[Value]) -> anyhow::Result<String> {
    let mut text = String::new();
    let metadata = &object["metadata"];
    for (label, value) in [
        ("Name", &metadata["name"]),
        ("Namespace", &metadata["namespace"]),
        ("Kind", &object["kind"]),
        ("Created", &metadata["creationTimestamp"]),
        ("Deleted", &metadata["deletionTimestamp"]),
    ] {
        if let Some(value) = value.as_str() {
            writeln!(text, "{label}: {value}")?;
        }
    }
    for (label, field) in [("Labels", "labels"), ("Annotations", "annotations")] {
        if let Some(map) = metadata[field].as_object() {
            let shown = map.iter().filter(|(key, _)| !key.starts_with("kubectl.kubernetes.io/last-applied"));
            let shown: Vec<_> =
                shown.map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default())).collect();
            if !shown.is_empty() {
                writeln!(text, "{label}: {}", shown.join(", "))?;
            }
        }
    }
    section(&mut text, "Spec", &object["spec"])?;
    match serde_json::from_value::<Order>(object.clone()) {
        Ok(order) if object["kind"] == "Order" => describe_order(&mut text, &order)?,
        _ => section(&mut text, "Status", &without(&object["status"], &["conditions"]))?,
    }
    conditions(&mut text, &object["status"]["conditions"]);
    if events.is_empty() {
        text += "\nEvents: none\n";
    } else {
        text += "\nEvents:\n";
        let mut grid = Grid::new(&["LAST SEEN", "TYPE", "REASON", "FROM", "MESSAGE"]);
        for event in events {
            let get = |field: &str| event[field].as_str().unwrap_or_default().to_owned();
            let from = event.pointer("/source/component").and_then(Value::as_str).unwrap_or_default();
            let from = if from.is_empty() { get("reportingComponent") } else { from.to_owned() };
            grid.rows.push(vec![event_time(event).to_owned(), get("type"), get("reason"), from, get("message")]);
        }
        indented(&mut text, &grid);
    }
    Ok(text)
}

fn describe_order(text: &mut String, order: &Order) -> anyhow::Result<()> {
    let status = order.status.clone().unwrap_or_default();
    let explanation = explain(order);
    text.push_str("\nProgress:\n");
    for line in explanation.text().lines().take_while(|line| *line != "Conditions:") {
        if line.is_empty() { text.push('\n') } else { writeln!(text, "  {line}")? }
    }
    let mut grid = Grid::new(&["STOP", "STATE", "DEPARTED", "ARRIVED", "DONE", "ADDRESS"]);
    let stops = status.stops.clone().unwrap_or_default();
    let row = |name: &str, stop: &StopStatus, address: &str| {
        let at = |field: &str, at| {
            let inferred = if stop.inferred.iter().any(|name| name == field) { "*" } else { "" };
            format!("{}{inferred}", clock(at))
        };
        vec![
            name.to_owned(),
            format!("{:?}", stop.state),
            at("departedAt", stop.departed_at),
            at("arrivedAt", stop.arrived_at),
            at("completedAt", stop.completed_at),
            address.to_owned(),
        ]
    };
    grid.rows.push(row("pickup", &stops.pickup, &order.spec.pickup.address));
    grid.rows.push(row("dropoff", &stops.dropoff, &order.spec.dropoff.address));
    text.push_str("\nStops:\n");
    indented(text, &grid);
    if grid.rows.iter().flatten().any(|cell| cell.ends_with('*')) {
        text.push_str("  * not reported; follows from a later report\n");
    }
    for (label, at) in [("Placed", order.placed_at()), ("Due", order.spec.due_by), ("ETA", status.eta)] {
        if let Some(at) = at {
            writeln!(text, "{label}: {}", second(at))?;
        }
    }
    writeln!(text, "Custody: {:?}", status.custody)?;
    for (index, attempt) in status.attempts.iter().enumerate() {
        let decision = attempt.decision.map_or("undecided".to_owned(), |decision| format!("{decision:?}"));
        writeln!(text, "Attempt {}: {} at {} ({decision})", index + 1, attempt.reason, second(attempt.at))?;
    }
    Ok(())
}

/// A part of the object as indented YAML.
fn section(text: &mut String, title: &str, value: &Value) -> anyhow::Result<()> {
    let empty = value.is_null() || value.as_object().is_some_and(serde_json::Map::is_empty);
    if empty {
        return Ok(());
    }
    writeln!(text, "\n{title}:")?;
    for line in serde_yaml::to_string(value)?.lines() {
        writeln!(text, "  {line}")?;
    }
    Ok(())
}

fn without(value: &Value, fields: &[&str]) -> Value {
    let mut value = value.clone();
    if let Some(map) = value.as_object_mut() {
        map.retain(|key, _| !fields.contains(&key.as_str()));
    }
    value
}

fn conditions(text: &mut String, conditions: &Value) {
    let Some(conditions) = conditions.as_array().filter(|conditions| !conditions.is_empty()) else { return };
    let mut grid = Grid::new(&["TYPE", "STATUS", "REASON", "SINCE", "MESSAGE"]);
    for condition in conditions {
        let get = |field: &str| condition[field].as_str().unwrap_or_default().to_owned();
        let since = get("lastTransitionTime");
        let since = since.parse().map_or(since, second);
        grid.rows.push(vec![get("type"), get("status"), get("reason"), since, get("message")]);
    }
    text.push_str("\nConditions:\n");
    indented(text, &grid);
}

fn indented(text: &mut String, grid: &Grid) {
    for line in grid.lines(&mut Vec::new(), true) {
        text.push_str("  ");
        text.push_str(&line);
        text.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_driver_is_described_with_its_events() {
        let driver = json!({
            "apiVersion": "dropmate.dev/v1", "kind": "Driver",
            "metadata": {"name": "sam", "namespace": "acme", "creationTimestamp": "2026-11-23T10:00:00Z",
                "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}"}},
            "spec": {"displayName": "Sam"}, "status": {"activeOrders": 2},
        });
        let event = json!({"type": "Normal", "reason": "Bound", "message": "o-1", "lastTimestamp": "2026-11-23T10:01:00Z",
            "source": {"component": "dispatch"}});
        insta::assert_snapshot!(describe(&driver, &[event]).unwrap(), @r"
        Name: sam
        Namespace: acme
        Kind: Driver
        Created: 2026-11-23T10:00:00Z

        Spec:
          displayName: Sam

        Status:
          activeOrders: 2

        Events:
          LAST SEEN              TYPE     REASON   FROM       MESSAGE
          2026-11-23T10:01:00Z   Normal   Bound    dispatch   o-1
        ");
    }
}
