//! What phones bring in: kept first, then acknowledged, then shown as a hint to whoever looks at the map.

mod latest;
mod metrics;
mod osmand;
mod overland;
mod owntracks;
mod parsed;
mod pull;
mod recall;
mod receive;
mod traccar;
mod values;

use dropmate_ingest::{Fix, Ingest, KeepError, Kept};
use dropmate_live::{Position, Topic};
use jiff::Timestamp;
use serde::Serialize;

pub(crate) use self::{latest::of_driver, metrics::Metrics, pull::after, recall::recall, receive::routes};
use crate::{
    error::{ApiError, Result},
    state::AppState,
};

/// Seconds after which a phone tries again when it is told that too much waits.
const RETRY_AFTER_SECONDS: u32 = 2;

/// What became of the fixes of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Counts {
    accepted: usize,
    duplicate: usize,
    rejected: usize,
}

/// The service; in memory there is none.
pub(crate) fn of(state: &AppState) -> Result<&Ingest> {
    state.ingest.as_ref().ok_or_else(ApiError::no_such_path)
}

/// Keeps the fixes of a driver that make sense; answers when they are durable. `unread` more could not be read at all.
pub(crate) async fn keep(
    state: &AppState,
    source: &'static str,
    namespace: &str,
    driver: &str,
    fixes: Vec<Fix>,
    unread: usize,
) -> Result<Counts> {
    let ingest = of(state)?;
    let now = state.clock.business_now();
    let all = fixes.len();
    let fixes: Vec<Fix> = fixes.into_iter().filter_map(|fix| fix.checked(now).ok()).collect();
    let rejected = unread + all - fixes.len();
    let kept = if fixes.is_empty() {
        Ok(dropmate_ingest::Counts::default())
    } else {
        ingest.keep(namespace, driver, &fixes).await
    };
    let kept = kept.map_err(|error| match error {
        KeepError::Full => ApiError::unavailable(error.to_string()).retry_after(RETRY_AFTER_SECONDS),
        KeepError::Unavailable => ApiError::unavailable(error.to_string()),
    })?;
    let counts = Counts { accepted: kept.accepted, duplicate: kept.duplicate, rejected };
    state.phones.count(source, counts);
    if kept.accepted > 0 {
        hint(state, namespace, driver, &fixes, now);
    }
    Ok(counts)
}

/// Shows the newest of them.
fn hint(state: &AppState, namespace: &str, driver: &str, fixes: &[Fix], now: Timestamp) {
    let Some(uid) = state.members.driver(namespace, driver) else { return };
    let newest = fixes.iter().max_by_key(|fix| fix.at);
    // A phone whose clock is ahead is where it is now: its next word must not count for less.
    let position = newest.map(|fix| position(namespace, driver, uid.clone(), fix, fix.at.min(now)));
    state.live.saw(position);
    state.live.wake(Topic::Positions);
}

fn position(namespace: &str, driver: &str, uid: String, fix: &Fix, at: Timestamp) -> Position {
    Position {
        namespace: namespace.to_owned(),
        driver: driver.to_owned(),
        uid,
        at,
        latitude: fix.latitude,
        longitude: fix.longitude,
        speed_meters_per_second: fix.detail.speed_meters_per_second,
        bearing: fix.detail.bearing,
        accuracy_meters: fix.detail.accuracy_meters,
    }
}

/// A position as the tracking agent reads it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Pulled<'a> {
    seq: i64,
    namespace: &'a str,
    driver: &'a str,
    at: Timestamp,
    recorded_at: Timestamp,
    latitude: f64,
    longitude: f64,
    #[serde(flatten)]
    detail: &'a dropmate_ingest::Detail,
}

impl<'a> From<&'a Kept> for Pulled<'a> {
    fn from(kept: &'a Kept) -> Self {
        let Kept { seq, namespace, driver, recorded_at, fix } = kept;
        Self {
            seq: *seq,
            namespace,
            driver,
            at: fix.at,
            recorded_at: *recorded_at,
            latitude: fix.latitude,
            longitude: fix.longitude,
            detail: &fix.detail,
        }
    }
}
