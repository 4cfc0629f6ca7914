//! Whole servers on one database, with a stretch of network before it that the test has in its hand.

use std::{fs, time::Duration};

use dropmate_testing::{Database, Proxy};
use reqwest::{Method, StatusCode};
use tokio::{task::JoinSet, time::Instant};

use super::{BUSY, migrated, until};
use crate::{
    client::{ORDERS, order},
    server::Server,
};

/// In which a client is told that the database is away, and in which a revoked token is refused everywhere.
const PROMISED: Duration = Duration::from_secs(5);

/// How long the database is away: a connection that was used within the last second is not asked for a sign of life.
const OUTAGE: Duration = Duration::from_millis(1_500);

async fn start(database: &str) -> Server {
    Server::start_with(tempfile::tempdir().unwrap(), &["--database-url", database]).await
}

/// A server whose database is behind a proxy.
async fn behind_a_proxy() -> (Database, Proxy, Server) {
    let database = migrated().await;
    let proxy = Proxy::start(database.address()).await;
    let server = start(&database.url_by(proxy.address())).await;
    (database, proxy, server)
}

async fn ready(server: &Server) -> u16 {
    server.http.get(server.url("/readyz")).send().await.unwrap().status().as_u16()
}

/// Creates an order; the answer's code, after asserting that it came in time and names a time to try again if it should.
async fn place(server: &Server, name: &str) -> StatusCode {
    let begun = Instant::now();
    let answer = server.call("operator", Method::POST, ORDERS).json(&order(name)).send().await.unwrap();
    let code = answer.status();
    assert!(begun.elapsed() < PROMISED + BUSY, "{code} after {:?}", begun.elapsed());
    if code == StatusCode::SERVICE_UNAVAILABLE {
        assert_eq!(answer.headers()["retry-after"], "1");
    }
    code
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_is_not_ready_while_its_database_is_away_and_ready_again_when_it_is_back() {
    let (_database, proxy, server) = behind_a_proxy().await;
    assert_eq!(ready(&server).await, 200);
    for (round, away) in [Proxy::cut, Proxy::pause].into_iter().enumerate() {
        away(&proxy);
        until("it is not ready", async || ready(&server).await == 503).await;
        let told = reqwest::get(format!("{}/readyz", server.plane.admin_url().unwrap())).await.unwrap();
        assert_eq!(told.status(), 503);
        assert!(told.text().await.unwrap().contains("[-]store failed: "), "the admin port says why");
        let alive = server.http.get(server.url("/livez")).send().await.unwrap();
        assert_eq!(alive.status(), 200, "starting it again would not help");
        // Long enough for nothing to be under way any more: the first write after it need not be refused.
        tokio::time::sleep(OUTAGE).await;
        proxy.mend();
        until("it is ready again", async || ready(&server).await == 200).await;
        assert_eq!(place(&server, &format!("after-{round}")).await, StatusCode::CREATED);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_while_the_database_does_not_answer_is_refused_in_time() {
    let (_database, proxy, server) = behind_a_proxy().await;
    assert_eq!(place(&server, "before").await, StatusCode::CREATED);
    proxy.pause();
    for n in 0..3 {
        assert_eq!(place(&server, &format!("during-{n}")).await, StatusCode::SERVICE_UNAVAILABLE);
    }
    proxy.mend();
    until("it writes again", async || place(&server, "after").await != StatusCode::SERVICE_UNAVAILABLE).await;
    let listed = server.get(ORDERS).await.text().await.unwrap();
    assert!(listed.contains("\"before\"") && listed.contains("\"after\"") && !listed.contains("during"), "{listed}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_under_way_when_the_database_stops_to_answer_are_told_in_time_and_none_is_acknowledged_and_lost() {
    let (database, proxy, server) = behind_a_proxy().await;
    let server = std::sync::Arc::new(server);
    let mut writers = JoinSet::new();
    for writer in 0..8 {
        let server = server.clone();
        writers.spawn(async move {
            let mut answers = Vec::new();
            for n in 0.. {
                let name = format!("o{writer}-{n}");
                let code = place(&server, &name).await;
                answers.push((name, code));
                if code != StatusCode::CREATED {
                    break;
                }
            }
            answers
        });
    }
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    proxy.pause();
    let answers: Vec<_> = writers.join_all().await.into_iter().flatten().collect();
    proxy.mend();
    let key = server.dir.path().join("secrets.key");
    let flags = ["--database-url", &database.url(), "--secrets-key-file", key.to_str().unwrap()];
    let other = Server::start_with(tempfile::tempdir().unwrap(), &flags).await;
    let listed = other.get(ORDERS).await.text().await.unwrap();
    let mut written = 0;
    for (name, code) in answers {
        let is_there = listed.contains(&format!("\"{name}\""));
        match code {
            StatusCode::CREATED => {
                written += 1;
                assert!(is_there, "{name} was acknowledged and is lost");
            }
            StatusCode::SERVICE_UNAVAILABLE => assert!(!is_there, "{name} was refused and is there"),
            // Its outcome was not known.
            code => assert_eq!(code, StatusCode::GATEWAY_TIMEOUT, "{name}"),
        }
    }
    assert!(written > 8, "only {written} were written before");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_taken_out_of_the_shared_file_ends_access_at_both() {
    let database = migrated().await;
    let first = start(&database.url()).await;
    let file = first.dir.path().join("tokens.csv");
    let key = first.dir.path().join("secrets.key");
    let (file_flag, key_flag) = (file.to_str().unwrap(), key.to_str().unwrap());
    let flags = ["--database-url", &database.url(), "--token-auth-file", file_flag, "--secrets-key-file", key_flag];
    let second = Server::start_with(tempfile::tempdir().unwrap(), &flags).await;
    let token = first.token("tracking");
    let code = async |server: &Server, path: &str| {
        let request = server.http.get(server.url(path)).bearer_auth(&token);
        request.send().await.unwrap().status().as_u16()
    };
    assert_eq!((code(&first, ORDERS).await, code(&second, ORDERS).await), (200, 200));
    let watch = second.http.get(second.url(&format!("{ORDERS}?watch=true"))).bearer_auth(&token);
    let mut watch = watch.send().await.unwrap();
    let lines = fs::read_to_string(&file).unwrap();
    let kept: String =
        lines.lines().filter(|line| !line.ends_with(":tracking")).flat_map(|line| [line, "\n"]).collect();
    fs::write(&file, kept).unwrap();
    let revoked = Instant::now();
    until("both refuse it", async || (code(&first, ORDERS).await, code(&second, ORDERS).await) == (401, 401)).await;
    let ended = async { while watch.chunk().await.unwrap().is_some() {} };
    tokio::time::timeout(PROMISED, ended).await.expect("its open watch ends");
    assert!(revoked.elapsed() < PROMISED + BUSY, "it took {:?}", revoked.elapsed());
    assert_eq!(first.get(ORDERS).await.status(), 200, "others stay");
}
