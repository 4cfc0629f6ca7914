//! Webhooks: which events an endpoint wants, when it is tried again, when nothing more is sent to it, how it is signed.
//! Plain functions; what they decide is carried out elsewhere.

mod judge;
mod keys;
mod trial;

use std::time::Duration;

use dropmate_api::Webhook;

pub use self::{
    judge::{DISABLED, DISABLED_AFTER, Observation, Observed, enabled, judge},
    keys::{Keys, KeysError},
    trial::{TEST, event as test_event},
};

/// How long after each attempt the next one comes; who calls adds some chance. After the last there is none.
pub const SCHEDULE: [Duration; 7] = [
    Duration::from_secs(5),
    Duration::from_mins(5),
    Duration::from_mins(30),
    Duration::from_hours(2),
    Duration::from_hours(5),
    Duration::from_hours(10),
    Duration::from_hours(10),
];

/// Whether an endpoint wants events of a type. It does while it is suspended or disabled, too: what happens in the meantime
/// waits, or can be replayed.
pub fn wanted(webhook: &Webhook, event_type: &str) -> bool {
    let events = &webhook.spec.events;
    events.is_empty() || events.iter().any(|pattern| covers(pattern, event_type))
}

/// `order.delivered`, `order.*`, `*`.
fn covers(pattern: &str, event_type: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some("") => true,
        Some(prefix) => prefix.ends_with('.') && event_type.starts_with(prefix),
        None => pattern == event_type,
    }
}

/// How long after a failed attempt (the first is 1) the next one comes; `None`: it was the last.
pub fn retry_after(attempt: u32) -> Option<Duration> {
    SCHEDULE.get(usize::try_from(attempt.checked_sub(1)?).ok()?).copied()
}

/// Whether nothing is sent to an endpoint. A new generation of the spec is a new try.
pub fn is_disabled(webhook: &Webhook) -> bool {
    webhook
        .status
        .as_ref()
        .is_some_and(|status| status.disabled_at.is_some() && status.observed_generation == webhook.metadata.generation)
}

#[cfg(test)]
mod tests {
    use dropmate_api::webhook::{WebhookSpec, WebhookStatus};
    use jiff::Timestamp;

    use super::*;

    fn webhook(events: &[&str]) -> Webhook {
        let events = events.iter().map(|event| (*event).to_owned()).collect();
        Webhook::new("w", WebhookSpec { events, ..WebhookSpec::default() })
    }

    #[test]
    fn an_endpoint_gets_what_it_names() {
        for (events, wants, wants_not) in [
            (&[][..], &["order.created", "driver.available", "webhook.disabled"][..], &[][..]),
            (&["*"], &["order.created", "notification.failed"], &[]),
            (&["order.*"], &["order.created", "order.eta_changed"], &["orders.created", "order", "driver.silent"]),
            (
                &["order.delivered", "driver.*"],
                &["order.delivered", "driver.silent"],
                &["order.deliver", "order.delivered2"],
            ),
            (&["order*"], &[], &["order.created"]),
        ] {
            let webhook = webhook(events);
            assert!(wants.iter().all(|event| wanted(&webhook, event)), "{events:?}");
            assert!(!wants_not.iter().any(|event| wanted(&webhook, event)), "{events:?}");
        }
    }

    #[test]
    fn it_is_tried_eight_times_over_more_than_a_day() {
        let waits: Vec<_> = (1..).map_while(retry_after).collect();
        assert_eq!(waits.len() + 1, 8);
        assert_eq!(
            waits.iter().map(Duration::as_secs).collect::<Vec<_>>(),
            [5, 300, 1800, 7200, 18_000, 36_000, 36_000]
        );
        assert_eq!((retry_after(0), retry_after(8), retry_after(u32::MAX)), (None, None, None));
    }

    #[test]
    fn a_new_generation_is_a_new_try() {
        let mut webhook = webhook(&[]);
        webhook.metadata.generation = Some(3);
        assert!(!is_disabled(&webhook));
        let disabled_at = Some(Timestamp::UNIX_EPOCH);
        webhook.status = Some(WebhookStatus { disabled_at, observed_generation: Some(3), ..WebhookStatus::default() });
        assert!(is_disabled(&webhook));
        webhook.metadata.generation = Some(4);
        assert!(!is_disabled(&webhook));
    }
}
