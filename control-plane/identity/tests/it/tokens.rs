//! Tokens, keys and revocation, with two services over one database.

use std::time::{Duration, Instant};

use dropmate_identity::{ACCESS_LIFE, Error, Identity, LIFE_MAX, OpenError, Principal, SealError, Subject, TokenError};
use jiff::SignedDuration;
use tokio_util::sync::CancellationToken;

use crate::fixture::{Hand, Place, ada};

/// Within which another replica hears of a change.
const HEARD: Duration = Duration::from_secs(2);
/// What a busy machine may add.
const BUSY: Duration = Duration::from_secs(3);

async fn until(what: &str, so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !so() {
        assert!(begun.elapsed() < HEARD + BUSY, "{what}: not within {HEARD:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn kids(identity: &Identity) -> Vec<String> {
    let set = identity.public_keys();
    set["keys"].as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_token_says_whose_it_is_until_it_expires() {
    for place in Place::both().await {
        let clock = Hand::new();
        let identity = place.open(&clock).await;
        let token = identity.issue_access(&ada("s1")).unwrap();
        let verified = identity.verify(&token).unwrap();
        let person = Principal::Person {
            uid: "6f1c".to_owned(),
            email: "ada@example.com".to_owned(),
            name: "Ada".to_owned(),
            verified: true,
        };
        assert_eq!((&verified.subject, verified.session.as_str()), (&person, "s1"));
        clock.pass(ACCESS_LIFE - SignedDuration::from_secs(1));
        assert!(identity.verify(&token).is_ok());
        clock.pass(SignedDuration::from_secs(1));
        assert_eq!(identity.verify(&token), Err(TokenError::Time));

        let (token, expires_at) =
            identity.issue_service_account("acme", "gitops", "u1", SignedDuration::from_hours(24 * 365)).unwrap();
        let verified = identity.verify(&token).unwrap();
        assert_eq!(verified.expires_at, expires_at);
        assert_eq!(expires_at.duration_since(verified.issued_at), LIFE_MAX, "longer than that none lasts");
        assert_eq!(verified.session, verified.jti);
        identity.close().await;
    }
}

#[tokio::test]
async fn services_that_start_at_once_agree_on_one_key() {
    // A SQLite file has one process, which opens it once.
    let [_, place] = Place::both().await;
    let clock = Hand::new();
    let (a, b, c) = tokio::join!(place.open(&clock), place.open(&clock), place.open(&clock));
    assert_eq!(kids(&a).len(), 1);
    assert_eq!((kids(&a), kids(&a)), (kids(&b), kids(&c)));
    assert!(b.verify(&a.issue_access(&ada("s1")).unwrap()).is_ok());
}

#[tokio::test]
async fn what_one_revokes_the_other_refuses_within_two_seconds_and_nothing_else() {
    for place in Place::both().await {
        let clock = Hand::new();
        let (a, b) = (place.open(&clock).await, place.open(&clock).await);
        let stop = CancellationToken::new();
        let following = tokio::spawn(b.clone().follow(stop.clone()));
        let one = a.issue_access(&ada("s1")).unwrap();
        let other = a.issue_access(&ada("s2")).unwrap();
        let account = |uid| a.issue_service_account("acme", "gitops", uid, SignedDuration::from_hours(1)).unwrap().0;
        let (old, anew) = (account("u1"), account("u2"));
        let refused = |token: &str| b.verify(token) == Err(TokenError::Revoked);
        let verified = b.verify(&one).unwrap();
        let mut changes = b.changes();

        a.revoke(Subject::Session("s1".to_owned())).await.unwrap();
        assert_eq!(a.verify(&one), Err(TokenError::Revoked), "at once where it was asked for");
        until("the session ends", || refused(&one)).await;
        assert!(b.is_revoked(&verified) && changes.has_changed().unwrap());
        changes.mark_unchanged();
        assert!(b.verify(&other).is_ok() && b.verify(&old).is_ok());

        let (namespace, name, uid) = ("acme".to_owned(), "gitops".to_owned(), "u1".to_owned());
        a.revoke(Subject::ServiceAccount { namespace, name, uid }).await.unwrap();
        until("the account's tokens end", || refused(&old)).await;
        assert!(b.verify(&anew).is_ok(), "the account that was made anew is another");

        let jti = b.verify(&anew).unwrap().jti;
        a.revoke(Subject::Token(jti)).await.unwrap();
        until("the one token ends", || refused(&anew)).await;
        a.revoke(Subject::User("6f1c".to_owned())).await.unwrap();
        until("all of the user's end", || refused(&other)).await;

        // In the same second, but after it.
        let after = a.issue_access(&ada("s3")).unwrap();
        assert!(a.verify(&after).is_ok() && b.verify(&after).is_ok(), "what is issued after it is good");
        stop.cancel();
        following.await.unwrap();
    }
}

#[tokio::test]
async fn a_new_key_is_published_for_a_minute_before_it_signs_and_the_old_one_goes_when_its_tokens_have() {
    for place in Place::both().await {
        let clock = Hand::new();
        let (a, b) = (place.open(&clock).await, place.open(&clock).await);
        let stop = CancellationToken::new();
        let following = tokio::spawn(b.clone().follow(stop.clone()));
        let first = kids(&a);
        let old = a.issue_service_account("acme", "gitops", "u1", LIFE_MAX).unwrap().0;
        let rotation = a.rotate_keys().await.unwrap();
        assert_eq!(rotation.signs_from.duration_since(clock.now()), SignedDuration::from_mins(1));
        assert_eq!(a.rotate_keys().await.unwrap(), rotation, "one waits at a time");
        until("the other publishes it", || kids(&b).len() == 2).await;
        let kid = |token: &str| {
            let header = token.split('.').next().unwrap();
            let header = base64::Engine::decode(&base64::prelude::BASE64_URL_SAFE_NO_PAD, header).unwrap();
            serde_json::from_slice::<serde_json::Value>(&header).unwrap()["kid"].as_str().unwrap().to_owned()
        };
        clock.pass(SignedDuration::from_secs(59));
        let before = b.issue_service_account("acme", "gitops", "u1", LIFE_MAX).unwrap().0;
        assert_eq!(kid(&before), first[0]);
        clock.pass(SignedDuration::from_secs(1));
        assert_eq!(kid(&b.issue_access(&ada("s1")).unwrap()), rotation.kid);

        clock.pass(LIFE_MAX - SignedDuration::from_secs(2));
        assert!(b.verify(&before).is_ok(), "the last token it signed is good to its end");
        clock.pass(SignedDuration::from_hours(2));
        assert_eq!(kids(&b), std::slice::from_ref(&rotation.kid));
        assert_eq!((b.verify(&before), b.verify(&old)), (Err(TokenError::Key), Err(TokenError::Key)));
        a.rotate_keys().await.unwrap();
        until("it is gone from the database too", || !kids(&b).contains(&first[0])).await;
        stop.cancel();
        following.await.unwrap();
        assert!(place.open(&clock).await.verify(&old).is_err());
    }
}

#[tokio::test]
async fn a_database_that_was_sealed_with_another_key_is_refused_with_the_flag_to_set() {
    for place in Place::both().await {
        let clock = Hand::new();
        place.open(&clock).await.close().await;
        let refused = place.open_with(&clock, "b").await.unwrap_err();
        assert!(matches!(&refused, OpenError::Keys(Error::Seal(SealError::OtherKey { .. }))), "{refused:?}");
        let told = std::error::Error::source(&refused).unwrap().to_string();
        assert!(told.contains("--secrets-key-file"), "{told}");
    }
}
