//! The names of the domain events, for rules and webhooks that name them.

use serde_json::Value;

use crate::validation::Cause;

/// What happens to an order. The `data` of each has the whole order.
pub const ORDER_EVENTS: [&str; 24] = [
    "order.created",
    "order.updated",
    "order.ready",
    "order.offered",
    "order.offer_declined",
    "order.offer_expired",
    "order.assigned",
    "order.unassigned",
    "order.unassignable",
    "order.pickup_enroute",
    "order.pickup_arrived",
    "order.picked_up",
    "order.out_for_delivery",
    "order.arriving",
    "order.dropoff_arrived",
    "order.delivered",
    "order.attempt_failed",
    "order.return_started",
    "order.returned",
    "order.cancelled",
    "order.expired",
    "order.delayed",
    "order.eta_changed",
    "order.deleted",
];

/// What else is told with the order it is about.
pub const ABOUT_ORDERS: [&str; 2] = ["delivery.updated", "notification.failed"];

/// What is told of other things.
pub const OTHER_EVENTS: [&str; 4] = ["driver.available", "driver.unavailable", "driver.silent", "webhook.disabled"];

/// What only streams carry: it is not kept, and nothing that may be late sends it.
pub const TRANSIENT: &str = "driver.location";

/// The events that a rule may name.
pub fn of_rules() -> impl Iterator<Item = &'static str> + Clone {
    ORDER_EVENTS.into_iter().chain(ABOUT_ORDERS)
}

/// The events that a webhook may name.
pub fn of_webhooks() -> impl Iterator<Item = &'static str> + Clone {
    of_rules().chain(OTHER_EVENTS)
}

/// Whether the pattern means the event: its name, `order.*`, or `*`.
pub fn covers(pattern: &str, event: &str) -> bool {
    match pattern.strip_suffix('*') {
        None => pattern == event,
        Some(start) => (start.is_empty() || start.ends_with('.')) && event.starts_with(start),
    }
}

/// Holds a list of patterns to the events there are: one that means none of them would wait for ever.
pub(crate) fn check(
    causes: &mut Vec<Cause>,
    field: &str,
    patterns: &[String],
    known: impl Iterator<Item = &'static str> + Clone,
) {
    for (index, pattern) in patterns.iter().enumerate() {
        let field = format!("{field}[{index}]");
        if pattern == TRANSIENT {
            causes.push(Cause::invalid(
                field,
                &Value::from(pattern.as_str()),
                "positions are told live only (GET /v1/stream): they are not kept, so that nothing can send them later",
            ));
        } else if !known.clone().any(|event| covers(pattern, event)) {
            let mut supported: Vec<&str> = known.clone().collect();
            supported.push("order.*");
            causes.push(Cause::not_supported(field, &Value::from(pattern.as_str()), &supported));
        } else if patterns[..index].contains(pattern) {
            causes.push(Cause::duplicate(field, &Value::from(pattern.as_str())));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_ends_at_a_dot() {
        assert!(covers("order.delivered", "order.delivered"));
        assert!(covers("order.*", "order.delivered"));
        assert!(covers("*", "driver.silent"));
        for (pattern, event) in
            [("order.*", "delivery.updated"), ("order.de*", "order.delivered"), ("order", "order.delivered"), ("", "x")]
        {
            assert!(!covers(pattern, event), "{pattern} {event}");
        }
    }
}
