//! What all phones show, from one watch over orders and one over drivers: whose orders, and whom to wake.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use dropmate_api::{Driver, Order};
use kube::{ResourceExt, runtime::watcher::Event};
use tokio::sync::Notify;

use super::phone;

/// Namespace and name.
pub(crate) type Key = (String, String);

/// The orders in drivers' hands, and the drivers. Clones see the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fleet(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    orders: BTreeMap<Key, Arc<Order>>,
    /// Names of the orders by driver.
    by_driver: BTreeMap<Key, BTreeSet<String>>,
    drivers: BTreeMap<Key, Arc<Driver>>,
    wakers: BTreeMap<Key, Arc<Notify>>,
    listed_orders: Vec<Order>,
    listed_drivers: Vec<Driver>,
}

impl Fleet {
    /// Takes in an event about orders and wakes whom it concerns. Orders that are nobody's are not kept.
    pub(crate) fn see_order(&self, event: Event<Order>) {
        let mut state = self.lock();
        match event {
            Event::Apply(order) => state.put_order(order),
            Event::Delete(order) => state.drop_order(&key(&order)),
            Event::Init => state.listed_orders.clear(),
            Event::InitApply(order) => {
                if phone::holder(&order).is_some() {
                    state.listed_orders.push(order);
                }
            }
            Event::InitDone => {
                let listed = std::mem::take(&mut state.listed_orders);
                let there: BTreeSet<Key> = listed.iter().map(key).collect();
                let gone: Vec<Key> = state.orders.keys().filter(|key| !there.contains(*key)).cloned().collect();
                for key in gone {
                    state.drop_order(&key);
                }
                for order in listed {
                    state.put_order(order);
                }
            }
        }
    }

    /// Takes in an event about drivers. Returns whether there may be other drivers than before.
    pub(crate) fn see_driver(&self, event: Event<Driver>) -> bool {
        let mut state = self.lock();
        match event {
            Event::Apply(driver) => state.put_driver(driver),
            Event::Delete(driver) => state.drivers.remove(&key(&driver)).is_some(),
            Event::Init => {
                state.listed_drivers.clear();
                false
            }
            Event::InitApply(driver) => {
                state.listed_drivers.push(driver);
                false
            }
            Event::InitDone => {
                let listed = std::mem::take(&mut state.listed_drivers);
                let there: BTreeSet<Key> = listed.iter().map(key).collect();
                state.drivers.retain(|key, _| there.contains(key));
                for driver in listed {
                    state.put_driver(driver);
                }
                true
            }
        }
    }

    pub(crate) fn driver_keys(&self) -> BTreeSet<Key> {
        self.lock().drivers.keys().cloned().collect()
    }

    /// The driver and the orders in his hands, by name.
    pub(crate) fn of_driver(&self, key: &Key) -> Option<(Arc<Driver>, Vec<Arc<Order>>)> {
        let state = self.lock();
        let driver = state.drivers.get(key)?.clone();
        let names = state.by_driver.get(key).into_iter().flatten();
        let orders = names.filter_map(|name| state.orders.get(&(key.0.clone(), name.clone())).cloned()).collect();
        Some((driver, orders))
    }

    /// The order, if it is in a driver's hands.
    pub(crate) fn order(&self, key: &Key) -> Option<Arc<Order>> {
        self.lock().orders.get(key).cloned()
    }

    /// What rings when something changes for the driver.
    pub(crate) fn waker(&self, key: &Key) -> Arc<Notify> {
        self.lock().wakers.entry(key.clone()).or_default().clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing under the lock can panic half way, so what it guards is still whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn put_order(&mut self, order: Order) {
        let key = key(&order);
        let holder = phone::holder(&order).map(|holder| (key.0.clone(), holder.to_owned()));
        let before = self.holder_of(&key);
        if before.is_some() && before != holder {
            self.drop_order(&key);
        }
        if let Some(holder) = holder {
            self.by_driver.entry(holder.clone()).or_default().insert(key.1.clone());
            self.orders.insert(key, Arc::new(order));
            self.wake(&holder);
        }
    }

    fn drop_order(&mut self, key: &Key) {
        let holder = self.holder_of(key);
        self.orders.remove(key);
        if let Some(holder) = holder {
            if let Some(names) = self.by_driver.get_mut(&holder) {
                names.remove(&key.1);
            }
            self.wake(&holder);
        }
    }

    fn put_driver(&mut self, driver: Driver) -> bool {
        let key = key(&driver);
        let new = self.drivers.insert(key.clone(), Arc::new(driver)).is_none();
        self.wake(&key);
        new
    }

    fn holder_of(&self, key: &Key) -> Option<Key> {
        let holder = phone::holder(self.orders.get(key)?)?;
        Some((key.0.clone(), holder.to_owned()))
    }

    fn wake(&self, driver: &Key) {
        if let Some(waker) = self.wakers.get(driver) {
            waker.notify_one();
        }
    }
}

fn key(object: &impl ResourceExt) -> Key {
    (object.namespace().unwrap_or_default(), object.name_any())
}
