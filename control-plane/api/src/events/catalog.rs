//! All events that there are, by name: for those who subscribe, for checks of what they subscribe to, and for documents.

/// What an event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// An Order.
    Order,
    /// A Driver.
    Driver,
    /// A Webhook.
    Webhook,
}

/// An event that there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventType {
    /// `order.assigned`, …
    pub name: &'static str,
    /// What it is about.
    pub subject: Subject,
    /// What it says, as a sentence.
    pub summary: &'static str,
    /// Whether it is told only while it happens, and to nobody later.
    pub transient: bool,
}

const fn order(name: &'static str, summary: &'static str) -> EventType {
    EventType { name, subject: Subject::Order, summary, transient: false }
}

const fn driver(name: &'static str, summary: &'static str) -> EventType {
    EventType { name, subject: Subject::Driver, summary, transient: false }
}

/// All of them, roughly in the order of an order's life.
pub const ALL: &[EventType] = &[
    order("order.created", "An order was placed."),
    order("order.updated", "What is wanted of an order has changed, or something else that has no name of its own."),
    order("order.ready", "An order may be bound to a driver."),
    order("order.offered", "An order was offered to a driver."),
    order("order.offer_declined", "A driver declined an offer."),
    order("order.offer_expired", "An offer was not answered in time."),
    order("order.assigned", "An order was bound to a driver."),
    order("order.unassigned", "An order was taken from its driver."),
    order("order.unassignable", "No driver can be found for an order."),
    order("order.pickup_enroute", "The driver set out for the pickup."),
    order("order.pickup_arrived", "The driver is at the pickup."),
    order("order.picked_up", "The driver has the goods."),
    order("order.out_for_delivery", "The goods are on their way to the recipient."),
    order("order.arriving", "The driver will be at the door in a few minutes, and goes nowhere else before."),
    order("order.dropoff_arrived", "The driver is at the door."),
    order("order.delivered", "The goods were handed over."),
    order("order.attempt_failed", "An attempt failed."),
    order("order.return_started", "The goods are being brought back."),
    order("order.returned", "The goods are back."),
    order("order.cancelled", "The order was called off."),
    order("order.expired", "Nobody took the order in time."),
    order("order.delayed", "The order was not delivered by the time it was promised."),
    order("order.eta_changed", "The order is expected at another time."),
    order("order.deleted", "The order is no longer there."),
    order(
        "delivery.updated",
        "A delivery has moved on: its phase, its driver, a stop or its attempts. Last of a revision.",
    ),
    driver("driver.available", "A driver takes orders from now on."),
    driver("driver.unavailable", "A driver takes no orders any more."),
    driver("driver.silent", "A driver with orders has not been heard of for a while."),
    EventType {
        name: "driver.location",
        subject: Subject::Driver,
        summary: "A driver was seen: on streams alone, at most once a second, as a frame of the type `position`.",
        transient: true,
    },
    order("notification.failed", "Somebody who was to hear of an order did not, and no further attempt is made."),
    EventType {
        name: "webhook.disabled",
        subject: Subject::Webhook,
        summary: "Nothing is sent to a webhook any more.",
        transient: false,
    },
];

/// The event of that name.
pub fn named(name: &str) -> Option<&'static EventType> {
    ALL.iter().find(|event| event.name == name)
}

/// Whether a pattern takes an event: its name, `order.*` for all whose names begin so, or `*` for all.
pub fn takes(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some("") => true,
        Some(prefix) => prefix.ends_with('.') && name.starts_with(prefix),
        None => pattern == name,
    }
}

/// Whether a pattern takes any event that is kept, so that somebody who names it may hear something.
pub fn is_known(pattern: &str) -> bool {
    ALL.iter().any(|event| !event.transient && takes(pattern, event.name))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use rstest::rstest;

    use super::*;

    #[test]
    fn names_are_told_once_and_begin_with_what_they_are_about() {
        let names: BTreeSet<_> = ALL.iter().map(|event| event.name).collect();
        assert_eq!(names.len(), ALL.len());
        for name in names {
            assert!(
                ["order.", "delivery.", "driver.", "notification.", "webhook."].iter().any(|p| name.starts_with(p))
            );
        }
    }

    #[rstest]
    #[case("order.delivered", "order.delivered", true)]
    #[case("order.delivered", "order.deliver", false)]
    #[case("order.*", "order.delivered", true)]
    #[case("order.*", "driver.available", false)]
    #[case("*", "driver.available", true)]
    #[case("order*", "order.delivered", false)]
    #[case("order.del*", "order.delivered", false)]
    #[case("", "order.delivered", false)]
    fn a_pattern_takes_whole_words(#[case] pattern: &str, #[case] name: &str, #[case] taken: bool) {
        assert_eq!(takes(pattern, name), taken);
    }

    #[test]
    fn a_pattern_that_takes_nothing_is_not_known() {
        for known in ["*", "order.*", "delivery.*", "webhook.disabled", "driver.silent"] {
            assert!(is_known(known), "{known}");
        }
        for unknown in ["", "order", "order.eaten", "orders.*", "driver.location", "*.delivered"] {
            assert!(!is_known(unknown), "{unknown}");
        }
    }
}
