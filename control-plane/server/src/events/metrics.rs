//! What operators see of events.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

/// The metrics. Cheap to clone; clones share the figures.
#[derive(Clone, Debug, Default)]
pub(crate) struct Metrics {
    published: Family<To, Counter>,
    /// 1 while this replica publishes.
    pub(super) leading: Gauge,
    /// How often the stream in Redis had lost something and was filled again.
    pub(super) refills: Counter,
    /// How often history was gone before it was published.
    pub(super) gaps: Counter,
    behind: Family<Of, Gauge>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct To {
    to: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Of {
    reader: &'static str,
}

impl Metrics {
    pub(crate) fn register(&self, registry: &mut Registry) {
        registry.register(
            "dropmate_events_published",
            "Domain events that this replica published: to this process, to the stream in Redis",
            self.published.clone(),
        );
        registry.register(
            "dropmate_events_leading",
            "Whether this replica publishes (it holds the Lease event-publisher)",
            self.leading.clone(),
        );
        registry.register(
            "dropmate_events_refills",
            "How often the stream in Redis had lost something and was filled again from the log",
            self.refills.clone(),
        );
        registry.register(
            "dropmate_events_gaps",
            "How often history was gone before it was published: Redis was away for longer than it is kept",
            self.gaps.clone(),
        );
        registry.register(
            "dropmate_events_reader_behind",
            "Revisions between what a reader of events says it has read and the newest; it says so every few seconds",
            self.behind.clone(),
        );
    }

    pub(super) fn published(&self, to: &'static str, count: usize) {
        self.published.get_or_create(&To { to }).inc_by(count as u64);
    }

    pub(super) fn behind(&self, reader: &'static str, revisions: u64) {
        self.behind.get_or_create(&Of { reader }).set(i64::try_from(revisions).unwrap_or(i64::MAX));
    }
}
