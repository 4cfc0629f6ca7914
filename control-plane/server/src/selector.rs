//! Label and field selectors: which objects a list or a watch means.

use std::collections::BTreeMap;

use dropmate_api::{registry::Kind, validation::names};
use dropmate_store::{Key, Object};

use crate::{
    error::{ApiError, Result},
    noted::Noted,
};

/// A selector with more terms than this is refused: matching costs terms × objects.
const MAX_TERMS: usize = 10_000;

/// Which objects are meant.
#[derive(Clone, Debug, Default)]
pub(crate) struct Selector {
    labels: Vec<LabelTerm>,
    fields: Vec<FieldTerm>,
}

#[derive(Clone, Debug, PartialEq)]
enum LabelTerm {
    In(String, Vec<String>),
    NotIn(String, Vec<String>),
    Exists(String),
    Absent(String),
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
            Some(text) => parse_labels(text)
                .map_err(|why| ApiError::bad_request(format!("unable to parse requirement: {why}")))?,
            None => Vec::new(),
        };
        let fields = match fields {
            Some(text) => parse_fields(kind, text)?,
            None => Vec::new(),
        };
        if labels.len() + fields.len() > MAX_TERMS {
            return Err(ApiError::bad_request(format!("a selector may have at most {MAX_TERMS} terms")));
        }
        Ok(Self { labels, fields })
    }

    /// Whether every object is meant.
    pub(crate) fn is_empty(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty()
    }

    /// The one name that can match, if `metadata.name=` is asked for.
    pub(crate) fn name(&self) -> Option<&str> {
        self.fields.iter().find(|term| term.equal && term.field == "metadata.name").map(|term| term.value.as_str())
    }

    /// Whether the object is meant. Its body is parsed only if its key cannot tell.
    pub(crate) fn matches(&self, object: &Object) -> bool {
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

impl LabelTerm {
    fn holds(&self, labels: &BTreeMap<String, String>) -> bool {
        let label = |key: &String| labels.get(key);
        match self {
            Self::In(key, values) => label(key).is_some_and(|held| values.iter().any(|v| v == held)),
            Self::NotIn(key, values) => label(key).is_none_or(|held| values.iter().all(|v| v != held)),
            Self::Exists(key) => label(key).is_some(),
            Self::Absent(key) => label(key).is_none(),
        }
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
            .ok_or_else(|| {
                ApiError::bad_request(format!("invalid field selector: {part:?}; can't understand it: no operator"))
            })?;
        let known = field == "metadata.name"
            || (field == "metadata.namespace" && kind.namespaced)
            || kind.selectable_fields.contains(&field);
        if !known {
            return Err(ApiError::bad_request(format!("field label not supported: {field}")));
        }
        terms.push(FieldTerm { field: kind.stored_field(field), value: unescape(value), equal });
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

fn unescape(value: &str) -> String {
    let mut plain = String::with_capacity(value.len());
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        if c == '\\' { plain.extend(chars.next()) } else { plain.push(c) }
    }
    plain
}

fn parse_labels(text: &str) -> std::result::Result<Vec<LabelTerm>, String> {
    let mut terms = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (term, tail) = label_term(rest)?;
        terms.push(term);
        rest = tail.trim_start();
        match rest.strip_prefix(',') {
            Some(tail) if !tail.trim().is_empty() => rest = tail.trim_start(),
            Some(_) => return Err("found '', expected: identifier after ','".to_owned()),
            None if rest.is_empty() => {}
            None => return Err(format!("found {rest:?}, expected: ',' or 'end of string'")),
        }
    }
    Ok(terms)
}

fn label_term(text: &str) -> std::result::Result<(LabelTerm, &str), String> {
    if let Some(rest) = text.strip_prefix('!') {
        let (key, rest) = word(rest.trim_start());
        return Ok((LabelTerm::Absent(valid_key(key)?), rest));
    }
    let (key, rest) = word(text);
    let key = valid_key(key)?;
    let rest = rest.trim_start();
    for (operator, equal) in [("==", true), ("!=", false), ("=", true)] {
        if let Some(rest) = rest.strip_prefix(operator) {
            let (value, rest) = word(rest.trim_start());
            let values = vec![valid_value(value)?];
            return Ok((if equal { LabelTerm::In(key, values) } else { LabelTerm::NotIn(key, values) }, rest));
        }
    }
    let (operator, after) = word(rest);
    if operator == "in" || operator == "notin" {
        let inner = after.trim_start().strip_prefix('(').ok_or_else(|| "expected: '('".to_owned())?;
        let (list, rest) = inner.split_once(')').ok_or_else(|| "expected: ')'".to_owned())?;
        let values: Vec<String> = list.split(',').map(|v| valid_value(v.trim())).collect::<Result<_, _>>()?;
        return Ok((if operator == "in" { LabelTerm::In(key, values) } else { LabelTerm::NotIn(key, values) }, rest));
    }
    if rest.is_empty() || rest.starts_with(',') {
        return Ok((LabelTerm::Exists(key), rest));
    }
    Err(format!("found {rest:?}, expected: in, notin, =, ==, !=, ','"))
}

fn word(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| c.is_whitespace() || "=!,()<>".contains(c)).unwrap_or(text.len());
    text.split_at(end)
}

fn valid_key(key: &str) -> std::result::Result<String, String> {
    if names::is_qualified_name(key) { Ok(key.to_owned()) } else { Err(format!("key: Invalid value: {key:?}")) }
}

fn valid_value(value: &str) -> std::result::Result<String, String> {
    match names::label_value(value).first() {
        None => Ok(value.to_owned()),
        Some(rule) => Err(format!("values[0][key]: Invalid value: {value:?}: {rule}")),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rstest::rstest;
    use serde_json::json;

    use super::*;

    fn object() -> Object {
        let body = json!({"metadata": {"labels": {"app": "shop", "tier": "a"}}}).to_string();
        let key = Key { resource: "x".into(), namespace: "ns".into(), name: "n".into() };
        Object::new(key, String::new(), 1, Arc::from(body))
    }

    #[rstest]
    #[case("app=shop", true)]
    #[case("app==shop,tier=a", true)]
    #[case("app!=shop", false)]
    #[case("zone!=x", true)]
    #[case("app in (shop, other)", true)]
    #[case("app notin (shop)", false)]
    #[case("zone notin (x)", true)]
    #[case("app", true)]
    #[case("!app", false)]
    #[case("!zone , app", true)]
    #[case("example.com/app=", false)]
    fn a_label_selector_means_what_kubernetes_means(#[case] text: &str, #[case] expected: bool) {
        let selector = Selector { labels: parse_labels(text).unwrap(), fields: Vec::new() };
        assert_eq!(selector.matches(&object()), expected, "{text}");
    }

    #[rstest]
    #[case("app=a b")]
    #[case("=x")]
    #[case("app in shop")]
    #[case("app,")]
    #[case("a&b")]
    fn a_broken_label_selector_is_refused(#[case] text: &str) {
        assert!(parse_labels(text).is_err(), "{text}");
    }
}
