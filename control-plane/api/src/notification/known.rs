//! The names of the domain events, for rules and webhooks that name them.

use serde_json::Value;

use crate::{
    events::catalog::{self, Subject},
    validation::Cause,
};

/// The events that a rule may name: those that are told with an order.
pub fn of_rules() -> impl Iterator<Item = &'static str> + Clone {
    catalog::ALL.iter().filter(|event| event.subject == Subject::Order && !event.transient).map(|event| event.name)
}

/// The events that a webhook may name: those that are kept, so that they can be sent again.
pub fn of_webhooks() -> impl Iterator<Item = &'static str> + Clone {
    catalog::ALL.iter().filter(|event| !event.transient).map(|event| event.name)
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
    known: &(impl Iterator<Item = &'static str> + Clone),
) {
    for (index, pattern) in patterns.iter().enumerate() {
        let field = format!("{field}[{index}]");
        if catalog::ALL.iter().any(|event| event.transient && event.name == pattern) {
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
    fn rules_name_events_of_orders_and_webhooks_all_that_are_kept() {
        assert!(
            of_rules().any(|event| event == "notification.failed") && of_rules().all(|event| event != "driver.silent")
        );
        assert!(of_webhooks().any(|event| event == "webhook.disabled"));
        assert!(of_webhooks().all(|event| event != "driver.location"));
    }

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
