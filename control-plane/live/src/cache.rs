//! A small cache of answers that are asked for again and again.
//!
//! With Redis it stands there alone, so that what one process removes is gone for all; when Redis is away every look-up
//! misses. A value may be old by as much as its life: a key that names the revision it was made from cannot be. Nobody's
//! rights are looked at here: whoever asks has been let in before.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use tokio::time::Instant;

use crate::Inner;

/// The longest life of a value: how long one may be wrong that could not be removed because Redis was away.
pub const TTL_MAX: Duration = Duration::from_mins(1);
/// The largest value that is kept; larger answers are made anew.
pub const VALUE_BYTES_MAX: usize = 256 * 1024;
/// Values in memory at once, and their bytes together with their keys: small beside the objects themselves.
const VALUES_MAX: usize = 16_384;
const BYTES_MAX: usize = 32 * 1024 * 1024;

/// One cache among those of a process. Cheap to clone.
#[derive(Clone)]
pub struct Cache {
    name: &'static str,
    inner: Arc<Inner>,
}

impl Cache {
    pub(crate) fn new(name: &'static str, inner: Arc<Inner>) -> Self {
        Self { name, inner }
    }

    /// The value of a key, if it is known and not too old.
    pub async fn get(&self, key: &str) -> Option<Bytes> {
        let found = match &self.inner.share {
            Some(share) => share.cached(self.name, key).await,
            None => self.inner.cache.get(&self.full(key)),
        };
        self.inner.metrics.looked(self.name, found.is_some());
        found
    }

    /// Keeps a value for at most `ttl` (and [`TTL_MAX`]). One that is too large ([`VALUE_BYTES_MAX`]) is not kept.
    pub async fn put(&self, key: &str, value: Bytes, ttl: Duration) {
        if value.len() > VALUE_BYTES_MAX {
            return;
        }
        let ttl = ttl.min(TTL_MAX);
        match &self.inner.share {
            Some(share) => share.cache(self.name, key, &value, ttl).await,
            None => self.inner.cache.put(self.full(key), value, ttl),
        }
    }

    /// Forgets a key, in every process.
    pub async fn remove(&self, key: &str) {
        match &self.inner.share {
            Some(share) => share.uncache(self.name, key).await,
            None => self.inner.cache.remove(&self.full(key)),
        }
    }

    fn full(&self, key: &str) -> String {
        format!("{}\0{key}", self.name)
    }
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The values of all caches of a process without Redis.
#[derive(Default)]
pub(crate) struct Local(Mutex<Values>);

#[derive(Default)]
struct Values {
    by_key: HashMap<String, Value>,
    /// Keys in the order in which they came: the oldest goes first.
    by_age: BTreeMap<u64, String>,
    next: u64,
    bytes: usize,
}

struct Value {
    bytes: Bytes,
    until: Instant,
    number: u64,
}

impl Local {
    fn get(&self, key: &str) -> Option<Bytes> {
        let mut values = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let held = values.by_key.get(key)?;
        if held.until > Instant::now() {
            return Some(held.bytes.clone());
        }
        values.remove(key);
        None
    }

    fn put(&self, key: String, bytes: Bytes, ttl: Duration) {
        let mut values = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        values.remove(&key);
        values.bytes += key.len() + bytes.len();
        let number = values.next;
        values.next += 1;
        values.by_age.insert(number, key.clone());
        values.by_key.insert(key, Value { bytes, until: Instant::now() + ttl, number });
        while values.by_key.len() > VALUES_MAX || values.bytes > BYTES_MAX {
            let Some((_, oldest)) = values.by_age.pop_first() else { return };
            values.remove(&oldest);
        }
    }

    fn remove(&self, key: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }
}

impl Values {
    fn remove(&mut self, key: &str) {
        if let Some(held) = self.by_key.remove(key) {
            self.bytes -= key.len() + held.bytes.len();
            self.by_age.remove(&held.number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_is_too_much_leaves_oldest_first_and_memory_stays_bounded() {
        let local = Local::default();
        let value = Bytes::from(vec![0; VALUE_BYTES_MAX]);
        let count = BYTES_MAX / VALUE_BYTES_MAX + 10;
        for number in 0..count {
            local.put(number.to_string(), value.clone(), TTL_MAX);
        }
        assert_eq!(local.get("0"), None);
        assert!(local.get(&(count - 1).to_string()).is_some());
        for number in 0..VALUES_MAX + 10 {
            local.put(format!("small-{number}"), Bytes::new(), TTL_MAX);
        }
        let values = local.0.lock().unwrap();
        assert_eq!((values.by_key.len(), values.by_age.len()), (VALUES_MAX, VALUES_MAX));
        assert_eq!(values.bytes, values.by_key.iter().map(|(key, held)| key.len() + held.bytes.len()).sum::<usize>());
    }
}
