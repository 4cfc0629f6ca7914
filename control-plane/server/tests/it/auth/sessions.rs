use std::time::Duration;

use serde_json::json;

use super::{ADA, GOOD, Place, login, on_both, post, refresh, register};

on_both!(
    a_login_gives_what_the_next_is_refreshed_with,
    a_lost_answer_is_given_again_on_the_other_replica,
    a_token_used_twice_on_one_replica_ends_the_family_on_the_other,
    a_logout_on_one_replica_ends_the_session_on_the_other,
);

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
}
