use std::time::Duration;

use dropmate_identity::{Error, Proof};
use hmac::{Hmac, Mac};
use sha1::Sha1;

use super::on_both;
use crate::people::fixture::{ADA, Fixture, GOOD, OTHER, proof};

on_both!(a_second_factor_is_asked_for_after_the_password_and_each_code_is_good_once);

/// What the user's app shows: written here once more, from the letters that the user sees.
fn code(letters: &str, seconds: i64) -> String {
    let bits: Vec<u8> = letters
        .bytes()
        .map(|letter| if letter >= b'A' { letter - b'A' } else { letter - b'2' + 26 })
        .flat_map(|digit| (0..5).rev().map(move |bit| digit >> bit & 1))
        .collect();
    let secret: Vec<u8> = bits.chunks_exact(8).map(|byte| byte.iter().fold(0, |sum, bit| sum << 1 | bit)).collect();
    let mac = Hmac::<Sha1>::new_from_slice(&secret).unwrap().chain_update((seconds / 30).to_be_bytes());
    let hash = mac.finalize().into_bytes();
    let at = usize::from(hash[19] & 15);
    let number = u32::from_be_bytes(hash[at..at + 4].try_into().unwrap()) & 0x7fff_ffff;
    format!("{:06}", number % 1_000_000)
}

async fn a_second_factor_is_asked_for_after_the_password_and_each_code_is_good_once(at: Fixture) {
    let mut seconds = 1_800_000_000;
    at.register(ADA).await;
    at.register("eve@example.com").await;
    let user = at.identity.user(ADA).await.unwrap().unwrap();
    let enrolment = at.identity.enrol_second_factor(&user).unwrap();
    assert!(enrolment.url.contains(&enrolment.secret) && enrolment.url.starts_with("otpauth://totp/DropMate:ada@"));
    assert!(at.login(ADA, GOOD).await.is_ok(), "nothing has changed yet");
    let now = code(&enrolment.secret, seconds);
    let eve = at.identity.user("eve@example.com").await.unwrap().unwrap();
    assert!(at.identity.confirm_second_factor(&eve, &enrolment.enrolment, &now).await.is_err(), "it is not hers");
    assert!(at.identity.confirm_second_factor(&user, &enrolment.enrolment, "000000x").await.is_err());
    at.identity.confirm_second_factor(&user, &enrolment.enrolment, &now).await.unwrap();
    let user = at.identity.user(ADA).await.unwrap().unwrap();
    assert!(user.second_factor);
    assert!(matches!(at.identity.enrol_second_factor(&user), Err(Error::Conflict(_))));

    let with = |password, totp| Proof { totp: Some(totp), ..proof(ADA, password) };
    assert!(matches!(at.login(ADA, OTHER).await, Err(Error::Credentials)), "it does not tell that there is one");
    assert!(matches!(at.login(ADA, GOOD).await, Err(Error::SecondFactor)));
    assert!(matches!(at.identity.login(with(GOOD, &now), "test").await, Err(Error::Credentials)), "used to confirm");
    at.pass(Duration::from_secs(30));
    seconds += 30;
    let next = code(&enrolment.secret, seconds);
    assert!(at.identity.login(with(GOOD, &next), "test").await.is_ok());
    let replica = at.replica().await;
    assert!(matches!(replica.login(with(GOOD, &next), "test").await, Err(Error::Credentials)), "used");
    at.identity.remove_second_factor(&user).await.unwrap();
    assert!(at.login(ADA, GOOD).await.is_ok());
}
