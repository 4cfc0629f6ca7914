//! A circuit breaker for each provider and endpoint: who does not answer is left alone for a while, and then asked by one
//! message. What waits meanwhile waits untouched; that is no attempt.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

/// Failures in a row after which a provider is left alone: less may be chance.
const OPENS_AFTER: u32 = 5;

/// Failures in a row after which a provider gets one message at a time: one that hangs shall not hold many places.
const CAREFUL_AFTER: u32 = 2;

/// How long a provider is left alone: a restart takes about so long.
pub const OPEN_FOR: SignedDuration = SignedDuration::from_secs(30);

/// What is known of a provider.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Breaker {
    failures: u32,
    closed_until: Option<Timestamp>,
}

impl Breaker {
    /// How many messages may be with it at once, of `most`.
    pub fn room(&self, now: Timestamp, most: usize) -> usize {
        match self.closed_until {
            Some(until) if now < until => 0,
            _ if self.failures >= CAREFUL_AFTER => most.min(1),
            _ => most,
        }
    }

    /// Until when it is left alone.
    pub fn left_alone_until(&self, now: Timestamp) -> Option<Timestamp> {
        self.closed_until.filter(|until| now < *until)
    }

    /// It answered, whatever it said.
    pub fn answered(&mut self) {
        *self = Self::default();
    }

    /// It did not answer, or not as one that works. Whether it is left alone from now on.
    pub fn failed(&mut self, now: Timestamp) -> bool {
        self.failures = self.failures.saturating_add(1);
        if self.failures < OPENS_AFTER {
            return false;
        }
        self.closed_until = now.checked_add(OPEN_FOR).ok();
        true
    }

    /// Nothing is to be sent to it for so long; that is nobody's failure.
    pub fn pause(&mut self, now: Timestamp, wait: Duration) {
        let until = SignedDuration::try_from(wait).ok().and_then(|wait| now.checked_add(wait).ok());
        self.closed_until = self.closed_until.max(until);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_fails_five_times_in_a_row_is_left_alone_and_then_asked_by_one() {
        let now: Timestamp = "2026-11-23T12:00:00Z".parse().unwrap();
        let mut breaker = Breaker::default();
        assert_eq!(breaker.room(now, 8), 8);
        assert!(!breaker.failed(now));
        assert_eq!(breaker.room(now, 8), 8, "one failure is chance");
        assert!(!breaker.failed(now));
        assert_eq!(breaker.room(now, 8), 1);
        breaker.answered();
        assert_eq!(breaker.room(now, 8), 8, "in a row");
        for _ in 0..4 {
            assert!(!breaker.failed(now));
        }
        assert!(breaker.failed(now));
        assert_eq!(breaker.room(now, 8), 0);
        let later = now + OPEN_FOR;
        assert_eq!(breaker.room(later, 8), 1, "a probe");
        assert!(breaker.failed(later), "which failed");
        assert_eq!(breaker.room(later, 8), 0);
        breaker.answered();
        assert_eq!(breaker.room(later, 8), 8);
    }

    #[test]
    fn a_pause_ends_by_itself_and_leaves_no_doubt_behind() {
        let now: Timestamp = "2026-11-23T12:00:00Z".parse().unwrap();
        let mut breaker = Breaker::default();
        breaker.pause(now, Duration::from_secs(10));
        assert_eq!(breaker.room(now, 8), 0);
        assert_eq!(breaker.room(now + SignedDuration::from_secs(10), 8), 8);
    }
}
