//! One example of every event, for documents and for those who write against them. They are not written down but read off
//! the life of an order of a sample, as all events are.

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{
    catalog,
    cloud::{CloudEvent, Origin, of_revision},
};
use crate::{Clock, GROUP, VERSION};

const NAMESPACE: &str = "acme";
/// The history that the samples are of.
const EPOCH: &str = "3f1c0ab94d21";
/// The number of the first revision.
const FIRST: u64 = 1_041;

/// An example of each event that is kept, in the order of the catalogue.
pub fn all() -> Vec<CloudEvent> {
    let mut first = BTreeMap::new();
    for event in lives() {
        first.entry(event.type_.clone()).or_insert(event);
    }
    catalog::ALL.iter().filter_map(|event| first.remove(event.name)).collect()
}

/// The example of that event.
pub fn of(name: &str) -> Option<CloudEvent> {
    lives().into_iter().find(|event| event.type_ == name)
}

/// All that happens in the lives of the sample.
fn lives() -> Vec<CloudEvent> {
    let mut history =
        History { revision: FIRST, clock: Clock::real(Arc::new(|| Timestamp::UNIX_EPOCH)), events: Vec::new() };
    for (name, life) in
        [("o-1001", delivered()), ("o-1002", declined()), ("o-1003", brought_back()), ("o-1004", late())]
    {
        history.live("orders", name, life.into_iter().map(|status| order(name, status)));
    }
    let driver = |status: Value| {
        object("Driver", "sam", &json!({"displayName": "Sam", "vehicle": {"type": "bicycle"}}), &status)
    };
    let silent =
        condition("TrackingStale", "True", "DriverSilent", "not heard of since 2026-11-29T12:20:00Z, with orders");
    let duty = [
        driver(json!({})),
        driver(json!({"availability": "Available"})),
        driver(json!({"availability": "Busy", "conditions": [silent]})),
        driver(json!({"availability": "Offline"})),
    ];
    history.live("drivers", "sam", duty);
    let webhook = |status: Value| {
        let spec = json!({"url": "https://erp.example/dropmate", "events": ["order.*"], "secretName": "erp-signature"});
        object("Webhook", "erp", &spec, &status)
    };
    let off = json!({"failures": 9, "disabledAt": "2026-11-29T12:30:00Z", "disabledReason": "Gone"});
    history.live("webhooks", "erp", [webhook(json!({})), webhook(off)]);
    history.events
}

struct History {
    revision: u64,
    clock: Clock,
    events: Vec<CloudEvent>,
}

impl History {
    fn live(&mut self, resource: &'static str, name: &str, states: impl IntoIterator<Item = Value>) {
        let mut before = None;
        let states = states.into_iter().map(Some).chain([None]);
        for after in states {
            self.revision += 1;
            let origin = Origin { epoch: EPOCH, revision: self.revision, resource, namespace: NAMESPACE, name };
            self.events.extend(of_revision(&origin, before.as_ref(), after.as_ref(), &self.clock));
            before = after;
        }
    }
}

fn object(kind: &str, name: &str, spec: &Value, status: &Value) -> Value {
    let uid = format!(
        "5b1c2f9a-7d7e-4f6e-9a51-{:012x}",
        name.bytes().fold(0_u64, |sum, byte| sum * 31 + u64::from(byte)) % (1 << 40)
    );
    json!({
        "apiVersion": format!("{GROUP}/{VERSION}"), "kind": kind,
        "metadata": {"name": name, "namespace": NAMESPACE, "uid": uid, "generation": 1,
            "creationTimestamp": "2026-11-29T12:00:00Z"},
        "spec": spec, "status": status,
    })
}

fn order(name: &str, status: Value) -> Value {
    let mut status = status;
    let spec = json!({
        "pickup": {"address": "12 Mill St", "location": {"latitude": 43.6503, "longitude": -79.3596}},
        "dropoff": {"address": "88 Queens Quay", "location": {"latitude": 43.6405, "longitude": -79.3760}},
        "recipient": {"name": "Ada", "email": "ada@example.org", "locale": "en"},
        "priority": status.as_object_mut().and_then(|status| status.remove("priority")).unwrap_or(json!(0)),
        "dueBy": "2026-11-29T13:00:00Z",
        "items": [{"name": "Lentil soup", "quantity": 2}],
    });
    let mut placed =
        json!({"phase": "Ready", "placedAt": "2026-11-29T12:00:00Z", "releasedAt": "2026-11-29T12:01:00Z"});
    set(&mut placed, status);
    object("Order", name, &spec, &placed)
}

/// Each state is the one before with something more; `null` takes a field away.
fn states(steps: impl IntoIterator<Item = Value>) -> Vec<Value> {
    let mut state = json!({});
    let next = |step: Value| {
        set(&mut state, step);
        state.clone()
    };
    steps.into_iter().map(next).collect()
}

fn set(state: &mut Value, step: Value) {
    let (Value::Object(state), Value::Object(step)) = (state, step) else { return };
    for (field, value) in step {
        match (state.get_mut(&field), value) {
            (_, Value::Null) => {
                state.remove(&field);
            }
            (Some(held @ Value::Object(_)), value @ Value::Object(_)) => set(held, value),
            (_, value @ Value::Object(_)) => {
                let mut fresh = Value::Object(Map::new());
                set(&mut fresh, value);
                state.insert(field, fresh);
            }
            (_, value) => {
                state.insert(field, value);
            }
        }
    }
}

fn condition(type_: &str, status: &str, reason: &str, message: &str) -> Value {
    json!({"type": type_, "status": status, "reason": reason, "message": message, "lastTransitionTime": "2026-11-29T12:25:00Z"})
}

fn bound(driver: &str) -> Value {
    json!({"phase": "Assigned", "driverName": driver,
        "assignment": {"driverName": driver, "boundAt": "2026-11-29T12:05:00Z", "generation": 1}})
}

fn delivered() -> Vec<Value> {
    let at = |minute: u8| format!("2026-11-29T12:{minute:02}:00Z");
    states([
        json!({"phase": "Pending", "releasedAt": null}),
        json!({"phase": "Ready", "releasedAt": at(1)}),
        bound("sam"),
        json!({"eta": at(30)}),
        json!({"phase": "EnRouteToPickup", "stops": {"pickup": {"state": "EnRoute", "departedAt": at(8)}}}),
        json!({"phase": "AtPickup", "stops": {"pickup": {"state": "Arrived", "arrivedAt": at(12)}}}),
        json!({"phase": "OutForDelivery", "custody": "Driver",
            "stops": {"pickup": {"state": "Completed", "completedAt": at(14)}, "dropoff": {"state": "EnRoute", "departedAt": at(15)}}}),
        json!({"conditions": [condition("Arriving", "True", "Near", "")]}),
        json!({"phase": "AtDropoff", "stops": {"dropoff": {"state": "Arrived", "arrivedAt": at(28)}},
            "conditions": [condition("Arriving", "False", "Arrived", "")]}),
        json!({"phase": "Delivered", "custody": "Recipient", "finishedAt": at(29),
            "stops": {"dropoff": {"state": "Completed", "completedAt": at(29)}}}),
        json!({"conditions": [condition("CustomerNotified", "False", "Failed", "order.delivered by email")]}),
    ])
}

fn declined() -> Vec<Value> {
    let offer =
        |driver: &str, state: &str| json!({"driver": driver, "deadline": "2026-11-29T12:03:00Z", "state": state});
    states([
        json!({}),
        json!({"priority": 5}),
        json!({"phase": "Offered", "offers": [offer("sam", "Open")]}),
        json!({"offers": [offer("sam", "Declined"), offer("kim", "Open")]}),
        json!({"phase": "Ready", "offers": [offer("sam", "Declined"), offer("kim", "TimedOut")],
            "conditions": [condition("Unassignable", "True", "NobodyLeft", "no driver took it")]}),
        json!({"phase": "Expired", "expiredAt": "2026-11-29T14:00:00Z", "finishedAt": "2026-11-29T14:00:00Z"}),
    ])
}

fn brought_back() -> Vec<Value> {
    let failed = json!({"reason": "NobodyHome", "at": "2026-11-29T12:40:00Z", "stop": "dropoff", "driverName": "sam"});
    states([
        bound("sam"),
        json!({"phase": "OutForDelivery", "custody": "Driver",
            "stops": {"pickup": {"state": "Completed", "completedAt": "2026-11-29T12:14:00Z"}}}),
        json!({"phase": "AttemptFailed", "attempts": [failed], "stops": {"dropoff": {"state": "Failed"}}}),
        json!({"phase": "Returning", "returnStartedAt": "2026-11-29T12:45:00Z"}),
        json!({"phase": "Returned", "custody": "Returned", "finishedAt": "2026-11-29T13:00:00Z"}),
    ])
}

fn late() -> Vec<Value> {
    states([
        bound("kim"),
        json!({"phase": "Ready", "driverName": null, "assignment": {"driverName": null, "boundAt": null, "generation": 2}}),
        json!({"conditions": [condition("Late", "True", "PromisePassed", "promised for 2026-11-29T13:00:00Z")]}),
        json!({"phase": "Cancelled", "finishedAt": "2026-11-29T13:20:00Z"}),
    ])
}
