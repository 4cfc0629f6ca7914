//! One limit, for all keys of a kind.

use std::{fmt, hash::Hash, time::Duration};

use dropmate_live::{Quota, Taken};
use governor::{
    RateLimiter,
    clock::{Clock, MonotonicClock, ReasonablyRealtime, Reference},
    middleware::StateInformationMiddleware,
};
use http::HeaderValue;

use super::{Rate, Standing, store::Bounded};

/// A limit with a name, which clients see.
pub(super) struct Class<K: Hash + Eq + Clone, C: Clock = MonotonicClock> {
    name: &'static str,
    limiter: RateLimiter<K, Bounded<K>, C, StateInformationMiddleware>,
    burst: u32,
    /// How long it takes for one request to be made up for.
    per_request: Duration,
    policy: HeaderValue,
}

impl<K: Hash + Eq + Clone, C: Clock> Class<K, C> {
    /// `None` if the rate is no limit.
    pub(super) fn new(name: &'static str, rate: Rate, clock: C) -> Option<Self> {
        let quota = rate.quota()?;
        let burst = quota.burst_size().get();
        let window = seconds(quota.burst_size_replenished_in());
        let policy = HeaderValue::try_from(format!("\"{name}\";q={burst};w={window}")).ok()?;
        let limiter = RateLimiter::new(quota, Bounded::default(), clock);
        Some(Self { name, limiter, burst, per_request: quota.replenish_interval(), policy })
    }

    /// Counts one request; says how the key stands if it has used up more than half.
    pub(super) fn count(&self, key: &K) -> Result<Option<Standing>, Standing> {
        match self.limiter.check_key(key) {
            Ok(left) => {
                let left = left.remaining_burst_capacity();
                Ok((left < self.burst / 2).then(|| self.standing(left, Duration::ZERO)))
            }
            Err(denied) => Err(self.standing(0, denied.wait_time_from(self.limiter.clock().now()))),
        }
    }

    /// What clients call it.
    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    /// The same limit for whoever counts elsewhere.
    pub(super) fn quota(&self) -> Quota {
        Quota { interval: self.per_request, burst: self.burst }
    }

    /// What was counted elsewhere, in the words of [`count`](Self::count).
    pub(super) fn stands(&self, taken: Taken) -> Result<Option<Standing>, Standing> {
        let standing = Standing {
            whole_in: seconds(taken.whole_in),
            retry_after: seconds(taken.retry_after),
            ..self.standing(taken.left.min(self.burst), Duration::ZERO)
        };
        if taken.allowed { Ok((taken.left < self.burst / 2).then_some(standing)) } else { Err(standing) }
    }

    fn standing(&self, left: u32, wait: Duration) -> Standing {
        Standing {
            class: self.name,
            policy: self.policy.clone(),
            left,
            burst: self.burst,
            whole_in: seconds(self.per_request * (self.burst - left)),
            retry_after: seconds(wait),
        }
    }
}

impl<K: Hash + Eq + Clone, C: ReasonablyRealtime> Class<K, C>
where
    C::Instant: Reference,
{
    /// Forgets the keys that are as good as new.
    pub(super) fn forget(&self) {
        self.limiter.retain_recent();
        self.limiter.shrink_to_fit();
    }
}

/// In whole seconds, and never none: clients wait as long as they are told.
fn seconds(time: Duration) -> u32 {
    u32::try_from(time.as_millis().div_ceil(1_000)).unwrap_or(u32::MAX).max(1)
}

impl<K: Hash + Eq + Clone, C: Clock> fmt::Debug for Class<K, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Class").field("policy", &self.policy).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use governor::clock::FakeRelativeClock;

    use super::{super::store::ALL_KEYS_MAX, *};

    fn class(rate: &str) -> (Class<String, FakeRelativeClock>, FakeRelativeClock) {
        let clock = FakeRelativeClock::default();
        (Class::new("caller", rate.parse().unwrap(), clock.clone()).unwrap(), clock)
    }

    fn let_through(class: &Class<String, FakeRelativeClock>, key: &str, tries: usize) -> usize {
        (0..tries).filter(|_| class.count(&key.to_owned()).is_ok()).count()
    }

    #[test]
    fn a_key_has_its_burst_and_then_its_rate_whatever_others_do() {
        let (class, clock) = class("10:20");
        assert_eq!(let_through(&class, "ada", 50), 20);
        assert_eq!(let_through(&class, "ada", 50), 0);
        assert_eq!(let_through(&class, "bob", 50), 20);
        clock.advance(Duration::from_secs(1));
        assert_eq!(let_through(&class, "ada", 50), 10);
    }

    #[test]
    fn a_key_is_told_how_it_stands_from_half_on() {
        let (class, clock) = class("10:20");
        let key = "ada".to_owned();
        for _ in 0..10 {
            assert_eq!(class.count(&key), Ok(None));
        }
        let standing = class.count(&key).unwrap().expect("half is used up");
        assert_eq!((standing.left, standing.whole_in), (9, 2));
        while class.count(&key).is_ok() {}
        let denied = class.count(&key).unwrap_err();
        assert_eq!((denied.left, denied.retry_after), (0, 1));
        clock.advance(Duration::from_secs(10));
        assert_eq!(class.count(&key), Ok(None), "after a rest it is as good as new");
    }

    #[test]
    fn more_keys_than_there_is_room_for_share_what_is_left_and_memory_stays_bounded() {
        let (class, clock) = class("1:2");
        let asked = ALL_KEYS_MAX * 2;
        let passed = (0..asked).filter(|number| class.count(&format!("k{number}")).is_ok()).count();
        assert!(class.limiter.len() <= ALL_KEYS_MAX);
        assert!((ALL_KEYS_MAX..ALL_KEYS_MAX + 64).contains(&passed), "{passed} of {asked} passed");
        clock.advance(Duration::from_secs(10));
        class.limiter.retain_recent();
        assert_eq!(class.limiter.len(), 0, "who has rested is forgotten");
        assert_eq!(let_through(&class, "new", 5), 2);
    }
}
