use std::time::Duration;

use dropmate_identity::{Error, Invitation, Letter};
use futures::future::join_all;

use super::on_both;
use crate::people::fixture::{ADA, Fixture, GOOD, OTHER, proof};

on_both!(
    an_invitation_is_good_once_and_for_a_week,
    a_new_invitation_ends_the_one_before_and_no_other,
    of_many_who_come_with_one_link_one_uses_it,
    whoever_is_new_gets_the_password_and_whoever_is_known_must_show_theirs,
    a_reset_sets_the_password_once_and_ends_all_sessions,
    a_reset_is_good_for_an_hour_and_for_nothing_else,
);

fn invitation(member: &str) -> Invitation {
    let text = str::to_owned;
    Invitation {
        email: text("Ada@example.com"),
        namespace: text("acme"),
        member: text(member),
        member_uid: text("u-1"),
    }
}

async fn an_invitation_is_good_once_and_for_a_week(at: Fixture) {
    let link = at.identity.invite(&invitation("ada"), &Letter::default()).await.unwrap();
    at.pass(Duration::from_hours(7 * 24) - Duration::from_secs(1));
    let found = at.identity.invitation(&link.token).await.unwrap();
    assert_eq!(found, Invitation { email: ADA.to_owned(), ..invitation("ada") });
    at.identity.use_invitation(&link.token).await.unwrap();
    assert!(matches!(at.identity.invitation(&link.token).await, Err(Error::BadLink)));
    assert!(matches!(at.identity.use_invitation(&link.token).await, Err(Error::BadLink)));
    let late = at.identity.invite(&invitation("ada"), &Letter::default()).await.unwrap();
    at.pass(Duration::from_hours(7 * 24));
    assert!(matches!(at.identity.invitation(&late.token).await, Err(Error::BadLink)));
    assert!(matches!(at.identity.use_invitation(&late.token).await, Err(Error::BadLink)));
}

async fn a_new_invitation_ends_the_one_before_and_no_other(at: Fixture) {
    let other = at.identity.invite(&invitation("eve"), &Letter::default()).await.unwrap();
    let first = at.identity.invite(&invitation("ada"), &Letter::default()).await.unwrap();
    let second = at.identity.invite(&invitation("ada"), &Letter::default()).await.unwrap();
    assert!(matches!(at.identity.invitation(&first.token).await, Err(Error::BadLink)));
    assert!(at.identity.invitation(&second.token).await.is_ok());
    assert!(at.identity.invitation(&other.token).await.is_ok());
}

async fn of_many_who_come_with_one_link_one_uses_it(at: Fixture) {
    let link = at.identity.invite(&invitation("ada"), &Letter::default()).await.unwrap();
    let replica = at.replica().await;
    let tries = [&at.identity, &replica, &at.identity, &replica].map(|at| at.use_invitation(&link.token));
    assert_eq!(join_all(tries).await.iter().filter(|used| used.is_ok()).count(), 1);
}

async fn whoever_is_new_gets_the_password_and_whoever_is_known_must_show_theirs(at: Fixture) {
    let user = at.identity.join(proof(ADA, GOOD), "Ada").await.unwrap();
    assert!(!user.verified, "a link that somebody passed on does not show whose the address is");
    assert_eq!(at.identity.join(proof(ADA, GOOD), "Somebody else").await.unwrap(), user);
    assert!(matches!(at.identity.join(proof(ADA, OTHER), "Ada").await, Err(Error::Credentials)));
    assert!(matches!(at.identity.join(proof("eve@example.com", "short"), "Eve").await, Err(Error::Invalid { .. })));
    assert_eq!(at.identity.open_for(&user, "test").await.unwrap().user, user);
    at.identity.disable(ADA).await.unwrap();
    assert!(matches!(at.identity.open_for(&user, "test").await, Err(Error::Credentials)));
}

async fn a_reset_sets_the_password_once_and_ends_all_sessions(at: Fixture) {
    at.register(ADA).await;
    let grant = at.login(ADA, GOOD).await.unwrap();
    let link = at.identity.reset_link("ADA@example.com", &Letter::default()).await.unwrap();
    assert!(matches!(at.identity.reset(&link.token, "too short").await, Err(Error::Invalid { field: "password", .. })));
    at.identity.reset(&link.token, OTHER).await.unwrap();
    assert!(matches!(at.identity.reset(&link.token, GOOD).await, Err(Error::BadLink)));
    assert!(matches!(at.identity.refresh(&grant.refresh_token).await, Err(Error::BadToken)));
    assert!(matches!(at.login(ADA, GOOD).await, Err(Error::Credentials)));
    assert!(at.login(ADA, OTHER).await.is_ok());
}

async fn a_reset_is_good_for_an_hour_and_for_nothing_else(at: Fixture) {
    at.register(ADA).await;
    let link = at.identity.reset_link(ADA, &Letter::default()).await.unwrap();
    let invited = at.identity.invite(&invitation("ada"), &Letter::default()).await.unwrap();
    assert!(matches!(at.identity.invitation(&link.token).await, Err(Error::BadLink)));
    assert!(matches!(at.identity.reset(&invited.token, OTHER).await, Err(Error::BadLink)));
    at.pass(Duration::from_hours(1));
    assert!(matches!(at.identity.reset(&link.token, OTHER).await, Err(Error::BadLink)));
    assert!(matches!(at.identity.reset_link("eve@example.com", &Letter::default()).await, Err(Error::NoSuchUser(_))));
}
