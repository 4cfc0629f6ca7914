//! What messages look like, from the types that they are made of.

use dropmate_api::{
    Driver, Order, Webhook,
    events::{
        DELETED,
        catalog::{self, EventType, Subject},
        cloud::{CloudEvent, DriverData, OrderData, WebhookData},
    },
};
use schemars::{JsonSchema, SchemaGenerator, generate::SchemaSettings};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::reference;
use crate::track::View;

/// The first frame of a stream.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
struct HelloFrame {
    /// `hello`.
    #[serde(rename = "type")]
    type_: String,
    /// Tells this history of revisions from others: another installation, or one that was restored.
    epoch: String,
    /// The revision where the stream begins.
    seq: u64,
}

/// Where a driver was last: `driver.location`, told at most once a second and to nobody later.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
struct PositionFrame {
    /// `position`.
    #[serde(rename = "type")]
    type_: String,
    /// How far the stream has come.
    seq: u64,
    /// Who and where.
    data: Place,
}

/// Where a driver was last.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Place {
    /// The business.
    namespace: String,
    /// The driver's name.
    driver: String,
    /// Degrees north.
    latitude: f64,
    /// Degrees east.
    longitude: f64,
    /// When (business time).
    at: jiff::Timestamp,
    /// How fast.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    speed_meters_per_second: Option<f64>,
    /// Which way, in degrees from north.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    bearing: Option<f64>,
}

/// Forget what you know: this is all there is.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
struct ResetFrame {
    /// `reset`.
    #[serde(rename = "type")]
    type_: String,
    /// How far the stream has come; 0 while more pieces follow.
    seq: u64,
    /// A piece of it.
    data: Everything,
}

/// A piece of all there is.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
struct Everything {
    /// Orders, as a watch shows them.
    orders: Vec<Order>,
    /// Where drivers were last.
    positions: Vec<Place>,
    /// Whether more pieces follow.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    more: bool,
}

/// What a customer sees, anew whenever something else than the position has changed.
#[derive(Debug, JsonSchema)]
#[expect(dead_code, reason = "only its schema is wanted; the frame is written where it is sent")]
struct TrackedFrame {
    /// `reset` first, then `event`.
    #[serde(rename = "type")]
    type_: String,
    /// The revision that it is of.
    seq: u64,
    /// All of it.
    data: View,
}

/// Where the driver is, for a customer.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
struct ApproachFrame {
    /// `position`.
    #[serde(rename = "type")]
    type_: String,
    /// The revision that is known.
    seq: u64,
    /// Where and when.
    data: Approach,
}

/// Where the driver is.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
struct Approach {
    /// Degrees north.
    latitude: f64,
    /// Degrees east.
    longitude: f64,
    /// When (business time).
    at: jiff::Timestamp,
}

/// What a receiver of webhooks checks a request by, as Standard Webhooks say.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
struct WebhookHeaders {
    /// The same for every attempt: whoever has seen it has seen the message.
    #[serde(rename = "webhook-id")]
    id: String,
    /// When this attempt was made, in seconds since 1970. Refuse what is older than some minutes.
    #[serde(rename = "webhook-timestamp")]
    timestamp: String,
    /// `v1,` and the HMAC-SHA256 of id, timestamp and body with a point between them, in base64; several with a blank
    /// between them while the secret is changed.
    #[serde(rename = "webhook-signature")]
    signature: String,
}

/// All schemas, by name.
pub(super) fn all() -> Value {
    let mut settings = SchemaSettings::draft07();
    settings.definitions_path = "/components/schemas".into();
    settings.meta_schema = None;
    let mut generator = settings.into_generator();
    let mut schemas = Map::new();
    for event in catalog::ALL.iter().filter(|event| !event.transient) {
        schemas.insert(event.name.to_owned(), of_event(event, &mut generator));
    }
    schemas.insert("EventFrame".to_owned(), event_frame(&mut generator));
    for (name, tag, schema) in [
        ("HelloFrame", "hello", generator.root_schema_for::<HelloFrame>()),
        ("PositionFrame", "position", generator.root_schema_for::<PositionFrame>()),
        ("ResetFrame", "reset", generator.root_schema_for::<ResetFrame>()),
        ("ApproachFrame", "position", generator.root_schema_for::<ApproachFrame>()),
    ] {
        let mut schema = bare(schema.into());
        schema["properties"]["type"] = json!({"const": tag});
        schemas.insert(name.to_owned(), schema);
    }
    let mut tracked = bare(generator.root_schema_for::<TrackedFrame>().into());
    tracked["properties"]["type"] = json!({"enum": ["reset", "event"]});
    schemas.insert("TrackedFrame".to_owned(), tracked);
    schemas.insert("WebhookHeaders".to_owned(), bare(generator.root_schema_for::<WebhookHeaders>().into()));
    schemas.extend(generator.take_definitions(true));
    for kind in ["Order", "Driver", "Webhook"] {
        // What all objects have; the derived types leave it out.
        if let Some(schema) = schemas.get_mut(kind) {
            schema["properties"]["metadata"] = json!({
                "type": "object", "required": ["name", "namespace", "uid", "resourceVersion"],
                "description": "As in Kubernetes: name, namespace, uid, resourceVersion, labels, annotations, …",
            });
        }
    }
    schemas.into()
}

/// An event of that type, whole: its envelope and its particulars.
fn of_event(event: &EventType, generator: &mut SchemaGenerator) -> Value {
    let schema = match event.subject {
        Subject::Order => generator.subschema_for::<CloudEvent<OrderData<Order>>>(),
        Subject::Driver => generator.subschema_for::<CloudEvent<DriverData<Driver>>>(),
        Subject::Webhook => generator.subschema_for::<CloudEvent<WebhookData<Webhook>>>(),
    };
    typed(&schema.into(), event)
}

fn typed(schema: &Value, event: &EventType) -> Value {
    json!({
        "title": event.name,
        "description": event.summary,
        "allOf": [schema, {"properties": {
            "type": {"const": event.name},
            "specversion": {"const": "1.0"},
            "id": {"pattern": "^evt_[0-9a-f]+_[0-9]+_[0-9]+$"},
            "sequence": {"pattern": "^[0-9]+$"},
        }}],
    })
}

/// An event as a stream tells it. What is no longer there for the client is told by its names alone.
fn event_frame(generator: &mut SchemaGenerator) -> Value {
    let of_orders = catalog::ALL.iter().filter(|event| event.subject == Subject::Order);
    let gone = generator.subschema_for::<CloudEvent<OrderData<Value>>>();
    let data: Vec<Value> = of_orders
        .map(|event| {
            if event.name == DELETED {
                typed(&gone.clone().into(), event)
            } else {
                reference(&format!("components/schemas/{}", event.name))
            }
        })
        .collect();
    json!({
        "type": "object",
        "description": "What happened to an order.",
        "required": ["type", "seq", "data"],
        "properties": {
            "type": {"const": "event"},
            "seq": {"type": "integer", "minimum": 0, "description": "How far the stream has come: come back with it."},
            "data": {"oneOf": data},
        },
    })
}

/// Without what only a document of its own has.
fn bare(mut schema: Value) -> Value {
    if let Some(fields) = schema.as_object_mut() {
        fields.retain(|name, _| !["$schema", "definitions", "components"].contains(&name.as_str()));
    }
    schema
}
