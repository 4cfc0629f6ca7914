//! Who asks too often is told so, and others do not notice.

use futures::{StreamExt, stream};
use reqwest::{Method, Response};
use serde_json::Value;
use tempfile::tempdir;

use crate::server::Server;

const ORDERS: &str = "/apis/dropmate.dev/v1/namespaces/default/orders";

/// `count` requests, all at about the same time.
async fn ask(server: &Server, caller: &str, path: &str, count: usize) -> Vec<Response> {
    let asking = (0..count).map(|_| async { server.call(caller, Method::GET, path).send().await.unwrap() });
    stream::iter(asking).buffer_unordered(8).collect().await
}

fn header<'a>(answer: &'a Response, name: &str) -> &'a str {
    answer.headers().get(name).map_or("", |value| value.to_str().unwrap())
}

fn refused(answers: Vec<Response>) -> Vec<Response> {
    answers.into_iter().filter(|answer| answer.status() == 429).collect()
}

#[tokio::test]
async fn a_caller_who_asks_too_often_is_told_when_to_come_back_and_others_go_on() {
    let server = Server::start_with(tempdir().unwrap(), &["--rate-limit-caller", "1:20"]).await;
    let first = server.get(ORDERS).await;
    assert_eq!((first.status().as_u16(), header(&first, "ratelimit")), (200, ""));
    let mut refused = refused(ask(&server, "operator", ORDERS, 60).await);
    assert!((30..=41).contains(&refused.len()), "{} were refused", refused.len());
    let one = refused.pop().unwrap();
    assert_eq!(header(&one, "ratelimit-policy"), "\"caller\";q=20;w=20");
    assert!(header(&one, "ratelimit").starts_with("\"caller\";r=0;t="), "{}", header(&one, "ratelimit"));
    assert_eq!(header(&one, "retry-after"), "1");
    let status: Value = one.json().await.unwrap();
    assert_eq!((&status["reason"], &status["details"]["retryAfterSeconds"]), (&"TooManyRequests".into(), &1.into()));
    let other = server.call("tracking", Method::GET, ORDERS).send().await.unwrap();
    assert_eq!(other.status(), 200);
    let seen = server.metrics().await;
    assert!(seen.contains("dropmate_server_requests_limited_total{limit=\"caller\"}"), "{seen}");
}

#[tokio::test]
async fn an_address_is_limited_before_anybody_is_known() {
    let server = Server::start_with(tempdir().unwrap(), &["--rate-limit-address", "1:20"]).await;
    let asking = (0..60).map(|_| async { server.http.get(server.url(ORDERS)).send().await.unwrap().status().as_u16() });
    let codes: Vec<u16> = stream::iter(asking).buffer_unordered(8).collect().await;
    let count = |code| codes.iter().filter(|&&found| found == code).count();
    assert!((20..=30).contains(&count(401)), "{codes:?}");
    assert_eq!(count(401) + count(429), 60);
}

#[tokio::test]
async fn what_tries_passwords_has_a_limit_of_its_own_and_refuses_as_a_problem() {
    let server = Server::start_with(tempdir().unwrap(), &["--rate-limit-auth", "1:5"]).await;
    let mut answers = Vec::new();
    for _ in 0..10 {
        answers.push(server.http.post(server.url("/v1/auth/login")).json("").send().await.unwrap());
    }
    let last = answers.pop().unwrap();
    assert_eq!((last.status().as_u16(), header(&last, "content-type")), (429, "application/problem+json"));
    assert_eq!(header(&last, "ratelimit-policy"), "\"auth\";q=5;w=5");
    assert_ne!(header(&last, "retry-after"), "");
    assert_eq!(server.get(ORDERS).await.status(), 200);
}

#[tokio::test]
async fn only_a_trusted_proxy_is_believed_about_addresses() {
    for (proxies, all_pass) in [("127.0.0.1", true), ("192.0.2.1", false)] {
        let flags = ["--rate-limit-address", "1:5", "--trusted-proxies", proxies];
        let server = Server::start_with(tempdir().unwrap(), &flags).await;
        let mut codes = Vec::new();
        for client in 0..20 {
            let request = server.call("operator", Method::GET, ORDERS);
            let request = request.header("x-forwarded-for", format!("10.9.9.9, 198.51.100.{client}"));
            codes.push(request.send().await.unwrap().status().as_u16());
        }
        assert_eq!(codes.iter().all(|&code| code == 200), all_pass, "{codes:?}");
    }
}
