//! From the log to events.

use std::{collections::BTreeSet, sync::LazyLock};

use dropmate_api::{
    Clock, GROUP, SYSTEM_NAMESPACE, VERSION,
    events::cloud::{self, CloudEvent, Origin},
    registry,
};
use dropmate_store::{At, Event, LogPiece, ReadError, Revision, Store};
use serde_json::Value;

use crate::{
    error::{ApiError, Result},
    resources,
    stream::epoch,
};

/// Bodies of the events in one page, in bytes: a few of the largest orders, each told by several events. Then the page
/// ends early, and the next one goes on.
const PAGE_BYTES: usize = 8 << 20;

/// Where the objects are stored that events are about, and what they are called.
static TOLD: LazyLock<Vec<(&'static str, &'static str)>> = LazyLock::new(|| {
    let ours = registry::kinds().iter().filter(|kind| kind.group == GROUP && kind.version == VERSION);
    ours.filter(|kind| cloud::is_told(kind.plural)).map(|kind| (kind.storage, kind.plural)).collect()
});

/// The same as the store wants it.
static RESOURCES: LazyLock<BTreeSet<String>> =
    LazyLock::new(|| TOLD.iter().map(|(storage, _)| (*storage).to_owned()).collect());

/// Where the objects are stored that events are about.
pub(super) fn resources() -> &'static BTreeSet<String> {
    &RESOURCES
}

/// A piece of what happened.
#[derive(Debug, Default)]
pub(super) struct Page {
    pub(super) events: Vec<CloudEvent>,
    /// The last revision that was looked at: the next page goes on after it. Never in the middle of a revision.
    pub(super) next: Revision,
    /// The newest revision then.
    pub(super) newest: Revision,
}

/// What happened after a revision, as far as at most `limit` entries of the log tell it.
pub(super) async fn after(
    store: &Store,
    clock: &Clock,
    epoch: &str,
    after: Revision,
    limit: usize,
) -> std::result::Result<Page, ReadError> {
    let piece = store.log(resources(), after, limit).await?;
    Ok(page(clock, epoch, &piece))
}

fn page(clock: &Clock, epoch: &str, piece: &LogPiece) -> Page {
    let mut page = Page { events: Vec::new(), next: piece.upto, newest: piece.newest };
    let mut bytes = 0;
    for (index, change) in piece.events.iter().enumerate() {
        let events = of_change(clock, epoch, change);
        bytes += change.object.body.len() * events.len();
        page.events.extend(events);
        if bytes > PAGE_BYTES && index + 1 < piece.events.len() {
            page.next = change.revision;
            break;
        }
    }
    page
}

/// All events of one revision.
fn of_change(clock: &Clock, epoch: &str, change: &Event) -> Vec<CloudEvent> {
    let key = &change.object.key;
    let Some((_, resource)) = TOLD.iter().find(|(storage, _)| *storage == key.resource) else { return Vec::new() };
    let origin = Origin { epoch, revision: change.revision, resource, namespace: &key.namespace, name: &key.name };
    let read = |body: &str| serde_json::from_str::<Value>(body).ok();
    let last = read(&change.object.body);
    // A deletion carries the last state, which is what went.
    let (before, after) = if change.deleted {
        (last, None)
    } else {
        (change.previous.as_ref().and_then(|previous| read(&previous.body)), last)
    };
    cloud::of_revision(&origin, before.as_ref(), after.as_ref(), clock)
}

/// The epoch of the history, and the newest revision.
pub(super) async fn history(store: &Store) -> Result<(String, Revision)> {
    let (system, newest) = store.get(&resources::namespace_key(SYSTEM_NAMESPACE), At::Latest).await?;
    let system = system.ok_or_else(|| ApiError::unavailable("the server is still starting"))?;
    Ok((epoch(&system.uid, newest), newest))
}

/// The oldest revision after which everything that happened can still be told.
pub(super) async fn oldest(store: &Store) -> std::result::Result<Revision, ReadError> {
    let mut oldest = 0;
    for resource in resources() {
        oldest = oldest.max(store.floor(resource).await?);
    }
    Ok(oldest)
}
