//! The page on a driver's phone: what is served, and that its script does what it promises.

use std::process::Command;

use axum::body::Body;
use http::Request;
use regex::Regex;
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    client::{Api, text},
    proofs::Shop,
    server::Server,
    tenants::at,
};

/// The tests of the page's own logic run where it runs: in a JavaScript engine.
#[test]
fn the_pages_queue_session_and_steps_do_what_their_tests_say() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/phone");
    let tests = Command::new("node").current_dir(folder).args(["--test", "queue.test.js", "page.test.js"]).output();
    let tests = tests.unwrap_or_else(|error| panic!("node: {error}; run .ci/prepare, which installs it"));
    let told = String::from_utf8_lossy(&tests.stdout);
    assert!(tests.status.success(), "{told}{}", String::from_utf8_lossy(&tests.stderr));
    let passed = Regex::new(r"(?m)^\S+ pass (\d+)$").unwrap();
    let passed: u32 = passed.captures(&told).expect("a summary")[1].parse().unwrap();
    assert!(passed >= 25, "{told}");
}

#[tokio::test]
async fn anybody_gets_the_page_and_its_files_and_they_name_nothing_from_elsewhere() {
    let server = Server::start().await;
    let get = |path: &str| server.http.get(server.url(path)).send();
    let page = get("/d").await.unwrap();
    assert_eq!(page.status(), 200);
    let policy = page.headers()["content-security-policy"].to_str().unwrap().to_owned();
    assert!(policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self';"), "{policy}");
    assert!(!policy.contains("unsafe"), "{policy}");
    assert_eq!(page.headers()["referrer-policy"], "no-referrer");
    let tag = page.headers()["etag"].clone();
    let page = page.text().await.unwrap();
    let links = Regex::new(r#"(?:src|href)="(/d/[^"]+)""#).unwrap();
    let links: Vec<&str> = links.captures_iter(&page).map(|found| found.get(1).unwrap().as_str()).collect();
    assert_eq!(links.len(), 2, "{page}");
    for link in links {
        let file = get(link).await.unwrap();
        assert_eq!(file.status(), 200, "{link}");
        assert!(file.headers()["cache-control"].to_str().unwrap().contains("immutable"), "{link}");
        assert_eq!(file.headers()["x-content-type-options"], "nosniff");
        let text = file.text().await.unwrap();
        for never in ["http://", "https://", "innerHTML", "outerHTML", "insertAdjacentHTML", "eval(", "document.write"]
        {
            assert!(!text.contains(never), "{link} holds {never}");
        }
    }
    let inline = Regex::new(r"<script>|<style|style=|\son[a-z]+=").unwrap();
    assert!(!inline.is_match(&page), "the policy forbids what stands in the page itself: {page}");
    let worker = get("/d/phone-worker.js").await.unwrap();
    assert_eq!(worker.headers()["service-worker-allowed"], "/d");
    assert_eq!(worker.headers()["cache-control"], "no-cache", "a new one is found at once");
    let again = server.http.get(server.url("/d")).header("if-none-match", tag).send().await.unwrap();
    assert_eq!(again.status(), 304);
    assert_eq!(get("/d/other").await.unwrap().status(), 401);
    assert_eq!(server.http.post(server.url("/d")).send().await.unwrap().status(), 401);
}

#[tokio::test]
async fn the_page_is_the_same_for_whoever_asks() {
    let operator = Api::start().await;
    let stranger = operator.as_user("eve@nowhere.test");
    let page = |api: Api| async move { api.request(Request::get("/d").body(Body::empty()).unwrap()).await };
    let (one, other) = (page(operator).await, page(stranger).await);
    assert_eq!((one.code.as_u16(), &one.body), (200, &other.body));
}

/// Runs the page's own script against that shop; what is left in its queue.
async fn drive(shop: &Shop, more: &[(&str, String)]) -> Vec<Value> {
    let mut node = Command::new("node");
    node.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/phone/real/drive.js"))
        .env("SERVER", shop.server.url(""))
        .env("NODE_EXTRA_CA_CERTS", shop.server.dir.path().join("tls/ca.crt"))
        .env("NOW", shop.now())
        .envs(more.iter().map(|(name, value)| (*name, value)));
    let told =
        tokio::task::spawn_blocking(move || node.output()).await.unwrap().expect("node; .ci/prepare installs it");
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    serde_json::from_slice(&told.stdout).unwrap()
}

/// The driver as a user of the server, by invitation: what a login gives.
async fn logged_in(shop: &Shop) -> Value {
    let invite = shop.server.call("operator", Method::POST, "/v1/namespaces/acme/members/sam/invitation");
    let invited: Value = invite.send().await.unwrap().json().await.unwrap();
    let accept = json!({"token": invited["token"], "password": "nine green vans in the rain", "name": "Sam"});
    let accepted = shop.server.http.post(shop.server.url("/v1/auth/invitations/accept")).json(&accept).send().await;
    let granted: Value = accepted.unwrap().json().await.unwrap();
    assert!(granted["accessToken"].is_string(), "{granted}");
    granted
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_pages_script_sends_a_photo_and_an_incident_to_a_real_server() {
    let shop = Shop::open().await;
    let granted = logged_in(&shop).await;
    let left = drive(&shop, &[("GRANTED", granted.to_string()), ("ORDER", "acme/sams".to_owned())]).await;
    assert_eq!(left.len(), 1, "the photo waits for a report that shows it: {left:?}");
    let id = text(&left[0]["serverId"]);
    assert_eq!(shop.of_acme("viewer").get(&format!("/v1/namespaces/acme/proofs/{id}")).await.code, 200);
    let incidents = shop.of_acme("viewer").get("/v1/namespaces/acme/incidents").await.ok();
    assert_eq!(incidents["items"][0]["category"], "Damaged");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_phone_that_is_paired_makes_a_whole_delivery_with_the_pages_script() {
    let shop = Shop::open().await;
    shop.bound("o1", "sam", &json!({"dropoff": ["photo", "pin"]})).await;
    let pairing = shop.operator.post("/v1/namespaces/acme/drivers/sam/pairing", &json!({})).await.ok();
    let pin = shop.of_acme("manager").get("/v1/namespaces/acme/orders/o1/pin").await.ok();
    let told = [
        ("CODE", text(&pairing["code"]).to_owned()),
        ("ORDER", "acme/o1".to_owned()),
        ("PIN", text(&pin["pin"]).to_owned()),
        ("STEPS", "depart,arrive,pickUp,arrive,deliver".to_owned()),
    ];
    assert_eq!(drive(&shop, &told).await, [Value::Null; 0], "all is sent");
    let order = shop.operator.get(&at("acme", "orders/o1")).await.ok();
    assert_eq!(order["status"]["phase"], "Delivered");
    assert_eq!(order["status"]["proofs"].as_array().unwrap().len(), 2);
}
