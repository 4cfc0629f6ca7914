use reqwest::Method;
use serde_json::{Value, json};

use super::{ADA, GOOD, OTHER, Place, login, on_both, operate, post, refresh, register};

on_both!(
    the_operator_sees_users_page_by_page,
    a_disabled_user_is_out_on_every_replica_until_enabled,
    a_reset_link_sets_the_password_once_and_ends_the_sessions,
    the_operator_verifies_an_address_and_ends_sessions,
    nobody_else_administers_users,
);

async fn the_operator_sees_users_page_by_page(at: Place) {
    for email in ["c@example.com", "a@example.com", "b@example.com"] {
        register(&at.a, email).await;
    }
    login(&at.a, "a@example.com", GOOD).await;
    let (code, page) = operate(at.b(), Method::GET, "/v1/users?limit=2").await;
    assert_eq!(code, 200, "{page}");
    let seen: Vec<_> =
        page["items"].as_array().unwrap().iter().map(|user| (&user["email"], &user["sessions"])).collect();
    assert_eq!(seen, [(&json!("a@example.com"), &json!(1)), (&json!("b@example.com"), &json!(0))]);
    let item = &page["items"][0];
    assert_eq!(
        (&item["verified"], &item["disabled"], &item["name"]),
        (&json!(false), &json!(false), &json!("Somebody"))
    );
    assert!(item["uid"].is_string() && item["createdAt"].is_string());
    assert!(!page.to_string().contains("argon2"));
    let path = format!("/v1/users?limit=2&after={}", page["next"].as_str().unwrap());
    let (_, last) = operate(&at.a, Method::GET, &path).await;
    assert_eq!((last["items"].as_array().unwrap().len(), &last["next"]), (1, &Value::Null));
    for wrong in ["limit=0", "limit=501", "limit=x", "page=2"] {
        assert_eq!(operate(&at.a, Method::GET, &format!("/v1/users?{wrong}")).await.0, 400, "{wrong}");
    }
}

async fn a_disabled_user_is_out_on_every_replica_until_enabled(at: Place) {
    register(&at.a, ADA).await;
    let grant = login(&at.a, ADA, GOOD).await.1;
    let (code, user) = operate(&at.a, Method::POST, "/v1/users/Ada@example.com/disable").await;
    assert_eq!((code, &user["disabled"]), (200, &json!(true)));
    assert_eq!(refresh(at.b(), &grant).await.0, 401);
    assert_eq!(login(at.b(), ADA, GOOD).await, login(at.b(), "eve@example.com", GOOD).await);
    assert_eq!(operate(&at.a, Method::POST, "/v1/users/ada@example.com/reset").await.0, 409);
    assert_eq!(operate(&at.a, Method::POST, "/v1/users/ada@example.com/enable").await.0, 200);
    assert_eq!(login(at.b(), ADA, GOOD).await.0, 200);
    let (code, problem) = operate(&at.a, Method::POST, "/v1/users/eve@example.com/disable").await;
    assert_eq!((code, &problem["detail"]), (404, &json!("there is no user eve@example.com")));
}

async fn a_reset_link_sets_the_password_once_and_ends_the_sessions(at: Place) {
    register(&at.a, ADA).await;
    let grant = login(&at.a, ADA, GOOD).await.1;
    let (code, link) = operate(&at.a, Method::POST, "/v1/users/ada@example.com/reset").await;
    assert_eq!(code, 201, "{link}");
    let token = link["token"].as_str().unwrap();
    assert!(link["url"].as_str().unwrap().ends_with(&format!("/resets/{token}")) && link["expiresAt"].is_string());
    let set = |password| json!({"token": token, "password": password});
    let (code, weak) = post(at.b(), "/v1/auth/reset", &set("short")).await;
    assert_eq!(code, 422);
    assert!(weak["detail"].as_str().unwrap().starts_with("password: has 5 characters"), "{weak}");
    assert_eq!(post(at.b(), "/v1/auth/reset", &set(OTHER)).await, (200, json!({})));
    assert_eq!(post(&at.a, "/v1/auth/reset", &set(GOOD)).await.0, 410);
    assert_eq!(refresh(&at.a, &grant).await.0, 401);
    assert_eq!((login(&at.a, ADA, GOOD).await.0, login(&at.a, ADA, OTHER).await.0), (401, 200));
}

async fn the_operator_verifies_an_address_and_ends_sessions(at: Place) {
    register(&at.a, ADA).await;
    let grant = login(&at.a, ADA, GOOD).await.1;
    assert_eq!(operate(&at.a, Method::POST, "/v1/users/ada@example.com/verify").await.1["verified"], true);
    assert_eq!(operate(at.b(), Method::DELETE, "/v1/users/ada@example.com/sessions").await.0, 204);
    assert_eq!(refresh(&at.a, &grant).await.0, 401);
    assert_eq!(login(&at.a, ADA, GOOD).await.0, 200);
}

async fn nobody_else_administers_users(at: Place) {
    register(&at.a, ADA).await;
    let routes = [
        (Method::GET, "/v1/users"),
        (Method::POST, "/v1/users/ada@example.com/disable"),
        (Method::POST, "/v1/users/ada@example.com/enable"),
        (Method::POST, "/v1/users/ada@example.com/verify"),
        (Method::POST, "/v1/users/ada@example.com/reset"),
        (Method::DELETE, "/v1/users/ada@example.com/sessions"),
        (Method::DELETE, "/v1/users/ada@example.com/totp"),
    ];
    for (method, path) in routes {
        let refused = at.a.call("dispatch", method.clone(), path).send().await.unwrap();
        assert_eq!(refused.status(), 403, "{method} {path}");
        assert_eq!(at.a.http.request(method, at.a.url(path)).send().await.unwrap().status(), 401, "{path}");
    }
    assert_eq!(login(&at.a, ADA, GOOD).await.0, 200);
}
