//! What must hold at every revision, whatever agents, leases, networks and clocks do. A checker is fed with every
//! change in the order of revisions and says what was broken.

use std::collections::BTreeMap;

use dropmate_api::{
    Driver, Order, Phase,
    common::ConditionStatus,
    order::{
        Custody,
        binding::{bound_driver, custodian},
        phase::phase,
    },
};
use jiff::Timestamp;
use kube::ResourceExt;

/// Sums of decimals are not exact.
const TOLERANCE: f64 = 1e-6;

/// Namespace and name.
type Key = (String, String);

/// Follows all orders and drivers, and remembers what was broken.
#[derive(Debug, Default)]
pub struct Checker {
    revision: u64,
    orders: BTreeMap<Key, Order>,
    drivers: BTreeMap<Key, Driver>,
    broken: Vec<String>,
    bindings: usize,
    unbindings: usize,
}

impl Checker {
    /// Takes in an order as it was written.
    pub fn see_order(&mut self, order: Order) {
        self.rise(&order);
        let key = key(&order);
        let name = format!("{}/{}", key.0, key.1);
        let status = order.status.clone().unwrap_or_default();
        self.hold(status.phase == phase(&order.spec, &status), || {
            format!("{name}: the phase {:?} does not follow from the facts", status.phase)
        });
        let before = self.orders.insert(key.clone(), order);
        let order = self.orders[&key].clone();
        let was = before.as_ref().map(Order::phase).unwrap_or_default();
        self.hold(may_follow(was, status.phase), || format!("{name}: {:?} followed {was:?}", status.phase));
        self.check_binding(&name, before.as_ref(), &order);
        if let Some(driver) = aboard(&order) {
            self.check_capacity(&(key.0.clone(), driver.to_owned()));
        }
    }

    /// Takes in a driver as it was written.
    pub fn see_driver(&mut self, driver: Driver) {
        self.rise(&driver);
        self.drivers.insert(key(&driver), driver);
    }

    /// What was broken, in the order it happened.
    pub fn broken(&self) -> &[String] {
        &self.broken
    }

    /// How often an order was bound, and unbound.
    pub fn bindings(&self) -> (usize, usize) {
        (self.bindings, self.unbindings)
    }

    /// The orders as last seen.
    pub fn orders(&self) -> impl Iterator<Item = &Order> {
        self.orders.values()
    }

    /// The orders that neither came to an end nor say why they cannot, with their phases. None is left once a day has
    /// settled.
    pub fn unsettled(&self) -> Vec<String> {
        let open = self.orders.values().filter(|order| !order.phase().is_terminal() && !is_unassignable(order));
        open.map(|order| format!("{} is {:?}", order.name_any(), order.phase())).collect()
    }

    /// What became of each order, in business terms: driver, and when it was bound, fetched and handed over. Two runs
    /// of one seed must agree; revisions may differ.
    pub fn trace(&self) -> Vec<String> {
        let line = |order: &Order| {
            let status = order.status.clone().unwrap_or_default();
            let (pickup, dropoff) = status.stops.map(|s| (s.pickup, s.dropoff)).unwrap_or_default();
            let time = |at: Option<Timestamp>| at.map_or("-".to_owned(), |at| at.to_string());
            format!(
                "{} {:?} {} bound {} fetched {} finished {}",
                order.name_any(),
                status.phase,
                status.driver_name.as_deref().unwrap_or("-"),
                time(status.assignment.and_then(|a| a.bound_at)),
                time(pickup.completed_at),
                time(dropoff.completed_at),
            )
        };
        self.orders.values().map(line).collect()
    }

    fn rise(&mut self, object: &impl ResourceExt) {
        let revision = object.resource_version().and_then(|v| v.parse().ok()).unwrap_or(0);
        let before = std::mem::replace(&mut self.revision, revision);
        self.hold(before < revision, || format!("{}: revision {revision} came after {before}", object.name_any()));
    }

    fn check_binding(&mut self, name: &str, before: Option<&Order>, order: &Order) {
        let bound = |order: &Order| {
            let status = order.status.as_ref();
            let generation = status.and_then(|s| s.assignment.as_ref()).map_or(0, |a| a.generation);
            (status.and_then(bound_driver).map(str::to_owned), generation)
        };
        let (was, was_generation) = before.map(bound).unwrap_or_default();
        let (is, generation) = bound(order);
        match (&was, &is) {
            (None, Some(driver)) => {
                self.bindings += 1;
                self.hold(generation == was_generation, || format!("{name}: binding changed the generation"));
                let assignment = order.status.as_ref().and_then(|s| s.assignment.clone()).unwrap_or_default();
                let told = assignment.reason.as_ref().is_some_and(|reason| !reason.summary.is_empty());
                self.hold(told, || format!("{name}: bound to {driver} without a reason"));
                let early = assignment.bound_at < order.placed_at();
                self.hold(!early, || format!("{name}: bound to {driver} before it was placed"));
                let keeper = before.and_then(|b| b.status.as_ref()).and_then(custodian).map(str::to_owned);
                self.hold(keeper.is_none_or(|keeper| keeper == *driver), || {
                    format!("{name}: bound to {driver} while the goods are with another")
                });
                if let Some(pin) = &order.spec.driver_name {
                    self.hold(pin == driver, || format!("{name}: pinned to {pin}, bound to {driver}"));
                }
            }
            (Some(driver), None) => {
                self.unbindings += 1;
                self.hold(generation == was_generation + 1, || {
                    format!("{name}: unbound from {driver} from generation {was_generation} to {generation}")
                });
            }
            (Some(one), Some(other)) => {
                self.hold(one == other, || format!("{name}: moved from {one} to {other} without an unbinding"));
                self.hold(generation == was_generation, || format!("{name}: its generation moved while bound"));
            }
            (None, None) => {}
        }
    }

    /// What is in the vehicle fits in. A human's pin may overload it.
    fn check_capacity(&mut self, key: &Key) {
        let Some(driver) = self.drivers.get(key) else { return };
        let capacity = driver.spec.capacity.clone().unwrap_or_default();
        let load = self
            .orders
            .iter()
            .filter(|((namespace, _), order)| *namespace == key.0 && aboard(order) == Some(&key.1))
            .map(|(_, order)| order);
        let (mut orders, mut weight, mut volume, mut pinned) = (0, 0.0, 0.0, false);
        for order in load {
            orders += 1;
            pinned |= order.spec.driver_name.is_some();
            for item in &order.spec.items {
                weight += f64::from(item.quantity) * item.weight_kilograms.unwrap_or(0.0);
                volume += f64::from(item.quantity) * item.volume_liters.unwrap_or(0.0);
            }
        }
        let most = capacity.orders.unwrap_or_else(|| driver.spec.vehicle_type().default_orders());
        let fits = orders <= most
            && capacity.weight_kilograms.is_none_or(|most| weight <= most + TOLERANCE)
            && capacity.volume_liters.is_none_or(|most| volume <= most + TOLERANCE);
        self.hold(fits || pinned, || {
            format!("{}/{} carries {orders} orders, {weight} kg, {volume} l: more than fits", key.0, key.1)
        });
    }

    fn hold(&mut self, holds: bool, said: impl FnOnce() -> String) {
        if !holds {
            self.broken.push(format!("at revision {}: {}", self.revision, said()));
        }
    }
}

/// Who has the goods of an order that is not finished.
fn aboard(order: &Order) -> Option<&str> {
    let status = order.status.as_ref()?;
    custodian(status).filter(|_| status.custody == Custody::Driver && !status.phase.is_terminal())
}

/// Whether dispatch says that no driver may take the order.
fn is_unassignable(order: &Order) -> bool {
    let conditions = order.status.iter().flat_map(|status| &status.conditions);
    conditions.into_iter().any(|c| c.type_ == "Unassignable" && c.status == ConditionStatus::True)
}

/// Whether one write can lead from one phase to the other. Written down apart from the code that computes phases, so
/// that each checks the other.
fn may_follow(was: Phase, is: Phase) -> bool {
    use Phase as P;
    if was == is {
        return true;
    }
    if was.is_terminal() {
        return false;
    }
    match is {
        P::Pending | P::Scheduled => matches!(was, P::Pending | P::Scheduled | P::Ready | P::Offered),
        P::Ready => {
            matches!(was, P::Pending | P::Scheduled | P::Offered | P::Assigned | P::EnRouteToPickup | P::AttemptFailed)
        }
        P::Offered => matches!(was, P::Pending | P::Scheduled | P::Ready),
        P::Assigned => matches!(was, P::Ready | P::Offered),
        P::EnRouteToPickup => was == P::Assigned,
        P::AtPickup => matches!(was, P::Assigned | P::EnRouteToPickup),
        P::OutForDelivery => matches!(was, P::Assigned | P::EnRouteToPickup | P::AtPickup),
        P::AtDropoff => matches!(was, P::Assigned | P::OutForDelivery),
        P::AttemptFailed => matches!(was, P::AtPickup | P::OutForDelivery | P::AtDropoff),
        P::Delivered => matches!(was, P::OutForDelivery | P::AtDropoff),
        // A cancellation turns every order back whose goods are with a driver, also one between two attempts.
        P::Returning | P::Cancelled => true,
        P::Returned => was == P::Returning,
        P::Failed => was == P::AttemptFailed,
        P::Expired => matches!(was, P::Ready | P::Offered),
    }
}

fn key(object: &impl ResourceExt) -> Key {
    (object.namespace().unwrap_or_default(), object.name_any())
}

#[cfg(test)]
#[path = "invariants_tests.rs"]
mod tests;
