//! `Order`: something to be carried from a pickup to a dropoff. To DropMate what a pod is to Kubernetes.

pub mod binding;
pub mod conditions;
#[cfg(test)]
mod fixtures;
pub mod phase;
pub mod progress;
pub mod strategy;
mod validate;

use jiff::Timestamp;
use kube_derive::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    common::{Condition, Contact, Location, TimeWindow},
    driver::VehicleType,
};

/// What is wanted of an order.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(crates(kube_core = "::kube_core"))]
#[kube(group = "dropmate.dev", version = "v1", kind = "Order", plural = "orders", shortname = "ord")]
#[kube(category = "dropmate", category = "all")]
#[kube(namespaced, status = "OrderStatus", derive = "PartialEq")]
#[kube(selectable = ".status.phase", selectable = ".status.driverName", selectable = ".spec.driverName")]
#[serde(rename_all = "camelCase")]
pub struct OrderSpec {
    /// Where the goods are fetched.
    pub pickup: Stop,
    /// Where they go.
    pub dropoff: Stop,
    /// Who gets them.
    pub recipient: Recipient,
    /// When the customer ordered; absent: the business time of creation, in `status.placedAt`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub placed_at: Option<Timestamp>,
    /// When the goods are ready to be fetched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_at: Option<Timestamp>,
    /// The promise: when they shall be at the door.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due_by: Option<Timestamp>,
    /// What is carried.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1000))]
    pub items: Vec<Item>,
    /// Higher goes first.
    #[serde(default)]
    pub priority: i32,
    /// What the driver and the vehicle must be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requirements: Option<Requirements>,
    /// Which proofs the driver must give.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<ProofPolicy>,
    /// A pin by a human; dispatch obeys it and never overrides it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub driver_name: Option<String>,
    /// Not to be released while true.
    #[serde(default)]
    pub hold: bool,
    /// The order is called off.
    #[serde(default)]
    pub cancelled: bool,
    /// What follows a failed attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<RetryPolicy>,
    /// The customer who ordered, as a Member with the role `customer` names it: they see the order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub customer_name: Option<String>,
    /// How long the order stays after its end, in seconds, before it leaves for the archive; absent: 2 days.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub ttl_seconds_after_finished: Option<i64>,
    /// The first phase in which the recipient sees where the driver is; absent: `OutForDelivery`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tracking_from: Option<Phase>,
}

/// A place where goods are fetched or handed over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Stop {
    /// Street address, for people.
    #[schemars(length(min = 1, max = 1024))]
    pub address: String,
    /// Where it is.
    pub location: Location,
    /// The Depot this stop belongs to; only a link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub depot_name: Option<String>,
    /// When the stop may be served.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<TimeWindow>,
    /// Seconds spent at the stop; 120 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 86_400))]
    pub service_seconds: Option<i64>,
    /// Whom to ask for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contact: Option<Contact>,
    /// What the driver has to know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instructions: Option<String>,
}

/// Who gets the goods.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Recipient {
    /// The person's name.
    #[schemars(length(min = 1, max = 256))]
    pub name: String,
    /// Phone number (E.164).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^\+[1-9][0-9]{6,14}$"))]
    pub phone: Option<String>,
    /// E-mail address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^[^@\s]+@[^@\s]+$"))]
    pub email: Option<String>,
    /// IANA time zone; absent: the depot's, then the namespace's, then UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// The locale in which they are written to, as in BCP 47; absent: as the NotificationPolicy says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$"))]
    pub locale: Option<String>,
    /// Whether they are written to at all; true when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notify: Option<bool>,
}

/// A line of the order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Item {
    /// What it is.
    #[schemars(length(min = 1, max = 256))]
    pub name: String,
    /// How many.
    #[schemars(range(min = 1))]
    pub quantity: i32,
    /// Kilograms of one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0))]
    pub weight_kilograms: Option<f64>,
    /// Litres of one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0))]
    pub volume_liters: Option<f64>,
    /// The shop's own number for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
}

/// What the driver and the vehicle must be.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Requirements {
    /// The driver has all of these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skills: Vec<String>,
    /// The vehicle is one of these; empty: any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub vehicle_types: Vec<VehicleType>,
}

/// Which proofs the driver must give at each stop.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProofPolicy {
    /// With `pickUp`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pickup: Vec<ProofType>,
    /// With `deliver`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dropoff: Vec<ProofType>,
}

/// A kind of proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum ProofType {
    /// A picture.
    Photo,
    /// A signature on the screen.
    Signature,
    /// The recipient's PIN.
    Pin,
    /// A scanned code.
    Barcode,
    /// Nothing.
    None,
}

/// What follows a failed attempt.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RetryPolicy {
    /// Attempts in all; 2 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10))]
    pub max_attempts: Option<i32>,
    /// Whether goods that could not be handed over go back to the pickup; true when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub return_to_pickup: Option<bool>,
}

/// Where an order is in its life. A pure function of spec and facts: `order::phase`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Phase {
    /// Accepted, nothing decided.
    #[default]
    Pending,
    /// To be released at `status.releaseAt`.
    Scheduled,
    /// Waits for a driver.
    Ready,
    /// Offered to one or more drivers.
    Offered,
    /// Bound to a driver.
    Assigned,
    /// The driver is on the way to the pickup.
    EnRouteToPickup,
    /// The driver is at the pickup.
    AtPickup,
    /// The driver has the goods and is on the way.
    OutForDelivery,
    /// The driver is at the door.
    AtDropoff,
    /// An attempt failed; a decision is due.
    AttemptFailed,
    /// The goods are on the way back.
    Returning,
    /// Handed over.
    Delivered,
    /// Back at the sender.
    Returned,
    /// Called off.
    Cancelled,
    /// Given up.
    Failed,
    /// Too late to be worth it.
    Expired,
}

impl Phase {
    /// Whether nothing can follow.
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Delivered | Self::Returned | Self::Cancelled | Self::Failed | Self::Expired)
    }
}

/// Which of an order's two stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum StopKind {
    /// Where the goods are fetched.
    Pickup,
    /// Where they go.
    Dropoff,
}

/// What was observed of an order: the facts, and what follows from them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OrderStatus {
    /// Where the order is in its life; written by the server alone.
    #[serde(default)]
    pub phase: Phase,
    /// The driver the order is bound to; written through `/binding`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub driver_name: Option<String>,
    /// Business time of creation where `spec.placedAt` is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub placed_at: Option<Timestamp>,
    /// When dispatch means to release the order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release_at: Option<Timestamp>,
    /// When it was released.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub released_at: Option<Timestamp>,
    /// To whom it was offered, newest last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub offers: Vec<Offer>,
    /// The binding.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assignment: Option<Assignment>,
    /// How far each stop is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stops: Option<Stops>,
    /// Attempts that failed, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attempts: Vec<Attempt>,
    /// Who has the goods.
    #[serde(default)]
    pub custody: Custody,
    /// When the driver set out to bring the goods back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub return_started_at: Option<Timestamp>,
    /// When the order expired.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expired_at: Option<Timestamp>,
    /// When it came to a phase that nothing follows; written by the server alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Timestamp>,
    /// Proofs given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub proofs: Vec<Proof>,
    /// The last reports, so that a replay is found.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reports: Vec<ReportRecord>,
    /// When the goods are expected at the door.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eta: Option<Timestamp>,
    /// Conditions by type.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

/// An offer to a driver.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Offer {
    /// To whom.
    pub driver: String,
    /// Until when.
    pub deadline: Timestamp,
    /// What became of it.
    pub state: OfferState,
}

/// What became of an offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum OfferState {
    /// No answer yet.
    Open,
    /// The driver takes it; dispatch binds.
    Accepted,
    /// The driver does not take it.
    Declined,
    /// No answer by the deadline.
    TimedOut,
}

/// The binding of an order to a driver. Unbinding clears all but `generation`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Assignment {
    /// To whom.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub driver_name: Option<String>,
    /// When (business time).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bound_at: Option<Timestamp>,
    /// Rises with every unbinding.
    #[serde(default)]
    pub generation: i64,
    /// Orders fetched together share it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trip_id: Option<String>,
    /// Why this driver.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<AssignmentReason>,
}

/// Why dispatch chose a driver: short, to be read by people (`dropmate explain order NAME`). At most 2 KiB of JSON.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AssignmentReason {
    /// One sentence.
    pub summary: String,
    /// How many drivers were looked at.
    #[serde(default)]
    pub considered: i32,
    /// The best five, cheapest first; the chosen one is the first, unless pinned.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub candidates: Vec<Candidate>,
    /// How many drivers each hard limit ruled out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ruled_out: Vec<RuledOut>,
}

/// A driver that was looked at, with the terms of the cost.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Candidate {
    /// The driver.
    pub driver: String,
    /// Weighted sum; lower is better.
    pub cost: f64,
    /// Seconds after the promise that this choice adds.
    #[serde(default)]
    pub lateness_seconds: f64,
    /// Seconds from ready to the door that this choice adds.
    #[serde(default)]
    pub freshness_seconds: f64,
    /// Seconds driven that this choice adds.
    #[serde(default)]
    pub driving_seconds: f64,
    /// Expected pickup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pickup_at: Option<Timestamp>,
    /// Expected handover.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dropoff_at: Option<Timestamp>,
}

/// How many drivers a hard limit ruled out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RuledOut {
    /// Which limit: `Suspended`, `OffDuty`, `OffShift`, `Skills`, `VehicleType`, `Capacity`, `PickupWindow`, `DropoffWindow`,
    /// `NoLocation`, `Custody`, `NotThePinnedDriver`.
    pub limit: String,
    /// How many drivers.
    pub drivers: i32,
}

/// How far each stop is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Stops {
    /// Where the goods are fetched.
    #[serde(default)]
    pub pickup: StopStatus,
    /// Where they go.
    #[serde(default)]
    pub dropoff: StopStatus,
}

/// How far a stop is, with the business times of what happened there.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StopStatus {
    /// How far it is.
    #[serde(default)]
    pub state: StopState,
    /// When the driver set out for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub departed_at: Option<Timestamp>,
    /// When the driver arrived.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arrived_at: Option<Timestamp>,
    /// When it was completed or failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<Timestamp>,
    /// Which of the times were not reported but follow from a later report: `departedAt`, `arrivedAt`, `completedAt`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inferred: Vec<String>,
    /// Where the last report about the stop came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<Location>,
}

/// How far a stop is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum StopState {
    /// Nothing happened yet.
    #[default]
    Pending,
    /// The driver is on the way.
    EnRoute,
    /// The driver is there.
    Arrived,
    /// Done.
    Completed,
    /// Could not be done.
    Failed,
    /// Not to be done any more.
    Skipped,
}

/// An attempt that failed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Attempt {
    /// Why, as the driver said.
    pub reason: String,
    /// When (business time).
    pub at: Timestamp,
    /// At which stop.
    pub stop: StopKind,
    /// By whom.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub driver_name: Option<String>,
    /// Where.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<Location>,
    /// What else the driver said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// What follows; absent: not decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<Decision>,
}

/// What follows a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Decision {
    /// Try again.
    Retry,
    /// Bring the goods back.
    Return,
    /// Give up.
    Fail,
}

/// Who has the goods.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Custody {
    /// The sender.
    #[default]
    Sender,
    /// The driver.
    Driver,
    /// The recipient.
    Recipient,
    /// The sender, again.
    Returned,
}

/// A proof that was given.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Proof {
    /// At which stop.
    pub stop: StopKind,
    /// Of which kind.
    #[serde(rename = "type")]
    pub type_: ProofType,
    /// The id or the content, as reported (never a PIN).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// When (business time).
    pub at: Timestamp,
}

/// A report that was taken in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReportRecord {
    /// The idempotency key.
    pub client_event_id: String,
    /// The type of the report.
    #[serde(rename = "type")]
    pub type_: String,
    /// When it happened, by the phone.
    pub occurred_at: Timestamp,
    /// When the server took it in (business time).
    pub recorded_at: Timestamp,
    /// SHA-256 of the report without its fence, hex, shortened to 16 characters.
    pub digest: String,
}

impl OrderSpec {
    /// Seconds spent at the stop.
    pub fn service_seconds(&self, stop: StopKind) -> i64 {
        /// Where a stop does not say: two minutes, the usual time for parking and handing over.
        const DEFAULT_SERVICE_SECONDS: i64 = 120;
        self.stop(stop).service_seconds.unwrap_or(DEFAULT_SERVICE_SECONDS)
    }

    /// The stop of that kind.
    pub fn stop(&self, stop: StopKind) -> &Stop {
        match stop {
            StopKind::Pickup => &self.pickup,
            StopKind::Dropoff => &self.dropoff,
        }
    }
}

impl Order {
    /// When the customer ordered (business time): spec, else status. Nothing plans an order before it.
    pub fn placed_at(&self) -> Option<Timestamp> {
        self.spec.placed_at.or_else(|| self.status.as_ref().and_then(|s| s.placed_at))
    }

    /// The present phase; `Pending` before the server wrote one.
    pub fn phase(&self) -> Phase {
        self.status.as_ref().map(|s| s.phase).unwrap_or_default()
    }
}

/// Computes what follows from spec and facts: the phase, the driver's name and the server's conditions. `now` is
/// business time and becomes the transition time of conditions that change.
pub fn settle(order: &mut Order, now: Timestamp) {
    let status = order.status.get_or_insert_default();
    status.driver_name = binding::bound_driver(status).map(str::to_owned);
    status.phase = phase::phase(&order.spec, status);
    status.finished_at = status.phase.is_terminal().then(|| status.finished_at.unwrap_or(now));
    conditions::refresh(order, now);
}
