//! What happens to orders, told as it happens.

use std::collections::HashMap;

use dropmate_api::{
    Clock, Order, Phase,
    common::ConditionStatus,
    order::{OrderStatus, StopStatus},
};
use futures::TryStreamExt as _;
use jiff::{Timestamp, ToSpan as _, Unit};
use kube::{
    Api, Client, ResourceExt as _,
    runtime::{
        WatchStreamExt as _,
        watcher::{self, Event, watcher},
    },
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::output;

/// How many orders are remembered to tell changes from repetitions. Beyond it the story starts over with what comes.
const MAX_REMEMBERED: usize = 100_000;

/// What the story has to remember of an order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Told {
    phase: Option<Phase>,
    driver: Option<String>,
    unassignable: Option<String>,
}

/// Tells the story of every order until shut down, and counts the deliveries.
pub(super) async fn tell(
    client: Client,
    clock: Clock,
    delivered: watch::Sender<u64>,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let events = watcher(Api::<Order>::all(client), watcher::Config::default()).default_backoff();
    let mut events = std::pin::pin!(events);
    let mut told: HashMap<(String, String), Told> = HashMap::new();
    // What is there at the start is not news.
    let mut started = false;
    while let Some(event) = shutdown.run_until_cancelled(events.try_next()).await {
        let order = match event {
            Ok(Some(Event::InitApply(order) | Event::Apply(order))) => order,
            Ok(Some(Event::InitDone)) => {
                started = true;
                continue;
            }
            Ok(Some(Event::Delete(order))) => {
                told.remove(&key(&order));
                continue;
            }
            Ok(Some(Event::Init)) => continue,
            Ok(None) => break,
            Err(error) => {
                tracing::debug!(error = %error, "the story's watch was cut");
                continue;
            }
        };
        if told.len() >= MAX_REMEMBERED {
            told.clear();
        }
        let before = told.entry(key(&order)).or_default();
        let after = remember(&order);
        if started && *before != after {
            for sentence in sentences(before, &after, &order) {
                let time = clock.business_now().strftime("%H:%M").to_string();
                output::tell(format!("{time}  {} {sentence}", output::painted(&order.name_any(), colour(&after))));
            }
            if after.phase == Some(Phase::Delivered) && before.phase != after.phase {
                delivered.send_modify(|count| *count += 1);
            }
        }
        *before = after;
    }
    Ok(())
}

fn key(order: &Order) -> (String, String) {
    (order.namespace().unwrap_or_default(), order.name_any())
}

fn colour(told: &Told) -> anstyle::AnsiColor {
    match told.phase {
        Some(Phase::Delivered) => anstyle::AnsiColor::Green,
        Some(Phase::AttemptFailed | Phase::Failed | Phase::Expired | Phase::Returning) => anstyle::AnsiColor::Red,
        _ if told.unassignable.is_some() => anstyle::AnsiColor::Yellow,
        _ => anstyle::AnsiColor::Cyan,
    }
}

fn remember(order: &Order) -> Told {
    let status = order.status.clone().unwrap_or_default();
    let unassignable =
        status.conditions.iter().find(|c| c.type_ == "Unassignable" && c.status == ConditionStatus::True);
    Told {
        phase: Some(status.phase),
        driver: status.driver_name.clone(),
        // Only that it is so: the numbers in the message change with every plan.
        unassignable: unassignable.map(|condition| condition.reason.clone()),
    }
}

/// The news between what was told and what is.
fn sentences(before: &Told, after: &Told, order: &Order) -> Vec<String> {
    let status = order.status.clone().unwrap_or_default();
    let driver = status.driver_name.clone().unwrap_or_else(|| "the driver".to_owned());
    let mut news = Vec::new();
    if before.phase.is_none() {
        let (from, to) = (&order.spec.pickup.address, &order.spec.dropoff.address);
        news.push(format!("placed by {}: {from} → {to}", order.spec.recipient.name));
    }
    if before.phase != after.phase {
        match after.phase.unwrap_or_default() {
            Phase::Assigned => news.push(assigned(&driver, &status)),
            Phase::Ready if before.driver.is_some() => {
                news.push(format!("taken from {}", before.driver.as_deref().unwrap_or_default()));
            }
            Phase::OutForDelivery => news.push(format!("picked up by {driver}")),
            Phase::AttemptFailed => {
                let reason = status.attempts.last().map(|attempt| attempt.reason.as_str()).unwrap_or_default();
                news.push(format!("could not be handed over: {reason}"));
            }
            Phase::Returning => news.push(format!("goes back with {driver}")),
            Phase::Delivered => news.push(delivered(&driver, order, &status)),
            end if end.is_terminal() => news.push(format!("{end:?}").to_lowercase()),
            _ => {}
        }
    } else if before.driver != after.driver && after.driver.is_some() {
        news.push(assigned(&driver, &status));
    }
    if after.unassignable.is_some() && before.unassignable != after.unassignable {
        let message = status.conditions.iter().find(|c| c.type_ == "Unassignable").map(|c| c.message.clone());
        news.push(format!("finds no driver: {}", message.unwrap_or_default()));
    }
    news
}

fn assigned(driver: &str, status: &OrderStatus) -> String {
    let reason = status.assignment.as_ref().and_then(|assignment| assignment.reason.as_ref());
    match reason.map(|reason| reason.summary.as_str()).filter(|summary| !summary.is_empty()) {
        Some(summary) => format!("assigned to {driver}: {summary}"),
        None => format!("assigned to {driver}"),
    }
}

fn delivered(driver: &str, order: &Order, status: &OrderStatus) -> String {
    let done: Option<&StopStatus> = status.stops.as_ref().map(|stops| &stops.dropoff);
    let done = done.and_then(|stop| stop.completed_at);
    let (Some(placed), Some(done)) = (order.placed_at(), done) else { return format!("delivered by {driver}") };
    let late = order.spec.due_by.filter(|due| done > *due).map(|due| format!(", {} late", minutes(due, done)));
    format!("delivered by {driver} in {}{}", minutes(placed, done), late.unwrap_or_default())
}

fn minutes(from: Timestamp, to: Timestamp) -> String {
    let minutes = to.since(from).unwrap_or_else(|_| 0.seconds()).total(Unit::Minute).unwrap_or_default();
    format!("{} min", minutes.round())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn order(status: &serde_json::Value) -> Order {
        let stop = |address: &str| json!({"address": address, "location": {"latitude": 43.65, "longitude": -79.36}});
        serde_json::from_value(json!({
            "apiVersion": "dropmate.dev/v1", "kind": "Order", "metadata": {"name": "o-1"},
            "spec": {"pickup": stop("12 Mill St"), "dropoff": stop("40 Bay St"), "recipient": {"name": "Ada"},
                     "placedAt": "2026-11-23T10:00:00Z", "dueBy": "2026-11-23T10:15:00Z"},
            "status": status,
        }))
        .unwrap()
    }

    fn news(before: &serde_json::Value, after: &serde_json::Value) -> Vec<String> {
        let after = order(after);
        sentences(&remember(&order(before)), &remember(&after), &after)
    }

    #[test]
    fn a_new_order_is_told_with_its_way() {
        let new = order(&json!({"phase": "Pending"}));
        assert_eq!(sentences(&Told::default(), &remember(&new), &new), ["placed by Ada: 12 Mill St → 40 Bay St"]);
    }

    #[test]
    fn a_binding_is_told_with_its_reason() {
        let bound = json!({"phase": "Assigned", "driverName": "sam",
            "assignment": {"driverName": "sam", "reason": {"summary": "closest, 2 min away"}}});
        assert_eq!(news(&json!({"phase": "Ready"}), &bound), ["assigned to sam: closest, 2 min away"]);
    }

    #[test]
    fn a_delivery_is_told_with_its_time() {
        let done = json!({"phase": "Delivered", "driverName": "sam",
            "stops": {"pickup": {}, "dropoff": {"state": "Completed", "completedAt": "2026-11-23T10:18:00Z"}}});
        assert_eq!(
            news(&json!({"phase": "AtDropoff", "driverName": "sam"}), &done),
            ["delivered by sam in 18 min, 3 min late"]
        );
    }

    #[test]
    fn nothing_is_told_twice() {
        let ready = json!({"phase": "Ready"});
        assert!(news(&ready, &ready).is_empty());
    }
}
