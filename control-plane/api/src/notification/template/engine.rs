//! Templates at work: bounded by fuel, strict about what they name, each value written as its place wants it.

use std::{collections::BTreeMap, fmt::Write, sync::Arc};

use minijinja::{
    AutoEscape, Environment, Error, ErrorKind, Output, State, UndefinedBehavior, escape_formatter,
    syntax::SyntaxConfig,
    value::{Enumerator, Object, Serde, Value},
};

use super::{MARK_LINK, MARK_LINK_FORM, MARK_LINK_HTML, MARK_PIN, RenderError, Rendered};
use crate::notification::facts::Facts;

/// What a template may use up: some hundred thousand steps or six megabytes, a few milliseconds. The longest sensible
/// mail takes a hundredth.
const FUEL: u64 = 100_000;

/// How deep macros may call each other.
const DEPTH_MAX: usize = 32;

/// The escape of forms, as the engine calls it.
const FORM: &str = "form";

/// How values are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Escape {
    /// As they are.
    None,
    /// For HTML and XML.
    Html,
    /// As JSON, quotes included.
    Json,
    /// Percent-encoded.
    Form,
}

/// How values are written in a body of that type; `None`: nobody knows.
pub(crate) fn escape_of(content_type: Option<&str>) -> Option<Escape> {
    let essence = content_type.unwrap_or("application/json").split(';').next().unwrap_or_default().trim();
    Some(match essence.to_ascii_lowercase().as_str() {
        "application/json" => Escape::Json,
        "application/x-www-form-urlencoded" => Escape::Form,
        "text/html" | "text/xml" | "application/xml" => Escape::Html,
        "text/plain" => Escape::None,
        other if other.starts_with("application/") && other.ends_with("+json") => Escape::Json,
        other if other.starts_with("application/") && other.ends_with("+xml") => Escape::Html,
        _ => return None,
    })
}

/// Renders the source. `place` names it in errors.
pub(crate) fn render(place: &str, source: &str, escape: Escape, told: Value) -> Result<String, RenderError> {
    render_within(FUEL, place, source, escape, told)
}

/// The same with less fuel.
pub(super) fn render_within(
    fuel: u64,
    place: &str,
    source: &str,
    escape: Escape,
    told: Value,
) -> Result<String, RenderError> {
    let mut environment = environment(escape);
    environment.set_fuel(Some(fuel));
    environment.render_named_str("template", source, told).map_err(|error| failure(place, &error))
}

pub(super) fn failure(place: &str, error: &Error) -> RenderError {
    let detail = match error.kind() {
        ErrorKind::OutOfFuel => "takes too long: it runs through too much".to_owned(),
        ErrorKind::UndefinedError => "names what is not there".to_owned(),
        ErrorKind::TemplateNotFound | ErrorKind::BadInclude => "templates cannot include others".to_owned(),
        kind => match error.detail() {
            Some(detail) => format!("{kind}: {detail}"),
            None => kind.to_string(),
        },
    };
    RenderError::Template { place: place.to_owned(), line: error.line(), detail }
}

pub(super) fn environment<'source>(escape: Escape) -> Environment<'source> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_fuel(Some(FUEL));
    environment.set_recursion_limit(DEPTH_MAX);
    // Tags on a line of their own leave no empty line behind.
    if let Ok(syntax) = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build() {
        environment.set_syntax(syntax);
    }
    environment.set_auto_escape_callback(move |_| match escape {
        Escape::None => AutoEscape::None,
        Escape::Html => AutoEscape::Html,
        Escape::Json => AutoEscape::Json,
        Escape::Form => AutoEscape::Custom(FORM.into()),
    });
    environment.set_formatter(write);
    environment
}

/// Writes a value; the mark of a link is told where it stands.
fn write(out: &mut Output, state: &mut State, value: &Value) -> Result<(), Error> {
    let failed = |_| Error::from(ErrorKind::WriteFailure);
    match state.auto_escape() {
        AutoEscape::Custom(name) if name == FORM => out.write_str(&as_form(&value.to_string())).map_err(failed),
        AutoEscape::Json => escape_formatter(out, state, value),
        // What is not there is nothing, not the word for it.
        _ if value.is_none() => Ok(()),
        AutoEscape::Html if !value.is_safe() && value.as_str().is_some_and(|text| text.contains(MARK_LINK)) => {
            let text = value.as_str().unwrap_or_default().replace(MARK_LINK, MARK_LINK_HTML);
            escape_formatter(out, state, &Value::from(text))
        }
        _ => escape_formatter(out, state, value),
    }
}

/// What templates see of the facts.
pub(crate) fn context(facts: &Facts) -> Value {
    Value::from_pairs(fields(facts))
}

/// The same with the message itself, for the body of a request.
pub(super) fn with_message(facts: &Facts, to: &str, key: &str, words: &Rendered) -> Value {
    let mut told = fields(facts);
    let subject = words.subject.as_deref().unwrap_or_default();
    for (name, text) in [("to", to), ("key", key), ("text", &words.text), ("subject", subject)] {
        told.insert(name.to_owned(), Value::from(text));
    }
    Value::from_pairs(told)
}

fn fields(facts: &Facts) -> BTreeMap<String, Value> {
    let serde_json::Value::Object(fields) = serde_json::to_value(facts).unwrap_or_default() else {
        return BTreeMap::new();
    };
    let told = |(name, value): (String, serde_json::Value)| match value {
        serde_json::Value::Object(mut order) if name == "order" => {
            order.remove("labels");
            let labels = Value::from_object(Labels(facts.order.labels.clone()));
            let rest = order.iter().map(|(name, value)| (name.clone(), Value::from(Serde(value))));
            (name, Value::from_pairs(rest.chain([("labels".to_owned(), labels)])))
        }
        value => (name, Value::from(Serde(&value))),
    };
    fields.into_iter().map(told).collect()
}

/// The labels of an order: one that an order does not have is empty, or a template could not ask for it.
#[derive(Debug)]
struct Labels(BTreeMap<String, String>);

impl Object for Labels {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        Some(Value::from(self.0.get(key.as_str()?).map(String::as_str).unwrap_or_default()))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(self.0.keys().map(|key| Value::from(key.as_str())).collect())
    }
}

pub(super) fn is_mark(letter: char) -> bool {
    [MARK_LINK, MARK_LINK_HTML, MARK_LINK_FORM, MARK_PIN].iter().any(|mark| mark.starts_with(letter))
}

/// With nothing in it that ends a string, an attribute or a tag: what is no letter of a URL is percent-encoded.
pub(super) fn as_url(link: &str) -> String {
    encode(link, |byte| byte.is_ascii_alphanumeric() || b"-._~:/?#[]@!$&()*+,;=%".contains(&byte))
}

/// Percent-encoded. Marks stay, and tell where they stand.
pub(super) fn as_form(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(is_mark) {
        let length = rest[at..].chars().next().map_or(0, char::len_utf8);
        let mark = &rest[at..at + length];
        encoded.push_str(&escaped(&rest[..at]));
        encoded.push_str(if mark == MARK_PIN { MARK_PIN } else { MARK_LINK_FORM });
        rest = &rest[at + length..];
    }
    encoded.push_str(&escaped(rest));
    encoded
}

fn escaped(text: &str) -> String {
    encode(text, |byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte))
}

fn encode(text: &str, plain: impl Fn(u8) -> bool) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if plain(byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}
