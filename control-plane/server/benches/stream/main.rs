//! Live streams of a server as a program of its own: how long a position takes from Redis to the sockets, what it costs,
//! what clients cost that stop reading, and what idle ones do. `cargo bench -p dropmate-control-plane --bench stream`, or with names of parts:
//! `… -- deliver stuck idle`. Smaller by `DROPMATE_BENCH_SOCKETS` (1,000), `_SECONDS` (30), `_STUCK` (100), `_IDLE` (9,000).

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

mod server;
mod socket;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use dropmate_control_plane::install_crypto_provider;
use dropmate_live::{Live, Position, RedisUrl};
use futures::future::try_join_all;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use self::{server::Server, socket::Socket};

/// Businesses among which the sockets are spread, and drivers in each: 1,000 sockets hear 10,000 positions a second.
const BUSINESSES: usize = 10;
const DRIVERS: usize = 10;
/// The time between two positions of a driver: a little more than that below which positions are conflated.
const EVERY: Duration = Duration::from_millis(1_010);
/// Sockets opened at once: a TLS handshake each.
const OPENED_AT_ONCE: usize = 50;
/// One socket in so many looks at the time that each position took; all count.
const TIMED_ONE_IN: usize = 10;
/// What is written to an order while clients do not read, and how often: more than kernels keep for a connection.
const LARGE_BYTES: usize = 20_000;
const LARGE_WRITES: usize = 750;

fn size(name: &str, default: usize) -> usize {
    std::env::var(format!("DROPMATE_BENCH_{name}")).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[tokio::main]
async fn main() -> Result<()> {
    install_crypto_provider();
    let asked: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let wanted = |part: &str| asked.is_empty() || asked.iter().any(|asked| asked == part);
    if wanted("deliver") {
        deliver(&Server::start()?).await?;
    }
    if wanted("stuck") {
        stuck(&Server::start()?).await?;
    }
    if wanted("idle") {
        idle(&Server::start()?).await?;
    }
    Ok(())
}

async fn open(server: &Server, count: usize, query: impl Fn(usize) -> String) -> Result<Vec<Socket>> {
    let mut sockets = Vec::with_capacity(count);
    for first in (0..count).step_by(OPENED_AT_ONCE) {
        let numbers = first..(first + OPENED_AT_ONCE).min(count);
        sockets.extend(try_join_all(numbers.map(|number| Socket::open(server, query(number)))).await?);
    }
    Ok(sockets)
}

fn kib(bytes: u64) -> f64 {
    bytes as f64 / 1_024.0
}

/// Positions from another process, by Redis, to sockets.
async fn deliver(server: &Server) -> Result<()> {
    let (count, seconds) = (size("SOCKETS", 1_000), size("SECONDS", 30));
    println!("\n## positions to {count} sockets for {seconds} s");
    let live = Live::redis(&RedisUrl::parse(server.redis_url())?)?;
    let sockets = open(server, count, |number| format!("namespace=b{}", number % BUSINESSES)).await?;
    let (heard, took) = (Arc::new(AtomicUsize::new(0)), Arc::new(std::sync::Mutex::new(Vec::new())));
    let start = Instant::now();
    // A place on the clock for which there is room on both sides; what counts is the time since.
    let origin = Timestamp::from_second(1_800_000_000)?;
    let readers: Vec<_> = sockets
        .into_iter()
        .enumerate()
        .map(|(number, mut socket)| {
            let (heard, took) = (heard.clone(), took.clone());
            tokio::spawn(async move {
                while let Some(frame) = socket.next().await {
                    if !frame.contains("\"position\"") {
                        continue;
                    }
                    heard.fetch_add(1, Ordering::Relaxed);
                    if number % TIMED_ONE_IN == 0
                        && let Some(at) = frame.split("\"at\":\"").nth(1).and_then(|rest| rest.split('"').next())
                        && let Ok(at) = at.parse::<Timestamp>()
                    {
                        let sent = Duration::try_from(at.duration_since(origin)).unwrap_or_default();
                        took.lock().expect("not poisoned").push(start.elapsed().saturating_sub(sent));
                    }
                }
            })
        })
        .collect();
    let before = server.cpu()?;
    let mut sent = 0;
    let mut due = tokio::time::Instant::now();
    let drivers = BUSINESSES * DRIVERS;
    let ends = due + Duration::from_secs(seconds as u64);
    // Spread over the second, as phones are.
    let apart = EVERY / u32::try_from(drivers)?;
    while due < ends {
        for number in 0..drivers {
            tokio::time::sleep_until(due).await;
            due += apart;
            let since = SignedDuration::try_from(start.elapsed())?;
            live.saw([Position {
                namespace: format!("b{}", number % BUSINESSES),
                driver: format!("d{number}"),
                uid: String::new(),
                at: origin + since,
                latitude: 43.65,
                longitude: -79.36,
                speed_meters_per_second: Some(4.5),
                bearing: Some(90.0),
                accuracy_meters: Some(10.0),
            }]);
            sent += count / BUSINESSES;
        }
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    let cpu = server.cpu()?.saturating_sub(before);
    readers.iter().for_each(tokio::task::JoinHandle::abort);
    let heard = heard.load(Ordering::Relaxed);
    let mut took = took.lock().expect("not poisoned").clone();
    took.sort_unstable();
    let percentile = |percent: usize| {
        took.get((took.len() * percent / 100).min(took.len().saturating_sub(1))).copied().unwrap_or_default()
    };
    println!(
        "delivered {heard} of {sent} ({:.0}/s); ping -> frame p50 {:.1} ms, p99 {:.1} ms (targets 30, 250); CPU {:.1} us a delivery (target 40)",
        heard as f64 / seconds as f64,
        percentile(50).as_secs_f64() * 1e3,
        percentile(99).as_secs_f64() * 1e3,
        cpu.as_secs_f64() * 1e6 / heard as f64,
    );
    Ok(())
}

/// Clients that stop reading, beside one that reads.
async fn stuck(server: &Server) -> Result<()> {
    let count = size("STUCK", 100);
    println!("\n## {count} clients that stop reading");
    let orders = "/apis/dropmate.dev/v1/namespaces/default/orders";
    let stop = json!({"address": "12 Mill St", "location": {"latitude": 43.65, "longitude": -79.36}});
    let order = json!({
        "apiVersion": "dropmate.dev/v1", "kind": "Order", "metadata": {"name": "o-1"},
        "spec": {"pickup": stop, "dropoff": stop, "recipient": {"name": "Ada"}},
    });
    server.send("POST", orders, "application/json", &order).await?;
    let write = async |number: usize| {
        let large = "x".repeat(LARGE_BYTES);
        let patch = json!({"metadata": {"annotations": {"large": large, "n": number.to_string()}}});
        server.send("PATCH", &format!("{orders}/o-1"), "application/merge-patch+json", &patch).await
    };
    // What the writes themselves leave in memory is there before.
    for number in 0..LARGE_WRITES {
        write(number).await?;
    }
    let mut reading = Socket::open(server, "namespace=default".to_owned()).await?;
    let stuck = open(server, count, |_| "namespace=default".to_owned()).await?;
    let reader = tokio::spawn(async move {
        let (mut heard, mut slowest) = (0, Duration::ZERO);
        let mut last = Instant::now();
        while heard < LARGE_WRITES {
            let Some(frame) = reading.next().await else { break };
            if frame.contains("\"event\"") {
                heard += 1;
                slowest = slowest.max(last.elapsed());
                last = Instant::now();
            }
        }
        (heard, slowest)
    });
    let before = server.memory();
    for number in 0..LARGE_WRITES {
        write(number).await?;
    }
    let held = server.memory().saturating_sub(before);
    let (heard, slowest) = tokio::time::timeout(Duration::from_secs(30), reader).await??;
    println!(
        "the one that reads heard {heard} of {LARGE_WRITES}, the longest pause {:.0} ms; memory for each that does not: {:.0} KiB (target 256), after {} MiB",
        slowest.as_secs_f64() * 1e3,
        kib(held) / count as f64,
        LARGE_WRITES * LARGE_BYTES / (1 << 20),
    );
    ensure!(heard == LARGE_WRITES, "the others disturbed it");
    let waited = Instant::now();
    while server.metric("dropmate_stream_clients").await? > 1.0 && waited.elapsed() < Duration::from_mins(1) {
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    println!(
        "let go after {:.0} s: {} left",
        waited.elapsed().as_secs_f64(),
        server.metric("dropmate_stream_clients").await?
    );
    drop(stuck);
    Ok(())
}

/// Clients to whom nothing happens.
async fn idle(server: &Server) -> Result<()> {
    let count = size("IDLE", 9_000);
    println!("\n## {count} idle clients");
    // The first ones pay for what all share.
    let first = open(server, 100, |_| "namespace=default".to_owned()).await?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let before = server.memory();
    let sockets = open(server, count, |_| "namespace=default".to_owned()).await?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let each = kib(server.memory().saturating_sub(before)) / count as f64;
    println!("memory for each: {each:.1} KiB (target 20)");
    let cpu = server.cpu()?;
    tokio::time::sleep(Duration::from_secs(30)).await;
    let used = server.cpu()?.saturating_sub(cpu);
    println!("CPU in 30 s, with a heartbeat: {:.2} s", used.as_secs_f64());
    println!("open: {}", server.metric("dropmate_stream_clients").await?);
    drop((first, sockets));
    Ok(())
}
