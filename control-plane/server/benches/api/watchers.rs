//! Many watchers of one kind while it changes: is every event delivered, when, and what does it cost.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use futures::future::try_join_all;
use http::{Method, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::task::JoinHandle;

use crate::{
    client::{Client, json},
    figures::{self, ms, percentile},
    order::ORDERS,
    server::Server,
    verbs::create,
};

/// Writes a second.
pub(crate) const RATE: u64 = 200;
const SECONDS: u64 = 30;
/// Orders that take turns in being written.
const ORDERS_HELD: usize = 200;
/// Connections that write.
const WRITERS: usize = 4;
/// One watcher in so many looks at the time each event took; all count.
const TIMED_ONE_IN: usize = 10;
/// How long after the last write its event may take, before it counts as lost.
const PATIENCE: Duration = Duration::from_secs(20);
/// What `quality.md` wants of p50 and p99 at 1,000 watchers, and of the server's CPU for one event.
const TARGET: &str = "targets 10 ms, 100 ms, 40 us";

pub(crate) async fn run(server: &Server, count: usize) -> Result<()> {
    println!("\n## {count} watchers, {RATE} writes/s, {SECONDS} s");
    let version = fill(server).await?;
    let start = Instant::now();
    let watchers =
        try_join_all((0..count).map(|i| Watcher::open(server, &version, i % TIMED_ONE_IN == 0, start))).await?;
    figures::memory(server, "with the watchers");
    let before = server.cpu()?;
    let writes = usize::try_from(RATE * SECONDS)?;
    let waits = write(server, start, writes).await?;
    let deadline = Instant::now() + PATIENCE;
    while watchers.iter().any(|watcher| watcher.seen() < writes) && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let cpu = server.cpu()?.since(before);
    let seen: usize = watchers.iter().map(Watcher::seen).sum();
    let closed = watchers.iter().filter(|watcher| watcher.task.is_finished()).count();
    let wanted = writes * count;
    println!("events delivered: {seen} of {wanted}; streams closed: {closed}");
    let mut took: Vec<Duration> = Vec::new();
    for watcher in watchers {
        watcher.task.abort();
        took.extend(watcher.took.lock().expect("not poisoned").iter());
    }
    took.sort_unstable();
    let per_event = cpu.server.as_secs_f64() * 1e6 / seen as f64;
    println!(
        "write sent -> event read: p50 {:.1} ms, p99 {:.1} ms; CPU {per_event:.1} us an event ({TARGET}); write p99 {:.1} ms",
        ms(percentile(&took, 50)),
        ms(percentile(&took, 99)),
        ms(percentile(&waits, 99)),
    );
    println!(
        "CPU of the server {:.1} s, of the database {:.1} s",
        cpu.server.as_secs_f64(),
        cpu.database.as_secs_f64()
    );
    figures::memory(server, "at the end");
    ensure!(seen == wanted, "events were lost");
    Ok(())
}

/// Watchers that only read, for as long as the value is kept.
pub(crate) async fn idle(server: &Server, count: usize) -> Result<Vec<Watcher>> {
    let list = json(&Client::connect(&server.access).await?.get(&format!("{ORDERS}?limit=1")).await?)?;
    let version = list["metadata"]["resourceVersion"].as_str().context("a list has a version")?.to_owned();
    let start = Instant::now();
    try_join_all((0..count).map(|_| Watcher::open(server, &version, false, start))).await
}

/// Makes the orders; the version after them.
pub(crate) async fn fill(server: &Server) -> Result<String> {
    let mut client = Client::connect(&server.access).await?;
    for i in 0..ORDERS_HELD {
        create(&mut client, &format!("order-{i:06}")).await?;
    }
    let list = json(&client.get(&format!("{ORDERS}?limit=1")).await?)?;
    Ok(list["metadata"]["resourceVersion"].as_str().context("a list has a version")?.to_owned())
}

/// Writes at the rate, whether or not the answers keep up with it; how long each took, sorted.
pub(crate) async fn write(server: &Server, start: Instant, writes: usize) -> Result<Vec<Duration>> {
    let next = Arc::new(AtomicUsize::new(0));
    let begun = tokio::time::Instant::now();
    let tasks = (0..WRITERS).map(async |_| {
        let (next, access) = (next.clone(), server.access.clone());
        let task: JoinHandle<Result<Vec<Duration>>> = tokio::spawn(async move {
            let mut client = Client::connect(&access).await?;
            let mut took = Vec::new();
            loop {
                let i = next.fetch_add(1, Ordering::Relaxed);
                if i >= writes {
                    return Ok(took);
                }
                tokio::time::sleep_until(begun + Duration::from_micros(i as u64 * 1_000_000 / RATE)).await;
                let sent = Instant::now();
                let patch =
                    format!("{{\"metadata\":{{\"annotations\":{{\"sent\":\"{}\"}}}}}}", start.elapsed().as_micros());
                let path = format!("{ORDERS}/order-{:06}", i % ORDERS_HELD);
                client.call(Method::PATCH, &path, "application/merge-patch+json", Bytes::from(patch)).await?;
                took.push(sent.elapsed());
            }
        });
        task.await?
    });
    let mut took = try_join_all(tasks).await?.concat();
    took.sort_unstable();
    Ok(took)
}

/// One stream on a connection of its own.
pub(crate) struct Watcher {
    seen: Arc<AtomicUsize>,
    took: Arc<std::sync::Mutex<Vec<Duration>>>,
    task: JoinHandle<Result<()>>,
}

impl Watcher {
    async fn open(server: &Server, version: &str, timed: bool, start: Instant) -> Result<Self> {
        let body = stream(server, version).await?;
        let (seen, took) = (Arc::<AtomicUsize>::default(), Arc::<std::sync::Mutex<Vec<Duration>>>::default());
        let (counter, times) = (seen.clone(), took.clone());
        let task = tokio::spawn(async move {
            let (client, mut body) = body;
            let mut tail = Vec::new();
            while let Some(frame) = body.frame().await {
                let frame = frame?;
                let Some(data) = frame.data_ref() else { continue };
                if timed {
                    let now = start.elapsed();
                    tail.extend_from_slice(data);
                    let mut times = times.lock().expect("not poisoned");
                    while let Some(end) = tail.iter().position(|byte| *byte == b'\n') {
                        times.extend(sent(&tail[..end]).map(|sent| now.saturating_sub(sent)));
                        tail.drain(..=end);
                    }
                }
                counter.fetch_add(data.iter().filter(|byte| **byte == b'\n').count(), Ordering::Relaxed);
            }
            drop(client);
            Ok(())
        });
        Ok(Self { seen, took, task })
    }

    fn seen(&self) -> usize {
        self.seen.load(Ordering::Relaxed)
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// An open watch, with the connection that it needs.
pub(crate) async fn stream(server: &Server, version: &str) -> Result<(Client, Incoming)> {
    let mut client = Client::connect(&server.access).await?;
    let path = format!("{ORDERS}?watch=true&resourceVersion={version}");
    let answer = client.open(Method::GET, &path, "application/json", Bytes::new(), None).await?;
    ensure!(answer.status() == StatusCode::OK, "watch: {}", answer.status());
    Ok((client, answer.into_body()))
}

/// When an event's write was sent, after the start.
fn sent(line: &[u8]) -> Option<Duration> {
    const MARK: &[u8] = b"\"sent\":\"";
    let at = line.windows(MARK.len()).position(|part| part == MARK)? + MARK.len();
    let digits: String =
        line[at..].iter().take_while(|byte| byte.is_ascii_digit()).map(|byte| char::from(*byte)).collect();
    digits.parse().ok().map(Duration::from_micros)
}
