//! Sees every change of orders and drivers, on every replica, and feeds them to the checker in the order of revisions.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use dropmate_simulation::invariants::Checker;
use dropmate_store::{Event, ReadError, Scope, Store};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;
use tokio::task::JoinSet;

use super::replicas::Replicas;

/// The kinds that the invariants are about.
const KINDS: [&str; 2] = ["orders.dropmate.dev", "drivers.dropmate.dev"];
/// How many changes one who wanders sees before it goes on at another replica.
const STAYS_FOR: std::ops::Range<usize> = 3..60;
/// How soon it is looked again for a replica.
const AGAIN: Duration = Duration::from_millis(50);
/// How long a change may take to every witness, on a busy machine.
const SEEN_WITHIN: Duration = Duration::from_secs(20);

/// What one saw of a kind, in the order it was told.
#[derive(Clone)]
struct Seen {
    kind: &'static str,
    who: Who,
    events: Arc<Mutex<Vec<Arc<Event>>>>,
}

/// Where a witness stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    /// At whatever replica runs in that slot.
    Stays(usize),
    /// Now here, now there.
    Wanders,
}

pub(super) struct Witnesses {
    seen: Vec<Seen>,
    /// What no witness may be told.
    wrong: Arc<Mutex<Vec<String>>>,
    _watches: JoinSet<()>,
}

impl Witnesses {
    /// Watch from the very first revision on: one at every replica, and one who wanders.
    pub(super) fn start(replicas: &Arc<Replicas>, seed: u64) -> Self {
        let mut watches = JoinSet::new();
        let wrong = Arc::default();
        let mut all = Vec::new();
        for who in (0..replicas.count()).map(Who::Stays).chain([Who::Wanders]) {
            for kind in KINDS {
                let seen = Seen { kind, who, events: Arc::default() };
                let chance = ChaCha8Rng::seed_from_u64(seed ^ 0x5EE);
                watches.spawn(seen.clone().follow(replicas.clone(), chance, Arc::clone(&wrong)));
                all.push(seen);
            }
        }
        Self { seen: all, wrong, _watches: watches }
    }

    /// What the changes so far come to.
    pub(super) fn check(&self) -> Checker {
        let of_first = self.seen.iter().filter(|seen| seen.who == Who::Stays(0));
        let mut events: Vec<_> = of_first.flat_map(|seen| seen.events.lock().unwrap().clone()).collect();
        events.sort_by_key(|event| event.revision);
        let mut checker = Checker::default();
        for event in events.iter().filter(|event| !event.deleted) {
            let mut object: Value = serde_json::from_str(&event.object.body).unwrap();
            object["metadata"]["resourceVersion"] = event.revision.to_string().into();
            if event.object.key.resource == KINDS[0] {
                checker.see_order(serde_json::from_value(object).unwrap());
            } else {
                checker.see_driver(serde_json::from_value(object).unwrap());
            }
        }
        checker
    }

    /// Where what they saw is not what is in the log: the same changes, in its order, each once, and none left out.
    /// Nothing may be written any more.
    pub(super) async fn differences(&self, log: &Store) -> Vec<String> {
        let mut differences = self.wrong.lock().unwrap().clone();
        for kind in KINDS {
            let wanted = read(log, kind).await;
            assert!(!wanted.is_empty(), "nothing of {kind} is in the log");
            for seen in self.seen.iter().filter(|seen| seen.kind == kind) {
                let all = async {
                    while seen.events.lock().unwrap().len() < wanted.len() {
                        tokio::time::sleep(AGAIN).await;
                    }
                };
                // Too late is told as what is missing.
                let _ = tokio::time::timeout(SEEN_WITHIN, all).await;
                let told = seen.events.lock().unwrap();
                let differs = (0..wanted.len().max(told.len())).find(|&n| !same(wanted.get(n), told.get(n)));
                if let Some(n) = differs {
                    let (wanted, told) = (describe(wanted.get(n)), describe(told.get(n)));
                    differences.push(format!("{:?} of {kind}: change {n} is {wanted}, seen was {told}", seen.who));
                }
            }
        }
        differences
    }
}

fn same(one: Option<&Arc<Event>>, other: Option<&Arc<Event>>) -> bool {
    let of = |event: &Arc<Event>| (event.revision, event.deleted, event.object.clone(), event.previous.clone());
    one.map(of) == other.map(of)
}

fn describe(event: Option<&Arc<Event>>) -> String {
    event.map_or("nothing".to_owned(), |event| format!("{} at {}", event.object.key.name, event.revision))
}

/// All changes of a kind, from a store that has read nothing but the log.
async fn read(log: &Store, kind: &str) -> Vec<Arc<Event>> {
    let upto = log.revision();
    let mut watch = log.watch(scope(kind), 0).await.expect("nothing is compacted within a day");
    let mut events = Vec::new();
    while watch.position() < upto {
        let next = tokio::time::timeout(SEEN_WITHIN, watch.next()).await.expect("the log goes on to its end");
        events.push(next.expect("the watch goes on").expect("the log can be read"));
    }
    events
}

fn scope(kind: &str) -> Scope {
    Scope { resource: kind.to_owned(), namespace: None }
}

impl Seen {
    async fn follow(self, replicas: Arc<Replicas>, mut chance: ChaCha8Rng, wrong: Arc<Mutex<Vec<String>>>) {
        let mut after = 0;
        loop {
            let replica = match self.who {
                Who::Stays(slot) => replicas.running(slot),
                Who::Wanders => replicas.draw(),
            };
            let watch = match &replica {
                Some(replica) => replica.control.store().watch(scope(self.kind), after).await,
                None => Err(ReadError::Unavailable("no replica runs".to_owned())),
            };
            let left = match self.who {
                Who::Stays(_) => usize::MAX,
                Who::Wanders => chance.random_range(STAYS_FOR),
            };
            let ended = match watch {
                Err(error) => Some(error),
                Ok(mut watch) => take_in(&mut watch, left, &mut after, &self.events).await,
            };
            match ended {
                Some(ReadError::Expired { .. }) => {
                    wrong.lock().unwrap().push(format!("{:?} of {}: {after} has expired", self.who, self.kind));
                    return;
                }
                // Whoever stays waits for another replica; whoever wanders may have come upon one that is going away.
                _ => tokio::time::sleep(AGAIN).await,
            }
        }
    }
}

/// Takes in up to `left` changes, or to the end of the watch.
async fn take_in(
    watch: &mut dropmate_store::Watch,
    left: usize,
    after: &mut u64,
    events: &Mutex<Vec<Arc<Event>>>,
) -> Option<ReadError> {
    for _ in 0..left {
        match watch.next().await {
            None => return None,
            Some(Err(error)) => return Some(error),
            Some(Ok(event)) => {
                *after = event.revision;
                events.lock().unwrap().push(event);
            }
        }
    }
    None
}
