//! Lets objects go whose time has come: finished orders into the archive, Events for good. Every replica does it, and
//! the store lets one of them win.

use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use dropmate_api::{
    Clock,
    registry::{Kind, kinds},
};
use dropmate_store::{Actor, At, Key, Object, Scope};
use jiff::Timestamp;
use serde_json::Value;

use crate::{
    error::Result,
    resources::{self, DeleteOptions},
    state::AppState,
};

/// How long between two tries to follow a kind, and the longest sleep: business time may be set anew meanwhile.
const LOOK_AGAIN: Duration = Duration::from_secs(30);
/// Objects let go of before the watch is looked at again: it must not fall behind.
const AT_ONCE: usize = 64;

/// Runs until the server drains.
pub(crate) async fn run(state: AppState) {
    let follow_all = futures::future::join_all(stored_kinds().map(|kind| reconcile(&state, kind)));
    state.shutdown.run_until_cancelled(follow_all).await;
}

/// One kind for each place where something may expire.
fn stored_kinds() -> impl Iterator<Item = &'static Kind> {
    // Of two kinds that share a place, the one in whose form objects are stored.
    kinds().iter().filter(|kind| kind.strategy.expires() && kind.renamed.is_empty())
}

async fn reconcile(state: &AppState, kind: &'static Kind) {
    loop {
        if let Err(error) = follow(state, kind).await {
            tracing::warn!(kind = kind.kind, error = error.message(), "cannot follow what expires; trying again");
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// Follows a kind until its watch ends.
async fn follow(state: &AppState, kind: &'static Kind) -> Result<()> {
    let scope = Scope { resource: kind.storage.into(), namespace: None };
    let page = state.store.list(&scope, At::Latest, None, None).await?;
    let mut schedule = Schedule::default();
    for object in &page.objects {
        schedule.note(kind, object, false, &state.clock);
    }
    let mut watch = state.store.watch(scope, page.revision).await?;
    drop(page.objects);
    loop {
        tokio::select! {
            biased;
            change = watch.next() => match change {
                None => return Ok(()),
                Some(event) => {
                    let event = event?;
                    schedule.note(kind, &event.object, event.deleted, &state.clock);
                }
            },
            () = tokio::time::sleep(schedule.wait(state.clock.system_now())) => {
                let due = schedule.take_due(state.clock.system_now(), AT_ONCE);
                let going = due.into_iter().map(|key| async { (let_go(state, kind, &key).await, key) });
                for (again, key) in futures::future::join_all(going).await {
                    schedule.set(&key, again);
                }
            }
        }
    }
}

/// Lets one object go if its time has come; says when to try again if that did not work.
async fn let_go(state: &AppState, kind: &Kind, key: &Key) -> Option<Timestamp> {
    let actor = Actor { user: "system:ttl-controller".into(), ..Actor::default() };
    let gone = async {
        let (Some(object), _) = state.store.get(key, At::Latest).await? else { return Ok(None) };
        match due(kind, &object, &state.clock) {
            Some(due) if due <= state.clock.system_now() => {
                resources::remove(state, kind, key, &DeleteOptions::from(&*object), &actor).await.map(|_| None)
            }
            // It has changed, or business time was set anew.
            later => Ok(later),
        }
    };
    match gone.await {
        Ok(later) => later,
        Err(error) => {
            // Another replica was faster, or it has just changed: a second look settles that too.
            if !matches!(error.reason(), "NotFound" | "Conflict") {
                tracing::warn!(kind = kind.kind, error = error.message(), "cannot let an object go; trying again");
            }
            state.clock.system_now().checked_add(LOOK_AGAIN).ok()
        }
    }
}

/// When an object is to go, in system time.
fn due(kind: &Kind, object: &Object, clock: &Clock) -> Option<Timestamp> {
    if !kind.strategy.may_expire(&object.body) {
        return None;
    }
    let body: Value = serde_json::from_str(&object.body).ok()?;
    // Whoever holds it back has been told already.
    let held = body.pointer("/metadata/deletionTimestamp").is_some();
    kind.strategy.expiry(&body).filter(|_| !held).map(|expiry| expiry.due(clock))
}

/// What goes when.
#[derive(Debug, Default)]
struct Schedule {
    by_time: BTreeSet<(Timestamp, Key)>,
    by_key: HashMap<Key, Timestamp>,
}

impl Schedule {
    fn note(&mut self, kind: &Kind, object: &Object, deleted: bool, clock: &Clock) {
        let due = if deleted { None } else { due(kind, object, clock) };
        self.set(&object.key, due);
    }

    fn set(&mut self, key: &Key, due: Option<Timestamp>) {
        if let Some(before) = self.by_key.remove(key) {
            self.by_time.remove(&(before, key.clone()));
        }
        if let Some(due) = due {
            self.by_key.insert(key.clone(), due);
            self.by_time.insert((due, key.clone()));
        }
    }

    /// How long until the next is due.
    fn wait(&self, now: Timestamp) -> Duration {
        let Some((first, _)) = self.by_time.first() else { return LOOK_AGAIN };
        Duration::try_from(first.duration_since(now)).unwrap_or_default().min(LOOK_AGAIN)
    }

    /// Takes out what is due, at most so many.
    fn take_due(&mut self, now: Timestamp, most: usize) -> Vec<Key> {
        let mut taken = Vec::new();
        while taken.len() < most
            && let Some((due, _)) = self.by_time.first()
            && *due <= now
            && let Some((_, key)) = self.by_time.pop_first()
        {
            self.by_key.remove(&key);
            taken.push(key);
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Key {
        Key { resource: "events".into(), namespace: "shop".into(), name: name.into() }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn what_is_due_is_taken_once_and_oldest_first() {
        let mut schedule = Schedule::default();
        for (name, second) in [("c", 3), ("a", 1), ("b", 2)] {
            schedule.set(&key(name), Some(at(second)));
        }
        schedule.set(&key("a"), Some(at(5)));
        assert_eq!(schedule.wait(at(0)), Duration::from_secs(2));
        assert_eq!(schedule.take_due(at(4), 1), [key("b")]);
        assert_eq!(schedule.take_due(at(4), 9), [key("c")]);
        assert!(schedule.take_due(at(4), 9).is_empty());
        schedule.set(&key("a"), None);
        assert_eq!(schedule.wait(at(4)), LOOK_AGAIN);
    }
}
