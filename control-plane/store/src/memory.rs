//! The log in memory: for tests and simulated days. Gone with the process.

use std::{
    collections::BTreeMap,
    ops::Bound,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use jiff::Timestamp;

use crate::{
    Access, AccessPiece, Archived, AuditPage, AuditPiece, AuditQuery, Backend, BackendError, Batch, Change,
    CommitError, Committed, Entries, Entry, Event, Floors, Gone, Header, Key, Object, Revision, Scope, Snapshot,
    check::{Checker, Found},
};

/// Keeps the log in memory. Never blocks and uses no timer, so that it runs under paused time.
#[derive(Debug, Default)]
pub struct Memory {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    revision: Revision,
    objects: BTreeMap<Key, Arc<Object>>,
    log: BTreeMap<Revision, (Entry, u64)>,
    floors: Floors,
    /// Bytes of all bodies ever appended.
    appended: u64,
    archive: BTreeMap<Revision, Archived>,
    /// With the end of its state.
    audit: BTreeMap<Revision, (Entry, Timestamp)>,
    accesses: BTreeMap<u64, Access>,
    /// The last id of an access.
    accessed: u64,
}

impl Memory {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Backend for Memory {
    async fn load(&self) -> Result<Snapshot, BackendError> {
        let state = self.state();
        Ok(Snapshot {
            revision: state.revision,
            objects: state.objects.values().cloned().collect(),
            floors: state.floors.clone(),
        })
    }

    async fn commit(&self, batch: &Batch) -> Result<Committed, CommitError> {
        Ok(self.state().commit(batch))
    }

    async fn newest(&self) -> Result<Revision, BackendError> {
        Ok(self.state().revision)
    }

    async fn entries(
        &self,
        scope: Option<&Scope>,
        after: Revision,
        upto: Revision,
        limit: usize,
    ) -> Result<Entries, BackendError> {
        let (mut piece, mut bytes) = (Entries::default(), 0);
        if after < upto {
            let state = self.state();
            for (_, (entry, _)) in state.log.range((Bound::Excluded(after), Bound::Included(upto))) {
                let in_scope = scope.is_none_or(|scope| scope.contains(&entry.event.object.key));
                if in_scope && piece.push(entry.clone(), &mut bytes, limit) {
                    return Ok(piece);
                }
            }
        }
        piece.upto = upto;
        Ok(piece)
    }

    async fn history(&self, key: &Key, after: Revision, limit: usize) -> Result<Vec<Entry>, BackendError> {
        let state = self.state();
        let range = state.log.range((Bound::Excluded(after), Bound::Unbounded));
        Ok(range
            .map(|(_, (entry, _))| entry)
            .filter(|entry| entry.event.object.key == *key)
            .take(limit)
            .cloned()
            .collect())
    }

    async fn headers(&self, after: Revision, limit: usize) -> Result<Vec<Header>, BackendError> {
        let state = self.state();
        let range = state.log.range((Bound::Excluded(after), Bound::Unbounded));
        Ok(range
            .take(limit)
            .map(|(&revision, (entry, total))| Header {
                revision,
                resource: entry.event.object.key.resource.clone(),
                previous: entry.event.previous.as_ref().map_or(0, |previous| previous.revision),
                deleted: entry.event.deleted,
                at: entry.at,
                total: *total,
            })
            .collect())
    }

    async fn appended(&self) -> Result<u64, BackendError> {
        Ok(self.state().appended)
    }

    async fn archived(
        &self,
        scope: &Scope,
        name: Option<&str>,
        before: Revision,
        limit: usize,
    ) -> Result<Vec<Archived>, BackendError> {
        let state = self.state();
        let older = state.archive.range(..before).rev().map(|(_, archived)| archived);
        let wanted = older.filter(|archived| {
            let key = &archived.object.key;
            scope.contains(key) && name.is_none_or(|name| name == key.name)
        });
        Ok(wanted.take(limit).cloned().collect())
    }

    async fn prune(&self, gone: &[Gone], floors: &Floors) -> Result<(), BackendError> {
        let mut state = self.state();
        for Gone { revision, until, kept } in gone {
            let entry = state.log.remove(revision);
            if let Some((entry, _)) = entry.filter(|_| *kept) {
                state.audit.insert(*revision, (entry, *until));
            }
        }
        for (resource, &floor) in floors {
            state.floors.insert(resource.clone(), floor);
        }
        Ok(())
    }

    async fn audited(&self, query: &AuditQuery, page: AuditPage) -> Result<AuditPiece, BackendError> {
        let state = self.state();
        let log = state.log.range(..page.before).map(|(revision, (entry, _))| (*revision, entry));
        let kept = state.audit.range(..page.before).map(|(revision, (entry, _))| (*revision, entry));
        let all: BTreeMap<_, _> = log.chain(kept).collect();
        let looked: Vec<_> = all.into_iter().rev().take(page.look).collect();
        let end =
            looked.last().filter(|_| looked.len() == page.look).map(|(revision, entry)| (*revision, entry.at, true));
        let wanted = looked.iter().filter(|(_, entry)| query.wants(entry)).take(page.limit);
        let found = wanted.map(|(revision, entry)| (*revision, entry.at, false));
        Ok(AuditPiece::of(found.chain(end), query, page.limit))
    }

    async fn audit_entries(&self, revisions: &[Revision]) -> Result<Vec<Entry>, BackendError> {
        let state = self.state();
        let entry = |revision: &Revision| {
            let kept = || state.audit.get(revision).map(|(entry, _)| entry);
            state.log.get(revision).map(|(entry, _)| entry).or_else(kept).cloned()
        };
        Ok(revisions.iter().filter_map(entry).collect())
    }

    async fn note_accesses(&self, accesses: &[Access]) -> Result<(), BackendError> {
        let mut state = self.state();
        for access in accesses {
            state.accessed += 1;
            let id = state.accessed;
            state.accesses.insert(id, access.clone());
        }
        Ok(())
    }

    async fn accesses(&self, query: &AuditQuery, page: AuditPage) -> Result<AccessPiece, BackendError> {
        let state = self.state();
        let wanted = state.accesses.range(..page.before).rev().filter(|(_, access)| query.wants_access(access));
        let found = wanted.take(page.limit).map(|(id, access)| (*id, access.clone())).collect();
        Ok(AccessPiece::of(found, None, query, page.limit))
    }

    async fn forget_audit(&self, before: Timestamp, limit: usize) -> Result<usize, BackendError> {
        let mut state = self.state();
        let old = |(revision, (_, until)): (&Revision, &(Entry, Timestamp))| (*until < before).then_some(*revision);
        let entries: Vec<_> = state.audit.iter().filter_map(old).take(limit).collect();
        let old = |(id, access): (&u64, &Access)| (access.at < before).then_some(*id);
        let accesses: Vec<_> = state.accesses.iter().filter_map(old).take(limit).collect();
        state.audit.retain(|revision, _| !entries.contains(revision));
        state.accesses.retain(|id, _| !accesses.contains(id));
        Ok(entries.len().max(accesses.len()))
    }

    async fn close(&self) {}
}

impl State {
    fn commit(&mut self, batch: &Batch) -> Committed {
        let before = self.revision;
        let find = |key: &Key| {
            let object = self.objects.get(key)?;
            Some(Found { uid: &object.uid, revision: object.revision, body: &object.body })
        };
        let mut checker = Checker::new(find);
        let numbered = batch.writes.iter().zip(before + 1..);
        let outcomes: Vec<_> = numbered.map(|(write, revision)| checker.check(write).map(|()| revision)).collect();
        if outcomes.iter().all(Result::is_err) {
            return Committed { before, newest: before, outcomes };
        }
        for (write, outcome) in batch.writes.iter().zip(&outcomes) {
            let Ok(revision) = *outcome else { continue };
            let previous = self.objects.get(&write.key).cloned();
            let event = Event::of(write, revision, previous);
            if event.deleted {
                self.objects.remove(&write.key);
            } else {
                self.objects.insert(write.key.clone(), event.object.clone());
            }
            if matches!(write.change, Change::Archive { .. }) {
                self.archive.insert(revision, Archived { object: event.object.clone(), at: batch.at });
            }
            self.appended += event.object.body.len() as u64;
            self.log.insert(revision, (Entry { event, actor: write.actor.clone(), at: batch.at }, self.appended));
        }
        self.revision = before + batch.writes.len() as Revision;
        Committed { before, newest: self.revision, outcomes }
    }
}
