//! The whole API over HTTPS, as a program of its own: rates, latencies, and the CPU time of server and database for each
//! operation, beside what a Kubernetes CRD server with etcd takes. `cargo bench -p dropmate-control-plane`, or with names
//! of databases and parts: `cargo bench -p dropmate-control-plane -- sqlite verbs`.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use anyhow::{Result, bail};
use dropmate_control_plane::install_crypto_provider;

mod client;
mod figures;

mod lists;
mod order;
#[allow(dead_code, reason = "the benchmark of ingest starts it again in its data dir")]
mod server;
mod soak;
mod verbs;
mod watchers;

use server::{Kind, Server};

const DATABASES: [(&str, Kind); 2] = [("sqlite", Kind::Sqlite), ("postgres", Kind::Postgres)];
/// `soak` takes ten minutes and comes only when asked for.
const PARTS: [&str; 4] = ["verbs", "lists", "watchers", "soak"];

#[tokio::main]
async fn main() -> Result<()> {
    install_crypto_provider();
    let asked: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let known = |name: &String| PARTS.contains(&name.as_str()) || DATABASES.iter().any(|(known, _)| known == name);
    if let Some(other) = asked.iter().find(|name| !known(name)) {
        bail!("{other:?} is neither a database (sqlite, postgres) nor a part ({})", PARTS.join(", "));
    }
    let named = |name: &str| asked.iter().any(|asked| asked == name);
    let any_database = DATABASES.iter().any(|(name, _)| named(name));
    let any_part = PARTS.iter().any(|part| named(part));
    for (name, kind) in DATABASES {
        if any_database && !named(name) {
            continue;
        }
        println!("\n# {name}");
        if named("verbs") || !any_part {
            verbs::run(&Server::start(kind).await?).await?;
        }
        if named("lists") || !any_part {
            lists::run(&Server::start(kind).await?).await?;
        }
        if named("watchers") || !any_part {
            for count in [100, 1_000] {
                watchers::run(&Server::start(kind).await?, count).await?;
            }
        }
        if named("soak") {
            soak::run(&Server::start(kind).await?).await?;
        }
    }
    Ok(())
}
