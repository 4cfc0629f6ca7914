//! Domain events: read off the log of revisions, told to agents that ask for them, and published as they happen.
//!
//! The log is the outbox: what happened is what a revision did (`dropmate_api::events`), so that an event can neither be
//! lost nor made twice, whoever reads it and however late.

mod feed;
mod hold;
mod lease;
mod metrics;
mod publisher;
mod read;

use std::sync::Arc;

use dropmate_api::events::cloud::CloudEvent;
use prometheus_client::registry::Registry;
use tokio::sync::broadcast;

pub(crate) use self::feed::after;
use self::{metrics::Metrics, publisher::Heard};
use crate::state::AppState;

/// Events that a slow listener in this process may be behind before it is told that it missed some.
const HEARD_KEPT: usize = 4_096;

/// Those who listen to events in this process.
#[derive(Clone, Debug)]
pub(crate) struct Events {
    heard: Heard,
    metrics: Metrics,
}

impl Default for Events {
    fn default() -> Self {
        Self { heard: broadcast::Sender::new(HEARD_KEPT), metrics: Metrics::default() }
    }
}

impl Events {
    pub(crate) fn register(&self, registry: &mut Registry) {
        self.metrics.register(registry);
    }

    /// Every event that this process publishes from now on.
    pub(crate) fn listen(&self) -> broadcast::Receiver<Arc<CloudEvent>> {
        self.heard.subscribe()
    }
}

/// Publishes while it is this replica's turn, and keeps history for those who read it, until the server drains.
pub(crate) async fn run(state: AppState) {
    let Events { heard, metrics } = state.events.clone();
    tokio::join!(publisher::run(state.clone(), heard, metrics.clone()), hold::run(state, metrics));
}
