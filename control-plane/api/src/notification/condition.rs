//! Conditions on fields of an order: whether one holds, and whether it can.

use jiff::Timestamp;
use serde_json::Value;

use super::{FieldCondition, Operator};
use crate::{GROUP, VERSION, registry, validation::Cause};

/// How deep a path may go: deeper than any field of an order.
const DEPTH_MAX: usize = 16;

/// Whether it holds of the order. A field that is not there is in no list, and neither above nor below anything. Of
/// several values (`spec.items[*].name`) one is enough, and `NotIn` wants none of them.
pub fn holds(condition: &FieldCondition, order: &Value) -> bool {
    let Ok(path) = path(&condition.field) else { return false };
    let found = find(order, &path);
    let any = |test: &dyn Fn(&Value, &str) -> bool| {
        found.iter().any(|value| condition.values.iter().any(|wanted| test(value, wanted)))
    };
    match condition.operator {
        Operator::Exists => !found.is_empty(),
        Operator::DoesNotExist => found.is_empty(),
        Operator::In => any(&equal),
        Operator::NotIn => !any(&equal),
        Operator::GreaterThan => any(&|value, wanted| compare(value, wanted).is_some_and(std::cmp::Ordering::is_gt)),
        Operator::LessThan => any(&|value, wanted| compare(value, wanted).is_some_and(std::cmp::Ordering::is_lt)),
    }
}

/// A step of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Field(String),
    Index(usize),
    Every,
}

/// `spec.items[*].name`, `metadata.labels["example.org/channel"]`.
fn path(text: &str) -> Result<Vec<Step>, String> {
    let mut steps = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        if steps.len() == DEPTH_MAX {
            return Err(format!("must not go deeper than {DEPTH_MAX} fields"));
        }
        if let Some(inner) = rest.strip_prefix('[') {
            if let Some(quoted) = inner.strip_prefix(['"', '\'']) {
                let quote = &inner[..1];
                let (name, after) = quoted
                    .split_once(quote)
                    .and_then(|(name, after)| Some((name, after.strip_prefix(']')?)))
                    .ok_or_else(|| format!("has a bracket that does not end: {rest}"))?;
                steps.push(Step::Field(name.to_owned()));
                rest = after;
            } else {
                let (index, after) =
                    inner.split_once(']').ok_or_else(|| format!("has a bracket that does not end: {rest}"))?;
                steps.push(match index {
                    "*" => Step::Every,
                    number => Step::Index(number.parse().map_err(|_| {
                        format!("has [{number}]; write [0] for the first item, [*] for any, [\"key\"] for a key")
                    })?),
                });
                rest = after;
            }
        } else {
            let start = if steps.is_empty() {
                rest
            } else {
                rest.strip_prefix('.').ok_or_else(|| format!("has {rest:?} where a dot should stand"))?
            };
            let end = start.find(['.', '[']).unwrap_or(start.len());
            if end == 0 {
                return Err("has a dot with no field after it".to_owned());
            }
            steps.push(Step::Field(start[..end].to_owned()));
            rest = &start[end..];
        }
    }
    if steps.is_empty() { Err("names no field".to_owned()) } else { Ok(steps) }
}

/// What stands there; null is nothing.
fn find<'a>(order: &'a Value, path: &[Step]) -> Vec<&'a Value> {
    let mut found = vec![order];
    for step in path {
        found = found
            .into_iter()
            .flat_map(|value| match step {
                Step::Field(name) => value.get(name).into_iter().collect::<Vec<_>>(),
                Step::Index(index) => value.get(*index).into_iter().collect(),
                Step::Every => value.as_array().map(|items| items.iter().collect()).unwrap_or_default(),
            })
            .collect();
    }
    found.retain(|value| !value.is_null());
    found
}

/// Numbers are equal as numbers, moments as moments, all else as it is written.
fn equal(value: &Value, wanted: &str) -> bool {
    let written = match value {
        Value::String(text) => text == wanted,
        Value::Bool(truth) => wanted == if *truth { "true" } else { "false" },
        _ => false,
    };
    written || (!value.is_boolean() && compare(value, wanted).is_some_and(std::cmp::Ordering::is_eq))
}

/// As moments if both are, else as numbers.
fn compare(value: &Value, wanted: &str) -> Option<std::cmp::Ordering> {
    let text = value.as_str();
    if let (Some(at), Ok(then)) = (text.and_then(moment), wanted.parse::<Timestamp>()) {
        return Some(at.cmp(&then));
    }
    let number = value.as_f64().or_else(|| text?.trim().parse().ok())?;
    number.partial_cmp(&wanted.trim().parse::<f64>().ok()?)
}

fn moment(text: &str) -> Option<Timestamp> {
    // A plain number would be read as no moment anyway; this spares the attempt.
    text.contains('T').then(|| text.parse().ok())?
}

/// What is wrong with it: a field that orders do not have, values that do not fit.
pub(crate) fn check(condition: &FieldCondition, at: &str) -> Vec<Cause> {
    let field = format!("{at}.field");
    let named = Value::from(condition.field.as_str());
    let wrong = |detail: &str| vec![Cause::invalid(field.clone(), &named, detail)];
    let path = match path(&condition.field) {
        Ok(path) => path,
        Err(detail) => return wrong(&detail),
    };
    let place = match place(&path) {
        Ok(place) => place,
        Err(detail) => return wrong(&detail),
    };
    let mut causes = Vec::new();
    let values = format!("{at}.values");
    let given = Value::from(condition.values.clone());
    let count = condition.values.len();
    match condition.operator {
        Operator::Exists | Operator::DoesNotExist if count > 0 => {
            causes.push(Cause::invalid(values.clone(), &given, "must be empty with Exists and DoesNotExist"));
        }
        Operator::In | Operator::NotIn if count == 0 => {
            causes.push(Cause::required(values.clone(), "In and NotIn compare with at least one value"));
        }
        Operator::GreaterThan | Operator::LessThan if count != 1 => {
            causes.push(Cause::invalid(values.clone(), &given, "must be one value with GreaterThan and LessThan"));
        }
        _ => {}
    }
    if matches!(condition.operator, Operator::Exists | Operator::DoesNotExist) {
        return causes;
    }
    let above = matches!(condition.operator, Operator::GreaterThan | Operator::LessThan);
    for (index, wanted) in condition.values.iter().enumerate() {
        let field = format!("{values}[{index}]");
        let given = Value::from(wanted.as_str());
        match &place {
            Place::Parts => {
                causes.push(Cause::invalid(
                    format!("{at}.field"),
                    &named,
                    "is an object or a list; only Exists and DoesNotExist can be asked of it",
                ));
                break;
            }
            Place::OneOf(known) if !above && !known.contains(wanted) => {
                causes.push(Cause::not_supported(field, &given, known));
            }
            Place::OneOf(_) | Place::Truth if above => {
                causes.push(Cause::invalid(
                    format!("{at}.operator"),
                    &Value::from(format!("{:?}", condition.operator)),
                    "must be In, NotIn, Exists or DoesNotExist: the field is no number and no time",
                ));
                break;
            }
            Place::Truth if wanted != "true" && wanted != "false" => {
                causes.push(Cause::not_supported(field, &given, &["true", "false"]));
            }
            Place::Number if wanted.trim().parse::<f64>().is_err() => {
                causes.push(Cause::invalid(field, &given, "must be a number, as the field is"));
            }
            Place::Moment if wanted.parse::<Timestamp>().is_err() => {
                let detail = "must be a time as in RFC 3339, as the field is: 2026-05-01T12:00:00Z";
                causes.push(Cause::invalid(field, &given, detail));
            }
            Place::Text if above && wanted.parse::<Timestamp>().is_err() && wanted.trim().parse::<f64>().is_err() => {
                let detail = "must be a number or a time as in RFC 3339 with GreaterThan and LessThan";
                causes.push(Cause::invalid(field, &given, detail));
            }
            _ => {}
        }
    }
    causes
}

/// What stands at a path of an order.
enum Place {
    Text,
    Number,
    Moment,
    Truth,
    OneOf(Vec<String>),
    Parts,
}

/// What the order's schema has there.
fn place(path: &[Step]) -> Result<Place, String> {
    let kind = registry::by_resource(GROUP, VERSION, "orders").ok_or("cannot be looked up: no orders are served")?;
    let mut node = (kind.schema)().json();
    let mut walked = String::new();
    let mut steps = path;
    if let Some(Step::Field(first)) = path.first()
        && first == "metadata"
    {
        return metadata(&path[1..]);
    }
    while let Some((step, rest)) = steps.split_first() {
        let here = if walked.is_empty() { "an order".to_owned() } else { walked.clone() };
        match step {
            Step::Field(name) => {
                let map = node.get("additionalProperties").filter(|schema| schema.is_object());
                node = node["properties"].get(name).or(map).ok_or_else(|| match node["properties"].as_object() {
                    Some(fields) => {
                        let known: Vec<&str> = fields.keys().map(String::as_str).collect();
                        format!("{here} has no field {name:?}; it has {}", known.join(", "))
                    }
                    None if node["type"] == "array" => {
                        format!("{here} is a list; write {walked}[*].{name} for any of its items")
                    }
                    None => format!("{here} has no fields"),
                })?;
                if !walked.is_empty() {
                    walked.push('.');
                }
                walked.push_str(name);
            }
            Step::Index(_) | Step::Every => {
                node = node.get("items").ok_or_else(|| format!("{here} is no list"))?;
                walked.push_str("[*]");
            }
        }
        steps = rest;
    }
    Ok(kind_of(node))
}

fn kind_of(node: &Value) -> Place {
    if let Some(known) = node["enum"].as_array() {
        return Place::OneOf(known.iter().filter_map(|value| value.as_str().map(str::to_owned)).collect());
    }
    match node["type"].as_str() {
        Some("object" | "array") => Place::Parts,
        Some("boolean") => Place::Truth,
        Some("integer" | "number") => Place::Number,
        _ if node["format"] == "date-time" => Place::Moment,
        _ => Place::Text,
    }
}

/// Of the metadata what people name: the schema leaves it open.
fn metadata(rest: &[Step]) -> Result<Place, String> {
    match rest {
        [] => Ok(Place::Parts),
        [Step::Field(name)] => match name.as_str() {
            "labels" | "annotations" => Ok(Place::Parts),
            "name" | "namespace" | "uid" => Ok(Place::Text),
            "generation" => Ok(Place::Number),
            "creationTimestamp" => Ok(Place::Moment),
            other => Err(format!(
                "no field {other:?} of the metadata can be asked for; those are labels, annotations, name, namespace, uid, \
                 generation, creationTimestamp"
            )),
        },
        [Step::Field(map), Step::Field(_)] if map == "labels" || map == "annotations" => Ok(Place::Text),
        [Step::Field(map), ..] if map == "labels" || map == "annotations" => {
            Err(format!("write a key with a dot or a slash in brackets: metadata.{map}[\"example.org/key\"]"))
        }
        _ => Err("must be a field of the metadata, such as metadata.labels.channel".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    fn condition(field: &str, operator: Operator, values: &[&str]) -> FieldCondition {
        FieldCondition {
            field: field.to_owned(),
            operator,
            values: values.iter().map(|value| (*value).to_owned()).collect(),
        }
    }

    fn order() -> Value {
        json!({
            "metadata": {"name": "o-1", "labels": {"channel": "web", "example.org/tier": "gold", "weight": "12"}},
            "spec": {"priority": 5, "hold": false, "dueBy": "2026-05-01T12:00:00Z", "recipient": {"name": "Ada"},
                "items": [{"name": "Bread", "quantity": 2}, {"name": "Wine", "quantity": 1}]},
            "status": {"phase": "Assigned", "eta": null},
        })
    }

    #[rstest]
    #[case("status.phase", Operator::In, &["Ready", "Assigned"], true)]
    #[case("status.phase", Operator::NotIn, &["Ready"], true)]
    #[case("status.phase", Operator::NotIn, &["Assigned"], false)]
    #[case("spec.priority", Operator::In, &["5.0"], true)]
    #[case("spec.priority", Operator::GreaterThan, &["4"], true)]
    #[case("spec.priority", Operator::GreaterThan, &["5"], false)]
    #[case("spec.priority", Operator::LessThan, &["10"], true)]
    #[case("spec.hold", Operator::In, &["false"], true)]
    #[case("spec.hold", Operator::In, &["true"], false)]
    #[case("spec.dueBy", Operator::LessThan, &["2026-05-01T14:00:00+01:00"], true)]
    #[case("spec.dueBy", Operator::In, &["2026-05-01T14:00:00+02:00"], true)]
    #[case("spec.items[*].name", Operator::In, &["Wine"], true)]
    #[case("spec.items[0].name", Operator::In, &["Wine"], false)]
    #[case("spec.items[*].name", Operator::NotIn, &["Wine"], false)]
    #[case("spec.items[*].quantity", Operator::GreaterThan, &["1"], true)]
    #[case("metadata.labels.channel", Operator::In, &["web"], true)]
    #[case(r#"metadata.labels["example.org/tier"]"#, Operator::In, &["gold"], true)]
    #[case("metadata.labels.weight", Operator::GreaterThan, &["9"], true)]
    #[case("metadata.labels.absent", Operator::In, &["web"], false)]
    #[case("metadata.labels.absent", Operator::NotIn, &["web"], true)]
    #[case("metadata.labels.absent", Operator::LessThan, &["1"], false)]
    #[case("status.eta", Operator::Exists, &[], false)]
    #[case("status.eta", Operator::DoesNotExist, &[], true)]
    #[case("spec.items", Operator::Exists, &[], true)]
    #[case("spec.items[7]", Operator::Exists, &[], false)]
    fn holds_of_an_order(
        #[case] field: &str,
        #[case] operator: Operator,
        #[case] values: &[&str],
        #[case] expected: bool,
    ) {
        let condition = condition(field, operator, values);
        assert_eq!(holds(&condition, &order()), expected);
        assert_eq!(check(&condition, "when[0]"), [], "{field}");
    }

    #[rstest]
    #[case("spec.prioritty", Operator::In, &["1"], "when[0].field", "priority")]
    #[case("spec.items.name", Operator::In, &["Wine"], "when[0].field", "spec.items[*].name")]
    #[case("spec.priority.high", Operator::In, &["1"], "when[0].field", "has no fields")]
    #[case("spec.", Operator::Exists, &[], "when[0].field", "no field after it")]
    #[case("spec.items[x]", Operator::Exists, &[], "when[0].field", "[*] for any")]
    #[case("spec.items[0", Operator::Exists, &[], "when[0].field", "does not end")]
    #[case("metadata.managedFields", Operator::Exists, &[], "when[0].field", "labels")]
    #[case("metadata.labels.example.org/tier", Operator::Exists, &[], "when[0].field", "in brackets")]
    #[case("status.phase", Operator::In, &["Deliverd"], "when[0].values[0]", "Delivered")]
    #[case("status.phase", Operator::GreaterThan, &["Ready"], "when[0].operator", "In, NotIn")]
    #[case("spec.priority", Operator::GreaterThan, &["high"], "when[0].values[0]", "a number")]
    #[case("spec.priority", Operator::GreaterThan, &["1", "2"], "when[0].values", "one value")]
    #[case("spec.dueBy", Operator::LessThan, &["noon"], "when[0].values[0]", "RFC 3339")]
    #[case("spec.hold", Operator::In, &["yes"], "when[0].values[0]", "true")]
    #[case("spec.recipient", Operator::In, &["Ada"], "when[0].field", "Exists")]
    #[case("spec.priority", Operator::In, &[], "when[0].values", "at least one")]
    #[case("spec.priority", Operator::Exists, &["1"], "when[0].values", "empty")]
    fn what_cannot_hold_is_refused_with_the_way_out(
        #[case] field: &str,
        #[case] operator: Operator,
        #[case] values: &[&str],
        #[case] at: &str,
        #[case] way_out: &str,
    ) {
        let causes = check(&condition(field, operator, values), "when[0]");
        assert_eq!(causes.len(), 1, "{causes:?}");
        assert_eq!(causes[0].field, at);
        assert!(causes[0].message.contains(way_out), "{}", causes[0].message);
    }
}
