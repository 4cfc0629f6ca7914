use proptest::prelude::*;
use rstest::rstest;
use serde_json::{Map, json};

use super::*;

fn sample() -> Schema {
    Schema::new(json!({"type": "object", "required": ["spec"], "properties": {"spec": {
        "type": "object",
        "required": ["name"],
        "properties": {
            "name": {"type": "string", "minLength": 2, "maxLength": 4, "pattern": "^[a-z]*$"},
            "priority": {"type": "integer", "format": "int32", "default": 0},
            "big": {"type": "integer", "format": "int64"},
            "latitude": {"type": "number", "format": "double", "minimum": -90, "maximum": 90},
            "share": {"type": "number", "minimum": 0, "exclusiveMinimum": true, "multipleOf": 0.5},
            "vehicle": {"type": "string", "enum": ["bicycle", "car"], "default": "bicycle"},
            "at": {"type": "string", "format": "date-time"},
            "note": {"type": "string", "nullable": true},
            "on": {"type": "boolean"},
            "port": {"x-kubernetes-int-or-string": true},
            "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
            "labels": {"type": "object", "additionalProperties": {"type": "string"}, "maxProperties": 2},
            "nested": {"type": "object", "properties": {"deep": {"type": "boolean", "default": true}}},
            "items": {"type": "array", "minItems": 1, "maxItems": 3, "items": {
                "type": "object",
                "required": ["quantity"],
                "properties": {"quantity": {"type": "integer", "minimum": 1}, "unit": {"type": "string", "default": "kg"}},
            }},
            "skills": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
            "conditions": {
                "type": "array",
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["type"],
                "items": {"type": "object", "properties": {"type": {"type": "string"}, "status": {"type": "string"}}},
            },
        },
    }}}))
}

/// The one cause of a spec that is right but for this field.
fn cause(field: &str, value: Value) -> Cause {
    let mut spec = json!({"name": "abc"});
    spec[field] = value;
    let mut causes = sample().validate(&json!({"metadata": {}, "spec": spec}));
    assert_eq!(causes.len(), 1, "{causes:?}");
    causes.remove(0)
}

#[rstest]
#[case("priority", json!("high"), "FieldValueTypeInvalid", r#"Invalid value: "string": spec.priority in body must be of type integer: "string""#)]
#[case("priority", json!(1.5), "FieldValueTypeInvalid", r#"Invalid value: "number": spec.priority in body must be of type integer: "number""#)]
#[case("on", json!("true"), "FieldValueTypeInvalid", r#"Invalid value: "string": spec.on in body must be of type boolean: "string""#)]
#[case(
    "latitude",
    Value::Null,
    "FieldValueTypeInvalid",
    r#"Invalid value: "null": spec.latitude in body must be of type number: "null""#
)]
#[case("priority", json!(1_u64 << 40), "FieldValueInvalid", "Invalid value: 1099511627776: Checked value must be of type integer with format int32 in spec.priority")]
#[case("big", json!(u64::MAX), "FieldValueInvalid", "Invalid value: 18446744073709551615: Checked value must be of type integer with format int64 in spec.big")]
#[case("latitude", json!(91), "FieldValueInvalid", "Invalid value: 91: spec.latitude in body should be less than or equal to 90")]
#[case("latitude", json!(-90.5), "FieldValueInvalid", "Invalid value: -90.5: spec.latitude in body should be greater than or equal to -90")]
#[case("share", json!(0), "FieldValueInvalid", "Invalid value: 0: spec.share in body should be greater than 0")]
#[case("share", json!(0.7), "FieldValueInvalid", "Invalid value: 0.7: spec.share in body should be a multiple of 0.5")]
#[case("vehicle", json!("rocket"), "FieldValueNotSupported", r#"Unsupported value: "rocket": supported values: "bicycle", "car""#)]
#[case("at", json!("tomorrow"), "FieldValueTypeInvalid", r#"Invalid value: "tomorrow": spec.at in body must be of type date-time: "tomorrow""#)]
#[case("at", json!("2026-11-23 10:00Z"), "FieldValueTypeInvalid", r#"Invalid value: "2026-11-23 10:00Z": spec.at in body must be of type date-time: "2026-11-23 10:00Z""#)]
#[case("name", json!("abcde"), "FieldValueTooLong", "Too long: may not be more than 4 bytes")]
#[case("name", json!("a"), "FieldValueInvalid", r#"Invalid value: "a": spec.name in body should be at least 2 chars long"#)]
#[case("name", json!("AB"), "FieldValueInvalid", r#"Invalid value: "AB": spec.name in body should match '^[a-z]*$'"#)]
#[case("items", json!([]), "FieldValueInvalid", "Invalid value: 0: spec.items in body should have at least 1 items")]
#[case("items", json!([{"quantity": 1}, {"quantity": 1}, {"quantity": 1}, {"quantity": 1}]), "FieldValueTooMany", "Too many: 4: must have at most 3 items")]
#[case("labels", json!({"a": "", "b": "", "c": ""}), "FieldValueTooMany", "Too many: 3: must have at most 2 items")]
#[case("port", json!(true), "FieldValueTypeInvalid", r#"Invalid value: "boolean": spec.port in body must be of type integer,string: "boolean""#)]
fn a_wrong_value_is_named_in_the_words_of_kubernetes(
    #[case] field: &str,
    #[case] value: Value,
    #[case] reason: &str,
    #[case] message: &str,
) {
    let cause = cause(field, value);
    assert_eq!((cause.reason.as_str(), cause.message.as_str()), (reason, message));
    assert_eq!(cause.field, format!("spec.{field}"));
}

#[rstest]
#[case("items", json!([{"quantity": 1}, {"quantity": 0}]), "spec.items[1].quantity", "Invalid value: 0: spec.items[1].quantity in body should be greater than or equal to 1")]
#[case("items", json!([{}]), "spec.items[0].quantity", "Required value")]
#[case("labels", json!({"a": 1}), "spec.labels.a", r#"Invalid value: "integer": spec.labels.a in body must be of type string: "integer""#)]
#[case("conditions", json!([{"type": "A"}, {"type": "B"}, {"type": "A", "status": "x"}]), "spec.conditions[2]", r#"Duplicate value: {"type":"A"}"#)]
#[case("skills", json!(["a", "b", "a"]), "spec.skills[2]", r#"Duplicate value: "a""#)]
fn a_wrong_part_is_named_by_its_path(
    #[case] field: &str,
    #[case] value: Value,
    #[case] path: &str,
    #[case] message: &str,
) {
    let cause = cause(field, value);
    assert_eq!((cause.field.as_str(), cause.message.as_str()), (path, message));
}

#[rstest]
#[case("priority", json!(5.0))]
#[case("at", json!("2026-11-23T10:00:00.123456Z"))]
#[case("at", json!("2026-11-23T10:00:00+02:00"))]
#[case("note", Value::Null)]
#[case("port", json!(80))]
#[case("port", json!("http"))]
#[case("free", json!({"anything": [1, {"goes": null}]}))]
#[case("share", json!(1.5))]
#[case("big", json!(i64::MIN))]
fn what_is_right_passes(#[case] field: &str, #[case] value: Value) {
    let mut spec = json!({"name": "äöü"});
    spec["name"] = json!("abc");
    spec[field] = value;
    assert_eq!(sample().validate(&json!({"spec": spec})), []);
}

#[test]
fn all_causes_are_told_at_once() {
    let causes = sample().validate(&json!({"spec": {"priority": "x", "latitude": 91, "items": [{}]}}));
    let fields: Vec<&str> = causes.iter().map(|cause| cause.field.as_str()).collect();
    assert_eq!(fields, ["spec.name", "spec.items[0].quantity", "spec.latitude", "spec.priority"]);
    assert_eq!(sample().validate(&json!({}))[0].field, "spec");
}

#[test]
fn the_number_of_causes_is_bounded() {
    let items: Vec<Value> = (0..10_000).map(|_| json!({})).collect();
    assert_eq!(sample().validate(&json!({"spec": {"name": "abc", "items": items}})).len(), 100);
}

#[test]
fn unknown_fields_are_removed_and_named() {
    let mut object = json!({
        "apiVersion": "v1", "kind": "X", "bogus": 1, "metadata": {"name": "a", "colour": "red", "labels": {"a": "b"}},
        "spec": {"bogus": {"deep": 1}, "items": [{"quantity": 1, "bogus": 1}], "free": {"kept": 1}, "labels": {"any": ""}},
    });
    let pruned = sample().prune(&mut object);
    assert_eq!(pruned, ["bogus", "metadata.colour", "spec.bogus", "spec.items[0].bogus"]);
    assert_eq!(
        object,
        json!({
            "apiVersion": "v1", "kind": "X", "metadata": {"name": "a", "labels": {"a": "b"}},
            "spec": {"items": [{"quantity": 1}], "free": {"kept": 1}, "labels": {"any": ""}},
        })
    );
}

#[test]
fn defaults_fill_what_is_absent_in_parents_that_are_there() {
    let mut object = json!({"spec": {"items": [{"quantity": 1}], "nested": {}}});
    sample().default(&mut object);
    assert_eq!(
        object["spec"],
        json!({
            "priority": 0, "vehicle": "bicycle",
            "items": [{"quantity": 1, "unit": "kg"}], "nested": {"deep": true},
        })
    );
    let mut without = json!({"spec": {}});
    sample().default(&mut without);
    assert!(without["spec"].get("nested").is_none());
}

#[test]
fn nulls_go_before_defaults_come_unless_null_is_a_value_there() {
    let mut object = json!({"spec": {"priority": null, "latitude": null, "note": null, "free": {"x": null}}});
    sample().default(&mut object);
    assert_eq!(object["spec"], json!({"priority": 0, "vehicle": "bicycle", "note": null, "free": {"x": null}}));
}

#[test]
fn a_whole_float_becomes_the_integer_it_is() {
    let mut object = json!({"spec": {"priority": 5.0, "latitude": 5.0}});
    sample().default(&mut object);
    assert_eq!(object["spec"]["priority"].to_string(), "5");
    assert_eq!(object["spec"]["latitude"].to_string(), "5.0");
}

/// Any JSON, mostly made of names that the sample knows, so that it gets deep into the schema.
fn any_json() -> impl Strategy<Value = Value> {
    let names = [
        "metadata",
        "spec",
        "name",
        "priority",
        "latitude",
        "items",
        "quantity",
        "unit",
        "labels",
        "nested",
        "deep",
        "free",
        "conditions",
        "type",
        "skills",
        "at",
        "bogus",
        "big",
        "share",
        "port",
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 64, 8, move |inner| {
        let fields = prop::collection::btree_map(prop::sample::select(names.to_vec()), inner.clone(), 0..8);
        prop_oneof![
            prop::collection::vec(inner, 0..6).prop_map(Value::from),
            fields.prop_map(|fields| {
                Value::Object(fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect::<Map<_, _>>())
            }),
        ]
    })
}

proptest! {
    #[test]
    fn pruning_and_defaulting_twice_change_nothing_the_second_time(mut object in any_json()) {
        let schema = sample();
        schema.prune(&mut object);
        schema.default(&mut object);
        let once = object.clone();
        prop_assert!(schema.prune(&mut object).is_empty());
        schema.default(&mut object);
        prop_assert_eq!(object, once);
    }

    #[test]
    fn no_json_makes_validation_panic(object in any_json()) {
        for kind in crate::registry::kinds() {
            (kind.schema)().validate(&object);
        }
        prop_assert!(sample().validate(&object).len() <= 100);
    }
}
