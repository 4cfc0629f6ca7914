//! What every agent counts.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};

/// Counters shared by the agents of one process. Clones count together.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    reconcile: Family<Reconcile, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reconcile {
    agent: &'static str,
    outcome: &'static str,
}

impl Metrics {
    /// Registers `dropmate_reconcile_total{agent,outcome}`.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "dropmate_reconcile",
            "Things an agent set out to do, by what became of them",
            self.reconcile.clone(),
        );
    }

    /// Counts one thing the agent set out to do.
    pub fn count(&self, agent: &'static str, outcome: &'static str) {
        self.reconcile.get_or_create(&Reconcile { agent, outcome }).inc();
    }

    /// How often that happened.
    pub fn counted(&self, agent: &'static str, outcome: &'static str) -> u64 {
        self.reconcile.get_or_create(&Reconcile { agent, outcome }).get()
    }
}
