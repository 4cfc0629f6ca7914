//! How long a message is worth sending, and what makes it old before.

use std::time::Duration;

use super::Happened;
use crate::store::Stale;

/// What is said of a moment, and of no use after it.
const BRIEF: Duration = Duration::from_hours(2);

/// What is said of the day.
const DAY: Duration = Duration::from_hours(24);

/// The order ends, or goes another way.
const ENDS: [&str; 8] = [
    "order.dropoff_arrived",
    "order.delivered",
    "order.attempt_failed",
    "order.return_started",
    "order.returned",
    "order.cancelled",
    "order.expired",
    "order.deleted",
];

/// Messages that become old, by their event, and by which events beside [`ENDS`]. The event itself, when it happens anew,
/// supersedes what was said before.
const OLD_BY: [(&str, &[&str]); 6] = [
    ("order.offered", &["order.offered", "order.offer_declined", "order.offer_expired", "order.assigned"]),
    ("order.assigned", &["order.assigned", "order.unassigned", "order.out_for_delivery", "order.arriving"]),
    ("order.out_for_delivery", &["order.out_for_delivery", "order.unassigned", "order.arriving"]),
    ("order.arriving", &["order.arriving", "order.unassigned"]),
    ("order.delayed", &["order.delayed"]),
    ("order.eta_changed", &["order.eta_changed"]),
];

/// How long a message about that event is worth sending.
pub(super) fn life(event: &str) -> Duration {
    match event {
        "order.offered" | "order.arriving" | "order.delayed" | "order.eta_changed" | "order.dropoff_arrived" => BRIEF,
        _ => DAY,
    }
}

/// What messages about that event grow old as, if they do.
pub(super) fn class(event: &str) -> Option<&'static str> {
    OLD_BY.iter().find(|(class, _)| *class == event).map(|(class, _)| *class)
}

/// What an event makes old.
pub(super) fn made_old(happened: &Happened<'_>) -> Vec<Stale> {
    let event = happened.event.type_.as_str();
    // A delivery that was given up has no event of its own.
    let given_up =
        happened.order.and_then(|order| order.pointer("/status/phase")).is_some_and(|phase| phase == "Failed");
    let ends = given_up || ENDS.contains(&event);
    let old = OLD_BY.iter().filter(|(_, by)| by.contains(&event) || ends);
    old.map(|(class, _)| Stale {
        uid: happened.uid.to_owned(),
        class,
        revision: happened.revision,
        by: event.to_owned(),
    })
    .collect()
}
