//! The words everyone shares: the kinds with their fields, the order's state machine, validation, defaulting and the
//! registry of kinds.
//!
//! Everything here is a value or a plain function over values. This crate knows no clock, no I/O, no client and no
//! server; time arrives as an argument.

pub mod apply;
pub mod applyset;
pub mod clock;
pub mod common;
pub mod crd;
mod cross;
pub mod depot;
pub mod driver;
pub mod events;
pub mod member;
pub mod notification;
pub mod order;
pub mod policy;
pub mod registry;
pub mod roles;
pub mod schema;
pub mod subresource;
pub mod validation;
pub mod webhook;

pub use applyset::{ApplySet, ApplySetRun, ApplySetSpec, ApplySetStatus};
pub use clock::Clock;
pub use common::{Condition, Location, TimeWindow};
pub use depot::{Depot, DepotSpec, DepotStatus};
pub use driver::{Driver, DriverSpec, DriverStatus, VehicleType};
pub use member::{Member, MemberRole, MemberSpec, MemberStatus};
pub use notification::{NotificationPolicy, NotificationPolicySpec, NotificationPolicyStatus};
pub use order::{Order, OrderSpec, OrderStatus, Phase};
pub use policy::{DispatchPolicy, DispatchPolicySpec, DispatchPolicyStatus};
pub use webhook::{Webhook, WebhookSpec, WebhookStatus};

/// The API group of every DropMate kind.
pub const GROUP: &str = "dropmate.dev";
/// The one served version of that group.
pub const VERSION: &str = "v1";
/// `apiVersion` of every DropMate object.
pub const API_VERSION: &str = "dropmate.dev/v1";
/// The namespace that holds the agents' Leases and service accounts; it exists from the first start.
pub const SYSTEM_NAMESPACE: &str = "dropmate-system";
