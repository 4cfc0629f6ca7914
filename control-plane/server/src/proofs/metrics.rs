//! What operators see of proofs.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};

/// The metrics of proofs. Clones share the figures.
#[derive(Clone, Debug, Default)]
pub(super) struct Metrics {
    received: Family<Received, Counter>,
    bytes: Counter,
    /// Files that no row named.
    pub(super) swept: Counter,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Received {
    outcome: &'static str,
}

impl Metrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        let mut add = |name: &str, help: &str, counter: &Counter| registry.register(name, help, counter.clone());
        add("dropmate_proofs_kept_bytes", "Bytes of the pictures that were kept", &self.bytes);
        add("dropmate_proofs_swept", "Files of proofs that were deleted because nothing names them", &self.swept);
        registry.register(
            "dropmate_proofs_received",
            "Pictures that phones sent, by what came of it",
            self.received.clone(),
        );
    }

    /// A picture of that size was kept.
    pub(super) fn kept(&self, bytes: i64) {
        self.received.get_or_create(&Received { outcome: "kept" }).inc();
        self.bytes.inc_by(u64::try_from(bytes).unwrap_or_default());
    }

    /// One was not: refused for what it is, or because there was no room or no store.
    pub(super) fn not_kept(&self, code: u16) {
        let outcome = if code == 429 || code >= 500 { "busy" } else { "refused" };
        self.received.get_or_create(&Received { outcome }).inc();
    }
}
