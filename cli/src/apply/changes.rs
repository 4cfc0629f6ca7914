//! Two states of an object as the lines that differ.

use std::fmt::Write as _;

use serde_json::{Map, Value};
use similar::{ChangeTag, TextDiff};

use super::migrate::LAST_APPLIED;

/// Lines of context around what differs, as `diff -u` has them.
const CONTEXT: usize = 3;

/// What the server keeps about an object, and nobody wishes.
const SERVERS: [&str; 7] = [
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "generation",
    "managedFields",
    "resourceVersion",
    "selfLink",
    "uid",
];

/// A line of a diff.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// What the two sides are.
    Head(String),
    /// Where the hunk stands.
    Hunk(String),
    Kept(String),
    Removed(String),
    Added(String),
}

impl Line {
    /// As `diff -u` writes it.
    pub(super) fn text(&self) -> String {
        match self {
            Self::Head(text) | Self::Hunk(text) => text.clone(),
            Self::Kept(text) => format!(" {text}"),
            Self::Removed(text) => format!("-{text}"),
            Self::Added(text) => format!("+{text}"),
        }
    }
}

/// The unified diff of two states as YAML; null is an object that is not there. Empty if nothing that anybody may wish
/// differs.
pub(super) fn changes(name: &str, before: &Value, after: &Value) -> anyhow::Result<Vec<Line>> {
    let (before, after) = (text(before)?, text(after)?);
    if before == after {
        return Ok(Vec::new());
    }
    let side = |side: &str, text: &str| if text.is_empty() { "/dev/null".to_owned() } else { format!("{side}/{name}") };
    let mut lines = vec![
        Line::Head(format!("--- {}", side("live", &before))),
        Line::Head(format!("+++ {}", side("manifest", &after))),
    ];
    let diff = TextDiff::from_lines(before.as_str(), after.as_str());
    for hunk in diff.unified_diff().context_radius(CONTEXT).iter_hunks() {
        lines.push(Line::Hunk(hunk.header().to_string()));
        lines.extend(hunk.iter_changes().map(|change| {
            let text = change.value().trim_end_matches('\n').to_owned();
            match change.tag() {
                ChangeTag::Equal => Line::Kept(text),
                ChangeTag::Delete => Line::Removed(text),
                ChangeTag::Insert => Line::Added(text),
            }
        }));
    }
    Ok(lines)
}

/// The lines as one text.
pub(super) fn joined(lines: &[Line]) -> String {
    lines.iter().fold(String::new(), |mut text, line| {
        writeln!(text, "{}", line.text()).expect("writing to a String cannot fail");
        text
    })
}

/// What somebody may wish of an object, as YAML in the order of its names.
fn text(object: &Value) -> anyhow::Result<String> {
    let Value::Object(fields) = object else { return Ok(String::new()) };
    let mut fields = fields.clone();
    fields.remove("status");
    if let Some(Value::Object(metadata)) = fields.get_mut("metadata") {
        for name in SERVERS {
            metadata.remove(name);
        }
        if let Some(Value::Object(annotations)) = metadata.get_mut("annotations") {
            annotations.remove(LAST_APPLIED);
            if annotations.is_empty() {
                metadata.remove("annotations");
            }
        }
    }
    Ok(serde_yaml::to_string(&sorted(Value::Object(fields)))?)
}

fn sorted(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.into_iter().map(|(name, value)| (name, sorted(value))).collect();
            fields.sort_by(|a, b| a.0.cmp(&b.0));
            Value::Object(fields.into_iter().collect::<Map<_, _>>())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(sorted).collect()),
        scalar => scalar,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_somebody_may_wish_is_compared() {
        let before = json!({"kind": "Order", "metadata": {"name": "o", "resourceVersion": "1", "managedFields": []}, "status": {"phase": "Ready"}});
        let after =
            json!({"kind": "Order", "metadata": {"name": "o", "resourceVersion": "2"}, "status": {"phase": "Pending"}});
        assert_eq!(changes("o", &before, &after).unwrap(), []);
    }

    #[test]
    fn a_changed_field_stands_between_its_neighbours() {
        let before = json!({"kind": "Order", "spec": {"b": 2, "a": 1, "c": 3}});
        let after = json!({"kind": "Order", "spec": {"a": 1, "b": 9, "c": 3}});
        insta::assert_snapshot!(joined(&changes("order/o", &before, &after).unwrap()), @r"
        --- live/order/o
        +++ manifest/order/o
        @@ -1,5 +1,5 @@
         kind: Order
         spec:
           a: 1
        -  b: 2
        +  b: 9
           c: 3
        ");
    }

    #[test]
    fn a_new_object_is_all_added_and_one_that_goes_all_removed() {
        let object = json!({"kind": "Order"});
        let added = joined(&changes("o", &Value::Null, &object).unwrap());
        assert_eq!(added, "--- /dev/null\n+++ manifest/o\n@@ -0,0 +1 @@\n+kind: Order\n");
        let removed = joined(&changes("o", &object, &Value::Null).unwrap());
        assert_eq!(removed, "--- live/o\n+++ /dev/null\n@@ -1 +0,0 @@\n-kind: Order\n");
    }
}
