//! What the providers' side knows: who was sent what, under which key, how often, and which faults it was told to make.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, Instant},
};

use sha2::{Digest, Sha256};

/// A way in which a provider fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    /// It says that it cannot now.
    ServerError,
    /// It says that it is too much, and when to come again.
    TooMany,
    /// It takes the message, and the line is cut before it says so.
    TakenThenCut,
    /// It takes the message, and says nothing that makes sense.
    TakenThenGarbage,
    /// It says nothing that makes sense, and takes nothing.
    Garbage,
    /// It says nothing for longer than anybody waits.
    Stall,
}

/// How often, of a thousand messages, each fault is made at their first arrival. A stall takes up a place at the provider
/// for fifteen seconds, so there are few.
pub(crate) type Faults = &'static [(Fault, u32)];

/// One kind of provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Side {
    Mail,
    Sms,
    Webhook,
}

/// What one message is about: order and event.
pub(crate) type About = (String, String);

/// A message that arrived.
#[derive(Clone, Debug)]
pub(crate) struct Arrived {
    pub(crate) about: About,
    /// When it was taken first.
    pub(crate) first: Instant,
    /// How often it was taken: with a provider that honours keys once, whatever comes.
    pub(crate) copies: usize,
    /// What comes after the key was seen is known, and dropped.
    pub(crate) doubles_dropped: usize,
    /// In which turn it was taken.
    pub(crate) turn: usize,
}

#[derive(Debug, Default)]
struct Books {
    /// By kind of provider and key.
    arrived: BTreeMap<Side, HashMap<String, Arrived>>,
    /// Keys that have come, whether or not they were taken.
    seen: HashMap<(Side, String), usize>,
    faults: BTreeMap<(Side, Fault), usize>,
    /// What should never have come.
    wrong: Vec<String>,
    turns: usize,
}

/// Shared by all providers of a run.
#[derive(Clone, Debug)]
pub(crate) struct Ledger {
    books: Arc<Mutex<Books>>,
    seed: u64,
}

impl Ledger {
    pub(crate) fn new(seed: u64) -> Self {
        Self { books: Arc::default(), seed }
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap()
    }

    /// A message has come: which fault is made of it, if any. Only at its first arrival, so that every run ends.
    pub(crate) fn comes(&self, side: Side, key: &str, faults: Faults) -> Option<Fault> {
        let mut books = self.books();
        let times = books.seen.entry((side, key.to_owned())).or_default();
        *times += 1;
        if *times > 1 {
            return None;
        }
        let digest = Sha256::digest(format!("{}/{side:?}/{key}", self.seed));
        let mut chance = u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]) % 1_000;
        let fault = faults.iter().find_map(|(fault, of_thousand)| {
            if chance < *of_thousand {
                return Some(*fault);
            }
            chance -= of_thousand;
            None
        })?;
        *books.faults.entry((side, fault)).or_default() += 1;
        Some(fault)
    }

    /// A message is taken. `honours_keys`: the other side drops what it has.
    pub(crate) fn takes(&self, side: Side, key: &str, about: About, honours_keys: bool) {
        let mut books = self.books();
        books.turns += 1;
        let turn = books.turns;
        let arrived = books.arrived.entry(side).or_default();
        match arrived.get_mut(key) {
            Some(known) if honours_keys => known.doubles_dropped += 1,
            Some(known) => known.copies += 1,
            None => {
                let first = Instant::now();
                arrived.insert(key.to_owned(), Arrived { about, first, copies: 1, doubles_dropped: 0, turn });
            }
        }
    }

    /// What a kind of provider has taken, by key.
    pub(crate) fn arrived(&self, side: Side) -> HashMap<String, Arrived> {
        self.books().arrived.get(&side).cloned().unwrap_or_default()
    }

    pub(crate) fn count(&self, side: Side) -> usize {
        self.books().arrived.get(&side).map_or(0, HashMap::len)
    }

    /// Something came that never should.
    pub(crate) fn wrong(&self, what: impl Into<String>) {
        self.books().wrong.push(what.into());
    }

    pub(crate) fn all_wrong(&self) -> Vec<String> {
        self.books().wrong.clone()
    }

    pub(crate) fn faults(&self) -> BTreeMap<(Side, Fault), usize> {
        self.books().faults.clone()
    }
}

/// The middle and the slow end of how long something took.
pub(crate) fn percentiles(mut took: Vec<Duration>) -> (Duration, Duration) {
    took.sort_unstable();
    let at = |share: f64| took.get(((took.len() as f64 - 1.0) * share).round() as usize).copied().unwrap_or_default();
    (at(0.5), at(0.99))
}
