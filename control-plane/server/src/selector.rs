//! Label and field selectors: which objects a list or a watch means.

mod labels;

use dropmate_api::registry::Kind;
use dropmate_store::{Key, Object};

use self::labels::LabelTerm;
use crate::{
    error::{ApiError, Result},
    noted::Noted,
    resources::Eyes,
};

/// A selector with more values than this is refused: matching costs values × objects.
const MAX_VALUES: usize = 10_000;

/// Which objects are meant.
#[derive(Clone, Debug, Default)]
pub(crate) struct Selector {
    labels: Vec<LabelTerm>,
    fields: Vec<FieldTerm>,
    /// Of a caller who sees only their own: what they ask for is looked for among that.
    eyes: Option<Eyes>,
}

#[derive(Clone, Debug, PartialEq)]
struct FieldTerm {
    field: String,
    value: String,
    equal: bool,
}

impl Selector {
    /// Reads both selectors as they stand in the query.
    pub(crate) fn parse(kind: &Kind, labels: Option<&str>, fields: Option<&str>) -> Result<Self> {
        let labels = match labels {
            Some(text) => labels::parse(text).map_err(ApiError::bad_request)?,
            None => Vec::new(),
        };
        let fields = match fields {
            Some(text) => parse_fields(kind, text)?,
            None => Vec::new(),
        };
        if labels.iter().map(LabelTerm::size).sum::<usize>() + fields.len() > MAX_VALUES {
            return Err(ApiError::bad_request(format!("a selector may have at most {MAX_VALUES} values")));
        }
        Ok(Self { labels, fields, eyes: None })
    }

    /// The same, of what is there for the caller.
    #[must_use]
    pub(crate) fn seen_by(self, eyes: Option<Eyes>) -> Self {
        Self { eyes, ..self }
    }

    /// Whether every object is meant.
    pub(crate) fn is_empty(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty() && self.eyes.is_none()
    }

    /// The one name that can match, if `metadata.name=` is asked for.
    pub(crate) fn name(&self) -> Option<&str> {
        self.fields.iter().find(|term| term.equal && term.field == "metadata.name").map(|term| term.value.as_str())
    }

    /// Whether the object is meant. Its body is parsed only if its key cannot tell.
    pub(crate) fn matches(&self, object: &Object) -> bool {
        if self.eyes.as_ref().is_some_and(|eyes| !eyes.see(object)) {
            return false;
        }
        let by_key = |term: &&FieldTerm| key_field(&term.field, &object.key).is_some();
        if !self.fields.iter().filter(by_key).all(|term| term.holds(key_field(&term.field, &object.key).unwrap_or("")))
        {
            return false;
        }
        if self.labels.is_empty() && self.fields.iter().all(|term| by_key(&term)) {
            return true;
        }
        let Some(noted) = Noted::of(object) else { return false };
        self.fields.iter().filter(|term| !by_key(term)).all(|term| term.holds(noted.field(&term.field)))
            && self.labels.iter().all(|term| term.holds(&noted.labels))
    }
}

impl FieldTerm {
    fn holds(&self, value: &str) -> bool {
        (self.value == value) == self.equal
    }
}

fn key_field<'a>(field: &str, key: &'a Key) -> Option<&'a str> {
    match field {
        "metadata.name" => Some(&key.name),
        "metadata.namespace" => Some(&key.namespace),
        _ => None,
    }
}

fn parse_fields(kind: &Kind, text: &str) -> Result<Vec<FieldTerm>> {
    let mut terms = Vec::new();
    for part in split_escaped(text) {
        if part.is_empty() {
            continue;
        }
        let (field, value, equal) = [("!=", false), ("==", true), ("=", true)]
            .into_iter()
            .filter_map(|(operator, equal)| part.find(operator).map(|at| (at, operator, equal)))
            .min_by_key(|&(at, operator, _)| (at, std::cmp::Reverse(operator.len())))
            .map(|(at, operator, equal)| (&part[..at], &part[at + operator.len()..], equal))
            .ok_or_else(|| ApiError::bad_request(format!("invalid selector: '{text}'; can't understand '{part}'")))?;
        let known = field == "metadata.name"
            || (field == "metadata.namespace" && kind.namespaced)
            || kind.selectable_fields.contains(&field);
        if !known {
            return Err(ApiError::bad_request(format!("field label not supported: {field}")));
        }
        terms.push(FieldTerm { field: kind.stored_field(field), value: unescape(value)?, equal });
    }
    Ok(terms)
}

/// Splits at commas that no backslash precedes.
fn split_escaped(text: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut escaped = false;
    for c in text.chars() {
        if c == ',' && !escaped {
            parts.push(String::new());
            continue;
        }
        escaped = c == '\\' && !escaped;
        parts.last_mut().expect("there is always a last part").push(c);
    }
    parts
}

/// Only commas, equals signs and backslashes may stand behind a backslash, and equals signs nowhere else.
fn unescape(value: &str) -> Result<String> {
    let refused = |why: String| ApiError::bad_request(format!("invalid field selector: {why}"));
    let mut plain = String::with_capacity(value.len());
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some(escaped @ ('\\' | ',' | '=')) => plain.push(escaped),
                other => {
                    let other = other.map(String::from).unwrap_or_default();
                    return Err(refused(format!("invalid escape sequence: \\{other}")));
                }
            },
            '=' => return Err(refused(format!("unescaped character in value: {c}"))),
            c => plain.push(c),
        }
    }
    Ok(plain)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use dropmate_api::registry::by_resource;
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;

    fn orders() -> &'static Kind {
        by_resource("dropmate.dev", "v1", "orders").unwrap()
    }

    #[rstest]
    #[case("metadata.name=n", true)]
    #[case("metadata.name!=n", false)]
    #[case("metadata.namespace==ns,status.phase=Ready", true)]
    #[case("status.driverName=", true)]
    #[case("status.driverName!=sam", true)]
    #[case("spec.driverName=a\\,b", true)]
    #[case(",", true)]
    fn a_field_selector_means_what_kubernetes_means(#[case] text: &str, #[case] expected: bool) {
        let body = json!({"metadata": {}, "spec": {"driverName": "a,b"}, "status": {"phase": "Ready"}}).to_string();
        let key = Key { resource: "orders.dropmate.dev".into(), namespace: "ns".into(), name: "n".into() };
        let object = Object::new(key, String::new(), 1, Arc::from(body));
        assert_eq!(Selector::parse(orders(), None, Some(text)).unwrap().matches(&object), expected, "{text}");
    }

    #[test]
    fn the_source_of_an_event_is_its_component_or_its_controller() {
        let events = by_resource("", "v1", "events").unwrap();
        let selector = Selector::parse(events, None, Some("source=dispatch")).unwrap();
        let matches = |body: Value| {
            let key = Key { resource: "events".into(), namespace: "ns".into(), name: "e".into() };
            selector.matches(&Object::new(key, String::new(), 1, Arc::from(body.to_string())))
        };
        assert!(matches(json!({"source": {"component": "dispatch"}})));
        assert!(matches(json!({"reportingComponent": "dispatch"})));
        assert!(!matches(json!({"source": {"component": "x"}, "reportingComponent": "dispatch"})));
    }

    #[rstest]
    #[case("metadata.name", "invalid selector: 'metadata.name'; can't understand 'metadata.name'")]
    #[case("spec.priority=1", "field label not supported: spec.priority")]
    #[case("spec.driverName=a\\x", "invalid field selector: invalid escape sequence: \\x")]
    fn a_field_selector_that_means_nothing_is_refused(#[case] text: &str, #[case] why: &str) {
        assert_eq!(Selector::parse(orders(), None, Some(text)).unwrap_err().message(), why);
    }

    #[test]
    fn a_selector_without_end_is_refused() {
        let labels = format!("a in ({})", (0..=MAX_VALUES).map(|n| n.to_string()).collect::<Vec<_>>().join(","));
        assert_eq!(Selector::parse(orders(), Some(&labels), None).unwrap_err().code().as_u16(), 400);
    }
}
