//! What stands in one cell.

use dropmate_api::registry::Column;
use jiff::Timestamp;
use serde_json::Value;

use super::age::age;

/// The value at the column's path, as its type shows it; null where there is none.
pub(super) fn cell(column: &Column, object: &Value, now: Timestamp) -> Value {
    let Some(value) = at(object, column.json_path).filter(|value| !value.is_null()) else { return Value::Null };
    match column.type_ {
        "date" => Value::from(shown_age(value, now)),
        "string" => match value {
            Value::String(_) => value.clone(),
            other => Value::from(other.to_string()),
        },
        "integer" => value.as_f64().map_or(Value::Null, |n| Value::from(n as i64)),
        "number" if value.is_number() => value.clone(),
        "boolean" if value.is_boolean() => value.clone(),
        _ => Value::Null,
    }
}

/// A cell that is kept: what does not change, and the moments whose age is told each time.
#[derive(Clone, Debug)]
pub(crate) enum Cell {
    /// JSON.
    Fixed(Box<str>),
    /// How long ago that was.
    Age(Timestamp),
}

impl Cell {
    pub(super) fn of(column: &Column, object: &Value) -> Self {
        let then = || at(object, column.json_path)?.as_str()?.parse().ok();
        match then().filter(|_| column.type_ == "date") {
            Some(then) => Self::Age(then),
            // No moment, so that it does not matter when this is asked.
            None => Self::Fixed(cell(column, object, Timestamp::UNIX_EPOCH).to_string().into()),
        }
    }

    pub(super) fn write(&self, now: Timestamp, out: &mut Vec<u8>) {
        match self {
            Self::Fixed(json) => out.extend_from_slice(json.as_bytes()),
            Self::Age(then) => {
                out.push(b'"');
                out.extend_from_slice(age(*then, now).as_bytes());
                out.push(b'"');
            }
        }
    }
}

/// The value at a path of fields and indexes: `.status.route[0].order`.
fn at<'a>(object: &'a Value, path: &str) -> Option<&'a Value> {
    path.split(['.', '[', ']']).filter(|step| !step.is_empty()).try_fold(object, |value, step| match value {
        Value::Array(items) => items.get(step.parse::<usize>().ok()?),
        other => other.get(step),
    })
}

fn shown_age(value: &Value, now: Timestamp) -> String {
    match value.as_str().map(str::parse::<Timestamp>) {
        Some(Ok(then)) => age(then, now),
        _ => "<invalid>".to_owned(),
    }
}

/// The cell of an Event, whose columns look at several fields, under the names of either of its groups.
pub(super) fn of_event(column: &Column, event: &Value, now: Timestamp) -> Value {
    let about = first(event, &["involvedObject", "regarding"]);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let first_seen = first(event, &["firstTimestamp", "deprecatedFirstTimestamp", "eventTime"]);
    match column.name {
        "Last Seen" => {
            let series = &event["series"]["lastObservedTime"];
            let seen = first(event, &["lastTimestamp", "deprecatedLastTimestamp"]);
            let seen = if series.is_null() { seen } else { series };
            event_age(if seen.is_null() { first_seen } else { seen }, now)
        }
        "First Seen" => event_age(first_seen, now),
        "Object" => Value::from(format!("{}/{}", text(&about["kind"]).to_lowercase(), text(&about["name"]))),
        "Subobject" => Value::from(text(&about["fieldPath"])),
        "Source" => {
            let source = first(event, &["source", "deprecatedSource"]);
            let parts = if source["component"].as_str().is_some_and(|component| !component.is_empty()) {
                [text(&source["component"]), text(&source["host"])]
            } else {
                let controller = first(event, &["reportingComponent", "reportingController"]);
                [text(controller), text(&event["reportingInstance"])]
            };
            Value::from(parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", "))
        }
        "Message" => Value::from(text(first(event, &["message", "note"])).trim()),
        "Count" => {
            let count = first(event, &["count", "deprecatedCount"]).as_i64().filter(|count| *count > 0);
            Value::from(event["series"]["count"].as_i64().or(count).unwrap_or(1))
        }
        _ => cell(column, event, now),
    }
}

fn event_age(value: &Value, now: Timestamp) -> Value {
    Value::from(if value.is_null() { "<unknown>".to_owned() } else { shown_age(value, now) })
}

/// The first of these fields that is there.
fn first<'a>(object: &'a Value, fields: &[&str]) -> &'a Value {
    fields.iter().map(|field| &object[*field]).find(|value| !value.is_null()).unwrap_or(&Value::Null)
}
