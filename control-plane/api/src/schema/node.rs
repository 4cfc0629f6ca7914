//! The compiled form of a structural schema.

use std::collections::BTreeMap;

use regex::Regex;
use serde_json::{Value, json};

use super::format::Format;

/// One level of a compiled schema.
#[derive(Debug, Default)]
pub(crate) struct Node {
    pub(crate) type_: Type,
    pub(super) nullable: bool,
    /// `x-kubernetes-preserve-unknown-fields`: what `properties` does not name is kept.
    pub(crate) preserve_unknown: bool,
    pub(super) default: Option<Value>,
    pub(crate) properties: BTreeMap<String, Node>,
    pub(crate) additional: Option<Box<Node>>,
    pub(crate) map: MapType,
    pub(super) required: Vec<String>,
    pub(crate) items: Option<Box<Node>>,
    pub(crate) list: ListType,
    /// Items of a set or of a keyed list may repeat: an object's metadata is checked by rules of its own.
    pub(super) repeats: bool,
    pub(super) enumeration: Option<Vec<Value>>,
    pub(super) format: Option<Format>,
    pub(super) pattern: Option<Regex>,
    pub(super) length: Bounds,
    pub(super) count: Bounds,
    pub(super) size: Bounds,
    pub(super) minimum: Option<Limit>,
    pub(super) maximum: Option<Limit>,
    pub(super) multiple_of: Option<f64>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Type {
    /// No `type`: anything goes.
    #[default]
    Any,
    Object,
    Array,
    String,
    Integer,
    Number,
    Boolean,
    /// `x-kubernetes-int-or-string`.
    IntOrString,
}

/// `x-kubernetes-map-type`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum MapType {
    #[default]
    Granular,
    /// The whole has one owner.
    Atomic,
}

/// `x-kubernetes-list-type`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) enum ListType {
    #[default]
    Atomic,
    Set,
    /// With its `x-kubernetes-list-map-keys`.
    Map(Vec<String>),
}

/// Least and most, both inclusive.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Bounds {
    pub(super) min: Option<usize>,
    pub(super) max: Option<usize>,
}

/// A numeric limit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limit {
    pub(super) value: f64,
    pub(super) exclusive: bool,
}

impl Node {
    /// Compiles the schema of a whole object.
    pub(super) fn root(json: &Value) -> Self {
        let mut node = Self::compile(json);
        node.embed();
        node.type_ = Type::Object;
        node
    }

    fn compile(json: &Value) -> Self {
        let flag = |name: &str| json[name].as_bool().unwrap_or(false);
        let size = |name: &str| json[name].as_u64().map(|n| usize::try_from(n).unwrap_or(usize::MAX));
        let bounds = |min: &str, max: &str| Bounds { min: size(min), max: size(max) };
        let limit =
            |name: &str, exclusive: &str| json[name].as_f64().map(|value| Limit { value, exclusive: flag(exclusive) });
        let mut node = Self {
            type_: if flag("x-kubernetes-int-or-string") {
                Type::IntOrString
            } else {
                match json["type"].as_str() {
                    Some("object") => Type::Object,
                    Some("array") => Type::Array,
                    Some("string") => Type::String,
                    Some("integer") => Type::Integer,
                    Some("number") => Type::Number,
                    Some("boolean") => Type::Boolean,
                    _ => Type::Any,
                }
            },
            nullable: flag("nullable"),
            preserve_unknown: flag("x-kubernetes-preserve-unknown-fields"),
            default: json.get("default").cloned(),
            properties: json["properties"]
                .as_object()
                .map(|fields| fields.iter().map(|(name, schema)| (name.clone(), Self::compile(schema))).collect())
                .unwrap_or_default(),
            additional: match &json["additionalProperties"] {
                schema @ Value::Object(_) => Some(Box::new(Self::compile(schema))),
                Value::Bool(true) => Some(Box::new(Self { preserve_unknown: true, ..Self::default() })),
                _ => None,
            },
            map: if json["x-kubernetes-map-type"] == "atomic" { MapType::Atomic } else { MapType::Granular },
            required: strings(&json["required"]),
            items: json.get("items").map(|schema| Box::new(Self::compile(schema))),
            list: match json["x-kubernetes-list-type"].as_str() {
                Some("set") => ListType::Set,
                Some("map") => ListType::Map(strings(&json["x-kubernetes-list-map-keys"])),
                _ => ListType::Atomic,
            },
            repeats: false,
            enumeration: json["enum"].as_array().cloned(),
            format: json["format"].as_str().and_then(Format::named),
            pattern: json["pattern"]
                .as_str()
                .map(|pattern| Regex::new(pattern).expect("patterns of our schemas are regular expressions")),
            length: bounds("minLength", "maxLength"),
            count: bounds("minItems", "maxItems"),
            size: bounds("minProperties", "maxProperties"),
            minimum: limit("minimum", "exclusiveMinimum"),
            maximum: limit("maximum", "exclusiveMaximum"),
            multiple_of: json["multipleOf"].as_f64().filter(|factor| *factor > 0.0),
        };
        if flag("x-kubernetes-embedded-resource") {
            node.embed();
        }
        node
    }

    /// The schema of the field (or map value) of that name, if it is known.
    pub(crate) fn child(&self, name: &str) -> Option<&Self> {
        self.properties.get(name).or(self.additional.as_deref())
    }

    /// Makes the three fields of every Kubernetes object known.
    fn embed(&mut self) {
        for name in ["apiVersion", "kind"] {
            self.properties.entry(name.to_owned()).or_insert(Self { type_: Type::String, ..Self::default() });
        }
        let mut metadata = Self::compile(&object_meta());
        for list in metadata.properties.values_mut() {
            list.repeats = true;
        }
        self.properties.insert("metadata".to_owned(), metadata);
    }
}

fn strings(json: &Value) -> Vec<String> {
    json.as_array().into_iter().flatten().filter_map(|s| s.as_str().map(str::to_owned)).collect()
}

/// The fields of ObjectMeta.
fn object_meta() -> Value {
    let text = json!({"type": "string"});
    let texts = json!({"type": "object", "additionalProperties": text});
    json!({"type": "object", "properties": {
        "name": text, "generateName": text, "namespace": text, "selfLink": text, "uid": text, "resourceVersion": text,
        "generation": {"type": "integer", "format": "int64"},
        "creationTimestamp": {"type": "string", "nullable": true, "format": "date-time"},
        "deletionTimestamp": {"type": "string", "nullable": true, "format": "date-time"},
        "deletionGracePeriodSeconds": {"type": "integer", "format": "int64"},
        "labels": texts,
        "annotations": texts,
        "finalizers": {"type": "array", "x-kubernetes-list-type": "set", "items": text},
        "ownerReferences": {
            "type": "array",
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["uid"],
            "items": {"type": "object", "x-kubernetes-map-type": "atomic", "properties": {
                "apiVersion": text, "kind": text, "name": text, "uid": text,
                "controller": {"type": "boolean"}, "blockOwnerDeletion": {"type": "boolean"},
            }},
        },
        "managedFields": {"type": "array", "items": {"type": "object", "properties": {
            "manager": text, "operation": text, "apiVersion": text, "time": {"type": "string", "format": "date-time"},
            "fieldsType": text, "subresource": text,
            "fieldsV1": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
        }}},
    }})
}
