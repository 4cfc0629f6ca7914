//! How long to wait after failures in a row: doubling, bounded, and without jitter, so that a run can be repeated.

use std::time::Duration;

/// Waits that double from `FIRST` to `LONGEST`.
#[derive(Clone, Debug, Default)]
pub struct Backoff {
    failures: u32,
}

/// The wait after the first failure: a passing conflict is over by then.
const FIRST: Duration = Duration::from_millis(200);

/// The longest wait: how late an agent may notice that a server is back.
const LONGEST: Duration = Duration::from_secs(10);

impl Backoff {
    /// Counts a failure and says how long to wait.
    pub fn after_failure(&mut self) -> Duration {
        let wait = FIRST.saturating_mul(2_u32.saturating_pow(self.failures)).min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        wait
    }

    /// Failures in a row.
    pub fn failures(&self) -> u32 {
        self.failures
    }
}

impl Iterator for Backoff {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        Some(self.after_failure())
    }
}

impl kube::runtime::utils::Backoff for Backoff {
    fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest() {
        let millis: Vec<u128> = Backoff::default().take(8).map(|wait| wait.as_millis()).collect();
        assert_eq!(millis, [200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]);
    }
}
