//! The conditions of an order that the server owns.

use jiff::Timestamp;

use super::{Order, OrderSpec, OrderStatus, ProofPolicy, ProofType, StopKind, binding::bound_driver};
use crate::common::{Condition, ConditionStatus, set_condition};

/// The condition types that only the server writes; a write to `/status` keeps the stored ones.
pub const SERVER_CONDITIONS: [&str; 4] = ["Assigned", "Held", "ProofComplete", "IncidentOpen"];

/// Recomputes the server's conditions in place. `IncidentOpen` follows from incidents, which
/// are kept elsewhere, and stays as it is.
pub(super) fn refresh(order: &mut Order, now: Timestamp) {
    let generation = order.metadata.generation;
    let spec = &order.spec;
    let status = order.status.get_or_insert_default();
    let assigned = match bound_driver(status) {
        Some(driver) => (true, "Bound", format!("bound to driver {driver}")),
        None => (false, "NotBound", String::new()),
    };
    let held =
        if spec.hold { (true, "Hold", "spec.hold is true".to_owned()) } else { (false, "NotHeld", String::new()) };
    let missing: Vec<String> = [StopKind::Pickup, StopKind::Dropoff]
        .iter()
        .flat_map(|stop| missing_proofs(spec, status, *stop, &[]).into_iter().map(move |proof| (stop, proof)))
        .map(|(stop, proof)| format!("{proof:?} at the {stop:?}").to_lowercase())
        .collect();
    let proof = if missing.is_empty() {
        (true, "Complete", String::new())
    } else {
        (false, "Missing", format!("missing: {}", missing.join(", ")))
    };
    let asks_proof = [StopKind::Pickup, StopKind::Dropoff].iter().any(|stop| required(spec, *stop).next().is_some());
    let known = |type_: &str| status.conditions.iter().any(|held| held.type_ == type_);
    // A condition that never mattered to this order is not worth a line in `describe`.
    let wanted = [
        ("Assigned", true, assigned),
        ("Held", spec.hold || known("Held"), held),
        ("ProofComplete", asks_proof || known("ProofComplete"), proof),
    ];
    for (type_, relevant, (holds, reason, message)) in wanted {
        if relevant {
            let next = Condition {
                type_: type_.to_owned(),
                status: if holds { ConditionStatus::True } else { ConditionStatus::False },
                reason: reason.to_owned(),
                message,
                last_transition_time: now,
                observed_generation: generation,
            };
            set_condition(&mut status.conditions, next);
        }
    }
}

/// The proofs that `stop` asks for and that were given neither before nor in `given`, in the order of the spec.
pub(super) fn missing_proofs(
    spec: &OrderSpec,
    status: &OrderStatus,
    stop: StopKind,
    given: &[ProofType],
) -> Vec<ProofType> {
    let before = |proof: ProofType| status.proofs.iter().any(|held| held.stop == stop && held.type_ == proof);
    required(spec, stop).filter(|proof| !given.contains(proof) && !before(*proof)).collect()
}

fn required(spec: &OrderSpec, stop: StopKind) -> impl Iterator<Item = ProofType> + '_ {
    let list = |policy: &'_ ProofPolicy| -> Vec<ProofType> {
        match stop {
            StopKind::Pickup => policy.pickup.clone(),
            StopKind::Dropoff => policy.dropoff.clone(),
        }
    };
    spec.proof.as_ref().map(list).unwrap_or_default().into_iter().filter(|proof| *proof != ProofType::None)
}
