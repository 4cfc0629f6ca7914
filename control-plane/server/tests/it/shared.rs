//! Replicas that share a Redis: what one knows the others know, and what happens when it goes away.

use std::time::{Duration, Instant};

use dropmate_identity::Identity;
use dropmate_store::Postgres;
use dropmate_testing::{Database, RedisServer};
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::NamedTempFile;

use crate::{
    client::order,
    server::Server,
    stream::{Shop, ask, position},
    tenants::at,
};

pub(crate) async fn with(flags: &[&str]) -> Server {
    Server::start_with(tempfile::tempdir().unwrap(), flags).await
}

/// How many of so many requests get through, by turns at each.
async fn passed(servers: &[&Server], tries: usize) -> usize {
    let mut passed = 0;
    for number in 0..tries {
        let server = servers[number % servers.len()];
        let answer = server.get("/v1/clock").await;
        assert!([200, 429].contains(&answer.status().as_u16()), "{}", answer.status());
        passed += usize::from(answer.status() == 200);
    }
    passed
}

pub(crate) async fn connected(server: &Server, so: bool) {
    let until = async {
        while server.plane.live().is_connected() != so {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), until).await.expect("in time");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_are_for_all_replicas_together_and_never_open() {
    let redis = RedisServer::start(&[]);
    let flags = ["--redis-url", redis.url(), "--rate-limit-caller", "1:30", "--rate-limit-address", "0"];
    let (a, b) = (with(&flags).await, with(&flags).await);
    for server in [&a, &b] {
        connected(server, true).await;
    }
    let began = Instant::now();
    let both = passed(&[&a, &b], 120).await;
    let made_up_for = began.elapsed().as_secs() as usize + 1;
    assert!((30..=30 + made_up_for).contains(&both), "{both} of 120 in {:?}", began.elapsed());
    let refused = a.get("/v1/clock").await;
    assert!(refused.headers().contains_key("retry-after") && refused.headers().contains_key("ratelimit"));
    redis.empty();
    // Each has its own count too, in which some are left.
    assert!(passed(&[&a, &b], 80).await <= 60 - both + 8, "the own counts stay");
    redis.kill();
    let began = Instant::now();
    // A rest, so that the own counts let some through: those that Redis would be asked about.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let away = passed(&[&a, &b], 120).await;
    let made_up_for = 2 * (began.elapsed().as_secs() as usize + 1);
    assert!((1..=made_up_for).contains(&away), "{away} of 120 without Redis in {:?}", began.elapsed());
    connected(&a, false).await;
    let metrics = a.metrics().await;
    assert!(metrics.contains("dropmate_live_redis_connected 0"), "{metrics}");
    assert!(metrics.contains("dropmate_live_shared_limits_total{outcome=\"unavailable\"}"), "{metrics}");
    redis.start_again();
    connected(&a, true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_api_does_not_notice_what_happens_to_redis() {
    let redis = RedisServer::start(&[]);
    let server = with(&["--redis-url", redis.url()]).await;
    connected(&server, true).await;
    let work = async {
        let mut slowest = Duration::ZERO;
        for number in 0..150 {
            let began = Instant::now();
            let body = order(&format!("o-{number}")).to_string();
            assert_eq!(server.create("application/json", body).await.0, 201);
            slowest = slowest.max(began.elapsed());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        slowest
    };
    let harm = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        redis.empty();
        redis.pause();
        tokio::time::sleep(Duration::from_millis(700)).await;
        redis.resume();
        redis.kill();
        tokio::time::sleep(Duration::from_millis(500)).await;
        redis.start_again();
    };
    let (slowest, ()) = tokio::join!(work, harm);
    assert!(slowest < Duration::from_secs(2), "{slowest:?}");
    connected(&server, true).await;
    assert_eq!(server.get("/readyz").await.status(), 200);
}

/// A database, a Redis and a key that replicas share.
pub(crate) struct Replicas {
    database: Database,
    pub(crate) redis: RedisServer,
    key: NamedTempFile,
}

impl Replicas {
    pub(crate) async fn prepare() -> Self {
        let (database, redis) = (Database::create().await, RedisServer::start(&[]));
        Postgres::migrate(&database.url()).await.unwrap();
        Identity::migrate_postgres(&database.url()).await.unwrap();
        dropmate_ingest::Ingest::migrate_postgres(&database.url()).await.unwrap();
        let key = NamedTempFile::new().unwrap();
        std::fs::write(&key, "5a".repeat(32)).unwrap();
        Self { database, redis, key }
    }

    /// One more of them, connected to Redis.
    pub(crate) async fn start(&self) -> Server {
        let (url, file) = (self.database.url(), self.key.path().to_str().unwrap());
        let flags = [
            "--public-url",
            "https://shop.example",
            "--database-url",
            &url,
            "--secrets-key-file",
            file,
            "--redis-url",
            self.redis.url(),
        ];
        let server = with(&flags).await;
        connected(&server, true).await;
        server
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_replicas_are_one_stream() {
    let replicas = Replicas::prepare().await;
    let redis = &replicas.redis;
    let shop = Shop::at(replicas.start().await).await;
    let b = replicas.start().await;
    let token = shop.member("runs", "manager").await;
    // A ticket of one is good at the other.
    let answer = shop.server.http.post(shop.server.url("/v1/stream/tickets")).bearer_auth(&token).send().await.unwrap();
    let ticket: Value = answer.json().await.unwrap();
    let query = format!("namespace=acme&ticket={}", ticket["ticket"].as_str().unwrap());
    let mut stream = ask(&b, &query, &[]).await.expect("the other replica takes it");
    let hello = stream.next().await;
    hello["epoch"].as_str().unwrap().clone_into(&mut stream.epoch);
    shop.order("o-1").await;
    assert_eq!(stream.event().await.0, "order.created");
    shop.saw("sam", 1);
    let frame = stream.next().await;
    assert_eq!((&frame["type"], &frame["data"]["driver"]), (&json!("position"), &json!("sam")));
    // What was missed at one comes at the other, and so it does when Redis was emptied.
    redis.empty();
    shop.release("o-1").await;
    let mut stream = stream.again(&shop.server, &token, "namespace=acme").await;
    assert_eq!(stream.event().await.0, "order.ready");
    let healed = async {
        let mut second = 2;
        while b.plane.live().latest("acme", "sam").is_none_or(|held| held.at != position("acme", "sam", second).at) {
            second += 1;
            shop.saw("sam", second);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), healed).await.expect("it heals in time");
    let deleted = shop.server.call("operator", Method::DELETE, &at("acme", "members/runs")).send().await.unwrap();
    assert!(deleted.status().is_success());
    assert_eq!(stream.closed().await, 4401, "a role that is lost is lost everywhere");
}
