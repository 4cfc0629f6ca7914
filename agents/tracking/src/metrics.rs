//! What tracking counts.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{
        counter::Counter,
        family::Family,
        histogram::{Histogram, exponential_buckets},
    },
    registry::Registry,
};

use crate::accuracy::Sample;

/// Seconds by which an ETA was wrong: from a minute early to an hour late, and the other way round.
const ERRORS: [f64; 13] =
    [-3600.0, -1800.0, -900.0, -300.0, -120.0, -60.0, 0.0, 60.0, 120.0, 300.0, 900.0, 1800.0, 3600.0];

/// The same, whichever way.
const ABSOLUTE_ERRORS: [f64; 8] = [15.0, 30.0, 60.0, 120.0, 300.0, 900.0, 1800.0, 3600.0];

/// Counters of the tracking agent. Clones count together.
#[derive(Clone, Debug)]
pub struct Metrics {
    /// What became of the things it set out to do.
    pub agent: dropmate_agent::Metrics,
    /// Positions that came into the history.
    pub positions: Counter,
    /// Positions that were gone before they were read.
    pub missed: Counter,
    /// Tries to pull positions that failed.
    pub pull_failures: Counter,
    /// Arrivals that a geofence proposed.
    pub arrivals: Counter,
    /// Seconds a look at one business took.
    pub look_seconds: Histogram,
    /// Ways that were timed, by where the time is from.
    legs: Family<Legs, Counter>,
    errors: Family<Horizon, Histogram, fn() -> Histogram>,
    absolute_errors: Family<Horizon, Histogram, fn() -> Histogram>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Legs {
    source: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Horizon {
    horizon: &'static str,
    stop: &'static str,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            agent: dropmate_agent::Metrics::default(),
            positions: Counter::default(),
            missed: Counter::default(),
            pull_failures: Counter::default(),
            arrivals: Counter::default(),
            // 0.1 ms to 26 s: from one driver to thousands with a slow travel-time server.
            look_seconds: Histogram::new(exponential_buckets(0.0001, 4.0, 10)),
            legs: Family::default(),
            errors: Family::new_with_constructor(|| Histogram::new(ERRORS)),
            absolute_errors: Family::new_with_constructor(|| Histogram::new(ABSOLUTE_ERRORS)),
        }
    }
}

impl Metrics {
    /// Registers `dropmate_tracking_*`. The agents' common counters (`agent`) are registered by whoever shares them.
    pub fn register(&self, registry: &mut Registry) {
        let mut add = |name: &str, help: &str, counter: &Counter| registry.register(name, help, counter.clone());
        add("dropmate_tracking_positions", "Positions taken into the history", &self.positions);
        add("dropmate_tracking_positions_missed", "Positions removed before they were read", &self.missed);
        add("dropmate_tracking_pull_failures", "Failed tries to pull positions", &self.pull_failures);
        add("dropmate_tracking_arrivals", "Arrivals that a geofence proposed", &self.arrivals);
        registry.register(
            "dropmate_tracking_look_duration_seconds",
            "Time of one look at one business",
            self.look_seconds.clone(),
        );
        registry.register(
            "dropmate_tracking_legs",
            "Ways that were timed, by where the time is from",
            self.legs.clone(),
        );
        registry.register(
            "dropmate_tracking_eta_error_seconds",
            "Arrival minus ETA, by how long before it was said; the mean is the bias",
            self.errors.clone(),
        );
        registry.register(
            "dropmate_tracking_eta_absolute_error_seconds",
            "The same without its sign; the mean is the mean absolute error",
            self.absolute_errors.clone(),
        );
    }

    pub(crate) fn legs(&self, source: &'static str, count: u64) {
        self.legs.get_or_create(&Legs { source }).inc_by(count);
    }

    /// How many ways were timed from there.
    pub fn legs_from(&self, source: &'static str) -> u64 {
        self.legs.get_or_create(&Legs { source }).get()
    }

    pub(crate) fn judge(&self, sample: &Sample) {
        let stop = match sample.stop {
            dropmate_api::order::StopKind::Pickup => "pickup",
            dropmate_api::order::StopKind::Dropoff => "dropoff",
        };
        let label = Horizon { horizon: sample.horizon, stop };
        self.errors.get_or_create(&label).observe(sample.error_seconds);
        self.absolute_errors.get_or_create(&label).observe(sample.error_seconds.abs());
    }
}
