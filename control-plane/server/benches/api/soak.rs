//! Ten minutes of writes with watchers, some of which never read: does memory stay flat.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use futures::future::try_join_all;

use crate::{
    figures::mib,
    server::Server,
    watchers::{self, RATE},
};

const MINUTES: u64 = 10;
const READING: usize = 80;
const NEVER_READING: usize = 20;
/// Memory may rise while buffers fill; after this long it must stay.
const SETTLED_AFTER: usize = 3;
/// By how much it may still differ then.
const FLAT_MIB: f64 = 16.0;

pub(crate) async fn run(server: &Server) -> Result<()> {
    println!("\n## {MINUTES} minutes of {RATE} writes/s, {READING} watchers and {NEVER_READING} that never read");
    let version = watchers::fill(server).await?;
    let reading = watchers::idle(server, READING).await?;
    // They are open, and nobody asks for their bodies.
    let stuck = try_join_all((0..NEVER_READING).map(|_| watchers::stream(server, &version))).await?;
    let mut minutes = Vec::new();
    for minute in 1..=MINUTES {
        watchers::write(server, Instant::now(), usize::try_from(RATE * 60)?).await?;
        let (now, _) = server.memory();
        minutes.push(mib(now));
        println!("minute {minute}: {:.0} MiB", mib(now));
    }
    drop((reading, stuck));
    tokio::time::sleep(Duration::from_secs(1)).await;
    let settled = &minutes[SETTLED_AFTER - 1..];
    let (least, most) = settled.iter().fold((f64::MAX, 0.0_f64), |(least, most), m| (least.min(*m), most.max(*m)));
    println!("after minute {SETTLED_AFTER}: between {least:.0} and {most:.0} MiB");
    ensure!(most - least <= FLAT_MIB, "memory is not flat");
    Ok(())
}
