//! The page on a driver's phone: what is served, and that its script does what it promises.

use std::process::Command;

use axum::body::Body;
use http::Request;
use regex::Regex;

use crate::{client::Api, server::Server};

/// The tests of the page's own logic run where it runs: in a JavaScript engine.
#[test]
fn the_pages_queue_session_and_steps_do_what_their_tests_say() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/phone/");
    let tests = Command::new("node").arg("--test").arg(folder).output();
    let tests = tests.unwrap_or_else(|error| panic!("node: {error}; run .ci/prepare, which installs it"));
    let told = String::from_utf8_lossy(&tests.stdout);
    assert!(tests.status.success(), "{told}{}", String::from_utf8_lossy(&tests.stderr));
    let passed = Regex::new(r"(?m)^\S+ pass (\d+)$").unwrap();
    let passed: u32 = passed.captures(&told).expect("a summary")[1].parse().unwrap();
    assert!(passed >= 18, "{told}");
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
    let inline = Regex::new(r#"<script>|<style|style=|\son[a-z]+="#).unwrap();
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
