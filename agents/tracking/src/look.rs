//! One look at a namespace: from what is remembered and what is there, what to write. No clock, no I/O.
//!
//! ```text
//! memory.expect(&scene)                  → which drivers' history has to be read (then recall)
//! memory.itineraries(&scene, now)        → which ways have to be timed
//! memory.decide(&scene, timed, now)      → what to write
//! ```

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use dropmate_api::{
    Condition, DispatchPolicySpec, Driver, Location, Order, Phase,
    common::{ConditionStatus, set_condition},
    driver::Position,
    order::StopKind,
};
use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;
use serde_json::json;

use crate::{
    accuracy::{Accuracy, Sample},
    coarse,
    eta::{self, Leg, Start},
    fix::Fix,
    promise::{self, ARRIVING, Knowledge, Part, SILENCE},
    stops::{self, OpenStop, StopTimes},
    timeline::{self, Entry},
    watch::{StopId, Watch},
};

/// An ETA that has moved by this much is worth an entry of the timeline.
const JUMP: SignedDuration = SignedDuration::from_mins(5);

/// An order whose ETA jumps more often than this has told enough.
const JUMPS_MAX: usize = 50;

/// An arrival that was to be reported and does not show is reported again after this long.
const ARRIVE_AGAIN: SignedDuration = SignedDuration::from_secs(30);

/// The condition of a driver who is silent; of the driver and of the orders alike.
pub const STALE: &str = "TrackingStale";

/// A namespace as it is now.
#[derive(Clone, Debug, Default)]
pub struct Scene {
    /// Its orders, by name.
    pub orders: Vec<Arc<Order>>,
    /// Its drivers, by name.
    pub drivers: Vec<Arc<Driver>>,
    /// The policy in force.
    pub policy: DispatchPolicySpec,
    /// Silence shorter than this is none, however fast the business clock runs.
    pub silence_at_least: SignedDuration,
}

/// The stops ahead of one driver.
#[derive(Clone, Debug, PartialEq)]
pub struct Itinerary {
    /// Whose.
    pub driver: String,
    /// From where.
    pub start: Start,
    /// The stops, in turn.
    pub stops: Vec<OpenStop>,
    /// The ways to them, one for each.
    pub legs: Vec<Leg>,
    /// Metres a second over the straight line.
    pub meters_per_second: f64,
    /// What the driver drives.
    pub vehicle: dropmate_api::VehicleType,
}

/// An itinerary with the time of its ways.
#[derive(Clone, Debug, PartialEq)]
pub struct Timed {
    /// The itinerary.
    pub itinerary: Itinerary,
    /// Seconds of each way.
    pub seconds: Vec<f64>,
    /// Where the times are from: `straightLine`, `osrm`, `valhalla`.
    pub source: &'static str,
    /// Some ways could not be asked for, and go by the straight line.
    pub fallback: bool,
}

/// An arrival that the policy wants reported.
#[derive(Clone, Debug, PartialEq)]
pub struct Arrival {
    /// Of which order.
    pub order: Arc<Order>,
    /// By whom.
    pub driver: String,
    /// At which stop, in which turn.
    pub stop: StopId,
    /// When.
    pub at: Timestamp,
}

/// Tracking's part of a driver's status.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DriverPart {
    /// Where, roughly.
    pub position: Option<Position>,
    /// Tracking's condition.
    pub conditions: Vec<Condition>,
}

/// What to write.
#[derive(Clone, Debug, Default)]
pub struct Acts {
    /// Parts of orders' status.
    pub orders: Vec<(Arc<Order>, Part)>,
    /// Parts of drivers' status.
    pub drivers: Vec<(Arc<Driver>, DriverPart)>,
    /// Entries of timelines that are new or say something else now.
    pub entries: Vec<(Arc<Order>, Vec<Entry>)>,
    /// Arrivals to report.
    pub arrivals: Vec<Arrival>,
    /// How right earlier ETAs were.
    pub samples: Vec<Sample>,
    /// Finished orders about which there is nothing more to say.
    pub done: Vec<String>,
    /// When something changes by time alone.
    pub wake_at: Option<Timestamp>,
}

/// What is remembered of a namespace between looks. Lost on restart, and then found again in the orders and the history.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    watches: BTreeMap<String, Watch>,
    /// The uids of the drivers who are watched: another of that name is somebody else.
    drivers: BTreeMap<String, String>,
    orders: BTreeMap<String, Told>,
    duty: BTreeMap<String, bool>,
    accuracy: Accuracy,
    arrived: BTreeMap<StopId, Timestamp>,
}

/// A driver whose history has to be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The Driver's name.
    pub driver: String,
    /// Fixes from then on (business time).
    pub since: Timestamp,
    /// Since when the Driver is there (system time): what was recorded before is somebody else's.
    pub made: Timestamp,
}

/// What was written of an order.
#[derive(Clone, Debug, Default)]
struct Told {
    version: Option<String>,
    entries: BTreeMap<String, Entry>,
    eta_written_at: Option<Timestamp>,
    last_eta: Option<Timestamp>,
    jumps: usize,
    /// Which conditions were said to hold; what is not here stands in the order.
    said: BTreeMap<&'static str, bool>,
}

/// What is ahead of the driver of an order.
#[derive(Clone, Copy, Debug)]
struct Ahead<'a> {
    /// When the goods are expected at the door, and by which ways.
    eta: Option<(Timestamp, &'a Timed)>,
    /// How far the door is, in metres, if it is where the driver goes next.
    next_door: Option<f64>,
}

impl Memory {
    /// Fixes of a driver that are in the history.
    pub fn see(&mut self, driver: &str, fixes: Vec<Fix>) {
        self.watches.entry(driver.to_owned()).or_default().see(fixes);
    }

    /// Whether anything is known of where the driver is.
    pub fn knows(&self, driver: &str) -> bool {
        self.watches.get(driver).is_some_and(|watch| watch.newest().is_some())
    }

    /// The newest fix of a driver from the time before this process.
    pub fn remember(&mut self, driver: &str, fix: Fix) {
        self.watches.entry(driver.to_owned()).or_default().remember(fix);
    }

    /// Says which stops are watched now, and whose history has to be read since when.
    pub fn expect(&mut self, scene: &Scene) -> Vec<Wanted> {
        let uids = scene.drivers.iter().map(|driver| (driver.name_any(), driver.uid().unwrap_or_default()));
        let uids: BTreeMap<String, String> = uids.collect();
        let same = |driver: &String, known: &BTreeMap<String, String>| {
            uids.get(driver).is_some_and(|uid| known.get(driver).is_none_or(|known| known == uid))
        };
        self.watches.retain(|driver, _| same(driver, &self.drivers));
        self.duty.retain(|driver, _| same(driver, &self.drivers));
        self.drivers = uids;
        let orders = by_driver(scene);
        let mut wanted = Vec::new();
        for driver in &scene.drivers {
            let (made, driver) = (driver.creation_timestamp(), driver.name_any());
            let made = made.map_or(Timestamp::MIN, |made| made.0);
            let sites = orders.get(driver.as_str()).map(|orders| stops::watched(orders)).unwrap_or_default();
            let watch = self.watches.entry(driver.clone()).or_default();
            watch.expect(sites);
            if let Some(since) = watch.wants_history() {
                wanted.push(Wanted { driver, since, made });
            }
        }
        wanted
    }

    /// The driver's history that was asked for.
    pub fn recall(&mut self, driver: &str, fixes: Vec<Fix>) {
        if let Some(watch) = self.watches.get_mut(driver) {
            watch.recall(fixes);
        }
    }

    /// The stops ahead of every driver who has any.
    pub fn itineraries(&self, scene: &Scene, now: Timestamp) -> Vec<Itinerary> {
        let orders = by_driver(scene);
        let with_orders = scene.drivers.iter().filter_map(|driver| {
            let name = driver.name_any();
            let mine = orders.get(name.as_str())?;
            let stops = stops::open_stops(driver, mine);
            // Of a driver of whom nobody knows where he is, nobody knows when he comes.
            let start = self.start(driver, mine, now).filter(|_| !stops.is_empty())?;
            let legs = eta::legs(start.place, &stops);
            let (meters_per_second, vehicle) = (driver.spec.speed().max(0.01), driver.spec.vehicle_type());
            Some(Itinerary { driver: name, start, stops, legs, meters_per_second, vehicle })
        });
        with_orders.collect()
    }

    /// Where a driver is and since when: by the newest fix or the newest report, whichever is later.
    fn start(&self, driver: &Driver, orders: &[Arc<Order>], now: Timestamp) -> Option<Start> {
        let fix = self.watches.get(&driver.name_any()).and_then(Watch::newest);
        let fix = fix.map(|fix| Start { at: fix.at, place: fix.place });
        let reported = orders.iter().filter_map(|order| StopTimes::of(order).last_seen());
        let reported = reported.map(|(at, place)| Start { at, place }).max_by_key(|start| start.at);
        let shown = driver.status.as_ref().and_then(|status| status.position.as_ref()).map(|position| Start {
            at: position.at,
            place: Location { latitude: position.latitude, longitude: position.longitude },
        });
        let home = driver.spec.start_location.map(|place| Start { at: now, place });
        let latest = [fix, reported, shown].into_iter().flatten().max_by_key(|start| start.at);
        // Whoever has set out since was still there when he did.
        let left = orders.iter().filter_map(|order| StopTimes::of(order).last_departure()).max();
        latest.map(|start| Start { at: start.at.max(left.unwrap_or(start.at)), ..start }).or(home)
    }

    /// What to write.
    pub fn decide(&mut self, scene: &Scene, timed: &[Timed], now: Timestamp) -> Acts {
        let mut acts = Acts::default();
        let mut etas: BTreeMap<&str, (Timestamp, &Timed)> = BTreeMap::new();
        let mut next_doors: BTreeMap<&str, f64> = BTreeMap::new();
        for timed in timed {
            let Itinerary { start, stops, .. } = &timed.itinerary;
            let next = stops.iter().take_while(|stop| stops[0].is_same_visit(stop));
            for door in next.filter(|stop| stop.id.kind == StopKind::Dropoff) {
                next_doors.insert(&door.id.uid, dropmate_planning::meters(start.place, door.place));
            }
            let arrivals = eta::arrivals(*start, stops, &timed.seconds, now);
            for (stop, arrival) in stops.iter().zip(arrivals) {
                if stop.id.kind == StopKind::Dropoff {
                    etas.insert(&stop.id.uid, (arrival, timed));
                }
                if stop.arrived_at.is_none() && !stop.returns {
                    self.accuracy.predict(&stop.id, arrival, now);
                }
            }
        }
        let orders = by_driver(scene);
        let silent = self.look_at_drivers(scene, &orders, now, &mut acts);
        for order in &scene.orders {
            let uid = order.uid().unwrap_or_default();
            let eta = etas.get(uid.as_str()).copied();
            let ahead = Ahead { eta, next_door: next_doors.get(uid.as_str()).copied() };
            self.look_at_order(scene, order, ahead, &silent, now, &mut acts);
        }
        let there: BTreeSet<String> = scene.orders.iter().filter_map(|order| order.uid()).collect();
        self.orders.retain(|uid, _| there.contains(uid));
        self.accuracy.retain(|uid| there.contains(uid));
        self.arrived.retain(|stop, _| there.contains(&stop.uid));
        acts
    }

    /// Who is silent, since when.
    fn look_at_drivers<'a>(
        &mut self,
        scene: &'a Scene,
        orders: &BTreeMap<&str, Vec<Arc<Order>>>,
        now: Timestamp,
        acts: &mut Acts,
    ) -> BTreeMap<&'a str, Timestamp> {
        let mut silent = BTreeMap::new();
        for driver in &scene.drivers {
            let name = driver.metadata.name.as_deref().unwrap_or_default();
            let mine = orders.get(name).map(Vec::as_slice).unwrap_or_default();
            let newest = self.watches.get(name).and_then(Watch::newest).copied();
            let off_duty = stops::is_off_duty(driver);
            let heard = heard_at(mine, newest.as_ref());
            let allowed = SILENCE.max(scene.silence_at_least);
            let since = heard.or_else(|| still_silent(driver, newest.as_ref(), allowed)).filter(|_| !off_duty);
            let is_silent = since.is_some_and(|since| now.duration_since(since) > allowed);
            if let Some(since) = since {
                if is_silent {
                    silent.insert(name, since);
                } else {
                    wake(&mut acts.wake_at, since.checked_add(allowed).ok());
                }
            }
            let held = driver_part(driver);
            let mut part = held.clone();
            let duty_changed = self.duty.insert(name.to_owned(), off_duty).is_some_and(|before| before != off_duty);
            if let Some(newest) = &newest {
                let shown = part.position.as_ref();
                let stopped = duty_changed
                    || mine.iter().filter_map(|order| StopTimes::of(order).last_stop()).max()
                        > shown.map(|shown| shown.at);
                if let Some(position) = coarse::position(shown, newest, stopped) {
                    part.position = Some(position);
                }
            }
            set_stale(&mut part.conditions, is_silent.then_some(since).flatten(), driver, now);
            if part != held {
                acts.drivers.push((driver.clone(), part));
            }
        }
        silent
    }

    fn look_at_order(
        &mut self,
        scene: &Scene,
        order: &Arc<Order>,
        Ahead { eta, next_door }: Ahead<'_>,
        silent: &BTreeMap<&str, Timestamp>,
        now: Timestamp,
        acts: &mut Acts,
    ) {
        let uid = order.uid().unwrap_or_default();
        let ended = order.phase().is_terminal();
        let driver = stops::driver_of(order);
        let held = Part::of(order);
        let silent = driver.and_then(|driver| silent.get_key_value(driver)).map(|(driver, since)| (*driver, *since));
        let told = self.orders.entry(uid.clone()).or_insert_with(|| Told { last_eta: held.eta, ..Told::default() });
        let known = Knowledge { eta: eta.map(|(eta, _)| eta), eta_written_at: told.eta_written_at, silent, next_door };
        let part = promise::part(order, known, now);
        let mut entries = Vec::new();
        if told.version != order.resource_version() {
            told.version = order.resource_version();
            entries.extend(timeline::of_order(order, now));
        }
        entries.extend(transitions(&mut told.said, &held, &part, now));
        if part.eta != held.eta {
            told.eta_written_at = Some(now);
            let jumped = |eta: Timestamp| told.last_eta.is_none_or(|was| eta.duration_since(was).abs() >= JUMP);
            if let (Some(eta), Some((_, timed))) = (part.eta, eta)
                && jumped(eta)
                && told.jumps < JUMPS_MAX
            {
                let mut detail = json!({"eta": eta, "travelTimes": timed.source});
                if let Some(before) = told.last_eta {
                    detail["before"] = json!(before);
                }
                if timed.fallback {
                    detail["fallback"] = json!(true);
                }
                told.jumps += 1;
                told.last_eta = Some(eta);
                entries.push(Entry::seen(format!("eta:{}", now.as_millisecond()), now, "EtaChanged", detail));
            }
        }
        if part != held {
            acts.orders.push((order.clone(), part));
        }
        if let Some(driver) = driver {
            let watch = self.watches.get(driver);
            for kind in [StopKind::Pickup, StopKind::Dropoff] {
                let stop = StopId { uid: uid.clone(), kind, generation: stops::generation(order) };
                let Some(presence) = watch.and_then(|watch| watch.presence(&stop)) else { continue };
                entries.extend(geofence_entries(order, driver, &stop, presence));
                if let Some(at) = presence.arrived_at
                    && timeline::is_arrival_news(order, kind)
                    && scene.policy.tracking.as_ref().is_some_and(|tracking| tracking.auto_arrive)
                    && self.arrived.get(&stop).is_none_or(|tried| now.duration_since(*tried) >= ARRIVE_AGAIN)
                {
                    self.arrived.insert(stop.clone(), now);
                    acts.arrivals.push(Arrival { order: order.clone(), driver: driver.to_owned(), stop, at });
                }
            }
        }
        for kind in [StopKind::Pickup, StopKind::Dropoff] {
            if let Some(arrived) = stops::stop_status(order, kind).and_then(|stop| stop.arrived_at) {
                let stop = StopId { uid: uid.clone(), kind, generation: stops::generation(order) };
                acts.samples.extend(self.accuracy.arrived(&stop, arrived));
            }
        }
        let told = self.orders.entry(uid).or_default();
        entries.retain(|entry| match told.entries.get(&entry.key) {
            None => true,
            Some(before) => entry.corrected && before != entry,
        });
        for entry in &entries {
            told.entries.insert(entry.key.clone(), entry.clone());
        }
        if !entries.is_empty() {
            acts.entries.push((order.clone(), entries));
        } else if ended && !acts.orders.iter().any(|(written, _)| Arc::ptr_eq(written, order)) {
            acts.done.push(order.name_any());
        }
        if driver.is_some() || !ended {
            wake(&mut acts.wake_at, promise::changes_at(order, known, now));
        }
    }

    /// Entries that could not be kept: they are said again at the next look.
    pub fn unsaid(&mut self, uid: &str) {
        if let Some(told) = self.orders.get_mut(uid) {
            told.version = None;
            told.entries.clear();
        }
    }
}

fn wake(at: &mut Option<Timestamp>, next: Option<Timestamp>) {
    *at = [*at, next].into_iter().flatten().min();
}

/// The unfinished orders of each driver.
fn by_driver(scene: &Scene) -> BTreeMap<&str, Vec<Arc<Order>>> {
    let mut orders: BTreeMap<&str, Vec<Arc<Order>>> = BTreeMap::new();
    for order in &scene.orders {
        if let Some(driver) = stops::driver_of(order) {
            orders.entry(driver).or_default().push(order.clone());
        }
    }
    orders
}

/// When a driver with orders was last heard of: a fix, a report, or at the earliest when the first order was bound.
fn heard_at(orders: &[Arc<Order>], newest: Option<&Fix>) -> Option<Timestamp> {
    let active = orders.iter().filter(|order| order.phase() != Phase::AttemptFailed);
    let first = active.filter_map(|order| StopTimes::of(order).bound_at).min()?;
    let reported = orders.iter().filter_map(|order| StopTimes::of(order).last_report()).max();
    [Some(first), reported, newest.map(|fix| fix.at)].into_iter().flatten().max()
}

/// Of a silent driver whose orders were taken away nothing was heard either: since when that is so.
fn still_silent(driver: &Driver, newest: Option<&Fix>, allowed: SignedDuration) -> Option<Timestamp> {
    let conditions = &driver.status.as_ref()?.conditions;
    let held = conditions.iter().find(|held| held.type_ == STALE && held.status == ConditionStatus::True)?;
    let unheard = newest.is_none_or(|fix| fix.at <= held.last_transition_time);
    // The silence was longer than what is allowed when it was told.
    unheard.then_some(held.last_transition_time - allowed - SignedDuration::from_secs(1))
}

fn driver_part(driver: &Driver) -> DriverPart {
    let Some(status) = &driver.status else { return DriverPart::default() };
    let ours = |condition: &&Condition| condition.type_ == STALE;
    DriverPart {
        position: status.position.clone(),
        conditions: status.conditions.iter().filter(ours).cloned().collect(),
    }
}

fn set_stale(conditions: &mut Vec<Condition>, since: Option<Timestamp>, driver: &Driver, now: Timestamp) {
    let status = if since.is_some() { ConditionStatus::True } else { ConditionStatus::False };
    let held = conditions.iter().find(|held| held.type_ == STALE).map(|held| held.status);
    if held == Some(status) || held.is_none() && since.is_none() {
        return;
    }
    let next = Condition {
        type_: STALE.to_owned(),
        status,
        reason: if since.is_some() { "DriverSilent" } else { "DriverHeard" }.to_owned(),
        message: since.map(|since| format!("not heard of since {since}, with orders")).unwrap_or_default(),
        last_transition_time: now,
        observed_generation: driver.metadata.generation,
    };
    set_condition(conditions, next);
}

/// Conditions that begin or end, as entries.
fn transitions(said: &mut BTreeMap<&'static str, bool>, held: &Part, part: &Part, now: Timestamp) -> Vec<Entry> {
    let mut entries = Vec::new();
    for (type_, begins, ends) in [
        // That it ends is told by what follows: he is there, or it failed.
        (ARRIVING, "Arriving", None),
        ("AtRisk", "AtRisk", Some("BackInTime")),
        ("Late", "Late", Some("NoLongerLate")),
        (STALE, "TrackingStale", Some("TrackingResumed")),
    ] {
        // The order may still show what stood there before the last look.
        let before = said.insert(type_, part.holds(type_)).unwrap_or_else(|| held.holds(type_));
        let what = match (before, part.holds(type_)) {
            (false, true) => Some(begins),
            (true, false) => ends,
            _ => None,
        };
        let Some(what) = what else { continue };
        let finished = part.conditions.iter().any(|c| c.type_ == type_ && c.reason == "Finished");
        if !finished {
            entries.push(Entry::seen(format!("{what}:{}", now.as_millisecond()), now, what, json!({})));
        }
    }
    entries
}

fn geofence_entries(order: &Order, driver: &str, stop: &StopId, presence: &crate::geofence::Presence) -> Vec<Entry> {
    let mut entries = Vec::new();
    let detail = json!({"stop": stop.kind, "driver": driver});
    let (name, generation) = (if stop.kind == StopKind::Pickup { "pickup" } else { "dropoff" }, stop.generation);
    let fact = |what: &str, at: Timestamp, says: &'static str| Entry {
        corrected: true,
        ..Entry::seen(format!("geofence:{name}:{generation}:{what}"), at, says, detail.clone())
    };
    if let Some(at) = presence.arrived_at {
        if timeline::is_arrival_news(order, stop.kind) {
            entries.push(fact("arrived", at, "ArrivalProposed"));
        }
        if let Some(left) = presence.left_at {
            entries.push(fact("left", left, "StopLeft"));
        }
    }
    entries
}
