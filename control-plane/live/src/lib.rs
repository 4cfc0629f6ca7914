//! Hints, never the truth: latest positions, wake-ups, fan-out, rate limits, a cache; in the process or shared by Redis.
//!
//! Positions are answered from this process's memory; Redis only carries hints between processes, and may vanish or be
//! emptied at any moment. Knows no kind, no HTTP and nobody's rights.

#![warn(missing_docs)]

mod append;
mod cache;
mod fleet;
mod metrics;
mod position;
mod rate;
mod share;

use std::{
    fmt,
    sync::{Arc, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use jiff::Timestamp;
use prometheus_client::registry::Registry;
use tokio::sync::{broadcast, watch};

pub use self::{
    append::{Appended, Entry, EntryId},
    cache::{Cache, TTL_MAX, VALUE_BYTES_MAX},
    position::Position,
    rate::{Quota, Taken},
    share::{OpenError, RedisUrl},
};
use self::{cache::Local, fleet::Fleet, metrics::Metrics, rate::Counts, share::Share};

/// Positions that a slow subscriber may be behind before it is told that it missed some: a second of a large fleet.
const POSITIONS_KEPT: usize = 4_096;

/// Who may be woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Topic {
    /// New positions are kept.
    Positions,
    /// Something was written that events follow from.
    Events,
}

impl Topic {
    /// As processes tell it to one another.
    fn name(self) -> &'static str {
        match self {
            Self::Positions => "positions",
            Self::Events => "events",
        }
    }

    /// `None` for what a newer version says.
    fn named(name: &str) -> Option<Self> {
        [Self::Positions, Self::Events].into_iter().find(|topic| topic.name() == name)
    }
}

/// The hints of this process. Cheap to clone; clones share them.
#[derive(Clone)]
pub struct Live {
    inner: Arc<Inner>,
}

struct Inner {
    fleet: RwLock<Fleet>,
    seen: broadcast::Sender<Arc<Position>>,
    /// Of positions, and of events.
    woken: [watch::Sender<u64>; 2],
    counts: Counts,
    cache: Local,
    metrics: Metrics,
    share: Option<Share>,
    whose: OnceLock<Whose>,
}

/// Whether a position is of somebody who is there.
type Whose = Box<dyn Fn(&Position) -> bool + Send + Sync>;

impl Live {
    /// In this process alone.
    pub fn memory() -> Self {
        Self::with(None, Metrics::default())
    }

    /// Shared with every process at the same Redis. Needs a tokio runtime. A Redis that is away now is looked for until
    /// it is there: nobody waits for it.
    pub fn redis(url: &RedisUrl) -> Result<Self, OpenError> {
        let metrics = Metrics::default();
        let (share, tasks) = Share::new(url, metrics.clone())?;
        let live = Self::with(Some(share), metrics);
        tasks.start(&live.inner);
        Ok(live)
    }

    fn with(share: Option<Share>, metrics: Metrics) -> Self {
        let inner = Inner {
            fleet: RwLock::default(),
            seen: broadcast::Sender::new(POSITIONS_KEPT),
            woken: [watch::Sender::new(0), watch::Sender::new(0)],
            counts: Counts::default(),
            cache: Local::default(),
            metrics,
            share,
            whose: OnceLock::new(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// From now on, positions are taken in only of whom that is so, whoever tells them; it is told once. Redis may still hold
    /// the place of a driver who is gone.
    pub fn only(&self, whose: impl Fn(&Position) -> bool + Send + Sync + 'static) {
        let whose = self.inner.whose.get_or_init(|| Box::new(whose));
        self.inner.fleet_mut().retain(whose);
    }

    /// Drivers were seen there. Only what is newer than what is known counts, and goes to subscribers everywhere.
    pub fn saw(&self, positions: impl IntoIterator<Item = Position>) {
        let newer = self.inner.took(positions);
        if let Some(share) = &self.inner.share {
            for position in newer {
                share.tell(position);
            }
        }
    }

    /// Where a driver was last.
    pub fn latest(&self, namespace: &str, driver: &str) -> Option<Arc<Position>> {
        self.inner.fleet().latest(namespace, driver)
    }

    /// Where the drivers of a namespace were last, by name.
    pub fn latest_in(&self, namespace: &str) -> Vec<Arc<Position>> {
        self.inner.fleet().latest_in(namespace)
    }

    /// Where the drivers of all namespaces were last, by namespace and name.
    pub fn latest_everywhere(&self) -> Vec<Arc<Position>> {
        self.inner.fleet().everywhere()
    }

    /// The drivers of a namespace who were last seen within so many metres of a place, nearest first, with how far off
    /// they are in metres; at most `limit`.
    pub fn near(
        &self,
        namespace: &str,
        latitude: f64,
        longitude: f64,
        meters: f64,
        limit: usize,
    ) -> Vec<(Arc<Position>, f64)> {
        self.inner.fleet().near(namespace, latitude, longitude, meters, limit)
    }

    /// Lets go of a driver who is gone, here and in Redis: the next of that name is somebody else.
    pub fn forget(&self, namespace: &str, driver: &str) {
        let Some(gone) = self.inner.fleet_mut().forget(namespace, driver) else { return };
        self.inner.metrics.positions.set(self.inner.fleet().len() as i64);
        if let Some(share) = &self.inner.share {
            share.forget(gone);
        }
    }

    /// Lets go of positions from before a time (business time), here and in Redis; says how many there were.
    pub fn forget_before(&self, at: Timestamp) -> usize {
        let gone = self.inner.fleet_mut().forget_before(at);
        self.inner.metrics.positions.set(self.inner.fleet().len() as i64);
        let count = gone.len();
        if let Some(share) = &self.inner.share {
            for position in gone {
                share.forget(position);
            }
        }
        count
    }

    /// Every newer position from now on, of every driver in every process.
    pub fn positions(&self) -> broadcast::Receiver<Arc<Position>> {
        self.inner.seen.subscribe()
    }

    /// Wakes whoever waits for the topic, in every process. Only a hint: it may be lost.
    pub fn wake(&self, topic: Topic) {
        self.inner.wake(topic);
        if let Some(share) = &self.inner.share {
            share.wake(topic);
        }
    }

    /// Changes whenever the topic is woken.
    pub fn woken(&self, topic: Topic) -> watch::Receiver<u64> {
        self.inner.woken[topic as usize].subscribe()
    }

    /// Counts one against a quota: always in this process, and with Redis also over all of them. The stricter counts:
    /// when Redis is away or slow this process's count alone decides, and it is never open.
    pub async fn take(&self, class: &'static str, key: &str, quota: Quota) -> Taken {
        let local = self.inner.counts.take(class, key, quota);
        if !local.allowed {
            return local;
        }
        match self.take_shared(class, key, quota).await {
            Some(shared) if !shared.allowed || shared.left < local.left => shared,
            _ => local,
        }
    }

    /// The same over all processes, for who counts in this process already. `None`: nothing is shared, or Redis does not
    /// tell in time.
    pub async fn take_shared(&self, class: &'static str, key: &str, quota: Quota) -> Option<Taken> {
        self.inner.share.as_ref()?.take(class, key, quota).await
    }

    /// Whether there is a Redis to share with, reachable or not.
    pub fn is_shared(&self) -> bool {
        self.inner.share.is_some()
    }

    /// Whether Redis answered when it was last asked.
    pub fn is_connected(&self) -> bool {
        self.inner.share.as_ref().is_some_and(Share::is_connected)
    }

    /// A cache of that name; those who ask for the same name share it.
    pub fn cache(&self, name: &'static str) -> Cache {
        Cache::new(name, self.inner.clone())
    }

    /// What operators see of it.
    pub fn register(&self, registry: &mut Registry) {
        self.inner.metrics.register(registry);
    }
}

impl Inner {
    /// Keeps what is newer, and gives it to the subscribers of this process.
    fn took(&self, positions: impl IntoIterator<Item = Position>) -> Vec<Arc<Position>> {
        let whose = self.whose.get();
        let positions = positions.into_iter().filter(|position| whose.is_none_or(|whose| whose(position)));
        let (newer, refused) = self.fleet_mut().take(positions);
        self.metrics.refused(refused);
        if !newer.is_empty() {
            self.metrics.positions.set(self.fleet().len() as i64);
        }
        for position in &newer {
            // Nobody may be listening.
            let _ = self.seen.send(position.clone());
        }
        newer
    }

    fn wake(&self, topic: Topic) {
        self.woken[topic as usize].send_modify(|count| *count += 1);
    }

    fn fleet(&self) -> RwLockReadGuard<'_, Fleet> {
        self.fleet.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn fleet_mut(&self) -> RwLockWriteGuard<'_, Fleet> {
        self.fleet.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Live {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Live").field("shared", &self.is_shared()).finish_non_exhaustive()
    }
}
