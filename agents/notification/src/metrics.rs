//! What the notification agent counts.

use std::time::Duration;

use jiff::Timestamp;
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

use crate::channel::{Channel, Outcome};

/// Counters of the notification agent. Clones count together.
#[derive(Clone, Debug)]
pub struct Metrics {
    /// What became of the things it set out to do.
    pub agent: dropmate_agent::Metrics,
    /// Messages that were planned.
    pub planned: Counter,
    /// Events that were gone before they were read.
    pub missed: Counter,
    /// Tries to pull a feed that failed.
    pub pull_failures: Counter,
    /// Messages taken over from senders that ended.
    pub taken_over: Counter,
    /// How often a provider was left alone because it failed.
    pub breaker_opened: Counter,
    /// Messages that wait or are being sent.
    pub backlog: Gauge,
    /// How long the oldest of them is due, in seconds.
    pub overdue_seconds: Gauge,
    attempts: Family<Attempt, Counter>,
    suppressed: Family<Reason, Counter>,
    send_seconds: Family<Over, Histogram, fn() -> Histogram>,
    delay_seconds: Family<Over, Histogram, fn() -> Histogram>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Attempt {
    channel: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reason {
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Over {
    channel: &'static str,
}

/// From 5 ms to 40 s: an endpoint on this machine, and one that hangs.
fn seconds() -> Histogram {
    Histogram::new(exponential_buckets(0.005, 2.0, 14))
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            agent: dropmate_agent::Metrics::default(),
            planned: Counter::default(),
            missed: Counter::default(),
            pull_failures: Counter::default(),
            taken_over: Counter::default(),
            breaker_opened: Counter::default(),
            backlog: Gauge::default(),
            overdue_seconds: Gauge::default(),
            attempts: Family::default(),
            suppressed: Family::default(),
            send_seconds: Family::new_with_constructor(seconds),
            delay_seconds: Family::new_with_constructor(seconds),
        }
    }
}

impl Metrics {
    /// Registers `dropmate_notification_*`. The agents' common counters (`agent`) are registered by whoever shares them.
    pub fn register(&self, registry: &mut Registry) {
        let mut add = |name: &str, help: &str, counter: &Counter| registry.register(name, help, counter.clone());
        add("dropmate_notification_planned", "Messages that were planned", &self.planned);
        add("dropmate_notification_missed", "Revisions removed before they were read", &self.missed);
        add("dropmate_notification_pull_failures", "Failed tries to pull a feed", &self.pull_failures);
        add("dropmate_notification_taken_over", "Messages taken over from senders that ended", &self.taken_over);
        add(
            "dropmate_notification_breaker_opened",
            "How often a provider or endpoint was left alone because it failed",
            &self.breaker_opened,
        );
        registry.register(
            "dropmate_notification_backlog",
            "Messages that wait or are being sent",
            self.backlog.clone(),
        );
        registry.register(
            "dropmate_notification_overdue_seconds",
            "How long the oldest waiting message is due",
            self.overdue_seconds.clone(),
        );
        registry.register(
            "dropmate_notification_attempts",
            "Attempts, by channel and what the provider said",
            self.attempts.clone(),
        );
        registry.register(
            "dropmate_notification_suppressed",
            "Messages that were not worth sending any more, by reason",
            self.suppressed.clone(),
        );
        registry.register(
            "dropmate_notification_send_duration_seconds",
            "How long providers took",
            self.send_seconds.clone(),
        );
        registry.register(
            "dropmate_notification_delay_seconds",
            "From the planning, or from when it was to go, until a provider took it",
            self.delay_seconds.clone(),
        );
    }

    pub(crate) fn attempted(&self, channel: Channel, outcome: &Outcome, took: Duration) {
        let outcome = match outcome {
            Outcome::Sent { .. } => "sent",
            Outcome::Again { .. } | Outcome::Unreachable { .. } => "again",
            Outcome::InDoubt { .. } => "in_doubt",
            Outcome::Refused { .. } => "refused",
            Outcome::Gone { .. } => "gone",
        };
        self.attempts.get_or_create(&Attempt { channel: channel.name(), outcome }).inc();
        self.send_seconds.get_or_create(&Over { channel: channel.name() }).observe(took.as_secs_f64());
    }

    /// How often a provider of that channel said that.
    pub fn attempts_that(&self, channel: Channel, outcome: &'static str) -> u64 {
        self.attempts.get_or_create(&Attempt { channel: channel.name(), outcome }).get()
    }

    /// `due` is in microseconds.
    pub(crate) fn sent(&self, channel: Channel, due: i64, now: Timestamp) {
        let late = (now.as_microsecond() - due).max(0) as f64 / 1e6;
        self.delay_seconds.get_or_create(&Over { channel: channel.name() }).observe(late);
    }

    pub(crate) fn suppressed(&self, reasons: &[&'static str]) {
        for reason in reasons {
            self.suppressed.get_or_create(&Reason { reason }).inc();
        }
    }
}
