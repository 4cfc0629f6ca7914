//! Hints between processes, by Redis.
//!
//! One connection for commands and one for what the others say. What this process has to say waits in a bounded queue;
//! what does not fit or does not get there is dropped and counted. Whenever Redis is found anew (it was away, or it was
//! emptied), what is known there is read and what is known here is written again.

mod commands;
mod keeper;
mod link;
mod listener;
mod talker;

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use bytes::Bytes;
use redis::RedisError;
use sha2::{Digest, Sha256};
use tokio::{
    sync::{Notify, mpsc},
    time::Instant,
};
use tokio_util::sync::{CancellationToken, DropGuard};

use self::link::Link;
use crate::{
    Appended, Entry, EntryId, Inner, Position, Quota, Taken, Topic,
    cache::{TTL_MAX, VALUE_BYTES_MAX},
    metrics::Metrics,
    rate,
};

/// What waits to be told at most: some seconds of a large fleet.
const QUEUE_MAX: usize = 16_384;
/// Removed keys of caches that Redis has yet to hear of at most; beyond, the caches rest until all values have expired.
const OWED_MAX: usize = 10_000;

/// Why hints cannot be shared.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It is no URL of a Redis.
    #[error("must be of the form redis://[[USER]:PASSWORD@]HOST[:PORT][/DATABASE], or rediss:// for TLS")]
    Url,
}

/// The URL of a Redis. Never shown: it may hold a password.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisUrl(String);

impl RedisUrl {
    /// Checks it.
    pub fn parse(text: &str) -> Result<Self, OpenError> {
        let known = ["redis://", "rediss://"].iter().any(|scheme| text.starts_with(scheme));
        if !known || redis::Client::open(text).is_err() {
            return Err(OpenError::Url);
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RedisUrl").finish_non_exhaustive()
    }
}

/// What waits to be told.
enum Hint {
    Seen(Arc<Position>),
    Gone(Arc<Position>),
    Wake(Topic),
}

/// This process's part in what is shared. Ends its tasks when it is dropped.
pub(crate) struct Share {
    link: Arc<Link>,
    hints: mpsc::Sender<Hint>,
    owed: Arc<Owed>,
    metrics: Metrics,
    _ends: DropGuard,
}

/// What runs beside it.
pub(crate) struct Tasks {
    link: Arc<Link>,
    hints: mpsc::Receiver<Hint>,
    owed: Arc<Owed>,
    metrics: Metrics,
    ends: CancellationToken,
}

impl Share {
    pub(crate) fn new(url: &RedisUrl, metrics: Metrics) -> Result<(Self, Tasks), OpenError> {
        let client = redis::Client::open(url.0.as_str()).map_err(|_| OpenError::Url)?;
        let link = Arc::new(Link::new(client, metrics.clone()));
        let (hints, waiting) = mpsc::channel(QUEUE_MAX);
        let (owed, ends) = (Arc::<Owed>::default(), CancellationToken::new());
        let tasks = Tasks {
            link: link.clone(),
            hints: waiting,
            owed: owed.clone(),
            metrics: metrics.clone(),
            ends: ends.clone(),
        };
        Ok((Self { link, hints, owed, metrics, _ends: ends.drop_guard() }, tasks))
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.link.is_connected()
    }

    pub(crate) fn tell(&self, position: Arc<Position>) {
        self.hint(Hint::Seen(position));
    }

    pub(crate) fn forget(&self, position: Arc<Position>) {
        self.hint(Hint::Gone(position));
    }

    pub(crate) fn wake(&self, topic: Topic) {
        self.hint(Hint::Wake(topic));
    }

    fn hint(&self, hint: Hint) {
        if self.hints.try_send(hint).is_err() {
            self.metrics.dropped.inc();
        }
    }

    /// `None`: Redis does not tell in time.
    pub(crate) async fn take(&self, class: &str, key: &str, quota: Quota) -> Option<Taken> {
        let mut command = redis::cmd("EVAL");
        let key = self.link.key(&format!("rate:{class}:{}", hidden(key)));
        command.arg(rate::SCRIPT).arg(1).arg(key).arg(quota.micros()).arg(quota.burst);
        let answer: Option<(u8, u32, u64, u64)> = self.link.quick("limit", &command).await;
        let outcome = match answer {
            None => "unavailable",
            Some((0, ..)) => "refused",
            Some(_) => "allowed",
        };
        self.metrics.shared_limit(outcome);
        let (allowed, left, retry_after, whole_in) = answer?;
        let micros = Duration::from_micros;
        Some(Taken { allowed: allowed == 1, left, retry_after: micros(retry_after), whole_in: micros(whole_in) })
    }

    pub(crate) async fn append(
        &self,
        stream: (&str, &str),
        after: Option<EntryId>,
        entries: &[Entry],
        keep: usize,
    ) -> Appended {
        let mut pipeline = redis::pipe();
        commands::append(&mut pipeline, &self.link, stream, after, entries, keep);
        let answer: Result<((String, String),), RedisError> = self.link.steady("append", &pipeline).await;
        match answer {
            Ok(((outcome, last),)) if outcome == "behind" => Appended::Behind(EntryId::parse(&last)),
            Ok(((_, added),)) => Appended::All { added: added.parse().unwrap_or_default() },
            Err(_) => Appended::Away,
        }
    }

    pub(crate) async fn cached(&self, cache: &str, key: &str) -> Option<Bytes> {
        let key = self.cache_key(cache, key);
        if self.owed.covers(&key) {
            return None;
        }
        let value: Option<Vec<u8>> = self.link.quick("cache", redis::cmd("GET").arg(key)).await?;
        value.filter(|value| value.len() <= VALUE_BYTES_MAX).map(Bytes::from)
    }

    pub(crate) async fn cache(&self, cache: &str, key: &str, value: &Bytes, ttl: Duration) {
        let key = self.cache_key(cache, key);
        let millis = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
        // A life of nothing is refused by Redis; and what is to be removed must not come back before.
        if millis == 0 || self.owed.covers(&key) {
            return;
        }
        let mut command = redis::cmd("SET");
        command.arg(key).arg(&value[..]).arg("PX").arg(millis);
        let _: Option<()> = self.link.quick("cache", &command).await;
    }

    pub(crate) async fn uncache(&self, cache: &str, key: &str) {
        let key = self.cache_key(cache, key);
        // First, so that nobody here finds it while Redis is being told.
        self.owed.add(key.clone());
        let told: Option<u64> = self.link.quick("cache", redis::cmd("UNLINK").arg(&key)).await;
        if told.is_some() {
            self.owed.paid(&key);
        }
    }

    fn cache_key(&self, cache: &str, key: &str) -> String {
        self.link.key(&format!("cache:{cache}:{}", hidden(key)))
    }
}

/// Keys may name people; whoever looks into Redis need not see whom.
fn hidden(key: &str) -> String {
    hex::encode(&Sha256::digest(key)[..16])
}

impl Tasks {
    /// Starts them; they end with the share, which is a part of `inner`.
    pub(crate) fn start(self, inner: &Arc<Inner>) {
        let Self { link, hints, owed, metrics, ends } = self;
        let anew = Arc::new(Notify::new());
        let inner: Weak<Inner> = Arc::downgrade(inner);
        let keeper = keeper::Keeper::new(link.clone(), inner.clone(), owed, metrics.clone(), anew.clone());
        for task in [
            tokio::spawn(ends.clone().run_until_cancelled_owned(keeper.run())),
            tokio::spawn(ends.clone().run_until_cancelled_owned(talker::run(link.clone(), hints, metrics))),
            tokio::spawn(ends.run_until_cancelled_owned(listener::run(link, inner, anew))),
        ] {
            drop(task);
        }
    }
}

/// Keys of caches that were removed while Redis did not answer: they are told when it is back, or have expired by then.
#[derive(Default)]
struct Owed(Mutex<Debt>);

#[derive(Default)]
struct Debt {
    keys: HashMap<String, Instant>,
    /// Too many to note one by one: nothing is read from the caches until then.
    all_until: Option<Instant>,
}

impl Owed {
    fn add(&self, key: String) {
        let (mut debt, now) = (self.0.lock().unwrap_or_else(PoisonError::into_inner), Instant::now());
        if debt.keys.len() >= OWED_MAX {
            debt.keys.retain(|_, until| *until > now);
        }
        if debt.keys.len() >= OWED_MAX {
            debt.all_until = Some(now + TTL_MAX);
        } else {
            debt.keys.insert(key, now + TTL_MAX);
        }
    }

    fn paid(&self, key: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).keys.remove(key);
    }

    fn covers(&self, key: &str) -> bool {
        let (debt, now) = (self.0.lock().unwrap_or_else(PoisonError::into_inner), Instant::now());
        let open = |until: &Instant| *until > now;
        debt.all_until.as_ref().is_some_and(open) || debt.keys.get(key).is_some_and(open)
    }

    fn keys(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).keys.keys().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_checked_and_never_shown() {
        for good in ["redis://cache", "redis://:hunter2@cache:6380/3", "rediss://ada:hunter2@cache"] {
            let url = RedisUrl::parse(good).unwrap();
            assert!(!format!("{url:?}").contains("hunter2"));
        }
        for bad in ["cache", "http://cache", "redis://", "redis://cache/three", "unix:///run/redis.sock", ""] {
            let error = RedisUrl::parse(bad).map(|_| ()).expect_err(bad);
            assert!(error.to_string().contains("redis://"), "{bad}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_could_not_be_removed_is_not_found_until_it_has_expired_anyway() {
        let owed = Owed::default();
        owed.add("a".to_owned());
        assert!(owed.covers("a") && !owed.covers("b"));
        for number in 0..OWED_MAX {
            owed.add(number.to_string());
        }
        assert!(owed.covers("b"), "beyond what is noted one by one, nothing is found");
        tokio::time::advance(TTL_MAX).await;
        assert!(!owed.covers("a") && !owed.covers("b"));
    }
}
