//! What the parent saw against what the log says.

use std::collections::BTreeMap;

use dropmate_store::{Entry, Revision, Snapshot};

/// One change, as written or as watched: `name` and the word that makes each body unlike any other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) revision: Revision,
    pub(crate) name: String,
    pub(crate) word: String,
    pub(crate) deleted: bool,
}

/// What came through the pipe over all lives of the child.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// The revision each life started at, and how much had been seen then.
    pub(crate) starts: Vec<(Revision, usize)>,
    pub(crate) written: Vec<Change>,
    pub(crate) events: Vec<Change>,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Violation {
    /// Acknowledged, but not in the log, or not as acknowledged.
    Lost { written: Change },
    /// In the log, but the watch went past it.
    Missed { change: Change },
    /// Watched, but not in the log.
    Invented { event: Change },
    /// Watched again, or after a later one.
    OutOfOrder { event: Change, after: Revision },
    /// A life started at a revision below what had been acknowledged or watched.
    WentBack { start: Revision, seen: Revision },
    /// The log's revisions do not rise.
    LogOutOfOrder { revision: Revision },
}

pub(crate) fn check(seen: &Seen, log: &[Entry]) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut changes = BTreeMap::new();
    for entry in log {
        let change = change(entry);
        if changes.last_key_value().is_some_and(|(last, _)| *last >= change.revision) {
            violations.push(Violation::LogOutOfOrder { revision: change.revision });
        }
        changes.insert(change.revision, change);
    }
    for written in &seen.written {
        if changes.get(&written.revision) != Some(written) {
            violations.push(Violation::Lost { written: written.clone() });
        }
    }
    let mut last = 0;
    for event in &seen.events {
        if event.revision <= last {
            violations.push(Violation::OutOfOrder { event: event.clone(), after: last });
            continue;
        }
        let missed = changes.range(last + 1..event.revision);
        violations.extend(missed.map(|(_, change)| Violation::Missed { change: change.clone() }));
        if changes.get(&event.revision) != Some(event) {
            violations.push(Violation::Invented { event: event.clone() });
        }
        last = event.revision;
    }
    for &(start, events) in &seen.starts {
        let watched = seen.events[..events].iter().map(|event| event.revision).max().unwrap_or(0);
        if start < watched {
            violations.push(Violation::WentBack { start, seen: watched });
        }
    }
    violations
}

/// What the store starts from must be what the log leads to.
pub(crate) fn assert_present_is_the_sum_of_the_log(snapshot: &Snapshot, log: &[Entry]) {
    let mut present = BTreeMap::new();
    for entry in log {
        let event = &entry.event;
        let before = present.insert(event.object.key.clone(), event.object.clone());
        assert_eq!(before, event.previous, "revision {} does not follow the one before", event.revision);
        if event.deleted {
            present.remove(&event.object.key);
        }
    }
    let mut objects = snapshot.objects.clone();
    objects.sort_by(|a, b| a.key.cmp(&b.key));
    assert_eq!(objects, present.into_values().collect::<Vec<_>>());
    assert!(log.last().is_none_or(|last| last.event.revision <= snapshot.revision));
}

fn change(entry: &Entry) -> Change {
    let object = &entry.event.object;
    Change {
        revision: object.revision,
        name: object.key.name.clone(),
        word: super::load::word(&object.body),
        deleted: entry.event.deleted,
    }
}
