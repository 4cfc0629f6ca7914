//! The strategies of the kinds of Kubernetes: what its server sets and refuses beyond the schema.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{Expiry, Part, Since, Strategy, WriteContext};
use crate::{
    SYSTEM_NAMESPACE,
    validation::{Cause, is_qualified_name},
};

/// `Namespace`: always Active until deleted, with the finalizer and the label that clients look for.
pub(super) struct NamespaceStrategy;

/// The label by which selectors find a namespace.
const NAME_LABEL: &str = "kubernetes.io/metadata.name";

impl Strategy for NamespaceStrategy {
    fn prepare(&self, new: &mut Value, old: Option<&Value>, cx: &WriteContext) {
        match old {
            None => {
                new["spec"] = json!({"finalizers": ["kubernetes"]});
                new["status"] = json!({"phase": "Active"});
            }
            // The finalizers of the spec end through the server alone.
            Some(old) if cx.part == Part::Main => {
                if let Some(spec) = old.get("spec") {
                    new["spec"] = spec.clone();
                }
            }
            Some(_) => {}
        }
        if cx.part == Part::Main {
            let name = new["metadata"]["name"].clone();
            let meta = &mut new["metadata"];
            if meta.is_object() && name.is_string() && (meta["labels"].is_object() || meta["labels"].is_null()) {
                meta["labels"][NAME_LABEL] = name;
            }
        }
    }
}

/// A kind with nothing special about it.
pub(super) struct Plain;

impl Strategy for Plain {}

/// `Lease`: lengths and counts make sense.
pub(super) struct LeaseStrategy;

impl Strategy for LeaseStrategy {
    fn validate(&self, new: &Value, _old: Option<&Value>) -> Vec<Cause> {
        let spec = &new["spec"];
        let mut causes = Vec::new();
        if spec["leaseDurationSeconds"].as_i64().is_some_and(|n| n <= 0) {
            let value = &spec["leaseDurationSeconds"];
            causes.push(Cause::invalid("spec.leaseDurationSeconds", value, "must be greater than 0"));
        }
        if spec["leaseTransitions"].as_i64().is_some_and(|n| n < 0) {
            let value = &spec["leaseTransitions"];
            causes.push(Cause::invalid("spec.leaseTransitions", value, "must be greater than or equal to 0"));
        }
        if let Some(strategy) = spec["strategy"].as_str()
            && strategy != "OldestEmulationVersion"
        {
            causes.push(Cause::not_supported("spec.strategy", &spec["strategy"], &["OldestEmulationVersion"]));
        }
        if !text(spec, "preferredHolder").is_empty() && text(spec, "strategy").is_empty() {
            let detail = "may only be specified if `strategy` is defined";
            causes.push(Cause::forbidden("spec.preferredHolder", detail));
        }
        causes
    }
}

/// `Event` of the core group: little is checked, for the sake of old clients.
pub(super) struct EventStrategy;

impl Strategy for EventStrategy {
    fn validate(&self, new: &Value, _old: Option<&Value>) -> Vec<Cause> {
        namespace_matches(new, "involvedObject")
    }

    fn collected(&self) -> bool {
        false
    }

    fn expires(&self) -> bool {
        true
    }

    fn may_expire(&self, _body: &str) -> bool {
        true
    }

    fn expiry(&self, object: &Value) -> Option<Expiry> {
        event_expiry(object)
    }
}

/// How long an Event stays, as in Kubernetes. It is told for people; what must last stands in an object's status.
const EVENT_TTL: SignedDuration = SignedDuration::from_hours(1);

/// From when it last happened. Stored Events are of the core group, whichever they came by.
fn event_expiry(object: &Value) -> Option<Expiry> {
    let times =
        ["/lastTimestamp", "/eventTime", "/series/lastObservedTime", "/firstTimestamp", "/metadata/creationTimestamp"];
    let read = |pointer: &&str| object.pointer(pointer)?.as_str()?.parse::<Timestamp>().ok();
    let since = times.iter().filter_map(read).max()?;
    Some(Expiry { since: Since::System(since), after: EVENT_TTL, archive: false })
}

/// `Event` of `events.k8s.io`, which is strict about what makes an event useful.
pub(super) struct EventsStrategy;

/// Longest `action`, `reason` and `reportingInstance`.
const WORD_BYTES_MAX: usize = 128;
/// Longest `note`.
const NOTE_BYTES_MAX: usize = 1024;

impl Strategy for EventsStrategy {
    fn collected(&self) -> bool {
        false
    }

    fn validate(&self, new: &Value, old: Option<&Value>) -> Vec<Cause> {
        let mut causes = namespace_matches(new, "regarding");
        if old.is_some() {
            return causes;
        }
        if new["eventTime"].is_null() {
            causes.push(Cause::required("eventTime", ""));
        }
        let type_ = text(new, "type");
        if !matches!(type_, "Normal" | "Warning") {
            causes.push(Cause::invalid("type", &Value::from(""), &format!("has invalid value: {type_}")));
        }
        let controller = text(new, "reportingController");
        if controller.is_empty() {
            causes.push(Cause::required("reportingController", ""));
        } else if !is_qualified_name(controller) {
            causes.push(Cause::invalid("reportingController", &new["reportingController"], "must be a qualified name"));
        }
        for (field, max) in [
            ("reportingInstance", WORD_BYTES_MAX),
            ("action", WORD_BYTES_MAX),
            ("reason", WORD_BYTES_MAX),
            ("note", NOTE_BYTES_MAX),
        ] {
            let value = text(new, field);
            if value.is_empty() && field != "note" {
                causes.push(Cause::required(field, ""));
            } else if value.len() > max {
                let detail = format!("can have at most {max} characters");
                causes.push(Cause::invalid(field, &Value::from(""), &detail));
            }
        }
        causes
    }
}

/// An event lives in the namespace of what it is about; of what has none, in one that always exists.
fn namespace_matches(event: &Value, about: &str) -> Vec<Cause> {
    let field = format!("{about}.namespace");
    let own = text(&event["metadata"], "namespace");
    let other = text(&event[about], "namespace");
    let right = if other.is_empty() { matches!(own, "" | "default" | SYSTEM_NAMESPACE) } else { own == other };
    if right { Vec::new() } else { vec![Cause::invalid(field, &Value::from(other), "does not match event.namespace")] }
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_default()
}
