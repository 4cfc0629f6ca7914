//! `/openapi/v2` in protobuf, which older clients read and nothing else: the message `openapi.v2.Document`, with the
//! fields of it that our document has. Messages that only wrap another are spelled out, since the wire shows them.

use prost::Message;
use serde_json::{Map, Value};

#[derive(Clone, PartialEq, Message)]
pub(super) struct Document {
    #[prost(string, tag = "1")]
    pub(super) swagger: String,
    #[prost(message, optional, tag = "2")]
    info: Option<Info>,
    #[prost(message, optional, tag = "8")]
    paths: Option<Paths>,
    #[prost(message, optional, tag = "9")]
    pub(super) definitions: Option<Schemas>,
}

#[derive(Clone, PartialEq, Message)]
struct Info {
    #[prost(string, tag = "1")]
    title: String,
    #[prost(string, tag = "2")]
    version: String,
}

#[derive(Clone, PartialEq, Message)]
struct Paths {
    #[prost(message, repeated, tag = "2")]
    path: Vec<NamedPathItem>,
}

#[derive(Clone, PartialEq, Message)]
struct NamedPathItem {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, optional, tag = "2")]
    value: Option<PathItem>,
}

#[derive(Clone, PartialEq, Message)]
struct PathItem {
    #[prost(message, optional, tag = "2")]
    get: Option<Operation>,
    #[prost(message, optional, tag = "3")]
    put: Option<Operation>,
    #[prost(message, optional, tag = "4")]
    post: Option<Operation>,
    #[prost(message, optional, tag = "5")]
    delete: Option<Operation>,
    #[prost(message, optional, tag = "8")]
    patch: Option<Operation>,
}

#[derive(Clone, PartialEq, Message)]
struct Operation {
    #[prost(string, tag = "3")]
    description: String,
    #[prost(string, tag = "5")]
    id: String,
    #[prost(string, repeated, tag = "6")]
    produces: Vec<String>,
    #[prost(string, repeated, tag = "7")]
    consumes: Vec<String>,
    #[prost(message, repeated, tag = "8")]
    parameters: Vec<ParametersItem>,
    #[prost(message, optional, tag = "9")]
    responses: Option<Responses>,
    #[prost(message, repeated, tag = "13")]
    extensions: Vec<NamedAny>,
}

#[derive(Clone, PartialEq, Message)]
struct ParametersItem {
    #[prost(message, optional, tag = "1")]
    parameter: Option<Parameter>,
}

#[derive(Clone, PartialEq, Message)]
struct Parameter {
    #[prost(message, optional, tag = "1")]
    body: Option<BodyParameter>,
    #[prost(message, optional, tag = "2")]
    other: Option<NonBodyParameter>,
}

#[derive(Clone, PartialEq, Message)]
struct BodyParameter {
    #[prost(string, tag = "1")]
    description: String,
    #[prost(string, tag = "2")]
    name: String,
    #[prost(string, tag = "3")]
    place: String,
    #[prost(bool, tag = "4")]
    required: bool,
    #[prost(message, optional, tag = "5")]
    schema: Option<Schema>,
}

#[derive(Clone, PartialEq, Message)]
struct NonBodyParameter {
    #[prost(message, optional, tag = "3")]
    query: Option<QueryParameter>,
    #[prost(message, optional, tag = "4")]
    path: Option<PathParameter>,
}

#[derive(Clone, PartialEq, Message)]
struct QueryParameter {
    #[prost(string, tag = "2")]
    place: String,
    #[prost(string, tag = "3")]
    description: String,
    #[prost(string, tag = "4")]
    name: String,
    #[prost(string, tag = "6")]
    type_: String,
}

#[derive(Clone, PartialEq, Message)]
struct PathParameter {
    #[prost(bool, tag = "1")]
    required: bool,
    #[prost(string, tag = "2")]
    place: String,
    #[prost(string, tag = "3")]
    description: String,
    #[prost(string, tag = "4")]
    name: String,
    #[prost(string, tag = "5")]
    type_: String,
}

#[derive(Clone, PartialEq, Message)]
struct Responses {
    #[prost(message, repeated, tag = "1")]
    codes: Vec<NamedResponse>,
}

#[derive(Clone, PartialEq, Message)]
struct NamedResponse {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, optional, tag = "2")]
    value: Option<ResponseValue>,
}

#[derive(Clone, PartialEq, Message)]
struct ResponseValue {
    #[prost(message, optional, tag = "1")]
    response: Option<Response>,
}

#[derive(Clone, PartialEq, Message)]
struct Response {
    #[prost(string, tag = "1")]
    description: String,
    #[prost(message, optional, tag = "2")]
    schema: Option<SchemaItem>,
}

#[derive(Clone, PartialEq, Message)]
struct SchemaItem {
    #[prost(message, optional, tag = "1")]
    schema: Option<Schema>,
}

/// `Definitions` and `Properties` are alike.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Schemas {
    #[prost(message, repeated, tag = "1")]
    pub(super) named: Vec<NamedSchema>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct NamedSchema {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(message, optional, tag = "2")]
    pub(super) value: Option<Schema>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Schema {
    #[prost(string, tag = "1")]
    reference: String,
    #[prost(string, tag = "2")]
    format: String,
    #[prost(string, tag = "4")]
    pub(super) description: String,
    #[prost(message, optional, tag = "5")]
    default: Option<Any>,
    #[prost(double, tag = "6")]
    multiple_of: f64,
    #[prost(double, tag = "7")]
    maximum: f64,
    #[prost(bool, tag = "8")]
    exclusive_maximum: bool,
    #[prost(double, tag = "9")]
    minimum: f64,
    #[prost(bool, tag = "10")]
    exclusive_minimum: bool,
    #[prost(int64, tag = "11")]
    max_length: i64,
    #[prost(int64, tag = "12")]
    min_length: i64,
    #[prost(string, tag = "13")]
    pattern: String,
    #[prost(int64, tag = "14")]
    max_items: i64,
    #[prost(int64, tag = "15")]
    min_items: i64,
    #[prost(bool, tag = "16")]
    unique_items: bool,
    #[prost(int64, tag = "17")]
    max_properties: i64,
    #[prost(int64, tag = "18")]
    min_properties: i64,
    #[prost(string, repeated, tag = "19")]
    required: Vec<String>,
    #[prost(message, repeated, tag = "20")]
    enumeration: Vec<Any>,
    #[prost(message, optional, boxed, tag = "21")]
    additional: Option<Box<Additional>>,
    #[prost(message, optional, tag = "22")]
    type_: Option<Strings>,
    #[prost(message, optional, tag = "23")]
    items: Option<Items>,
    #[prost(message, optional, tag = "25")]
    pub(super) properties: Option<Schemas>,
    #[prost(message, repeated, tag = "31")]
    pub(super) extensions: Vec<NamedAny>,
}

#[derive(Clone, PartialEq, Message)]
struct Additional {
    #[prost(message, optional, boxed, tag = "1")]
    schema: Option<Box<Schema>>,
    #[prost(bool, optional, tag = "2")]
    boolean: Option<bool>,
}

#[derive(Clone, PartialEq, Message)]
struct Items {
    #[prost(message, repeated, tag = "1")]
    schema: Vec<Schema>,
}

#[derive(Clone, PartialEq, Message)]
struct Strings {
    #[prost(string, repeated, tag = "1")]
    value: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct NamedAny {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(message, optional, tag = "2")]
    pub(super) value: Option<Any>,
}

/// A value as YAML text, which JSON is.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Any {
    #[prost(string, tag = "2")]
    pub(super) yaml: String,
}

impl Any {
    fn of(value: &Value) -> Self {
        Self { yaml: value.to_string() }
    }
}

/// The document's message.
pub(super) fn encode(document: &Value) -> Vec<u8> {
    let path = |(name, item): (&String, &Value)| NamedPathItem { name: name.clone(), value: Some(path_item(item)) };
    Document {
        swagger: text(document, "swagger"),
        info: Some(Info { title: text(&document["info"], "title"), version: text(&document["info"], "version") }),
        paths: Some(Paths { path: entries(&document["paths"]).map(path).collect() }),
        definitions: Some(schemas(&document["definitions"])),
    }
    .encode_to_vec()
}

fn entries(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flat_map(Map::iter)
}

fn text(value: &Value, field: &str) -> String {
    value[field].as_str().unwrap_or_default().to_owned()
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn extensions(value: &Value) -> Vec<NamedAny> {
    entries(value)
        .filter(|(name, _)| name.starts_with("x-"))
        .map(|(name, value)| NamedAny { name: name.clone(), value: Some(Any::of(value)) })
        .collect()
}

fn path_item(item: &Value) -> PathItem {
    let operation = |method: &str| item.get(method).map(operation);
    PathItem {
        get: operation("get"),
        put: operation("put"),
        post: operation("post"),
        delete: operation("delete"),
        patch: operation("patch"),
    }
}

fn operation(value: &Value) -> Operation {
    let response = |(code, response): (&String, &Value)| {
        let schema = response.get("schema").map(|held| SchemaItem { schema: Some(schema(held)) });
        let response = Response { description: text(response, "description"), schema };
        NamedResponse { name: code.clone(), value: Some(ResponseValue { response: Some(response) }) }
    };
    Operation {
        description: text(value, "description"),
        id: text(value, "operationId"),
        produces: texts(&value["produces"]),
        consumes: texts(&value["consumes"]),
        parameters: value["parameters"].as_array().into_iter().flatten().map(parameter).collect(),
        responses: Some(Responses { codes: entries(&value["responses"]).map(response).collect() }),
        extensions: extensions(value),
    }
}

fn parameter(value: &Value) -> ParametersItem {
    let (name, description) = (text(value, "name"), text(value, "description"));
    let (place, type_) = (text(value, "in"), text(value, "type"));
    let required = value["required"].as_bool().unwrap_or(false);
    let parameter = match place.as_str() {
        "body" => {
            let schema = value.get("schema").map(schema);
            Parameter { body: Some(BodyParameter { description, name, place, required, schema }), other: None }
        }
        "path" => {
            let path = Some(PathParameter { required, place, description, name, type_ });
            Parameter { body: None, other: Some(NonBodyParameter { query: None, path }) }
        }
        _ => {
            let query = Some(QueryParameter { place, description, name, type_ });
            Parameter { body: None, other: Some(NonBodyParameter { query, path: None }) }
        }
    };
    ParametersItem { parameter: Some(parameter) }
}

fn schemas(value: &Value) -> Schemas {
    let named = |(name, held): (&String, &Value)| NamedSchema { name: name.clone(), value: Some(schema(held)) };
    Schemas { named: entries(value).map(named).collect() }
}

fn schema(value: &Value) -> Schema {
    let number = |field: &str| value[field].as_f64().unwrap_or_default();
    let whole = |field: &str| value[field].as_i64().unwrap_or_default();
    let flag = |field: &str| value[field].as_bool().unwrap_or_default();
    let additional = value.get("additionalProperties").map(|held| {
        Box::new(match held {
            Value::Bool(boolean) => Additional { schema: None, boolean: Some(*boolean) },
            held => Additional { schema: Some(Box::new(schema(held))), boolean: None },
        })
    });
    Schema {
        reference: text(value, "$ref"),
        format: text(value, "format"),
        description: text(value, "description"),
        default: value.get("default").map(Any::of),
        multiple_of: number("multipleOf"),
        maximum: number("maximum"),
        exclusive_maximum: flag("exclusiveMaximum"),
        minimum: number("minimum"),
        exclusive_minimum: flag("exclusiveMinimum"),
        max_length: whole("maxLength"),
        min_length: whole("minLength"),
        pattern: text(value, "pattern"),
        max_items: whole("maxItems"),
        min_items: whole("minItems"),
        unique_items: flag("uniqueItems"),
        max_properties: whole("maxProperties"),
        min_properties: whole("minProperties"),
        required: texts(&value["required"]),
        enumeration: value["enum"].as_array().into_iter().flatten().map(Any::of).collect(),
        additional,
        type_: value["type"].as_str().map(|type_| Strings { value: vec![type_.to_owned()] }),
        items: value.get("items").map(|held| Items { schema: vec![schema(held)] }),
        properties: value.get("properties").map(schemas),
        extensions: extensions(value),
    }
}
