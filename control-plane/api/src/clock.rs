//! The two clocks of DropMate: system time and business time.
//!
//! System time stamps metadata, leases and tokens. Business time drives planning, windows, phases and facts, and may
//! run faster (`up --speed`) or start elsewhere (`up --start-time`). Both are injected; nothing below `main` reads the
//! wall clock.

use std::{fmt, sync::Arc};

use jiff::{SignedDuration, Timestamp};

/// A source of system time, so that tests under paused time can stand in for the wall clock.
pub type Now = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Both clocks of one process. Cheap to clone; clones agree.
#[derive(Clone)]
pub struct Clock {
    system: Now,
    system_origin: Timestamp,
    business_origin: Timestamp,
    speed: f64,
}

impl Clock {
    /// A clock whose business time equals its system time.
    pub fn real(system: Now) -> Self {
        let origin = to_the_microsecond(system());
        Self { system, system_origin: origin, business_origin: origin, speed: 1.0 }
    }

    /// A clock whose business time starts at `start` now and runs `speed` times as fast as `system`.
    pub fn scaled(system: Now, start: Timestamp, speed: f64) -> Self {
        let origin = system();
        Self { system, system_origin: origin, business_origin: to_the_microsecond(start), speed }
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
        self.speed
    }

    /// The business time at a moment of system time.
    pub fn to_business(&self, system: Timestamp) -> Timestamp {
        let elapsed = system.duration_since(self.system_origin).as_secs_f64() * self.speed;
        self.business_origin
            .checked_add(SignedDuration::from_micros((elapsed * 1e6).round() as i64))
            .unwrap_or(Timestamp::MAX)
    }

    /// How long to wait in system time until `business` has come; zero if it has.
    pub fn system_delay_until(&self, business: Timestamp) -> std::time::Duration {
        let ahead = business.duration_since(self.business_now()).as_secs_f64() / self.speed;
        std::time::Duration::try_from_secs_f64(ahead.max(0.0)).unwrap_or_default()
    }
}

/// Business times are written into resources, where nanoseconds are noise.
fn to_the_microsecond(at: Timestamp) -> Timestamp {
    Timestamp::from_microsecond(at.as_microsecond()).unwrap_or(at)
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clock").field("speed", &self.speed).finish_non_exhaustive()
    }
}
