//! Event is one stored kind served in two groups; the stored form is the core group's. `kubectl describe` reads the one,
//! kube-rs's recorder writes the other.

use dropmate_api::registry::Kind;
use serde_json::{Value, json};

/// Fields of `v1` and what `events.k8s.io/v1` calls them.
const NAMES: &[(&str, &str)] = &[
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("reportingComponent", "reportingController"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
];

/// Whether the kind is stored in another form than it is served.
pub(crate) fn converts(kind: &Kind) -> bool {
    kind.group == "events.k8s.io"
}

/// From the served form to the stored one.
pub(crate) fn to_stored(kind: &Kind, mut object: Value) -> Value {
    if converts(kind) {
        rename(&mut object, |(core, new)| (new, core));
        object["apiVersion"] = json!("v1");
    }
    object
}

/// From the stored form to the served one.
pub(crate) fn from_stored(kind: &Kind, mut object: Value) -> Value {
    if converts(kind) {
        rename(&mut object, |(core, new)| (core, new));
        object["apiVersion"] = json!(kind.api_version());
    }
    object
}

fn rename(object: &mut Value, direction: impl Fn((&'static str, &'static str)) -> (&'static str, &'static str)) {
    let Value::Object(map) = object else { return };
    for &pair in NAMES {
        let (from, to) = direction(pair);
        if let Some(value) = map.remove(from) {
            map.insert(to.to_owned(), value);
        }
    }
}
