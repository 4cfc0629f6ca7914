//! The kinds' schemas: ours from the derived CRDs, those of the core kinds from the types of Kubernetes.

use k8s_openapi::apimachinery::pkg::apis::meta::v1 as meta;
use schemars::{JsonSchema, generate::SchemaSettings};
use serde_json::{Value, json};

use crate::schema::Schema;

/// The schema of one of our kinds, from its derived `CustomResourceDefinition`.
pub(super) fn ours(crd: &impl serde::Serialize, description: &str) -> Schema {
    let crd = serde_json::to_value(crd).expect("a CRD is plain data");
    let mut schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone();
    tidy(&mut schema);
    complete(&mut schema, description);
    Schema::new(schema)
}

/// The schemas that documents of the API refer to from every kind, under their published names.
pub fn shared() -> [(&'static str, Value); 4] {
    [
        ("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta", published::<meta::ObjectMeta>()),
        ("io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta", published::<meta::ListMeta>()),
        ("io.k8s.apimachinery.pkg.apis.meta.v1.Status", published::<meta::Status>()),
        ("io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions", published::<meta::DeleteOptions>()),
    ]
}

fn published<T: JsonSchema>() -> Value {
    let mut settings = SchemaSettings::openapi3();
    settings.inline_subschemas = true;
    let mut schema = Value::from(settings.into_generator().into_root_schema_for::<T>());
    tidy(&mut schema);
    schema
}

/// The schema of a kind of Kubernetes, from its published type.
pub(super) fn core<T: JsonSchema>() -> Schema {
    let mut schema = published::<T>();
    let description = schema["description"].as_str().unwrap_or_default().to_owned();
    complete(&mut schema, &description);
    Schema::new(schema)
}

/// The schema of what is created and never stored, from its published type.
pub(super) fn review<T: JsonSchema>() -> Value {
    core::<T>().json().clone()
}

/// The schema of a `CustomResourceDefinition`. Its own type holds schemas of schemas without end; nobody writes one here,
/// so the outline says enough.
pub(super) fn definition() -> Schema {
    let open = |description: &str| json!({"type": "object", "description": description, "x-kubernetes-preserve-unknown-fields": true});
    let mut schema = json!({"type": "object", "required": ["spec"], "properties": {
        "spec": open("spec describes the kind: its group, names, scope and versions with their schemas and columns."),
        "status": open("status says which names were accepted and whether the kind is served."),
    }});
    complete(
        &mut schema,
        "CustomResourceDefinition describes a kind that the server serves. Clients may only read it.",
    );
    Schema::new(schema)
}

/// Takes off what generators add and a structural schema does not want, at every level.
fn tidy(schema: &mut Value) {
    let Value::Object(fields) = schema else { return };
    // An absent field is absent: null means the same and is pruned, so no field is nullable.
    for noise in ["nullable", "title", "$schema"] {
        fields.remove(noise);
    }
    if let Some(Value::Array(values)) = fields.get_mut("enum") {
        values.retain(|value| !value.is_null());
    }
    for limit in ["minimum", "maximum"] {
        if let Some(value) = fields.get_mut(limit)
            && let Some(whole) = value.as_f64().filter(|n| n.fract() == 0.0)
        {
            *value = Value::from(whole as i64);
        }
    }
    if let Some(Value::Object(properties)) = fields.get_mut("properties") {
        // The finalizers of a Namespace's spec are one list.
        let is_metadata = properties.contains_key("ownerReferences");
        for (name, property) in properties {
            tidy(property);
            // Generators do not know who shares what: lists that are merged, and references that change as a whole.
            let merged = match name.as_str() {
                "conditions" => Some(json!({"list-type": "map", "list-map-keys": ["type"]})),
                "ownerReferences" => Some(json!({"list-type": "map", "list-map-keys": ["uid"]})),
                "finalizers" if property["type"] == "array" && is_metadata => Some(json!({"list-type": "set"})),
                "involvedObject" | "regarding" | "related" => Some(json!({"map-type": "atomic"})),
                _ => None,
            };
            for (extension, value) in merged.as_ref().and_then(Value::as_object).into_iter().flatten() {
                property[format!("x-kubernetes-{extension}")] = value.clone();
            }
        }
    }
    for nested in ["items", "additionalProperties"] {
        if let Some(nested) = fields.get_mut(nested) {
            tidy(nested);
        }
    }
}

/// Describes the parts that every object has.
fn complete(schema: &mut Value, description: &str) {
    schema["description"] = Value::from(description);
    let properties = schema["properties"].as_object_mut().expect("an object's schema has properties");
    let text = |description: &str| json!({"type": "string", "description": description});
    properties.insert(
        "apiVersion".to_owned(),
        text("APIVersion defines the versioned schema of this representation of an object: group and version."),
    );
    properties.insert(
        "kind".to_owned(),
        text("Kind is a string value representing the REST resource this object represents."),
    );
    properties.insert(
        "metadata".to_owned(),
        json!({"type": "object", "description": "Standard object's metadata: name, namespace, labels, annotations."}),
    );
    if let Some(required) = schema["required"].as_array_mut() {
        required.retain(|name| name != "metadata");
    }
    if let Some(fields) = schema.as_object_mut() {
        fields.retain(|name, value| name != "required" || value.as_array().is_some_and(|names| !names.is_empty()));
    }
}
