//! Frames as they are sent: plain functions from what happened to JSON text.

use std::fmt;

use axum::extract::ws::Utf8Bytes;
use dropmate_api::{
    Clock, GROUP, Order, VERSION,
    events::{
        self, OrderEvent,
        cloud::{self, OrderData, Origin},
        order_events,
    },
    registry::{self, Kind},
    roles::Own,
};
use dropmate_live::Position;
use dropmate_store::{Event, Object, Revision};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json, value::RawValue};

use crate::{
    error::{ApiError, Result},
    resources::{self, Eyes},
};

/// What every frame of a server is made with.
#[derive(Clone)]
pub(super) struct Words {
    pub(super) epoch: String,
    pub(super) clock: Clock,
    kind: &'static Kind,
}

impl Words {
    pub(super) fn new(epoch: String, clock: Clock) -> Result<Self> {
        let kind =
            registry::by_resource(GROUP, VERSION, "orders").ok_or_else(|| ApiError::internal("no kind Order"))?;
        Ok(Self { epoch, clock, kind })
    }

    pub(super) fn storage(&self) -> &'static str {
        self.kind.storage
    }
}

impl fmt::Debug for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Words").field("epoch", &self.epoch).finish_non_exhaustive()
    }
}

/// A frame: `seq` is how far the stream has come with it.
#[derive(Serialize)]
struct Frame<'a, D> {
    #[serde(rename = "type")]
    type_: &'static str,
    seq: Revision,
    data: &'a D,
}

/// A position as clients see it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Place<'a> {
    namespace: &'a str,
    driver: &'a str,
    latitude: f64,
    longitude: f64,
    at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    speed_meters_per_second: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bearing: Option<f64>,
}

/// The first frame.
pub(super) fn hello(words: &Words, seq: Revision) -> Utf8Bytes {
    json!({"type": "hello", "epoch": words.epoch, "seq": seq}).to_string().into()
}

/// The `data` of a position's frame, the same for all who see it.
pub(super) fn place(position: &Position) -> Box<str> {
    let place = Place {
        namespace: &position.namespace,
        driver: &position.driver,
        latitude: position.latitude,
        longitude: position.longitude,
        at: position.at,
        speed_meters_per_second: position.speed_meters_per_second,
        bearing: position.bearing,
    };
    // Numbers and texts always have a JSON form.
    serde_json::to_string(&place).unwrap_or_default().into()
}

/// A position's frame around its `data`.
pub(super) fn position(seq: Revision, place: &str) -> Utf8Bytes {
    format!("{{\"type\":\"position\",\"seq\":{seq},\"data\":{place}}}").into()
}

/// A piece of a snapshot. While more follows, `seq` is 0: who comes back with that begins anew.
pub(super) fn reset(seq: Option<Revision>, orders: &[Box<RawValue>], places: &[Box<RawValue>]) -> Result<Utf8Bytes> {
    #[derive(Serialize)]
    struct Piece<'a> {
        orders: &'a [Box<RawValue>],
        positions: &'a [Box<RawValue>],
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        more: bool,
    }
    let data = Piece { orders, positions: places, more: seq.is_none() };
    text(&Frame { type_: "reset", seq: seq.unwrap_or(0), data: &data })
}

/// An order as the caller sees it, at a version.
pub(super) fn order(words: &Words, eyes: Option<&Eyes>, object: &Object, at: Revision) -> Result<Box<RawValue>> {
    let shown = eyes.map(|eyes| eyes.shown(words.kind, object)).transpose()?;
    let mut body = Vec::with_capacity(object.body.len() + 64);
    resources::write_json(words.kind, shown.as_ref().unwrap_or(object), at, &mut body)?;
    let body = String::from_utf8(body).map_err(ApiError::internal)?;
    RawValue::from_string(body).map_err(ApiError::internal)
}

/// The frames of one revision, for those who see with these eyes (`None`: everything). Only the last one carries the
/// revision as its `seq`: who is cut off between two of them comes back before the first.
pub(super) fn of_change(words: &Words, eyes: Option<&Eyes>, change: &Event) -> Result<Vec<Utf8Bytes>> {
    let sees = |object: &Object| eyes.is_none_or(|eyes| eyes.see(object));
    let before = change.previous.as_deref().filter(|object| sees(object));
    let there = !change.deleted && sees(&change.object);
    if !there {
        // Of one that was never there for them, nothing is said; one whose state before is not known any more may have been.
        let unknown = change.deleted && change.previous.is_none() && sees(&change.object);
        let last = before.or(unknown.then_some(&*change.object));
        return last.map_or_else(|| Ok(Vec::new()), |last| Ok(vec![gone(words, last, change)?]));
    }
    let value: Value = serde_json::from_str(&change.object.body).map_err(ApiError::internal)?;
    let is = typed(&change.object);
    // Numbered as they are for everybody, whatever this client sees of them.
    let mut happened: Vec<(usize, OrderEvent)> = all(change, is.as_ref()).into_iter().enumerate().collect();
    let count = happened.len();
    if let Some(eyes) = eyes {
        happened.retain(|(_, event)| concerns(event, eyes.own()));
    }
    if happened.is_empty() {
        happened.push((count, OrderEvent { name: events::UPDATED, at: None, driver: None }));
    }
    let order = order(words, eyes, &change.object, change.revision)?;
    let written_at = cloud::written_at(&value, &words.clock);
    let count = happened.len();
    let frame = |(index, (ordinal, event)): (usize, (usize, OrderEvent))| {
        let seq = if index + 1 == count { change.revision } else { change.revision - 1 };
        let data = OrderData::of(&event, is.as_ref(), &*order);
        framed(words, &change.object, (change.revision, ordinal, seq), event.name, event.at.unwrap_or(written_at), data)
    };
    happened.into_iter().enumerate().map(frame).collect()
}

/// What happened, for who sees everything.
fn all(change: &Event, is: Option<&Order>) -> Vec<OrderEvent> {
    let was = change.previous.as_deref().and_then(typed);
    is.map(|is| order_events(was.as_ref(), Some(is))).unwrap_or_default()
}

/// An order that is no longer there for somebody, told by its names alone. Where it only left their sight, nobody else is
/// told that, and it counts after what they are told.
fn gone(words: &Words, last: &Object, change: &Event) -> Result<Utf8Bytes> {
    let (key, revision) = (&last.key, change.revision);
    let value: Value = serde_json::from_str(&last.body).map_err(ApiError::internal)?;
    let names = json!({
        "apiVersion": words.kind.api_version(), "kind": words.kind.kind,
        "metadata": {"name": key.name, "namespace": key.namespace, "uid": last.uid, "resourceVersion": revision.to_string()},
    });
    let names = RawValue::from_string(names.to_string()).map_err(ApiError::internal)?;
    let ordinal = if change.deleted { 0 } else { all(change, typed(&change.object).as_ref()).len() };
    let phase = typed(last).and_then(|order| order.status).map(|status| status.phase);
    let data =
        OrderData { phase, driver_name: None, driver: None, eta: None, reason: None, message: None, order: &*names };
    let at = cloud::written_at(&value, &words.clock);
    framed(words, last, (revision, ordinal, revision), events::DELETED, at, data)
}

fn framed(
    words: &Words,
    object: &Object,
    (revision, ordinal, seq): (Revision, usize, Revision),
    name: &str,
    time: Timestamp,
    data: OrderData<&RawValue>,
) -> Result<Utf8Bytes> {
    let key = &object.key;
    let origin = Origin {
        epoch: &words.epoch,
        revision,
        resource: words.kind.plural,
        namespace: &key.namespace,
        name: &key.name,
    };
    text(&Frame { type_: "event", seq, data: &origin.event(ordinal, name, time, data) })
}

fn text(frame: &impl Serialize) -> Result<Utf8Bytes> {
    Ok(serde_json::to_string(frame).map_err(ApiError::internal)?.into())
}

/// What dispatch asks of one driver is no other driver's and no customer's business.
fn concerns(event: &OrderEvent, own: &Own) -> bool {
    !event.is_between_dispatch_and_driver() || event.driver.as_ref().is_some_and(|driver| own.drivers.contains(driver))
}

/// `None` for what an older version wrote and this one cannot read: it has changed, and that is all that can be said.
fn typed(object: &Object) -> Option<Order> {
    serde_json::from_str(&object.body).ok()
}
