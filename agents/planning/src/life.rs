//! What time and policy alone decide about an order: when it is scheduled, released, given up, tried again.

use dropmate_api::{
    DispatchPolicySpec, Order, Phase,
    order::{Custody, Decision},
};
use jiff::{SignedDuration, Timestamp};

use crate::{Command, moment::Seconds};

/// Orders are released this long before they can be fetched where the policy does not say.
const DEFAULT_LEAD_SECONDS: i64 = 1800;

/// Attempts in all where the order does not say.
const DEFAULT_MAX_ATTEMPTS: i32 = 2;

/// The next thing time or policy does to an order.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Next {
    /// Nothing, until the order changes.
    Nothing,
    /// From placement on the release is recorded, and at `release_at` it is released unless it is held.
    Release { placed_at: Timestamp, release_at: Timestamp, recorded: Option<Timestamp>, hold: bool },
    /// It expires.
    Expire { at: Timestamp },
    /// What follows a failed attempt.
    Decide(Decision),
}

impl Next {
    /// Of an order whose goods can be fetched from `fetch_from` on.
    pub(crate) fn new(order: &Order, fetch_from: Seconds, policy: &DispatchPolicySpec, now: Timestamp) -> Self {
        let status = order.status.clone().unwrap_or_default();
        match order.phase() {
            Phase::Pending | Phase::Scheduled if status.released_at.is_none() && !order.spec.cancelled => {
                let placed_at = order.placed_at().unwrap_or(now);
                let lead = policy.lead_seconds.unwrap_or(DEFAULT_LEAD_SECONDS);
                let release_at = crate::moment::timestamp(fetch_from - lead).max(placed_at);
                Self::Release { placed_at, release_at, recorded: status.release_at, hold: order.spec.hold }
            }
            Phase::Ready | Phase::Offered => {
                let grace = policy.expire_after_due_seconds.map(SignedDuration::from_secs);
                match (order.spec.due_by, grace) {
                    // Goods in a driver's hands cannot be given up by the clock.
                    (Some(due_by), Some(grace)) if status.custody == Custody::Sender => {
                        due_by.checked_add(grace).map_or(Self::Nothing, |at| Self::Expire { at })
                    }
                    _ => Self::Nothing,
                }
            }
            Phase::AttemptFailed => match status.attempts.last() {
                Some(attempt) if attempt.decision.is_none() => {
                    Self::Decide(decision(order, status.attempts.len(), status.custody))
                }
                _ => Self::Nothing,
            },
            _ => Self::Nothing,
        }
    }

    /// What is due now; otherwise when something will be.
    pub(crate) fn due(&self, name: &str, now: Timestamp, commands: &mut Vec<Command>) -> Option<Timestamp> {
        let order = || name.to_owned();
        match *self {
            Self::Nothing => None,
            Self::Decide(decision) => {
                commands.push(Command::Decide { order: order(), decision });
                None
            }
            Self::Expire { at } if at <= now => {
                commands.push(Command::Expire { order: order() });
                None
            }
            Self::Expire { at } => Some(at),
            Self::Release { placed_at, .. } if placed_at > now => Some(placed_at),
            Self::Release { release_at, hold: false, .. } if release_at <= now => {
                commands.push(Command::Release { order: order() });
                None
            }
            Self::Release { release_at, recorded, hold, .. } => {
                if recorded != Some(release_at) {
                    commands.push(Command::Schedule { order: order(), release_at });
                }
                (!hold).then_some(release_at)
            }
        }
    }
}

/// Once more while attempts are left, then back to the sender, where that is wanted and possible.
fn decision(order: &Order, attempts: usize, custody: Custody) -> Decision {
    let retry = order.spec.retry.clone().unwrap_or_default();
    let max_attempts = retry.max_attempts.unwrap_or(DEFAULT_MAX_ATTEMPTS);
    if !order.spec.cancelled && attempts < usize::try_from(max_attempts).unwrap_or(0) {
        Decision::Retry
    } else if custody == Custody::Driver && retry.return_to_pickup.unwrap_or(true) {
        Decision::Return
    } else {
        Decision::Fail
    }
}
