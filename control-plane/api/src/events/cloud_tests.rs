use std::{collections::BTreeSet, sync::Arc};

use super::*;
use crate::events::{catalog, samples};

fn clock() -> Clock {
    Clock::real(Arc::new(|| Timestamp::UNIX_EPOCH))
}

fn place(resource: &'static str) -> Origin<'static> {
    Origin { epoch: "3f1c0ab94d21", revision: 1042, resource, namespace: "acme", name: "o-1001" }
}

#[expect(clippy::needless_pass_by_value, reason = "callers write it down in place")]
fn order(status: Value) -> Value {
    let stop = json!({"address": "12 Mill St", "location": {"latitude": 43.65, "longitude": -79.36}});
    json!({
        "apiVersion": "dropmate.dev/v1", "kind": "Order",
        "metadata": {"name": "o-1001", "namespace": "acme", "uid": "u-1", "creationTimestamp": "2026-11-29T12:00:00Z",
            "managedFields": [{"manager": "shop", "time": "2026-11-29T12:01:00Z"}, {"manager": "dispatch", "time": "2026-11-29T12:03:00Z"}]},
        "spec": {"pickup": stop, "dropoff": stop, "recipient": {"name": "Ada"}}, "status": status,
    })
}

#[test]
fn an_event_is_named_by_its_history_revision_and_number() {
    let (before, after) = (
        order(json!({"phase": "Ready"})),
        order(json!({
            "phase": "Assigned", "driverName": "sam", "eta": "2026-11-29T12:40:00Z",
            "assignment": {"driverName": "sam", "boundAt": "2026-11-29T12:02:30Z"},
            "reports": [{"clientEventId": "a", "type": "accept", "occurredAt": "2026-11-29T12:02:00Z",
                "recordedAt": "2026-11-29T12:02:01Z", "digest": "0123456789abcdef"}],
        })),
    );
    let events = of_revision(&place("orders"), Some(&before), Some(&after), &clock());
    let names: Vec<_> = events.iter().map(|event| (event.type_.as_str(), event.id.as_str())).collect();
    assert_eq!(
        names,
        [
            ("order.assigned", "evt_3f1c0ab94d21_1042_0"),
            ("order.eta_changed", "evt_3f1c0ab94d21_1042_1"),
            ("delivery.updated", "evt_3f1c0ab94d21_1042_2"),
        ]
    );
    assert_eq!(events[2].position(), Some((1042, 2)));
    // The binding says when it was; of the ETA it is known when it was written.
    assert_eq!(events[0].time.to_string(), "2026-11-29T12:02:30Z");
    assert_eq!(events[1].time.to_string(), "2026-11-29T12:03:00Z");
    let data = &events[0].data;
    assert_eq!(
        (&data["phase"], &data["driverName"], &data["driver"]),
        (&json!("Assigned"), &json!("sam"), &json!("sam"))
    );
    assert_eq!(events[1].data.get("driver"), None);
    let metadata = &data["order"]["metadata"];
    assert_eq!((metadata.get("managedFields"), &metadata["resourceVersion"]), (None, &json!("1042")));
    assert_eq!(data["order"]["status"]["reports"][0].get("digest"), None);
    assert_eq!(data["order"]["status"]["reports"][0]["clientEventId"], "a");
    let wire = json!(events[0]);
    assert_eq!(
        (&wire["specversion"], &wire["type"], &wire["subject"]),
        (&json!("1.0"), &json!("order.assigned"), &json!("acme/o-1001"))
    );
    assert_eq!(wire["source"], "/apis/dropmate.dev/v1/namespaces/acme/orders");
    assert_eq!(serde_json::from_value::<CloudEvent>(wire).unwrap(), events[0]);
}

#[test]
fn a_failed_message_says_which_and_why() {
    let failed = |message: &str| {
        order(json!({"phase": "Delivered", "conditions": [{"type": "CustomerNotified",
        "status": "False", "reason": "Failed", "message": message, "lastTransitionTime": "2026-11-29T12:03:00Z"}]}))
    };
    let before = order(json!({"phase": "Delivered"}));
    let (first, second) = (failed("order.delivered by email"), failed("order.delivered by sms"));
    let events = of_revision(&place("orders"), Some(&before), Some(&first), &clock());
    assert_eq!(events.iter().map(|event| event.type_.as_str()).collect::<Vec<_>>(), ["notification.failed"]);
    assert_eq!(
        (&events[0].data["reason"], &events[0].data["message"]),
        (&json!("Failed"), &json!("order.delivered by email"))
    );
    assert_eq!(of_revision(&place("orders"), Some(&first), Some(&second), &clock())[0].type_, "notification.failed");
    // Looked at again it is no news, and neither is that the next one got there.
    assert_eq!(of_revision(&place("orders"), Some(&first), Some(&first), &clock())[0].type_, "order.updated");
    let told = order(json!({"phase": "Delivered", "conditions": [{"type": "CustomerNotified", "status": "True",
        "reason": "OrderDelivered", "lastTransitionTime": "2026-11-29T12:04:00Z"}]}));
    assert!(of_revision(&place("orders"), Some(&first), Some(&told), &clock()).is_empty());
}

#[test]
fn what_cannot_be_read_has_changed_and_what_is_gone_is_told_whole() {
    let strange = order(json!({"phase": "Teleported"}));
    let events = of_revision(&place("orders"), Some(&order(json!({}))), Some(&strange), &clock());
    assert_eq!(events.len(), 1);
    assert_eq!(
        (events[0].type_.as_str(), &events[0].data["order"]["status"]["phase"]),
        ("order.updated", &json!("Teleported"))
    );
    let gone = of_revision(&place("orders"), Some(&order(json!({"phase": "Delivered"}))), None, &clock());
    assert_eq!((gone[0].type_.as_str(), &gone[0].data["phase"]), ("order.deleted", &json!("Delivered")));
    assert_eq!(gone[0].data["order"]["spec"]["recipient"]["name"], "Ada");
    assert!(of_revision(&place("depots"), None, Some(&strange), &clock()).is_empty());
}

#[test]
fn there_is_a_sample_of_every_event_that_is_kept() {
    let told: BTreeSet<_> = samples::all().into_iter().map(|event| event.type_).collect();
    let kept: BTreeSet<_> = catalog::ALL.iter().filter(|e| !e.transient).map(|event| event.name.to_owned()).collect();
    assert_eq!(told, kept);
}

/// Else each message about an update would be followed by an update.
#[test]
fn that_somebody_was_told_is_an_echo_and_whatever_comes_with_it_is_not() {
    let told = |reason: &str| {
        order(json!({"phase": "Ready", "conditions": [{"type": "CustomerNotified", "status": "True", "reason": reason,
            "lastTransitionTime": "2026-11-29T12:04:00Z"}]}))
    };
    let (before, created, updated) = (order(json!({"phase": "Ready"})), told("OrderCreated"), told("OrderUpdated"));
    for (was, is) in [(&before, &created), (&created, &updated), (&created, &before)] {
        assert!(of_revision(&place("orders"), Some(was), Some(is), &clock()).is_empty());
        let read = |value: &Value| serde_json::from_value::<Order>(value.clone()).unwrap();
        let events = order_events(Some(&read(was)), Some(&read(is)));
        assert_eq!(events.iter().map(|event| (event.name, event.echo)).collect::<Vec<_>>(), [("order.updated", true)]);
    }
    for (pointer, value) in [
        ("/spec/priority", json!(3)),
        ("/metadata/labels", json!({"a": "b"})),
        ("/metadata/finalizers", json!(["a/b"])),
        ("/status/releaseAt", json!("2026-11-29T13:00:00Z")),
    ] {
        let mut more = updated.clone();
        let (parent, field) = pointer.rsplit_once('/').unwrap();
        more.pointer_mut(parent).unwrap()[field] = value;
        let events = of_revision(&place("orders"), Some(&created), Some(&more), &clock());
        assert_eq!(events.iter().map(|event| event.type_.as_str()).collect::<Vec<_>>(), ["order.updated"], "{pointer}");
    }
    // A change of nothing at all is told: whoever wrote it wanted something.
    assert_eq!(of_revision(&place("orders"), Some(&before), Some(&before), &clock()).len(), 1);
}
