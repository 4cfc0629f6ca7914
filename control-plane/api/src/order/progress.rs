//! Taking in a report: the one way by which facts about an order come to be, besides its binding.
//!
//! A report is found to be a replay, refused, used to fill a time that was only inferred, or applied. Who may send it
//! and under which lease it is made, the server checks before.

mod apply;
mod late;

use jiff::Timestamp;
use sha2::{Digest, Sha256};
use thiserror::Error;

use super::{
    Custody, Order, OrderStatus, Phase, ProofType, ReportRecord, StopKind, StopState,
    binding::{bound_driver, custodian},
    settle,
};
use crate::subresource::{Report, ReportAnswer, ReportOutcome, ReportType};

/// How many reports an order remembers to find replays. A delivery takes about ten; the rest is for retries.
pub const MAX_REPORTS: usize = 100;
/// A uuid has 36; the rest is for callers who put words into it.
const MAX_CLIENT_EVENT_ID_CHARS: usize = 128;
/// A sentence or two by a driver at a door.
const MAX_TEXT_CHARS: usize = 2000;
/// More than one of each kind, and still far from a body that swells the order.
const MAX_PROOFS: usize = 20;
/// Sixteen hex digits: chance does not make two reports of one order alike.
const DIGEST_CHARS: usize = 16;

/// A report that was taken in, now or before.
#[derive(Clone, Debug, PartialEq)]
pub struct Applied {
    /// The order after it; the same as before if it was a replay.
    pub order: Order,
    /// Whether it was new.
    pub outcome: ReportOutcome,
}

impl Applied {
    /// What `/progress` answers.
    pub fn answer(&self) -> ReportAnswer {
        ReportAnswer { outcome: self.outcome, phase: self.order.phase(), legal_next: legal_next(&self.order) }
    }
}

/// Why a report is refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ReportError {
    /// The order is not where this report could follow (409, with the legal types as causes).
    #[error("{} cannot follow in phase {phase:?}{detail}", type_.as_str())]
    Illegal {
        /// What was reported.
        type_: ReportType,
        /// Where the order is.
        phase: Phase,
        /// What could follow.
        legal_next: Vec<ReportType>,
        /// More about why; empty, or a clause that starts with a colon.
        detail: String,
    },
    /// The idempotency key stands for another report (422).
    #[error("clientEventId {client_event_id:?} was used before for a report with another body")]
    IdReused {
        /// The key.
        client_event_id: String,
    },
    /// The report itself is wrong (422).
    #[error("{field}: {message}")]
    Invalid {
        /// Which field.
        field: &'static str,
        /// In the words of Kubernetes: `Required value: …`.
        message: String,
    },
    /// The order asks for proofs that were not given (422, field `proof`).
    #[error("missing proof at the {}: {}", stop_name(*.stop), proof_names(.missing))]
    ProofMissing {
        /// At which stop.
        stop: StopKind,
        /// Which.
        missing: Vec<ProofType>,
    },
    /// The driver answers an offer that is not open (409).
    #[error("driver {driver:?} has no open offer of the order")]
    NoOffer {
        /// Who answered.
        driver: String,
    },
    /// The report is by somebody else than the driver of the order (403).
    #[error("the order is not driver {driver:?}'s")]
    OtherDriver {
        /// Who reported.
        driver: String,
    },
}

/// Takes in a report. `recorded_at` is the business time of the server.
pub fn report(order: &Order, report: &Report, recorded_at: Timestamp) -> Result<Applied, ReportError> {
    check_form(report)?;
    let status = order.status.clone().unwrap_or_default();
    let digest = digest(report);
    if let Some(before) = status.reports.iter().find(|r| r.client_event_id == report.client_event_id) {
        return if before.digest == digest {
            Ok(Applied { order: order.clone(), outcome: ReportOutcome::Replayed })
        } else {
            Err(ReportError::IdReused { client_event_id: report.client_event_id.clone() })
        };
    }
    let mut next = order.clone();
    let facts = next.status.insert(status);
    check_driver(facts, report)?;
    if late::is_late(facts, report) {
        if !late::fill(facts, report) {
            return Err(illegal(order, report.type_, ": it occurred before what is known already"));
        }
    } else if legal_next(order).contains(&report.type_) {
        apply::apply(&order.spec, facts, report)?;
    } else {
        return Err(illegal(order, report.type_, ""));
    }
    facts.reports.push(ReportRecord {
        client_event_id: report.client_event_id.clone(),
        type_: report.type_.as_str().to_owned(),
        occurred_at: report.occurred_at,
        recorded_at,
        digest,
    });
    let surplus = facts.reports.len().saturating_sub(MAX_REPORTS);
    facts.reports.drain(..surplus);
    settle(&mut next, recorded_at);
    Ok(Applied { order: next, outcome: ReportOutcome::Applied })
}

/// Whether the order remembers a report with that idempotency key.
pub fn is_known(order: &Order, report: &Report) -> bool {
    let known = order.status.iter().flat_map(|status| &status.reports);
    known.into_iter().any(|held| held.client_event_id == report.client_event_id)
}

/// What may be reported next: the driver's types first, the nearest step first, then those of the dispatch agent.
pub fn legal_next(order: &Order) -> Vec<ReportType> {
    use ReportType as R;
    let none = OrderStatus::default();
    let status = order.status.as_ref().unwrap_or(&none);
    let dropoff_pending = status.stops.as_ref().is_none_or(|s| s.dropoff.state == StopState::Pending);
    match super::phase::phase(&order.spec, status) {
        // Released already: a hold brought it back here, and lifting the hold lets it go on.
        Phase::Pending | Phase::Scheduled if status.released_at.is_some() => vec![],
        Phase::Pending | Phase::Scheduled if order.spec.hold => vec![R::Schedule],
        Phase::Pending | Phase::Scheduled => vec![R::Schedule, R::Release],
        // Goods that a driver still has are not given up for lateness.
        Phase::Ready if status.custody == Custody::Driver => vec![R::Offer],
        Phase::Ready => vec![R::Offer, R::Expire],
        Phase::Offered if status.custody == Custody::Driver => vec![R::Accept, R::Decline, R::Release, R::Offer],
        Phase::Offered => vec![R::Accept, R::Decline, R::Release, R::Offer, R::Expire],
        Phase::Assigned if status.custody == Custody::Driver => vec![R::Depart, R::Arrive],
        Phase::Assigned => vec![R::Depart, R::Arrive, R::PickUp],
        Phase::EnRouteToPickup => vec![R::Arrive, R::PickUp],
        Phase::AtPickup => vec![R::PickUp, R::Fail],
        Phase::OutForDelivery if dropoff_pending => vec![R::Depart, R::Arrive, R::Deliver, R::Fail],
        Phase::OutForDelivery => vec![R::Arrive, R::Deliver, R::Fail],
        Phase::AtDropoff => vec![R::Deliver, R::Fail],
        Phase::AttemptFailed => vec![R::Decide],
        Phase::Returning if status.return_started_at.is_none() => vec![R::StartReturn, R::Returned],
        Phase::Returning => vec![R::Returned],
        Phase::Delivered | Phase::Returned | Phase::Cancelled | Phase::Failed | Phase::Expired => vec![],
    }
}

/// What holds for a report whatever order it is about.
fn check_form(report: &Report) -> Result<(), ReportError> {
    let required = |field, what: &str| Err(invalid(field, format!("Required value: {what}")));
    let too_long =
        |field, most: usize| Err(invalid(field, format!("Too long: may not be more than {most} characters")));
    if report.client_event_id.is_empty() {
        return required("clientEventId", "an idempotency key");
    }
    if report.client_event_id.chars().count() > MAX_CLIENT_EVENT_ID_CHARS {
        return too_long("clientEventId", MAX_CLIENT_EVENT_ID_CHARS);
    }
    for (field, text) in [("reason", &report.reason), ("note", &report.note), ("driver", &report.driver)] {
        if text.as_ref().is_some_and(|text| text.chars().count() > MAX_TEXT_CHARS) {
            return too_long(field, MAX_TEXT_CHARS);
        }
    }
    let proofs = report.proof.as_deref().unwrap_or_default();
    if proofs.len() > MAX_PROOFS {
        return Err(invalid("proof", format!("Too many: {}: must have at most {MAX_PROOFS} items", proofs.len())));
    }
    if proofs.iter().filter_map(|p| p.reference.as_ref()).any(|text| text.chars().count() > MAX_TEXT_CHARS) {
        return too_long("proof.reference", MAX_TEXT_CHARS);
    }
    if let Some(place) = report.location {
        if !(-90.0..=90.0).contains(&place.latitude) {
            let message = format!("Invalid value: {}: must be between -90 and 90", place.latitude);
            return Err(invalid("location.latitude", message));
        }
        if !(-180.0..=180.0).contains(&place.longitude) {
            let message = format!("Invalid value: {}: must be between -180 and 180", place.longitude);
            return Err(invalid("location.longitude", message));
        }
    }
    match report.type_ {
        ReportType::Fail if report.reason.as_ref().is_none_or(String::is_empty) => {
            required("reason", "why the attempt failed")
        }
        ReportType::Accept | ReportType::Decline | ReportType::Offer if report.driver.is_none() => {
            required("driver", "whose offer it is")
        }
        ReportType::Offer if report.deadline.is_none() => required("deadline", "until when the offer stands"),
        ReportType::Schedule if report.release_at.is_none() => required("releaseAt", "when the order is released"),
        ReportType::Decide if report.decision.is_none() => required("decision", "what follows the failed attempt"),
        _ => Ok(()),
    }
}

/// A report that names its driver must be by the one who is bound, or who still has the goods.
fn check_driver(status: &OrderStatus, report: &Report) -> Result<(), ReportError> {
    if report.type_.is_dispatch() || matches!(report.type_, ReportType::Accept | ReportType::Decline) {
        return Ok(());
    }
    match (&report.driver, bound_driver(status).or_else(|| custodian(status))) {
        (Some(driver), Some(bound)) if driver != bound => Err(ReportError::OtherDriver { driver: driver.clone() }),
        _ => Ok(()),
    }
}

/// What makes two reports the same one: all of it but the lease it was made under, which changes when it is repeated, and
/// the PIN. Of a million PINs the one with that digest is found in no time, and the digest can be read by many.
fn digest(report: &Report) -> String {
    let mut plain = Report { fence: None, ..report.clone() };
    for proof in plain.proof.iter_mut().flatten().filter(|proof| proof.type_ == ProofType::Pin) {
        proof.reference = None;
    }
    let json = serde_json::to_vec(&plain).expect("a report is plain data and always becomes JSON");
    let mut digest = hex::encode(Sha256::digest(json));
    digest.truncate(DIGEST_CHARS);
    digest
}

fn illegal(order: &Order, type_: ReportType, detail: &str) -> ReportError {
    let phase = super::phase::phase(&order.spec, order.status.as_ref().unwrap_or(&OrderStatus::default()));
    ReportError::Illegal { type_, phase, legal_next: legal_next(order), detail: detail.to_owned() }
}

fn invalid(field: &'static str, message: String) -> ReportError {
    ReportError::Invalid { field, message }
}

fn stop_name(stop: StopKind) -> &'static str {
    match stop {
        StopKind::Pickup => "pickup",
        StopKind::Dropoff => "dropoff",
    }
}

fn proof_names(proofs: &[ProofType]) -> String {
    let names: Vec<String> = proofs.iter().map(|proof| format!("{proof:?}").to_lowercase()).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests;
