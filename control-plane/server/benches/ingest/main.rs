//! What phones bring in, over HTTPS, to a server of its own: 2,000 drivers with a fix each second, then batches of 50 as fast
//! as they go; the rate, the CPU time of server and database for a fix, and what was lost, which is nothing.
//! `cargo bench --bench ingest`, or with names of databases: `cargo bench --bench ingest -- sqlite`.
//! `DROPMATE_BENCH_SECONDS` (60) says how long each part takes.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]
#![allow(dead_code, reason = "the server and its client are those of the benchmark of the API")]

#[path = "../api/client.rs"]
mod client;
#[path = "../api/figures.rs"]
mod figures;
mod load;
#[path = "../api/server.rs"]
mod server;

use std::time::Duration;

use anyhow::{Context, Result, bail};
use dropmate_control_plane::install_crypto_provider;

use server::Kind;

const DATABASES: [(&str, Kind); 2] = [("sqlite", Kind::Sqlite), ("postgres", Kind::Postgres)];
/// How long each part takes.
const SECONDS: u64 = 60;

#[tokio::main]
async fn main() -> Result<()> {
    install_crypto_provider();
    let asked: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    if let Some(other) = asked.iter().find(|name| DATABASES.iter().all(|(known, _)| known != name)) {
        bail!("{other:?} is no database (sqlite, postgres)");
    }
    let seconds = match std::env::var("DROPMATE_BENCH_SECONDS") {
        Ok(told) => told.parse().context("DROPMATE_BENCH_SECONDS")?,
        Err(_) => SECONDS,
    };
    for (name, kind) in DATABASES {
        if asked.is_empty() || asked.iter().any(|asked| asked == name) {
            println!("\n# {name}, {seconds} s each");
            load::run(kind, Duration::from_secs(seconds)).await?;
        }
    }
    Ok(())
}
