//! What tracking says about an order beside its ETA: whether the promise is at risk or broken, whether its driver is
//! silent, and whether he is about to arrive. And when an ETA has moved enough to be written.

use dropmate_api::{
    Condition, Order, Phase,
    common::{ConditionStatus, set_condition},
};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

/// Expected later than this before the promise, an order is at risk.
pub const RISK_SLACK: SignedDuration = SignedDuration::from_mins(5);

/// Only when expected this much earlier than that, it is no longer: estimates tremble.
const RISK_HYSTERESIS: SignedDuration = SignedDuration::from_mins(2);

/// An ETA is written again only when it has moved by this much: every write wakes watchers.
pub const ETA_STEP: SignedDuration = SignedDuration::from_secs(60);

/// And not sooner than this after it was written before (business time).
pub const ETA_PAUSE: SignedDuration = SignedDuration::from_secs(30);

/// A driver with orders who is not heard of for longer than this is silent.
pub const SILENCE: SignedDuration = SignedDuration::from_mins(5);

/// A driver who goes to the door next and is expected this soon is arriving: time enough to put on one's shoes.
pub const ARRIVING_WITHIN: SignedDuration = SignedDuration::from_mins(10);

/// And so is one who goes there next and is as near as this, whatever the streets do to the estimate.
pub const ARRIVING_METERS: f64 = 500.0;

/// The condition of an order whose driver is about to arrive.
pub const ARRIVING: &str = "Arriving";

/// The conditions of an order that tracking writes.
pub const OURS: [&str; 4] = [ARRIVING, "AtRisk", "Late", "TrackingStale"];

/// Tracking's part of an order's status.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Part {
    /// When the goods are expected at the door.
    pub eta: Option<Timestamp>,
    /// The conditions of [`OURS`].
    pub conditions: Vec<Condition>,
}

impl Part {
    /// As it stands in the order.
    pub fn of(order: &Order) -> Self {
        let Some(status) = &order.status else { return Self::default() };
        let ours = |condition: &&Condition| OURS.contains(&condition.type_.as_str());
        Self { eta: status.eta, conditions: status.conditions.iter().filter(ours).cloned().collect() }
    }

    /// For server-side apply.
    pub fn to_json(&self) -> Value {
        let mut status = serde_json::json!({"conditions": self.conditions});
        if let Some(eta) = self.eta {
            status["eta"] = serde_json::json!(eta);
        }
        status
    }

    /// Whether the condition holds.
    pub fn holds(&self, type_: &str) -> bool {
        self.conditions.iter().any(|held| held.type_ == type_ && held.status == ConditionStatus::True)
    }
}

/// What is known of an order when tracking looks at it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Knowledge<'a> {
    /// When the goods are expected at the door, if anybody has them or goes for them.
    pub eta: Option<Timestamp>,
    /// When tracking wrote an ETA last.
    pub eta_written_at: Option<Timestamp>,
    /// The driver who is silent, and since when.
    pub silent: Option<(&'a str, Timestamp)>,
    /// The door is where the driver goes next: how far it is, in metres.
    pub next_door: Option<f64>,
}

/// The part that should stand in the order.
pub fn part(order: &Order, known: Knowledge<'_>, now: Timestamp) -> Part {
    let mut part = Part::of(order);
    let ended = order.phase().is_terminal();
    let due_by = order.spec.due_by;
    if !ended {
        part.eta = eta(part.eta, known, due_by, now);
    }
    let late = due_by.filter(|due_by| !ended && now > *due_by);
    let at_risk = due_by.filter(|due_by| !ended && risks(*due_by, known.eta, now, part.holds("AtRisk")));
    let silent = known.silent.filter(|_| !ended);
    let arriving = is_arriving(order, &part, known, now);
    let wanted = [
        (ARRIVING, arriving.then(String::new), "NextStop", "NotOnTheWay"),
        ("AtRisk", at_risk.map(|due_by| risk_message(due_by, known.eta)), "ExpectedLate", "InTime"),
        ("Late", late.map(|due_by| format!("promised for {due_by}")), "PromisePassed", "InTime"),
        (
            "TrackingStale",
            silent.map(|(driver, since)| format!("driver {driver} has not been heard of since {since}")),
            "DriverSilent",
            "DriverHeard",
        ),
    ];
    for (type_, message, yes, no) in wanted {
        let known = part.conditions.iter().any(|held| held.type_ == type_);
        // A condition that never mattered to this order is not worth a line in `describe`.
        if message.is_none() && !known {
            continue;
        }
        let status = if message.is_some() { ConditionStatus::True } else { ConditionStatus::False };
        if part.conditions.iter().any(|held| held.type_ == type_ && held.status == status) {
            // It is said once; what moves in the message is the ETA, which stands beside it.
            continue;
        }
        let reason = match (&message, ended) {
            (Some(_), _) => yes,
            (None, true) => "Finished",
            (None, false) => no,
        };
        let next = Condition {
            type_: type_.to_owned(),
            status,
            reason: reason.to_owned(),
            message: message.unwrap_or_default(),
            last_transition_time: now,
            observed_generation: order.metadata.generation,
        };
        set_condition(&mut part.conditions, next);
    }
    part
}

/// Whether the driver is about to be at the door. Once that was said it holds for as long as he is on the way: nobody is told
/// that he comes after all a little later, and then again that he comes.
fn is_arriving(order: &Order, part: &Part, known: Knowledge<'_>, now: Timestamp) -> bool {
    if order.phase() != Phase::OutForDelivery {
        return false;
    }
    let soon = || known.eta.is_some_and(|eta| eta.duration_since(now) <= ARRIVING_WITHIN);
    let near = |meters: f64| meters <= ARRIVING_METERS;
    part.holds(ARRIVING) || known.silent.is_none() && known.next_door.is_some_and(|meters| near(meters) || soon())
}

/// The ETA that should stand there: the new one if it has moved enough, or to the other side of the promise.
fn eta(held: Option<Timestamp>, known: Knowledge<'_>, due_by: Option<Timestamp>, now: Timestamp) -> Option<Timestamp> {
    let (Some(was), Some(eta)) = (held, known.eta) else { return known.eta };
    let moved = eta.duration_since(was).abs() >= ETA_STEP;
    let crossed = due_by.is_some_and(|due_by| (was > due_by) != (eta > due_by));
    let rested = known.eta_written_at.is_none_or(|at| now.duration_since(at) >= ETA_PAUSE);
    if rested && (moved || crossed) { Some(eta) } else { Some(was) }
}

fn risks(due_by: Timestamp, eta: Option<Timestamp>, now: Timestamp, held: bool) -> bool {
    let slack = if held { RISK_SLACK + RISK_HYSTERESIS } else { RISK_SLACK };
    // Nobody can be there before now.
    let expected = eta.unwrap_or(now).max(now);
    due_by.checked_sub(slack).is_ok_and(|limit| expected > limit)
}

fn risk_message(due_by: Timestamp, eta: Option<Timestamp>) -> String {
    match eta {
        Some(eta) => format!("expected at {eta}, promised for {due_by}"),
        None => format!("no driver yet, promised for {due_by}"),
    }
}

/// When what [`part`] says changes by time alone.
pub fn changes_at(order: &Order, known: Knowledge<'_>, now: Timestamp) -> Option<Timestamp> {
    if order.phase().is_terminal() {
        return None;
    }
    let due_by = order.spec.due_by;
    let unexpected = known.eta.is_none_or(|eta| eta <= now);
    let risky = due_by.filter(|_| unexpected).and_then(|due_by| due_by.checked_sub(RISK_SLACK).ok());
    let waits = order.phase() == Phase::OutForDelivery && known.next_door.is_some() && !Part::of(order).holds(ARRIVING);
    let arriving = known.eta.filter(|_| waits).and_then(|eta| eta.checked_sub(ARRIVING_WITHIN).ok());
    [risky, due_by, arriving].into_iter().flatten().filter(|at| *at >= now).min()
}
