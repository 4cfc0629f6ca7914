//! Rules across fields, over JSON: they look at what parses and leave the rest to the schema, so that an object with
//! a wrong type and a window that ends too early hears of both at once.

use jiff::{Timestamp, tz::TimeZone};
use serde::Deserialize;
use serde_json::Value;

use crate::{GROUP, VERSION, registry, validation::Cause};

/// The value at a dotted path; a segment may carry an index: `spec.shifts[0].end`.
pub(crate) fn at<'a>(object: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(object, |value, segment| match segment.split_once('[') {
        None => value.get(segment),
        Some((name, index)) => value.get(name)?.get(index.trim_end_matches(']').parse::<usize>().ok()?),
    })
}

/// The moment at that path, if there is one and it parses.
pub(crate) fn moment(object: &Value, path: &str) -> Option<Timestamp> {
    at(object, path)?.as_str()?.parse().ok()
}

/// Adds `Invalid value: …: REQUIREMENT` for the field.
pub(crate) fn invalid(causes: &mut Vec<Cause>, field: &str, value: &Value, requirement: &str) {
    causes.push(Cause::invalid(field, value, requirement));
}

/// The moment at `late` must not lie before the one at `early`.
pub(crate) fn not_before(causes: &mut Vec<Cause>, object: &Value, late: &str, early: &str) {
    if let (Some(after), Some(before)) = (moment(object, late), moment(object, early))
        && after < before
    {
        let value = at(object, late).cloned().unwrap_or_default();
        invalid(causes, late, &value, &format!("must not be before {early} ({before})"));
    }
}

/// The name at that path must be a zone of the IANA time zone database.
pub(crate) fn time_zone(causes: &mut Vec<Cause>, object: &Value, path: &str) {
    if let Some(name) = at(object, path).and_then(Value::as_str)
        && TimeZone::get(name).is_err()
    {
        invalid(causes, path, &Value::from(name), "must be the name of an IANA time zone, for example Europe/Berlin");
    }
}

/// What the schema lets through must be readable by every agent, or one object would stop them all.
pub(crate) fn readable<'a, T: Deserialize<'a>>(causes: &mut Vec<Cause>, object: &'a Value, plural: &str) {
    if let Err(unreadable) = T::deserialize(object) {
        let schema = registry::by_resource(GROUP, VERSION, plural).map(|kind| (kind.schema)());
        if causes.is_empty() && schema.is_none_or(|schema| schema.validate(object).is_empty()) {
            let detail = unreadable.to_string();
            causes.push(Cause::invalid("spec", &Value::from("object"), &detail));
        }
    }
}
