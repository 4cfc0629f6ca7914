use std::net::{IpAddr, Ipv4Addr};

use dropmate_identity::{Error, Letter, Proof};

use super::on_both;
use crate::people::fixture::{ADA, Fixture, GOOD, HOME, OTHER, proof};

on_both!(
    a_user_is_found_by_the_address_in_whatever_case,
    who_registers_second_changes_nothing,
    users_come_page_by_page_in_the_order_of_their_addresses,
    a_disabled_user_is_kept_out_as_one_that_is_not_there,
    only_a_verified_address_is_called_so,
    a_changed_password_is_the_only_one_and_ends_the_other_sessions,
    a_weak_password_is_refused_by_name,
    wrong_tries_are_throttled_and_a_known_address_is_not_locked_out,
);

async fn a_user_is_found_by_the_address_in_whatever_case(at: Fixture) {
    at.identity.register(" Ada@Example.COM ", GOOD, " Ada ", &Letter::default(), HOME).await.unwrap();
    let user = at.identity.user("ADA@example.com").await.unwrap().unwrap();
    assert_eq!((user.email.as_str(), user.name.as_str()), (ADA, "Ada"));
    assert!(!user.verified && !user.disabled && !user.second_factor);
    assert_eq!(at.identity.user_by_uid(&user.uid).await.unwrap().unwrap(), user);
    assert!(at.identity.user("eve@example.com").await.unwrap().is_none());
    assert!(at.login("aDa@example.com", GOOD).await.is_ok());
}

async fn who_registers_second_changes_nothing(at: Fixture) {
    at.identity.register(ADA, GOOD, "Ada", &Letter::default(), HOME).await.unwrap();
    let before = at.identity.user(ADA).await.unwrap().unwrap();
    at.identity.register(ADA, OTHER, "Eve", &Letter::default(), HOME).await.unwrap();
    assert_eq!(at.identity.user(ADA).await.unwrap().unwrap(), before);
    assert!(matches!(at.login(ADA, OTHER).await, Err(Error::Credentials)));
    assert!(at.login(ADA, GOOD).await.is_ok());
}

async fn users_come_page_by_page_in_the_order_of_their_addresses(at: Fixture) {
    for name in ["d", "a-b", "c", "ab", "e"] {
        at.register(&format!("{name}@example.com")).await;
    }
    at.login("c@example.com", GOOD).await.unwrap();
    at.login("c@example.com", GOOD).await.unwrap();
    let (mut after, mut seen) = (String::new(), Vec::new());
    loop {
        let page = at.identity.users(&after, 2).await.unwrap();
        seen.push(
            page.items
                .iter()
                .map(|(user, sessions)| (user.email[..user.email.len() - 12].to_owned(), *sessions))
                .collect::<Vec<_>>(),
        );
        let Some(next) = page.next else { break };
        after = next;
    }
    let of = |name: &str, sessions| (name.to_owned(), sessions);
    assert_eq!(seen, [vec![of("a-b", 0), of("ab", 0)], vec![of("c", 2), of("d", 0)], vec![of("e", 0)]]);
    assert_eq!(at.identity.users("e@example.com", 500).await.unwrap().items, []);
}

async fn a_disabled_user_is_kept_out_as_one_that_is_not_there(at: Fixture) {
    at.register(ADA).await;
    let grant = at.login(ADA, GOOD).await.unwrap();
    assert!(at.identity.disable(ADA).await.unwrap().disabled);
    assert!(matches!(at.identity.refresh(&grant.refresh_token).await, Err(Error::BadToken)));
    let disabled = at.login(ADA, GOOD).await.err().unwrap();
    let unknown = at.login("eve@example.com", GOOD).await.err().unwrap();
    assert_eq!(disabled.to_string(), unknown.to_string());
    assert!(matches!(at.identity.reset_link(ADA, &Letter::default()).await, Err(Error::Conflict(_))));
    assert!(!at.identity.enable(ADA).await.unwrap().disabled);
    assert!(at.login(ADA, GOOD).await.is_ok());
    assert!(matches!(at.identity.refresh(&grant.refresh_token).await, Err(Error::BadToken)), "what ended stays so");
    assert!(
        matches!(at.identity.disable("eve@example.com").await, Err(Error::NoSuchUser(email)) if email == "eve@example.com")
    );
}

async fn only_a_verified_address_is_called_so(at: Fixture) {
    at.register(ADA).await;
    let grant = at.login(ADA, GOOD).await.unwrap();
    assert!(!grant.user.verified);
    assert!(at.identity.mark_verified(ADA).await.unwrap().verified);
    assert!(at.identity.refresh(&grant.refresh_token).await.unwrap().user.verified);
}

async fn a_changed_password_is_the_only_one_and_ends_the_other_sessions(at: Fixture) {
    at.register(ADA).await;
    let (here, there) = (at.login(ADA, GOOD).await.unwrap(), at.login(ADA, GOOD).await.unwrap());
    let uid = &here.user.uid;
    let wrong = at.identity.change_password(uid, OTHER, "brass engines hum alone", HOME, &here.sid).await;
    assert!(matches!(wrong, Err(Error::Credentials)));
    at.identity.change_password(uid, GOOD, OTHER, HOME, &here.sid).await.unwrap();
    assert!(matches!(at.login(ADA, GOOD).await, Err(Error::Credentials)));
    assert!(at.login(ADA, OTHER).await.is_ok());
    assert!(at.identity.refresh(&here.refresh_token).await.is_ok());
    assert!(matches!(at.identity.refresh(&there.refresh_token).await, Err(Error::BadToken)));
}

async fn a_weak_password_is_refused_by_name(at: Fixture) {
    let refused = at.identity.register(ADA, "password12345678", "Ada", &Letter::default(), HOME).await.unwrap_err();
    assert!(matches!(&refused, Error::Invalid { field: "password", .. }));
    assert!(!refused.to_string().contains("12345678"), "it is not repeated: {refused}");
    assert!(at.identity.user(ADA).await.unwrap().is_none());
}

async fn wrong_tries_are_throttled_and_a_known_address_is_not_locked_out(at: Fixture) {
    at.register(ADA).await;
    at.login(ADA, GOOD).await.unwrap();
    let stranger = |n| IpAddr::V4(Ipv4Addr::new(198, 51, 100, n));
    let from = |email, n| Proof { address: stranger(n), ..proof(email, OTHER) };
    for email in [ADA, "eve@example.com"] {
        for n in 0..20 {
            let refused = at.identity.login(from(email, n), "test").await.err().unwrap();
            assert!(matches!(refused, Error::Credentials), "{email} {n}: {refused}");
        }
        let throttled = at.identity.login(from(email, 99), "test").await.err().unwrap();
        assert!(matches!(throttled, Error::Throttled(30)), "whether there is {email} or not: {throttled}");
    }
    assert!(at.login(ADA, GOOD).await.is_ok(), "the owner, where she logged in before");
}
