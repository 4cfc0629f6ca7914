//! The notification agent: messages to people, webhooks to programs. Owns the schema `notification`.
//!
//! It reads the domain events in their order, writes down what is to be sent before anything is sent, and marks it after.
//! Killed at any moment and started again it goes on, and sends at least once, with the same key.

#![warn(missing_docs)]

mod agent;
pub mod api;
mod ask;
pub mod channel;
pub mod draft;
mod metrics;
pub mod plan;
pub mod providers;
mod pull;
pub mod seam;
pub mod send;
pub mod status;
pub mod store;
mod vault;
pub mod webhooks;
mod world;

pub use agent::{Config, run};
pub use dropmate_outbound::OutboundArgs as WayOut;
pub use metrics::Metrics;
pub use vault::ControlPlane;

/// This agent in metrics, and as the manager of what it owns.
pub const AGENT: &str = "notification";
