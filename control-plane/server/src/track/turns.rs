//! Which orders each driver is about, from memory, and who wants to hear that something of an order has changed.
//!
//! An index over all orders, kept up to date by a watch. What is shown to a customer is judged on the orders themselves;
//! the index tells which ones these are, where the driver was for those that are over, and when something changed last of
//! where the driver goes.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::Duration,
};

use dropmate_api::{
    Clock, Location, Phase,
    order::{Attempt, StopState, Stops},
};
use dropmate_store::{At, Event, Key, Object, Scope, Store, Watch};
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::view::{Visit, visited};

const ORDERS: &str = "orders.dropmate.dev";
const DRIVERS: &str = "drivers.dropmate.dev";
/// The pause before the index is made anew after its watch broke off: the store is busy or closing.
const AGAIN_AFTER: Duration = Duration::from_millis(200);
/// After so many newcomers, those are forgotten whom nobody listens to any more.
const TIDY_EVERY: usize = 256;
/// What is known of orders of a driver that are over, at most: of those that were left last.
const PAST_MAX: usize = 64;
/// For so long it is known: no older position is shown to anybody.
const PAST_FOR: SignedDuration = SignedDuration::from_hours(1);

/// A namespace and a name in it.
pub(super) type Place = (String, String);

/// What drivers are about.
#[derive(Clone, Debug)]
pub(super) struct Turns {
    clock: Clock,
    index: Arc<RwLock<Index>>,
    rooms: Arc<Mutex<Rooms>>,
}

#[derive(Debug, Default)]
struct Index {
    rounds: HashMap<Place, Round>,
    /// How far each order is that has a driver.
    orders: HashMap<Place, Bound>,
    /// What changed before is not known.
    since: Option<Timestamp>,
}

/// How far an order is, and with whom.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Bound {
    driver: String,
    phase: Phase,
    stops: (StopState, StopState),
}

/// What one driver is about.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Round {
    /// The names of the orders that are bound to the driver and not over.
    pub(super) open: BTreeSet<String>,
    /// Where the driver was last for each order, also for those that are not among them any more.
    visits: BTreeMap<String, Visit>,
    /// When each order came to mean another thing to the driver (business time).
    changed: BTreeMap<String, Timestamp>,
    /// When the plan changed where the driver goes next, or the index was made.
    planned: Option<Timestamp>,
}

impl Round {
    /// Where the driver was for other orders than that one.
    pub(super) fn visits_but(&self, order: &str) -> Vec<Visit> {
        self.visits.iter().filter(|(name, _)| *name != order).map(|(_, visit)| *visit).collect()
    }

    /// When something changed last that may have made that order the current stop.
    pub(super) fn turned_but(&self, order: &str) -> Option<Timestamp> {
        let others = self.changed.iter().filter(|(name, _)| *name != order).map(|(_, at)| *at);
        others.chain(self.planned).max()
    }

    fn visited(&mut self, order: &str, visit: Option<Visit>) {
        let Some(visit) = visit else { return };
        let held = self.visits.entry(order.to_owned()).or_insert(visit);
        if held.at <= visit.at {
            *held = visit;
        }
    }

    fn changed(&mut self, order: &str, now: Timestamp) {
        self.changed.insert(order.to_owned(), now);
        if self.changed.len() > PAST_MAX {
            self.changed.retain(|_, at| now.duration_since(*at) < PAST_FOR);
        }
        if self.visits.len() > PAST_MAX {
            self.visits.retain(|_, visit| now.duration_since(visit.at) < PAST_FOR);
        }
    }
}

#[derive(Debug, Default)]
struct Rooms {
    open: HashMap<Place, watch::Sender<()>>,
    newcomers: usize,
}

/// As much of an order as is asked for.
#[derive(Deserialize)]
struct Seen {
    spec: SeenSpec,
    #[serde(default)]
    status: SeenStatus,
}

#[derive(Deserialize)]
struct SeenSpec {
    pickup: SeenStop,
    dropoff: SeenStop,
}

#[derive(Deserialize)]
struct SeenStop {
    location: Location,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct SeenStatus {
    phase: Phase,
    driver_name: Option<String>,
    stops: Stops,
    attempts: Vec<Attempt>,
}

impl Seen {
    fn visit(&self) -> Option<Visit> {
        let SeenSpec { pickup, dropoff } = &self.spec;
        visited(pickup.location, dropoff.location, &self.status.stops, &self.status.attempts)
    }
}

/// The order of the plan's first stop, and which of its two it is.
fn first_stop(driver: &Object) -> Option<(String, String)> {
    let body: serde_json::Value = serde_json::from_str(&driver.body).ok()?;
    let first = body.pointer("/status/route/0")?;
    Some((first["order"].as_str()?.to_owned(), first["stop"].as_str()?.to_owned()))
}

impl Index {
    /// Takes an order as it is now (business time); the drivers who may have another turn by it.
    fn take(&mut self, key: &Key, body: &str, deleted: bool, now: Timestamp) -> Vec<Place> {
        let Ok(seen) = serde_json::from_str::<Seen>(body) else { return Vec::new() };
        let visit = seen.visit();
        let SeenStatus { phase, driver_name, stops, .. } = seen.status;
        let place = (key.namespace.clone(), key.name.clone());
        let bound = driver_name.filter(|_| !deleted && !phase.is_terminal());
        let bound = bound.map(|driver| Bound { driver, phase, stops: (stops.pickup.state, stops.dropoff.state) });
        let before = match &bound {
            Some(bound) => self.orders.insert(place, bound.clone()),
            None => self.orders.remove(&place),
        };
        let is_other = bound != before;
        let mut touched = Vec::new();
        if let Some(before) = before.filter(|before| bound.as_ref().is_none_or(|bound| bound.driver != before.driver)) {
            let driver = (key.namespace.clone(), before.driver);
            if let Some(round) = self.rounds.get_mut(&driver) {
                round.open.remove(&key.name);
                round.visited(&key.name, visit);
                round.changed(&key.name, now);
            }
            touched.push(driver);
        }
        if let Some(bound) = bound {
            let driver = (key.namespace.clone(), bound.driver);
            let round = self.rounds.entry(driver.clone()).or_default();
            let is_new = round.open.insert(key.name.clone());
            round.visited(&key.name, visit);
            // What is bound and not set out for takes the turn from no other order, and gives it to none.
            if is_other && !(is_new && bound.phase == Phase::Assigned) {
                round.changed(&key.name, now);
            }
            touched.push(driver);
        }
        touched
    }

    /// Takes an order that is over and was never seen before: at the start.
    fn take_past(&mut self, key: &Key, body: &str) {
        let Ok(seen) = serde_json::from_str::<Seen>(body) else { return };
        let visit = seen.visit();
        if let Some(driver) = seen.status.driver_name.filter(|_| seen.status.phase.is_terminal()) {
            self.rounds.entry((key.namespace.clone(), driver)).or_default().visited(&key.name, visit);
        }
    }
}

impl Turns {
    /// Reads all orders, and follows them and the drivers from then on until the store is closed.
    pub(super) async fn follow(store: &Store, clock: &Clock, stop: CancellationToken) -> Self {
        let turns = Self { clock: clock.clone(), index: Arc::default(), rooms: Arc::default() };
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
        let now = self.clock.business_now();
        let mut index = Index { since: Some(now), ..Index::default() };
        for object in &page.objects {
            index.take(&object.key, &object.body, false, now);
            index.take_past(&object.key, &object.body);
        }
        *self.index.write().unwrap_or_else(PoisonError::into_inner) = index;
        store.watch(scope, page.revision).await.ok()
    }

    fn took(&self, event: &Event) {
        let Object { key, body, .. } = &*event.object;
        let (drivers, orders) = {
            let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
            let drivers = index.take(key, body, event.deleted, self.clock.business_now());
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
        if event.previous.as_deref().and_then(first_stop) != first_stop(&event.object) {
            let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
            index.rounds.entry((namespace.clone(), name.clone())).or_default().planned =
                Some(self.clock.business_now());
        }
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
        let mut round = index.rounds.get(&(namespace.to_owned(), driver.to_owned())).cloned().unwrap_or_default();
        round.planned = round.planned.max(index.since);
        round
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

    const TEN: &str = "2027-01-01T10:00:00Z";

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn body(driver: Option<&str>, phase: &str, visited: Option<&str>) -> String {
        let stop = |latitude: f64| json!({"address": "-", "location": {"latitude": latitude, "longitude": 0.0}});
        let mut body = json!({
            "spec": {"pickup": stop(1.0), "dropoff": stop(2.0)},
            "status": {"phase": phase, "stops": {"pickup": {}, "dropoff": {}}},
        });
        if let Some(driver) = driver {
            body["status"]["driverName"] = driver.into();
        }
        if let Some(at) = visited {
            body["status"]["stops"]["dropoff"]["arrivedAt"] = at.into();
        }
        body.to_string()
    }

    fn round(index: &Index, driver: &str) -> Round {
        index.rounds.get(&("acme".to_owned(), driver.to_owned())).cloned().unwrap_or_default()
    }

    fn open(index: &Index, driver: &str) -> Vec<String> {
        round(index, driver).open.into_iter().collect()
    }

    fn left(index: &Index, driver: &str) -> Vec<String> {
        round(index, driver).visits_but("mine").iter().map(|visit| visit.at.to_string()).collect()
    }

    #[test]
    fn a_driver_is_about_what_is_bound_and_not_over_and_it_is_known_when_the_rest_was_left() {
        let (mut index, now) = (Index::default(), at(TEN));
        index.take(&key("a"), &body(Some("sam"), "OutForDelivery", None), false, now);
        index.take(&key("b"), &body(Some("sam"), "Assigned", None), false, now);
        assert_eq!((open(&index, "sam"), left(&index, "sam")), (vec!["a".to_owned(), "b".to_owned()], Vec::new()));
        index.take(&key("a"), &body(Some("sam"), "Delivered", Some(TEN)), false, now);
        assert_eq!((open(&index, "sam"), left(&index, "sam")), (vec!["b".to_owned()], vec![TEN.to_owned()]));
        let touched = index.take(&key("b"), &body(Some("kim"), "Assigned", None), false, now);
        assert_eq!(touched.len(), 2, "both have another turn");
        assert_eq!(open(&index, "sam"), Vec::<String>::new());
        assert_eq!(left(&index, "sam"), [TEN], "what was left is not forgotten");
        assert_eq!(open(&index, "kim"), ["b"]);
        index.take(&key("b"), &body(Some("kim"), "Assigned", None), true, now);
        assert_eq!(open(&index, "kim"), Vec::<String>::new());
    }

    #[test]
    fn a_visit_is_known_also_after_the_stops_have_begun_anew() {
        let (mut index, now) = (Index::default(), at(TEN));
        index.take(&key("a"), &body(Some("sam"), "AtDropoff", Some(TEN)), false, now);
        index.take(&key("a"), &body(Some("sam"), "Ready", None), false, now);
        assert_eq!(left(&index, "sam"), [TEN]);
    }

    #[test]
    fn it_is_known_when_another_order_gave_the_turn_away() {
        let (mut index, then, now) = (Index::default(), at(TEN), at("2027-01-01T10:06:00Z"));
        index.take(&key("mine"), &body(Some("sam"), "OutForDelivery", None), false, then);
        index.take(&key("a"), &body(Some("sam"), "Assigned", None), false, then);
        assert_eq!(round(&index, "sam").turned_but("mine"), None, "what is only bound takes no turn");
        index.take(&key("a"), &body(Some("sam"), "AtDropoff", Some(TEN)), false, then);
        index.take(&key("mine"), &body(Some("sam"), "OutForDelivery", None), false, now);
        assert_eq!(round(&index, "sam").turned_but("mine"), Some(then), "it did not change by itself");
        index.take(&key("a"), &body(Some("sam"), "Cancelled", Some(TEN)), false, now);
        assert_eq!(round(&index, "sam").turned_but("mine"), Some(now));
        assert_eq!(round(&index, "sam").turned_but("a"), Some(then));
    }

    #[test]
    fn at_the_start_what_is_over_tells_when_it_was_left() {
        let mut index = Index::default();
        index.take_past(&key("a"), &body(Some("sam"), "Delivered", Some(TEN)));
        index.take_past(&key("b"), &body(Some("sam"), "OutForDelivery", Some("2027-01-01T11:00:00Z")));
        assert_eq!((open(&index, "sam"), left(&index, "sam")), (Vec::new(), vec![TEN.to_owned()]));
    }
}
