//! Where drivers were last, after a start.

use std::collections::HashMap;

use dropmate_ingest::PAGE_MAX;
use dropmate_store::{At, Scope};
use jiff::Timestamp;
use serde_json::Value;

use super::{of, position};
use crate::{
    error::{ApiError, Result},
    state::AppState,
};

/// Positions that are looked through: the last minutes of a large fleet, the day of a small one, read within a second.
const RECALLED: i64 = 50_000;
/// Where Drivers are stored.
const DRIVERS: &str = "drivers.dropmate.dev";

/// Tells where drivers were last, after a start: what was acknowledged is shown again without waiting for the next fix.
pub(crate) async fn recall(state: AppState) {
    if let Err(error) = try_recall(&state).await {
        tracing::warn!(
            error = error.message(),
            "what was known of drivers' places cannot be read; the next fixes tell"
        );
    }
}

async fn try_recall(state: &AppState) -> Result<()> {
    let ingest = of(state)?;
    let scope = Scope { resource: DRIVERS.to_owned(), namespace: None };
    // Since when each Driver is the one that is there: another of the name before it was somebody else.
    let drivers: HashMap<(String, String), (String, Timestamp)> = state
        .store
        .list(&scope, At::Any, None, None)
        .await?
        .objects
        .iter()
        .filter_map(|object| {
            let body: Value = serde_json::from_str(&object.body).ok()?;
            let since = body.pointer("/metadata/creationTimestamp")?.as_str()?.parse().ok()?;
            Some(((object.key.namespace.clone(), object.key.name.clone()), (object.uid.clone(), since)))
        })
        .collect();
    let now = state.clock.business_now();
    let newest = ingest.positions_after(i64::MAX, 1).await.map_err(unreadable)?.next;
    let mut after = (newest - RECALLED).max(0);
    loop {
        let page = ingest.positions_after(after, PAGE_MAX).await.map_err(unreadable)?;
        let Some(last) = page.positions.last() else { return Ok(()) };
        after = last.seq;
        let theirs = page.positions.iter().filter_map(|kept| {
            let (uid, since) = drivers.get(&(kept.namespace.clone(), kept.driver.clone()))?;
            let (fix, at) = (&kept.fix, kept.fix.at.min(now));
            let is_theirs = kept.recorded_at >= *since;
            is_theirs.then(|| position(&kept.namespace, &kept.driver, uid.clone(), fix, at))
        });
        state.live.saw(theirs);
    }
}

fn unreadable(error: impl std::fmt::Display) -> ApiError {
    ApiError::unavailable(error.to_string())
}
