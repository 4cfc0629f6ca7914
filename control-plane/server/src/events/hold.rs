//! History that a reader of events has not passed stays: each says in its Lease how far it is, and every replica keeps to
//! the slowest of them when it removes history.

use std::{collections::BTreeMap, time::Duration};

use dropmate_api::SYSTEM_NAMESPACE;
use dropmate_store::{At, Object, Revision, Scope};

use super::{
    lease::{self, LEASES},
    metrics::Metrics,
};
use crate::{error::Result, state::AppState};

/// Whose cursors count: the publisher's, and the notification agent's.
const READERS: [&str; 2] = [lease::NAME, "notification-events"];
/// How long between two tries to follow them.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// How far readers are, as far as their Leases say.
#[derive(Debug, Default, PartialEq, Eq)]
struct Cursors(BTreeMap<&'static str, Revision>);

impl Cursors {
    fn note(&mut self, lease: &Object, deleted: bool) {
        let Some(reader) = READERS.into_iter().find(|reader| *reader == lease.key.name) else { return };
        match lease::cursor(lease).filter(|_| !deleted) {
            Some(cursor) => self.0.insert(reader, cursor),
            // Whoever is not there any more, or says nothing, is not waited for.
            None => self.0.remove(reader),
        };
    }

    fn slowest(&self) -> Option<Revision> {
        self.0.values().min().copied()
    }
}

/// Runs until the server drains.
pub(super) async fn run(state: AppState, metrics: Metrics) {
    let follow = async {
        loop {
            if let Err(error) = follow(&state, &metrics).await {
                tracing::warn!(error = error.message(), "the readers of events could not be followed; trying again");
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    };
    state.shutdown.run_until_cancelled(follow).await;
}

/// Follows their Leases until the watch ends.
async fn follow(state: &AppState, metrics: &Metrics) -> Result<()> {
    let scope = Scope { resource: LEASES.to_owned(), namespace: Some(SYSTEM_NAMESPACE.to_owned()) };
    let page = state.store.list(&scope, At::Latest, None, None).await?;
    let mut cursors = Cursors::default();
    for lease in &page.objects {
        cursors.note(lease, false);
    }
    let mut watch = state.store.watch(scope, page.revision).await?;
    loop {
        state.store.hold(cursors.slowest());
        let newest = state.store.revision();
        for (reader, cursor) in &cursors.0 {
            metrics.behind(reader, newest.saturating_sub(*cursor));
        }
        let Some(change) = watch.next().await else { return Ok(()) };
        let change = change?;
        cursors.note(&change.object, change.deleted);
    }
}

#[cfg(test)]
mod tests {
    use dropmate_store::Key;
    use serde_json::json;

    use super::*;

    fn lease(name: &str, cursor: Option<&str>) -> Object {
        let key = Key { resource: LEASES.to_owned(), namespace: SYSTEM_NAMESPACE.to_owned(), name: name.to_owned() };
        let body = json!({"metadata": {"annotations": {"dropmate.dev/cursor": cursor}}});
        Object::new(key, "u".to_owned(), 1, body.to_string().into())
    }

    #[test]
    fn the_slowest_reader_who_is_there_counts() {
        let mut cursors = Cursors::default();
        assert_eq!(cursors.slowest(), None);
        cursors.note(&lease("event-publisher", Some("40")), false);
        cursors.note(&lease("notification-events", Some("30")), false);
        cursors.note(&lease("dispatch", Some("1")), false);
        assert_eq!(cursors.slowest(), Some(30));
        cursors.note(&lease("notification-events", Some("45")), false);
        assert_eq!(cursors.slowest(), Some(40));
        cursors.note(&lease("event-publisher", Some("40")), true);
        assert_eq!(cursors.slowest(), Some(45));
        for nothing in [None, Some("soon"), Some("-1")] {
            cursors.note(&lease("notification-events", nothing), false);
            assert_eq!(cursors.slowest(), None);
        }
    }
}
