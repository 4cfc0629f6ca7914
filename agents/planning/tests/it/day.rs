//! A day in pure functions: `step` decides, phones move along the routes they are shown, and every fact goes through
//! the same functions the server uses. Nothing here waits; a day takes as long as its planning.

use std::{collections::BTreeMap, sync::Arc};

use dropmate_api::{
    API_VERSION, Depot, DispatchPolicySpec, Driver, DriverStatus, Location, Order, OrderStatus, Phase,
    common::{Condition, ConditionStatus, set_condition},
    order::{self, StopKind, binding::Bound},
    subresource::{Binding, BindingMetadata, BindingTarget, Report, ReportType, Unbinding},
};
use dropmate_planning::{Command, Memory, Plan, Snapshot, step};
use jiff::{SignedDuration, Timestamp};

/// What a phone is doing.
#[derive(Clone, Debug, PartialEq)]
enum Doing {
    Nothing,
    Driving { order: String, stop: StopKind, from: Location, since: Timestamp, until: Timestamp },
    Stopped { order: String, stop: StopKind, since: Timestamp },
}

#[derive(Clone, Debug)]
struct Phone {
    at: Timestamp,
    place: Location,
    doing: Doing,
}

/// A namespace, its phones and its planner.
pub(crate) struct Day {
    pub(crate) now: Timestamp,
    pub(crate) orders: BTreeMap<String, Arc<Order>>,
    pub(crate) drivers: BTreeMap<String, Arc<Driver>>,
    pub(crate) depots: Vec<Arc<Depot>>,
    pub(crate) policy: DispatchPolicySpec,
    pub(crate) memory: Memory,
    /// Orders that were told to be bound, in the order of the commands.
    pub(crate) bindings: Vec<(String, String)>,
    phones: BTreeMap<String, Phone>,
    reports: u64,
}

/// How a day went.
#[derive(Clone, Debug, Default)]
pub(crate) struct Summary {
    pub(crate) orders: usize,
    pub(crate) delivered: usize,
    /// Seconds from placement to the handover.
    pub(crate) click_to_door: Vec<f64>,
    /// Seconds from ready to fetched.
    pub(crate) ready_to_pickup: Vec<f64>,
    /// Seconds from placement to the door if a driver had waited at every pickup.
    pub(crate) floor: Vec<f64>,
}

impl Summary {
    pub(crate) fn mean(values: &[f64]) -> f64 {
        values.iter().sum::<f64>() / values.len().max(1) as f64
    }

    pub(crate) fn p90(values: &[f64]) -> f64 {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        sorted.get(sorted.len() * 9 / 10).copied().unwrap_or(0.0)
    }
}

impl Day {
    pub(crate) fn new(snapshot: Snapshot, now: Timestamp) -> Self {
        let named = |name: &Option<String>| name.clone().unwrap_or_default();
        let phones = snapshot.drivers.iter().map(|driver| {
            let place = driver.spec.start_location.expect("the day's drivers start somewhere");
            (named(&driver.metadata.name), Phone { at: now, place, doing: Doing::Nothing })
        });
        Self {
            now,
            phones: phones.collect(),
            orders: snapshot.orders.into_iter().map(|order| (named(&order.metadata.name), order)).collect(),
            drivers: snapshot.drivers.into_iter().map(|driver| (named(&driver.metadata.name), driver)).collect(),
            depots: snapshot.depots,
            policy: snapshot.policy,
            memory: Memory::default(),
            bindings: Vec::new(),
            reports: 0,
        }
    }

    /// The state as dispatch sees it.
    pub(crate) fn snapshot(&self) -> Snapshot {
        Snapshot {
            orders: self.orders.values().cloned().collect(),
            drivers: self.drivers.values().cloned().collect(),
            depots: self.depots.clone(),
            policy: self.policy.clone(),
        }
    }

    /// Lets `duration` pass: the phones move, then dispatch looks and its commands are carried out until it is content.
    pub(crate) fn pass(&mut self, duration: SignedDuration) {
        let now = self.now.checked_add(duration).expect("the day ends");
        for name in self.phones.keys().cloned().collect::<Vec<_>>() {
            self.move_phone(&name, now);
        }
        self.now = now;
        self.dispatch();
    }

    /// Steps and applies until nothing more is to be done; returns the first plan.
    pub(crate) fn dispatch(&mut self) -> Plan {
        /// Release, then bind, then route: three rounds do; more would mean that dispatch argues with itself.
        const MAX_ROUNDS: usize = 8;
        let mut first = None;
        for _ in 0..MAX_ROUNDS {
            let snapshot = self.snapshot();
            let plan = step(&mut self.memory, &snapshot, self.now);
            let done = plan.commands.is_empty();
            for command in &plan.commands {
                self.apply(command);
            }
            first.get_or_insert(plan);
            if done {
                return first.expect("set above");
            }
        }
        let snapshot = self.snapshot();
        let plan = step(&mut self.memory, &snapshot, self.now);
        panic!("dispatch is never content: {:#?}", plan.commands);
    }

    /// Until the last order is finished, or `until`.
    pub(crate) fn run(&mut self, tick: SignedDuration, until: Timestamp) {
        while self.now < until && self.orders.values().any(|order| !order.phase().is_terminal()) {
            self.pass(tick);
        }
    }

    pub(crate) fn summary(&self) -> Summary {
        let mut summary = Summary { orders: self.orders.len(), ..Summary::default() };
        for order in self.orders.values().filter(|order| order.phase() == Phase::Delivered) {
            let stops = order.status.as_ref().and_then(|s| s.stops.as_ref()).expect("a delivered order has stops");
            let placed = order.placed_at().expect("the day's orders are placed");
            let ready = order.spec.ready_at.unwrap_or(placed);
            let half = |stop| SignedDuration::from_secs(order.spec.service_seconds(stop) / 2);
            let fetched = stops.pickup.completed_at.expect("fetched") - half(StopKind::Pickup);
            let door = stops.dropoff.arrived_at.expect("arrived") + half(StopKind::Dropoff);
            let driver = &self.drivers[order.status.as_ref().unwrap().driver_name.as_ref().unwrap()];
            let ride = seconds(order.spec.pickup.location, order.spec.dropoff.location, driver.spec.speed());
            let service = (half(StopKind::Pickup) + half(StopKind::Dropoff)).as_secs_f64();
            summary.delivered += 1;
            summary.click_to_door.push((door.duration_since(placed)).as_secs_f64());
            summary.ready_to_pickup.push(fetched.duration_since(ready).as_secs_f64());
            summary.floor.push(ready.duration_since(placed).as_secs_f64() + ride as f64 + service);
        }
        summary
    }

    pub(crate) fn apply(&mut self, command: &Command) {
        let (now, reports) = (self.now, self.reports);
        self.reports += 1;
        let report = |type_| Report {
            client_event_id: format!("dispatch-{reports}"),
            type_,
            occurred_at: now,
            location: None,
            proof: None,
            reason: None,
            note: None,
            driver: None,
            deadline: None,
            release_at: None,
            decision: None,
            fence: None,
        };
        match command {
            Command::Schedule { order, release_at } => {
                self.report(order, &Report { release_at: Some(*release_at), ..report(ReportType::Schedule) });
            }
            Command::Release { order } => self.report(order, &report(ReportType::Release)),
            Command::Expire { order } => self.report(order, &report(ReportType::Expire)),
            Command::Decide { order, decision } => {
                self.report(order, &Report { decision: Some(*decision), ..report(ReportType::Decide) });
            }
            Command::Bind { order, driver, trip_id, reason } => {
                let binding = Binding {
                    api_version: API_VERSION.into(),
                    kind: "Binding".into(),
                    metadata: BindingMetadata { name: Some(order.clone()), ..BindingMetadata::default() },
                    target: BindingTarget { kind: "Driver".into(), name: driver.clone() },
                    trip_id: Some(trip_id.clone()),
                    reason: Some(reason.clone()),
                    fence: None,
                };
                let held = &self.orders[order];
                match order::binding::bind(held, &binding, now).unwrap_or_else(|error| panic!("{command:?}: {error}")) {
                    Bound::Bound(bound) => {
                        self.bindings.push((order.clone(), driver.clone()));
                        self.orders.insert(order.clone(), Arc::new(bound));
                    }
                    Bound::Unchanged => panic!("bound twice: {command:?}"),
                }
            }
            Command::Unbind { order, reason } => {
                let unbinding = Unbinding { reason: reason.clone(), fence: None };
                let unbound = order::binding::unbind(&self.orders[order], &unbinding, now).expect("may be unbound");
                self.orders.insert(order.clone(), Arc::new(unbound));
            }
            Command::Unassignable { order, message, .. } => self.condition(order, ConditionStatus::True, message),
            Command::Assignable { order } => self.condition(order, ConditionStatus::False, ""),
            Command::Route { driver, active_orders, route } => {
                let held = Arc::make_mut(self.drivers.get_mut(driver).expect("a known driver"));
                let status = held.status.get_or_insert_with(DriverStatus::default);
                status.active_orders = Some(*active_orders);
                status.route.clone_from(route);
            }
        }
    }

    fn condition(&mut self, order: &str, status: ConditionStatus, message: &str) {
        let held = Arc::make_mut(self.orders.get_mut(order).expect("a known order"));
        let condition = Condition {
            type_: "Unassignable".into(),
            status,
            reason: "NoDriver".into(),
            message: message.into(),
            last_transition_time: self.now,
            observed_generation: None,
        };
        set_condition(&mut held.status.get_or_insert_with(OrderStatus::default).conditions, condition);
    }

    fn report(&mut self, order: &str, report: &Report) {
        let held = &self.orders[order];
        let applied = order::progress::report(held, report, report.occurred_at)
            .unwrap_or_else(|error| panic!("{order} {:?} in {:?}: {error}", report.type_, held.phase()));
        self.orders.insert(order.to_owned(), Arc::new(applied.order));
    }

    fn tell(&mut self, driver: &str, order: &str, type_: ReportType, at: Timestamp, location: Location) {
        self.reports += 1;
        let report = Report {
            client_event_id: format!("{driver}-{}", self.reports),
            type_,
            occurred_at: at,
            location: Some(location),
            proof: None,
            reason: None,
            note: None,
            driver: Some(driver.to_owned()),
            deadline: None,
            release_at: None,
            decision: None,
            fence: None,
        };
        self.report(order, &report);
    }

    fn move_phone(&mut self, name: &str, to: Timestamp) {
        let mut phone = self.phones[name].clone();
        while self.act(name, &mut phone, to) {}
        self.phones.insert(name.to_owned(), phone);
    }

    /// The next thing the phone does before `to`; whether there was one.
    fn act(&mut self, name: &str, phone: &mut Phone, to: Timestamp) -> bool {
        let driver = Arc::clone(&self.drivers[name]);
        let holds = |order: &Order| order.status.as_ref().is_some_and(|s| s.driver_name.as_deref() == Some(name));
        match phone.doing.clone() {
            Doing::Nothing => {
                let route = driver.status.as_ref().map(|s| s.route.clone()).unwrap_or_default();
                let next = route.into_iter().find(|stop| {
                    let order = &self.orders[&stop.order];
                    let open = match order.phase() {
                        Phase::Assigned | Phase::EnRouteToPickup | Phase::AtPickup => stop.stop == StopKind::Pickup,
                        Phase::OutForDelivery | Phase::AtDropoff => stop.stop == StopKind::Dropoff,
                        _ => false,
                    };
                    open && holds(order)
                });
                let Some(next) = next else {
                    phone.at = to;
                    return false;
                };
                let way = seconds(phone.place, next.location, driver.spec.speed());
                self.tell(name, &next.order, ReportType::Depart, phone.at, phone.place);
                phone.doing = Doing::Driving {
                    order: next.order,
                    stop: next.stop,
                    from: phone.place,
                    since: phone.at,
                    until: phone.at + SignedDuration::from_secs(way),
                };
                true
            }
            Doing::Driving { order, stop, from, since, until } => {
                let target = self.orders[&order].spec.stop(stop).location;
                if !holds(&self.orders[&order]) {
                    // Taken away: the driver stops where he is.
                    let share = phone.at.duration_since(since).as_secs_f64()
                        / until.duration_since(since).as_secs_f64().max(1.0);
                    phone.place = Location {
                        latitude: from.latitude + (target.latitude - from.latitude) * share,
                        longitude: from.longitude + (target.longitude - from.longitude) * share,
                    };
                    phone.doing = Doing::Nothing;
                    return true;
                }
                if until > to {
                    phone.at = to;
                    return false;
                }
                (phone.at, phone.place) = (until, target);
                self.tell(name, &order, ReportType::Arrive, until, target);
                phone.doing = Doing::Stopped { order, stop, since: until };
                true
            }
            Doing::Stopped { order, stop: StopKind::Dropoff, since } => {
                let done =
                    since + SignedDuration::from_secs(self.orders[&order].spec.service_seconds(StopKind::Dropoff));
                if done > to {
                    phone.at = to;
                    return false;
                }
                self.tell(name, &order, ReportType::Deliver, done, phone.place);
                (phone.at, phone.doing) = (done, Doing::Nothing);
                true
            }
            Doing::Stopped { order, stop: StopKind::Pickup, since } => {
                // Everything the driver is to fetch here goes along.
                let trip = |order: &Order| order.status.as_ref()?.assignment.as_ref()?.trip_id.clone();
                let wanted = trip(&self.orders[&order]);
                let mates: Vec<Arc<Order>> = self
                    .orders
                    .values()
                    .filter(|mate| {
                        holds(mate)
                            && matches!(mate.phase(), Phase::Assigned | Phase::EnRouteToPickup | Phase::AtPickup)
                            && trip(mate) == wanted
                    })
                    .cloned()
                    .collect();
                let leave = mates
                    .iter()
                    .map(|mate| {
                        let half = SignedDuration::from_secs(mate.spec.service_seconds(StopKind::Pickup) / 2);
                        (since + half).max(mate.spec.ready_at.unwrap_or(since)) + half
                    })
                    .max()
                    .unwrap_or(since);
                if leave > to {
                    phone.at = to;
                    return false;
                }
                for mate in mates {
                    let mate_name = mate.metadata.name.clone().unwrap();
                    self.tell(name, &mate_name, ReportType::PickUp, leave, phone.place);
                }
                (phone.at, phone.doing) = (leave, Doing::Nothing);
                true
            }
        }
    }
}

/// Seconds along the great circle, rounded up: written a second time, independent of the planner's.
pub(crate) fn seconds(from: Location, to: Location, speed: f64) -> i64 {
    let (a, b) = (from.latitude.to_radians(), to.latitude.to_radians());
    let (dy, dx) = (b - a, (to.longitude - from.longitude).to_radians());
    let h = (dy / 2.0).sin().powi(2) + a.cos() * b.cos() * (dx / 2.0).sin().powi(2);
    (2.0 * 6_371_008.8 * h.sqrt().asin() / speed).ceil() as i64
}
