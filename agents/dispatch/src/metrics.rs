//! What dispatch counts.

use prometheus_client::{
    metrics::{
        counter::Counter,
        histogram::{Histogram, exponential_buckets},
    },
    registry::Registry,
};

/// Counters of the dispatch agent. Clones count together.
#[derive(Clone, Debug)]
pub struct Metrics {
    /// What became of the things it set out to do.
    pub agent: dropmate_agent::Metrics,
    /// Writes refused because another leads.
    pub fenced: Counter,
    /// Orders bound.
    pub bound: Counter,
    /// Seconds a look at one business took to decide.
    pub plan_seconds: Histogram,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            agent: dropmate_agent::Metrics::default(),
            fenced: Counter::default(),
            bound: Counter::default(),
            // 0.1 ms to 26 s: from one new order to a cold plan over ten thousand.
            plan_seconds: Histogram::new(exponential_buckets(0.0001, 4.0, 10)),
        }
    }
}

impl Metrics {
    /// Registers `dropmate_dispatch_*` and `dropmate_plan_duration_seconds`. The agents' common counters (`agent`) are
    /// registered by whoever shares them.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "dropmate_dispatch_fenced",
            "Writes refused because another dispatch agent leads",
            self.fenced.clone(),
        );
        registry.register("dropmate_dispatch_bound", "Orders bound to drivers", self.bound.clone());
        registry.register(
            "dropmate_plan_duration_seconds",
            "Time to decide about one business at one look",
            self.plan_seconds.clone(),
        );
    }
}
