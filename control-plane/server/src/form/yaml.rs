//! JSON values as YAML, in the block style that people read. Every text that some reader of YAML might take for anything
//! but text is quoted as in JSON, which is YAML too.

use std::fmt::Write;

use serde_json::Value;

/// The value as one YAML document.
pub(super) fn text(value: &Value) -> String {
    let mut out = String::new();
    block(value, 0, &mut out);
    if !out.ends_with('\n') {
        out.push('\n');
    }
    out
}

/// Writes a value that begins where the cursor is; maps and lists are `indent` deep.
fn block(value: &Value, indent: usize, out: &mut String) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (number, (key, value)) in fields.iter().enumerate() {
                if number > 0 {
                    pad(indent, out);
                }
                scalar(key, out);
                out.push(':');
                below(value, indent, out);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for (number, item) in items.iter().enumerate() {
                if number > 0 {
                    pad(indent, out);
                }
                out.push_str("- ");
                block(item, indent + 2, out);
                end_line(out);
            }
        }
        Value::Object(_) => out.push_str("{}"),
        Value::Array(_) => out.push_str("[]"),
        Value::String(text) => scalar(text, out),
        other => out.push_str(&other.to_string()),
    }
}

/// Writes the value of a key: what has parts goes onto lines of its own, lists at the depth of their key.
fn below(value: &Value, indent: usize, out: &mut String) {
    let deeper = match value {
        Value::Object(fields) if !fields.is_empty() => Some(indent + 2),
        Value::Array(items) if !items.is_empty() => Some(indent),
        _ => None,
    };
    if let Some(deeper) = deeper {
        out.push('\n');
        pad(deeper, out);
        block(value, deeper, out);
    } else {
        out.push(' ');
        block(value, indent, out);
    }
    end_line(out);
}

fn end_line(out: &mut String) {
    if !out.ends_with('\n') {
        out.push('\n');
    }
}

fn pad(indent: usize, out: &mut String) {
    out.extend(std::iter::repeat_n(' ', indent));
}

/// Longer keys must be quoted or marked in YAML; longer texts read no worse in quotes.
const PLAIN_BYTES_MAX: usize = 120;

fn scalar(text: &str, out: &mut String) {
    if is_plain(text) {
        out.push_str(text);
        return;
    }
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            // Line breaks and marks that YAML reads in its own way, and what cannot be printed.
            c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}') => {
                // Writing to a String cannot fail.
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

/// Whether the text means itself without quotes, to readers of YAML 1.1 (`yes`, `1:30`, dates) and 1.2 alike.
fn is_plain(text: &str) -> bool {
    const WORDS: &[&str] = &["null", "true", "false", "yes", "no", "on", "off", "y", "n"];
    let begins = text.chars().next().is_some_and(|c| c.is_ascii_alphabetic() || c == '/');
    let letters = text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, ' ' | '-' | '_' | '.' | '/'));
    let word = WORDS.iter().any(|word| text.eq_ignore_ascii_case(word));
    begins && letters && !word && !text.ends_with(' ') && text.len() <= PLAIN_BYTES_MAX
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn an_object_reads_as_people_write_it() {
        let object = json!({
            "apiVersion": "dropmate.dev/v1",
            "kind": "Order",
            "metadata": {"labels": {}, "name": "o-1001", "finalizers": ["example.com/a"]},
            "spec": {
                "dueBy": "2026-11-23T13:00:00Z", "priority": 3, "hold": false, "note": "yes", "address": "12 Mill St",
                "lines": "a\nb", "items": [{"name": "Tea", "quantity": 2}, {"name": "Cup", "tags": [[1], []]}],
                "nothing": null,
            },
        });
        let expected = r#"apiVersion: dropmate.dev/v1
kind: Order
metadata:
  finalizers:
  - example.com/a
  labels: {}
  name: o-1001
spec:
  address: "12 Mill St"
  dueBy: "2026-11-23T13:00:00Z"
  hold: false
  items:
  - name: Tea
    quantity: 2
  - name: Cup
    tags:
    - - 1
    - []
  lines: "a\nb"
  note: "yes"
  nothing: null
  priority: 3
"#;
        assert_eq!(text(&object), expected);
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_filter("JSON has no others", |n| n.is_finite()).prop_map(Value::from),
            ".*".prop_map(Value::from),
            "(yes|no|on|~|null|0x1f|012|1e3|1:30|-|--- |# x|a: b|- a|\\[|\\{|'|\"|!t|&a|\\*a|%|@| x|x ||<<|=)"
                .prop_map(Value::from),
        ];
        leaf.prop_recursive(5, 64, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::btree_map(".*", inner, 0..6).prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(value in any_json()) {
            let written = text(&value);
            let read: Value = serde_yaml::from_str(&written).map_err(|error| TestCaseError::fail(format!("{error}: {written:?}")))?;
            prop_assert_eq!(read, value, "{:?}", written);
        }
    }
}
