//! What a driver does next: a plain function over what the phone shows, so that a phone that was switched off goes on
//! where it left off.
//!
//! A driver follows the route that dispatch wrote, and without one the trip in hand: fetches what belongs together,
//! then brings it door by door. Times are those of the drive itself (left at, plus the way): a slow network delays
//! the report, not the driver.

use std::sync::Arc;

use dropmate_api::{
    Driver, Location, Order, Phase,
    driver::Shift,
    order::{
        Custody, ProofType, StopKind, StopState, StopStatus,
        binding::{bound_driver, custodian},
    },
    subresource::{ProofGiven, Report, ReportType},
};
use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;

use crate::{drivers::chance, geo};

/// What the driver knows besides the orders; lost on restart, when the orders tell most of it again.
#[derive(Clone, Debug, Default)]
pub(crate) struct Memory {
    pub(crate) place: Option<Location>,
    /// When the driver was done with the last thing.
    pub(crate) free_at: Option<Timestamp>,
    pub(crate) leg: Option<Way>,
}

/// A way under way.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Way {
    pub(crate) from: Location,
    pub(crate) to: Location,
    pub(crate) left_at: Timestamp,
}

/// What to do next.
#[derive(Clone, Debug)]
pub(crate) enum Next {
    /// Nothing, until something changes.
    Idle,
    /// Nothing, until then.
    Wait(Timestamp),
    /// Report this about the order.
    Say { order: Arc<Order>, report: Box<Report> },
}

/// How failures come about: a share of the visits at doors, drawn from a seed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Luck {
    pub(crate) seed: u64,
    pub(crate) fail_share: f64,
}

/// Whose work an order is at the moment; nobody's once it is finished.
pub(crate) fn holder(order: &Order) -> Option<&str> {
    let status = order.status.as_ref()?;
    if status.phase.is_terminal() {
        return None;
    }
    // Goods of an order that was called off between two attempts are still in somebody's car.
    let keeper = || custodian(status).filter(|_| status.phase == Phase::Returning);
    bound_driver(status).or_else(keeper)
}

/// What is to be done for an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Errand {
    Fetch,
    Bring,
    TakeBack,
}

/// An order with its errand.
#[derive(Clone)]
struct Job<'a> {
    order: &'a Arc<Order>,
    errand: Errand,
}

pub(crate) fn next(driver: &Driver, mine: &[Arc<Order>], memory: &mut Memory, now: Timestamp, luck: Luck) -> Next {
    let jobs: Vec<Job<'_>> = mine.iter().filter_map(Job::new).collect();
    let me = Me { driver, memory, now, luck };
    match jobs.iter().filter(|job| job.since().is_some()).max_by_key(|job| (job.is_there(), job.since())) {
        Some(active) => match active.errand {
            Errand::Fetch => me.fetch(active, &jobs),
            Errand::Bring => me.bring(active),
            Errand::TakeBack => me.take_back(active),
        },
        None => me.set_out(&jobs),
    }
}

/// Where the driver is at a moment: as the orders at hand tell it, else as the phone remembers it, else where he starts.
pub(crate) fn place_at(driver: &Driver, mine: &[Arc<Order>], memory: &Memory, at: Timestamp) -> Option<Location> {
    let jobs: Vec<Job<'_>> = mine.iter().filter_map(Job::new).collect();
    let mut known = memory.clone();
    let me = Me { driver, memory: &mut known, now: at, luck: Luck { seed: 0, fail_share: 0.0 } };
    let active = jobs.iter().filter(|job| job.since().is_some()).max_by_key(|job| (job.is_there(), job.since()));
    match active {
        Some(job) if job.is_there() => Some(job.site()),
        Some(job) if job.errand == Errand::TakeBack => {
            let leg = memory.leg.unwrap_or(Way {
                from: job.order.spec.dropoff.location,
                to: job.site(),
                left_at: job.since().unwrap_or(at),
            });
            Some(me.along(leg, at))
        }
        Some(job) => Some(me.place_on_the_way(job, at)),
        None => {
            let tracked = driver.status.as_ref().and_then(|status| status.position.as_ref());
            let tracked = tracked.map(|seen| Location { latitude: seen.latitude, longitude: seen.longitude });
            let carried = jobs.iter().find(|job| job.errand != Errand::Fetch);
            let fetched_at = carried.map(|job| job.order.spec.pickup.location);
            memory.place.or(fetched_at).or(tracked).or(driver.spec.start_location)
        }
    }
}

impl<'a> Job<'a> {
    fn new(order: &'a Arc<Order>) -> Option<Self> {
        let custody = order.status.as_ref().map(|s| s.custody).unwrap_or_default();
        let errand = match (order.phase(), custody) {
            (Phase::Assigned | Phase::EnRouteToPickup | Phase::AtPickup, Custody::Sender) => Errand::Fetch,
            (Phase::Assigned | Phase::OutForDelivery | Phase::AtDropoff, Custody::Driver) => Errand::Bring,
            (Phase::Returning, _) => Errand::TakeBack,
            _ => return None,
        };
        Some(Self { order, errand })
    }

    fn kind(&self) -> StopKind {
        if self.errand == Errand::Bring { StopKind::Dropoff } else { StopKind::Pickup }
    }

    fn site(&self) -> Location {
        self.order.spec.stop(self.kind()).location
    }

    fn service(&self) -> SignedDuration {
        SignedDuration::from_secs(self.order.spec.service_seconds(self.kind()))
    }

    fn stop(&self) -> Option<&StopStatus> {
        let stops = self.order.status.as_ref()?.stops.as_ref()?;
        Some(if self.errand == Errand::Bring { &stops.dropoff } else { &stops.pickup })
    }

    /// When the driver set out for it or arrived, if so.
    fn since(&self) -> Option<Timestamp> {
        if self.errand == Errand::TakeBack {
            return self.order.status.as_ref()?.return_started_at;
        }
        let stop = self.stop()?;
        match stop.state {
            StopState::EnRoute => stop.departed_at,
            StopState::Arrived => stop.arrived_at,
            _ => None,
        }
    }

    fn is_there(&self) -> bool {
        self.errand != Errand::TakeBack && self.stop().is_some_and(|stop| stop.state == StopState::Arrived)
    }

    fn trip(&self) -> Option<&str> {
        self.order.status.as_ref()?.assignment.as_ref()?.trip_id.as_deref()
    }

    fn bound_at(&self) -> Option<Timestamp> {
        self.order.status.as_ref()?.assignment.as_ref()?.bound_at
    }

    fn is_pinned(&self) -> bool {
        self.order.spec.driver_name.is_some()
    }

    /// Not before the goods are ready and the door is open.
    fn opens_at(&self) -> Option<Timestamp> {
        let window = self.order.spec.stop(self.kind()).window.as_ref().and_then(|window| window.earliest);
        let ready = self.order.spec.ready_at.filter(|_| self.errand == Errand::Fetch);
        window.max(ready)
    }
}

/// A driver at a moment.
struct Me<'a> {
    driver: &'a Driver,
    memory: &'a mut Memory,
    now: Timestamp,
    luck: Luck,
}

impl Me<'_> {
    /// On the way to the counter or there, with everything that is fetched at the same visit.
    fn fetch(&self, lead: &Job<'_>, jobs: &[Job<'_>]) -> Next {
        let (site, since) = (lead.site(), lead.since().unwrap_or(self.now));
        let mates: Vec<&Job<'_>> = jobs
            .iter()
            .filter(|job| job.errand == Errand::Fetch && geo::same_site(job.site(), site))
            .filter(|job| job.since().is_some() || job.trip().is_some() && job.trip() == lead.trip())
            .collect();
        let arrival = if lead.is_there() { since } else { self.arrival(lead, since) };
        if let Some(joiner) = mates.iter().find(|mate| mate.since().is_none()) {
            let at = joiner.bound_at().unwrap_or(since).max(since);
            let here = if at >= arrival { site } else { self.place_on_the_way(lead, at) };
            return self.say(joiner, ReportType::Depart, at, here);
        }
        if let Some(late) = mates.iter().find(|mate| !mate.is_there()) {
            let at = arrival.max(late.since().unwrap_or(arrival));
            return self.say(late, ReportType::Arrive, at, site);
        }
        let service = mates.iter().map(|mate| mate.service()).max().unwrap_or_default();
        let here_at = mates.iter().filter_map(|mate| mate.since()).max().unwrap_or(since);
        // Parking and asking happen while the goods are being made.
        let ready = mates.iter().filter_map(|mate| mate.opens_at()).max();
        let leave = (arrival + service).max(here_at).max(ready.unwrap_or(arrival)).max(self.free_at(jobs));
        let over = self.shift_at(arrival).map(|shift| shift.end).filter(|end| leave > *end && here_at <= *end);
        match (over, mates.iter().find(|mate| !mate.is_pinned())) {
            // Whoever waits at the counter past the end of the shift goes home without the goods.
            (Some(end), Some(mate)) => self.say(mate, ReportType::Fail, end.max(here_at), site),
            _ => self.say(mates[0], ReportType::PickUp, leave, site),
        }
    }

    fn bring(&self, job: &Job<'_>) -> Next {
        let (door, since) = (job.site(), job.since().unwrap_or(self.now));
        if !job.is_there() {
            return self.say(job, ReportType::Arrive, self.arrival(job, since), door);
        }
        let done = since.max(job.opens_at().unwrap_or(since)) + job.service();
        let unlucky = self.luck.fail_share > 0.0 && {
            let attempts = job.order.status.as_ref().map_or(0, |s| s.attempts.len());
            let name = format!("{}/{}#{attempts}", job.order.namespace().unwrap_or_default(), job.order.name_any());
            chance(self.luck.seed, &name) < self.luck.fail_share
        };
        self.say(job, if unlucky { ReportType::Fail } else { ReportType::Deliver }, done, door)
    }

    fn take_back(&self, job: &Job<'_>) -> Next {
        let since = job.since().unwrap_or(self.now);
        let from = self.memory.leg.map_or(job.order.spec.dropoff.location, |leg| leg.from);
        let back_at = since + geo::travel(from, job.site(), self.speed()) + job.service();
        self.say(job, ReportType::Returned, back_at, job.site())
    }

    /// Nothing is under way: the next stop of the route, else of the trip in hand.
    fn set_out(self, jobs: &[Job<'_>]) -> Next {
        if let Some(leg) = self.memory.leg.take() {
            // The order was taken away on the way to it.
            self.memory.place = Some(self.along(leg, self.now));
            self.memory.free_at = self.memory.free_at.max(Some(self.now));
        }
        let free_at = self.free_at(jobs);
        let mut sooner: Option<Timestamp> = None;
        for job in self.in_turn(jobs) {
            let here = self.here(job);
            let bound_at = job.bound_at().unwrap_or(free_at).max(free_at);
            let at = match job.errand {
                Errand::Bring => bound_at,
                Errand::TakeBack => return self.say(job, ReportType::StartReturn, free_at.max(self.now), here),
                Errand::Fetch if job.is_pinned() => bound_at,
                Errand::Fetch => match self.works_from(bound_at) {
                    Some(at) => at,
                    // Off duty: dispatch will take it away.
                    None => continue,
                },
            };
            if at <= self.now {
                return self.say(job, ReportType::Depart, at, here);
            }
            sooner = Some(sooner.map_or(at, |held| held.min(at)));
        }
        sooner.map_or(Next::Idle, Next::Wait)
    }

    /// The jobs in the order the driver would take them.
    fn in_turn<'b, 'c>(&self, jobs: &'b [Job<'c>]) -> Vec<&'b Job<'c>> {
        let route = self.driver.status.as_ref().map(|status| status.route.as_slice()).unwrap_or_default();
        let carried: Vec<&str> = jobs.iter().filter(|job| job.errand == Errand::Bring).filter_map(Job::trip).collect();
        let rank = |job: &Job<'_>| {
            let listed = route.iter().position(|stop| stop.order == job.order.name_any() && stop.stop == job.kind());
            let here = self.memory.place;
            let mate = job.errand == Errand::Fetch
                && job.trip().is_some_and(|trip| carried.contains(&trip))
                && here.is_some_and(|here| geo::same_site(here, job.site()));
            let meters = here.map_or(0.0, |here| geo::meters(here, job.site())) as i64;
            let errand = match job.errand {
                _ if mate => 0,
                Errand::Bring => 1,
                Errand::TakeBack => 2,
                Errand::Fetch => 3,
            };
            // What the route does not know yet was bound after it.
            let listed = if mate { 0 } else { listed.unwrap_or(usize::MAX) };
            let bound_at = job.bound_at().filter(|_| job.errand == Errand::Fetch);
            (listed, errand, bound_at, meters, job.order.name_any())
        };
        let mut ranked: Vec<_> = jobs.iter().map(|job| (rank(job), job)).collect();
        ranked.sort_by(|a, b| a.0.cmp(&b.0));
        ranked.into_iter().map(|(_, job)| job).collect()
    }

    fn arrival(&self, job: &Job<'_>, since: Timestamp) -> Timestamp {
        let from = job.stop().and_then(|stop| stop.location).or(self.memory.leg.map(|leg| leg.from));
        since + geo::travel(from.unwrap_or(job.site()), job.site(), self.speed())
    }

    fn place_on_the_way(&self, job: &Job<'_>, at: Timestamp) -> Location {
        let from = job.stop().and_then(|stop| stop.location).unwrap_or(job.site());
        let leg = Way { from, to: job.site(), left_at: job.since().unwrap_or(at) };
        self.along(leg, at)
    }

    fn along(&self, leg: Way, at: Timestamp) -> Location {
        let whole = geo::travel(leg.from, leg.to, self.speed()).as_secs_f64();
        let share = if whole > 0.0 { at.duration_since(leg.left_at).as_secs_f64() / whole } else { 1.0 };
        geo::between(leg.from, leg.to, share)
    }

    /// Where the driver is: remembered, else as the order at hand, the tracking agent or the spec has it.
    fn here(&self, job: &Job<'_>) -> Location {
        let fetched_at = || (job.errand != Errand::Fetch).then_some(job.order.spec.pickup.location);
        let tracked = || {
            let position = self.driver.status.as_ref()?.position.as_ref()?;
            Some(Location { latitude: position.latitude, longitude: position.longitude })
        };
        let start = || self.driver.spec.start_location;
        self.memory.place.or_else(fetched_at).or_else(tracked).or_else(start).unwrap_or(job.site())
    }

    /// When the driver was done with the last thing: remembered, else the latest that the orders at hand know of.
    fn free_at(&self, jobs: &[Job<'_>]) -> Timestamp {
        let stops = jobs.iter().filter_map(|job| job.order.status.as_ref()?.stops.as_ref());
        let times = stops.flat_map(|s| [s.pickup.completed_at, s.dropoff.completed_at]).flatten();
        self.memory.free_at.into_iter().chain(times).max().unwrap_or(Timestamp::MIN)
    }

    fn speed(&self) -> f64 {
        self.driver.spec.speed()
    }

    fn shift_at(&self, at: Timestamp) -> Option<&Shift> {
        self.driver.spec.shifts.iter().find(|shift| shift.start <= at && at <= shift.end)
    }

    /// The first moment from `at` on at which the driver works; `None` if there is none.
    fn works_from(&self, at: Timestamp) -> Option<Timestamp> {
        let shifts = &self.driver.spec.shifts;
        if shifts.is_empty() {
            return Some(at);
        }
        // What was bound late is looked at now, not then.
        let at =
            at.max(if shifts.iter().any(|s| s.start <= at && at < s.end && self.now >= s.end) { self.now } else { at });
        shifts.iter().filter(|shift| at < shift.end).map(|shift| shift.start.max(at)).min()
    }

    /// The report, once its time has come.
    fn say(&self, job: &Job<'_>, type_: ReportType, at: Timestamp, here: Location) -> Next {
        if at > self.now {
            return Next::Wait(at);
        }
        let status = job.order.status.clone().unwrap_or_default();
        let generation = status.assignment.as_ref().map_or(0, |a| a.generation);
        let stop = if job.errand == Errand::Bring { "dropoff" } else { "pickup" };
        let spec = &job.order.spec;
        let proofs = match (type_, spec.proof.as_ref()) {
            (ReportType::PickUp, Some(policy)) => policy.pickup.as_slice(),
            (ReportType::Deliver, Some(policy)) => policy.dropoff.as_slice(),
            _ => &[],
        };
        let given = |type_: &ProofType| ProofGiven { type_: *type_, reference: Some("simulated".to_owned()) };
        let proof: Vec<ProofGiven> = proofs.iter().filter(|p| **p != ProofType::None).map(given).collect();
        let reason = if job.errand == Errand::Fetch { "shift over" } else { "nobody home" };
        let report = Report {
            // One for each step of each binding and attempt: the same however often it has to be sent.
            client_event_id: format!("{}-{stop}-{generation}-{}", type_.as_str(), status.attempts.len()),
            type_,
            occurred_at: at,
            location: Some(here),
            proof: (!proof.is_empty()).then_some(proof),
            reason: (type_ == ReportType::Fail).then(|| reason.to_owned()),
            note: None,
            driver: Some(self.driver.name_any()),
            deadline: None,
            release_at: None,
            decision: None,
            fence: None,
        };
        Next::Say { order: job.order.clone(), report: Box::new(report) }
    }
}

impl Memory {
    /// What the driver remembers once the report is in.
    pub(crate) fn learn(&mut self, order: &Order, report: &Report) {
        let at = report.occurred_at;
        self.free_at = self.free_at.max(Some(at));
        let aboard = order.status.as_ref().is_some_and(|s| s.custody == Custody::Driver);
        let (pickup, dropoff) = (order.spec.pickup.location, order.spec.dropoff.location);
        match report.type_ {
            ReportType::Depart if self.leg.is_none() => {
                let to = if aboard { dropoff } else { pickup };
                self.leg = report.location.map(|from| Way { from, to, left_at: at });
            }
            ReportType::StartReturn => self.leg = report.location.map(|from| Way { from, to: pickup, left_at: at }),
            ReportType::Depart => {}
            _ => {
                self.leg = None;
                self.place = report.location.or(self.place);
            }
        }
    }
}

#[cfg(test)]
#[path = "phone_tests.rs"]
mod tests;
