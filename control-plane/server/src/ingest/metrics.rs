//! What operators see of phones.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};

use super::Counts;

/// Cheap to clone; clones share the figures.
#[derive(Clone, Debug, Default)]
pub(crate) struct Metrics {
    positions: Family<Labels, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    source: &'static str,
    outcome: &'static str,
}

impl Metrics {
    pub(crate) fn register(&self, registry: &mut Registry) {
        registry.register(
            "dropmate_ingest_positions",
            "Positions of phones, by the way they came: accepted (durable), duplicate, rejected (no sense)",
            self.positions.clone(),
        );
    }

    pub(super) fn count(&self, source: &'static str, counts: Counts) {
        let Counts { accepted, duplicate, rejected } = counts;
        for (outcome, count) in [("accepted", accepted), ("duplicate", duplicate), ("rejected", rejected)] {
            self.positions.get_or_create(&Labels { source, outcome }).inc_by(count as u64);
        }
    }
}
