//! The way of positions into the history: pulled by their sequence from the control plane, kept, and then handed on.

use std::time::Duration;

use dropmate_agent::{Backoff, CallError, call};
use dropmate_api::Location;
use jiff::Timestamp;
use kube::Client;
use serde::Deserialize;
use tokio::{sync::mpsc, time::sleep};
use tokio_util::sync::CancellationToken;

use crate::{
    Metrics,
    fix::Fix,
    store::{Appended, Store},
};

/// Positions asked for at once: some hundred kilobytes, and one transaction.
const AT_ONCE: usize = 2_000;

/// How long the control plane may wait for a position to come; less than a call may take.
const WAIT: Duration = Duration::from_secs(5);

/// A position as the control plane hands it on.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pulled {
    /// Its number.
    pub seq: i64,
    /// The driver's namespace.
    pub namespace: String,
    /// The driver's name.
    pub driver: String,
    /// When, by the phone (business time).
    pub at: Timestamp,
    /// When it was told (system time).
    pub recorded_at: Timestamp,
    /// Degrees north.
    pub latitude: f64,
    /// Degrees east.
    pub longitude: f64,
    /// What else the phone said.
    #[serde(flatten)]
    pub detail: crate::store::Detail,
}

impl Pulled {
    /// What geofences and ETAs need of it.
    pub fn fix(&self) -> Fix {
        Fix {
            at: self.at,
            place: Location { latitude: self.latitude, longitude: self.longitude },
            accuracy_meters: self.detail.accuracy_meters,
            speed_meters_per_second: self.detail.speed_meters_per_second,
        }
    }
}

/// A piece of the sequence.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Page {
    /// In order of their numbers.
    pub positions: Vec<Pulled>,
    /// Where to go on.
    pub next: i64,
    /// The lowest number that is still there.
    #[serde(default)]
    pub oldest: i64,
}

/// The control plane's positions.
#[derive(Clone)]
pub struct Positions {
    client: Client,
}

impl Positions {
    /// As the client's caller.
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    /// Those after a number; waits a little if there are none.
    pub async fn after(&self, seq: i64) -> Result<Page, CallError> {
        let path = format!("/v1/internal/positions?after={seq}&limit={AT_ONCE}&wait={}", WAIT.as_secs());
        let request = http::Request::get(path)
            .body(Vec::new())
            .map_err(kube::core::request::Error::BuildRequest)
            .map_err(kube::Error::BuildRequest)?;
        call(self.client.request(request)).await
    }
}

/// Pulls until the term ends. What is kept is handed on, in pieces; who takes them slowly slows the pulling.
pub(crate) async fn run(
    positions: Positions,
    store: Store,
    kept: mpsc::Sender<Vec<Pulled>>,
    metrics: Metrics,
    ended: CancellationToken,
) {
    let mut backoff = Backoff::default();
    let mut after = None;
    loop {
        let piece = ended.run_until_cancelled(one(&positions, &store, &mut after, &metrics)).await;
        match piece {
            None => return,
            Some(Ok(piece)) => {
                backoff = Backoff::default();
                if !piece.is_empty() && kept.send(piece).await.is_err() {
                    return;
                }
            }
            Some(Err(error)) => {
                let failures = backoff.failures();
                let wait = backoff.after_failure();
                metrics.pull_failures.inc();
                // A restart of the server is no news; what lasts is.
                if failures >= 3 {
                    tracing::warn!(error = %format!("{error:#}"), "positions cannot be pulled; trying again");
                }
                if ended.run_until_cancelled(sleep(wait)).await.is_none() {
                    return;
                }
                // Whether the last piece was kept is not known after a failed commit.
                after = None;
            }
        }
    }
}

async fn one(
    positions: &Positions,
    store: &Store,
    after: &mut Option<i64>,
    metrics: &Metrics,
) -> anyhow::Result<Vec<Pulled>> {
    let from = match *after {
        Some(from) => from,
        None => store.progress().await?,
    };
    *after = Some(from);
    let page = positions.after(from).await?;
    if from > 0 && page.oldest > from + 1 && !page.positions.is_empty() {
        tracing::warn!(missed = page.oldest - from - 1, "positions were removed before they were read");
        metrics.missed.inc_by((page.oldest - from - 1).unsigned_abs());
    }
    if page.next == from {
        return Ok(Vec::new());
    }
    if page.next < from {
        tracing::warn!(was = from, now = page.next, "the sequence of positions begins anew");
    }
    match store.append(from, page.next, &page.positions).await? {
        Appended::Kept => {
            *after = Some(page.next);
            metrics.positions.inc_by(page.positions.len() as u64);
            Ok(page.positions)
        }
        Appended::Elsewhere => {
            *after = None;
            Ok(Vec::new())
        }
    }
}
