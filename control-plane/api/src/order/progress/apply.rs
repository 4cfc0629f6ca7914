//! What each report makes of the facts, once it is known to be legal.

use jiff::Timestamp;

use super::{ReportError, invalid};
use crate::{
    order::{
        Attempt, Custody, Decision, Offer, OfferState, OrderSpec, OrderStatus, Proof, ProofType, StopKind, StopState,
        StopStatus,
        binding::{bound_driver, custodian, release_driver},
        conditions::missing_proofs,
    },
    subresource::{Report, ReportType},
};

/// An order that fails this often is a matter for people; older attempts say nothing to the next decision.
const MAX_ATTEMPTS_KEPT: usize = 50;
/// Refusals are remembered so that nobody is asked twice at once.
const MAX_OFFERS_KEPT: usize = 50;
/// Proofs of all attempts together.
const MAX_PROOFS_KEPT: usize = 100;

/// The names of the times in `StopStatus.inferred`.
pub(super) const DEPARTED_AT: &str = "departedAt";
pub(super) const ARRIVED_AT: &str = "arrivedAt";

pub(super) fn apply(spec: &OrderSpec, status: &mut OrderStatus, report: &Report) -> Result<(), ReportError> {
    let at = report.occurred_at;
    match report.type_ {
        ReportType::Schedule => status.release_at = report.release_at,
        ReportType::Release => {
            time_out_offers(status, at);
            status.released_at.get_or_insert(at);
        }
        ReportType::Offer => offer(status, report)?,
        ReportType::Accept => answer_offer(status, report, OfferState::Accepted)?,
        ReportType::Decline => answer_offer(status, report, OfferState::Declined)?,
        ReportType::Expire => status.expired_at = Some(at),
        ReportType::Decide => decide(status, report)?,
        ReportType::Depart => depart(current_stop(status, report), at),
        ReportType::Arrive => arrive(current_stop(status, report), at),
        ReportType::PickUp => {
            take_proofs(spec, status, report, StopKind::Pickup)?;
            complete(current_stop(status, report), at);
            status.custody = Custody::Driver;
        }
        ReportType::Deliver => {
            take_proofs(spec, status, report, StopKind::Dropoff)?;
            complete(current_stop(status, report), at);
            status.custody = Custody::Recipient;
        }
        ReportType::Fail => fail(status, report),
        ReportType::StartReturn => status.return_started_at = Some(at),
        ReportType::Returned => status.custody = Custody::Returned,
    }
    Ok(())
}

/// Which stop the driver is at or on the way to: the goods tell.
fn current(status: &OrderStatus) -> StopKind {
    if status.custody == Custody::Driver { StopKind::Dropoff } else { StopKind::Pickup }
}

fn current_stop<'a>(status: &'a mut OrderStatus, report: &Report) -> &'a mut StopStatus {
    let kind = current(status);
    let stops = status.stops.get_or_insert_default();
    let stop = match kind {
        StopKind::Pickup => &mut stops.pickup,
        StopKind::Dropoff => &mut stops.dropoff,
    };
    if report.location.is_some() {
        stop.location = report.location;
    }
    stop
}

fn depart(stop: &mut StopStatus, at: Timestamp) {
    stop.state = StopState::EnRoute;
    stop.departed_at = Some(at);
}

fn arrive(stop: &mut StopStatus, at: Timestamp) {
    infer(stop, DEPARTED_AT, at);
    stop.state = StopState::Arrived;
    stop.arrived_at = Some(at);
}

fn complete(stop: &mut StopStatus, at: Timestamp) {
    infer(stop, DEPARTED_AT, at);
    infer(stop, ARRIVED_AT, at);
    stop.state = StopState::Completed;
    stop.completed_at = Some(at);
}

/// A step that was skipped happened at the latest when the later one did.
fn infer(stop: &mut StopStatus, time: &str, at: Timestamp) {
    let field = if time == DEPARTED_AT { &mut stop.departed_at } else { &mut stop.arrived_at };
    if field.is_none() {
        *field = Some(at);
        stop.inferred.push(time.to_owned());
    }
}

fn take_proofs(spec: &OrderSpec, status: &mut OrderStatus, report: &Report, stop: StopKind) -> Result<(), ReportError> {
    let given: Vec<ProofType> = report.proof.iter().flatten().map(|proof| proof.type_).collect();
    let missing = missing_proofs(spec, status, stop, &given);
    if !missing.is_empty() {
        return Err(ReportError::ProofMissing { stop, missing });
    }
    keep_proofs(status, report, stop);
    Ok(())
}

fn keep_proofs(status: &mut OrderStatus, report: &Report, stop: StopKind) {
    for proof in report.proof.iter().flatten().filter(|proof| proof.type_ != ProofType::None) {
        // A PIN is a secret between the recipient and the server, and the order can be read by many.
        let reference = proof.reference.clone().filter(|_| proof.type_ != ProofType::Pin);
        status.proofs.push(Proof { stop, type_: proof.type_, reference, at: report.occurred_at });
    }
    let surplus = status.proofs.len().saturating_sub(MAX_PROOFS_KEPT);
    status.proofs.drain(..surplus);
}

fn fail(status: &mut OrderStatus, report: &Report) {
    let kind = current(status);
    keep_proofs(status, report, kind);
    let driver_name = bound_driver(status).or_else(|| custodian(status)).map(str::to_owned);
    let stop = current_stop(status, report);
    infer(stop, DEPARTED_AT, report.occurred_at);
    infer(stop, ARRIVED_AT, report.occurred_at);
    stop.state = StopState::Failed;
    stop.completed_at = Some(report.occurred_at);
    status.attempts.push(Attempt {
        reason: report.reason.clone().unwrap_or_default(),
        at: report.occurred_at,
        stop: kind,
        driver_name,
        location: report.location,
        note: report.note.clone(),
        decision: None,
    });
    let surplus = status.attempts.len().saturating_sub(MAX_ATTEMPTS_KEPT);
    status.attempts.drain(..surplus);
}

fn decide(status: &mut OrderStatus, report: &Report) -> Result<(), ReportError> {
    let Some(decision) = report.decision else { return Ok(()) };
    if decision == Decision::Return && status.custody != Custody::Driver {
        let message = "Invalid value: \"Return\": the goods never left the sender".to_owned();
        return Err(invalid("decision", message));
    }
    if let Some(attempt) = status.attempts.last_mut() {
        attempt.decision = Some(decision);
    }
    if decision == Decision::Retry {
        // Waits for a driver again. If the goods are with one, `bind` takes no other.
        release_driver(status);
    }
    Ok(())
}

fn offer(status: &mut OrderStatus, report: &Report) -> Result<(), ReportError> {
    let (Some(driver), Some(deadline)) = (report.driver.clone(), report.deadline) else { return Ok(()) };
    if custodian(status).is_some_and(|keeper| keeper != driver) {
        return Err(invalid("driver", format!("Invalid value: {driver:?}: another driver has the goods")));
    }
    time_out_offers(status, report.occurred_at);
    status.offers.retain(|held| held.driver != driver || held.state != OfferState::Open);
    status.offers.push(Offer { driver, deadline, state: OfferState::Open });
    let surplus = status.offers.len().saturating_sub(MAX_OFFERS_KEPT);
    status.offers.drain(..surplus);
    Ok(())
}

fn answer_offer(status: &mut OrderStatus, report: &Report, answer: OfferState) -> Result<(), ReportError> {
    let driver = report.driver.as_deref().unwrap_or_default();
    let open = status.offers.iter_mut().find(|o| o.driver == driver && o.state == OfferState::Open);
    let Some(offer) = open else {
        return Err(ReportError::NoOffer { driver: driver.to_owned() });
    };
    if answer == OfferState::Accepted && report.occurred_at > offer.deadline {
        return Err(invalid("occurredAt", format!("Invalid value: {}: after the deadline", report.occurred_at)));
    }
    offer.state = answer;
    Ok(())
}

/// Offers nobody answered: there is no clock here, so the report that looks at them carries the time.
fn time_out_offers(status: &mut OrderStatus, now: Timestamp) {
    for offer in status.offers.iter_mut().filter(|o| o.state == OfferState::Open && o.deadline <= now) {
        offer.state = OfferState::TimedOut;
    }
}
