//! What an agent watches, kept in memory: by namespace and name, so that a snapshot is sorted as it stands and a change
//! dirties one namespace. (kube's own reflector keeps one unsorted map.)

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Debug,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures::StreamExt;
use kube::{
    Api, Resource, ResourceExt,
    runtime::{
        WatchStreamExt,
        watcher::{self, Event, watcher},
    },
};
use serde::de::DeserializeOwned;
use tokio::{
    sync::{Notify, watch},
    task::JoinSet,
};

use crate::Backoff;

/// The caches of one agent. Dropping them ends the watches.
#[derive(Debug, Default)]
pub struct Caches {
    changes: Arc<Changes>,
    synced: Vec<watch::Receiver<bool>>,
    watches: JoinSet<()>,
}

/// Which namespaces have changed since somebody looked.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    dirty: Mutex<BTreeSet<String>>,
    pub(crate) notify: Notify,
}

/// The objects of one kind. Clones see the same.
#[derive(Debug)]
pub struct Cache<K> {
    objects: Arc<Mutex<Objects<K>>>,
}

type Objects<K> = BTreeMap<String, BTreeMap<String, Arc<K>>>;

impl Caches {
    /// Watches a kind from now on, over errors, cut streams and expired versions. `slim` drops what nobody reads.
    pub fn watch<K>(&mut self, api: Api<K>, slim: fn(&mut K)) -> Cache<K>
    where
        K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
    {
        let cache = Cache { objects: Arc::default() };
        let (synced_tx, synced) = watch::channel(false);
        self.synced.push(synced);
        self.watches.spawn(fill(api, slim, cache.clone(), self.changes.clone(), synced_tx));
        cache
    }

    /// Waits until every cache has seen a whole list.
    pub async fn synced(&self) {
        for synced in &self.synced {
            // The sender lives as long as its watch, and the watches as long as we do.
            let _ = synced.clone().wait_for(|synced| *synced).await;
        }
    }

    pub(crate) fn changes(&self) -> &Arc<Changes> {
        &self.changes
    }
}

async fn fill<K>(api: Api<K>, slim: fn(&mut K), cache: Cache<K>, changes: Arc<Changes>, synced: watch::Sender<bool>)
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
{
    let kind = K::kind(&());
    let slimmed = |mut object: K| {
        object.managed_fields_mut().clear();
        slim(&mut object);
        (object.namespace().unwrap_or_default(), object.name_any(), object)
    };
    let mut listed = Objects::new();
    let mut events = pin!(watcher(api, watcher::Config::default()).backoff(Backoff::default()));
    while let Some(event) = events.next().await {
        match event {
            Ok(Event::Apply(object)) => {
                let (namespace, name, object) = slimmed(object);
                cache.lock().entry(namespace.clone()).or_default().insert(name, Arc::new(object));
                changes.mark([namespace]);
            }
            Ok(Event::Delete(object)) => {
                let namespace = object.namespace().unwrap_or_default();
                if let Some(objects) = cache.lock().get_mut(&namespace) {
                    objects.remove(&object.name_any());
                }
                changes.mark([namespace]);
            }
            Ok(Event::Init) => listed.clear(),
            Ok(Event::InitApply(object)) => {
                let (namespace, name, object) = slimmed(object);
                listed.entry(namespace).or_default().insert(name, Arc::new(object));
            }
            Ok(Event::InitDone) => {
                let before = std::mem::replace(&mut *cache.lock(), std::mem::take(&mut listed));
                changes.mark(before.into_keys());
                changes.mark(cache.namespaces());
                synced.send_replace(true);
            }
            Err(error) => {
                tracing::warn!(%kind, error = crate::reach::chain(&error), "a watch was cut and will be taken up again");
            }
        }
    }
}

impl<K> Cache<K> {
    /// The objects of a namespace, sorted by name.
    pub fn in_namespace(&self, namespace: &str) -> Vec<Arc<K>> {
        self.lock().get(namespace).map(|objects| objects.values().cloned().collect()).unwrap_or_default()
    }

    /// The object of that name.
    pub fn get(&self, namespace: &str, name: &str) -> Option<Arc<K>> {
        self.lock().get(namespace)?.get(name).cloned()
    }

    /// Forgets the objects of a namespace that are no longer of use. They come back when they change or when the watch
    /// has to start anew.
    pub fn forget(&self, namespace: &str, names: &[String]) {
        if let Some(objects) = self.lock().get_mut(namespace) {
            for name in names {
                objects.remove(name);
            }
        }
    }

    /// Every namespace that has, or had, an object.
    pub fn namespaces(&self) -> BTreeSet<String> {
        self.lock().keys().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, Objects<K>> {
        // Nothing under the lock can panic half way, so a poisoned map is still whole.
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K> Clone for Cache<K> {
    fn clone(&self) -> Self {
        Self { objects: self.objects.clone() }
    }
}

impl Changes {
    pub(crate) fn mark(&self, namespaces: impl IntoIterator<Item = String>) {
        self.dirty.lock().unwrap_or_else(PoisonError::into_inner).extend(namespaces);
        self.notify.notify_one();
    }

    /// Takes the namespaces that have changed.
    pub(crate) fn take(&self) -> BTreeSet<String> {
        std::mem::take(&mut *self.dirty.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
