//! What operators see of the hints.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

/// The metrics. Cheap to clone; clones share the figures.
#[derive(Clone, Debug, Default)]
pub(crate) struct Metrics {
    /// Drivers whose latest position is known.
    pub(crate) positions: Gauge,
    refused: Counter,
    pub(crate) connected: Gauge,
    /// Hints that did not get to Redis.
    pub(crate) dropped: Counter,
    pub(crate) healed: Counter,
    failed: Family<Failed, Counter>,
    shared_limits: Family<Asked, Counter>,
    lookups: Family<Looked, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Failed {
    what: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Asked {
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Looked {
    cache: &'static str,
    outcome: &'static str,
}

impl Metrics {
    pub(crate) fn register(&self, registry: &mut Registry) {
        registry.register("dropmate_live_positions", "Drivers whose latest position is known", self.positions.clone());
        registry.register(
            "dropmate_live_positions_refused",
            "Positions that are no place, or of more drivers than there is room for",
            self.refused.clone(),
        );
        registry.register(
            "dropmate_live_redis_connected",
            "Whether Redis answers; 0 also where there is none",
            self.connected.clone(),
        );
        registry.register(
            "dropmate_live_redis_dropped",
            "Hints that did not get to other processes because Redis was away or slow",
            self.dropped.clone(),
        );
        registry.register(
            "dropmate_live_redis_heals",
            "How often what is known was read from Redis and written to it again",
            self.healed.clone(),
        );
        registry.register(
            "dropmate_live_redis_failures",
            "Requests to Redis that failed or took too long",
            self.failed.clone(),
        );
        registry.register(
            "dropmate_live_shared_limits",
            "Requests counted over all processes, by outcome; unavailable: this process's count alone decided",
            self.shared_limits.clone(),
        );
        registry.register("dropmate_live_cache_lookups", "Look-ups in a cache, by outcome", self.lookups.clone());
    }

    pub(crate) fn refused(&self, count: u64) {
        self.refused.inc_by(count);
    }

    pub(crate) fn failed(&self, what: &'static str) {
        self.failed.get_or_create(&Failed { what }).inc();
    }

    pub(crate) fn shared_limit(&self, outcome: &'static str) {
        self.shared_limits.get_or_create(&Asked { outcome }).inc();
    }

    pub(crate) fn looked(&self, cache: &'static str, found: bool) {
        let outcome = if found { "hit" } else { "miss" };
        self.lookups.get_or_create(&Looked { cache, outcome }).inc();
    }
}
