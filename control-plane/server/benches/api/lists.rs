//! Ten thousand orders, listed whole and in pages, by one client and by eight at once.

use std::time::Instant;

use anyhow::{Result, ensure};
use futures::future::try_join_all;

use crate::{
    client::{Client, json},
    figures::{self, Row, mib},
    order::ORDERS,
    server::Server,
    verbs::create,
};

const ORDERS_HELD: usize = 10_000;
const CLIENTS: usize = 8;
const PAGE: usize = 500;
const ROUNDS: usize = 5;
/// Connections that write the orders.
const WRITERS: usize = 16;

/// CPU ms of the reference for one whole list, and our target's part of it.
const WHOLE: (f64, f64) = (850.0, 10.0);
/// What eight clients that list at once may take, as resident memory.
const EIGHT_AT_ONCE_MIB: f64 = 300.0;

pub(crate) async fn run(server: &Server) -> Result<()> {
    println!("\n## lists of {ORDERS_HELD} orders");
    fill(server).await?;
    figures::memory(server, "with the orders");
    figures::head();
    row(server, "list whole", 1, 2 * ROUNDS, WHOLE, ORDERS).await?;
    row(server, "list whole, gzip", 1, ROUNDS, WHOLE, "gzip").await?;
    row(server, "list whole, 8 at once", CLIENTS, 2 * ROUNDS, WHOLE, ORDERS).await?;
    let (_, peak) = server.memory();
    println!("memory, 8 lists at once: at most {:.0} MiB (target {EIGHT_AT_ONCE_MIB:.0})", mib(peak));
    paged(server).await?;
    let selected = format!("{ORDERS}?fieldSelector=status.phase%3DReady");
    row(server, "list whole, field selector", 1, ROUNDS, WHOLE, &selected).await?;
    row(server, "list whole, Table", 1, ROUNDS, WHOLE, "table").await?;
    figures::memory(server, "at the end");
    Ok(())
}

pub(crate) async fn fill(server: &Server) -> Result<()> {
    try_join_all((0..WRITERS).map(async |writer| {
        let mut client = Client::connect(&server.access).await?;
        for i in (writer..ORDERS_HELD).step_by(WRITERS) {
            create(&mut client, &format!("order-{i:06}")).await?;
        }
        Ok::<_, anyhow::Error>(())
    }))
    .await?;
    Ok(())
}

async fn row(
    server: &Server,
    what: &str,
    clients: usize,
    rounds: usize,
    reference: (f64, f64),
    form: &str,
) -> Result<()> {
    let (path, accept) = match form {
        "gzip" => (ORDERS, Some(("accept-encoding", "gzip"))),
        "table" => (ORDERS, Some(("accept", "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"))),
        path => (path, None),
    };
    let before = server.cpu()?;
    let begun = Instant::now();
    let took = try_join_all((0..clients).map(async |_| {
        let mut client = Client::connect(&server.access).await?;
        let mut took = Vec::new();
        for _ in 0..rounds {
            let begun = Instant::now();
            let bytes = client.drain(path, accept).await?;
            took.push(begun.elapsed());
            ensure!(bytes > 0, "an empty answer");
        }
        Ok::<_, anyhow::Error>(took)
    }))
    .await?;
    let wall = begun.elapsed();
    let cpu = server.cpu()?.since(before);
    Row { what, took: took.concat(), wall, cpu, reference: Some(reference) }.print();
    Ok(())
}

/// Ten walks.
async fn paged(server: &Server) -> Result<()> {
    let mut client = Client::connect(&server.access).await?;
    let before = server.cpu()?;
    let begun = Instant::now();
    let mut took = Vec::new();
    for _ in 0..2 * ROUNDS {
        let begun = Instant::now();
        let (mut token, mut seen) = (String::new(), 0);
        loop {
            let page = client.get(&format!("{ORDERS}?limit={PAGE}&continue={token}")).await?;
            let page = json(&page)?;
            seen += page["items"].as_array().map_or(0, Vec::len);
            page["metadata"]["continue"].as_str().unwrap_or_default().clone_into(&mut token);
            if token.is_empty() {
                break;
            }
        }
        took.push(begun.elapsed());
        ensure!(seen == ORDERS_HELD, "a walk saw {seen} orders");
    }
    let wall = begun.elapsed();
    let cpu = server.cpu()?.since(before);
    Row { what: "list in pages of 500", took, wall, cpu, reference: Some(WHOLE) }.print();
    Ok(())
}
