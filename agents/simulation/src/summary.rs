//! How a day went, from its orders: what was delivered, how late, how long customers waited, and what is left and why.

use dropmate_api::{Order, Phase, common::ConditionStatus};
use jiff::{Timestamp, Unit};
use serde::Serialize;

/// How a day went. Times are business time; a mean or a percentile of nothing is `null`, not zero.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// All orders.
    pub orders: usize,
    /// Handed over.
    pub delivered: usize,
    /// Handed over after `dueBy`.
    pub late: usize,
    /// Not delivered and not to be any more: cancelled, returned, failed, expired.
    pub ended: usize,
    /// Neither delivered nor ended.
    pub open: usize,
    /// Mean of placement to door, in seconds.
    pub click_to_door_mean_seconds: Option<f64>,
    /// 90th percentile of placement to door, in seconds.
    pub click_to_door_p90_seconds: Option<f64>,
    /// Every order that was not delivered, by namespace and name.
    pub undelivered: Vec<Undelivered>,
}

/// An order that was not delivered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Undelivered {
    /// `namespace/name`.
    pub order: String,
    /// Where it is.
    pub phase: Phase,
    /// The message of its condition `Unassignable`: which limit failed for how many drivers.
    pub unassignable: Option<String>,
}

/// Sums up the orders of a day, in whatever sequence they come.
pub fn summarize<'o>(orders: impl IntoIterator<Item = &'o Order>) -> Summary {
    let mut summary = Summary {
        orders: 0,
        delivered: 0,
        late: 0,
        ended: 0,
        open: 0,
        click_to_door_mean_seconds: None,
        click_to_door_p90_seconds: None,
        undelivered: Vec::new(),
    };
    let mut waits = Vec::new();
    for order in orders {
        summary.orders += 1;
        let phase = order.phase();
        if phase == Phase::Delivered {
            summary.delivered += 1;
            if let Some(at) = delivered_at(order) {
                summary.late += usize::from(order.spec.due_by.is_some_and(|due| at > due));
                waits.extend(order.placed_at().and_then(|placed| seconds(placed, at)));
            }
            continue;
        }
        if phase.is_terminal() {
            summary.ended += 1;
        } else {
            summary.open += 1;
        }
        summary.undelivered.push(Undelivered { order: reference(order), phase, unassignable: unassignable(order) });
    }
    summary.undelivered.sort_by(|a, b| a.order.cmp(&b.order));
    waits.sort_by(f64::total_cmp);
    summary.click_to_door_mean_seconds = mean(&waits);
    summary.click_to_door_p90_seconds = percentile(&waits, 0.9);
    summary
}

fn reference(order: &Order) -> String {
    let metadata = &order.metadata;
    let part = |part: &Option<String>| part.clone().unwrap_or_default();
    format!("{}/{}", part(&metadata.namespace), part(&metadata.name))
}

fn delivered_at(order: &Order) -> Option<Timestamp> {
    order.status.as_ref()?.stops.as_ref()?.dropoff.completed_at
}

fn unassignable(order: &Order) -> Option<String> {
    let conditions = &order.status.as_ref()?.conditions;
    let holds = conditions.iter().find(|c| c.type_ == "Unassignable" && c.status == ConditionStatus::True)?;
    Some(holds.message.clone())
}

fn seconds(from: Timestamp, to: Timestamp) -> Option<f64> {
    to.since(from).ok()?.total(Unit::Second).ok()
}

fn mean(sorted: &[f64]) -> Option<f64> {
    (!sorted.is_empty()).then(|| sorted.iter().sum::<f64>() / sorted.len() as f64)
}

/// Between two values the percentile is interpolated.
fn percentile(sorted: &[f64], share: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let place = share * last as f64;
    let below = place.floor() as usize;
    let above = (below + 1).min(last);
    Some(sorted[below] + (sorted[above] - sorted[below]) * (place - below as f64))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn order(name: &str, status: &Value) -> Order {
        let stop = json!({"address": "x", "location": {"latitude": 0.0, "longitude": 0.0}});
        serde_json::from_value(json!({
            "apiVersion": "dropmate.dev/v1", "kind": "Order", "metadata": {"name": name, "namespace": "acme"},
            "spec": {"pickup": stop, "dropoff": stop, "recipient": {"name": "Ada"},
                     "placedAt": "2026-01-05T10:00:00Z", "dueBy": "2026-01-05T10:40:00Z"},
            "status": status,
        }))
        .unwrap()
    }

    fn delivered(name: &str, minute: u32) -> Order {
        let at = format!("2026-01-05T10:{minute:02}:00Z");
        order(name, &json!({"phase": "Delivered", "stops": {"dropoff": {"state": "Completed", "completedAt": at}}}))
    }

    #[test]
    fn deliveries_are_counted_and_their_times_measured() {
        let summary = summarize(&[delivered("a", 20), delivered("b", 30), delivered("c", 50)]);
        assert_eq!((summary.orders, summary.delivered, summary.late, summary.open), (3, 3, 1, 0));
        assert_eq!(summary.click_to_door_mean_seconds, Some(2000.0));
        // Between 30 and 50 minutes, eight tenths of the way.
        assert_eq!(summary.click_to_door_p90_seconds, Some(46.0 * 60.0));
    }

    #[test]
    fn what_is_left_says_why() {
        let condition = json!([{"type": "Unassignable", "status": "True", "message": "Skills: 3 drivers",
                                "lastTransitionTime": "2026-01-05T10:00:00Z"}]);
        let left = order("b", &json!({"phase": "Ready", "conditions": condition}));
        let summary = summarize(&[left, order("a", &json!({"phase": "Cancelled"}))]);
        assert_eq!((summary.ended, summary.open), (1, 1));
        assert_eq!(summary.undelivered[0].order, "acme/a");
        assert_eq!(summary.undelivered[1].unassignable.as_deref(), Some("Skills: 3 drivers"));
    }

    #[test]
    fn nothing_has_no_mean() {
        let summary = summarize(&[] as &[Order]);
        assert_eq!((summary.click_to_door_mean_seconds, summary.click_to_door_p90_seconds), (None, None));
    }
}
