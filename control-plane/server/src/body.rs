//! Request bodies: read with a limit, decoded from JSON, YAML or protobuf with every duplicate key named.

use std::{
    cell::RefCell,
    fmt::{self, Write},
};

use axum::body::Body;
use bytes::Bytes;
use dropmate_api::registry::Kind;
use http::{HeaderMap, header::CONTENT_TYPE};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use crate::{
    error::{ApiError, Result},
    protobuf,
};

/// Largest request body after decompression, as in Kubernetes.
pub(crate) const MAX_BODY_BYTES: usize = 3 * 1024 * 1024;
/// Aliases may make a small YAML text large: more values than this in one document are refused. An object of 3 MiB in
/// plain text stays below it.
const MAX_VALUES: usize = 2_000_000;
/// Bytes of all strings of one document together; above the body limit only by aliases.
const MAX_TEXT_BYTES: usize = 2 * MAX_BODY_BYTES;

/// The YAML scanner takes time by the square of how deeply flow collections nest, and hundreds of bytes for each level that
/// a line opens; nothing of ours nests half as deep.
const MAX_YAML_DEPTH: usize = 128;

/// A decoded body.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Document {
    /// What it says; of a key given twice the last value counts.
    pub(crate) value: Value,
    /// Paths of keys given twice.
    pub(crate) duplicates: Vec<String>,
}

/// Reads the whole body.
pub(crate) async fn read(body: Body) -> Result<Bytes> {
    match Limited::new(body, MAX_BODY_BYTES).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if is_length_limit(error.as_ref()) => Err(ApiError::too_large(MAX_BODY_BYTES)),
        Err(error) => Err(ApiError::bad_request(format!("the body could not be read: {error}"))),
    }
}

fn is_length_limit(error: &(dyn std::error::Error + 'static)) -> bool {
    error.is::<LengthLimitError>() || error.source().is_some_and(is_length_limit)
}

/// The media type of the body, without parameters; empty if none is named.
pub(crate) fn media_type(headers: &HeaderMap) -> String {
    let value = headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or("");
    value.split(';').next().unwrap_or("").trim().to_ascii_lowercase()
}

/// Decodes an object of `kind` by its media type.
pub(crate) fn decode(kind: &Kind, media_type: &str, bytes: &[u8]) -> Result<Document> {
    match media_type {
        "" | "application/json" => json(bytes),
        "application/yaml" | "application/x-yaml" | "text/yaml" => yaml(bytes),
        protobuf::MEDIA_TYPE if kind.group != dropmate_api::GROUP => protobuf(bytes),
        _ if kind.group == dropmate_api::GROUP => {
            Err(ApiError::unsupported_media_type(&["application/json", "application/yaml"]))
        }
        _ => Err(ApiError::unsupported_media_type(&[
            "application/json",
            "application/yaml",
            "application/vnd.kubernetes.protobuf",
        ])),
    }
}

/// Decodes an object of a kind of Kubernetes that is not in the registry.
pub(crate) fn decode_builtin(media_type: &str, bytes: &[u8]) -> Result<Document> {
    match media_type {
        "" | "application/json" => json(bytes),
        "application/yaml" | "application/x-yaml" | "text/yaml" => yaml(bytes),
        protobuf::MEDIA_TYPE => protobuf(bytes),
        _ => Err(ApiError::unsupported_media_type(&["application/json", "application/yaml", protobuf::MEDIA_TYPE])),
    }
}

/// Decodes the options that a DELETE may carry.
pub(crate) fn decode_options(media_type: &str, bytes: &[u8]) -> Result<Document> {
    match media_type {
        "application/yaml" | "application/x-yaml" | "text/yaml" => yaml(bytes),
        protobuf::MEDIA_TYPE => protobuf(bytes),
        _ => json(bytes),
    }
}

/// Decodes protobuf, in which nothing can be given twice.
fn protobuf(bytes: &[u8]) -> Result<Document> {
    let value = protobuf::decode(bytes).map_err(|error| ApiError::bad_request(error.to_string()))?;
    Ok(Document { value, duplicates: Vec::new() })
}

/// Decodes JSON.
pub(crate) fn json(bytes: &[u8]) -> Result<Document> {
    let findings = RefCell::new(Findings::default());
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = Seed { findings: &findings }
        .deserialize(&mut deserializer)
        .and_then(|value| deserializer.end().map(|()| value))
        .map_err(|error| ApiError::bad_request(format!("error decoding JSON: {error}")))?;
    Ok(Document { value, duplicates: findings.into_inner().duplicates })
}

/// Decodes one YAML document.
pub(crate) fn yaml(bytes: &[u8]) -> Result<Document> {
    if flow_depth(bytes) > MAX_YAML_DEPTH || line_depth(bytes) > MAX_YAML_DEPTH {
        return Err(ApiError::bad_request("error converting YAML to JSON: yaml: the document nests too deeply"));
    }
    let findings = RefCell::new(Findings::default());
    let value = Seed { findings: &findings }
        .deserialize(serde_yaml::Deserializer::from_slice(bytes))
        .map_err(|error| ApiError::bad_request(format!("error converting YAML to JSON: yaml: {error}")))?;
    Ok(Document { value, duplicates: findings.into_inner().duplicates })
}

/// Decodes an apply patch, which is YAML, and mostly that part of it which is JSON.
pub(crate) fn apply_patch(bytes: &[u8]) -> Result<Document> {
    if bytes.trim_ascii_start().starts_with(b"{")
        && let Ok(document) = json(bytes)
    {
        return Ok(document);
    }
    yaml(bytes).map_err(|error| ApiError::bad_request(format!("error decoding YAML: {}", error.message())))
}

/// How far opening brackets run ahead of closing ones. Quotes are not heeded: text with that many brackets left open
/// may as well be sent as JSON.
fn flow_depth(bytes: &[u8]) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    for byte in bytes {
        match byte {
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

/// The most levels that one line opens: `- - ? x`. Text in block scalars counts as well; nobody writes such lines.
fn line_depth(bytes: &[u8]) -> usize {
    let depth = |line: &[u8]| {
        let mut depth = 0;
        for word in line.split(|byte| matches!(byte, b' ' | b'\t' | b'\r')).filter(|word| !word.is_empty()) {
            if !matches!(word, b"-" | b"?" | b":") {
                break;
            }
            depth += 1;
        }
        depth
    };
    bytes.split(|byte| *byte == b'\n').map(depth).max().unwrap_or(0)
}

#[derive(Default)]
struct Findings {
    path: Vec<Segment>,
    duplicates: Vec<String>,
    values: usize,
    text_bytes: usize,
}

enum Segment {
    Key(String),
    Index(usize),
}

impl Findings {
    fn spend<E: Error>(&mut self, text_bytes: usize) -> Result<(), E> {
        self.values += 1;
        self.text_bytes += text_bytes;
        if self.values > MAX_VALUES || self.text_bytes > MAX_TEXT_BYTES {
            return Err(E::custom("document contains excessive aliasing"));
        }
        Ok(())
    }

    fn path(&self) -> String {
        let mut text = String::new();
        for segment in &self.path {
            match segment {
                Segment::Key(key) => {
                    if !text.is_empty() {
                        text.push('.');
                    }
                    text.push_str(key);
                }
                Segment::Index(index) => {
                    // Writing to a String cannot fail.
                    let _ = write!(text, "[{index}]");
                }
            }
        }
        text
    }
}

#[derive(Clone, Copy)]
struct Seed<'a> {
    findings: &'a RefCell<Findings>,
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        self.findings.borrow_mut().spend(0)?;
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        self.findings.borrow_mut().spend(0)?;
        Ok(value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        self.findings.borrow_mut().spend(0)?;
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        self.findings.borrow_mut().spend(0)?;
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("a number must be finite"))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        self.findings.borrow_mut().spend(value.len())?;
        Ok(value.into())
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        self.findings.borrow_mut().spend(0)?;
        Ok(Value::Null)
    }

    fn visit_none<E: Error>(self) -> Result<Value, E> {
        self.visit_unit()
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        self.findings.borrow_mut().spend(0)?;
        let mut items = Vec::new();
        loop {
            self.findings.borrow_mut().path.push(Segment::Index(items.len()));
            let item = seq.next_element_seed(self)?;
            self.findings.borrow_mut().path.pop();
            match item {
                Some(item) => items.push(item),
                None => return Ok(Value::Array(items)),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        self.findings.borrow_mut().spend(0)?;
        let mut map = Map::new();
        while let Some(key) = access.next_key_seed(Key)? {
            {
                let mut findings = self.findings.borrow_mut();
                findings.spend(key.len())?;
                findings.path.push(Segment::Key(key.clone()));
                if map.contains_key(&key) {
                    let path = findings.path();
                    if !findings.duplicates.contains(&path) {
                        findings.duplicates.push(path);
                    }
                }
            }
            let value = access.next_value_seed(self)?;
            self.findings.borrow_mut().path.pop();
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
}

/// A key: YAML may spell one as a number or a boolean, which counts as its text.
struct Key;

impl<'de> DeserializeSeed<'de> for Key {
    type Value = String;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<String, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Visitor<'_> for Key {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<String, E> {
        Ok(value.to_owned())
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<String, E> {
        Ok(value.to_string())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<String, E> {
        Ok(value.to_string())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<String, E> {
        Ok(value.to_string())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<String, E> {
        Ok(value.to_string())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_key_given_twice_is_named_with_its_path_and_the_last_value_counts() {
        let text = br#"{"spec":{"items":[{"a":1,"a":2}],"b":1,"b":2}}"#;
        let document = json(text).unwrap();
        assert_eq!(document.duplicates, ["spec.items[0].a", "spec.b"]);
        assert_eq!(document.value, json!({"spec": {"items": [{"a": 2}], "b": 2}}));
    }

    #[test]
    fn an_alias_bomb_is_refused() {
        let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for level in 1..12 {
            let previous = vec![format!("*a{}", level - 1); 10].join(", ");
            writeln!(text, "a{level}: &a{level} [{previous}]").unwrap();
        }
        assert_eq!(yaml(text.as_bytes()).unwrap_err().code().as_u16(), 400);
    }

    #[test]
    fn deep_nesting_is_refused() {
        let deep = "[".repeat(1_000_000);
        assert_eq!(json(deep.as_bytes()).unwrap_err().code().as_u16(), 400);
        assert_eq!(yaml(deep.as_bytes()).unwrap_err().code().as_u16(), 400);
        for sign in ["- ", "? ", "-  \t", "- ? "] {
            let refused = yaml(sign.repeat(500_000).as_bytes()).unwrap_err();
            assert!(refused.message().ends_with("nests too deeply"), "{sign}: {}", refused.message());
        }
        assert!(yaml(b"- - - a\n- - -- - - -\n").is_ok());
    }

    #[test]
    fn a_number_that_json_cannot_say_is_refused() {
        assert!(yaml(b"x: .nan").is_err());
    }
}
