//! Grouped writes a second beside what the same database does without us, in the same run: figures of a noisy machine
//! mean something only as a ratio. Then lists and fan-out. `cargo bench -p dropmate-store`, or with the name of a part:
//! `cargo bench -p dropmate-store -- postgres`.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::sync::Arc;

use anyhow::Result;
use dropmate_store::{Actor, Change, Expect, Key, Now, Write};
use jiff::Timestamp;

mod grouped;
mod postgres;
mod reads;
mod sqlite;

const RESOURCE: &str = "orders.dropmate.dev";

#[tokio::main]
async fn main() -> Result<()> {
    let asked: Vec<_> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let wanted = |part: &str| asked.is_empty() || asked.iter().any(|asked| asked == part);
    if wanted("sqlite") {
        sqlite::grouped_writes().await?;
    }
    if wanted("reads") {
        reads::lists().await?;
        reads::fan_out().await?;
    }
    if wanted("postgres") {
        postgres::grouped_writes().await?;
    }
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
