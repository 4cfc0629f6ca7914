//! What is observed of an endpoint, and when nothing more is sent to it. Pure.

use dropmate_api::{
    common::{Condition, ConditionStatus},
    webhook::WebhookStatus,
};
use jiff::{SignedDuration, Timestamp};

/// The condition that says that nothing is sent.
pub const DISABLED: &str = "Disabled";

/// An endpoint that has taken nothing for so long gets nothing more.
pub const DISABLED_AFTER: SignedDuration = SignedDuration::from_hours(5 * 24);

/// What came of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Observed {
    /// It was taken.
    Taken,
    /// It was not, or it is not known.
    Failed,
    /// 410: the endpoint wants nothing more.
    Gone,
}

/// An attempt that has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Observation {
    /// When it ended.
    pub at: Timestamp,
    /// What came of it.
    pub observed: Observed,
}

/// The status after these attempts, which are those since `before` was written. The same attempts again change nothing but
/// the count of failures.
pub fn judge(
    before: &WebhookStatus,
    generation: Option<i64>,
    attempts: &[Observation],
    now: Timestamp,
) -> WebhookStatus {
    let mut status = before.clone();
    // Whoever changes the spec has set something right.
    if status.observed_generation != generation {
        status.observed_generation = generation;
        status.failing_since = None;
        status.failures = 0;
        lift(&mut status, "Changed", "the spec was changed", now);
    }
    let mut attempts = attempts.to_vec();
    attempts.sort_unstable();
    for Observation { at, observed } in attempts {
        // Replays and retries end in any order; what is told is the newest.
        status.last_attempt_at = status.last_attempt_at.max(Some(at));
        match observed {
            Observed::Taken => {
                status.last_success_at = status.last_success_at.max(Some(at));
                if status.failing_since.is_none_or(|since| since <= at) {
                    status.failing_since = None;
                    status.failures = 0;
                }
            }
            Observed::Failed | Observed::Gone => {
                status.failures += 1;
                if status.last_success_at.is_none_or(|success| success < at) {
                    status.failing_since = status.failing_since.or(Some(at)).min(Some(at));
                }
            }
        }
        if observed == Observed::Gone {
            disable(&mut status, "Gone", "the endpoint answered 410: it wants nothing more", now);
        }
    }
    // Between two attempts nobody knows: silence is no failure.
    let failing = status.failing_since.zip(status.last_attempt_at);
    if failing.is_some_and(|(since, last)| last.duration_since(since) >= DISABLED_AFTER) {
        disable(&mut status, "Failing", "the endpoint has taken nothing for five days", now);
    }
    if status.disabled_at.is_none() && !status.conditions.iter().any(|condition| condition.type_ == DISABLED) {
        lift(&mut status, "Enabled", "events are sent", now);
    }
    status
}

fn disable(status: &mut WebhookStatus, reason: &str, message: &str, now: Timestamp) {
    if status.disabled_at.is_some() {
        return;
    }
    status.disabled_at = Some(now);
    status.disabled_reason = Some(message.to_owned());
    set(status, ConditionStatus::True, reason, message, now);
}

fn lift(status: &mut WebhookStatus, reason: &str, message: &str, now: Timestamp) {
    status.disabled_at = None;
    status.disabled_reason = None;
    set(status, ConditionStatus::False, reason, message, now);
}

fn set(status: &mut WebhookStatus, holds: ConditionStatus, reason: &str, message: &str, now: Timestamp) {
    let generation = status.observed_generation;
    let before = status.conditions.iter().find(|condition| condition.type_ == DISABLED);
    let since = before.filter(|before| before.status == holds).map_or(now, |before| before.last_transition_time);
    let condition = Condition {
        type_: DISABLED.to_owned(),
        status: holds,
        reason: reason.to_owned(),
        message: message.to_owned(),
        last_transition_time: since,
        observed_generation: generation,
    };
    status.conditions.retain(|condition| condition.type_ != DISABLED);
    status.conditions.push(condition);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hours: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_hours(hours)
    }

    fn seen(hours: i64, observed: Observed) -> Observation {
        Observation { at: at(hours), observed }
    }

    fn told(status: &WebhookStatus) -> (bool, i64, Option<Timestamp>) {
        (status.disabled_at.is_some(), status.failures, status.failing_since)
    }

    #[test]
    fn five_days_without_a_success_disable_and_an_hour_less_does_not() {
        let failing = judge(&WebhookStatus::default(), Some(1), &[seen(0, Observed::Failed)], at(0));
        assert_eq!(told(&failing), (false, 1, Some(at(0))));
        let still = judge(&failing, Some(1), &[seen(119, Observed::Failed)], at(119));
        assert_eq!(told(&still), (false, 2, Some(at(0))));
        assert_eq!(told(&judge(&still, Some(1), &[], at(500))), told(&still), "silence is no failure");
        let disabled = judge(&still, Some(1), &[seen(120, Observed::Failed)], at(120));
        assert!(disabled.disabled_at == Some(at(120)) && disabled.conditions.len() == 1);
        let condition = &disabled.conditions[0];
        assert_eq!((condition.status, condition.reason.as_str()), (ConditionStatus::True, "Failing"));
        assert_eq!(judge(&disabled, Some(1), &[], at(500)), disabled, "once");
        assert_eq!(disabled.failures, 3);
        let taken = judge(&still, Some(1), &[seen(119, Observed::Taken)], at(500));
        assert_eq!(told(&taken), (false, 0, None));
    }

    #[test]
    fn gone_disables_at_once_and_a_new_generation_enables_again() {
        let gone = judge(&WebhookStatus::default(), Some(1), &[seen(1, Observed::Gone)], at(1));
        assert!(gone.disabled_at.is_some() && gone.conditions[0].reason == "Gone");
        let again = judge(&gone, Some(2), &[], at(2));
        assert_eq!(told(&again), (false, 0, None));
        let condition = &again.conditions[0];
        assert_eq!((condition.status, condition.last_transition_time), (ConditionStatus::False, at(2)));
    }

    #[test]
    fn attempts_that_are_told_in_another_order_come_to_the_same() {
        let attempts = [seen(3, Observed::Failed), seen(1, Observed::Failed), seen(2, Observed::Taken)];
        let mut turned = attempts;
        turned.reverse();
        let one = judge(&WebhookStatus::default(), Some(1), &attempts, at(3));
        assert_eq!(one, judge(&WebhookStatus::default(), Some(1), &turned, at(3)));
        assert_eq!(
            (told(&one), one.last_success_at, one.last_attempt_at),
            ((false, 1, Some(at(3))), Some(at(2)), Some(at(3)))
        );
        // One that is told late does not make a failing endpoint a good one.
        let late = judge(&one, Some(1), &[seen(2, Observed::Taken)], at(4));
        assert_eq!(told(&late), told(&one));
    }

    #[test]
    fn of_a_new_endpoint_it_is_said_that_events_are_sent() {
        let new = judge(&WebhookStatus::default(), Some(1), &[], at(0));
        assert_eq!((new.conditions[0].status, new.observed_generation), (ConditionStatus::False, Some(1)));
    }
}
