//! The phase of an order, recomputed from its spec and its facts at every write.
//!
//! There is no clock and no policy here: whatever time or policy decided has become a fact before (`releasedAt`,
//! `expiredAt`, an offer's state, an attempt's decision). So anyone who holds an order can check its phase.

use super::{Attempt, Custody, Decision, OfferState, OrderSpec, OrderStatus, Phase, StopKind, StopState};

/// Where the order is in its life. Total: every spec with every status has a phase.
///
/// What ended an order is looked at first, so that a finished order never moves again, whatever is written into its
/// spec afterwards.
pub fn phase(spec: &OrderSpec, status: &OrderStatus) -> Phase {
    ended(spec, status).or_else(|| turned_back(spec, status)).unwrap_or_else(|| {
        if status.assignment.as_ref().is_some_and(|a| a.driver_name.is_some()) {
            under_way(status)
        } else {
            waiting(spec, status)
        }
    })
}

/// The terminal phases.
fn ended(spec: &OrderSpec, status: &OrderStatus) -> Option<Phase> {
    let decision = last_decision(status);
    match status.custody {
        Custody::Recipient => return Some(Phase::Delivered),
        // Only two things send goods back: a failed attempt and a cancellation. Which one it was is what the phase
        // tells, and a cancellation written after the goods came back changes nothing.
        Custody::Returned if spec.cancelled && decision != Some(Decision::Return) => return Some(Phase::Cancelled),
        Custody::Returned => return Some(Phase::Returned),
        Custody::Sender | Custody::Driver => {}
    }
    match decision {
        Some(Decision::Fail) => return Some(Phase::Failed),
        // Nothing to bring back: the goods never left. `report` refuses this decision.
        Some(Decision::Return) if status.custody == Custody::Sender => return Some(Phase::Failed),
        _ => {}
    }
    if status.expired_at.is_some() {
        return Some(Phase::Expired);
    }
    (spec.cancelled && status.custody == Custody::Sender).then_some(Phase::Cancelled)
}

/// The goods are with a driver and go back, or nobody has decided yet.
fn turned_back(spec: &OrderSpec, status: &OrderStatus) -> Option<Phase> {
    if spec.cancelled || last_decision(status) == Some(Decision::Return) {
        return Some(Phase::Returning);
    }
    let undecided = status.attempts.last().is_some_and(|attempt| attempt.decision.is_none());
    undecided.then_some(Phase::AttemptFailed)
}

/// Bound: the stops tell how far the driver is.
fn under_way(status: &OrderStatus) -> Phase {
    let stops = status.stops.as_ref();
    let pickup = stops.map(|s| s.pickup.state).unwrap_or_default();
    let dropoff = stops.map(|s| s.dropoff.state).unwrap_or_default();
    match (status.custody, pickup, dropoff) {
        (Custody::Driver, _, StopState::Arrived) => Phase::AtDropoff,
        (Custody::Driver, _, StopState::Pending) if awaits_retry(status) => Phase::Assigned,
        (Custody::Driver, ..) => Phase::OutForDelivery,
        (_, StopState::Arrived, _) => Phase::AtPickup,
        (_, StopState::EnRoute, _) => Phase::EnRouteToPickup,
        _ => Phase::Assigned,
    }
}

/// Not bound: waits for its time, or for a driver.
fn waiting(spec: &OrderSpec, status: &OrderStatus) -> Phase {
    // A hold takes effect after the release, too: the order leaves the drivers' queue until it is lifted.
    if status.released_at.is_some() && !spec.hold {
        let offered = status.offers.iter().any(|o| matches!(o.state, OfferState::Open | OfferState::Accepted));
        if offered { Phase::Offered } else { Phase::Ready }
    } else if status.release_at.is_some() {
        Phase::Scheduled
    } else {
        Phase::Pending
    }
}

fn last_decision(status: &OrderStatus) -> Option<Decision> {
    status.attempts.last().and_then(|attempt| attempt.decision)
}

/// Whether the goods are still with the driver from an attempt at the door that is to be repeated.
pub(super) fn awaits_retry(status: &OrderStatus) -> bool {
    let again = |attempt: &Attempt| attempt.stop == StopKind::Dropoff && attempt.decision == Some(Decision::Retry);
    status.custody == Custody::Driver && status.attempts.last().is_some_and(again)
}

#[cfg(test)]
#[path = "phase_tests.rs"]
mod tests;
