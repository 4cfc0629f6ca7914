//! Clients on bad lines.
//!
//! `DROPMATE_TEST_STREAM_CLIENTS=1000` makes the run that large:
//! `DROPMATE_TEST_STREAM_CLIENTS=1000 cargo nextest run --workspace --no-capture cut_at_random`.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use futures::future::join_all;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::json;
use tokio::sync::watch;

use super::{Shop, Socket};

/// Names the number of clients of a full-size run; and how many there are otherwise, how often each is cut, and changes
/// meanwhile.
const CLIENTS_NAME: &str = "DROPMATE_TEST_STREAM_CLIENTS";
const CLIENTS: u64 = 60;
const CUTS: usize = 5;
const CHANGES: usize = 300;

/// Hears until it has heard of the last change, is cut at random, and comes back each time. Says which revisions it heard
/// of, and how often it had to begin anew.
async fn listen(shop: Arc<Shop>, seed: u64, mut last: watch::Receiver<u64>) -> (BTreeSet<u64>, usize, usize) {
    let token = shop.token("operator");
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut stream = shop.stream().await;
    let (mut heard, mut resets, mut cuts) = (BTreeSet::new(), 0, 0);
    loop {
        let until_cut = random.random_range(1..60);
        for _ in 0..until_cut {
            let Some(frame) = stream.within(Duration::from_millis(200)).await else {
                if *last.borrow_and_update() > 0 && heard.last() >= Some(&*last.borrow()) {
                    assert_eq!(cuts.min(CUTS), CUTS, "it was cut");
                    return (heard, resets, cuts);
                }
                continue;
            };
            match frame["type"].as_str().unwrap() {
                "event" => {
                    let sequence = frame["data"]["sequence"].as_str().unwrap().parse::<u64>().unwrap();
                    assert!(heard.last().is_none_or(|newest| *newest <= sequence), "in order");
                    heard.insert(sequence);
                }
                "reset" => resets += 1,
                other => panic!("{other}"),
            }
        }
        cuts += 1;
        stream = stream.again(&shop.server, &token, "namespace=acme").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_are_cut_at_random_miss_no_change() {
    let shop = Arc::new(Shop::open().await);
    for number in 0..10 {
        shop.order(&format!("o-{number}")).await;
    }
    let (tell, last) = watch::channel(0);
    let count = std::env::var(CLIENTS_NAME).map_or(CLIENTS, |count| count.parse().expect("a number of clients"));
    let clients: Vec<_> = (0..count).map(|seed| tokio::spawn(listen(shop.clone(), seed, last.clone()))).collect();
    // All of them are there before the first change.
    while !shop.server.metrics().await.contains(&format!("dropmate_stream_clients {count}")) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let mut made = BTreeSet::new();
    for number in 0..CHANGES {
        let change = json!({"spec": {"priority": number + 1}});
        made.insert(shop.patch(&format!("o-{}", number % 10), &change).await);
    }
    tell.send(*made.last().unwrap()).unwrap();
    let patience = Duration::from_mins(1) + Duration::from_millis(500) * u32::try_from(count).unwrap();
    let finished = tokio::time::timeout(patience, join_all(clients)).await.expect("all come to the end");
    let mut all_cuts = 0;
    for client in finished {
        let (heard, resets, cuts) = client.unwrap();
        let missed: Vec<_> = made.difference(&heard).collect();
        assert!(missed.is_empty() && resets == 0, "missed {missed:?}, began anew {resets} times");
        all_cuts += cuts;
    }
    println!("{count} clients, {all_cuts} cuts, {CHANGES} changes: none missed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_stops_reading_is_let_go_and_disturbs_nobody() {
    let shop = Shop::open().await;
    shop.order("o-1").await;
    let stuck = shop.stream().await;
    let mut reading = shop.stream().await;
    // More than the kernel keeps for a connection.
    let large = "x".repeat(200_000);
    let mut made = Vec::new();
    let heard = tokio::spawn(async move {
        let mut heard = Vec::new();
        while heard.len() < 100 {
            let frame = reading.event_frame().await;
            heard.push(frame["data"]["sequence"].as_str().unwrap().parse::<u64>().unwrap());
        }
        heard
    });
    for number in 0..100 {
        let change = json!({"metadata": {"annotations": {"large": large, "n": number.to_string()}}});
        made.push(shop.patch("o-1", &change).await);
    }
    assert_eq!(heard.await.unwrap(), made, "the other hears everything");
    let slow = async {
        while !shop.server.metrics().await.contains("dropmate_stream_closed_total{reason=\"slow\"} 1") {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), slow).await.expect("it is let go");
    // And it may come back to where it was.
    let mut again = stuck.again(&shop.server, &shop.token("operator"), "namespace=acme").await;
    assert_eq!(again.event_frame().await["data"]["sequence"].as_str().unwrap(), made[0].to_string());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_events_of_one_change_come_again_as_a_whole() {
    let shop = Shop::open().await;
    let token = shop.token("operator");
    shop.order("o-1").await;
    shop.release("o-1").await;
    shop.bind("o-1", "sam").await;
    let mut stream = shop.stream().await;
    shop.unbind("o-1").await;
    let first = stream.event_frame().await;
    assert_eq!(first["data"]["type"], "order.unassigned");
    let mut stream: Socket = stream.again(&shop.server, &token, "namespace=acme").await;
    let again = stream.event_frame().await;
    assert_eq!(again["data"]["id"], first["data"]["id"], "the same event has the same id");
    let second = stream.event_frame().await;
    assert_eq!(
        (&second["data"]["type"], &second["data"]["sequence"]),
        (&json!("order.ready"), &first["data"]["sequence"])
    );
}
