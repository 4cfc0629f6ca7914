//! What is special about writes of an order, as a pod has its strategy in Kubernetes: facts are kept, and whatever
//! follows from them is computed again at every write.

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Order, conditions::SERVER_CONDITIONS, settle};
use crate::{
    registry::{Expiry, Part, Since, Strategy, WriteContext},
    validation::Cause,
};

/// How long a finished order stays unless its `spec.ttlSecondsAfterFinished` says otherwise: long enough for a complaint
/// on the next day.
pub const TTL_AFTER_FINISHED: SignedDuration = SignedDuration::from_hours(48);

/// The fields of `status` that a write to `/status` silently keeps: facts, and what follows from them.
pub const PROTECTED: [&str; 15] = [
    "phase",
    "driverName",
    "placedAt",
    "releaseAt",
    "releasedAt",
    "offers",
    "assignment",
    "stops",
    "attempts",
    "custody",
    "returnStartedAt",
    "expiredAt",
    "finishedAt",
    "proofs",
    "reports",
];

/// The strategy of [`Order`].
#[derive(Debug)]
pub struct OrderStrategy;

impl Strategy for OrderStrategy {
    fn prepare(&self, new: &mut Value, old: Option<&Value>, cx: &WriteContext) {
        let Some(object) = new.as_object_mut() else { return };
        match (cx.part, old) {
            (_, None) => {
                object.insert("status".to_owned(), json!({}));
            }
            (Part::Main, Some(old)) => {
                object.insert("status".to_owned(), old.get("status").cloned().unwrap_or_else(|| json!({})));
            }
            (Part::Status, Some(old)) => {
                if let Some(spec) = old.get("spec") {
                    object.insert("spec".to_owned(), spec.clone());
                }
                let kept = kept_status(object.get("status"), old.get("status"));
                object.insert("status".to_owned(), kept);
            }
            (Part::Facts, Some(_)) => {}
        }
        recompute(new, old, cx.business_now);
    }

    fn validate(&self, new: &Value, old: Option<&Value>) -> Vec<Cause> {
        super::validate::validate(new, old)
    }

    fn expires(&self) -> bool {
        true
    }

    fn may_expire(&self, body: &str) -> bool {
        body.contains("\"finishedAt\"")
    }

    fn expiry(&self, object: &Value) -> Option<Expiry> {
        let since = object.pointer("/status/finishedAt")?.as_str()?.parse().ok()?;
        let ttl = object.pointer("/spec/ttlSecondsAfterFinished").and_then(Value::as_i64);
        let after = ttl.map_or(TTL_AFTER_FINISHED, SignedDuration::from_secs);
        Some(Expiry { since: Since::Business(since), after, archive: true })
    }
}

/// The status as asked for, with what is protected as it is stored.
fn kept_status(asked: Option<&Value>, stored: Option<&Value>) -> Value {
    let none = Map::new();
    let stored = stored.and_then(Value::as_object).unwrap_or(&none);
    let mut status = asked.and_then(Value::as_object).cloned().unwrap_or_default();
    for field in PROTECTED {
        status.remove(field);
        if let Some(value) = stored.get(field) {
            status.insert(field.to_owned(), value.clone());
        }
    }
    let ours = |condition: &Value| condition["type"].as_str().is_some_and(|t| SERVER_CONDITIONS.contains(&t));
    let list = |status: &Map<String, Value>| status.get("conditions").and_then(Value::as_array).cloned();
    // A list that is none is left for validation to name.
    if status.get("conditions").is_none_or(Value::is_array) {
        let server = list(stored).into_iter().flatten().filter(|c| ours(c));
        let others = list(&status).into_iter().flatten().filter(|c| !ours(c));
        let conditions: Vec<Value> = server.chain(others).collect();
        if conditions.is_empty() {
            status.remove("conditions");
        } else {
            status.insert("conditions".to_owned(), Value::Array(conditions));
        }
    }
    Value::Object(status)
}

/// Computes what the server owns. An object that is no order yet (a wrong type somewhere) is left as it is: validation
/// follows and refuses it.
fn recompute(new: &mut Value, old: Option<&Value>, now: Timestamp) {
    let Ok(mut order) = Order::deserialize(&*new) else { return };
    order.metadata.generation = next_generation(new, old);
    if order.spec.placed_at.is_none() && old.is_none() {
        order.status.get_or_insert_default().placed_at = Some(now);
    }
    settle(&mut order, now);
    let computed = serde_json::to_value(&order.status).expect("a status is plain data and always becomes JSON");
    // Only what is computed is written back, so that fields of a newer version than ours survive.
    let Some(status) = new.get_mut("status").and_then(Value::as_object_mut) else { return };
    for field in ["phase", "driverName", "placedAt", "custody", "finishedAt", "conditions"] {
        match computed.get(field) {
            Some(value) => status.insert(field.to_owned(), value.clone()),
            None => status.remove(field),
        };
    }
}

/// The generation that this write leads to: spec changes count.
fn next_generation(new: &Value, old: Option<&Value>) -> Option<i64> {
    let Some(old) = old else { return Some(1) };
    let generation = old.pointer("/metadata/generation").and_then(Value::as_i64)?;
    Some(generation + i64::from(old.get("spec") != new.get("spec")))
}

#[cfg(test)]
#[path = "strategy_tests.rs"]
mod tests;
