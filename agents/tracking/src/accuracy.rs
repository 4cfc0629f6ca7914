//! How right the ETAs were: what was said at a few distances from the arrival, against the arrival.

use std::collections::BTreeMap;

use dropmate_api::order::StopKind;
use jiff::{SignedDuration, Timestamp};

use crate::watch::StopId;

/// How long before the expected arrival an ETA is noted, and what the metric calls it.
const HORIZONS: [(i64, &str); 4] = [(300, "5m"), (900, "15m"), (1800, "30m"), (3600, "60m")];

/// One ETA against what came of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// How long before.
    pub horizon: &'static str,
    /// Of which stop.
    pub stop: StopKind,
    /// Seconds that the driver came later than said; negative if earlier.
    pub error_seconds: f64,
}

/// The ETAs that were noted.
#[derive(Clone, Debug, Default)]
pub struct Accuracy(BTreeMap<StopId, [Option<Timestamp>; HORIZONS.len()]>);

impl Accuracy {
    /// An arrival is expected then. Of each horizon the first ETA within it counts; one that comes when half of it is over
    /// belongs to a nearer one.
    pub fn predict(&mut self, stop: &StopId, arrival: Timestamp, now: Timestamp) {
        let ahead = arrival.duration_since(now);
        let noted = self.0.entry(stop.clone()).or_default();
        for (slot, (seconds, _)) in noted.iter_mut().zip(HORIZONS) {
            let horizon = SignedDuration::from_secs(seconds);
            if slot.is_none() && ahead <= horizon && ahead > horizon / 2 {
                *slot = Some(arrival);
            }
        }
    }

    /// The driver has arrived: what was said before is judged, once.
    pub fn arrived(&mut self, stop: &StopId, at: Timestamp) -> Vec<Sample> {
        let noted = self.0.remove(stop).unwrap_or_default();
        let judged = noted.into_iter().zip(HORIZONS).filter_map(|(said, (_, horizon))| {
            let error_seconds = at.duration_since(said?).as_secs_f64();
            Some(Sample { horizon, stop: stop.kind, error_seconds })
        });
        judged.collect()
    }

    /// Forgets the stops of orders that are gone.
    pub fn retain(&mut self, there: impl Fn(&str) -> bool) {
        self.0.retain(|stop, _| there(&stop.uid));
    }
}
