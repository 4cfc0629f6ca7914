//! What an owner of a store may choose.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// How a store is run. The defaults suit one process on a small machine.
#[derive(Clone, Debug)]
pub struct Options {
    /// How long history is kept.
    pub retention: Retention,
    /// How often history past its retention is removed; `None`: only by `Store::compact`.
    pub compact_every: Option<Duration>,
    /// The newest events kept in memory for watchers that resume. A reconnecting watcher is seconds late, and a busy
    /// shop writes some hundreds a second.
    pub window_events: usize,
    /// The bodies of those events together, in bytes, so that large objects do not fill the memory.
    pub window_bytes: usize,
    /// Events that may wait for one watcher before its stream ends; it ends as well once the oldest of them has left
    /// the window, so that slow watchers keep no memory of their own. A burst must not end a watcher that is merely
    /// scheduled late, thus well above one batch.
    pub watch_buffer: usize,
    /// Entries that one question to the audit looks through; then its answer ends early. Some 0.1 s of reading.
    pub audit_look: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            retention: Retention::default(),
            compact_every: None,
            window_events: 8_192,
            window_bytes: 24 << 20,
            watch_buffer: 2_048,
            audit_look: 20_000,
        }
    }
}

/// How long history is kept, by age and by size, whichever ends first. The current state is kept for ever.
#[derive(Clone, Debug)]
pub struct Retention {
    /// For every resource not named below.
    pub default: Duration,
    /// By resource.
    pub resources: BTreeMap<String, Duration>,
    /// Only what is among the last bytes appended to the log is kept as history, however young the rest may be.
    pub bytes: u64,
    /// History that a reader has not passed ([`Store::hold`](crate::Store::hold)) is kept this long whatever else is said here,
    /// of resources that are not named above.
    pub held: Duration,
    /// What leaves history is kept this much longer for the audit, whole, and so is who asked for what.
    pub audit: Duration,
    /// Resources that the audit does without.
    pub unaudited: BTreeSet<String>,
}

/// 2 GiB: a day of some 600,000 changes, and what a small machine's disk bears.
const HISTORY_BYTES: u64 = 2 << 30;

/// A week: over a long weekend with nobody there to mend the reader.
const HELD: Duration = Duration::from_hours(7 * 24);

/// A quarter: as long as people ask who did something.
const AUDIT: Duration = Duration::from_hours(90 * 24);

impl Retention {
    /// How long a resource's history is kept.
    pub fn of(&self, resource: &str) -> Duration {
        self.resources.get(resource).copied().unwrap_or(self.default)
    }
}

impl Default for Retention {
    /// 24 hours; 10 minutes for Leases (renewed every few seconds), 1 hour for Events (written once each); 2 GiB; 7 days
    /// for a reader who is behind. For the audit 90 days, without these two.
    fn default() -> Self {
        let (leases, events) = ("leases.coordination.k8s.io".to_owned(), "events".to_owned());
        Self {
            default: Duration::from_hours(24),
            unaudited: BTreeSet::from([leases.clone(), events.clone()]),
            resources: BTreeMap::from([(leases, Duration::from_mins(10)), (events, Duration::from_hours(1))]),
            bytes: HISTORY_BYTES,
            held: HELD,
            audit: AUDIT,
        }
    }
}
