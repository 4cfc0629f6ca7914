//! Which Drivers there are, by uid: a paired phone is somebody as long as its Driver is there.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

use dropmate_live::Live;
use dropmate_store::{At, Key, Scope, Store};
use tokio_util::sync::CancellationToken;

use super::{AGAIN_AFTER, Directory, next};

const STORAGE: &str = "drivers.dropmate.dev";

/// The uids of all Drivers, by namespace and name.
#[derive(Clone, Debug, Default)]
pub(super) struct Drivers(Arc<RwLock<HashMap<(String, String), String>>>);

impl Drivers {
    /// The Driver's uid, if it is there.
    pub(super) fn uid(&self, namespace: &str, name: &str) -> Option<String> {
        let held = self.0.read().unwrap_or_else(PoisonError::into_inner);
        held.get(&(namespace.to_owned(), name.to_owned())).cloned()
    }

    async fn load(&self, store: &Store) -> Option<dropmate_store::Watch> {
        let scope = Scope { resource: STORAGE.to_owned(), namespace: None };
        let page = store.list(&scope, At::Any, None, None).await.ok()?;
        let entry = |object: &Arc<dropmate_store::Object>| (place(&object.key), object.uid.clone());
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = page.objects.iter().map(entry).collect();
        store.watch(scope, page.revision).await.ok()
    }

    /// Whether it changes who is somebody: most writes of a Driver do not.
    fn take(&self, object: &dropmate_store::Object, deleted: bool) -> bool {
        let mut held = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if deleted {
            return held.remove(&place(&object.key)).is_some();
        }
        held.insert(place(&object.key), object.uid.clone()).as_ref() != Some(&object.uid)
    }
}

fn place(key: &Key) -> (String, String) {
    (key.namespace.clone(), key.name.clone())
}

impl Directory {
    /// Reads which Drivers there are, and follows them from then on. Where one was who is gone, nobody is told any more.
    pub(super) async fn follow_drivers(&self, store: &Store, live: Live, stop: CancellationToken) {
        let (following, store) = (self.clone(), store.clone());
        let mut watch = following.drivers.load(&store).await;
        tokio::spawn(async move {
            let followed = async {
                loop {
                    while let Some(Ok(event)) = next(&mut watch).await {
                        if event.deleted {
                            live.forget(&event.object.key.namespace, &event.object.key.name);
                        }
                        if following.drivers.take(&event.object, event.deleted) {
                            following.changes.send_modify(|count| *count += 1);
                        }
                    }
                    // As long as nobody knows what has changed, what was known stays.
                    tokio::time::sleep(AGAIN_AFTER).await;
                    watch = following.drivers.load(&store).await;
                    following.changes.send_modify(|count| *count += 1);
                }
            };
            stop.run_until_cancelled(followed).await;
        });
    }
}
