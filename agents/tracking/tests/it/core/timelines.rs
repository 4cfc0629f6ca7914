use dropmate_tracking::timeline;
use serde_json::{Value, json};

use super::{at, bound, fetched, order};

fn told(status: Value) -> Vec<(&'static str, i64)> {
    let order = order("a", json!({}), status);
    let entries = timeline::of_order(&order, at(9999));
    let keys: std::collections::BTreeSet<&str> = entries.iter().map(|entry| entry.key.as_str()).collect();
    assert_eq!(keys.len(), entries.len(), "no two entries have one key");
    entries.iter().map(|entry| (entry.what, entry.at.duration_since(at(0)).as_secs())).collect()
}

#[test]
fn a_delivery_is_told_from_its_end() {
    let status = fetched(json!({
        "phase": "Delivered", "custody": "Recipient", "finishedAt": at(900),
        "releaseAt": at(-400),
        "reports": [{"clientEventId": "s", "type": "schedule", "occurredAt": at(-590), "recordedAt": at(-590), "digest": "x"}],
        "stops": {
            "pickup": {"state": "Completed", "departedAt": at(10), "arrivedAt": at(200), "completedAt": at(300)},
            "dropoff": {"state": "Completed", "departedAt": at(300), "arrivedAt": at(800), "completedAt": at(900), "inferred": ["departedAt"]},
        },
    }));
    let expected = [
        ("Placed", -600),
        ("Scheduled", -590),
        ("Released", -300),
        ("Assigned", 0),
        ("PickupEnRoute", 10),
        ("PickupArrived", 200),
        ("PickedUp", 300),
        ("DropoffEnRoute", 300),
        ("DropoffArrived", 800),
        ("Delivered", 900),
    ];
    assert_eq!(told(status), expected);
}

#[test]
fn a_second_attempt_is_another_turn_of_the_door_and_none_of_the_counter() {
    let attempt =
        json!([{"reason": "nobody home", "at": at(800), "stop": "dropoff", "driverName": "sam", "decision": "Retry"}]);
    let again = json!({"driverName": "sam", "boundAt": at(1000), "generation": 1});
    let first = order(
        "a",
        json!({}),
        fetched(json!({
            "stops": {
                "pickup": {"state": "Completed", "departedAt": at(10), "arrivedAt": at(200), "completedAt": at(300)},
                "dropoff": {"state": "Arrived", "arrivedAt": at(790)},
            },
        })),
    );
    let second = order(
        "a",
        json!({}),
        fetched(json!({
            "assignment": again, "attempts": attempt,
            "stops": {
                "pickup": {"state": "Completed", "departedAt": at(10), "arrivedAt": at(200), "completedAt": at(300)},
                "dropoff": {"state": "Arrived", "arrivedAt": at(1500)},
            },
        })),
    );
    let keys = |order| -> Vec<String> {
        timeline::of_order(order, at(0)).into_iter().filter(|e| e.what.ends_with("Arrived")).map(|e| e.key).collect()
    };
    assert_eq!(keys(&first), ["pickup:0:arrived", "dropoff:0:arrived"]);
    assert_eq!(keys(&second), ["pickup:0:arrived", "dropoff:1:arrived"]);
}

#[test]
fn what_was_refused_taken_back_and_called_off_is_told() {
    let offers = json!([
        {"driver": "kim", "deadline": at(-100), "state": "Declined"},
        {"driver": "lee", "deadline": at(-50), "state": "TimedOut"},
        {"driver": "sam", "deadline": at(60), "state": "Open"},
    ]);
    let status = json!({
        "phase": "Cancelled", "releasedAt": at(-300), "offers": offers, "finishedAt": at(500),
        "assignment": {"generation": 2},
    });
    let expected = [
        ("Placed", -600),
        ("Released", -300),
        ("Offered", -100),
        ("OfferDeclined", -100),
        ("Offered", -50),
        ("OfferTimedOut", -50),
        ("Offered", 60),
        ("Cancelled", 500),
        ("Unassigned", 9999),
    ];
    assert_eq!(told(status), expected);
}

#[test]
fn goods_that_came_back_are_told() {
    let status = bound(json!({
        "phase": "Returned", "custody": "Returned", "finishedAt": at(2000), "returnStartedAt": at(1000),
        "attempts": [{"reason": "refused", "at": at(900), "stop": "dropoff", "decision": "Return"}],
        "stops": {"pickup": {"state": "Completed", "completedAt": at(300)}, "dropoff": {"state": "Failed", "completedAt": at(900)}},
    }));
    let ends: Vec<&str> = told(status).into_iter().map(|(what, _)| what).skip(3).collect();
    assert_eq!(ends, ["PickedUp", "AttemptFailed", "ReturnDecided", "ReturnStarted", "Returned"]);
}
