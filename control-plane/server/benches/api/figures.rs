//! What was measured, and how it is printed.

use std::time::Duration;

use crate::server::{Cpu, Server};

/// One row.
pub(crate) struct Row<'a> {
    pub(crate) what: &'a str,
    pub(crate) took: Vec<Duration>,
    pub(crate) wall: Duration,
    pub(crate) cpu: Cpu,
    /// CPU ms of the reference for one operation, and by how much less of it we mean to take.
    pub(crate) reference: Option<(f64, f64)>,
}

pub(crate) fn head() {
    println!(
        "{:<26} {:>8} {:>8} {:>8} {:>10} {:>10} {:>10} {:>9}",
        "operation", "op/s", "p50 ms", "p99 ms", "server ms", "db ms", "target ms", "of target"
    );
}

impl Row<'_> {
    pub(crate) fn print(mut self) {
        self.took.sort_unstable();
        let count = self.took.len() as f64;
        let (server, database) = (ms(self.cpu.server) / count, ms(self.cpu.database) / count);
        let target = self.reference.map(|(ms, parts)| ms / parts);
        println!(
            "{:<26} {:>8.0} {:>8.2} {:>8.2} {:>10.3} {:>10.3} {:>10} {:>9}",
            self.what,
            count / self.wall.as_secs_f64(),
            ms(percentile(&self.took, 50)),
            ms(percentile(&self.took, 99)),
            server,
            database,
            target.map_or("-".to_owned(), |target| format!("{target:.3}")),
            target.map_or("-".to_owned(), |target| format!("{:.0} %", 100.0 * (server + database) / target)),
        );
    }
}

/// The value that so many percent do not exceed; the times are sorted.
pub(crate) fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    sorted.get((sorted.len() * percent / 100).min(sorted.len().saturating_sub(1))).copied().unwrap_or_default()
}

pub(crate) fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}

pub(crate) fn mib(bytes: u64) -> f64 {
    bytes as f64 / (1_024.0 * 1_024.0)
}

/// What the server holds, now and at most.
pub(crate) fn memory(server: &Server, what: &str) {
    let (now, peak) = server.memory();
    println!("memory, {what}: {:.0} MiB, at most {:.0} MiB", mib(now), mib(peak));
}
