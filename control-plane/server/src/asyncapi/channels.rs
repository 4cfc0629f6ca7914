//! Where what is told.

use dropmate_api::events::{
    catalog::{self, EventType},
    samples,
};
use serde_json::{Map, Value, json};

use super::reference;

/// Kept events: those that can be told later.
fn kept() -> impl Iterator<Item = &'static EventType> {
    catalog::ALL.iter().filter(|event| !event.transient)
}

pub(super) fn servers() -> Value {
    let host =
        json!({"default": "localhost:7443", "description": "Where the control plane is reached (`--public-url`)."});
    json!({
        "controlPlane": {
            "host": "{host}", "protocol": "wss",
            "description": "The control plane, over TLS.",
            "variables": {"host": host},
            "security": [reference("components/securitySchemes/bearer"), reference("components/securitySchemes/ticket")],
        },
        "redis": {
            "host": "{host}", "protocol": "redis",
            "description": "The Redis that replicas share, where there is one (`--redis-url`). For programs of the operator alone: it knows nobody's rights.",
            "variables": {"host": {"default": "localhost:6379", "description": "Where Redis is reached."}},
        },
    })
}

pub(super) fn channels() -> Value {
    let all: Map<String, Value> = kept()
        .map(|event| (event.name.to_owned(), reference(&format!("components/messages/{}", event.name))))
        .collect();
    json!({
        "webhooks": {
            "address": null,
            "title": "Webhooks",
            "description": "A POST to the URL of every Webhook that wants the event, signed as Standard Webhooks say. Each Webhook \
                has a queue of its own; 2xx within 15 seconds is success, everything else is tried again for a day and a half.",
            "messages": all,
        },
        "stream": {
            "address": "/v1/stream",
            "title": "Live updates",
            "description": "What happens to orders and where drivers are, as the caller may see it. Come back with the `epoch` of \
                `hello` and the newest `seq`: what was missed comes first.",
            "servers": [reference("servers/controlPlane")],
            "messages": {
                "hello": frame("HelloFrame", "The first frame", Vec::new()),
                "event": frame("EventFrame", "What happened to an order", Vec::new()),
                "position": frame("PositionFrame", "Where a driver is", vec![position()]),
                "reset": frame("ResetFrame", "All there is", Vec::new()),
            },
            "bindings": {"ws": {
                "method": "GET",
                "query": {
                    "type": "object",
                    "properties": {
                        "namespace": {"type": "string", "description": "Which business; only global roles may leave it out."},
                        "epoch": {"type": "string", "description": "Of the `hello` that the client has."},
                        "seq": {"type": "string", "pattern": "^[0-9]+$", "description": "Of the last frame that it has."},
                        "ticket": {"type": "string", "description": "Instead of a token, for browsers."},
                    },
                },
                "bindingVersion": "0.1.0",
            }},
        },
        "redis": {
            "address": "dropmate:{database}:events",
            "title": "The stream in Redis",
            "description": "Every event of every business, with its revision and number as the id of the entry: each is there once, in \
                order, and about the newest 100,000 are kept. Read it with XREAD or a consumer group.",
            "servers": [reference("servers/redis")],
            "parameters": {"database": {"default": "0", "description": "The database that `--redis-url` names."}},
            "messages": {"entry": {
                "title": "An entry",
                "payload": {
                    "type": "object",
                    "required": ["type", "event"],
                    "properties": {
                        "type": {"type": "string", "enum": kept().map(|event| event.name).collect::<Vec<_>>()},
                        "event": {
                            "type": "string", "contentMediaType": "application/cloudevents+json",
                            "description": "The event, as webhooks carry it.",
                        },
                    },
                },
            }},
        },
    })
}

pub(super) fn operations() -> Value {
    let to = |channel: &str| reference(&format!("channels/{channel}"));
    let of = |channel: &str, messages: &[&str]| -> Vec<Value> {
        messages.iter().map(|message| reference(&format!("channels/{channel}/messages/{message}"))).collect()
    };
    let all: Vec<&str> = kept().map(|event| event.name).collect();
    json!({
        "postEvent": {
            "action": "send", "channel": to("webhooks"), "title": "Events to webhooks",
            "summary": "DropMate posts an event to a Webhook.",
            "messages": of("webhooks", &all),
            "bindings": {"http": {"method": "POST", "bindingVersion": "0.3.0"}},
        },
        "stream": {
            "action": "send", "channel": to("stream"), "title": "Frames to clients",
            "summary": "DropMate tells a client what it may see. Clients say nothing.",
            "messages": of("stream", &["hello", "event", "position", "reset"]),
        },
        "publish": {
            "action": "send", "channel": to("redis"), "title": "Events to Redis",
            "summary": "One replica appends events to a stream.",
            "messages": of("redis", &["entry"]),
        },
    })
}

/// Each event as a message of its own, with an example.
pub(super) fn event_messages() -> Value {
    let message = |event: &EventType| {
        let example =
            samples::of(event.name).map(|sample| json!({"name": event.name.replace('.', "-"), "payload": sample}));
        json!({
            "name": event.name,
            "title": event.name,
            "summary": event.summary,
            "contentType": "application/json",
            "headers": reference("components/schemas/WebhookHeaders"),
            "payload": reference(&format!("components/schemas/{}", event.name)),
            "examples": example.into_iter().collect::<Vec<_>>(),
        })
    };
    kept().map(|event| (event.name.to_owned(), message(event))).collect::<Map<_, _>>().into()
}

fn frame(schema: &str, title: &str, examples: Vec<Value>) -> Value {
    let examples: Vec<Value> = examples.into_iter().map(|payload| json!({"payload": payload})).collect();
    let mut message = json!({
        "name": schema, "title": title, "contentType": "application/json",
        "payload": reference(&format!("components/schemas/{schema}")),
    });
    if !examples.is_empty() {
        message["examples"] = examples.into();
    }
    message
}

pub(super) fn position() -> Value {
    json!({"type": "position", "seq": 1042, "data": {
        "namespace": "acme", "driver": "sam", "latitude": 43.65, "longitude": -79.36, "at": "2026-11-29T12:05:03Z",
    }})
}
