//! The notification agent: messages to people, webhooks to programs. Owns the schema `notification`.
//!
//! It reads the domain events in their order, writes down what is to be sent before anything is sent, and marks it after.
//! Killed at any moment and started again it goes on, and sends at least once, with the same key.

#![warn(missing_docs)]

pub mod channel;
pub mod providers;
pub mod webhooks;

/// This agent in metrics, and as the manager of what it owns.
pub const AGENT: &str = "notification";
