//! Whole seconds since the epoch, the planner's arithmetic of time.
//!
//! Integers compare, add and sort the same on every machine; a fraction of a second never decides who drives.

use jiff::Timestamp;

/// Whole seconds since the epoch, or a number of seconds.
pub(crate) type Seconds = i64;

/// Later than anything that is planned, and far from overflow.
pub(crate) const NEVER: Seconds = i64::MAX / 4;

/// The first whole second that is not before `at`.
pub(crate) fn ceil(at: Timestamp) -> Seconds {
    at.as_second() + i64::from(at.subsec_nanosecond() > 0)
}

/// The moment as the API writes it; the ends of the calendar where it lies outside.
pub(crate) fn timestamp(at: Seconds) -> Timestamp {
    let edge = if at < 0 { Timestamp::MIN } else { Timestamp::MAX };
    Timestamp::from_second(at).unwrap_or(edge)
}
