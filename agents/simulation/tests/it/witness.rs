//! Sees every change of orders and drivers, and feeds them to the checker in the order of revisions.

use std::sync::{Arc, Mutex};

use dropmate_control_plane::ControlPlane;
use dropmate_simulation::invariants::Checker;
use dropmate_store::{Event, Scope};
use serde_json::Value;
use tokio::task::JoinSet;

/// The kinds that the invariants are about.
const KINDS: [&str; 2] = ["orders.dropmate.dev", "drivers.dropmate.dev"];

pub(super) struct Witness {
    seen: Arc<Mutex<Vec<Arc<Event>>>>,
    _watches: JoinSet<()>,
}

impl Witness {
    /// Watches from the very first revision on.
    pub(super) fn start(control: &ControlPlane) -> Self {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let mut watches = JoinSet::new();
        for kind in KINDS {
            let (store, seen) = (control.store().clone(), seen.clone());
            watches.spawn(async move {
                let mut after = 0;
                loop {
                    let scope = Scope { resource: kind.to_owned(), namespace: None };
                    let mut watch = store.watch(scope, after).await.expect("nothing is compacted within a day");
                    while let Some(event) = watch.next().await {
                        let event = event.expect("the log in memory can be read");
                        after = event.revision;
                        seen.lock().unwrap().push(event);
                    }
                }
            });
        }
        Self { seen, _watches: watches }
    }

    /// What the changes so far come to.
    pub(super) fn check(&self) -> Checker {
        let mut events = self.seen.lock().unwrap().clone();
        events.sort_by_key(|event| event.revision);
        let mut checker = Checker::default();
        for event in events.iter().filter(|event| !event.deleted) {
            let mut object: Value = serde_json::from_str(&event.object.body).unwrap();
            object["metadata"]["resourceVersion"] = event.revision.to_string().into();
            if event.object.key.resource == KINDS[0] {
                checker.see_order(serde_json::from_value(object).unwrap());
            } else {
                checker.see_driver(serde_json::from_value(object).unwrap());
            }
        }
        checker
    }
}
