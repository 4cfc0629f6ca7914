//! Our kinds as `CustomResourceDefinition`s: for schema tools, editors and real clusters. Made from the registry, so
//! they cannot drift from what is served. `manifests/crds` holds them as files.

use serde_json::{Value, json};

use crate::{
    GROUP,
    registry::{Kind, kinds},
};

/// The CRDs of all our kinds, in the order of the registry.
pub fn crds() -> Vec<Value> {
    kinds().iter().filter(|kind| kind.group == GROUP).map(crd).collect()
}

/// The CRD of a kind.
pub fn crd(kind: &Kind) -> Value {
    let mut columns: Vec<Value> = kind
        .columns
        .iter()
        .map(|column| {
            let mut json = json!({
                "name": column.name,
                "type": column.type_,
                "description": column.description,
                "jsonPath": column.json_path,
            });
            if column.priority > 0 {
                json["priority"] = column.priority.into();
            }
            json
        })
        .collect();
    columns.push(json!({"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}));
    let mut version = json!({
        "name": kind.version,
        "served": true,
        "storage": true,
        "schema": {"openAPIV3Schema": (kind.schema)().json()},
        "additionalPrinterColumns": columns,
    });
    if kind.status_subresource {
        version["subresources"] = json!({"status": {}});
    }
    if !kind.selectable_fields.is_empty() {
        let paths = kind.selectable_fields.iter().map(|field| json!({"jsonPath": format!(".{field}")}));
        version["selectableFields"] = paths.collect();
    }
    let mut crd = json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": kind.group_resource()},
        "spec": {
            "group": kind.group,
            "names": {
                "kind": kind.kind,
                "listKind": kind.list_kind(),
                "plural": kind.plural,
                "singular": kind.singular,
                "shortNames": kind.short_names,
                "categories": kind.categories,
            },
            "scope": if kind.namespaced { "Namespaced" } else { "Cluster" },
            "versions": [version],
        },
    });
    if kind.kind == "ApplySet" {
        // kubectl takes only kinds with this label for the parents of its sets.
        crd["metadata"]["labels"] = json!({crate::applyset::IS_PARENT: "true"});
    }
    crd
}

#[cfg(test)]
mod tests {
    use std::{env, fs, path::Path};

    use super::*;

    #[test]
    fn the_files_are_what_the_registry_says() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../manifests/crds");
        let rewrite = env::var_os("UPDATE").is_some();
        for crd in crds() {
            let file = folder.join(format!("{}.yaml", crd["spec"]["names"]["plural"].as_str().unwrap()));
            let text = format!(
                "# Generated from the registry of kinds; `UPDATE=1 cargo nextest run crd` writes it anew.\n{}",
                serde_yaml::to_string(&crd).unwrap()
            );
            if rewrite {
                fs::create_dir_all(&folder).unwrap();
                fs::write(&file, &text).unwrap();
            }
            let held = fs::read_to_string(&file).unwrap_or_default();
            assert!(held == text, "{} is out of date: run the tests with UPDATE=1", file.display());
        }
    }

    /// What a structural schema asks for at every level, so that a real cluster takes our CRDs.
    fn structural(schema: &Value, at: &str) {
        assert!(schema["type"].is_string() || schema["x-kubernetes-int-or-string"] == true, "{at} has no type");
        for forbidden in ["$ref", "title", "anyOf", "oneOf", "allOf", "definitions", "nullable"] {
            assert!(schema.get(forbidden).is_none(), "{at} has {forbidden}");
        }
        assert!(schema["description"].as_str().is_some_and(|d| !d.is_empty()), "{at} is not described");
        for (name, child) in schema["properties"].as_object().into_iter().flatten() {
            structural(child, &format!("{at}.{name}"));
        }
        if let Some(items) = schema.get("items") {
            let described = items["type"] != "object" || items["description"].is_string();
            assert!(described, "{at}[] is not described");
            if items["type"] == "object" {
                structural(items, &format!("{at}[]"));
            }
        }
    }

    #[test]
    fn every_field_is_typed_and_described() {
        for crd in crds() {
            let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
            structural(schema, crd["spec"]["names"]["kind"].as_str().unwrap());
        }
    }
}
