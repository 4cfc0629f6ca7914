//! Removes history past its age or beyond its size. What is current stays, and so does the state at each resource's floor.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;

use crate::{BackendError, Floors, Gone, Header, Retention, Revision, store::Core};

/// Entries judged and removed at once, so that writers wait for little.
const CHUNK: usize = 1_000;
/// Chunks of the audit that one run forgets at most: the next is a minute away.
const FORGET_CHUNKS: usize = 100;

/// Where compaction stands. Each class of resources (those with a retention of their own, and all others) ages at its
/// own pace and is read through once.
#[derive(Debug, Default)]
pub(crate) struct Compaction {
    /// By resource with a retention of its own; the empty name is all others.
    read: BTreeMap<String, Revision>,
}

impl Compaction {
    /// Removes what is past its age at `now`, and of the resources without an age of their own only what a reader has
    /// passed who is at `held`. Returns how many entries went.
    pub(crate) async fn run(
        &mut self,
        core: &Arc<Core>,
        retention: &Retention,
        held: Option<Revision>,
        now: Timestamp,
    ) -> Result<usize, BackendError> {
        let mut removed = 0;
        let too_long_held = cutoff(now, retention.held);
        let too_long_ago = core.backend.appended().await?.saturating_sub(retention.bytes);
        for class in retention.resources.keys().map(String::as_str).chain([""]) {
            let age = retention.resources.get(class).copied().unwrap_or(retention.default);
            let Some(cutoff) = cutoff(now, age) else { continue };
            let held = held.filter(|_| class.is_empty());
            let is_wanted = |header: &Header| held.is_some_and(|held| header.revision > held);
            let is_old = |header: &Header| {
                (header.at <= cutoff || header.total <= too_long_ago)
                    && (!is_wanted(header) || too_long_held.is_some_and(|too_long| header.at <= too_long))
            };
            let (gone, lost) = self.run_class(core, retention, class, is_old, is_wanted).await?;
            removed += gone;
            if lost > 0 {
                core.metrics.lost.inc_by(lost as u64);
                tracing::warn!(
                    lost,
                    held,
                    "history has gone that a reader of the log has not read yet: it is too far behind"
                );
            }
        }
        if let Some(cutoff) = cutoff(now, retention.audit) {
            for _ in 0..FORGET_CHUNKS {
                if core.backend.forget_audit(cutoff, CHUNK).await? < CHUNK {
                    break;
                }
            }
        }
        Ok(removed)
    }

    /// How many entries went, and how many of them somebody still wanted.
    async fn run_class(
        &mut self,
        core: &Arc<Core>,
        retention: &Retention,
        class: &str,
        is_old: impl Fn(&Header) -> bool,
        is_wanted: impl Fn(&Header) -> bool,
    ) -> Result<(usize, usize), BackendError> {
        let (mut removed, mut lost) = (0, 0);
        loop {
            let read = self.read.get(class).copied().unwrap_or(0);
            let headers = core.backend.headers(read, CHUNK).await?;
            // By order, not by time alone: a clock that went back must not tear a hole.
            let old: Vec<_> = headers.iter().take_while(|header| is_old(header)).collect();
            let Some(newest) = old.last() else { return Ok((removed, lost)) };
            let in_class = |header: &&&Header| match class {
                "" => !retention.resources.contains_key(&header.resource),
                _ => header.resource == class,
            };
            let (gone, floors) = superseded(old.iter().filter(in_class).copied(), &retention.unaudited);
            if !gone.is_empty() {
                // Readers must see the floor before the entries below it are gone.
                core.cache_mut().raise_floors(&floors);
                core.backend.prune(&gone, &floors).await?;
                removed += gone.len();
            }
            self.read.insert(class.to_owned(), newest.revision);
            lost += old.iter().filter(in_class).filter(|header| is_wanted(header)).count();
            if old.len() < CHUNK {
                return Ok((removed, lost));
            }
        }
    }
}

/// What an old entry makes superfluous: the one before it, and itself if it is a deletion. Only these move the floor.
fn superseded<'a>(old: impl Iterator<Item = &'a Header>, unaudited: &BTreeSet<String>) -> (Vec<Gone>, Floors) {
    let mut gone = Vec::new();
    let mut floors = Floors::new();
    for header in old {
        let mut goes = |revision| {
            gone.push(Gone { revision, until: header.at, kept: !unaudited.contains(&header.resource) });
        };
        if header.previous != 0 {
            goes(header.previous);
        }
        if header.deleted {
            goes(header.revision);
        }
        if header.previous != 0 || header.deleted {
            floors.insert(header.resource.clone(), header.revision);
        }
    }
    (gone, floors)
}

fn cutoff(now: Timestamp, age: Duration) -> Option<Timestamp> {
    now.checked_sub(age).ok()
}
