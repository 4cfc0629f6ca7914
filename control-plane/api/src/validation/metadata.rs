//! Validation of `metadata`.

use serde_json::{Map, Value};

use super::{Cause, names};
use crate::registry::Kind;

/// Total of all annotations' keys and values.
const ANNOTATIONS_BYTES_MAX: usize = 256 * 1024;

/// Everything wrong with `metadata`, by the rules of Kubernetes. Fields of a wrong type are the schema's to report.
pub fn object_meta(object: &Value, kind: &Kind) -> Vec<Cause> {
    let meta = &object["metadata"];
    let mut causes = Vec::new();
    let name_rule =
        if kind.group.is_empty() && kind.kind == "Namespace" { names::dns_label } else { names::dns_subdomain };

    let generate_name = text(meta, "generateName");
    if !generate_name.is_empty() {
        // The suffix will follow, so a dash at the end is fine.
        let masked = match generate_name.strip_suffix('-') {
            Some(head) if !head.is_empty() => format!("{head}a"),
            _ => generate_name.to_owned(),
        };
        for rule in name_rule(&masked) {
            causes.push(Cause::invalid("metadata.generateName", &meta["generateName"], &rule));
        }
    }
    let name = text(meta, "name");
    if name.is_empty() {
        causes.push(Cause::required("metadata.name", "name or generateName is required"));
    } else {
        for rule in name_rule(name) {
            causes.push(Cause::invalid("metadata.name", &meta["name"], &rule));
        }
    }
    let namespace = text(meta, "namespace");
    if !kind.namespaced {
        if !namespace.is_empty() {
            causes.push(Cause::forbidden("metadata.namespace", "not allowed on this type"));
        }
    } else if namespace.is_empty() {
        causes.push(Cause::required("metadata.namespace", ""));
    } else {
        for rule in names::dns_label(namespace) {
            causes.push(Cause::invalid("metadata.namespace", &meta["namespace"], &rule));
        }
    }
    if let Some(labels) = meta["labels"].as_object() {
        label_causes(labels, &mut causes);
    }
    if let Some(annotations) = meta["annotations"].as_object() {
        annotation_causes(annotations, &mut causes);
    }
    if let Some(references) = meta["ownerReferences"].as_array() {
        owner_causes(references, &mut causes);
    }
    if let Some(finalizers) = meta["finalizers"].as_array() {
        finalizer_causes(finalizers, kind, &mut causes);
    }
    causes
}

fn label_causes(labels: &Map<String, Value>, causes: &mut Vec<Cause>) {
    for (key, value) in labels {
        for rule in names::qualified_name(key) {
            causes.push(Cause::invalid("metadata.labels", &Value::from(key.as_str()), &rule));
        }
        for rule in value.as_str().map(names::label_value).unwrap_or_default() {
            causes.push(Cause::invalid("metadata.labels", value, &rule));
        }
    }
}

fn annotation_causes(annotations: &Map<String, Value>, causes: &mut Vec<Cause>) {
    let mut total = 0;
    for (key, value) in annotations {
        // Keys are compared in lower case, so capitals in the prefix are fine here.
        for rule in names::qualified_name(&key.to_lowercase()) {
            causes.push(Cause::invalid("metadata.annotations", &Value::from(key.as_str()), &rule));
        }
        total += key.len() + value.as_str().map_or(0, str::len);
    }
    if total > ANNOTATIONS_BYTES_MAX {
        causes.push(Cause::too_long("metadata.annotations", ANNOTATIONS_BYTES_MAX));
    }
}

fn owner_causes(references: &[Value], causes: &mut Vec<Cause>) {
    let mut controller: Option<&Value> = None;
    for reference in references {
        let api_version = text(reference, "apiVersion");
        let version = api_version.rsplit_once('/').map_or(api_version, |(_, version)| version);
        if version.is_empty() {
            let shown = Value::from(api_version);
            causes.push(Cause::invalid("metadata.ownerReferences.apiVersion", &shown, "version must not be empty"));
        }
        for name in ["kind", "name", "uid"] {
            if text(reference, name).is_empty() {
                let field = format!("metadata.ownerReferences.{name}");
                causes.push(Cause::invalid(field, &Value::from(""), "must not be empty"));
            }
        }
        if text(reference, "kind") == "Event" && matches!(api_version, "v1" | "events.k8s.io/v1") {
            let detail = format!("{api_version}, Kind=Event is disallowed from being an owner");
            causes.push(Cause::invalid("metadata.ownerReferences", reference, &detail));
        }
        if reference["controller"] == true {
            if let Some(first) = controller {
                let detail = format!(
                    "Only one reference can have Controller set to true. Found \"true\" in references for {} and {}",
                    text(first, "name"),
                    text(reference, "name")
                );
                causes.push(Cause::invalid("metadata.ownerReferences", &Value::from(references), &detail));
                break;
            }
            controller = Some(reference);
        }
    }
}

/// Finalizers that Kubernetes itself knows and that need no domain.
const STANDARD_FINALIZERS: [&str; 3] = ["kubernetes", "orphan", "foregroundDeletion"];

fn finalizer_causes(finalizers: &[Value], kind: &Kind, causes: &mut Vec<Cause>) {
    for finalizer in finalizers {
        let plain = finalizer.as_str().is_some_and(|f| !f.contains('/') && !STANDARD_FINALIZERS.contains(&f));
        // Custom resources may have plain names, as on a real server; the kinds of Kubernetes may not.
        if plain && kind.group != crate::GROUP {
            let detail = "name is neither a standard finalizer name nor is it fully qualified";
            causes.push(Cause::invalid("metadata.finalizers", finalizer, detail));
        }
        for rule in finalizer.as_str().map(names::qualified_name).unwrap_or_default() {
            causes.push(Cause::invalid("metadata.finalizers", finalizer, &rule));
        }
    }
    let has = |name: &str| finalizers.iter().any(|f| f == name);
    if has("orphan") && has("foregroundDeletion") {
        let detail = "finalizer orphan and foregroundDeletion cannot be both set";
        causes.push(Cause::invalid("metadata.finalizers", &Value::from(finalizers), detail));
    }
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_default()
}
