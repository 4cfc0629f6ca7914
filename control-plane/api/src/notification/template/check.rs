//! Templates before they are used: each is compiled, held to the vocabulary and tried on two orders.

use std::collections::BTreeSet;

use minijinja::ErrorKind;
use serde_json::Value;

use super::{
    Context, Escape, RenderError, Rendered, context,
    engine::{self, environment, failure},
};
use crate::{
    notification::{
        HttpChannel, MessageTemplate, NotificationPolicySpec,
        facts::{Facts, is_private},
        sample,
    },
    validation::Cause,
};

/// What only the recipient is told.
const FOR_THE_RECIPIENT: [&str; 2] = ["trackingUrl", "pin"];

/// What the engine brings along.
const FUNCTIONS: [&str; 3] = ["range", "dict", "namespace"];

/// What the body of a request sees besides.
const OF_REQUESTS: [&str; 4] = ["to", "text", "subject", "key"];

/// What a template may use up on a sample, which is small: less than on the largest order, since a policy may have hundreds
/// of templates to try in one request.
const CHECK_FUEL: u64 = 20_000;

/// Letters of a template's line that are shown in an error.
const SHOWN: usize = 100;

/// Everything wrong with the templates of a policy: what does not compile, names a field that there is not, or fails on an
/// order that may come. Each cause names the field (`spec.templates[2].html`), the line, and what there is instead.
pub fn check(spec: &NotificationPolicySpec) -> Vec<Cause> {
    let mut causes = Vec::new();
    for (index, template) in spec.templates.iter().enumerate() {
        let field = |part: &str| format!("spec.templates[{index}].{part}");
        if let Some(subject) = &template.subject {
            one(&mut causes, &field("subject"), subject, Escape::None, &context);
        }
        one(&mut causes, &field("text"), &template.text, Escape::None, &context);
        if let Some(html) = &template.html {
            one(&mut causes, &field("html"), html, Escape::Html, &context);
        }
    }
    let requests = spec.channels.as_ref().map(|channels| channels.http.as_slice()).unwrap_or_default();
    for (index, request) in requests.iter().enumerate() {
        body(&mut causes, &format!("spec.channels.http[{index}].body"), request);
    }
    causes
}

/// What of the template is for the recipient alone: `trackingUrl`, `pin`.
pub(crate) fn audiences(template: &MessageTemplate) -> Vec<&'static str> {
    let parts = [template.subject.as_deref(), Some(template.text.as_str()), template.html.as_deref()];
    let named: BTreeSet<String> = parts.into_iter().flatten().flat_map(|source| names(source, false)).collect();
    FOR_THE_RECIPIENT.into_iter().filter(|name| named.contains(*name)).collect()
}

fn body(causes: &mut Vec<Cause>, field: &str, request: &HttpChannel) {
    let Some(escape) = engine::escape_of(request.content_type.as_deref()) else { return };
    // A message of two lines with quotes: what comes of it must still be JSON.
    let words = Rendered {
        subject: Some("A \"subject\"".to_owned()),
        text: "Two\nlines \"quoted\"".to_owned(),
        ..Rendered::default()
    };
    let told = |facts: &Facts| engine::with_message(facts, &facts.to, &facts.key, &words);
    let before = causes.len();
    one(causes, field, &request.body, escape, &told);
    if escape == Escape::Json && causes.len() == before {
        for facts in sample::extremes() {
            let Ok(made) = engine::render_within(CHECK_FUEL, field, &request.body, escape, told(facts)) else {
                continue;
            };
            if let Err(error) = serde_json::from_str::<Value>(&made) {
                let detail = format!(
                    "does not come to JSON ({error}); every value brings its own quotes: {{\"to\": {{{{ to }}}}, \"text\": {{{{ text }}}}}}"
                );
                causes.push(Cause::invalid(field, &shown(&request.body, None), &detail));
                return;
            }
        }
    }
}

fn one(causes: &mut Vec<Cause>, field: &str, source: &str, escape: Escape, told: &dyn Fn(&Facts) -> Context) {
    let mut wrong = |line: Option<usize>, detail: &str| {
        let at = line.map(|line| format!("line {line}: ")).unwrap_or_default();
        causes.push(Cause::invalid(field, &shown(source, line), &format!("{at}{detail}")));
    };
    if let Some(line) = source.lines().position(|line| line.contains(is_private)) {
        wrong(Some(line + 1), "has a letter of Unicode's private areas, which stand for links and PINs here");
        return;
    }
    // Who misspells a field hears of it also where no sample comes by.
    if let Err(error) = environment(escape).template_from_named_str("template", source) {
        let RenderError::Template { line, detail, .. } = failure(field, &error) else { return };
        wrong(line, &detail);
        return;
    }
    for (line, filter) in filters(source) {
        let tried = environment(Escape::None).render_str(&format!("{{{{ 0|{filter} }}}}"), ());
        if tried.is_err_and(|error| error.kind() == ErrorKind::UnknownFilter) {
            wrong(Some(line), &format!("there is no filter {filter:?}"));
            return;
        }
    }
    let requests = field.rsplit('.').next() == Some("body");
    let unknown: Vec<(String, String)> =
        names(source, true).into_iter().filter_map(|name| Some((unknown(&name, requests)?, name))).collect();
    for (detail, name) in &unknown {
        let last = name.rsplit('.').next().unwrap_or(name);
        let line = source.lines().position(|line| line.contains(last)).map(|line| line + 1);
        wrong(line, detail);
    }
    if !unknown.is_empty() {
        return;
    }
    let orders = ["", " in an order without items, windows, a driver, an ETA (ask with {% if … %} first)"];
    for (facts, order) in sample::extremes().iter().zip(orders) {
        let tried = engine::render_within(CHECK_FUEL, field, source, escape, told(facts));
        if let Err(RenderError::Template { line, detail, .. }) = tried {
            wrong(line, &format!("{detail}{order}; there are {}", vocabulary(requests).join(", ")));
            return;
        }
    }
}

/// The filters that a template names, each with its line: one that stands where no sample comes by is found out all the
/// same.
fn filters(source: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    // What is raw is no code, and not worth telling apart.
    if source.contains("endraw") {
        return found;
    }
    let mut rest = source;
    while let Some(at) = rest.find('{') {
        let tag = &rest[at + 1..];
        rest = tag;
        let end = match tag.chars().next() {
            Some('{') => "}}",
            Some('%') => "%}",
            Some('#') => {
                rest = tag.split_once("#}").map_or("", |(_, after)| after);
                continue;
            }
            _ => continue,
        };
        let (mut quote, mut skip) = (None, 1);
        for (at, letter) in tag.char_indices() {
            if skip > 0 {
                skip -= 1;
                continue;
            }
            match quote {
                Some(_) if letter == '\\' => skip = 1,
                Some(open) if letter == open => quote = None,
                None if letter == '"' || letter == '\'' => quote = Some(letter),
                None if letter == '|' => {
                    let name = tag[at + 1..].trim_start();
                    let length = name.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(name.len());
                    // Every one of these texts is the end of the source.
                    let offset = source.len() - name.len();
                    if length > 0 {
                        found.push((source[..offset].lines().count().max(1), &name[..length]));
                    }
                }
                None if tag[at..].starts_with(end) => {
                    rest = &tag[at..];
                    break;
                }
                _ => {}
            }
        }
    }
    found
}

/// The names that a template takes from outside, sorted.
fn names(source: &str, nested: bool) -> BTreeSet<String> {
    let environment = environment(Escape::None);
    let compiled = environment.template_from_named_str("template", source);
    compiled.map(|template| template.undeclared_variables(nested).into_iter().collect()).unwrap_or_default()
}

/// Why there is no such name, with what there is.
fn unknown(name: &str, requests: bool) -> Option<String> {
    let mut parts = name.split('.');
    let root = parts.next().unwrap_or_default();
    if FUNCTIONS.contains(&root) && root != "namespace" || requests && OF_REQUESTS.contains(&root) {
        return None;
    }
    let Some(mut value) = sample::vocabulary().get(root) else {
        return Some(format!("there is no {root:?}; there are {}", vocabulary(requests).join(", ")));
    };
    let mut walked = root.to_owned();
    for part in parts {
        if walked == "order.labels" {
            return None;
        }
        let Value::Object(fields) = value else {
            let kind = if value.is_array() { "a list" } else { "a text or a number" };
            return Some(format!("there is no {name}: {walked} is {kind}"));
        };
        let Some(next) = fields.get(part) else {
            let known: Vec<&str> = fields.keys().map(String::as_str).collect();
            return Some(format!("there is no {walked}.{part}; {walked} has {}", known.join(", ")));
        };
        value = next;
        walked = format!("{walked}.{part}");
    }
    None
}

/// What a template may name, at the top.
fn vocabulary(requests: bool) -> Vec<String> {
    let known = sample::vocabulary().as_object();
    let mut names: Vec<String> = known.map(|fields| fields.keys().cloned().collect()).unwrap_or_default();
    if requests {
        names.extend(OF_REQUESTS.map(str::to_owned));
    }
    names.sort_unstable();
    names
}

/// The line that is wrong, else the first.
fn shown(source: &str, line: Option<usize>) -> Value {
    let line = source.lines().nth(line.unwrap_or(1).saturating_sub(1)).unwrap_or(source).trim();
    if line.chars().count() <= SHOWN {
        return Value::from(line);
    }
    Value::from(line.chars().take(SHOWN - 1).chain(['…']).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::filters;

    #[test]
    fn filters_are_found_wherever_they_stand() {
        let source = "a | b {{ x|upper }}\n{% if y %}{{ z | nope(1)|trim }}{% endif %}{# {{ c|d }} #}\n{{ \"a|b\" ~ 'it\\'s|c' | last }} {";
        assert_eq!(filters(source), [(1, "upper"), (2, "nope"), (2, "trim"), (3, "last")]);
    }
}
