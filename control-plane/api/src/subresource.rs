//! The bodies of an order's subresources, `/binding` and `/progress`.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    common::Location,
    order::{AssignmentReason, Decision, Phase, ProofType},
};

/// `POST …/orders/NAME/binding`: binds the order to a driver.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Binding {
    /// `dropmate.dev/v1`.
    pub api_version: String,
    /// `Binding`.
    pub kind: String,
    /// Which order, and optionally which state of it.
    pub metadata: BindingMetadata,
    /// Which driver.
    pub target: BindingTarget,
    /// Orders fetched together share it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trip_id: Option<String>,
    /// Why this driver.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<AssignmentReason>,
    /// The lease it is made under.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fence: Option<Fence>,
}

/// Which order is bound, and optionally which state of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BindingMetadata {
    /// Name of the order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its namespace, as in the path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// The order must have this uid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
    /// The order must be at this version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_version: Option<String>,
}

/// Which driver.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BindingTarget {
    /// `Driver`.
    pub kind: String,
    /// Its name, in the order's namespace.
    pub name: String,
}

/// The lease a decision is made under. It must equal the stored Lease at commit, so a paused old leader cannot write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Fence {
    /// Name of the Lease in `dropmate-system`.
    pub lease: String,
    /// Its uid.
    pub lease_uid: String,
    /// Its `spec.holderIdentity`.
    pub holder: String,
    /// Its `spec.leaseTransitions`.
    pub transitions: i32,
}

/// `DELETE …/orders/NAME/binding`: unbinds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Unbinding {
    /// Why.
    #[serde(default)]
    pub reason: String,
    /// The lease it is made under; people leave it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fence: Option<Fence>,
}

/// The types of `/progress`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ReportType {
    /// The driver takes an offer.
    Accept,
    /// The driver does not take it.
    Decline,
    /// The driver sets out for the next stop.
    Depart,
    /// The driver is at the next stop.
    Arrive,
    /// The goods are fetched.
    PickUp,
    /// The goods are handed over.
    Deliver,
    /// The stop could not be done.
    Fail,
    /// The driver sets out to bring the goods back.
    StartReturn,
    /// The goods are back.
    Returned,
    /// Dispatch plans the release (`releaseAt`).
    Schedule,
    /// Dispatch releases the order.
    Release,
    /// Dispatch offers it (`driver`, `deadline`).
    Offer,
    /// Dispatch gives it up for lateness.
    Expire,
    /// Dispatch decides what follows a failed attempt (`decision`).
    Decide,
}

impl ReportType {
    /// Whether the dispatch agent sends it (with a fence), rather than a driver.
    pub fn is_dispatch(self) -> bool {
        matches!(self, Self::Schedule | Self::Release | Self::Offer | Self::Expire | Self::Decide)
    }

    /// Its name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accept => "accept",
            Self::Decline => "decline",
            Self::Depart => "depart",
            Self::Arrive => "arrive",
            Self::PickUp => "pickUp",
            Self::Deliver => "deliver",
            Self::Fail => "fail",
            Self::StartReturn => "startReturn",
            Self::Returned => "returned",
            Self::Schedule => "schedule",
            Self::Release => "release",
            Self::Offer => "offer",
            Self::Expire => "expire",
            Self::Decide => "decide",
        }
    }
}

/// `POST …/orders/NAME/progress`: a fact about the order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Report {
    /// The idempotency key.
    pub client_event_id: String,
    /// What happened.
    #[serde(rename = "type")]
    pub type_: ReportType,
    /// When it happened, by the phone (business time).
    pub occurred_at: Timestamp,
    /// Where.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<Location>,
    /// Proofs given with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<Vec<ProofGiven>>,
    /// Why (`fail`, `decline`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What else there is to say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Which driver (`offer`, and whose report it is otherwise).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub driver: Option<String>,
    /// Until when the offer stands (`offer`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Timestamp>,
    /// When the order is to be released (`schedule`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release_at: Option<Timestamp>,
    /// What follows the failed attempt (`decide`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<Decision>,
    /// The lease it is made under (dispatch).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fence: Option<Fence>,
}

/// A proof given with a report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProofGiven {
    /// Of which kind.
    #[serde(rename = "type")]
    pub type_: ProofType,
    /// An id or the content.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
}

/// What `/progress` answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReportAnswer {
    /// Whether the report changed anything.
    pub outcome: ReportOutcome,
    /// The phase after it.
    pub phase: Phase,
    /// What may be reported next.
    pub legal_next: Vec<ReportType>,
}

/// Whether a report was new.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ReportOutcome {
    /// It was new.
    Applied,
    /// It had been taken in before.
    Replayed,
}
