//! What follows from an attempt: a plain function of what the provider said, how often it was tried, and the time.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use sha2::{Digest, Sha256};

use crate::{
    channel::{Channel, Outcome},
    store::{Claimed, End, timestamp},
    webhooks,
};

/// How long until the next attempt at a person, by how many there were. After that every [`LAST`].
const WAITS: [Duration; 6] = [
    Duration::from_secs(5),
    Duration::from_secs(30),
    Duration::from_mins(2),
    Duration::from_mins(10),
    Duration::from_mins(30),
    Duration::from_hours(1),
];

/// How often it is tried in the long run, until it is no longer worth it.
const LAST: Duration = Duration::from_hours(2);

/// The longest that a provider may ask for: one that says "tomorrow" is wrong about what we send.
const RETRY_AFTER_MAX: Duration = Duration::from_hours(1);

/// And the shortest that is heard: "now" would be a hot loop.
const RETRY_AFTER_MIN: Duration = Duration::from_secs(1);

/// A wait is longer or shorter by up to this part of it, so that what failed together is not tried together.
const JITTER: f64 = 0.2;

/// Whether the provider works, as far as an outcome tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// It answered.
    Answered,
    /// It did not, or not as one that works.
    Failed,
    /// It asks to be left alone for so long.
    Busy(Duration),
    /// Nobody was asked.
    Unknown,
}

/// What follows from an outcome.
pub fn verdict(message: &Claimed, channel: Channel, outcome: Outcome, now: Timestamp) -> (End, Health) {
    match outcome {
        Outcome::Sent { provider_id, answer } => {
            (End::Sent { provider_id: provider_id.unwrap_or_default(), answer }, Health::Answered)
        }
        Outcome::Again { answer, after } => {
            let health = after.map_or(Health::Failed, |after| Health::Busy(heard(after)));
            (again(message, channel, "again", answer, after, now), health)
        }
        Outcome::Unreachable { answer } => (again(message, channel, "again", answer, None, now), Health::Answered),
        Outcome::InDoubt { answer } => (again(message, channel, "in_doubt", answer, None, now), Health::Failed),
        Outcome::Refused { answer, opted_out } => {
            let whom = || (message.namespace.clone(), message.channel.clone(), message.recipient.clone());
            let reason = if opted_out { "optedOut" } else { "refused" };
            let opted_out = opted_out.then(whom);
            (End::Dead { outcome: "refused", reason, answer, opted_out }, Health::Answered)
        }
        Outcome::Gone { answer } => {
            (End::Dead { outcome: "gone", reason: "gone", answer, opted_out: None }, Health::Answered)
        }
    }
}

/// A wait that was asked for, as far as it is heard.
fn heard(after: Duration) -> Duration {
    after.clamp(RETRY_AFTER_MIN, RETRY_AFTER_MAX)
}

fn again(
    message: &Claimed,
    channel: Channel,
    outcome: &'static str,
    answer: String,
    after: Option<Duration>,
    now: Timestamp,
) -> End {
    let tried = u32::try_from(message.stage).unwrap_or(u32::MAX);
    let by_schedule = match channel {
        Channel::Webhook => webhooks::retry_after(tried),
        _ => Some(WAITS.get(tried.saturating_sub(1) as usize).copied().unwrap_or(LAST)),
    };
    let Some(by_schedule) = by_schedule else {
        return End::Dead { outcome, reason: "exhausted", answer, opted_out: None };
    };
    let wait = match after {
        // Never before what was asked for.
        Some(after) => {
            let after = heard(after);
            after + after.mul_f64(JITTER * chance(message))
        }
        None => by_schedule.mul_f64(1.0 + JITTER * (2.0 * chance(message) - 1.0)),
    };
    let due_at = SignedDuration::try_from(wait).ok().and_then(|wait| now.checked_add(wait).ok()).unwrap_or(now);
    if channel != Channel::Webhook && due_at >= timestamp(message.expires_at) {
        return End::Dead { outcome, reason: "expired", answer, opted_out: None };
    }
    End::Again { outcome, answer, due_at }
}

/// A number from 0 to 1 by message and attempt: it scatters, and a run can be repeated.
fn chance(message: &Claimed) -> f64 {
    let digest = Sha256::digest(format!("{}/{}", message.id, message.attempts));
    f64::from(u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]])) / f64::from(u32::MAX)
}
