//! Binding an order to a driver, and taking it away again.

use jiff::Timestamp;
use thiserror::Error;

use super::{
    Assignment, AssignmentReason, Custody, OfferState, Order, OrderStatus, Phase, StopState, StopStatus, settle,
};
use crate::subresource::{Binding, Unbinding};

/// What a reason may take up in the stored order, as JSON. It is read by people; the whole decision is kept elsewhere.
const MAX_REASON_BYTES: usize = 2048;
/// Leaves room for the candidates.
const MAX_SUMMARY_CHARS: usize = 400;

/// What came of a request to bind.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "made once a request and taken apart at once")]
pub enum Bound {
    /// The order, now bound.
    Bound(Order),
    /// It was bound to this driver already.
    Unchanged,
}

/// Why an order cannot be bound.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BindError {
    /// Another driver has it.
    #[error("the order is already bound to driver {driver:?}")]
    AlreadyBound {
        /// Who.
        driver: String,
    },
    /// It waits for no driver.
    #[error("an order in phase {phase:?} cannot be bound, only one that is Ready or Offered")]
    NotBindable {
        /// Where it is.
        phase: Phase,
    },
    /// The customer has not ordered yet (business time).
    #[error("the order is placed at {placed_at} and cannot be bound before")]
    NotPlaced {
        /// When it will be placed.
        placed_at: Timestamp,
    },
    /// A driver still has the goods, and it is not this one.
    #[error("driver {driver:?} has the goods, so the order can be bound to no other")]
    Custody {
        /// Who has them.
        driver: String,
    },
    /// A human pinned the order to another driver.
    #[error("the order is pinned to driver {driver:?} by spec.driverName")]
    Pinned {
        /// To whom.
        driver: String,
    },
}

/// Why an order cannot be unbound.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum UnbindError {
    /// Nobody has it.
    #[error("the order is not bound")]
    NotBound,
    /// The driver is at the pickup or has the goods.
    #[error("an order in phase {phase:?} cannot be unbound, only one that is Assigned or EnRouteToPickup")]
    NotUnbindable {
        /// Where it is.
        phase: Phase,
    },
}

/// Binds the order to the driver. Whether the driver exists and works, and whether the fence holds, the server checks.
pub fn bind(order: &Order, binding: &Binding, now: Timestamp) -> Result<Bound, BindError> {
    let status = order.status.clone().unwrap_or_default();
    let driver = &binding.target.name;
    if let Some(holder) = bound_driver(&status) {
        return if holder == driver {
            Ok(Bound::Unchanged)
        } else {
            Err(BindError::AlreadyBound { driver: holder.to_owned() })
        };
    }
    let phase = super::phase::phase(&order.spec, &status);
    if !matches!(phase, Phase::Ready | Phase::Offered) {
        return Err(BindError::NotBindable { phase });
    }
    if let Some(placed_at) = order.placed_at().filter(|placed_at| *placed_at > now) {
        return Err(BindError::NotPlaced { placed_at });
    }
    if let Some(keeper) = custodian(&status).filter(|keeper| keeper != driver) {
        return Err(BindError::Custody { driver: keeper.to_owned() });
    }
    // Whoever has the goods finishes the job, even if the pin was moved to somebody else meanwhile.
    if let Some(pin) = order.spec.driver_name.as_ref().filter(|pin| *pin != driver && custodian(&status).is_none()) {
        return Err(BindError::Pinned { driver: pin.clone() });
    }
    let mut bound = order.clone();
    let mut status = status;
    let generation = status.assignment.as_ref().map_or(0, |a| a.generation);
    status.assignment = Some(Assignment {
        driver_name: Some(driver.clone()),
        bound_at: Some(now),
        generation,
        trip_id: binding.trip_id.clone(),
        reason: binding.reason.clone().map(shortened),
    });
    status.offers.retain(|offer| offer.state != OfferState::Open);
    bound.status = Some(status);
    settle(&mut bound, now);
    Ok(Bound::Bound(bound))
}

/// Takes the order from its driver: back to `Ready`, with `assignment.generation` one higher.
pub fn unbind(order: &Order, _unbinding: &Unbinding, now: Timestamp) -> Result<Order, UnbindError> {
    let mut status = order.status.clone().unwrap_or_default();
    if bound_driver(&status).is_none() {
        return Err(UnbindError::NotBound);
    }
    let phase = super::phase::phase(&order.spec, &status);
    if !matches!(phase, Phase::Assigned | Phase::EnRouteToPickup) {
        return Err(UnbindError::NotUnbindable { phase });
    }
    release_driver(&mut status);
    let mut unbound = order.clone();
    unbound.status = Some(status);
    settle(&mut unbound, now);
    Ok(unbound)
}

/// The driver the order is bound to, also after its end.
pub fn bound_driver(status: &OrderStatus) -> Option<&str> {
    status.assignment.as_ref().and_then(|a| a.driver_name.as_deref())
}

/// Whether the driver has to do with the order: it is bound to them, was so at its end, they have the goods, or it was
/// offered to them.
pub fn concerns(order: &Order, driver: &str) -> bool {
    let Some(status) = &order.status else { return false };
    let bound = bound_driver(status).or(status.driver_name.as_deref());
    bound == Some(driver)
        || custodian(status) == Some(driver)
        || status.offers.iter().any(|offer| offer.driver == driver)
}

/// The driver who has the goods. After a failed attempt nobody is bound, but the goods are still where they were.
pub fn custodian(status: &OrderStatus) -> Option<&str> {
    let last = || status.attempts.last().and_then(|attempt| attempt.driver_name.as_deref());
    if status.custody == Custody::Driver { bound_driver(status).or_else(last) } else { None }
}

/// Ends the binding. What the driver did not complete starts anew, and answered offers count no more; a refusal does.
pub(super) fn release_driver(status: &mut OrderStatus) {
    let generation = status.assignment.as_ref().map_or(0, |a| a.generation);
    status.assignment = Some(Assignment { generation: generation + 1, ..Assignment::default() });
    status.offers.retain(|offer| !matches!(offer.state, OfferState::Open | OfferState::Accepted));
    if let Some(stops) = &mut status.stops {
        for stop in [&mut stops.pickup, &mut stops.dropoff] {
            if stop.state != StopState::Completed {
                *stop = StopStatus::default();
            }
        }
    }
}

/// Cuts the reason to its bound: the worst candidates go first.
fn shortened(mut reason: AssignmentReason) -> AssignmentReason {
    let size = |reason: &AssignmentReason| serde_json::to_string(reason).map_or(0, |json| json.len());
    if reason.summary.chars().count() > MAX_SUMMARY_CHARS {
        reason.summary = reason.summary.chars().take(MAX_SUMMARY_CHARS).collect();
    }
    while size(&reason) > MAX_REASON_BYTES && (reason.candidates.pop().is_some() || reason.ruled_out.pop().is_some()) {}
    reason
}

#[cfg(test)]
#[path = "binding_tests.rs"]
mod tests;
