//! What happened, in the words of the domain, read off an object before and after one revision.
//!
//! Plain functions of two states: the same revision always gives the same events in the same order, whoever asks and
//! however late. So the number of an event in its list is a part of its name. Nothing here knows who listens.

pub mod catalog;
pub mod cloud;
pub mod driver;
pub mod samples;
pub mod webhook;

use jiff::Timestamp;

use crate::{
    Order, Phase,
    common::{Condition, ConditionStatus},
    order::{Offer, OfferState, OrderStatus, StopState, StopStatus, Stops},
};

/// The order has been deleted, or is no longer there for who is told.
pub const DELETED: &str = "order.deleted";
/// Something changed that has no name of its own.
pub const UPDATED: &str = "order.updated";
/// A delivery has moved on: the coarse one, beside those that say how.
pub const MOVED: &str = "delivery.updated";
/// Somebody who was to hear of an order did not.
pub const NOT_NOTIFIED: &str = "notification.failed";
/// The condition of an order that says whether those who were to hear of it did.
pub const NOTIFIED: &str = "CustomerNotified";

/// Something that happened to an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderEvent {
    /// `order.assigned`, …
    pub name: &'static str,
    /// When it happened (business time), where a fact says so.
    pub at: Option<Timestamp>,
    /// The driver to whom it happened: of an offer, of a binding that begins or ends.
    pub driver: Option<String>,
}

impl OrderEvent {
    fn new(name: &'static str, at: Option<Timestamp>) -> Self {
        Self { name, at, driver: None }
    }

    fn of_driver(name: &'static str, at: Option<Timestamp>, driver: &str) -> Self {
        Self { name, at, driver: Some(driver.to_owned()) }
    }

    /// Whether it is about what dispatch asks of one driver, which is no other driver's and no customer's business.
    pub fn is_between_dispatch_and_driver(&self) -> bool {
        matches!(self.name, "order.offered" | "order.offer_declined" | "order.offer_expired" | "order.unassignable")
    }
}

/// What one revision did to an order, in the order in which it happens in an order's life, and last whether its delivery
/// has moved on. `None`: it was not there. At least one event for every change.
pub fn order_events(before: Option<&Order>, after: Option<&Order>) -> Vec<OrderEvent> {
    let blank = OrderStatus::default();
    let (before, after) = match (before, after) {
        (None, None) => return Vec::new(),
        (Some(_), None) => return vec![OrderEvent::new(DELETED, None)],
        (before, Some(after)) => (before, after),
    };
    let was = before.and_then(|order| order.status.as_ref()).unwrap_or(&blank);
    let is = after.status.as_ref().unwrap_or(&blank);
    let mut events = Vec::new();
    match before {
        None => events.push(OrderEvent::new("order.created", is.placed_at)),
        Some(before) if before.spec != after.spec => events.push(OrderEvent::new(UPDATED, None)),
        Some(_) => {}
    }
    binding_ended(was, is, &mut events);
    if is.phase == Phase::Ready && was.phase != Phase::Ready {
        // Back in the queue, it is ready since it came back; only the first time the release is that moment.
        events.push(OrderEvent::new("order.ready", is.released_at.filter(|_| was.released_at.is_none())));
    }
    offers(&was.offers, &is.offers, &mut events);
    binding_began(was, is, &mut events);
    stops(was, is, &mut events);
    ends(was, is, &mut events);
    for (condition, name) in
        [("Unassignable", "order.unassignable"), ("Arriving", "order.arriving"), ("Late", "order.delayed")]
    {
        if let Some(since) = holds_since(is, condition).filter(|_| holds_since(was, condition).is_none()) {
            events.push(OrderEvent::new(name, Some(since)));
        }
    }
    if was.eta != is.eta && is.eta.is_some() {
        events.push(OrderEvent::new("order.eta_changed", None));
    }
    let failure = |status| not_notified(status).map(|held| (held.message.clone(), held.last_transition_time));
    if failure(is).is_some_and(|is| failure(was).is_none_or(|was| was != is)) {
        events.push(OrderEvent::new(NOT_NOTIFIED, None));
    }
    if events.is_empty() {
        events.push(OrderEvent::new(UPDATED, None));
    }
    if has_moved(was, is) {
        let at = events.iter().filter_map(|event| event.at).max();
        events.push(OrderEvent::new(MOVED, at));
    }
    events
}

/// Whether nothing but what is known of messages has changed: to tell people of that would bring the next such change.
pub fn is_about_messages(before: &Order, after: &Order) -> bool {
    let rest = |order: &Order| {
        let mut status = order.status.clone().unwrap_or_default();
        status.conditions.retain(|held| held.type_ != NOTIFIED);
        status
    };
    before.spec == after.spec
        && before.metadata.labels == after.metadata.labels
        && before.metadata.annotations == after.metadata.annotations
        && rest(before) == rest(after)
}

/// Why somebody did not hear of the order, as the condition tells it now. Another message that fails tells it anew.
pub fn not_notified(status: &OrderStatus) -> Option<&Condition> {
    status.conditions.iter().find(|held| held.type_ == NOTIFIED && held.status == ConditionStatus::False)
}

/// Whether phase, driver, a stop or the number of attempts is another.
fn has_moved(was: &OrderStatus, is: &OrderStatus) -> bool {
    let place = |status: &OrderStatus| {
        let state =
            |kind: fn(&Stops) -> &StopStatus| status.stops.as_ref().map_or(StopState::Pending, |s| kind(s).state);
        (state(|stops| &stops.pickup), state(|stops| &stops.dropoff))
    };
    let driver = |status: &OrderStatus| bound(status).map(|(driver, _)| driver.to_owned());
    was.phase != is.phase
        || place(was) != place(is)
        || was.attempts.len() != is.attempts.len()
        || driver(was) != driver(is)
}

fn bound(status: &OrderStatus) -> Option<(&str, Option<Timestamp>)> {
    let assignment = status.assignment.as_ref()?;
    Some((assignment.driver_name.as_deref()?, assignment.bound_at))
}

fn binding_ended(was: &OrderStatus, is: &OrderStatus, events: &mut Vec<OrderEvent>) {
    if let Some((driver, _)) = bound(was)
        && bound(is).is_none_or(|(now, _)| now != driver)
    {
        events.push(OrderEvent::of_driver("order.unassigned", None, driver));
    }
}

fn binding_began(was: &OrderStatus, is: &OrderStatus, events: &mut Vec<OrderEvent>) {
    if let Some((driver, at)) = bound(is)
        && bound(was).is_none_or(|(before, _)| before != driver)
    {
        events.push(OrderEvent::of_driver("order.assigned", at, driver));
    }
}

fn offers(was: &[Offer], is: &[Offer], events: &mut Vec<OrderEvent>) {
    for offer in is {
        let same = |held: &&Offer| held.driver == offer.driver && held.deadline == offer.deadline;
        let before = was.iter().find(same).map(|held| held.state);
        if before == Some(offer.state) {
            continue;
        }
        let (name, at) = match offer.state {
            OfferState::Open => ("order.offered", None),
            OfferState::Declined => ("order.offer_declined", None),
            OfferState::TimedOut => ("order.offer_expired", Some(offer.deadline)),
            // What follows is the binding.
            OfferState::Accepted => continue,
        };
        events.push(OrderEvent::of_driver(name, at, &offer.driver));
    }
}

fn stops(was: &OrderStatus, is: &OrderStatus, events: &mut Vec<OrderEvent>) {
    let blank = StopStatus::default();
    let pickup =
        |status: &OrderStatus| status.stops.as_ref().map_or_else(|| blank.clone(), |stops| stops.pickup.clone());
    let dropoff =
        |status: &OrderStatus| status.stops.as_ref().map_or_else(|| blank.clone(), |stops| stops.dropoff.clone());
    let (from, to) = (pickup(was), pickup(is));
    step(&from, &to, StopState::EnRoute, "order.pickup_enroute", events);
    step(&from, &to, StopState::Arrived, "order.pickup_arrived", events);
    step(&from, &to, StopState::Completed, "order.picked_up", events);
    let (from, to) = (dropoff(was), dropoff(is));
    if is.phase == Phase::OutForDelivery && was.phase != Phase::OutForDelivery {
        events.push(OrderEvent::new("order.out_for_delivery", to.departed_at));
    }
    step(&from, &to, StopState::Arrived, "order.dropoff_arrived", events);
    for attempt in is.attempts.iter().skip(was.attempts.len()) {
        events.push(OrderEvent::new("order.attempt_failed", Some(attempt.at)));
    }
}

/// A stop that has come so far now, by a report and not only because a later one says so.
fn step(was: &StopStatus, is: &StopStatus, state: StopState, name: &'static str, events: &mut Vec<OrderEvent>) {
    let (at, field) = match state {
        StopState::EnRoute => (is.departed_at, "departedAt"),
        StopState::Arrived => (is.arrived_at, "arrivedAt"),
        _ => (is.completed_at, "completedAt"),
    };
    let reached = |stop: &StopStatus| stop.state >= state && stop.state <= StopState::Completed;
    let reported = |stop: &StopStatus| reached(stop) && !stop.inferred.iter().any(|inferred| inferred == field);
    if reported(is) && !reported(was) {
        events.push(OrderEvent::new(name, at));
    }
}

fn ends(was: &OrderStatus, is: &OrderStatus, events: &mut Vec<OrderEvent>) {
    if is.return_started_at.is_some() && was.return_started_at.is_none() {
        events.push(OrderEvent::new("order.return_started", is.return_started_at));
    }
    if is.phase == was.phase {
        return;
    }
    let dropoff = is.stops.as_ref().map(|stops| &stops.dropoff);
    let (name, at) = match is.phase {
        Phase::Delivered => ("order.delivered", dropoff.and_then(|stop| stop.completed_at).or(is.finished_at)),
        Phase::Returned => ("order.returned", is.finished_at),
        Phase::Cancelled => ("order.cancelled", is.finished_at),
        Phase::Expired => ("order.expired", is.expired_at),
        _ => return,
    };
    events.push(OrderEvent::new(name, at));
}

fn holds_since(status: &OrderStatus, condition: &str) -> Option<Timestamp> {
    let held = status.conditions.iter().find(|held| held.type_ == condition)?;
    (held.status == ConditionStatus::True).then_some(held.last_transition_time)
}

#[cfg(test)]
#[path = "events_tests.rs"]
mod tests;
