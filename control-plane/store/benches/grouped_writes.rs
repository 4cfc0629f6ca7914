//! Grouped writes a second beside what the same SQLite does without us, in the same run: figures of a noisy machine
//! mean something only as a ratio. Then lists and fan-out. `cargo bench -p dropmate-store`.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use dropmate_store::{Actor, At, Change, Expect, Key, Now, Options, Revision, Scope, Sqlite, Store, Write};
use jiff::Timestamp;
use prometheus_client::{encoding::text::encode, registry::Registry};
use sqlx::AssertSqlSafe;

const RESOURCE: &str = "orders.dropmate.dev";
/// Store and raw take turns, so that a slow minute of the disk hits both.
const TURNS: usize = 3;
const TURN: Duration = Duration::from_secs(3);

#[tokio::main]
async fn main() -> Result<()> {
    println!("{:>8} {:>12} {:>12} {:>12} {:>8}", "writers", "store w/s", "batch", "raw w/s", "ratio");
    for writers in [1, 32, 256] {
        let (mut written, mut inserted, mut batches) = (0, 0, 0.0);
        for _ in 0..TURNS {
            let (count, batch) = grouped(writers).await?;
            written += count;
            batches += batch;
            inserted += raw(batch.round().max(1.0) as usize).await?;
        }
        let seconds = (TURNS as f64) * TURN.as_secs_f64();
        let ratio = written as f64 / inserted as f64;
        println!(
            "{writers:>8} {:>12.0} {:>12.1} {:>12.0} {:>7.0}%",
            written as f64 / seconds,
            batches / TURNS as f64,
            inserted as f64 / seconds,
            ratio * 100.0
        );
    }
    lists().await?;
    fan_out().await
}

/// Writes through the store for a turn: how many, and how many to a commit.
async fn grouped(writers: usize) -> Result<(usize, f64)> {
    let dir = tempfile::tempdir()?;
    let store = Store::sqlite(dir.path().join("control.db"), now(), Options::default()).await?;
    let written = Arc::new(AtomicUsize::new(0));
    let end = Instant::now() + TURN;
    let tasks = (0..writers).map(|writer| {
        let (store, written) = (store.clone(), written.clone());
        tokio::spawn(async move {
            let mut round = 0;
            while Instant::now() < end {
                store.write(create(&format!("order-{writer}-{round}"))).await?;
                written.fetch_add(1, Ordering::Relaxed);
                round += 1;
            }
            Ok::<_, dropmate_store::WriteError>(())
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await??;
    }
    let mut registry = Registry::default();
    store.metrics().register(&mut registry);
    let mut text = String::new();
    encode(&mut text, &registry)?;
    let figure = |name: &str| -> Result<f64> {
        let line = text.lines().find(|line| line.starts_with(name)).context("a metric is missing")?;
        Ok(line.rsplit(' ').next().context("a metric has no value")?.parse()?)
    };
    let batch = figure("dropmate_store_batch_writes_sum")? / figure("dropmate_store_batch_writes_count")?;
    store.close().await;
    Ok((written.load(Ordering::Relaxed), batch))
}

/// The same rows into the same tables in transactions of `batch` rows, checking nothing: how many in a turn.
async fn raw(batch: usize) -> Result<usize> {
    let dir = tempfile::tempdir()?;
    let backend = Sqlite::open(&dir.path().join("control.db")).await?;
    let row = "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
    let log = format!(
        "INSERT INTO log (revision, resource, namespace, name, uid, deleted, previous, actor, client, request_id, at, \
         body) VALUES {}",
        vec![row; batch].join(", ")
    );
    let objects = "INSERT INTO objects (resource, namespace, name, uid, revision)
                   SELECT resource, namespace, name, uid, revision FROM log WHERE revision > ?";
    let end = Instant::now() + TURN;
    let mut revision: i64 = 0;
    while Instant::now() < end {
        let mut transaction = backend.pools().write.begin_with("BEGIN IMMEDIATE").await?;
        sqlx::query("UPDATE revision SET value = value + ?").bind(batch as i64).execute(&mut *transaction).await?;
        let before = revision;
        let mut query = sqlx::query(AssertSqlSafe(log.as_str()));
        for _ in 0..batch {
            revision += 1;
            let write = create(&format!("order-{}-{}", revision % 256, revision / 256));
            let Change::Put { uid, body } = write.change else { continue };
            query = query
                .bind(revision)
                .bind(write.key.resource)
                .bind(write.key.namespace)
                .bind(write.key.name)
                .bind(uid)
                .bind(false)
                .bind(0_i64)
                .bind(write.actor.user)
                .bind(write.actor.client)
                .bind(write.actor.request_id)
                .bind(0_i64)
                .bind(body);
        }
        query.execute(&mut *transaction).await?;
        sqlx::query(objects).bind(before).execute(&mut *transaction).await?;
        transaction.commit().await?;
    }
    backend.pools().close().await;
    Ok(revision as usize)
}

async fn lists() -> Result<()> {
    const OBJECTS: usize = 10_000;
    const ROUNDS: u32 = 20;
    let store = Store::memory(now());
    for index in 0..OBJECTS {
        store.write(create(&format!("order-{index:05}"))).await?;
    }
    let scope = Scope { resource: RESOURCE.into(), namespace: None };
    let then = store.revision();
    for (what, at, limit) in [
        ("list of 10,000", At::Latest, None),
        ("page of 500 of 10,000", At::Latest, Some(500)),
        ("page of 500 of 10,000, 1,000 writes ago", At::Exact(then), Some(500)),
    ] {
        if at == At::Exact(then) {
            for index in 0..1_000 {
                store.write(create(&format!("later-{index:05}"))).await?;
            }
        }
        let start = Instant::now();
        for _ in 0..ROUNDS {
            store.list(&scope, at, None, limit).await?;
        }
        println!("{what}: {:.2} ms", (start.elapsed() / ROUNDS).as_secs_f64() * 1e3);
    }
    Ok(())
}

/// From a write's answer to each of a thousand watchers, at 200 writes a second.
async fn fan_out() -> Result<()> {
    const WATCHERS: usize = 1_000;
    const WRITES: Revision = 600;
    let dir = tempfile::tempdir()?;
    let store = Store::sqlite(dir.path().join("control.db"), now(), Options::default()).await?;
    let scope = Scope { resource: RESOURCE.into(), namespace: None };
    let origin = Instant::now();
    let mut watchers = Vec::new();
    for _ in 0..WATCHERS {
        let mut watch = store.watch(scope.clone(), 0).await?;
        watchers.push(tokio::spawn(async move {
            let mut seen = Vec::new();
            while let Some(Ok(event)) = watch.next().await {
                seen.push(origin.elapsed());
                if event.revision == WRITES {
                    break;
                }
            }
            seen
        }));
    }
    let mut answered = Vec::new();
    let mut ticks = tokio::time::interval(Duration::from_millis(5));
    for index in 0..WRITES {
        ticks.tick().await;
        store.write(create(&format!("order-{index}"))).await?;
        answered.push(origin.elapsed());
    }
    let mut latencies = Vec::new();
    for watcher in watchers {
        let seen = watcher.await?;
        anyhow::ensure!(seen.len() == answered.len(), "a watcher lost events");
        latencies.extend(seen.iter().zip(&answered).map(|(seen, answered)| seen.saturating_sub(*answered)));
    }
    latencies.sort();
    let at = |share: f64| latencies[((latencies.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
    println!("answer to event, {WATCHERS} watchers, 200 writes/s: p50 {:.2} ms, p99 {:.2} ms", at(0.5), at(0.99));
    store.close().await;
    Ok(())
}

/// A create with a body of 1.5 KB.
fn create(name: &str) -> Write {
    let body = format!("{{\"metadata\":{{\"name\":\"{name}\"}},\"text\":\"{}\"}}", "x".repeat(1_450));
    Write {
        key: Key { resource: RESOURCE.into(), namespace: "default".into(), name: name.into() },
        expect: Expect::Absent,
        change: Change::Put { uid: format!("00000000-0000-4000-8000-{name:>12}"), body: body.into() },
        guards: Vec::new(),
        urgent: false,
        actor: Actor { user: "operator".into(), client: "bench".into(), request_id: "00000000".into() },
    }
}

fn now() -> Now {
    Arc::new(|| Timestamp::UNIX_EPOCH)
}
