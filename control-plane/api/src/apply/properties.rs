//! What holds of every object and every apply.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::{
    extract::extract,
    tests::{object, schema, writer},
    *,
};

const AT: &str = "2026-11-23T10:00:00Z";
const MANAGERS: [&str; 3] = ["a", "b", "c"];

/// A spec over few names and values, so that managers meet. Empty lists and structs are left out: what they own is
/// told by examples.
fn spec() -> impl Strategy<Value = Value> {
    let text = || prop_oneof![Just("1"), Just("2")];
    let keys = || prop::collection::btree_set(prop_oneof![Just("x"), Just("y"), Just("z")], 1..3);
    let stop = (prop::option::of(text()), prop::option::of(text()));
    (
        prop::option::of(text()),
        prop::option::of(text()),
        prop::option::of(prop::collection::btree_map(prop_oneof![Just("earliest"), Just("latest")], text(), 1..3)),
        prop::option::of(prop::collection::vec(text(), 0..2)),
        prop::option::of(keys().prop_map(Vec::from_iter).prop_shuffle()),
        prop::option::of(prop::collection::btree_map(prop_oneof![Just("x"), Just("y")], stop, 1..3)),
        prop::option::of(prop::collection::btree_map(prop_oneof![Just("x"), Just("y")], text(), 1..3)),
    )
        .prop_map(|(a, b, window, items, skills, stops, labels)| {
            let mut spec = Map::new();
            let mut put = |name: &str, value: Option<Value>| value.map(|value| spec.insert(name.to_owned(), value));
            put("a", a.map(Value::from));
            put("b", b.map(Value::from));
            put("window", window.map(|window| json!(window)));
            put("items", items.map(|names| names.iter().map(|name| json!({"name": name})).collect()));
            put("skills", skills.map(|skills| json!(skills)));
            put("labels", labels.map(|labels| json!(labels)));
            put(
                "stops",
                stops.map(|stops| {
                    let stop = |(id, (at, note)): (&str, (Option<&str>, Option<&str>))| {
                        let mut stop = json!({"id": id});
                        for (field, value) in [("at", at), ("note", note)] {
                            if let Some(value) = value {
                                stop[field] = value.into();
                            }
                        }
                        stop
                    };
                    stops.into_iter().map(stop).collect()
                }),
            );
            Value::Object(spec)
        })
}

#[derive(Clone, Debug)]
struct Step {
    manager: &'static str,
    apply: bool,
    spec: Value,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = (prop::sample::select(&MANAGERS[..]), any::<bool>(), spec());
    prop::collection::vec(step.prop_map(|(manager, apply, spec)| Step { manager, apply, spec }), 0..5)
}

/// An object with a history.
fn history(steps: &[Step]) -> Value {
    steps.iter().fold(Value::Null, |live, step| after(&live, step))
}

fn after(live: &Value, step: &Step) -> Value {
    let mut wanted = object(&step.spec);
    if step.apply {
        return apply(&schema(), live, &wanted, &writer(step.manager, AT), true).unwrap();
    }
    update(&schema(), live, &mut wanted, &writer(step.manager, AT));
    wanted
}

/// The fields that nobody owns.
fn nobodys(object: &Value) -> FieldSet {
    let mut fields = fields(object);
    fields.subtract(&owned(object));
    fields
}

/// The fields of the object, without type and server's metadata.
fn fields(object: &Value) -> FieldSet {
    let schema = schema();
    let mut fields = extract(Some(schema.root()), object);
    writer("", AT).scope().trim(&mut fields);
    fields
}

fn owned(object: &Value) -> FieldSet {
    Managers::read(&object["metadata"]["managedFields"]).unwrap().owned("x.dev/v1")
}

/// Two objects with the same fields, in whatever order their lists are.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Array(items) => {
            let mut items: Vec<Value> = items.iter().map(sorted).collect();
            items.sort_by_key(Value::to_string);
            Value::Array(items)
        }
        Value::Object(fields) => fields.iter().map(|(name, value)| (name.clone(), sorted(value))).collect(),
        other => other.clone(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn applying_twice_is_applying_once(steps in steps(), spec in spec()) {
        let patch = object(&spec);
        let once = apply(&schema(), &history(&steps), &patch, &writer("a", AT), true).unwrap();
        let twice = apply(&schema(), &once, &patch, &writer("a", "2027-01-01T00:00:00Z"), false).unwrap();
        prop_assert!(same_but_times(&once, &twice), "{once}\n{twice}");
    }

    #[test]
    fn what_is_applied_is_there_and_is_owned_by_its_applier(steps in steps(), spec in spec()) {
        let patch = object(&spec);
        let done = apply(&schema(), &history(&steps), &patch, &writer("a", AT), true).unwrap();
        let schema = schema();
        let merged = merge::merge(Some(schema.root()), done.clone(), &patch);
        prop_assert_eq!(sorted(&merged), sorted(&done), "nothing that the patch says is missing");
        let managers = Managers::read(&done["metadata"]["managedFields"]).unwrap();
        let own = managers.0.get(&Id::new("a", Operation::Apply, "", "")).map(|entry| entry.fields.clone());
        prop_assert_eq!(own.unwrap_or_default(), fields(&patch));
    }

    #[test]
    fn every_field_has_an_owner_or_had_none_before(steps in steps()) {
        let mut live = Value::Null;
        for step in &steps {
            let next = after(&live, step);
            let kept = live.is_null() || !owned(&live).is_empty() || step.apply;
            let mut orphans = nobodys(&next);
            orphans.subtract(&nobodys(&live));
            // A struct that was emptied is there still, and its fields' owners have left.
            orphans.change(&element::Element::field("spec"), |spec| spec.here = false);
            prop_assert!(orphans.is_empty() || !kept, "{:?} in {next}", orphans.paths());
            live = next;
        }
    }

    #[test]
    fn every_owner_has_a_field(steps in steps()) {
        let live = history(&steps);
        let (there, owned) = (fields(&live), owned(&live));
        // Structs that exist are owned besides what they hold.
        let schema = schema();
        let mut nowhere = owned;
        nowhere.subtract(&there);
        let mut nowhere_leaves = nowhere.clone();
        nowhere_leaves.subtract(&extract::with_named(Some(schema.root()), &there));
        for path in nowhere_leaves.paths() {
            prop_assert!([".spec", ".spec.labels", ".spec.stops", ".spec.skills"].contains(&path.as_str()), "{path}");
        }
    }

    #[test]
    fn leaving_removes_exactly_what_no_one_else_owns(steps in steps(), spec in spec()) {
        let before = apply(&schema(), &history(&steps), &object(&spec), &writer("leaver", AT), true).unwrap();
        let left = apply(&schema(), &before, &object(&json!({})), &writer("leaver", AT), false).unwrap();
        let mut others = Managers::read(&before["metadata"]["managedFields"]).unwrap();
        others.0.remove(&Id::new("leaver", Operation::Apply, "", ""));
        let mut expected = fields(&before);
        expected.intersect(&others.owned("x.dev/v1"));
        let mut there = fields(&left);
        // The empty spec that the leaver still applies.
        there.change(&element::Element::field("spec"), |spec| spec.here = false);
        expected.change(&element::Element::field("spec"), |spec| spec.here = false);
        prop_assert_eq!(there.paths(), expected.paths(), "{}\n{}", before, left);
    }

    #[test]
    fn who_wants_other_fields_may_come_in_any_order(steps in steps(), spec in spec()) {
        let live = history(&steps);
        let (mut one, mut other) = (json!({}), json!({}));
        for (index, (name, value)) in spec.as_object().unwrap().iter().enumerate() {
            let side = if index % 2 == 0 { &mut one } else { &mut other };
            side[name] = value.clone();
        }
        let both = |first: (&str, &Value), second: (&str, &Value)| {
            let live = apply(&schema(), &live, &object(first.1), &writer(first.0, AT), true).unwrap();
            apply(&schema(), &live, &object(second.1), &writer(second.0, AT), true).unwrap()
        };
        let (ab, ba) = (both(("new-1", &one), ("new-2", &other)), both(("new-2", &other), ("new-1", &one)));
        prop_assert!(same_but_times(&sorted(&ab), &sorted(&ba)), "{ab}\n{ba}");
    }

    #[test]
    fn a_conflict_is_somebody_elses_field_and_force_leaves_none(steps in steps(), spec in spec()) {
        let live = history(&steps);
        let patch = object(&spec);
        match apply(&schema(), &live, &patch, &writer("new", AT), false) {
            Ok(done) => {
                let mut kept = owned(&live);
                kept.subtract(&owned(&done));
                prop_assert!(kept.is_empty(), "without a conflict nobody loses a field: {:?}", kept.paths());
            }
            Err(ApplyError::Conflicts(conflicts)) => {
                prop_assert!(!conflicts.is_empty());
                let mut paths = owned(&live).paths();
                if paths.is_empty() {
                    paths = fields(&live).paths();
                }
                for conflict in conflicts {
                    prop_assert!(paths.contains(&conflict.field), "{conflict:?}");
                }
            }
            Err(other) => prop_assert!(false, "{other}"),
        }
        let forced = apply(&schema(), &live, &patch, &writer("new", AT), true).unwrap();
        prop_assert!(apply(&schema(), &forced, &patch, &writer("new", AT), false).is_ok());
        let schema = schema();
        let changes = writer("", AT).scope().changes(Some(schema.root()), &live, &forced);
        let mut others = Managers::read(&forced["metadata"]["managedFields"]).unwrap();
        others.0.remove(&Id::new("new", Operation::Apply, "", ""));
        let mut shared = others.owned("x.dev/v1");
        shared.intersect(&changes.modified);
        prop_assert!(shared.is_empty(), "what was taken is its taker's alone: {:?}", shared.paths());
    }

    #[test]
    fn the_short_way_of_a_steady_writer_comes_to_the_same(steps in steps(), value in "[a-z]") {
        let live = history(&steps);
        let mut by_short = live.clone();
        by_short["spec"]["a"] = json!(value);
        // Owners in another order, though the same, take the long way.
        let mut by_long = by_short.clone();
        if let Some(entries) = by_long.pointer_mut("/metadata/managedFields").and_then(Value::as_array_mut) {
            entries.reverse();
        }
        for new in [&mut by_short, &mut by_long] {
            update(&schema(), &live, new, &writer("a", "2027-01-01T00:00:00Z"));
        }
        prop_assert_eq!(by_short, by_long);
    }

    #[test]
    fn the_owners_that_are_written_are_read_back(steps in steps()) {
        let managed = history(&steps)["metadata"]["managedFields"].clone();
        let managers = Managers::read(&managed).unwrap();
        prop_assert_eq!(managers.write(), if managed.is_null() { json!([]) } else { managed });
    }
}
