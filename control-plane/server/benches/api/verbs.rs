//! Each verb by itself, then a day of them mixed.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use anyhow::Result;
use bytes::Bytes;
use futures::future::try_join_all;
use http::Method;

use crate::{
    client::{Client, json},
    figures::{self, Row},
    order::{ORDERS, order, text},
    server::Server,
    watchers,
};

/// Connections at once, each with one request under way.
const CLIENTS: usize = 16;
/// Operations of a row.
const OPERATIONS: usize = 8_000;
/// Watchers of the mixed day: agents, boards, and a few people.
const WATCHERS: usize = 10;

const JSON: &str = "application/json";
const MERGE: &str = "application/merge-patch+json";
const APPLY: &str = "application/apply-patch+yaml";

/// CPU ms of the reference, server and database, for one operation, and the part of it that is our target.
const CREATE: (f64, f64) = (1.95, 5.0);
const GET: (f64, f64) = (0.82, 10.0);
const STATUS: (f64, f64) = (3.9, 5.0);
const APPLIED: (f64, f64) = (3.5, 5.0);
const UPDATE: (f64, f64) = (5.3, 5.0);
const MIXED: (f64, f64) = (3.3, 5.0);

pub(crate) async fn run(server: &Server) -> Result<()> {
    println!("\n## verbs: {CLIENTS} clients, {OPERATIONS} operations each row");
    figures::head();
    row(server, "create", CREATE, async |client, i| create(client, &name(i)).await).await?;
    row(server, "get", GET, async |client, i| client.get(&path(i)).await.map(drop)).await?;
    row(server, "status merge patch", STATUS, async |client, i| status(client, i, i).await).await?;
    row(server, "apply", APPLIED, async |client, i| apply(client, i, i).await).await?;
    row(server, "get + update", UPDATE, async |client, i| update(client, i, i).await).await?;
    let watching = watchers::idle(server, WATCHERS).await?;
    row(server, "mixed day, 10 watchers", MIXED, async |client, i| mixed(client, i).await).await?;
    drop(watching);
    row(server, "delete", CREATE, async |client, i| {
        client.call(Method::DELETE, &path(i), JSON, Bytes::new()).await.map(drop)
    })
    .await?;
    figures::memory(server, "at the end");
    Ok(())
}

fn name(i: usize) -> String {
    format!("order-{i:06}")
}

fn path(i: usize) -> String {
    format!("{ORDERS}/{}", name(i))
}

/// One row: the operations are numbered, and each client takes the next.
async fn row(
    server: &Server,
    what: &str,
    reference: (f64, f64),
    operation: impl AsyncFn(&mut Client, usize) -> Result<()>,
) -> Result<()> {
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        clients.push(Client::connect(&server.access).await?);
    }
    let next = AtomicUsize::new(0);
    let before = server.cpu()?;
    let begun = Instant::now();
    let took = try_join_all(clients.iter_mut().map(async |client| {
        let mut took: Vec<Duration> = Vec::new();
        loop {
            let i = next.fetch_add(1, Ordering::Relaxed);
            if i >= OPERATIONS {
                return Ok::<_, anyhow::Error>(took);
            }
            let begun = Instant::now();
            operation(client, i).await?;
            took.push(begun.elapsed());
        }
    }))
    .await?;
    let wall = begun.elapsed();
    let cpu = server.cpu()?.since(before);
    Row { what, took: took.concat(), wall, cpu, reference: Some(reference) }.print();
    Ok(())
}

pub(crate) async fn create(client: &mut Client, name: &str) -> Result<()> {
    client.call(Method::POST, ORDERS, JSON, text(&order(name))).await.map(drop)
}

/// What an agent that tracks writes: a new estimate.
async fn status(client: &mut Client, i: usize, turn: usize) -> Result<()> {
    let second = turn % 60;
    let patch = format!("{{\"status\":{{\"eta\":\"2026-11-24T18:30:{second:02}Z\"}}}}");
    client.call(Method::PATCH, &format!("{}/status", path(i)), MERGE, Bytes::from(patch)).await.map(drop)
}

/// What a pipeline does: the manifest again, with one change.
async fn apply(client: &mut Client, i: usize, turn: usize) -> Result<()> {
    let mut wanted = order(&name(i));
    wanted["metadata"]["labels"]["round"] = format!("round-{turn}").into();
    let url = format!("{}?fieldManager=shop&force=true", path(i));
    client.call(Method::PATCH, &url, APPLY, text(&wanted)).await.map(drop)
}

/// What a controller does.
async fn update(client: &mut Client, i: usize, turn: usize) -> Result<()> {
    let mut held = json(&client.get(&path(i)).await?)?;
    held["spec"]["priority"] = (turn % 7).into();
    held["metadata"]["annotations"]["example.com/turn"] = turn.to_string().into();
    client.call(Method::PUT, &path(i), JSON, text(&held)).await.map(drop)
}

/// Of 20: 4 creates, 5 gets, 7 status patches, 2 applies, 2 updates. No two of them at once on one object.
async fn mixed(client: &mut Client, i: usize) -> Result<()> {
    match i % 20 {
        0..=3 => create(client, &format!("mixed-{i:06}")).await,
        4..=8 => client.get(&path(i)).await.map(drop),
        9..=15 => status(client, i, i + 1).await,
        16 | 17 => apply(client, i, i + 1).await,
        _ => update(client, i, i + 1).await,
    }
}
