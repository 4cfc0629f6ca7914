//! Who may look behind a link: whoever has its token, and nobody who guesses.
//!
//! A token that leads nowhere counts against its address; when it has too many of them, nothing from there is looked up
//! for a while but the tokens that it has shown before. So a page that asks every few seconds uses nothing up, and goes on
//! also where somebody else guesses behind the same address.

use std::{
    collections::HashMap,
    hash::Hash,
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use dropmate_ingest::LinkedOrder;
use dropmate_live::{Live, Quota};
use tokio::time::Instant;

/// Tokens of one address that may lead nowhere: so many at once, then one in so many seconds. Somebody with an old link or
/// two stays far below it.
const MISSES: Quota = Quota { interval: Duration::from_secs(5), burst: 20 };
/// What the count is called.
const CLASS: &str = "track";
/// How long a token that was right for an address is let in without a question.
const KNOWN_FOR: Duration = Duration::from_hours(1);
/// How long the order behind a token is kept in memory: as long as a link that another replica has revoked may go on.
const KEPT_FOR: Duration = Duration::from_secs(2);
/// Entries of each table; some 4 MB for all of them.
const ENTRIES_MAX: usize = 16_384;

type Hashed = [u8; 32];

/// What is known of tokens and addresses.
#[derive(Debug)]
pub(super) struct Gate {
    live: Live,
    known: Mutex<Table<(IpAddr, Hashed), ()>>,
    barred: Mutex<Table<IpAddr, ()>>,
    links: Mutex<Table<Hashed, LinkedOrder>>,
}

/// Values that matter until a time. Bounded: full, the one goes that matters for the shortest time.
#[derive(Debug)]
struct Table<K, V>(HashMap<K, (Instant, V)>);

impl<K: Hash + Eq + Clone, V: Clone> Table<K, V> {
    fn get(&self, key: &K, now: Instant) -> Option<(Instant, V)> {
        self.0.get(key).filter(|(until, _)| *until > now).cloned()
    }

    fn put(&mut self, key: K, until: Instant, value: V, now: Instant) {
        if self.0.len() >= ENTRIES_MAX && !self.0.contains_key(&key) {
            self.0.retain(|_, (until, _)| *until > now);
            if self.0.len() >= ENTRIES_MAX {
                let soonest = self.0.iter().min_by_key(|(_, (until, _))| *until).map(|(key, _)| key.clone());
                if let Some(soonest) = soonest {
                    self.0.remove(&soonest);
                }
            }
        }
        self.0.insert(key, (until, value));
    }
}

impl<K, V> Default for Table<K, V> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl Gate {
    pub(super) fn new(live: Live) -> Self {
        Self { live, known: Mutex::default(), barred: Mutex::default(), links: Mutex::default() }
    }

    /// Whether nothing is looked up for that address now, and for how long.
    pub(super) fn barred(&self, address: IpAddr, hash: Option<&Hashed>) -> Option<Duration> {
        let now = Instant::now();
        let (until, ()) = self.barred.lock().unwrap_or_else(PoisonError::into_inner).get(&address, now)?;
        let shown = hash.is_some_and(|hash| {
            self.known.lock().unwrap_or_else(PoisonError::into_inner).get(&(address, *hash), now).is_some()
        });
        (!shown).then(|| until - now)
    }

    /// The order behind a token, if it was looked up a moment ago.
    pub(super) fn link(&self, hash: &Hashed) -> Option<LinkedOrder> {
        let links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        links.get(hash, Instant::now()).map(|(_, link)| link)
    }

    pub(super) fn keep_link(&self, hash: &Hashed, link: &LinkedOrder) {
        let now = Instant::now();
        let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        links.put(*hash, now + KEPT_FOR, link.clone(), now);
    }

    pub(super) fn forget_link(&self, hash: &Hashed) {
        self.links.lock().unwrap_or_else(PoisonError::into_inner).0.remove(hash);
    }

    /// The token was right.
    pub(super) fn hit(&self, address: IpAddr, hash: &Hashed) {
        let now = Instant::now();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.put((address, *hash), now + KNOWN_FOR, (), now);
    }

    /// The token led nowhere: how long nothing is looked up from there, if that was one too many.
    pub(super) async fn miss(&self, address: IpAddr) -> Option<Duration> {
        let taken = self.live.take(CLASS, &address.to_string(), MISSES).await;
        if taken.allowed && taken.left > 0 {
            return None;
        }
        // Nothing more is to be had until one is made up for.
        let pause = if taken.allowed { MISSES.interval } else { taken.retry_after };
        let now = Instant::now();
        self.barred.lock().unwrap_or_else(PoisonError::into_inner).put(address, now + pause, (), now);
        (!taken.allowed).then_some(pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOME: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 9));
    const OTHER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 10));

    #[tokio::test]
    async fn who_guesses_is_barred_and_the_page_behind_the_same_address_goes_on() {
        let gate = Gate::new(Live::memory());
        let (mine, guess) = ([1; 32], [2; 32]);
        gate.hit(HOME, &mine);
        let mut told = 0;
        for _ in 0..20 {
            assert_eq!(gate.barred(HOME, Some(&guess)), None);
            told += usize::from(gate.miss(HOME).await.is_some());
        }
        assert_eq!(told, 0, "twenty are looked up");
        assert!(gate.barred(HOME, Some(&guess)).is_some_and(|pause| pause <= MISSES.interval));
        assert!(gate.barred(HOME, None).is_some(), "what can be no token counts as well");
        assert_eq!(gate.barred(HOME, Some(&mine)), None, "who has shown it before goes on");
        assert_eq!(gate.barred(OTHER, Some(&guess)), None, "another address has nothing to do with it");
        assert!(gate.barred(HOME, Some(&[3; 32])).is_some(), "a token that is right elsewhere is a guess here");
    }

    #[tokio::test]
    async fn the_tables_stay_bounded() {
        let gate = Gate::new(Live::memory());
        let link = LinkedOrder { namespace: String::new(), order_name: String::new(), order_uid: String::new() };
        for number in 0..ENTRIES_MAX as u32 + 100 {
            let mut hash = [0; 32];
            hash[..4].copy_from_slice(&number.to_le_bytes());
            gate.keep_link(&hash, &link);
        }
        assert!(gate.links.lock().unwrap().0.len() <= ENTRIES_MAX);
    }
}
