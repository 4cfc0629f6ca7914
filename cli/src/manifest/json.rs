//! JSON documents, one or several after another, with duplicate keys refused.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::Fault;

/// Parses the values of a text that starts with `{`; each with the line it starts on (1 is the first).
pub(super) fn parse(text: &str) -> Result<Vec<(usize, Value)>, Fault> {
    let mut values = Vec::new();
    let mut stream = serde_json::Deserializer::from_str(text).into_iter::<Checked>();
    loop {
        let offset = stream.byte_offset();
        let blank = text[offset..].len() - text[offset..].trim_start().len();
        let line = 1 + text[..offset + blank].matches('\n').count();
        match stream.next() {
            None => return Ok(values),
            Some(Ok(Checked(value))) => values.push((line, value)),
            Some(Err(error)) => {
                let message = error.to_string();
                // The position is told by the line before the message.
                let message = message.split(" at line ").next().unwrap_or_default();
                let message = match message.strip_prefix("duplicate key") {
                    Some(_) => message.to_owned(),
                    None => format!("is not valid JSON: {message}"),
                };
                return Err(Fault { line: error.line(), message });
            }
        }
    }
}

/// A value none of whose maps names a key twice. `serde_json` itself stops at 128 levels.
struct Checked(Value);

impl<'de> Deserialize<'de> for Checked {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(CheckedVisitor).map(Checked)
    }
}

struct CheckedVisitor;

impl<'de> Visitor<'de> for CheckedVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(Checked(item)) = access.next_element()? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut fields = Map::new();
        while let Some(key) = access.next_key::<String>()? {
            if fields.contains_key(&key) {
                return Err(A::Error::custom(format!("duplicate key {key:?}")));
            }
            let Checked(value) = access.next_value()?;
            fields.insert(key, value);
        }
        Ok(Value::Object(fields))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn several_values_in_one_text_know_their_lines() {
        let values = parse("{\"a\": 1}\n\n{\"b\": \"\\ud83d\\ude00\"}\n").unwrap();
        assert_eq!(values, [(1, json!({"a": 1})), (3, json!({"b": "😀"}))]);
    }

    #[test]
    fn duplicate_keys_are_named_with_their_line() {
        let fault = parse("{\"a\": 1,\n \"a\": 2}").unwrap_err();
        assert_eq!((fault.line, fault.message.as_str()), (2, "duplicate key \"a\""));
    }

    #[test]
    fn deep_nesting_is_refused() {
        assert!(parse(&format!("{{\"a\": {}", "[".repeat(1_000_000))).is_err());
    }
}
