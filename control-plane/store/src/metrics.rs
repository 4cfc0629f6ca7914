//! What operators see of the store.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::Registry,
};

use crate::cache::Cache;

/// The store's metrics. Cheap to clone; clones share the figures.
#[derive(Clone, Debug)]
pub struct Metrics {
    pub(crate) write_duration: Histogram,
    pub(crate) batch_writes: Histogram,
    pub(crate) look_duration: Histogram,
    pub(crate) subscribers: Gauge,
    pub(crate) slow_watchers: Counter,
    pub(crate) revision: Gauge,
    /// Changes that went from history before a reader had passed them.
    pub(crate) lost: Counter,
    pub(crate) objects: Family<Resource, Gauge>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Resource {
    pub(crate) resource: String,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        Self {
            write_duration: Histogram::new(exponential_buckets(0.000_25, 2.0, 16)),
            batch_writes: Histogram::new(exponential_buckets(1.0, 2.0, 10)),
            look_duration: Histogram::new(exponential_buckets(0.000_125, 2.0, 16)),
            subscribers: Gauge::default(),
            slow_watchers: Counter::default(),
            revision: Gauge::default(),
            lost: Counter::default(),
            objects: Family::default(),
        }
    }

    /// Brings the figures of the content up to date, for the resources that may have changed.
    pub(crate) fn observe<'a>(&self, cache: &Cache, resources: impl Iterator<Item = &'a String>) {
        self.revision.set(cache.revision as i64);
        for resource in resources {
            let objects = cache.count(resource) as i64;
            self.objects.get_or_create(&Resource { resource: resource.clone() }).set(objects);
        }
    }

    pub(crate) fn let_go(&self, slow: usize) {
        self.slow_watchers.inc_by(slow as u64);
        self.subscribers.dec_by(slow as i64);
    }

    /// Adds them to the process's registry.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "dropmate_store_write_duration_seconds",
            "From the hand-over of a write to its commit or refusal",
            self.write_duration.clone(),
        );
        registry.register("dropmate_store_batch_writes", "Writes in one commit", self.batch_writes.clone());
        registry.register(
            "dropmate_store_look_duration_seconds",
            "Looks at what other replicas have written, each for all reads that wait for one",
            self.look_duration.clone(),
        );
        registry.register(
            "dropmate_watch_subscribers",
            "Watchers that follow the newest events",
            self.subscribers.clone(),
        );
        registry.register(
            "dropmate_watch_slow_watchers",
            "Watchers whose stream was ended because they did not keep up",
            self.slow_watchers.clone(),
        );
        registry.register("dropmate_store_revision", "The newest revision", self.revision.clone());
        registry.register(
            "dropmate_store_history_lost",
            "Changes that left history, held as long as it may be, before a reader of the log had passed them",
            self.lost.clone(),
        );
        registry.register("dropmate_store_objects", "Live objects", self.objects.clone());
    }
}
