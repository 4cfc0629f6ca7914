//! Hints, never the truth: latest positions, wake-ups, fan-out, rate limits, a cache; in the process or shared by Redis.
//!
//! Whatever is asked of it is answered from memory; Redis only carries hints between processes, and may vanish.

#![warn(missing_docs)]

mod position;

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
};

use tokio::sync::{broadcast, watch};

pub use position::Position;

/// Positions that a slow subscriber may be behind before it is told that it missed some: a second of a large fleet.
const POSITIONS_KEPT: usize = 4_096;

/// Who may be woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Topic {
    /// New positions are kept.
    Positions,
}

/// The hints of this process. Cheap to clone; clones share them.
#[derive(Clone)]
pub struct Live {
    inner: Arc<Inner>,
}

struct Inner {
    latest: RwLock<BTreeMap<(String, String), Arc<Position>>>,
    seen: broadcast::Sender<Arc<Position>>,
    woken: watch::Sender<u64>,
}

impl Live {
    /// In this process alone.
    pub fn memory() -> Self {
        let (seen, woken) = (broadcast::Sender::new(POSITIONS_KEPT), watch::Sender::new(0));
        Self { inner: Arc::new(Inner { latest: RwLock::default(), seen, woken }) }
    }

    /// Drivers were seen there. Only what is newer than what is known counts, and goes to subscribers.
    pub fn saw(&self, positions: impl IntoIterator<Item = Position>) {
        for position in positions {
            let position = Arc::new(position);
            let key = (position.namespace.clone(), position.driver.clone());
            let mut latest = self.inner.latest.write().unwrap_or_else(PoisonError::into_inner);
            if latest.get(&key).is_some_and(|held| held.at >= position.at) {
                continue;
            }
            latest.insert(key, position.clone());
            drop(latest);
            let _ = self.inner.seen.send(position);
        }
    }

    /// Where a driver was last.
    pub fn latest(&self, namespace: &str, driver: &str) -> Option<Arc<Position>> {
        let key = (namespace.to_owned(), driver.to_owned());
        self.inner.latest.read().unwrap_or_else(PoisonError::into_inner).get(&key).cloned()
    }

    /// Where the drivers of a namespace were last, by name.
    pub fn latest_in(&self, namespace: &str) -> Vec<Arc<Position>> {
        let latest = self.inner.latest.read().unwrap_or_else(PoisonError::into_inner);
        let from = (namespace.to_owned(), String::new());
        latest.range(from..).take_while(|((held, _), _)| held == namespace).map(|(_, held)| held.clone()).collect()
    }

    /// Every newer position from now on, of every driver in every process.
    pub fn positions(&self) -> broadcast::Receiver<Arc<Position>> {
        self.inner.seen.subscribe()
    }

    /// Wakes whoever waits for the topic, in every process. Only a hint: it may be lost.
    pub fn wake(&self, topic: Topic) {
        match topic {
            Topic::Positions => self.inner.woken.send_modify(|count| *count += 1),
        }
    }

    /// Changes whenever the topic is woken.
    pub fn woken(&self, topic: Topic) -> watch::Receiver<u64> {
        match topic {
            Topic::Positions => self.inner.woken.subscribe(),
        }
    }
}

impl std::fmt::Debug for Live {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Live").finish_non_exhaustive()
    }
}
