//! YAML to JSON values, event by event: depth, aliases and keys are checked before anything is built from them.
//!
//! Scalars follow the YAML 1.2 core schema; merge keys (`<<`) work.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, Tag};
use serde_json::{Map, Number, Value};

use super::{Fault, MAX_DEPTH};

/// How much aliases may add to a document, weighed by [`weight`]. Anchors in real manifests repeat a few fields; a
/// bomb multiplies itself beyond this at once.
const MAX_ALIAS_WEIGHT: usize = 1024 * 1024;

/// What an anchored value may be besides a scalar's text.
struct Anchored {
    value: Value,
    weight: usize,
}

enum Frame {
    List { items: Vec<Value>, anchor: usize, weight: usize },
    Map { fields: Map<String, Value>, key: Option<String>, merges: Vec<Value>, anchor: usize, weight: usize },
}

#[derive(Default)]
struct Builder {
    stack: Vec<Frame>,
    anchors: HashMap<usize, Anchored>,
    alias_weight: usize,
    root: Option<Value>,
}

/// Parses one document; `None` when it holds nothing.
pub(super) fn parse(text: &str) -> Result<Option<Value>, Fault> {
    let mut builder = Builder::default();
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| Fault {
            line: error.marker().line(),
            message: format!("is not valid YAML: {}", error.info()),
        })?;
        let line = span.start.line();
        builder.take(event).map_err(|message| Fault { line, message })?;
    }
    Ok(builder.root)
}

impl Builder {
    fn take(&mut self, event: Event<'_>) -> Result<(), String> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                if self.expects_key() {
                    return self.key(&text, style);
                }
                let value = scalar(&text, style, tag.as_deref())?;
                let weight = weight(&value);
                self.value(value, weight, anchor)
            }
            Event::SequenceStart(anchor, _) => {
                self.enter(Frame::List { items: Vec::new(), anchor, weight: NODE_WEIGHT })
            }
            Event::MappingStart(anchor, _) => self.enter(Frame::Map {
                fields: Map::new(),
                key: None,
                merges: Vec::new(),
                anchor,
                weight: NODE_WEIGHT,
            }),
            Event::SequenceEnd | Event::MappingEnd => match self.stack.pop() {
                Some(Frame::List { items, anchor, weight }) => self.value(Value::Array(items), weight, anchor),
                Some(Frame::Map { mut fields, merges, anchor, weight, .. }) => {
                    merge(&mut fields, merges)?;
                    self.value(Value::Object(fields), weight, anchor)
                }
                None => Ok(()),
            },
            Event::Alias(anchor) => {
                let Some(anchored) = self.anchors.get(&anchor) else {
                    return Err("an alias stands inside the value it names".to_owned());
                };
                self.alias_weight += anchored.weight;
                if self.alias_weight > MAX_ALIAS_WEIGHT {
                    return Err("aliases blow this document up beyond 1 MiB; write the values out".to_owned());
                }
                let (value, weight) = (anchored.value.clone(), anchored.weight);
                if self.expects_key() {
                    return match value {
                        Value::String(text) => self.key(&text, ScalarStyle::DoubleQuoted),
                        _ => Err("a key must be text".to_owned()),
                    };
                }
                self.value(value, weight, 0)
            }
            _ => Ok(()),
        }
    }

    fn expects_key(&self) -> bool {
        matches!(self.stack.last(), Some(Frame::Map { key: None, .. }))
    }

    fn key(&mut self, text: &str, style: ScalarStyle) -> Result<(), String> {
        if let Some(Frame::Map { fields, key, .. }) = self.stack.last_mut() {
            if fields.contains_key(text) {
                return Err(format!("duplicate key {text:?}"));
            }
            let merge = text == "<<" && style == ScalarStyle::Plain;
            *key = Some(if merge { MERGE.to_owned() } else { text.to_owned() });
        }
        Ok(())
    }

    fn enter(&mut self, frame: Frame) -> Result<(), String> {
        if self.expects_key() {
            return Err("a key must be text".to_owned());
        }
        if self.stack.len() >= MAX_DEPTH {
            return Err(format!("values nest deeper than {MAX_DEPTH} levels"));
        }
        self.stack.push(frame);
        Ok(())
    }

    fn value(&mut self, value: Value, value_weight: usize, anchor: usize) -> Result<(), String> {
        if anchor != 0 {
            // The copy kept for aliases counts as well: nested anchors are a bomb of their own.
            self.alias_weight += value_weight;
            if self.alias_weight > MAX_ALIAS_WEIGHT {
                return Err("anchors hold more than 1 MiB of this document; write the values out".to_owned());
            }
            self.anchors.insert(anchor, Anchored { value: value.clone(), weight: value_weight });
        }
        match self.stack.last_mut() {
            None => self.root = Some(value),
            Some(Frame::List { items, weight, .. }) => {
                items.push(value);
                *weight += value_weight;
            }
            Some(Frame::Map { fields, key, merges, weight, .. }) => {
                let key = key.take().unwrap_or_default();
                *weight += value_weight + key.len();
                if key == MERGE {
                    merges.push(value);
                } else {
                    fields.insert(key, value);
                }
            }
        }
        Ok(())
    }
}

/// Stands for a plain `<<` while its value is read; no YAML key can hold a NUL.
const MERGE: &str = "\0<<";

/// What a node costs beside its text.
const NODE_WEIGHT: usize = 32;

fn weight(scalar: &Value) -> usize {
    NODE_WEIGHT + scalar.as_str().map_or(0, str::len)
}

/// Fields of the merged maps, where the map does not have them itself; earlier ones win.
fn merge(fields: &mut Map<String, Value>, merges: Vec<Value>) -> Result<(), String> {
    for value in merges {
        let maps = match value {
            Value::Array(maps) => maps,
            map => vec![map],
        };
        for map in maps {
            let Value::Object(map) = map else { return Err("`<<` takes a map or a list of maps".to_owned()) };
            for (key, value) in map {
                if !fields.contains_key(&key) {
                    fields.insert(key, value);
                }
            }
        }
    }
    Ok(())
}

fn scalar(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Result<Value, String> {
    let core = tag.filter(|tag| tag.is_yaml_core_schema()).map(|tag| tag.suffix.as_str());
    if style != ScalarStyle::Plain || core == Some("str") {
        return Ok(Value::String(text.to_owned()));
    }
    Ok(match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        ".nan" | ".NaN" | ".NAN" | ".inf" | ".Inf" | ".INF" | "+.inf" | "-.inf" | "-.Inf" | "-.INF" => {
            return Err(format!("{text} is not a number that JSON knows"));
        }
        _ => match number(text) {
            Some(number) => Value::Number(number),
            None => Value::String(text.to_owned()),
        },
    })
}

fn number(text: &str) -> Option<Number> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if let Some(hex) = digits.strip_prefix("0x") {
        return u64::from_str_radix(hex, 16).ok().map(Number::from);
    }
    if let Some(octal) = digits.strip_prefix("0o") {
        return u64::from_str_radix(octal, 8).ok().map(Number::from);
    }
    // Rust would also take `inf` and `nan`, which are plain text here.
    if !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        || digits.contains(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E' | '+' | '-')))
        || !digits.contains(|c: char| c.is_ascii_digit())
    {
        return None;
    }
    let unsigned = text.strip_prefix('+').unwrap_or(text);
    if let Ok(whole) = unsigned.parse::<i64>() {
        return Some(whole.into());
    }
    if let Ok(whole) = unsigned.parse::<u64>() {
        return Some(whole.into());
    }
    unsigned.parse::<f64>().ok().and_then(Number::from_f64)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn value(text: &str) -> Value {
        parse(text).unwrap().unwrap()
    }

    fn fault(text: &str) -> (usize, String) {
        let fault = parse(text).unwrap_err();
        (fault.line, fault.message)
    }

    #[test]
    fn scalars_have_the_types_of_the_core_schema() {
        assert_eq!(
            value("{a: 1, b: 1.5, c: true, d: null, e: yes, f: '1', g: 0x10, h: -2, i: 1e3, j: 2026-11-23T10:00:00Z}"),
            json!({"a": 1, "b": 1.5, "c": true, "d": null, "e": "yes", "f": "1", "g": 16, "h": -2, "i": 1000.0,
                   "j": "2026-11-23T10:00:00Z"})
        );
        assert_eq!(value("[1.2.3, 12-34, ., e1, nan, +5]"), json!(["1.2.3", "12-34", ".", "e1", "nan", 5]));
    }

    #[test]
    fn keys_are_text_whatever_they_look_like() {
        assert_eq!(value("1: a\ntrue: b\n"), json!({"1": "a", "true": "b"}));
    }

    #[test]
    fn aliases_and_merge_keys_are_resolved() {
        let text = "base: &b {x: 1, y: 2}\nuse: {<<: *b, y: 3}\nagain: *b\n";
        assert_eq!(value(text), json!({"base": {"x": 1, "y": 2}, "use": {"x": 1, "y": 3}, "again": {"x": 1, "y": 2}}));
    }

    #[test]
    fn duplicate_keys_are_named_with_their_line() {
        assert_eq!(fault("a: 1\nb: 2\na: 3\n"), (3, "duplicate key \"a\"".to_owned()));
        assert_eq!(fault("a: {x: 1,\n  x: 2}\n").0, 2);
    }

    #[test]
    fn an_alias_bomb_is_refused_before_it_grows() {
        let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for level in 1..12 {
            let before = level - 1;
            let refs = vec![format!("*a{before}"); 10].join(", ");
            text.push_str(&["a", &level.to_string(), ": &a", &level.to_string(), " [", &refs, "]\n"].concat());
        }
        let (line, message) = fault(&text);
        assert!(line <= 6, "line {line}");
        assert!(message.contains("1 MiB"), "{message}");
    }

    #[test]
    fn nested_anchors_cannot_multiply_either() {
        let text = format!("{}{}{}", "&a [".repeat(90), "x, ".repeat(20_000), "]".repeat(90));
        assert!(fault(&text).1.contains("1 MiB"));
    }

    #[test]
    fn an_alias_to_itself_is_refused() {
        assert!(fault("a: &a [*a]\n").1.contains("alias"));
    }

    #[test]
    fn deep_nesting_is_refused_in_both_styles() {
        assert!(parse(&"[".repeat(1_000_000)).is_err());
        assert!(parse(&format!("{}1{}", "[".repeat(101), "]".repeat(101))).is_err());
        assert!(parse(&format!("{}1{}", "[".repeat(100), "]".repeat(100))).is_ok());
        let mut block = String::new();
        for level in 0..200 {
            block.push_str(&" ".repeat(level));
            block.push_str("a:\n");
        }
        assert!(fault(&block).1.contains("deeper than 100"));
    }

    #[test]
    fn numbers_that_json_does_not_know_are_refused() {
        assert_eq!(fault("a:\n  b: .nan\n").0, 2);
    }

    #[test]
    fn broken_yaml_is_named_with_its_line() {
        assert_eq!(fault("a: 1\nb: [1, 2\nc: 3\n").0, 3);
    }
}
