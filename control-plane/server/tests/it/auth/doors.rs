use std::{collections::BTreeMap, process::Command, process::Stdio};

use reqwest::{Method, Response};
use serde_json::{Value, json};

use super::{ADA, GOOD, OTHER, Place, login, on_both, operate, post, register};
use crate::server::Server;

on_both!(
    known_and_unknown_users_get_byte_for_byte_the_same_answer,
    who_registers_is_told_the_same_whoever_there_is,
    wrong_bodies_are_told_by_field_and_not_repeated,
    the_sixth_wrong_try_is_told_when_to_come_back,
    a_caller_without_an_account_has_no_password_to_change,
);

/// All that a client sees of an answer but what is new in each.
async fn seen(answer: Response) -> (u16, BTreeMap<String, String>, String) {
    let new = ["date", "x-request-id", "ratelimit"];
    let headers = answer.headers().iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()));
    let headers = headers.filter(|(name, _)| !new.contains(&name.as_str())).collect();
    (answer.status().as_u16(), headers, answer.text().await.unwrap())
}

async fn known_and_unknown_users_get_byte_for_byte_the_same_answer(at: Place) {
    register(&at.a, ADA).await;
    register(&at.a, "off@example.com").await;
    operate(&at.a, Method::POST, "/v1/users/off@example.com/disable").await;
    let mut answers = Vec::new();
    for (email, password) in [(ADA, OTHER), ("eve@example.com", GOOD), ("off@example.com", GOOD), ("no address", GOOD)]
    {
        let body = json!({"email": email, "password": password});
        answers.push(seen(at.a.http.post(at.a.url("/v1/auth/login")).json(&body).send().await.unwrap()).await);
    }
    let (code, headers, body) = &answers[0];
    assert_eq!((*code, headers["content-type"].as_str()), (401, "application/problem+json"));
    assert!(body.contains("the e-mail address or the password is wrong"), "{body}");
    assert!(answers.iter().all(|answer| answer == &answers[0]), "{answers:#?}");
}

async fn who_registers_is_told_the_same_whoever_there_is(at: Place) {
    register(&at.a, ADA).await;
    let body = json!({"email": ADA, "password": OTHER, "name": "Eve"});
    let again = seen(at.a.http.post(at.a.url("/v1/auth/register")).json(&body).send().await.unwrap()).await;
    let body = json!({"email": "eve@example.com", "password": OTHER, "name": "Eve"});
    let first = seen(at.a.http.post(at.a.url("/v1/auth/register")).json(&body).send().await.unwrap()).await;
    assert_eq!(again, first);
    assert_eq!((login(at.b(), ADA, GOOD).await.0, login(at.b(), ADA, OTHER).await.0), (200, 401));
}

async fn wrong_bodies_are_told_by_field_and_not_repeated(at: Place) {
    for (body, code, detail) in [
        (json!({"email": ADA}), 422, "password: is missing"),
        (json!({"email": ADA, "password": 4711}), 422, "password: must be a text"),
        (
            json!({"email": ADA, "password": GOOD, "pin": "4711"}),
            422,
            "pin: is not a field of this request, which has email, password, totp",
        ),
        (json!([4711]), 400, "the body must be a JSON object"),
    ] {
        let (told, problem) = post(&at.a, "/v1/auth/login", &body).await;
        assert_eq!((told, &problem["detail"]), (code, &json!(detail)));
    }
    let large = json!({"email": ADA, "password": "x".repeat(64 * 1024)});
    assert_eq!(post(&at.a, "/v1/auth/login", &large).await.0, 413);
    let form = at.a.http.post(at.a.url("/v1/auth/login")).body("email=a&password=b").send().await.unwrap();
    assert_eq!(form.status(), 415);
    assert_eq!(at.a.http.get(at.a.url("/v1/auth/login")).send().await.unwrap().status(), 401, "only POST is public");
}

async fn the_sixth_wrong_try_is_told_when_to_come_back(at: Place) {
    for email in [ADA, "eve@example.com"] {
        for _ in 0..5 {
            assert_eq!(login(&at.a, email, OTHER).await.0, 401);
        }
        let body = json!({"email": email, "password": OTHER});
        let throttled = at.a.http.post(at.a.url("/v1/auth/login")).json(&body).send().await.unwrap();
        assert_eq!(throttled.status(), 429);
        let seconds: u32 = throttled.headers()["retry-after"].to_str().unwrap().parse().unwrap();
        assert!((1..=30).contains(&seconds), "{seconds}");
    }
    at.pass(std::time::Duration::from_secs(30));
    assert_eq!(login(&at.a, ADA, OTHER).await.0, 401);
}

async fn a_caller_without_an_account_has_no_password_to_change(at: Place) {
    let body = json!({"currentPassword": GOOD, "newPassword": OTHER});
    let refused = at.a.call("operator", Method::POST, "/v1/auth/password").json(&body).send().await.unwrap();
    assert_eq!(refused.status(), 403);
    let refused = at.a.http.post(at.a.url("/v1/auth/password")).json(&body).send().await.unwrap();
    assert_eq!(refused.status(), 401);
}

#[tokio::test]
async fn without_open_registration_nobody_becomes_a_user() {
    let server = Server::start().await;
    let body = json!({"email": ADA, "password": GOOD, "name": "Ada"});
    assert_eq!(post(&server, "/v1/auth/register", &body).await, (202, json!({})));
    assert_eq!(operate(&server, Method::GET, "/v1/users").await.1["items"], json!([]));
}

/// What a program with the most talkative log writes while secrets pass through it.
#[tokio::test]
async fn no_password_and_no_token_reaches_the_log() {
    dropmate_control_plane::install_crypto_provider();
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    let mut child = Command::new(env!("CARGO_BIN_EXE_dropmate-control-plane"))
        .args(["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--log", "trace", "--open-registration"])
        .arg("--data-dir")
        .arg(dir.path().join("data"))
        .stdout(Stdio::piped())
        .stderr(std::fs::File::create(&log).unwrap())
        .spawn()
        .unwrap();
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(child.stdout.as_mut().unwrap()), &mut line).unwrap();
    let http = crate::server::trusting(&dir.path().join("data")).build().unwrap();
    let post = async |path: &str, body: Value| -> Value {
        let sent = http.post(format!("{}{path}", line.trim())).json(&body).send().await.unwrap();
        sent.json().await.unwrap_or_default()
    };
    post("/v1/auth/register", json!({"email": ADA, "password": GOOD, "name": "Ada"})).await;
    post("/v1/auth/login", json!({"email": ADA, "password": OTHER})).await;
    post("/v1/auth/login", json!({"email": ADA, "password": GOOD, "pin": OTHER})).await;
    let grant = post("/v1/auth/login", json!({"email": ADA, "password": GOOD})).await;
    let refresh = grant["refreshToken"].as_str().expect("a login").to_owned();
    let next = post("/v1/auth/refresh", json!({"refreshToken": refresh})).await;
    post("/v1/auth/logout", json!({"refreshToken": next["refreshToken"]})).await;
    child.kill().unwrap();
    child.wait().unwrap();
    let log = std::fs::read_to_string(log).unwrap();
    assert!(log.matches("/v1/auth/login").count() >= 3, "the log tells of the requests: {log}");
    let access = grant["accessToken"].as_str().unwrap();
    for secret in [GOOD, OTHER, ADA, &refresh, access, next["refreshToken"].as_str().unwrap(), "argon2"] {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
}
