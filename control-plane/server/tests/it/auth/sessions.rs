use std::time::Duration;

use hmac::{Hmac, Mac};
use reqwest::Method;
use serde_json::{Value, json};
use sha1::Sha1;
use tokio::time::Instant;

use super::{ADA, GOOD, OTHER, Place, login, on_both, operate, post, read, refresh, register};
use crate::server::Server;

on_both!(
    a_login_gives_what_the_next_is_refreshed_with,
    a_lost_answer_is_given_again_on_the_other_replica,
    a_token_used_twice_on_one_replica_ends_the_family_on_the_other,
    a_logout_on_one_replica_ends_the_session_on_the_other,
    a_changed_password_ends_the_other_sessions_and_not_this_one,
    a_second_factor_is_asked_for_by_its_code,
);

/// Whether an access token is good there.
async fn good(at: &Server, grant: &Value) -> bool {
    let token = grant["accessToken"].as_str().unwrap();
    at.http.get(at.url("/v1/clock")).bearer_auth(token).send().await.unwrap().status() == 200
}

/// Waits for an access token to end there: five seconds after its revocation at the latest.
async fn ends(at: &Server, grant: &Value) {
    let deadline = Instant::now() + Duration::from_secs(5);
    while good(at, grant).await {
        assert!(Instant::now() < deadline, "the access token does not end");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// A request with an access token.
async fn with(at: &Server, grant: &Value, path: &str, body: &Value) -> (u16, Value) {
    let token = grant["accessToken"].as_str().unwrap();
    read(at.http.post(at.url(path)).bearer_auth(token).json(body).send().await.unwrap()).await
}

async fn a_login_gives_what_the_next_is_refreshed_with(at: Place) {
    register(&at.a, ADA).await;
    let (code, grant) = login(at.b(), "ADA@Example.com", GOOD).await;
    assert_eq!(code, 200, "{grant}");
    assert_eq!((&grant["tokenType"], &grant["expiresIn"]), (&json!("Bearer"), &json!(900)));
    let fields: Vec<_> = grant.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(fields, ["accessToken", "expiresIn", "refreshToken", "tokenType"]);
    let (code, next) = refresh(&at.a, &grant).await;
    assert_eq!(code, 200, "{next}");
    assert_ne!(next["refreshToken"], grant["refreshToken"]);
    assert_eq!(next.as_object().unwrap().len(), 4);
}

async fn a_lost_answer_is_given_again_on_the_other_replica(at: Place) {
    register(&at.a, ADA).await;
    let grant = login(&at.a, ADA, GOOD).await.1;
    assert_eq!(refresh(&at.a, &grant).await.0, 200);
    at.pass(Duration::from_secs(5));
    let (code, again) = refresh(at.b(), &grant).await;
    assert_eq!(code, 200, "{again}");
    assert_eq!(refresh(&at.a, &again).await.0, 200);
}

async fn a_token_used_twice_on_one_replica_ends_the_family_on_the_other(at: Place) {
    register(&at.a, ADA).await;
    let grant = login(&at.a, ADA, GOOD).await.1;
    let other = login(&at.a, ADA, GOOD).await.1;
    let (_, next) = refresh(&at.a, &grant).await;
    at.pass(Duration::from_secs(11));
    let (code, problem) = refresh(&at.a, &grant).await;
    assert_eq!((code, &problem["status"]), (401, &json!(401)));
    assert_eq!(refresh(at.b(), &next).await.0, 401);
    ends(at.b(), &next).await;
    assert_eq!(refresh(at.b(), &other).await.0, 200, "another session goes on");
}

async fn a_logout_on_one_replica_ends_the_session_on_the_other(at: Place) {
    register(&at.a, ADA).await;
    let grant = login(&at.a, ADA, GOOD).await.1;
    let body = json!({"refreshToken": grant["refreshToken"]});
    for _ in 0..2 {
        assert_eq!(post(&at.a, "/v1/auth/logout", &body).await.0, 204);
    }
    assert_eq!(refresh(at.b(), &grant).await.0, 401);
    assert!(!good(&at.a, &grant).await, "here the access token ends at once");
    ends(at.b(), &grant).await;
}

async fn a_changed_password_ends_the_other_sessions_and_not_this_one(at: Place) {
    register(&at.a, ADA).await;
    let here = login(&at.a, ADA, GOOD).await.1;
    let there = login(at.b(), ADA, GOOD).await.1;
    let change = |current, new| json!({"currentPassword": current, "newPassword": new});
    assert_eq!(with(&at.a, &here, "/v1/auth/password", &change(OTHER, OTHER)).await.0, 401);
    let (code, problem) = with(&at.a, &here, "/v1/auth/password", &change(GOOD, "ada@example.com")).await;
    assert_eq!(code, 422);
    assert!(problem["detail"].as_str().unwrap().starts_with("newPassword: "), "{problem}");
    assert_eq!(with(&at.a, &here, "/v1/auth/password", &change(GOOD, OTHER)).await.0, 204);
    ends(at.b(), &there).await;
    assert_eq!(refresh(at.b(), &there).await.0, 401);
    assert!(good(&at.a, &here).await);
    assert_eq!(refresh(at.b(), &here).await.0, 200);
    assert_eq!((login(&at.a, ADA, GOOD).await.0, login(&at.a, ADA, OTHER).await.0), (401, 200));
}

async fn a_second_factor_is_asked_for_by_its_code(at: Place) {
    register(&at.a, ADA).await;
    let grant = login(&at.a, ADA, GOOD).await.1;
    assert_eq!(with(&at.a, &grant, "/v1/auth/totp", &json!({"password": OTHER})).await.0, 401);
    let (code, enrolment) = with(&at.a, &grant, "/v1/auth/totp", &json!({"password": GOOD})).await;
    assert_eq!(code, 200, "{enrolment}");
    let wrong = json!({"enrolment": enrolment["enrolment"], "code": "12345"});
    assert_eq!(with(&at.a, &grant, "/v1/auth/totp/confirm", &wrong).await.0, 422);
    let now = totp(enrolment["secret"].as_str().unwrap(), at.a.plane.clock().system_now().as_second());
    let right = json!({"enrolment": enrolment["enrolment"], "code": now});
    assert_eq!(with(at.b(), &grant, "/v1/auth/totp/confirm", &right).await.0, 204);
    let (code, problem) = login(&at.a, ADA, GOOD).await;
    assert_eq!((code, &problem["code"]), (401, &json!("totp_required")));
    let (code, problem) = login(&at.a, ADA, OTHER).await;
    assert_eq!((code, problem.get("code")), (401, None), "only whoever knows the password is told");
    at.pass(Duration::from_secs(30));
    let next = totp(enrolment["secret"].as_str().unwrap(), at.a.plane.clock().system_now().as_second());
    let body = json!({"email": ADA, "password": GOOD, "totp": next});
    assert_eq!(post(&at.a, "/v1/auth/login", &body).await.0, 200);
    assert_eq!(post(at.b(), "/v1/auth/login", &body).await.0, 401, "a code is good once");
    assert_eq!(operate(at.b(), Method::DELETE, "/v1/users/ada@example.com/totp").await.0, 200);
    assert_eq!(login(&at.a, ADA, GOOD).await.0, 200);
}

/// What an authenticator app shows for the letters it was given.
fn totp(letters: &str, seconds: i64) -> String {
    let digit = |letter: u8| if letter >= b'A' { letter - b'A' } else { letter - b'2' + 26 };
    let bits: Vec<u8> =
        letters.bytes().map(digit).flat_map(|digit| (0..5).rev().map(move |bit| digit >> bit & 1)).collect();
    let secret: Vec<u8> = bits.chunks_exact(8).map(|byte| byte.iter().fold(0, |sum, bit| sum << 1 | bit)).collect();
    let mac = Hmac::<Sha1>::new_from_slice(&secret).unwrap().chain_update((seconds / 30).to_be_bytes());
    let hash = mac.finalize().into_bytes();
    let at = usize::from(hash[19] & 15);
    let number = u32::from_be_bytes(hash[at..at + 4].try_into().unwrap()) & 0x7fff_ffff;
    format!("{:06}", number % 1_000_000)
}
