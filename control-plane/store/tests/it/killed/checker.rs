//! What the parent saw against what the log says.

use std::collections::{BTreeMap, BTreeSet};

use dropmate_store::{Entry, Revision, Snapshot};
use serde_json::Value;

use super::load::{BOUND, LEASE};

/// One change, as written or as watched: `name` and the word that makes each body unlike any other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) revision: Revision,
    pub(crate) name: String,
    pub(crate) word: String,
    pub(crate) deleted: bool,
}

impl Change {
    /// Whether the watchers look at it: they watch orders.
    pub(crate) fn is_watched(&self) -> bool {
        self.name != LEASE
    }
}

/// What came through the pipes over all lives of the children.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// The revision each life started at, and the newest that anybody had seen before.
    pub(crate) starts: Vec<(Revision, Revision)>,
    pub(crate) written: Vec<Change>,
    /// Words that were certainly not written, and why.
    pub(crate) refused: Vec<(String, String)>,
    /// Words of which nobody could tell.
    pub(crate) unknown: Vec<String>,
    /// What each watcher saw, on all replicas that it was on.
    pub(crate) events: Vec<Vec<Change>>,
    /// Kills of a child, kills of the database, and moves of a watcher to another living child.
    pub(crate) kills: usize,
    pub(crate) database_kills: usize,
    pub(crate) moves: usize,
}

impl Seen {
    /// The newest revision that a writer or watcher has seen.
    pub(crate) fn newest(&self) -> Revision {
        let written = self.written.iter();
        written.chain(self.events.iter().flatten()).map(|change| change.revision).max().unwrap_or(0)
    }

    /// The newest revision that a watcher must come to.
    pub(crate) fn newest_watched(&self) -> Revision {
        let written = self.written.iter().filter(|change| change.is_watched());
        written.chain(self.events.iter().flatten()).map(|change| change.revision).max().unwrap_or(0)
    }

    pub(crate) fn refused_for(&self, reason: &str) -> usize {
        self.refused.iter().filter(|(_, why)| why == reason).count()
    }
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Violation {
    /// Acknowledged, but not in the log, or not as acknowledged.
    Lost { written: Change },
    /// In the log, but it was refused.
    WrittenThoughRefused { word: String, why: String },
    /// In the log more than once.
    WrittenTwice { word: String },
    /// In the log, but the watch went past it.
    Missed { watcher: usize, change: Change },
    /// Watched, but not in the log.
    Invented { watcher: usize, event: Change },
    /// Watched again, or after a later one.
    OutOfOrder { watcher: usize, event: Change, after: Revision },
    /// The watch fell silent before the end.
    Behind { watcher: usize, at: Revision, newest: Revision },
    /// A life started at a revision below what had been acknowledged or watched.
    WentBack { start: Revision, seen: Revision },
    /// The log's revisions do not rise.
    LogOutOfOrder { revision: Revision },
    /// An entry does not follow the one before it of its object.
    Torn { revision: Revision },
    /// What a store starts from is not what the log leads to.
    PresentIsNotTheSum,
    /// Bound by who did not hold the Lease then.
    Unfenced { binding: Change, holder: String, held_by: String },
    /// An order bound more than once.
    BoundTwice { name: String },
}

pub(crate) fn check(seen: &Seen, log: &[Entry], snapshot: &Snapshot) -> Vec<Violation> {
    let mut violations = check_log(log, snapshot);
    violations.extend(check_bindings(log));
    let changes: BTreeMap<_, _> = log.iter().map(change).map(|change| (change.revision, change)).collect();
    for written in &seen.written {
        if changes.get(&written.revision) != Some(written) {
            violations.push(Violation::Lost { written: written.clone() });
        }
    }
    let mut words = BTreeSet::new();
    for change in changes.values() {
        if !words.insert(&change.word) {
            violations.push(Violation::WrittenTwice { word: change.word.clone() });
        }
    }
    for (word, why) in seen.refused.iter().filter(|(word, _)| words.contains(word)) {
        violations.push(Violation::WrittenThoughRefused { word: word.clone(), why: why.clone() });
    }
    let newest = seen.newest_watched();
    for (watcher, events) in seen.events.iter().enumerate() {
        violations.extend(check_watch(watcher, events, &changes, newest));
    }
    for &(start, seen) in &seen.starts {
        if start < seen {
            violations.push(Violation::WentBack { start, seen });
        }
    }
    violations
}

fn check_watch(
    watcher: usize,
    events: &[Change],
    changes: &BTreeMap<Revision, Change>,
    newest: Revision,
) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut last = 0;
    for event in events {
        if event.revision <= last {
            violations.push(Violation::OutOfOrder { watcher, event: event.clone(), after: last });
            continue;
        }
        let missed = changes.range(last + 1..event.revision).filter(|(_, change)| change.is_watched());
        violations.extend(missed.map(|(_, change)| Violation::Missed { watcher, change: change.clone() }));
        if changes.get(&event.revision) != Some(event) {
            violations.push(Violation::Invented { watcher, event: event.clone() });
        }
        last = event.revision;
    }
    if last < newest {
        violations.push(Violation::Behind { watcher, at: last, newest });
    }
    violations
}

/// The log is in order, each entry follows the one before it of its object, and what the store starts from is the sum.
fn check_log(log: &[Entry], snapshot: &Snapshot) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut present = BTreeMap::new();
    let mut last = 0;
    for entry in log {
        let event = &entry.event;
        if event.revision <= last {
            violations.push(Violation::LogOutOfOrder { revision: event.revision });
        }
        last = event.revision;
        let before = present.insert(event.object.key.clone(), event.object.clone());
        if before != event.previous {
            violations.push(Violation::Torn { revision: event.revision });
        }
        if event.deleted {
            present.remove(&event.object.key);
        }
    }
    let mut objects = snapshot.objects.clone();
    objects.sort_by(|a, b| a.key.cmp(&b.key));
    if objects != present.into_values().collect::<Vec<_>>() || last > snapshot.revision {
        violations.push(Violation::PresentIsNotTheSum);
    }
    violations
}

/// Every binding was written under the holder that the Lease had at its revision, and an order has only one.
fn check_bindings(log: &[Entry]) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut held_by = String::new();
    let mut bound = BTreeSet::new();
    for entry in log {
        let name = &entry.event.object.key.name;
        let holder = || text(&entry.event.object.body, "holder");
        if name == LEASE {
            held_by = holder();
        } else if name.starts_with(BOUND) {
            if holder() != held_by {
                let (binding, held_by) = (change(entry), held_by.clone());
                violations.push(Violation::Unfenced { binding, holder: holder(), held_by });
            }
            if !bound.insert(name) {
                violations.push(Violation::BoundTwice { name: name.clone() });
            }
        }
    }
    violations
}

pub(crate) fn change(entry: &Entry) -> Change {
    let object = &entry.event.object;
    Change {
        revision: object.revision,
        name: object.key.name.clone(),
        word: text(&object.body, "word"),
        deleted: entry.event.deleted,
    }
}

fn text(body: &str, field: &str) -> String {
    let body: Value = serde_json::from_str(body).expect("a body is whole");
    body[field].as_str().expect("a body is whole").to_owned()
}

/// What makes a body unlike any other.
pub(crate) fn word(body: &str) -> String {
    text(body, "word")
}
