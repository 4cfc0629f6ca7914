//! What operators see of the gateway.

use std::time::Duration;

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

/// The gateway's metrics. Cheap to clone; clones share the figures.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    requests: Family<Served, Counter>,
    duration: Family<Asked, Histogram>,
    /// Requests being served; a watch counts as long as it is open.
    pub(crate) in_flight: Gauge,
    /// Open connections.
    pub(crate) connections: Gauge,
    closed: Family<Closed, Counter>,
    limited: Family<Limited, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Served {
    verb: String,
    kind: String,
    code: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Asked {
    verb: String,
    kind: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Closed {
    reason: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Limited {
    limit: &'static str,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        Self {
            requests: Family::default(),
            // 0.5 ms to 16 s.
            duration: Family::new_with_constructor(|| Histogram::new(exponential_buckets(0.000_5, 2.0, 16))),
            in_flight: Gauge::default(),
            connections: Gauge::default(),
            closed: Family::default(),
            limited: Family::default(),
        }
    }

    pub(crate) fn register(&self, registry: &mut Registry) {
        registry.register("dropmate_server_requests", "Requests answered", self.requests.clone());
        registry.register(
            "dropmate_server_request_duration_seconds",
            "From the first byte of a request to the last of its answer, without watches",
            self.duration.clone(),
        );
        registry.register("dropmate_server_requests_in_flight", "Requests being served", self.in_flight.clone());
        registry.register("dropmate_server_connections", "Open connections", self.connections.clone());
        registry.register(
            "dropmate_server_connections_closed",
            "Connections that the server refused or closed, by reason",
            self.closed.clone(),
        );
        registry.register(
            "dropmate_server_requests_limited",
            "Requests refused for their number, by limit",
            self.limited.clone(),
        );
    }

    /// A request was answered to its end. `duration` is left out for watches, which last as long as they last.
    pub(crate) fn served(&self, verb: &str, kind: &str, code: u16, duration: Option<Duration>) {
        let (verb, kind) = (verb.to_owned(), kind.to_owned());
        if let Some(duration) = duration {
            let asked = Asked { verb: verb.clone(), kind: kind.clone() };
            self.duration.get_or_create(&asked).observe(duration.as_secs_f64());
        }
        self.requests.get_or_create(&Served { verb, kind, code }).inc();
    }

    /// A request was one too many.
    pub(crate) fn limited(&self, limit: &'static str) {
        self.limited.get_or_create(&Limited { limit }).inc();
    }

    /// The server closed a connection by itself.
    pub(crate) fn closed(&self, reason: &str) {
        self.closed.get_or_create(&Closed { reason: reason.to_owned() }).inc();
    }

    /// How many connections were closed for that reason, for tests that must see it happen.
    #[cfg(test)]
    pub(crate) fn closed_count(&self, reason: &str) -> u64 {
        self.closed.get_or_create(&Closed { reason: reason.to_owned() }).get()
    }
}
