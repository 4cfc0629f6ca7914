//! Writes through stores that share a log, and the figures of store and raw side by side.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use dropmate_store::{Store, WriteError};
use prometheus_client::{encoding::text::encode, registry::Registry};

use crate::create;

pub(crate) const WRITERS: [usize; 3] = [1, 32, 256];
/// Store and raw take turns, so that a slow minute of the disk hits both.
const TURNS: usize = 3;
pub(crate) const TURN: Duration = Duration::from_secs(3);

/// Writes, and commits that they came in.
pub(crate) struct Grouped {
    written: usize,
    commits: f64,
}

/// Writes through the stores for a turn, the writers spread over them; closes them.
pub(crate) async fn grouped(stores: &[Store], writers: usize) -> Result<Grouped> {
    let end = Instant::now() + TURN;
    let tasks = (0..writers).map(|writer| {
        let store = stores[writer % stores.len()].clone();
        tokio::spawn(async move {
            let mut written = 0;
            while Instant::now() < end {
                store.write(create(&format!("order-{writer}-{written}"))).await?;
                written += 1;
            }
            Ok::<_, WriteError>(written)
        })
    });
    let mut grouped = Grouped { written: 0, commits: 0.0 };
    for task in tasks.collect::<Vec<_>>() {
        grouped.written += task.await??;
    }
    for store in stores {
        grouped.commits += figure(store, "dropmate_store_batch_writes_count")?;
        store.close().await;
    }
    Ok(grouped)
}

fn figure(store: &Store, name: &str) -> Result<f64> {
    let mut registry = Registry::default();
    store.metrics().register(&mut registry);
    let mut text = String::new();
    encode(&mut text, &registry)?;
    let line = text.lines().find(|line| line.starts_with(name)).context("a metric is missing")?;
    Ok(line.rsplit(' ').next().context("a metric has no value")?.parse()?)
}

/// The figures of one line of the table.
pub(crate) struct Turns {
    database: &'static str,
    replicas: usize,
    writers: usize,
    taken: usize,
    written: usize,
    commits: f64,
    inserted: usize,
    inserted_in_order: usize,
}

impl Turns {
    pub(crate) fn of(database: &'static str, replicas: usize, writers: usize) -> Self {
        Self { database, replicas, writers, taken: 0, written: 0, commits: 0.0, inserted: 0, inserted_in_order: 0 }
    }

    pub(crate) fn go_on(&mut self) -> bool {
        self.taken += 1;
        self.taken <= TURNS
    }

    /// Notes what the store did, and says how many rows the raw inserts shall group.
    pub(crate) fn store(&mut self, turn: &Grouped) -> usize {
        self.written += turn.written;
        self.commits += turn.commits;
        (turn.written as f64 / turn.commits).round().max(1.0) as usize
    }

    pub(crate) fn raw(&mut self, inserted: usize) {
        self.inserted += inserted;
    }

    /// Where writers of several processes could do without an order.
    pub(crate) fn in_order(&mut self, inserted: usize) {
        self.inserted_in_order += inserted;
    }

    pub(crate) fn print(&self) {
        let seconds = TURNS as f64 * TURN.as_secs_f64();
        print!(
            "{:<10} {} replicas, {:>3} writers: store {:>6.0} w/s, {:>5.1} a commit; raw {:>6.0} w/s, ratio {:>3.0} %",
            self.database,
            self.replicas,
            self.writers,
            self.written as f64 / seconds,
            self.written as f64 / self.commits,
            self.inserted as f64 / seconds,
            self.written as f64 / self.inserted as f64 * 100.0,
        );
        if self.inserted_in_order > 0 {
            print!(
                "; raw in order {:>6.0} w/s, ratio {:>3.0} %",
                self.inserted_in_order as f64 / seconds,
                self.written as f64 / self.inserted_in_order as f64 * 100.0,
            );
        }
        println!();
    }
}
