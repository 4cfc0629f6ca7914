use std::time::Duration;

use dropmate_identity::{Error, Invitation, Letter};
use futures::future::join_all;

use super::on_both;
use crate::people::fixture::{ADA, Fixture, GOOD, HOME, OTHER, proof};

on_both!(
    an_invitation_is_good_once_and_for_a_week,
    a_new_invitation_ends_the_one_before_and_no_other,
    of_many_who_come_with_one_link_one_uses_it,
    whoever_is_new_gets_the_password_and_whoever_is_known_must_show_theirs,
    a_reset_sets_the_password_once_and_ends_all_sessions,
    a_reset_is_good_for_an_hour_and_for_nothing_else,
    each_link_is_mailed_in_order_and_its_mail_tells_it_as_long_as_it_is_good,
    a_verification_shows_whose_the_address_is_once,
    who_forgot_the_password_is_mailed_one_link_and_using_it_shows_the_mailbox,
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

async fn each_link_is_mailed_in_order_and_its_mail_tells_it_as_long_as_it_is_good(at: Fixture) {
    let letter = Letter { role: Some("viewer".to_owned()), by: Some("bob@example.com".to_owned()), locale: None };
    let first = at.identity.invite(&invitation("ada"), &letter).await.unwrap();
    let second = at.identity.invite(&invitation("ada"), &Letter::default()).await.unwrap();
    at.register("eve@example.com").await;
    let page = at.identity.mails_after(0, 500).await.unwrap();
    let kinds: Vec<&str> = page.mails.iter().map(|mail| mail.kind.as_str()).collect();
    assert_eq!(kinds, ["invitation", "invitation", "verification"]);
    assert_eq!((&page.mails[0].letter, page.mails[0].namespace.as_deref()), (&letter, Some("acme")));
    assert_eq!(page.next, page.mails[2].seq);
    let one = at.identity.mails_after(0, 1).await.unwrap();
    assert_eq!((one.mails.len(), one.next), (1, page.mails[0].seq));
    assert_eq!(at.identity.mails_after(page.next + 100, 1).await.unwrap().next, page.next, "not a number from here");
    assert!(at.identity.mail_link(&page.mails[0].id).await.unwrap().is_none(), "replaced by the second");
    assert!(matches!(at.identity.invitation(&first.token).await, Err(Error::BadLink)));
    let told = at.identity.mail_link(&page.mails[1].id).await.unwrap().unwrap();
    assert_eq!((told.token, told.expires_at), (second.token.clone(), second.expires_at));
    at.identity.use_invitation(&second.token).await.unwrap();
    assert!(at.identity.mail_link(&page.mails[1].id).await.unwrap().is_none(), "used");
    at.pass(Duration::from_hours(24));
    assert!(at.identity.mail_link(&page.mails[2].id).await.unwrap().is_none(), "too old");
    let rest = at.identity.mails_after(0, 500).await.unwrap();
    assert_eq!(
        (rest.mails.len(), rest.next),
        (2, page.next),
        "a verification is good for a day, an invitation for a week"
    );
}

async fn a_verification_shows_whose_the_address_is_once(at: Fixture) {
    at.register(ADA).await;
    assert!(!at.identity.user(ADA).await.unwrap().unwrap().verified);
    let mail = at.identity.mails_after(0, 1).await.unwrap().mails.remove(0);
    let link = at.identity.mail_link(&mail.id).await.unwrap().unwrap();
    assert!(matches!(at.identity.reset(&link.token, OTHER).await, Err(Error::BadLink)), "it is no reset");
    let verify = async |token: &str, password: &str| at.identity.verify_email(token, password, HOME).await;
    assert!(matches!(verify(&link.token, OTHER).await, Err(Error::Credentials)), "the mailbox alone does not do");
    assert!(!at.identity.user(ADA).await.unwrap().unwrap().verified);
    assert!(verify(&link.token, GOOD).await.unwrap().verified);
    assert!(matches!(verify(&link.token, GOOD).await, Err(Error::BadLink)));
    let reset = at.identity.reset_link(ADA, &Letter::default()).await.unwrap();
    assert!(matches!(verify(&reset.token, GOOD).await, Err(Error::BadLink)), "nor is a reset one");
}

async fn who_forgot_the_password_is_mailed_one_link_and_using_it_shows_the_mailbox(at: Fixture) {
    at.register(ADA).await;
    let before = at.identity.mails_after(0, 500).await.unwrap().next;
    let letter = Letter { locale: Some("de".to_owned()), ..Letter::default() };
    assert!(!at.identity.forgot("nobody@example.com", &letter, HOME).await.unwrap());
    assert!(at.identity.forgot("ADA@example.com", &letter, HOME).await.unwrap());
    assert!(!at.identity.forgot(ADA, &letter, HOME).await.unwrap(), "one in five minutes");
    let mails = at.identity.mails_after(before, 500).await.unwrap().mails;
    assert_eq!((mails.len(), mails[0].kind.as_str(), mails[0].letter.locale.as_deref()), (1, "reset", Some("de")));
    let link = at.identity.mail_link(&mails[0].id).await.unwrap().unwrap();
    assert!(at.identity.reset(&link.token, OTHER).await.is_ok());
    assert!(at.identity.user(ADA).await.unwrap().unwrap().verified, "only the mailbox got it");
    at.pass(Duration::from_mins(5));
    assert!(at.identity.forgot(ADA, &letter, HOME).await.unwrap());
    at.register("eve@example.com").await;
    let handed_over = at.identity.reset_link("eve@example.com", &Letter::default()).await.unwrap();
    assert!(at.identity.reset(&handed_over.token, OTHER).await.is_ok());
    assert!(
        !at.identity.user("eve@example.com").await.unwrap().unwrap().verified,
        "the operator had that link as well"
    );
    let mut refused = 0;
    for _ in 0..10 {
        let forgot = at.identity.forgot("nobody@example.com", &letter, HOME).await;
        refused += usize::from(matches!(forgot, Err(Error::Throttled(_))));
    }
    assert!(refused >= 5, "{refused}");
    at.pass(Duration::from_hours(25));
    let mut sent = 0;
    for _ in 0..20 {
        sent += usize::from(at.identity.forgot(ADA, &letter, HOME).await.unwrap());
        at.pass(Duration::from_mins(6));
    }
    assert_eq!(sent, 6, "in a day");
    at.pass(Duration::from_hours(24));
    let handed_over = at.identity.reset_link(ADA, &Letter::default()).await.unwrap();
    at.pass(Duration::from_mins(6));
    assert!(at.identity.forgot(ADA, &letter, HOME).await.unwrap());
    assert!(at.identity.reset(&handed_over.token, GOOD).await.is_ok(), "a mail takes no other link away");
    at.identity.disable(ADA).await.unwrap();
    at.pass(Duration::from_hours(1));
    assert!(!at.identity.forgot(ADA, &letter, HOME).await.unwrap());
}
