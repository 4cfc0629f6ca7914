use std::collections::BTreeSet;

use dropmate_api::events::{catalog, samples};
use jsonschema::Validator;
use serde_json::{Value, json};

use super::document;

/// The schema at a pointer of the document, with all that it refers to.
fn validator(document: &Value, pointer: &str) -> Validator {
    let schema = json!({"$ref": pointer, "components": document["components"], "channels": document["channels"]});
    jsonschema::draft7::new(&schema).unwrap_or_else(|error| panic!("{pointer}: {error}"))
}

fn told(validator: &Validator, instance: &Value) -> Vec<String> {
    validator.iter_errors(instance).map(|error| format!("{}: {error}", error.instance_path())).collect()
}

#[test]
fn every_sample_is_as_its_schema_says_and_what_is_wrong_is_not() {
    let document = document();
    let samples = samples::all();
    assert_eq!(samples.len(), catalog::ALL.iter().filter(|event| !event.transient).count());
    for sample in samples {
        let validator = validator(&document, &format!("#/components/schemas/{}", sample.type_));
        let sample = json!(sample);
        assert_eq!(told(&validator, &sample), Vec::<String>::new(), "{sample}");
        let wrong = |change: fn(&mut Value)| {
            let mut changed = sample.clone();
            change(&mut changed);
            !validator.is_valid(&changed)
        };
        assert!(wrong(|event| event["type"] = "order.eaten".into()), "{sample}");
        assert!(wrong(|event| event["id"] = "7".into()), "{sample}");
        assert!(wrong(|event| event["time"] = 7.into()), "{sample}");
        assert!(wrong(|event| event["data"] = json!({})), "{sample}");
        assert!(wrong(|event| drop(event.as_object_mut().unwrap().remove("subject"))), "{sample}");
        let spec = |event: &mut Value| {
            let object = event["data"].as_object_mut().unwrap().values_mut().find(|value| value.get("spec").is_some());
            object.unwrap()["spec"] = "none".into();
        };
        assert!(wrong(spec), "the object is looked at too: {sample}");
        // As a stream tells it.
        if sample["data"].get("order").is_some() {
            let frame = json!({"type": "event", "seq": 1042, "data": sample});
            let frames = self::validator(&document, "#/components/schemas/EventFrame");
            assert_eq!(told(&frames, &frame), Vec::<String>::new());
        }
    }
}

#[test]
fn frames_are_as_their_schemas_say() {
    let document = document();
    let gone = json!({"type": "event", "seq": 9, "data": {
        "specversion": "1.0", "id": "evt_3f1c0ab94d21_9_0", "source": "/apis/dropmate.dev/v1/namespaces/acme/orders",
        "type": "order.deleted", "subject": "acme/o-1", "time": "2026-11-29T12:05:00Z", "datacontenttype": "application/json",
        "sequence": "9", "data": {"phase": "Assigned", "order": {"metadata": {"name": "o-1"}}},
    }});
    let reset = json!({"type": "reset", "seq": 0, "data": {"orders": [samples::of("order.created").unwrap().data["order"]],
        "positions": [super::channels::position()["data"]], "more": true}});
    for (schema, frame) in [
        ("HelloFrame", json!({"type": "hello", "epoch": "3f1c0ab94d21", "seq": 1041})),
        ("PositionFrame", super::channels::position()),
        ("EventFrame", gone),
        ("ResetFrame", reset),
    ] {
        let validator = validator(&document, &format!("#/components/schemas/{schema}"));
        assert_eq!(told(&validator, &frame), Vec::<String>::new(), "{schema}");
        let mut other = frame.clone();
        other["type"] = "other".into();
        assert!(!validator.is_valid(&other), "{schema}");
    }
    // A message with an example is as it says.
    let position = validator(&document, "#/channels/stream/messages/position/payload");
    assert!(position.is_valid(&document["channels"]["stream"]["messages"]["position"]["examples"][0]["payload"]));
}

/// All references, with where they stand.
fn references(value: &Value, at: &str, found: &mut Vec<(String, String)>) {
    match value {
        Value::Object(fields) => {
            if let Some(Value::String(target)) = fields.get("$ref") {
                found.push((at.to_owned(), target.clone()));
            }
            for (name, value) in fields {
                references(value, &format!("{at}/{name}"), found);
            }
        }
        Value::Array(items) => {
            for (index, value) in items.iter().enumerate() {
                references(value, &format!("{at}/{index}"), found);
            }
        }
        _ => {}
    }
}

#[test]
fn the_document_is_put_together_as_asyncapi_3_wants_it() {
    let document = document();
    let fields = |value: &Value| -> BTreeSet<String> { value.as_object().unwrap().keys().cloned().collect() };
    let only = |value: &Value, allowed: &[&str], required: &[&str], at: &str| {
        let fields = fields(value);
        let unknown: Vec<_> = fields.iter().filter(|field| !allowed.contains(&field.as_str())).collect();
        assert!(unknown.is_empty(), "{at}: {unknown:?}");
        assert!(required.iter().all(|field| fields.contains(*field)), "{at}: {fields:?}");
    };
    let root = ["asyncapi", "id", "info", "servers", "defaultContentType", "channels", "operations", "components"];
    only(&document, &root, &["asyncapi", "info"], "");
    assert_eq!(document["asyncapi"], "3.0.0");
    only(
        &document["info"],
        &["title", "version", "description", "license", "contact", "tags"],
        &["title", "version"],
        "info",
    );
    for (name, server) in document["servers"].as_object().unwrap() {
        let allowed = [
            "host",
            "protocol",
            "protocolVersion",
            "pathname",
            "description",
            "title",
            "summary",
            "variables",
            "security",
        ];
        only(server, &allowed, &["host", "protocol"], name);
    }
    let mut channels = 0;
    for (name, channel) in document["channels"].as_object().unwrap() {
        let allowed =
            ["address", "messages", "title", "summary", "description", "servers", "parameters", "tags", "bindings"];
        only(channel, &allowed, &["address"], name);
        assert!(!channel["messages"].as_object().unwrap().is_empty(), "{name}");
        let address = channel["address"].as_str().unwrap_or_default();
        let named: BTreeSet<String> =
            address.split('{').skip(1).map(|part| part.split('}').next().unwrap().to_owned()).collect();
        let known = channel.get("parameters").map(fields).unwrap_or_default();
        assert_eq!(named, known, "{name}");
        channels += 1;
    }
    let mut used = BTreeSet::new();
    for (name, operation) in document["operations"].as_object().unwrap() {
        let allowed =
            ["action", "channel", "title", "summary", "description", "messages", "bindings", "security", "tags"];
        only(operation, &allowed, &["action", "channel"], name);
        assert!(["send", "receive"].contains(&operation["action"].as_str().unwrap()));
        let channel = operation["channel"]["$ref"].as_str().unwrap();
        used.insert(channel.to_owned());
        for message in operation["messages"].as_array().unwrap() {
            let message = message["$ref"].as_str().unwrap();
            assert!(message.starts_with(&format!("{channel}/messages/")), "{name}: {message} is of another channel");
        }
    }
    assert_eq!(used.len(), channels, "every channel is used");
    for (name, message) in document["components"]["messages"].as_object().unwrap() {
        let allowed = [
            "name",
            "title",
            "summary",
            "description",
            "contentType",
            "headers",
            "payload",
            "examples",
            "tags",
            "bindings",
        ];
        only(message, &allowed, &["name", "payload", "examples"], name);
        let payload = message["payload"]["$ref"].as_str().unwrap();
        assert!(
            message["examples"]
                .as_array()
                .unwrap()
                .iter()
                .all(|example| validator(&document, payload).is_valid(&example["payload"]))
        );
    }
    for part in ["messages", "schemas", "securitySchemes"] {
        for name in fields(&document["components"][part]) {
            assert!(name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte)), "{part}: {name}");
        }
    }
    let mut found = Vec::new();
    references(&document, "", &mut found);
    assert!(found.len() > 50);
    for (at, target) in found {
        let pointer = target.strip_prefix('#').unwrap_or_else(|| panic!("{at}: {target} is elsewhere"));
        assert!(document.pointer(pointer).is_some(), "{at}: {target} is not there");
    }
}
