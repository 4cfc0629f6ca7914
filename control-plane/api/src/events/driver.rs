//! What happened to a driver.

use jiff::Timestamp;

use crate::{
    Driver,
    common::{Condition, ConditionStatus},
};

/// The condition of a driver who is not heard of.
const SILENT: &str = "TrackingStale";

/// Something that happened to a driver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DriverEvent {
    /// `driver.available`, …
    pub name: &'static str,
    /// When it happened (business time), where a fact says so.
    pub at: Option<Timestamp>,
}

/// What one revision did to a driver; seldom anything. `None`: it was not there.
pub fn driver_events(before: Option<&Driver>, after: Option<&Driver>) -> Vec<DriverEvent> {
    let mut events = Vec::new();
    let (was, is) = (before.and_then(takes_orders), after.and_then(takes_orders));
    match (was, is) {
        (Some(true), None | Some(false)) => events.push(DriverEvent { name: "driver.unavailable", at: None }),
        // Of whom nobody knew it, it is news as well; but not that somebody new does not work yet.
        (None, Some(false)) if before.is_some() => events.push(DriverEvent { name: "driver.unavailable", at: None }),
        (None | Some(false), Some(true)) => events.push(DriverEvent { name: "driver.available", at: None }),
        _ => {}
    }
    if let Some(since) = after.and_then(silent_since).filter(|_| before.and_then(silent_since).is_none()) {
        events.push(DriverEvent { name: "driver.silent", at: Some(since) });
    }
    events
}

/// Whether the driver may be given orders, by their own word and the shop's; `None` where neither has said anything.
fn takes_orders(driver: &Driver) -> Option<bool> {
    if driver.spec.suspended {
        return Some(false);
    }
    Some(driver.status.as_ref()?.availability?.takes_orders())
}

fn silent_since(driver: &Driver) -> Option<Timestamp> {
    let holds = |held: &&Condition| held.type_ == SILENT && held.status == ConditionStatus::True;
    Some(driver.status.as_ref()?.conditions.iter().find(holds)?.last_transition_time)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;

    fn driver(value: &Value) -> Option<Driver> {
        let says = |field: &str| value.get(field).cloned().unwrap_or_default();
        let since = "2026-11-29T12:00:00Z";
        let silent = |status: &str| json!({"type": "TrackingStale", "status": status, "lastTransitionTime": since});
        let conditions = if says("silent") == true { json!([silent("True")]) } else { json!([silent("False")]) };
        let mut status = json!({"conditions": conditions});
        if !says("availability").is_null() {
            status["availability"] = says("availability");
        }
        (!value.is_null()).then(|| {
            serde_json::from_value(json!({
                "apiVersion": "dropmate.dev/v1", "kind": "Driver", "metadata": {"name": "sam", "namespace": "acme"},
                "spec": {"displayName": "Sam", "suspended": says("suspended") == true}, "status": status,
            }))
            .unwrap()
        })
    }

    #[rstest]
    #[case::comes_to_work(json!({"availability": "Offline"}), json!({"availability": "Available"}), &["driver.available"])]
    #[case::gets_an_order(json!({"availability": "Available"}), json!({"availability": "Busy"}), &[])]
    #[case::back_with_orders(json!({"availability": "OnBreak"}), json!({"availability": "Busy"}), &["driver.available"])]
    #[case::goes_home(json!({"availability": "Busy"}), json!({"availability": "Offline"}), &["driver.unavailable"])]
    #[case::from_break_to_home(json!({"availability": "OnBreak"}), json!({"availability": "Offline"}), &[])]
    #[case::says_it_for_the_first_time(json!({}), json!({"availability": "Available"}), &["driver.available"])]
    #[case::says_no_for_the_first_time(json!({}), json!({"availability": "OnBreak"}), &["driver.unavailable"])]
    #[case::cordoned(json!({"availability": "Available"}), json!({"availability": "Available", "suspended": true}), &["driver.unavailable"])]
    #[case::uncordoned(json!({"availability": "Busy", "suspended": true}), json!({"availability": "Busy"}), &["driver.available"])]
    #[case::cordoned_by_the_shifts(json!({}), json!({"suspended": true}), &["driver.unavailable"])]
    #[case::new(Value::Null, json!({}), &[])]
    #[case::new_and_suspended(Value::Null, json!({"suspended": true}), &[])]
    #[case::gone(json!({"availability": "Available"}), Value::Null, &["driver.unavailable"])]
    #[case::gone_from_home(json!({"availability": "Offline"}), Value::Null, &[])]
    #[case::silent(json!({"availability": "Busy"}), json!({"availability": "Busy", "silent": true}), &["driver.silent"])]
    #[case::still_silent(json!({"silent": true}), json!({"silent": true}), &[])]
    #[case::heard_of(json!({"silent": true}), json!({}), &[])]
    fn a_change_is_called_by_its_name(#[case] before: Value, #[case] after: Value, #[case] expected: &[&str]) {
        let events = driver_events(driver(&before).as_ref(), driver(&after).as_ref());
        assert_eq!(events.iter().map(|event| event.name).collect::<Vec<_>>(), expected);
    }
}
