use std::time::Duration;

use dropmate_identity::Error;
use futures::future::join_all;

use super::on_both;
use crate::people::fixture::{ADA, Fixture, GOOD};

const DAY: Duration = Duration::from_hours(24);

on_both!(
    a_refresh_token_is_good_once_and_the_next_goes_on,
    a_lost_answer_can_be_asked_for_again_within_ten_seconds,
    a_copy_ends_the_family_on_every_replica,
    of_two_that_went_on_from_one_token_the_second_ends_the_family,
    two_at_once_on_two_replicas_both_go_on,
    a_session_ends_after_a_month_of_rest_and_after_ninety_days_of_use,
    a_logout_ends_the_session_and_no_other,
    the_operator_ends_all_sessions,
    the_oldest_of_too_many_sessions_end,
    what_ended_long_ago_is_swept_and_what_goes_on_is_not,
);

async fn a_refresh_token_is_good_once_and_the_next_goes_on(at: Fixture) {
    at.register(ADA).await;
    let mut grant = at.login(ADA, GOOD).await.unwrap();
    for _ in 0..3 {
        at.pass(DAY);
        let next = at.identity.refresh(&grant.refresh_token).await.unwrap();
        assert_eq!((&next.sid, &next.user.uid), (&grant.sid, &grant.user.uid));
        assert_ne!(next.refresh_token, grant.refresh_token);
        grant = next;
    }
    for wrong in ["", "guess", &grant.refresh_token.to_uppercase(), &"f".repeat(100_000)] {
        assert!(matches!(at.identity.refresh(wrong).await, Err(Error::BadToken)));
    }
    assert!(at.identity.refresh(&grant.refresh_token).await.is_ok(), "guesses end nothing");
}

async fn a_lost_answer_can_be_asked_for_again_within_ten_seconds(at: Fixture) {
    at.register(ADA).await;
    let first = at.login(ADA, GOOD).await.unwrap();
    let lost = at.identity.refresh(&first.refresh_token).await.unwrap();
    at.pass(Duration::from_secs(10));
    let again = at.identity.refresh(&first.refresh_token).await.unwrap();
    assert_ne!(again.refresh_token, lost.refresh_token);
    at.pass(Duration::from_mins(1));
    assert!(at.identity.refresh(&again.refresh_token).await.is_ok());
}

async fn a_copy_ends_the_family_on_every_replica(at: Fixture) {
    at.register(ADA).await;
    let first = at.login(ADA, GOOD).await.unwrap();
    let other = at.login(ADA, GOOD).await.unwrap();
    let second = at.identity.refresh(&first.refresh_token).await.unwrap();
    at.pass(Duration::from_secs(11));
    let replica = at.replica().await;
    assert!(matches!(replica.refresh(&first.refresh_token).await, Err(Error::BadToken)));
    assert!(
        matches!(at.identity.refresh(&second.refresh_token).await, Err(Error::BadToken)),
        "the owner logs in again"
    );
    assert!(at.identity.refresh(&other.refresh_token).await.is_ok(), "another session goes on");
}

async fn of_two_that_went_on_from_one_token_the_second_ends_the_family(at: Fixture) {
    at.register(ADA).await;
    let first = at.login(ADA, GOOD).await.unwrap();
    let [owner, thief] = [(); 2].map(|()| at.identity.refresh(&first.refresh_token));
    let (owner, thief) = (owner.await.unwrap(), thief.await.unwrap());
    at.pass(DAY);
    let next = at.identity.refresh(&thief.refresh_token).await.unwrap();
    at.pass(DAY);
    assert!(matches!(at.identity.refresh(&owner.refresh_token).await, Err(Error::BadToken)));
    assert!(matches!(at.identity.refresh(&next.refresh_token).await, Err(Error::BadToken)));
}

async fn two_at_once_on_two_replicas_both_go_on(at: Fixture) {
    at.register(ADA).await;
    let replica = at.replica().await;
    let first = at.login(ADA, GOOD).await.unwrap();
    let tries = [&at.identity, &replica, &at.identity, &replica].map(|at| at.refresh(&first.refresh_token));
    let grants = join_all(tries).await.into_iter().collect::<Result<Vec<_>, _>>().unwrap();
    let mut tokens: Vec<_> = grants.iter().map(|grant| &grant.refresh_token).collect();
    tokens.dedup();
    assert_eq!(tokens.len(), 4);
    at.pass(DAY);
    assert!(replica.refresh(&grants[2].refresh_token).await.is_ok());
}

async fn a_session_ends_after_a_month_of_rest_and_after_ninety_days_of_use(at: Fixture) {
    at.register(ADA).await;
    let rests = at.login(ADA, GOOD).await.unwrap();
    let mut used = at.login(ADA, GOOD).await.unwrap();
    for days in [29, 29, 29] {
        at.pass(days * DAY);
        used = at.identity.refresh(&used.refresh_token).await.unwrap();
    }
    assert!(matches!(at.identity.refresh(&rests.refresh_token).await, Err(Error::BadToken)));
    at.pass(2 * DAY);
    used = at.identity.refresh(&used.refresh_token).await.unwrap();
    at.pass(2 * DAY);
    assert!(matches!(at.identity.refresh(&used.refresh_token).await, Err(Error::BadToken)));
}

async fn a_logout_ends_the_session_and_no_other(at: Fixture) {
    at.register(ADA).await;
    let (here, there) = (at.login(ADA, GOOD).await.unwrap(), at.login(ADA, GOOD).await.unwrap());
    at.identity.logout(&here.refresh_token).await.unwrap();
    at.identity.logout(&here.refresh_token).await.unwrap();
    at.identity.logout("guess").await.unwrap();
    assert!(matches!(at.identity.refresh(&here.refresh_token).await, Err(Error::BadToken)));
    assert!(at.identity.refresh(&there.refresh_token).await.is_ok());
}

async fn the_operator_ends_all_sessions(at: Fixture) {
    at.register(ADA).await;
    at.register("eve@example.com").await;
    let (a, b) = (at.login(ADA, GOOD).await.unwrap(), at.login(ADA, GOOD).await.unwrap());
    let eve = at.login("eve@example.com", GOOD).await.unwrap();
    at.identity.end_sessions(ADA).await.unwrap();
    for grant in [a, b] {
        assert!(matches!(at.identity.refresh(&grant.refresh_token).await, Err(Error::BadToken)));
    }
    assert!(at.identity.refresh(&eve.refresh_token).await.is_ok());
    assert!(at.login(ADA, GOOD).await.is_ok());
}

async fn the_oldest_of_too_many_sessions_end(at: Fixture) {
    at.register(ADA).await;
    let mut grants = Vec::new();
    for _ in 0..102 {
        at.pass(Duration::from_secs(1));
        grants.push(at.login(ADA, GOOD).await.unwrap());
    }
    assert_eq!(at.identity.users("", 1).await.unwrap().items[0].1, 100);
    assert!(at.identity.refresh(&grants[1].refresh_token).await.is_err());
    assert!(at.identity.refresh(&grants[2].refresh_token).await.is_ok());
}

async fn what_ended_long_ago_is_swept_and_what_goes_on_is_not(at: Fixture) {
    at.register(ADA).await;
    let mut goes_on = at.login(ADA, GOOD).await.unwrap();
    let ended = at.login(ADA, GOOD).await.unwrap();
    at.identity.logout(&ended.refresh_token).await.unwrap();
    for _ in 0..2 {
        at.pass(20 * DAY);
        goes_on = at.identity.refresh(&goes_on.refresh_token).await.unwrap();
    }
    at.identity.sweep().await.unwrap();
    assert!(at.identity.refresh(&goes_on.refresh_token).await.is_ok());
    assert!(matches!(at.identity.refresh(&ended.refresh_token).await, Err(Error::BadToken)));
}
