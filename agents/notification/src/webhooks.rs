//! Which events a Webhook wants, and when a delivery is tried again.

use std::time::Duration;

use dropmate_api::Webhook;

/// When a delivery is tried again, by how often it was tried.
const SCHEDULE: [Duration; 7] = [
    Duration::from_secs(5),
    Duration::from_mins(5),
    Duration::from_mins(30),
    Duration::from_hours(2),
    Duration::from_hours(5),
    Duration::from_hours(10),
    Duration::from_hours(10),
];

/// Whether the endpoint wants to hear of such events.
pub fn wanted(webhook: &Webhook, event_type: &str) -> bool {
    let events = &webhook.spec.events;
    events.is_empty() || events.iter().any(|pattern| match pattern.strip_suffix('*') {
        Some(start) => event_type.starts_with(start),
        None => pattern == event_type,
    })
}

/// How long after attempt number `attempt` (from 1) the next one is; `None`: there is none.
pub fn retry_after(attempt: u32) -> Option<Duration> {
    SCHEDULE.get(attempt.checked_sub(1)? as usize).copied()
}
