//! What planning needs to know of an order, taken out of the resource once per change.

use dropmate_api::{
    Order,
    order::{Custody, StopKind},
};
use jiff::Timestamp;

use crate::{
    moment::{self, NEVER, Seconds},
    travel::{self, Place},
};

/// Where nothing else is promised: the goods are at the door this long after they were ready.
const DEFAULT_PROMISE_SECONDS: Seconds = 40 * 60;

/// Before a driver is known, a direct ride is guessed at the pace of a bicycle.
const GUESSED_METERS_PER_SECOND: f64 = 4.2;

/// What is carried, or what fits.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Load {
    pub(crate) orders: i32,
    pub(crate) weight_kilograms: f64,
    pub(crate) volume_liters: f64,
}

impl Load {
    /// Room for rounding when many small weights are summed.
    const TOLERANCE: f64 = 1e-6;

    pub(crate) fn fits(&self, capacity: &Self) -> bool {
        self.orders <= capacity.orders
            && self.weight_kilograms <= capacity.weight_kilograms + Self::TOLERANCE
            && self.volume_liters <= capacity.volume_liters + Self::TOLERANCE
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.orders += other.orders;
        self.weight_kilograms += other.weight_kilograms;
        self.volume_liters += other.volume_liters;
    }
}

/// The numbers of an order.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Job {
    pub(crate) pickup: Place,
    pub(crate) dropoff: Place,
    /// When the goods can be had: ready, and the pickup's window open.
    pub(crate) ready_at: Seconds,
    /// When a driver should have the goods at the earliest; later than `ready_at` where the door opens late.
    pub(crate) fetch_from: Seconds,
    /// Nobody hands the goods over after this.
    pub(crate) pickup_until: Seconds,
    pub(crate) dropoff_from: Seconds,
    pub(crate) dropoff_until: Seconds,
    /// The promise.
    pub(crate) due_at: Seconds,
    pub(crate) pickup_service: Seconds,
    pub(crate) dropoff_service: Seconds,
    pub(crate) load: Load,
    /// How much more a second of this order weighs than one of an ordinary order.
    pub(crate) urgency: f64,
    pub(crate) priority: i32,
    /// Whether the goods are in a driver's hands.
    pub(crate) aboard: bool,
}

impl Job {
    /// Of an order; `preparation` is its depot's, `now` stands in where nothing says when it was placed.
    pub(crate) fn new(order: &Order, preparation: Seconds, now: Timestamp) -> Self {
        let spec = &order.spec;
        let pickup = Place::new(spec.pickup.location);
        let dropoff = Place::new(spec.dropoff.location);
        let (opens, closes) = window(order, StopKind::Pickup);
        let (dropoff_from, dropoff_until) = window(order, StopKind::Dropoff);
        let ready_at = moment::ceil(ready_at(order, preparation, now)).max(opens);
        let due_at = match spec.due_by {
            Some(due_by) => moment::ceil(due_by),
            None if dropoff_until < NEVER => dropoff_until,
            None => ready_at + DEFAULT_PROMISE_SECONDS,
        };
        let mut load = Load { orders: 1, ..Load::default() };
        for item in &spec.items {
            let quantity = f64::from(item.quantity);
            load.weight_kilograms += quantity * item.weight_kilograms.unwrap_or(0.0);
            load.volume_liters += quantity * item.volume_liters.unwrap_or(0.0);
        }
        Self {
            pickup,
            dropoff,
            ready_at,
            fetch_from: ready_at.max(dropoff_from - travel::seconds(pickup, dropoff, GUESSED_METERS_PER_SECOND)),
            pickup_until: closes,
            dropoff_from,
            dropoff_until,
            due_at,
            pickup_service: spec.service_seconds(StopKind::Pickup),
            dropoff_service: spec.service_seconds(StopKind::Dropoff),
            load,
            urgency: 1.0 + f64::from(spec.priority.clamp(0, 10)),
            priority: spec.priority,
            aboard: order.status.as_ref().is_some_and(|s| s.custody == Custody::Driver),
        }
    }
}

/// When the goods are ready: as the order says, else after the depot's preparation.
fn ready_at(order: &Order, preparation: Seconds, now: Timestamp) -> Timestamp {
    let placed_at =
        || order.placed_at().or_else(|| order.metadata.creation_timestamp.as_ref().map(|t| t.0)).unwrap_or(now);
    order.spec.ready_at.unwrap_or_else(|| {
        let placed_at = placed_at();
        placed_at.checked_add(jiff::SignedDuration::from_secs(preparation)).unwrap_or(placed_at)
    })
}

/// The ends of a stop's window, far away where open.
fn window(order: &Order, stop: StopKind) -> (Seconds, Seconds) {
    let window = order.spec.stop(stop).window.as_ref();
    let earliest = window.and_then(|w| w.earliest).map_or(-NEVER, moment::ceil);
    let latest = window.and_then(|w| w.latest).map_or(NEVER, Timestamp::as_second);
    (earliest, latest)
}
