//! Which orders each driver is about, from memory, and who wants to hear that something of an order has changed.
//!
//! An index over all orders, kept up to date by a watch. What is shown to a customer is judged on the orders themselves;
//! the index only tells which ones these are, and when the driver left those that are over.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::Duration,
};

use dropmate_api::{Phase, order::Stops};
use dropmate_store::{At, Event, Key, Object, Scope, Store, Watch};
use jiff::Timestamp;
use serde::Deserialize;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::view::visited;

const ORDERS: &str = "orders.dropmate.dev";
const DRIVERS: &str = "drivers.dropmate.dev";
/// The pause before the index is made anew after its watch broke off: the store is busy or closing.
const AGAIN_AFTER: Duration = Duration::from_millis(200);
/// After so many newcomers, those are forgotten whom nobody listens to any more.
const TIDY_EVERY: usize = 256;

/// A namespace and a name in it.
pub(super) type Place = (String, String);

/// What drivers are about.
#[derive(Clone, Debug, Default)]
pub(super) struct Turns {
    index: Arc<RwLock<Index>>,
    rooms: Arc<Mutex<Rooms>>,
}

#[derive(Debug, Default)]
struct Index {
    rounds: HashMap<Place, Round>,
    /// The driver of each order that has one.
    drivers: HashMap<Place, String>,
}

/// What one driver is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Round {
    /// The names of the orders that are bound to the driver and not over.
    pub(super) open: BTreeSet<String>,
    /// When the driver was last at a stop of one that is not among them any more.
    pub(super) left: Option<Timestamp>,
}

#[derive(Debug, Default)]
struct Rooms {
    open: HashMap<Place, watch::Sender<()>>,
    newcomers: usize,
}

/// As much of an order as is asked for.
#[derive(Deserialize)]
struct Seen {
    #[serde(default)]
    status: SeenStatus,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct SeenStatus {
    phase: Phase,
    driver_name: Option<String>,
    stops: Stops,
}

impl Index {
    /// Takes an order as it is now; the drivers who may have another turn by it.
    fn take(&mut self, key: &Key, body: &str, deleted: bool) -> Vec<Place> {
        let Ok(Seen { status }) = serde_json::from_str(body) else { return Vec::new() };
        let place = (key.namespace.clone(), key.name.clone());
        let bound = status.driver_name.filter(|_| !deleted && !status.phase.is_terminal());
        let before = match &bound {
            Some(driver) => self.drivers.insert(place, driver.clone()),
            None => self.drivers.remove(&place),
        };
        let mut touched = Vec::new();
        if let Some(before) = before.filter(|before| bound.as_ref() != Some(before)) {
            let driver = (key.namespace.clone(), before);
            if let Some(round) = self.rounds.get_mut(&driver) {
                round.open.remove(&key.name);
                round.left = round.left.max(visited(&status.stops));
            }
            touched.push(driver);
        }
        if let Some(driver) = bound {
            let driver = (key.namespace.clone(), driver);
            self.rounds.entry(driver.clone()).or_default().open.insert(key.name.clone());
            touched.push(driver);
        }
        touched
    }

    /// Takes an order that is over and was never seen before: at the start.
    fn take_past(&mut self, key: &Key, body: &str) {
        let Ok(Seen { status }) = serde_json::from_str(body) else { return };
        if let Some(driver) = status.driver_name.filter(|_| status.phase.is_terminal()) {
            let round = self.rounds.entry((key.namespace.clone(), driver)).or_default();
            round.left = round.left.max(visited(&status.stops));
        }
    }
}

impl Turns {
    /// Reads all orders, and follows them and the drivers from then on until the store is closed.
    pub(super) async fn follow(store: &Store, stop: CancellationToken) -> Self {
        let turns = Self::default();
        let mut orders = turns.load(store).await;
        let (following, kept, ended) = (turns.clone(), store.clone(), stop.clone());
        tokio::spawn(async move {
            let followed = async {
                loop {
                    while let Some(Ok(event)) = next(&mut orders).await {
                        following.took(&event);
                    }
                    tokio::time::sleep(AGAIN_AFTER).await;
                    orders = following.load(&kept).await;
                    following.tell_all();
                }
            };
            ended.run_until_cancelled(followed).await;
        });
        let (following, kept) = (turns.clone(), store.clone());
        tokio::spawn(async move {
            let followed = async {
                loop {
                    let scope = Scope { resource: DRIVERS.to_owned(), namespace: None };
                    let mut drivers = kept.watch(scope, kept.revision()).await.ok();
                    following.tell_all();
                    while let Some(Ok(event)) = next(&mut drivers).await {
                        following.driver_changed(&event);
                    }
                    tokio::time::sleep(AGAIN_AFTER).await;
                }
            };
            stop.run_until_cancelled(followed).await;
        });
        turns
    }

    async fn load(&self, store: &Store) -> Option<Watch> {
        let scope = Scope { resource: ORDERS.to_owned(), namespace: None };
        let page = store.list(&scope, At::Any, None, None).await.ok()?;
        let mut index = Index::default();
        for object in &page.objects {
            index.take(&object.key, &object.body, false);
            index.take_past(&object.key, &object.body);
        }
        *self.index.write().unwrap_or_else(PoisonError::into_inner) = index;
        store.watch(scope, page.revision).await.ok()
    }

    fn took(&self, event: &Event) {
        let Object { key, body, .. } = &*event.object;
        let (drivers, orders) = {
            let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
            let drivers = index.take(key, body, event.deleted);
            let open = |driver: &Place| index.rounds.get(driver).map(|round| round.open.clone()).unwrap_or_default();
            let orders: BTreeSet<String> = drivers.iter().flat_map(open).collect();
            (drivers, orders)
        };
        tracing::trace!(drivers = drivers.len(), "turns may have changed");
        self.tell(&(key.namespace.clone(), key.name.clone()));
        for name in orders.into_iter().filter(|name| *name != key.name) {
            self.tell(&(key.namespace.clone(), name));
        }
    }

    fn driver_changed(&self, event: &Event) {
        let Key { namespace, name, .. } = &event.object.key;
        let open = self.round(namespace, name).open;
        for order in open {
            self.tell(&(namespace.clone(), order));
        }
        if event.deleted {
            let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
            let place = (namespace.clone(), name.clone());
            if index.rounds.get(&place).is_some_and(|round| round.open.is_empty()) {
                index.rounds.remove(&place);
            }
        }
    }

    /// What a driver is about.
    pub(super) fn round(&self, namespace: &str, driver: &str) -> Round {
        let index = self.index.read().unwrap_or_else(PoisonError::into_inner);
        index.rounds.get(&(namespace.to_owned(), driver.to_owned())).cloned().unwrap_or_default()
    }

    /// Changes whenever something changes that may change what the customer of that order sees.
    pub(super) fn listen(&self, order: &Place) -> watch::Receiver<()> {
        let mut rooms = self.rooms.lock().unwrap_or_else(PoisonError::into_inner);
        rooms.newcomers += 1;
        if rooms.newcomers >= TIDY_EVERY {
            rooms.newcomers = 0;
            rooms.open.retain(|_, sender| sender.receiver_count() > 0);
        }
        rooms.open.entry(order.clone()).or_default().subscribe()
    }

    fn tell(&self, order: &Place) {
        let rooms = self.rooms.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = rooms.open.get(order) {
            sender.send_replace(());
        }
    }

    /// Where nobody knows what was missed, everybody looks.
    pub(super) fn tell_all(&self) {
        let rooms = self.rooms.lock().unwrap_or_else(PoisonError::into_inner);
        for sender in rooms.open.values() {
            sender.send_replace(());
        }
    }
}

async fn next(watch: &mut Option<Watch>) -> Option<Result<Arc<Event>, dropmate_store::ReadError>> {
    watch.as_mut()?.next().await
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn key(name: &str) -> Key {
        Key { resource: ORDERS.to_owned(), namespace: "acme".to_owned(), name: name.to_owned() }
    }

    fn body(driver: Option<&str>, phase: &str, visited: Option<&str>) -> String {
        let mut body = json!({"status": {"phase": phase, "stops": {"pickup": {}, "dropoff": {}}}});
        if let Some(driver) = driver {
            body["status"]["driverName"] = driver.into();
        }
        if let Some(at) = visited {
            body["status"]["stops"]["dropoff"]["completedAt"] = at.into();
        }
        body.to_string()
    }

    fn round(index: &Index, driver: &str) -> (Vec<String>, Option<String>) {
        let round = index.rounds.get(&("acme".to_owned(), driver.to_owned())).cloned().unwrap_or_default();
        (round.open.into_iter().collect(), round.left.map(|at| at.to_string()))
    }

    #[test]
    fn a_driver_is_about_what_is_bound_and_not_over_and_it_is_known_when_the_rest_was_left() {
        let mut index = Index::default();
        let at = "2027-01-01T10:00:00Z";
        index.take(&key("a"), &body(Some("sam"), "OutForDelivery", None), false);
        index.take(&key("b"), &body(Some("sam"), "Assigned", None), false);
        assert_eq!(round(&index, "sam"), (vec!["a".to_owned(), "b".to_owned()], None));
        index.take(&key("a"), &body(Some("sam"), "Delivered", Some(at)), false);
        assert_eq!(round(&index, "sam"), (vec!["b".to_owned()], Some(at.to_owned())));
        let touched = index.take(&key("b"), &body(Some("kim"), "Assigned", None), false);
        assert_eq!(touched.len(), 2, "both have another turn");
        assert_eq!(round(&index, "sam"), (Vec::new(), Some(at.to_owned())), "what was left is not forgotten");
        assert_eq!(round(&index, "kim"), (vec!["b".to_owned()], None));
        index.take(&key("b"), &body(Some("kim"), "Assigned", None), true);
        assert_eq!(round(&index, "kim").0, Vec::<String>::new());
    }

    #[test]
    fn at_the_start_what_is_over_tells_when_it_was_left() {
        let mut index = Index::default();
        index.take_past(&key("a"), &body(Some("sam"), "Delivered", Some("2027-01-01T10:00:00Z")));
        index.take_past(&key("b"), &body(Some("sam"), "OutForDelivery", Some("2027-01-01T11:00:00Z")));
        assert_eq!(round(&index, "sam"), (Vec::new(), Some("2027-01-01T10:00:00Z".to_owned())));
    }
}
