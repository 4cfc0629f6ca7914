//! Events in the form of CloudEvents 1.0, as everybody outside gets them.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{DELETED, NOT_NOTIFIED, OrderEvent, UPDATED, driver, not_notified, order_events, webhook};
use crate::{Clock, Driver, GROUP, Order, Phase, VERSION, Webhook, driver::Availability};

/// The specification of CloudEvents that the events follow.
pub const SPEC_VERSION: &str = "1.0";
/// What `data` is written in.
pub const CONTENT_TYPE: &str = "application/json";

/// An event in the form of CloudEvents 1.0 (structured mode, JSON).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CloudEvent<D = Value> {
    /// The version of CloudEvents: `1.0`.
    pub specversion: String,
    /// `evt_<epoch>_<revision>_<ordinal>`: the same over restarts, replicas and replays. Whoever has seen it has seen the event.
    pub id: String,
    /// The collection that the object is in: `/apis/dropmate.dev/v1/namespaces/acme/orders`.
    pub source: String,
    /// What happened: `order.assigned`.
    #[serde(rename = "type")]
    pub type_: String,
    /// To what: namespace and name.
    pub subject: String,
    /// When (business time).
    pub time: Timestamp,
    /// What `data` is written in: `application/json`.
    pub datacontenttype: String,
    /// The object's `resourceVersion`. Of two events, the one with the larger number happened later.
    pub sequence: String,
    /// The particulars.
    pub data: D,
}

impl<D> CloudEvent<D> {
    /// Its revision, and its number among the events of it; as its id says.
    pub fn position(&self) -> Option<(u64, u64)> {
        let mut parts = self.id.rsplit('_');
        let (ordinal, revision) = (parts.next()?, parts.next()?);
        Some((revision.parse().ok()?, ordinal.parse().ok()?))
    }
}

/// The particulars of what happened to an order; `O` is how the order is shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OrderData<O> {
    /// How far the order is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,
    /// To whom it is bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub driver_name: Option<String>,
    /// The driver to whom it happened: of an offer, of a binding that begins or ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub driver: Option<String>,
    /// When the goods are expected at the door (business time).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eta: Option<Timestamp>,
    /// Of `notification.failed`: why, for programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Of `notification.failed`: of what nobody was told, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The order after it.
    pub order: O,
}

/// The particulars of what happened to a driver; `D` is how the driver is shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DriverData<D> {
    /// Whether the driver takes orders, as the driver said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub availability: Option<Availability>,
    /// The driver after it.
    pub driver: D,
}

/// The particulars of what happened to a webhook; `W` is how the webhook is shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WebhookData<W> {
    /// Why nothing is sent any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The webhook after it.
    pub webhook: W,
}

impl<O> OrderData<O> {
    /// What is told of the order by an event. `None`: an order that this version cannot read.
    pub fn of(event: &OrderEvent, order: Option<&Order>, shown: O) -> Self {
        let status = order.and_then(|order| order.status.as_ref());
        let failed = status.filter(|_| event.name == NOT_NOTIFIED).and_then(not_notified);
        Self {
            phase: status.map(|status| status.phase),
            driver_name: status.and_then(|status| status.driver_name.clone()),
            driver: event.driver.clone(),
            eta: status.and_then(|status| status.eta),
            reason: failed.map(|failed| failed.reason.clone()),
            message: failed.map(|failed| failed.message.clone()),
            order: shown,
        }
    }
}

/// Which object of which history changed: what an event is named by.
#[derive(Clone, Copy, Debug)]
pub struct Origin<'a> {
    /// Tells the history from others.
    pub epoch: &'a str,
    /// The revision.
    pub revision: u64,
    /// The plural of the kind: `orders`.
    pub resource: &'a str,
    /// The object's namespace.
    pub namespace: &'a str,
    /// Its name.
    pub name: &'a str,
}

impl Origin<'_> {
    /// Number `ordinal` of the events of this revision.
    pub fn event<D>(&self, ordinal: usize, name: &str, time: Timestamp, data: D) -> CloudEvent<D> {
        let Self { epoch, revision, resource, namespace, name: object } = self;
        CloudEvent {
            specversion: SPEC_VERSION.to_owned(),
            id: format!("evt_{epoch}_{revision}_{ordinal}"),
            source: format!("/apis/{GROUP}/{VERSION}/namespaces/{namespace}/{resource}"),
            type_: name.to_owned(),
            subject: format!("{namespace}/{object}"),
            time,
            datacontenttype: CONTENT_TYPE.to_owned(),
            sequence: revision.to_string(),
            data,
        }
    }
}

/// What is told of the objects of a kind, if anything is.
pub fn is_told(resource: &str) -> bool {
    matches!(resource, "orders" | "drivers" | "webhooks")
}

/// All events of one revision, whole, for those who may see everything; echoes of events are none. `before` and `after` are the stored bodies;
/// `None`: it was not there. A deleted object's last state comes as `before`.
pub fn of_revision(
    origin: &Origin<'_>,
    before: Option<&Value>,
    after: Option<&Value>,
    clock: &Clock,
) -> Vec<CloudEvent> {
    let Some(shown) = after.or(before) else { return Vec::new() };
    let written = written_at(shown, clock);
    let shown = || whole(shown, origin.revision);
    match origin.resource {
        "orders" => {
            let (was, is) = (before.and_then(read::<Order>), after.and_then(read::<Order>));
            let happened = match (after, &is) {
                (None, _) => vec![OrderEvent::new(DELETED, None)],
                // Written by a version that says it in other words: it has changed, and that is all that can be said.
                (Some(_), None) => vec![OrderEvent::new(UPDATED, None)],
                (Some(_), Some(is)) => order_events(was.as_ref(), Some(is)),
            };
            let order = is.as_ref().or(was.as_ref());
            let event = |(ordinal, event): (usize, OrderEvent)| {
                let data = OrderData::of(&event, order, shown());
                origin.event(ordinal, event.name, event.at.unwrap_or(written), json!(data))
            };
            happened.into_iter().enumerate().filter(|(_, event)| !event.echo).map(event).collect()
        }
        "drivers" => {
            let (was, is) = (before.and_then(read::<Driver>), after.and_then(read::<Driver>));
            let known = is.as_ref().or(was.as_ref());
            let availability = known.and_then(|driver| driver.status.as_ref()?.availability);
            let events = driver::driver_events(was.as_ref(), is.as_ref()).into_iter().enumerate();
            let event = |(ordinal, event): (usize, driver::DriverEvent)| {
                let data = DriverData { availability, driver: shown() };
                origin.event(ordinal, event.name, event.at.unwrap_or(written), json!(data))
            };
            events.map(event).collect()
        }
        "webhooks" => {
            let (was, is) = (before.and_then(read::<Webhook>), after.and_then(read::<Webhook>));
            let Some(at) = webhook::disabled(was.as_ref(), is.as_ref()) else { return Vec::new() };
            let reason = is.and_then(|webhook| webhook.status?.disabled_reason);
            vec![origin.event(0, webhook::DISABLED, at, json!(WebhookData { reason, webhook: shown() }))]
        }
        _ => Vec::new(),
    }
}

/// `None` for what an older version wrote and this one cannot read.
fn read<T: serde::de::DeserializeOwned>(body: &Value) -> Option<T> {
    T::deserialize(body).ok()
}

/// An object as events show it: at its version, without who manages which field and what a report's body was known by.
fn whole(body: &Value, revision: u64) -> Value {
    let mut shown = body.clone();
    if let Some(metadata) = shown.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
        metadata.insert("resourceVersion".to_owned(), revision.to_string().into());
    }
    for report in shown.pointer_mut("/status/reports").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some(report) = report.as_object_mut() {
            report.remove("digest");
        }
    }
    shown
}

/// When an object was last written, in business time, as far as it says itself: so a replay says the same.
pub fn written_at(body: &Value, clock: &Clock) -> Timestamp {
    let entries = body.pointer("/metadata/managedFields").and_then(Value::as_array).into_iter().flatten();
    let written = entries.filter_map(|entry| entry["time"].as_str()).max();
    let created = body.pointer("/metadata/creationTimestamp").and_then(Value::as_str);
    let at = written.or(created).and_then(|at| at.parse().ok()).unwrap_or(Timestamp::UNIX_EPOCH);
    clock.to_business(at)
}

#[cfg(test)]
#[path = "cloud_tests.rs"]
mod tests;
