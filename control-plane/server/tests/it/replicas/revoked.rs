//! A token that ends at one replica ends at the other, also under a watch that is open there.

use std::time::Duration;

use reqwest::{Method, Response};
use tokio::time::Instant;

use super::{BUSY, migrated, until};
use crate::{
    client::ORDERS,
    server::Server,
    service_accounts::{make, token_of},
};

/// In which access ends everywhere.
const PROMISED: Duration = Duration::from_secs(5);
/// The account of an agent, whose role watches orders.
const ACCOUNTS: &str = "/api/v1/namespaces/dropmate-system/serviceaccounts";

/// Asserts that the token ends within what is promised, on both by REST and under the open watch.
async fn ends(a: &Server, b: &Server, token: &str, mut watch: Response) {
    let begun = Instant::now();
    let code = async |server: &Server| {
        let request = server.http.get(server.url(ORDERS)).bearer_auth(token);
        request.send().await.unwrap().status().as_u16()
    };
    until("both refuse it", async || (code(a).await, code(b).await) == (401, 401)).await;
    let ended = async { while watch.chunk().await.unwrap().is_some() {} };
    tokio::time::timeout(PROMISED + BUSY, ended).await.expect("the open watch ends");
    assert!(begun.elapsed() < PROMISED + BUSY, "it took {:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_is_revoked_or_loses_its_account_ends_on_both_replicas_and_under_a_watch() {
    let database = migrated().await;
    let url = database.url();
    let public = ["--database-url", &url, "--public-url", "https://dispatch.example"];
    let a = Server::start_with(tempfile::tempdir().unwrap(), &public).await;
    let file = |name: &str| a.dir.path().join(name).to_str().unwrap().to_owned();
    let (tokens, key) = (file("tokens.csv"), file("secrets.key"));
    let shared = [&public[..], &["--token-auth-file", &tokens, "--secrets-key-file", &key]].concat();
    let b = Server::start_with(tempfile::tempdir().unwrap(), &shared).await;

    make(&a, ACCOUNTS, "tracking").await;
    let watch = async |token: &str| {
        let watch = b.http.get(b.url(&format!("{ORDERS}?watch=true"))).bearer_auth(token).send().await.unwrap();
        assert_eq!(watch.status(), 200, "a token of one is good at the other at once");
        watch
    };
    let token = token_of(&a, ACCOUNTS, "tracking").await;
    let open = watch(&token).await;
    let tokens = "/v1/namespaces/dropmate-system/serviceaccounts/tracking/tokens";
    assert_eq!(a.call("operator", Method::DELETE, tokens).send().await.unwrap().status(), 204);
    ends(&a, &b, &token, open).await;

    let token = token_of(&a, ACCOUNTS, "tracking").await;
    let open = watch(&token).await;
    let account = format!("{ACCOUNTS}/tracking");
    assert_eq!(a.call("operator", Method::DELETE, &account).send().await.unwrap().status(), 200);
    make(&a, ACCOUNTS, "tracking").await;
    ends(&a, &b, &token, open).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_with_another_sealing_key_does_not_start_and_says_why() {
    let database = migrated().await;
    let first = Server::start_with(tempfile::tempdir().unwrap(), &["--database-url", &database.url()]).await;
    let dir = tempfile::tempdir().unwrap();
    let second = std::process::Command::new(env!("CARGO_BIN_EXE_dropmate-control-plane"))
        .args(["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--database-url", &database.url()])
        .arg("--data-dir")
        .arg(dir.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&second.stderr);
    assert_eq!(second.status.code(), Some(1), "{said}");
    assert!(said.contains("start with the --secrets-key-file that was used before"), "{said}");
    drop(first);
}
