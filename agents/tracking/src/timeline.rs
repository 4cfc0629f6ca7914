//! What happened to an order, entry by entry: derived from its state, so that it is complete whatever was missed, and from
//! what tracking itself sees.

use dropmate_api::{
    Order, Phase,
    order::{Custody, Decision, OfferState, ReportRecord, StopKind},
    subresource::ReportType,
};
use jiff::Timestamp;
use kube::ResourceExt;
use serde_json::{Value, json};

use crate::stops::{generation, stop_status};

/// One entry.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// What makes it this one among those of the order.
    pub key: String,
    /// When it happened (business time).
    pub at: Timestamp,
    /// What, in CamelCase; the reason of the Event that tells it.
    pub what: &'static str,
    /// More, an object; never an address or a person's name.
    pub detail: Value,
    /// Whether a later look that says something else is right: facts are corrected by late reports, what was seen once is
    /// not.
    pub corrected: bool,
}

impl Entry {
    /// Something that was seen, and is said once.
    pub fn seen(key: String, at: Timestamp, what: &'static str, detail: Value) -> Self {
        Self { key, at, what, detail, corrected: false }
    }

    fn fact(key: impl Into<String>, at: Timestamp, what: &'static str, detail: Value) -> Self {
        Self { key: key.into(), at, what, detail, corrected: true }
    }
}

/// What the order's state tells, in order of time. `now` (business time) stands for what has no time of its own.
pub fn of_order(order: &Order, now: Timestamp) -> Vec<Entry> {
    let mut entries = Vec::new();
    let created = order.placed_at().or_else(|| order.creation_timestamp().map(|time| time.0));
    entries.push(Entry::fact("placed", created.unwrap_or(now), "Placed", json!({})));
    let Some(status) = &order.status else { return entries };
    let said = |type_: ReportType| {
        status.reports.iter().filter(move |report| report.type_ == type_.as_str()).map(|report| report.occurred_at)
    };
    if let (Some(release_at), Some(at)) = (status.release_at, said(ReportType::Schedule).next_back()) {
        entries.push(Entry::fact("scheduled", at, "Scheduled", json!({"releaseAt": release_at})));
    }
    if let Some(at) = status.released_at {
        entries.push(Entry::fact("released", at, "Released", json!({})));
    }
    offers(order, &status.reports, &mut entries);
    bindings(order, now, &mut entries);
    stops(order, &mut entries);
    let decisions: Vec<Timestamp> = said(ReportType::Decide).collect();
    for (index, attempt) in status.attempts.iter().enumerate() {
        let detail = json!({"stop": attempt.stop, "reason": attempt.reason});
        entries.push(Entry::fact(format!("attempt:{index}:failed"), attempt.at, "AttemptFailed", detail));
        if let Some(decision) = attempt.decision {
            let what = match decision {
                Decision::Retry => "RetryDecided",
                Decision::Return => "ReturnDecided",
                Decision::Fail => "FailureDecided",
            };
            let at = decisions.get(index).copied().unwrap_or(attempt.at);
            entries.push(Entry::fact(format!("attempt:{index}:decided"), at, what, json!({})));
        }
    }
    if let Some(at) = status.return_started_at {
        entries.push(Entry::fact("return:started", at, "ReturnStarted", json!({})));
    }
    if let Some(at) = status.expired_at {
        entries.push(Entry::fact("expired", at, "Expired", json!({})));
    }
    let ended = match status.phase {
        Phase::Returned => Some("Returned"),
        Phase::Cancelled => Some("Cancelled"),
        Phase::Failed => Some("Failed"),
        _ => None,
    };
    if let (Some(what), Some(at)) = (ended, status.finished_at) {
        entries.push(Entry::fact("ended", at, what, json!({})));
    }
    // A sort that is stable: what happened in the same moment stays in the turn of an order's life.
    entries.sort_by_key(|entry| entry.at);
    entries
}

fn offers(order: &Order, reports: &[ReportRecord], entries: &mut Vec<Entry>) {
    let Some(status) = &order.status else { return };
    let said = |type_: ReportType| {
        let of_type = reports.iter().filter(move |report| report.type_ == type_.as_str());
        of_type.map(|report| report.occurred_at).collect::<Vec<_>>()
    };
    let offered = said(ReportType::Offer);
    let (mut accepts, mut refusals) = (said(ReportType::Accept).into_iter(), said(ReportType::Decline).into_iter());
    for (index, offer) in status.offers.iter().enumerate() {
        let detail = json!({"driver": offer.driver});
        // The same driver may be asked again later: the deadline tells the offers apart.
        let key = |what: &str| format!("offer:{}:{}:{what}", offer.driver, offer.deadline.as_millisecond());
        let at = offered.get(index).copied().unwrap_or(offer.deadline);
        entries.push(Entry::fact(key("made"), at, "Offered", detail.clone()));
        let (what, at) = match offer.state {
            OfferState::Open => continue,
            OfferState::Accepted => ("OfferAccepted", accepts.next().unwrap_or(offer.deadline)),
            OfferState::Declined => ("OfferDeclined", refusals.next().unwrap_or(offer.deadline)),
            OfferState::TimedOut => ("OfferTimedOut", offer.deadline),
        };
        entries.push(Entry::fact(key("answered"), at, what, detail));
    }
}

fn bindings(order: &Order, now: Timestamp, entries: &mut Vec<Entry>) {
    let Some(assignment) = order.status.as_ref().and_then(|status| status.assignment.as_ref()) else { return };
    let generation = assignment.generation;
    if generation > 0 {
        // The state tells that it happened, not when: the first look counts.
        let detail = json!({"times": generation});
        entries.push(Entry::seen(format!("unassigned:{generation}"), now, "Unassigned", detail));
    }
    if let (Some(driver), Some(at)) = (&assignment.driver_name, assignment.bound_at) {
        let detail = json!({"driver": driver});
        entries.push(Entry::fact(format!("assigned:{generation}"), at, "Assigned", detail));
    }
}

fn stops(order: &Order, entries: &mut Vec<Entry>) {
    let Some(status) = &order.status else { return };
    for (kind, departed, arrived) in
        [(StopKind::Pickup, "PickupEnRoute", "PickupArrived"), (StopKind::Dropoff, "DropoffEnRoute", "DropoffArrived")]
    {
        let Some(stop) = stop_status(order, kind) else { continue };
        let turn = turn(order, kind);
        let detail = |time: &str| {
            if stop.inferred.iter().any(|inferred| inferred == time) { json!({"inferred": true}) } else { json!({}) }
        };
        let stop_name = if kind == StopKind::Pickup { "pickup" } else { "dropoff" };
        if let Some(at) = stop.departed_at {
            let detail = detail("departedAt");
            entries.push(Entry::fact(format!("{stop_name}:{turn}:departed"), at, departed, detail));
        }
        if let Some(at) = stop.arrived_at {
            let detail = detail("arrivedAt");
            entries.push(Entry::fact(format!("{stop_name}:{turn}:arrived"), at, arrived, detail));
        }
        let done = match (kind, status.custody) {
            (StopKind::Pickup, Custody::Driver | Custody::Recipient | Custody::Returned) => "PickedUp",
            (StopKind::Dropoff, Custody::Recipient) => "Delivered",
            _ => continue,
        };
        if let Some(at) = stop.completed_at {
            entries.push(Entry::fact(format!("{stop_name}:done"), at, done, json!({})));
        }
    }
}

/// In which of its turns a stop is: those before were taken back with the binding. A pickup that was completed stays when
/// the door is tried again.
fn turn(order: &Order, kind: StopKind) -> i64 {
    let Some(status) = &order.status else { return 0 };
    let generation = generation(order);
    if kind == StopKind::Dropoff || status.custody == Custody::Sender {
        return generation;
    }
    let again = |attempt: &&dropmate_api::order::Attempt| {
        attempt.stop == StopKind::Dropoff && attempt.decision == Some(Decision::Retry)
    };
    generation - status.attempts.iter().filter(again).count() as i64
}

/// Whether the geofence says something that the order does not: an arrival to be proposed.
pub fn is_arrival_news(order: &Order, kind: StopKind) -> bool {
    stop_status(order, kind).is_none_or(|stop| stop.arrived_at.is_none())
}
