//! Where a limiter keeps what it knows of its keys: in parts, so that requests seldom meet, and bounded, so that nobody
//! fills the memory by asking under many names.

use std::{
    collections::HashMap,
    hash::{BuildHasher, Hash, RandomState},
    sync::{Mutex, MutexGuard, PoisonError},
};

use governor::{
    nanos::Nanos,
    state::{StateStore, keyed::ShrinkableKeyedStateStore},
};

/// Few requests run at the same moment on a small machine.
const PARTS: usize = 16;
/// Keys known one by one, in each part: 65,536 in all, some 4 MB of addresses.
const KEYS_MAX: usize = 4_096;

/// When each key will be as good as new.
#[derive(Debug)]
pub(super) struct Bounded<K> {
    parts: [Mutex<Part<K>>; PARTS],
    hasher: RandomState,
}

#[derive(Debug)]
struct Part<K> {
    known: HashMap<K, Nanos>,
    /// What all further keys share while there is no room: fewer get through, never all.
    others: Option<Nanos>,
}

impl<K> Default for Bounded<K> {
    fn default() -> Self {
        let part = |_| Mutex::new(Part { known: HashMap::new(), others: None });
        Self { parts: std::array::from_fn(part), hasher: RandomState::new() }
    }
}

impl<K: Hash + Eq> Bounded<K> {
    fn part(&self, key: &K) -> MutexGuard<'_, Part<K>> {
        let number = self.hasher.hash_one(key) as usize % PARTS;
        lock(&self.parts[number])
    }
}

fn lock<K>(part: &Mutex<Part<K>>) -> MutexGuard<'_, Part<K>> {
    part.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<K: Hash + Eq + Clone> StateStore for Bounded<K> {
    type Key = K;

    fn measure_and_replace<T, F, E>(&self, key: &K, judge: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let mut part = self.part(key);
        if let Some(held) = part.known.get_mut(key) {
            let (outcome, next) = judge(Some(*held))?;
            *held = next;
            return Ok(outcome);
        }
        if part.known.len() < KEYS_MAX {
            let (outcome, next) = judge(None)?;
            part.known.insert(key.clone(), next);
            return Ok(outcome);
        }
        let (outcome, next) = judge(part.others)?;
        part.others = Some(next);
        Ok(outcome)
    }
}

impl<K: Hash + Eq + Clone> ShrinkableKeyedStateStore<K> for Bounded<K> {
    fn retain_recent(&self, drop_below: Nanos) {
        for part in &self.parts {
            let mut part = lock(part);
            part.known.retain(|_, held| *held > drop_below);
            part.others = part.others.filter(|held| *held > drop_below);
        }
    }

    fn shrink_to_fit(&self) {
        for part in &self.parts {
            lock(part).known.shrink_to_fit();
        }
    }

    fn len(&self) -> usize {
        self.parts.iter().map(|part| lock(part).known.len()).sum()
    }

    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The keys that are known at most.
#[cfg(test)]
pub(super) const ALL_KEYS_MAX: usize = PARTS * KEYS_MAX;
