//! How often one may: the generic cell rate algorithm, as a function and as a script of Redis.
//!
//! For each key one number is kept: the time at which it will be as good as new. Whoever is so far ahead of it that the
//! burst is used up is refused, and refusals cost nothing.

use std::{
    collections::HashMap,
    fmt,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// Keys counted one by one; further ones share one count, so that fewer of them get through, never all. Some 8 MB.
const KEYS_MAX: usize = 65_536;

/// Microseconds that rounding may add to a time: without them a burst of one is refused now and then. The script has the
/// same.
const SLACK: f64 = 1.0;

/// The script of Redis that does what [`gcra`] does, over all processes, by Redis's own clock.
///
/// `KEYS`: the count. `ARGV`: microseconds that one request takes to be made up for, requests at once. Answers
/// `{allowed, left, microseconds until the next one passes, microseconds until it is as good as new}`. A key that is as
/// good as new is gone by itself.
pub(crate) const SCRIPT: &str = r"
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local interval, burst = tonumber(ARGV[1]), tonumber(ARGV[2])
local whole = interval * burst
local due = tonumber(redis.call('GET', KEYS[1]) or now) or now
due = math.min(math.max(due, now), now + whole)
local next = due + interval
if next - whole > now + 1 then
  return {0, 0, math.ceil(next - whole - now), math.ceil(due - now)}
end
redis.call('SET', KEYS[1], string.format('%.2f', next), 'PX', math.ceil((next - now) / 1000) + 1)
return {1, math.floor((now + whole - next) / interval + 0.0001), 0, math.ceil(next - now)}
";

/// What is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// How long it takes for one request to be made up for.
    pub interval: Duration,
    /// How many may come at once after a rest.
    pub burst: u32,
}

impl Quota {
    /// So many a second, and so many at once; both at least 1.
    pub fn per_second(rate: u32, burst: u32) -> Self {
        Self { interval: Duration::from_secs(1) / rate.max(1), burst: burst.max(1) }
    }

    pub(crate) fn micros(self) -> f64 {
        self.interval.as_secs_f64() * 1e6
    }
}

/// What became of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Whether it may pass.
    pub allowed: bool,
    /// How many more could come now.
    pub left: u32,
    /// When the next one passes; zero if this one did.
    pub retry_after: Duration,
    /// When the key is as good as new.
    pub whole_in: Duration,
}

/// Judges one request of a key that will be as good as new at `due`, and says what `due` becomes. Times in microseconds.
fn gcra(due: Option<f64>, now: f64, quota: Quota) -> (Taken, f64) {
    let (interval, burst) = (quota.micros(), f64::from(quota.burst));
    let whole = interval * burst;
    // No debt is larger than the burst, whatever a clock did in between.
    let due = due.unwrap_or(now).clamp(now, now + whole);
    let next = due + interval;
    let micros = |time: f64| Duration::from_micros(time.max(0.0).ceil() as u64);
    if next - whole > now + SLACK {
        let refused =
            Taken { allowed: false, left: 0, retry_after: micros(next - whole - now), whole_in: micros(due - now) };
        return (refused, due);
    }
    // A hair more, because the division of what was added up may come out just below a whole number.
    let left = ((now + whole - next) / interval + 0.000_1).floor() as u32;
    (Taken { allowed: true, left, retry_after: Duration::ZERO, whole_in: micros(next - now) }, next)
}

/// The counts of this process.
pub(crate) struct Counts {
    began: Instant,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    due: HashMap<&'static str, HashMap<String, f64>>,
    count: usize,
    others: Option<f64>,
}

impl Default for Counts {
    fn default() -> Self {
        Self { began: Instant::now(), known: Mutex::default() }
    }
}

impl Counts {
    pub(crate) fn take(&self, class: &'static str, key: &str, quota: Quota) -> Taken {
        let now = self.began.elapsed().as_secs_f64() * 1e6;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let held = known.due.get(class).and_then(|keys| keys.get(key)).copied();
        if held.is_none() && known.count >= KEYS_MAX {
            known.forget_the_rested(now);
        }
        if held.is_none() && known.count >= KEYS_MAX {
            let (taken, due) = gcra(known.others, now, quota);
            known.others = Some(due);
            return taken;
        }
        let (taken, due) = gcra(held, now, quota);
        known.due.entry(class).or_default().insert(key.to_owned(), due);
        known.count += usize::from(held.is_none());
        taken
    }
}

impl Known {
    fn forget_the_rested(&mut self, now: f64) {
        self.due.values_mut().for_each(|keys| keys.retain(|_, due| *due > now));
        self.count = self.due.values().map(HashMap::len).sum();
    }
}

impl fmt::Debug for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Counts").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_key_has_its_burst_and_then_its_rate() {
        let counts = Counts::default();
        let quota = Quota::per_second(10, 20);
        let passed = |tries: usize| (0..tries).filter(|_| counts.take("c", "ada", quota).allowed).count();
        assert_eq!(passed(50), 20);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(passed(50), 10);
        assert_eq!(counts.take("c", "ada", quota).retry_after, Duration::from_millis(100));
        assert!(counts.take("c", "bob", quota).allowed && counts.take("d", "ada", quota).allowed);
    }

    #[tokio::test(start_paused = true)]
    async fn more_keys_than_there_is_room_for_share_what_is_left() {
        let counts = Counts::default();
        let quota = Quota::per_second(1, 2);
        let passed = (0..KEYS_MAX + 100).filter(|n| counts.take("c", &n.to_string(), quota).allowed).count();
        assert_eq!(passed, KEYS_MAX + 2);
        tokio::time::advance(Duration::from_secs(5)).await;
        assert!(counts.take("c", "new", quota).allowed);
        assert!(counts.known.lock().unwrap().count < 10, "who has rested is forgotten");
    }

    #[test]
    fn whoever_has_rested_passes_whatever_rounding_does() {
        for burst in [1, 3, 7] {
            let quota = Quota { interval: Duration::from_mins(1) / 7, burst };
            let refused = (0..100_000).filter(|n| !gcra(None, f64::from(*n) * 1.37, quota).0.allowed).count();
            assert_eq!(refused, 0);
        }
        // Of a minute at once the same.
        let quota = Quota { interval: Duration::from_mins(1), burst: 1 };
        assert!((0..100_000).all(|n| gcra(None, f64::from(n) * 1.37, quota).0.allowed));
    }

    proptest! {
        #[test]
        fn however_requests_come_no_more_pass_than_burst_and_rate_allow(
            gaps in prop::collection::vec(0..400_000_u32, 1..200),
            rate in 1..50_u32,
            burst in 1..30_u32,
        ) {
            let quota = Quota::per_second(rate, burst);
            let (mut due, mut now, mut passed) = (None, 0.0, 0_u32);
            for gap in gaps {
                now += f64::from(gap);
                let (taken, next) = gcra(due, now, quota);
                due = Some(next);
                passed += u32::from(taken.allowed);
                prop_assert!(taken.left < burst);
                prop_assert_eq!(taken.allowed, taken.retry_after.is_zero());
            }
            prop_assert!(f64::from(passed) <= f64::from(burst) + now / quota.micros() + 1.0);
        }
    }
}
