//! The planner's picture of a namespace, kept between steps so that only what changed is looked at again.

use std::{cmp::Ordering, collections::BTreeMap, sync::Arc};

use dropmate_api::{
    Depot, DispatchPolicySpec, Driver, Order, Phase,
    common::ConditionStatus,
    driver::RouteStop,
    order::{Custody, RuledOut},
};
use jiff::Timestamp;
use rstar::{RTree, primitives::GeomWithData};

use crate::{
    bound::{self, Sighting},
    fleet::Fitness,
    insertion::Inserter,
    job::Job,
    life::Next,
    moment::Seconds,
    route::{Leg, OrderId, Start, Walker, Weights},
    travel::Place,
};

/// The one condition dispatch writes.
pub(crate) const UNASSIGNABLE: &str = "Unassignable";

/// Index of a driver in the world.
pub(crate) type DriverId = usize;

/// A place at which a driver can begin something new, or where something of his may be joined.
pub(crate) type Anchor = GeomWithData<[f64; 3], DriverId>;

/// What dispatch has to do with an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Nothing: not released, held, or finished.
    Idle,
    /// Waits for a driver.
    Open,
    /// A driver's work.
    Bound,
}

/// Why nobody can take an order, as last found.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Verdict {
    pub(crate) message: String,
    pub(crate) ruled_out: Vec<RuledOut>,
}

#[derive(Debug)]
pub(crate) struct OrderSlot {
    pub(crate) seen: Arc<Order>,
    pub(crate) stage: Stage,
    pub(crate) next: Next,
    /// The driver the order is bound to, if known here.
    pub(crate) holder: Option<DriverId>,
    /// The driver the order is planned for.
    pub(crate) planned: Option<DriverId>,
    pub(crate) verdict: Option<Verdict>,
    /// Only one driver may take it.
    pub(crate) forced: bool,
    /// The condition `Unassignable` holds in the resource.
    pub(crate) unassignable: bool,
    /// Bound, and not yet fetched.
    pub(crate) before_pickup: bool,
    /// Why the binding must end, as found when the driver was last looked at.
    pub(crate) unbind: Option<String>,
    /// When a better driver was last looked for before binding.
    pub(crate) reconsidered_at: Option<Seconds>,
    /// When, and with which fleet, an insertion was last tried in vain.
    pub(crate) tried_at: Option<(Seconds, u64)>,
}

impl OrderSlot {
    pub(crate) fn name(&self) -> &str {
        name(self.seen.metadata.name.as_ref())
    }

    /// Notes what every step asks, so that steps need not read resources that did not change.
    fn note(&mut self) {
        let status = self.seen.status.as_ref();
        self.forced = self.only_driver().is_some();
        self.unassignable = status.is_some_and(|status| {
            status.conditions.iter().any(|c| c.type_ == UNASSIGNABLE && c.status == ConditionStatus::True)
        });
        self.before_pickup = matches!(self.seen.phase(), Phase::Assigned | Phase::EnRouteToPickup)
            && status.is_none_or(|status| status.custody == Custody::Sender);
    }

    /// The driver an order is bound to, by name.
    pub(crate) fn holder_name(&self) -> Option<&str> {
        let status = self.seen.status.as_ref()?;
        let assigned = status.assignment.as_ref().and_then(|a| a.driver_name.as_deref());
        assigned.or(status.driver_name.as_deref())
    }

    /// The one driver who may take the order, where a human or the goods' whereabouts say so.
    pub(crate) fn only_driver(&self) -> Option<&str> {
        let status = self.seen.status.as_ref();
        if status.is_some_and(|s| s.custody == Custody::Driver) {
            let attempted = status.and_then(|s| s.attempts.last()).and_then(|a| a.driver_name.as_deref());
            return self.holder_name().or(attempted).or(self.seen.spec.driver_name.as_deref());
        }
        self.seen.spec.driver_name.as_deref()
    }
}

#[derive(Debug)]
pub(crate) struct DriverSlot {
    pub(crate) seen: Arc<Driver>,
    pub(crate) fitness: Fitness,
    pub(crate) sighting: Option<Sighting>,
    /// Orders that name this driver as theirs and are not finished.
    pub(crate) bound: Vec<OrderId>,
    pub(crate) start: Start,
    /// When and where the bound legs end.
    pub(crate) free_at: Seconds,
    pub(crate) free_place: Place,
    /// A trip is bound to which an order of the same pickup may still be added.
    pub(crate) open_bundle: bool,
    /// Bound legs first, planned ones interleaved only where they join a bound trip.
    pub(crate) legs: Vec<Leg>,
    /// The bound stops with their times, as `status.route` should show them.
    pub(crate) stops: Vec<RouteStop>,
    pub(crate) anchors: Vec<[f64; 3]>,
    pub(crate) dirty: bool,
    /// `status` shows something else than `stops`.
    pub(crate) route_due: bool,
    /// When to look at the driver again even if nothing was reported.
    pub(crate) check_at: Seconds,
}

impl DriverSlot {
    pub(crate) fn name(&self) -> &str {
        name(self.seen.metadata.name.as_ref())
    }

    pub(crate) fn walker<'a>(&'a self, jobs: &'a [Job], weights: Weights, now: Seconds) -> Walker<'a> {
        Walker { jobs, fitness: &self.fitness, start: &self.start, weights, now }
    }
}

#[derive(Debug, PartialEq)]
struct DepotFacts {
    name: String,
    place: Option<Place>,
    preparation: Seconds,
}

/// Everything the planner remembers.
#[derive(Debug, Default)]
pub(crate) struct World {
    pub(crate) policy: DispatchPolicySpec,
    depots: Vec<DepotFacts>,
    /// Where drivers are taken to be who were never seen and have no start.
    pub(crate) home: Place,
    pub(crate) orders: Vec<Option<OrderSlot>>,
    /// Parallel to `orders`: the numbers alone, close together.
    pub(crate) jobs: Vec<Job>,
    pub(crate) order_ids: Vec<OrderId>,
    pub(crate) drivers: Vec<Option<DriverSlot>>,
    pub(crate) driver_ids: Vec<DriverId>,
    driver_by_name: BTreeMap<String, DriverId>,
    pub(crate) index: RTree<Anchor>,
    /// Orders to be planned in this step.
    pub(crate) queue: Vec<OrderId>,
    pub(crate) inserter: Inserter,
    /// How much happened since the last step that could make another plan better.
    pub(crate) stirred: usize,
    /// When the plan was last improved.
    pub(crate) improved_at: Option<Seconds>,
    /// Rises when a driver comes, goes or changes by spec.
    pub(crate) fleet_version: u64,
    free_orders: Vec<OrderId>,
    free_drivers: Vec<DriverId>,
}

pub(crate) fn name(name: Option<&String>) -> &str {
    name.map(String::as_str).unwrap_or_default()
}

impl World {
    pub(crate) fn order(&self, id: OrderId) -> &OrderSlot {
        self.orders[id].as_ref().expect("ids in use have a slot")
    }

    pub(crate) fn order_mut(&mut self, id: OrderId) -> &mut OrderSlot {
        self.orders[id].as_mut().expect("ids in use have a slot")
    }

    pub(crate) fn driver(&self, id: DriverId) -> &DriverSlot {
        self.drivers[id].as_ref().expect("ids in use have a slot")
    }

    pub(crate) fn driver_mut(&mut self, id: DriverId) -> &mut DriverSlot {
        self.drivers[id].as_mut().expect("ids in use have a slot")
    }

    /// Whether these are the orders of the last step, each the very same or in the same place.
    pub(crate) fn are_orders_in_place(&self, orders: &[Arc<Order>]) -> bool {
        orders.len() == self.order_ids.len()
            && self.order_ids.iter().zip(orders).all(|(&id, order)| {
                let slot = self.order(id);
                Arc::ptr_eq(&slot.seen, order) || slot.name() == name(order.metadata.name.as_ref())
            })
    }

    /// Whether these are the drivers of the last step, each the very same or in the same place.
    pub(crate) fn are_drivers_in_place(&self, drivers: &[Arc<Driver>]) -> bool {
        drivers.len() == self.driver_ids.len()
            && self.driver_ids.iter().zip(drivers).all(|(&id, driver)| {
                let slot = self.driver(id);
                Arc::ptr_eq(&slot.seen, driver) || slot.name() == name(driver.metadata.name.as_ref())
            })
    }

    pub(crate) fn max_per_trip(&self) -> usize {
        /// Where the policy does not say: what still arrives warm.
        const DEFAULT_ORDERS_PER_TRIP: i32 = 3;
        let given = self.policy.max_orders_per_trip.unwrap_or(DEFAULT_ORDERS_PER_TRIP);
        usize::try_from(given).unwrap_or(1).max(1)
    }

    pub(crate) fn driver_named(&self, name: &str) -> Option<DriverId> {
        self.driver_by_name.get(name).copied()
    }

    /// Takes in what changed. Orders, drivers and depots are sorted by name.
    pub(crate) fn sync(
        &mut self,
        orders: &[Arc<Order>],
        drivers: &[Arc<Driver>],
        depots: &[Arc<Depot>],
        policy: &DispatchPolicySpec,
        now: Timestamp,
    ) {
        let depots: Vec<_> = depots.iter().map(|depot| DepotFacts::new(depot)).collect();
        if depots != self.depots || *policy != self.policy {
            // Rare, and everything hangs on it: begin anew, remembering only where drivers were seen.
            let seen: BTreeMap<_, _> = self
                .driver_ids
                .iter()
                .map(|&id| (self.driver(id).name().to_owned(), self.driver(id).sighting))
                .collect();
            *self = Self { policy: policy.clone(), depots, ..Self::default() };
            self.home = self.find_home(orders);
            self.sync_drivers(drivers);
            for (name, sighting) in seen {
                if let Some(id) = self.driver_named(&name) {
                    let slot = self.driver_mut(id);
                    slot.sighting = Sighting::later(slot.sighting, sighting);
                }
            }
        } else {
            if self.order_ids.is_empty() {
                let home = self.find_home(orders);
                if home != self.home {
                    self.home = home;
                    // Whoever was never seen stands there, and was placed before it was known.
                    for position in 0..self.driver_ids.len() {
                        self.driver_mut(self.driver_ids[position]).dirty = true;
                    }
                }
            }
            self.sync_drivers(drivers);
        }
        self.sync_orders(orders, now);
    }

    /// The first depot, else the first order's pickup: where a shop's drivers gather.
    fn find_home(&self, orders: &[Arc<Order>]) -> Place {
        let depot = self.depots.iter().find_map(|depot| depot.place);
        depot.or_else(|| orders.first().map(|order| Place::new(order.spec.pickup.location))).unwrap_or_default()
    }

    fn sync_drivers(&mut self, drivers: &[Arc<Driver>]) {
        let held = std::mem::take(&mut self.driver_ids);
        let mut ids = Vec::with_capacity(drivers.len());
        let mut held = held.into_iter().peekable();
        let mut roster_changed = false;
        for driver in drivers {
            if let Some(&id) = held.peek()
                && Arc::ptr_eq(&self.driver(id).seen, driver)
            {
                held.next();
                ids.push(id);
                continue;
            }
            let wanted = name(driver.metadata.name.as_ref());
            while let Some(&id) = held.peek()
                && self.driver(id).name() < wanted
            {
                held.next();
                self.remove_driver(id);
                roster_changed = true;
            }
            match held.peek() {
                Some(&id) if self.driver(id).name() == wanted => {
                    held.next();
                    self.update_driver(id, driver);
                    ids.push(id);
                }
                _ => {
                    ids.push(self.add_driver(driver));
                    roster_changed = true;
                }
            }
        }
        for id in held {
            self.remove_driver(id);
            roster_changed = true;
        }
        self.driver_ids = ids;
        if roster_changed {
            self.fleet_version += 1;
            self.stirred += 1;
            for position in 0..self.order_ids.len() {
                self.link(self.order_ids[position]);
            }
        }
    }

    fn add_driver(&mut self, driver: &Arc<Driver>) -> DriverId {
        let slot = DriverSlot {
            seen: Arc::clone(driver),
            fitness: Fitness::new(driver, &self.policy),
            sighting: Sighting::of_driver(driver),
            bound: Vec::new(),
            start: Start::default(),
            free_at: 0,
            free_place: Place::default(),
            open_bundle: false,
            legs: Vec::new(),
            stops: Vec::new(),
            anchors: Vec::new(),
            dirty: true,
            route_due: false,
            check_at: 0,
        };
        let id = self.free_drivers.pop().unwrap_or(self.drivers.len());
        if id == self.drivers.len() {
            self.drivers.push(None);
        }
        self.driver_by_name.insert(slot.name().to_owned(), id);
        self.drivers[id] = Some(slot);
        id
    }

    fn update_driver(&mut self, id: DriverId, driver: &Arc<Driver>) {
        let fitness = Fitness::new(driver, &self.policy);
        let slot = self.driver_mut(id);
        if Arc::ptr_eq(&slot.seen, driver) {
            return;
        }
        slot.seen = Arc::clone(driver);
        slot.sighting = Sighting::later(slot.sighting, Sighting::of_driver(driver));
        slot.dirty = true;
        if fitness != slot.fitness {
            slot.fitness = fitness;
            self.fleet_version += 1;
            self.stirred += 1;
        }
    }

    fn remove_driver(&mut self, id: DriverId) {
        self.release_plans(id);
        let slot = self.drivers[id].take().expect("a driver is removed once");
        for place in &slot.anchors {
            self.index.remove(&Anchor::new(*place, id));
        }
        self.driver_by_name.remove(slot.name());
        for order in slot.bound {
            if let Some(slot) = self.orders[order].as_mut() {
                slot.holder = None;
            }
        }
        self.free_drivers.push(id);
    }

    fn sync_orders(&mut self, orders: &[Arc<Order>], now: Timestamp) {
        let held = std::mem::take(&mut self.order_ids);
        let mut ids = Vec::with_capacity(orders.len());
        let mut held = held.into_iter().peekable();
        for order in orders {
            if let Some(&id) = held.peek()
                && Arc::ptr_eq(&self.order(id).seen, order)
            {
                held.next();
                ids.push(id);
                continue;
            }
            let wanted = name(order.metadata.name.as_ref());
            let mut known = None;
            while let Some(&id) = held.peek() {
                match self.order(id).name().cmp(wanted) {
                    Ordering::Less => self.remove_order(id),
                    Ordering::Equal => known = Some(id),
                    Ordering::Greater => break,
                }
                held.next();
                if known.is_some() {
                    break;
                }
            }
            match known {
                Some(id) if Arc::ptr_eq(&self.order(id).seen, order) => ids.push(id),
                Some(id) => {
                    self.update_order(id, order, now);
                    ids.push(id);
                }
                None => ids.push(self.add_order(order, now)),
            }
        }
        for id in held {
            self.remove_order(id);
        }
        self.order_ids = ids;
    }

    fn preparation(&self, order: &Order) -> Seconds {
        let wanted = order.spec.pickup.depot_name.as_deref();
        let found = wanted.and_then(|wanted| self.depots.iter().find(|depot| depot.name == wanted));
        found.map_or(0, |depot| depot.preparation)
    }

    fn add_order(&mut self, order: &Arc<Order>, now: Timestamp) -> OrderId {
        let job = Job::new(order, self.preparation(order), now);
        let slot = OrderSlot {
            seen: Arc::clone(order),
            stage: stage(order),
            next: Next::new(order, job.fetch_from, &self.policy, now),
            holder: None,
            planned: None,
            verdict: None,
            forced: false,
            unassignable: false,
            before_pickup: false,
            unbind: None,
            reconsidered_at: None,
            tried_at: None,
        };
        let mut slot = slot;
        slot.note();
        let open = slot.stage == Stage::Open;
        let id = self.free_orders.pop().unwrap_or(self.orders.len());
        if id == self.orders.len() {
            self.orders.push(None);
            self.jobs.push(Job::default());
        }
        self.orders[id] = Some(slot);
        self.jobs[id] = job;
        if open {
            self.queue.push(id);
        }
        self.link(id);
        id
    }

    fn update_order(&mut self, id: OrderId, order: &Arc<Order>, now: Timestamp) {
        let job = Job::new(order, self.preparation(order), now);
        let next = Next::new(order, job.fetch_from, &self.policy, now);
        let slot = self.order(id);
        let same = slot.stage == stage(order)
            && self.jobs[id] == job
            && slot.seen.spec.requirements == order.spec.requirements
            && slot.seen.spec.driver_name == order.spec.driver_name
            && slot.seen.metadata.uid == order.metadata.uid;
        // A plan for an order that is about to be found bound stays until its driver is looked at: mates follow it.
        let becomes_bound = stage(order) == Stage::Bound;
        if !same && !becomes_bound {
            self.unplan(id);
        }
        self.jobs[id] = job;
        let slot = self.order_mut(id);
        slot.seen = Arc::clone(order);
        slot.stage = stage(order);
        slot.next = next;
        slot.note();
        if !same {
            slot.verdict = None;
            slot.tried_at = None;
            if slot.stage == Stage::Open {
                self.queue.push(id);
            } else if slot.stage == Stage::Bound
                && let Some(driver) = slot.planned.take()
            {
                self.driver_mut(driver).dirty = true;
            }
        }
        self.link(id);
    }

    fn remove_order(&mut self, id: OrderId) {
        self.unplan(id);
        if let Some(holder) = self.order(id).holder {
            let slot = self.driver_mut(holder);
            slot.bound.retain(|bound| *bound != id);
            slot.dirty = true;
        }
        self.queue.retain(|queued| *queued != id);
        self.orders[id] = None;
        self.free_orders.push(id);
    }

    /// Connects a bound order with its driver, and takes note of where the driver was.
    fn link(&mut self, id: OrderId) {
        let slot = self.order(id);
        let bound = slot.stage == Stage::Bound;
        let named = slot.holder_name().and_then(|name| self.driver_named(name));
        let held = slot.holder;
        let sighting = named.and_then(|_| Sighting::of_order(&slot.seen, &self.jobs[id]));
        let holder = named.filter(|_| bound);
        if held != holder
            && let Some(old) = held
        {
            let driver = self.driver_mut(old);
            driver.bound.retain(|bound| *bound != id);
            driver.dirty = true;
        }
        if let Some(new) = holder {
            let driver = self.driver_mut(new);
            if held != holder {
                driver.bound.push(id);
            }
            driver.dirty = true;
        }
        if let Some(driver) = named {
            let driver = self.driver_mut(driver);
            let latest = Sighting::later(driver.sighting, sighting);
            if latest != driver.sighting {
                driver.sighting = latest;
                driver.dirty = true;
            }
        }
        self.order_mut(id).holder = holder;
    }

    /// Takes an order out of the plan.
    pub(crate) fn unplan(&mut self, id: OrderId) {
        if let Some(driver) = self.order_mut(id).planned.take() {
            let slot = self.driver_mut(driver);
            slot.legs.retain(|leg| leg.bound || leg.order != id);
            slot.dirty = true;
        }
    }

    /// Puts everything that was only planned for a driver back into the queue.
    pub(crate) fn release_plans(&mut self, id: DriverId) {
        let mut released = Vec::new();
        self.driver_mut(id).legs.retain(|leg| {
            if !leg.bound {
                released.push(leg.order);
            }
            leg.bound
        });
        for order in released {
            self.requeue(order, id);
        }
    }

    /// Puts an order that `driver` was to carry back into the queue, unless it found its way since.
    pub(crate) fn requeue(&mut self, order: OrderId, driver: DriverId) {
        if let Some(slot) = self.orders[order].as_mut()
            && slot.planned == Some(driver)
        {
            slot.planned = None;
            if slot.stage == Stage::Open {
                self.queue.push(order);
            }
        }
    }

    /// Moves the driver's entries in the index to where they belong.
    pub(crate) fn place_anchors(&mut self, id: DriverId, anchors: Vec<[f64; 3]>) {
        let slot = self.drivers[id].as_mut().expect("ids in use have a slot");
        if slot.anchors == anchors {
            return;
        }
        for place in &slot.anchors {
            self.index.remove(&Anchor::new(*place, id));
        }
        for place in &anchors {
            self.index.insert(Anchor::new(*place, id));
        }
        slot.anchors = anchors;
    }
}

impl DepotFacts {
    fn new(depot: &Depot) -> Self {
        Self {
            name: name(depot.metadata.name.as_ref()).to_owned(),
            place: depot.spec.location.map(Place::new),
            preparation: depot.spec.preparation_seconds.unwrap_or(0),
        }
    }
}

fn stage(order: &Order) -> Stage {
    match order.phase() {
        Phase::Ready | Phase::Offered if !order.spec.hold && !order.spec.cancelled => Stage::Open,
        phase if bound::is_bound(phase) => Stage::Bound,
        _ => Stage::Idle,
    }
}
