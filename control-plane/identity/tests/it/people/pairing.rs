//! Phones of drivers: a code is good once, what it gives ends with the pairing, everywhere.

use std::time::Duration;

use dropmate_identity::{Error, Identity, PairedDriver, Principal};

use super::on_both;
use crate::people::fixture::Fixture;

on_both!(
    a_code_makes_a_phone_the_drivers_once,
    a_code_is_good_for_a_day,
    of_many_who_use_a_code_at_once_one_is_paired,
    unpairing_ends_all_that_a_phone_has_on_every_replica,
    of_more_phones_than_anybody_has_the_oldest_ends_and_so_do_those_of_another_driver_of_the_name,
);

fn sam() -> PairedDriver {
    PairedDriver { namespace: "acme".to_owned(), name: "sam".to_owned(), uid: "uid-of-sam".to_owned() }
}

async fn refused(identity: &Identity, code: &str) -> bool {
    matches!(identity.pairing(code).await, Err(Error::BadLink))
        && matches!(identity.pair(code, "test").await, Err(Error::BadLink))
}

async fn a_code_makes_a_phone_the_drivers_once(fixture: Fixture) {
    let identity = &fixture.identity;
    let first = identity.pairing_code(&sam()).await.unwrap().token;
    let code = identity.pairing_code(&sam()).await.unwrap().token;
    assert!(refused(identity, &first).await, "the next takes its place");
    assert_eq!(identity.pairing(&code).await.unwrap(), sam());
    let paired = identity.pair(&code, "phone").await.unwrap();
    assert_eq!(paired.driver, sam());
    assert!(refused(identity, &code).await && refused(identity, "").await);
    assert!(refused(identity, &paired.ingest_token).await, "a token is no code");
    let verified = identity.verify(&paired.grant.access_token).unwrap();
    let PairedDriver { namespace, name, uid } = sam();
    assert_eq!(verified.subject, Principal::Driver { namespace, name, uid });
    // It is nobody who could log in, or be found among people.
    assert!(identity.users("", 100).await.unwrap().items.is_empty());
    assert!(matches!(fixture.login("system:driver:acme:sam", "").await, Err(Error::Credentials)));
    let next = identity.refresh(&paired.grant.refresh_token).await.unwrap();
    assert_eq!(identity.verify(&next.access_token).unwrap().subject, verified.subject);
    assert_eq!(identity.paired(&paired.ingest_token).await, Some(sam()));
    assert_eq!(identity.paired(&next.access_token).await, None);
}

async fn a_code_is_good_for_a_day(fixture: Fixture) {
    let code = fixture.identity.pairing_code(&sam()).await.unwrap();
    fixture.pass(Duration::from_secs(24 * 3_600 - 1));
    assert!(fixture.identity.pairing(&code.token).await.is_ok());
    fixture.pass(Duration::from_secs(1));
    assert!(refused(&fixture.identity, &code.token).await);
}

async fn of_many_who_use_a_code_at_once_one_is_paired(fixture: Fixture) {
    let (code, replica) = (fixture.identity.pairing_code(&sam()).await.unwrap().token, fixture.replica().await);
    let tries = (0..8).map(|number| {
        let (identity, code) = (if number % 2 == 0 { fixture.identity.clone() } else { replica.clone() }, code.clone());
        tokio::spawn(async move { identity.pair(&code, "phone").await.is_ok() })
    });
    let outcomes = futures::future::join_all(tries).await;
    assert_eq!(outcomes.into_iter().filter(|outcome| *outcome.as_ref().unwrap()).count(), 1);
}

async fn unpairing_ends_all_that_a_phone_has_on_every_replica(fixture: Fixture) {
    let (identity, replica) = (&fixture.identity, fixture.replica().await);
    let kim = PairedDriver { name: "kim".to_owned(), uid: "uid-of-kim".to_owned(), ..sam() };
    let mut phones = Vec::new();
    for driver in [sam(), sam(), kim.clone()] {
        let code = identity.pairing_code(&driver).await.unwrap().token;
        phones.push(identity.pair(&code, "phone").await.unwrap());
    }
    let unused = identity.pairing_code(&sam()).await.unwrap().token;
    // Made a moment ago on another replica, and known here with the first look.
    assert_eq!(replica.paired(&phones[0].ingest_token).await, Some(sam()));
    assert!(identity.unpair("acme", "sam").await.unwrap());
    assert!(!identity.unpair("acme", "sam").await.unwrap());
    fixture.pass(Duration::from_secs(1));
    for phone in &phones[..2] {
        for identity in [identity, &replica] {
            // The other replica looks every second; this is its look.
            let _ = identity.paired("unknown").await;
            assert_eq!(identity.paired(&phone.ingest_token).await, None);
            assert!(identity.verify(&phone.grant.access_token).is_err());
        }
        assert!(matches!(identity.refresh(&phone.grant.refresh_token).await, Err(Error::BadToken)));
    }
    assert!(refused(identity, &unused).await);
    assert_eq!(identity.paired(&phones[2].ingest_token).await, Some(kim));
    identity.unpair_all_of("acme").await.unwrap();
    assert_eq!(identity.paired(&phones[2].ingest_token).await, None);
    assert!(identity.verify(&phones[2].grant.access_token).is_err());
    // Whoever is paired anew has nothing to do with what has ended.
    let code = identity.pairing_code(&sam()).await.unwrap().token;
    let again = identity.pair(&code, "phone").await.unwrap();
    assert!(identity.verify(&again.grant.access_token).is_ok());
}

async fn of_more_phones_than_anybody_has_the_oldest_ends_and_so_do_those_of_another_driver_of_the_name(
    fixture: Fixture,
) {
    let identity = &fixture.identity;
    let mut phones = Vec::new();
    for _ in 0..9 {
        let code = identity.pairing_code(&sam()).await.unwrap().token;
        phones.push(identity.pair(&code, "phone").await.unwrap());
        fixture.pass(Duration::from_secs(1));
    }
    assert_eq!(identity.paired(&phones[0].ingest_token).await, None);
    assert!(identity.verify(&phones[0].grant.access_token).is_err());
    for phone in &phones[1..] {
        assert_eq!(identity.paired(&phone.ingest_token).await, Some(sam()));
    }
    let anew = PairedDriver { uid: "uid-of-the-next-sam".to_owned(), ..sam() };
    let code = identity.pairing_code(&anew).await.unwrap().token;
    let next = identity.pair(&code, "phone").await.unwrap();
    assert_eq!(identity.paired(&next.ingest_token).await, Some(anew));
    assert_eq!(identity.paired(&phones[8].ingest_token).await, None);
    assert!(identity.refresh(&phones[8].grant.refresh_token).await.is_err());
}
