//! Lists, and from a write to its watchers.

use std::time::{Duration, Instant};

use anyhow::Result;
use dropmate_store::{At, Options, Revision, Scope, Store};

use crate::{RESOURCE, create, now};

pub(crate) async fn lists() -> Result<()> {
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
pub(crate) async fn fan_out() -> Result<()> {
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
