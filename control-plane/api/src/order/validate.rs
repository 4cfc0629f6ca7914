//! Rules of an order that no single field's schema can say.

use serde_json::Value;

use super::Order;
use crate::{cross, validation::Cause};

/// All that is wrong beyond the schema. Works on whatever parses, so that these causes stand beside the schema's.
pub(super) fn validate(new: &Value, old: Option<&Value>) -> Vec<Cause> {
    let mut causes = Vec::new();
    for stop in ["pickup", "dropoff"] {
        let (earliest, latest) = (format!("spec.{stop}.window.earliest"), format!("spec.{stop}.window.latest"));
        cross::not_before(&mut causes, new, &latest, &earliest);
        proofs(&mut causes, new, stop);
    }
    cross::not_before(&mut causes, new, "spec.dropoff.window.latest", "spec.pickup.window.earliest");
    cross::not_before(&mut causes, new, "spec.dueBy", "spec.placedAt");
    cross::time_zone(&mut causes, new, "spec.recipient.timeZone");
    let cancelled = |order: &Value| cross::at(order, "spec.cancelled").and_then(Value::as_bool).unwrap_or(false);
    if old.is_some_and(cancelled) && !cancelled(new) {
        causes.push(Cause::forbidden("spec.cancelled", "a cancelled order stays cancelled; create a new one"));
    }
    cross::readable::<Order>(&mut causes, new, "orders");
    causes
}

/// A list of proofs names each once, and `none` stands alone.
fn proofs(causes: &mut Vec<Cause>, order: &Value, stop: &str) {
    let field = format!("spec.proof.{stop}");
    let Some(list) = cross::at(order, &field).and_then(Value::as_array) else { return };
    if list.len() > 1 && list.iter().any(|proof| proof == "none") {
        cross::invalid(causes, &field, &Value::Array(list.clone()), "must not name `none` beside other proofs");
    }
    for (index, proof) in list.iter().enumerate() {
        if list[..index].contains(proof) {
            causes.push(Cause::duplicate(format!("{field}[{index}]"), proof));
        }
    }
}
