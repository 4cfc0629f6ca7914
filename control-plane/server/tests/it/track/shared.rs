//! Links over two replicas with one PostgreSQL and one Redis: what is made, seen and taken back at one is so at the other.

use std::time::{Duration, Instant};

use dropmate_identity::Identity;
use dropmate_ingest::Ingest;
use dropmate_store::Postgres;
use dropmate_testing::{Database, RedisServer};
use serde_json::{Value, json};

use super::NOTIFICATION;
use crate::{
    client::{Api, text},
    proofs::Shop,
    server::Server,
    stream::socket::ask_at,
};

/// In which access ends everywhere, and what a busy machine adds.
const PROMISED: Duration = Duration::from_secs(5 + 3);

async fn code(server: &Server, path: &str) -> u16 {
    server.http.get(server.url(path)).send().await.unwrap().status().as_u16()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_is_the_same_at_every_replica_and_ends_at_all_of_them() {
    let (database, redis) = (Database::create().await, RedisServer::start(&[]));
    Postgres::migrate(&database.url()).await.unwrap();
    Identity::migrate_postgres(&database.url()).await.unwrap();
    Ingest::migrate_postgres(&database.url()).await.unwrap();
    let key = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&key, "5a".repeat(32)).unwrap();
    let (url, file) = (database.url(), key.path().to_str().unwrap());
    let flags = [
        "--public-url",
        "https://shop.example",
        "--database-url",
        &url,
        "--secrets-key-file",
        file,
        "--redis-url",
        redis.url(),
        "--rate-limit-address",
        "0",
    ];
    let shop = Shop::open_with(&flags).await;
    let other = Server::start_with(tempfile::tempdir().unwrap(), &flags).await;
    let there = Api::over(other.plane.clone());
    let link = shop.link("sams").await;
    assert!(link.starts_with("https://shop.example/t/"), "{link}");
    let order = there.get("/apis/dropmate.dev/v1/namespaces/acme/orders/sams").await.ok();
    let asked = json!({"namespace": "acme", "order": "sams", "uid": order["metadata"]["uid"], "link": true});
    let told = there.as_user(NOTIFICATION).post("/v1/internal/reveal", &asked).await.ok();
    assert_eq!(told["trackingUrl"], link, "made at one, told by the other");

    let token = link.rsplit('/').next().unwrap();
    let path = format!("/v1/track/{token}");
    let mut stream = ask_at(&other, &format!("{path}/stream"), &[]).await.unwrap();
    let seen = async || -> Value { other.http.get(other.url(&path)).send().await.unwrap().json().await.unwrap() };
    shop.plan("sam", &[("sams", "dropoff")]).await;
    shop.tell("sams", "pickUp", "sam", &Value::Null).await.ok();
    assert_eq!(seen().await["phase"], "OutForDelivery", "acknowledged at one is seen at the other");
    let began = Instant::now();
    loop {
        shop.drives("sam", 43.61);
        if seen().await["driver"]["position"]["latitude"] == 43.61 {
            break;
        }
        assert!(began.elapsed() < PROMISED, "{}", seen().await);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    loop {
        let frame = stream.next().await;
        if frame["data"]["driver"]["position"]["latitude"] == 43.61 || frame["data"]["latitude"] == 43.61 {
            break;
        }
    }
    shop.tell("sams", "deliver", "sam", &Value::Null).await.ok();
    let over = seen().await;
    assert_eq!((&over["phase"], over.get("driver")), (&"Delivered".into(), None), "at once: {over}");

    let links = "/v1/namespaces/acme/orders/sams/tracking-links";
    shop.of_acme("manager").delete(links, &json!({})).await.ok();
    let began = Instant::now();
    while code(&other, &path).await != 404 {
        assert!(began.elapsed() < PROMISED, "revoked at one is revoked at the other");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(stream.closed().await, 4401);
    assert!(began.elapsed() < PROMISED);
    shop.operator.post("/v1/namespaces/acme/members/viewer/invitation", &json!({})).await.ok();
    let mails = there.as_user(NOTIFICATION).get("/v1/internal/mails").await.ok();
    assert_eq!(text(&mails["mails"][0]["kind"]), "invitation");
}
