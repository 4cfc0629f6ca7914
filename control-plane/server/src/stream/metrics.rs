//! What operators see of the streams.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

/// The metrics. Cheap to clone; clones share the figures.
#[derive(Clone, Debug, Default)]
pub(super) struct Metrics {
    pub(super) clients: Gauge,
    frames: Family<Sent, Counter>,
    closed: Family<Closed, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Sent {
    frame: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Closed {
    reason: &'static str,
}

impl Metrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register("dropmate_stream_clients", "Open live streams", self.clients.clone());
        registry.register("dropmate_stream_frames", "Frames sent to live streams, by type", self.frames.clone());
        registry.register("dropmate_stream_closed", "Live streams that ended, by reason", self.closed.clone());
    }

    pub(super) fn sent(&self, frame: &'static str) {
        self.frames.get_or_create(&Sent { frame }).inc();
    }

    pub(super) fn closed(&self, reason: &'static str) {
        self.closed.get_or_create(&Closed { reason }).inc();
    }
}
