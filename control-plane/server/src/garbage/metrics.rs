//! What operators see of the collector.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

/// The collector's metrics. Cheap to clone; clones share the figures.
#[derive(Clone, Debug, Default)]
pub(crate) struct Metrics {
    actions: Family<Done, Counter>,
    pub(super) failures: Counter,
    objects: Gauge,
    pending: Gauge,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Done {
    action: &'static str,
}

impl Metrics {
    pub(crate) fn register(&self, registry: &mut Registry) {
        registry.register(
            "dropmate_garbage_actions",
            "What this replica's collector did: delete, dereference, let_go, finish (a finalizer), report",
            self.actions.clone(),
        );
        registry.register(
            "dropmate_garbage_failures",
            "Looks at an object that failed and are tried again",
            self.failures.clone(),
        );
        registry.register("dropmate_garbage_objects", "Owners and dependents that are followed", self.objects.clone());
        registry.register("dropmate_garbage_pending", "Objects that wait to be looked at", self.pending.clone());
    }

    pub(super) fn done(&self, action: &'static str) {
        self.actions.get_or_create(&Done { action }).inc();
    }

    pub(super) fn observe(&self, objects: usize, pending: usize) {
        self.objects.set(objects as i64);
        self.pending.set(pending as i64);
    }
}
