//! What operators see of customers' links.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

/// The metrics.
#[derive(Clone, Debug, Default)]
pub(super) struct Metrics {
    pub(super) streams: Gauge,
    misses: Family<Missed, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Missed {
    outcome: &'static str,
}

impl Metrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register("dropmate_track_streams", "Open live streams of customers", self.streams.clone());
        registry.register(
            "dropmate_track_misses",
            "Requests with a customer's token that led nowhere, by outcome: unknown, or throttled and not looked up",
            self.misses.clone(),
        );
    }

    pub(super) fn missed(&self, outcome: &'static str) {
        self.misses.get_or_create(&Missed { outcome }).inc();
    }
}
