//! What is published: everything that happened, once, in order, whatever becomes of Redis and of the publisher.

use std::time::{Duration, Instant};

use dropmate_testing::RedisServer;
use serde_json::{Value, json};

use super::{all_after, feed};
use crate::{
    server::Server,
    shared::{Replicas, connected, with},
    stream::Shop,
};

/// How long it may take until something is published: another has to notice that the publisher is gone.
const SOON: Duration = Duration::from_secs(30);

/// The events in the stream, with their numbers there.
fn stream(redis: &RedisServer) -> Vec<(String, Value)> {
    let listed = redis.ask(&["XRANGE", "dropmate:0:events", "-", "+"]);
    let lines: Vec<&str> = listed.lines().collect();
    let entry = |lines: &[&str]| {
        assert_eq!((lines[1], lines[3]), ("type", "event"));
        let event: Value = serde_json::from_str(lines[4]).unwrap();
        assert_eq!(event["type"], lines[2]);
        (lines[0].to_owned(), event)
    };
    lines.chunks_exact(5).map(entry).collect()
}

/// The same, once it is all that was told.
async fn published(redis: &RedisServer, told: &[Value]) {
    let began = Instant::now();
    loop {
        let there = stream(redis);
        for (number, event) in &there {
            let (revision, ordinal) = number.split_once('-').unwrap();
            assert!(event["id"].as_str().unwrap().ends_with(&format!("_{revision}_{ordinal}")), "{number}: {event}");
        }
        let there: Vec<Value> = there.into_iter().map(|(_, event)| event).collect();
        if there == told {
            return;
        }
        let missing = told.iter().filter(|event| !there.contains(event)).count();
        assert!(began.elapsed() < SOON, "{} there, {missing} of {} missing", there.len(), told.len());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn leads(server: &Server) -> bool {
    server.metrics().await.contains("dropmate_events_leading 1")
}

async fn until_it_leads(server: &Server) {
    let led = async {
        while !leads(server).await {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(SOON, led).await.expect("somebody publishes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_has_everything_once_also_after_redis_was_emptied_or_away() {
    let redis = RedisServer::start(&[]);
    let shop = Shop::at(with(&["--redis-url", redis.url()]).await).await;
    connected(&shop.server, true).await;
    let mut heard = shop.server.plane.events();
    shop.delivered("o-1", "sam").await;
    let told = all_after(&shop.server, 0, 500).await;
    published(&redis, &told).await;
    // In this process, too; without waiting for Redis.
    redis.pause();
    shop.delivered("o-2", "sam").await;
    let told = all_after(&shop.server, 0, 500).await;
    let mut listened = Vec::new();
    while listened.last() != told.last() {
        let event = tokio::time::timeout(SOON, heard.recv()).await.expect("it is told").unwrap();
        listened.push(json!(*event));
    }
    assert_eq!(listened, told[told.len() - listened.len()..]);
    redis.resume();
    published(&redis, &told).await;
    redis.empty();
    published(&redis, &told).await;
    assert!(shop.server.metrics().await.contains("dropmate_events_refills_total 1"));
    redis.kill();
    shop.delivered("o-3", "sam").await;
    redis.start_again();
    let told = all_after(&shop.server, 0, 500).await;
    published(&redis, &told).await;
    // The next start goes on where this one ended.
    let dir = shop.server.end().await;
    let server = Server::start_with(dir, &["--redis-url", redis.url()]).await;
    until_it_leads(&server).await;
    published(&redis, &told).await;
    let lease = server.get("/apis/coordination.k8s.io/v1/namespaces/dropmate-system/leases/event-publisher").await;
    let lease: Value = lease.json().await.unwrap();
    let cursor = lease["metadata"]["annotations"]["dropmate.dev/cursor"].as_str().unwrap().parse::<u64>().unwrap();
    let last = told.last().unwrap()["sequence"].as_str().unwrap().parse::<u64>().unwrap();
    assert!(cursor >= last, "{cursor} < {last}: history would wait for nothing");
    assert_eq!(lease["spec"]["leaseDurationSeconds"], 15);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_several_replicas_one_publishes_and_another_goes_on() {
    let replicas = Replicas::prepare().await;
    let shop = Shop::at(replicas.start().await).await;
    until_it_leads(&shop.server).await;
    let other = replicas.start().await;
    let start = feed(&other, "after=latest").await["next"].as_u64().unwrap();
    let before = all_after(&other, 0, 500).await.len();
    for number in 0..3 {
        shop.delivered(&format!("o-{number}"), "sam").await;
    }
    let first = all_after(&other, 0, 500).await;
    published(&replicas.redis, &first).await;
    assert!(!leads(&other).await);
    assert_eq!(all_after(&other, start, 500).await.len() + before, first.len());
    let shop = shop.move_to(other).await;
    shop.delivered("o-9", "kim").await;
    until_it_leads(&shop.server).await;
    let told = all_after(&shop.server, 0, 500).await;
    assert!(told.len() > first.len());
    published(&replicas.redis, &told).await;
}
