//! The tracking agent: history, geofences, ETA, timeline. Owns the schema `tracking`.
//!
//! It pulls the positions that the control plane has taken in, keeps them, and says what they mean: where drivers are,
//! when goods are expected, whether a promise is at risk, what happened to an order. All of it is derived from orders and
//! history, so killed at any moment and started again it goes on, and nothing is said twice. It decides nothing about who
//! drives what, and writes a stop only where a policy says so.

#![warn(missing_docs)]

pub mod accuracy;
mod agent;
pub mod api;
pub mod coarse;
pub mod eta;
pub mod fix;
pub mod geofence;
pub mod look;
mod metrics;
pub mod promise;
pub mod pull;
pub mod stops;
pub mod store;
pub mod timeline;
pub mod travel;
pub mod watch;
mod world;
mod write;

pub use agent::{Config, run};
pub use metrics::Metrics;

/// This agent in metrics, and as the manager of what it owns.
const AGENT: &str = "tracking";
