use serde_json::json;

use super::*;

#[test]
fn unknown_fields_are_removed_and_named() {
    let schema = Schema::new(json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {
        "items": {"type": "array", "items": {"type": "object", "properties": {"name": {"type": "string"}}}},
    }}}}));
    let mut object = json!({
        "apiVersion": "v1", "kind": "X", "bogus": 1, "metadata": {"name": "a", "colour": "red", "labels": {"a": "b"}},
        "spec": {"bogus": {"deep": 1}, "items": [{"name": "x", "bogus": 1}]},
    });
    assert_eq!(schema.prune(&mut object), ["bogus", "metadata.colour", "spec.bogus", "spec.items[0].bogus"]);
    assert_eq!(
        object,
        json!({
            "apiVersion": "v1", "kind": "X", "metadata": {"name": "a", "labels": {"a": "b"}},
            "spec": {"items": [{"name": "x"}]},
        })
    );
}
