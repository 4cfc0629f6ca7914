//! kill -9 while many phones send: what was acknowledged is there afterwards, once.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, OpenOptions},
    io::Write,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use reqwest::Client;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::{
    client::{clock, driver, namespace},
    process::Server,
    server::trusting,
};

const PHONES: usize = 8;
const BATCH: i64 = 20;
/// Batches that are acknowledged before the server is killed.
const BEFORE: usize = 60;

fn token(data: &Path, name: &str) -> String {
    fs::read_to_string(data.join(format!("tokens/{name}.token"))).unwrap().trim().to_owned()
}

/// Sends batches, each of other moments, until the server is gone; which moments were acknowledged.
async fn send(http: Client, url: String, next: Arc<AtomicI64>, told: Arc<Mutex<Vec<Timestamp>>>, from: Timestamp) {
    loop {
        let first = next.fetch_add(BATCH, Ordering::Relaxed);
        let at: Vec<Timestamp> = (first..first + BATCH).map(|n| from + SignedDuration::from_millis(n)).collect();
        let position = |at: &Timestamp| json!({"at": at.to_string(), "latitude": 43.65, "longitude": -79.38});
        let body = json!({"positions": at.iter().map(position).collect::<Vec<_>>()});
        let request = http.post(format!("{url}/v1/me/positions")).bearer_auth("phone").json(&body);
        match request.send().await {
            Ok(answer) if answer.status() == 200 => {
                // The head alone is the acknowledgement: whether the body still comes makes no difference.
                told.lock().unwrap().extend(at);
            }
            _ => return,
        }
    }
}

async fn positions(http: &Client, url: &str, token: &str) -> Vec<Value> {
    let (mut all, mut after) = (Vec::new(), json!(0));
    loop {
        let path = format!("{url}/v1/internal/positions?after={after}&limit=5000");
        let page: Value = http.get(path).bearer_auth(token).send().await.unwrap().json().await.unwrap();
        let found = page["positions"].as_array().unwrap();
        if found.is_empty() {
            return all;
        }
        all.extend(found.iter().cloned());
        after = page["next"].clone();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_is_there_after_kill_9_and_once() {
    dropmate_control_plane::install_crypto_provider();
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let server = Server::start(&data);
    let mut tokens = OpenOptions::new().append(true).open(data.join("tokens.csv")).unwrap();
    writeln!(tokens, "{},system:driver:acme:sam", hex::encode(Sha256::digest(b"phone"))).unwrap();
    let http = trusting(&data).timeout(Duration::from_secs(20)).build().unwrap();
    let operator = token(&data, "operator");
    let post = async |path: &str, body: Value| {
        let answer =
            http.post(format!("{}{path}", server.url)).bearer_auth(&operator).json(&body).send().await.unwrap();
        assert_eq!(answer.status(), 201, "{path}");
    };
    post("/api/v1/namespaces", namespace("acme")).await;
    post("/apis/dropmate.dev/v1/namespaces/acme/drivers", driver("sam")).await;
    let mut tries = 0;
    // The file of tokens is read again within seconds.
    while http.get(format!("{}/v1/me/route", server.url)).bearer_auth("phone").send().await.unwrap().status() != 200 {
        tries += 1;
        assert!(tries < 200, "the phone is nobody");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let (next, told, from) = (Arc::default(), Arc::new(Mutex::new(Vec::new())), clock().business_now());
    let phones: Vec<_> = (0..PHONES)
        .map(|_| tokio::spawn(send(http.clone(), server.url.clone(), Arc::clone(&next), told.clone(), from)))
        .collect();
    while told.lock().unwrap().len() < BEFORE * usize::try_from(BATCH).unwrap() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    server.kill();
    for phone in phones {
        phone.await.unwrap();
    }
    let server = Server::start(&data);
    let kept = positions(&http, &server.url, &token(&data, "tracking")).await;
    let mut times: BTreeMap<Timestamp, usize> = BTreeMap::new();
    let mut numbers = BTreeSet::new();
    for position in &kept {
        *times.entry(position["at"].as_str().unwrap().parse().unwrap()).or_default() += 1;
        assert!(numbers.insert(position["seq"].as_i64().unwrap()), "a number is given once");
    }
    let told = told.lock().unwrap();
    assert!(usize::try_from(next.load(Ordering::Relaxed)).unwrap() > told.len(), "some were under way");
    let lost = told.iter().filter(|at| !times.contains_key(at)).count();
    assert_eq!(lost, 0, "of {} acknowledged", told.len());
    assert!(times.values().all(|count| *count == 1), "each is kept once");
}
