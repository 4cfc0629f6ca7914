//! The two clocks of DropMate: system time and business time.
//!
//! System time stamps metadata, leases and tokens. Business time drives planning, windows, phases and facts, and may
//! run faster (`up --speed`) or start elsewhere (`up --start-time`). Both are injected; nothing below `main` reads the
//! wall clock.

use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};

/// A source of system time, so that tests under paused time can stand in for the wall clock.
pub type Now = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// What of a correction is small, in system time: clocks that drift, and delays of the network. Such a correction never
/// turns business time back. More than that is another time altogether (`up` started again with another
/// `--start-time`).
const SMALL: SignedDuration = SignedDuration::from_secs(5);

/// Both clocks of one process. Cheap to clone; clones agree.
#[derive(Clone)]
pub struct Clock {
    system: Now,
    line: Arc<RwLock<Line>>,
}

/// Business time as a straight line over system time.
#[derive(Clone, Copy, Debug)]
struct Line {
    system_origin: Timestamp,
    business_origin: Timestamp,
    speed: f64,
    /// Business time was here already; it stands still until the line has come here too.
    floor: Timestamp,
}

/// What another process's clock said, as of a moment of our own system time.
#[derive(Clone, Copy, Debug)]
pub struct Reading {
    /// Our system time of the reading.
    pub at: Timestamp,
    /// How far off `at` may be, to either side.
    pub uncertainty: Duration,
    /// Business time there.
    pub business: Timestamp,
    /// Its speed; above 0.
    pub speed: f64,
}

impl Clock {
    /// A clock whose business time equals its system time.
    pub fn real(system: Now) -> Self {
        let origin = to_the_microsecond(system());
        Self::on(system, Line::new(origin, origin, 1.0))
    }

    /// A clock whose business time starts at `start` now and runs `speed` times as fast as `system`.
    pub fn scaled(system: Now, start: Timestamp, speed: f64) -> Self {
        let line = Line::new(system(), to_the_microsecond(start), speed);
        Self::on(system, line)
    }

    fn on(system: Now, line: Line) -> Self {
        Self { system, line: Arc::new(RwLock::new(line)) }
    }

    /// System time.
    pub fn system_now(&self) -> Timestamp {
        (self.system)()
    }

    /// Business time, to the microsecond.
    pub fn business_now(&self) -> Timestamp {
        self.to_business(self.system_now())
    }

    /// How many business seconds pass in a system second.
    pub fn speed(&self) -> f64 {
        self.line().speed
    }

    /// The business time at a moment of system time.
    pub fn to_business(&self, system: Timestamp) -> Timestamp {
        self.line().at(system)
    }

    /// How long to wait in system time until `business` has come; zero if it has.
    pub fn system_delay_until(&self, business: Timestamp) -> Duration {
        let line = self.line();
        let ahead = business.duration_since(line.unbroken(self.system_now())).as_secs_f64() / line.speed;
        Duration::try_from_secs_f64(ahead.max(0.0)).unwrap_or_default()
    }

    /// The moment of system time at which business time was, or will be, there; as the clock runs now.
    pub fn to_system(&self, business: Timestamp) -> Timestamp {
        let (line, now) = (self.line(), self.system_now());
        let ahead = business.duration_since(line.unbroken(now)).as_secs_f64() / line.speed;
        SignedDuration::try_from_secs_f64(ahead).ok().and_then(|ahead| now.checked_add(ahead).ok()).unwrap_or(now)
    }

    /// Makes this clock and its clones follow another. Business time is never turned back by a small difference: it
    /// waits. Whether times to wait until have to be computed anew.
    pub fn correct(&self, reading: &Reading) -> bool {
        let now = self.system_now();
        let mut line = self.line.write().unwrap_or_else(PoisonError::into_inner);
        let (next, moved) = line.corrected(reading, now);
        *line = next;
        moved
    }

    fn line(&self) -> Line {
        *self.line.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Line {
    fn new(system_origin: Timestamp, business_origin: Timestamp, speed: f64) -> Self {
        Self { system_origin, business_origin, speed, floor: Timestamp::MIN }
    }

    fn at(&self, system: Timestamp) -> Timestamp {
        self.unbroken(system).max(self.floor)
    }

    fn unbroken(&self, system: Timestamp) -> Timestamp {
        let elapsed = system.duration_since(self.system_origin).as_secs_f64() * self.speed;
        self.business_origin
            .checked_add(SignedDuration::from_micros((elapsed * 1e6).round() as i64))
            .unwrap_or(Timestamp::MAX)
    }

    /// The line through a reading, and whether that is another time than before.
    fn corrected(self, reading: &Reading, now: Timestamp) -> (Self, bool) {
        let error = reading.business.duration_since(self.unbroken(reading.at)).as_secs_f64().abs() / reading.speed;
        let same_speed = (self.speed - reading.speed).abs() < f64::EPSILON;
        if same_speed && error <= reading.uncertainty.as_secs_f64() {
            // As right as can be told.
            return (self, false);
        }
        let line = Self::new(reading.at, to_the_microsecond(reading.business), reading.speed);
        if error <= SMALL.as_secs_f64() { (Self { floor: self.at(now), ..line }, !same_speed) } else { (line, true) }
    }
}

/// Business times are written into resources, where nanoseconds are noise.
fn to_the_microsecond(at: Timestamp) -> Timestamp {
    Timestamp::from_microsecond(at.as_microsecond()).unwrap_or(at)
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clock").field("speed", &self.speed()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// A clock at eight o'clock, and the hand that moves its system time.
    fn clock(speed: f64) -> (Clock, impl Fn(i64)) {
        let time = Arc::new(Mutex::new(eight()));
        let hand = time.clone();
        let clock = Clock::scaled(Arc::new(move || *time.lock().unwrap()), eight(), speed);
        (clock, move |millis| *hand.lock().unwrap() += SignedDuration::from_millis(millis))
    }

    fn eight() -> Timestamp {
        "2026-11-23T08:00:00Z".parse().unwrap()
    }

    /// The other clock is that many milliseconds of business time ahead.
    fn reading(clock: &Clock, ahead: i64, speed: f64) -> Reading {
        let business = clock.line().unbroken(clock.system_now()) + SignedDuration::from_millis(ahead);
        Reading { at: clock.system_now(), uncertainty: Duration::from_millis(10), business, speed }
    }

    #[test]
    fn a_small_correction_never_turns_business_time_back_and_takes_effect_at_once_or_soon() {
        let (clock, wait) = clock(60.0);
        wait(1_000);
        let before = clock.business_now();
        assert_eq!(before, eight() + SignedDuration::from_secs(60));
        assert!(!clock.correct(&reading(&clock, -6_000, 60.0)), "not another time");
        assert_eq!(clock.business_now(), before, "it stands still");
        wait(50);
        assert_eq!(clock.business_now(), before);
        wait(150);
        assert_eq!(clock.business_now(), before + SignedDuration::from_secs(6), "and goes on, corrected");
        clock.correct(&reading(&clock, 6_000, 60.0));
        assert_eq!(clock.business_now(), before + SignedDuration::from_secs(12));
    }

    #[test]
    fn what_the_way_of_the_reading_explains_is_no_error() {
        let (clock, wait) = clock(60.0);
        wait(1_000);
        let before = clock.business_now();
        assert!(!clock.correct(&reading(&clock, 599, 60.0)));
        assert_eq!(clock.business_now(), before);
    }

    #[test]
    fn another_start_or_speed_is_followed_backwards_too_by_every_clone() {
        let (clock, wait) = clock(60.0);
        let clone = clock.clone();
        assert!(clock.correct(&reading(&clock, -3_600_000, 60.0)), "another time");
        assert_eq!(clone.business_now(), eight() - SignedDuration::from_hours(1));
        assert!(clock.correct(&reading(&clock, 0, 2.0)), "times to wait until change with the speed");
        wait(1_000);
        assert_eq!(clone.business_now(), eight() - SignedDuration::from_hours(1) + SignedDuration::from_secs(2));
        assert_eq!(clone.system_delay_until(clone.business_now() + SignedDuration::from_secs(10)).as_secs(), 5);
    }
}
