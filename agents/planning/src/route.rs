//! A driver's route: trips one after the other, and what they cost.
//!
//! A trip fetches one or more orders from one site and then hands them over; every trip ends with an empty vehicle.
//! That is how goods from a kitchen or a counter travel, and it keeps evaluating an insertion cheap.

use dropmate_api::{DispatchPolicySpec, order::StopKind};

use crate::{
    fleet::Fitness,
    job::{Job, Load},
    moment::Seconds,
    travel::{self, Place},
};

/// A driver should be at the pickup this long before the shift ends: planned times slip a little.
const SHIFT_MARGIN_SECONDS: Seconds = 60;

/// What missing a dropoff's window costs, in weighted seconds: more than any detour within a city, so that a driver
/// who can keep the window is always preferred; still finite, because late beats never.
const MISSED_WINDOW_COST: f64 = 1e6;

/// Index of an order in the world.
pub(crate) type OrderId = usize;

/// What is left to be done for an order of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Errand {
    /// Fetch it, then hand it over.
    Fetch,
    /// It is in the vehicle: hand it over.
    Aboard,
    /// It is in the vehicle and goes back to the pickup.
    Return,
}

/// One order of a route. A route is its legs in the order of their last stops; legs of a trip are neighbours.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Leg {
    pub(crate) order: OrderId,
    pub(crate) trip: u32,
    pub(crate) errand: Errand,
    /// Bound to the driver already; dispatch does not move it.
    pub(crate) bound: bool,
    /// A human's or the goods' will: hard limits do not apply.
    pub(crate) forced: bool,
}

/// Where a route begins.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Start {
    pub(crate) at: Seconds,
    pub(crate) place: Place,
    /// The driver is on the way to the first stop, or there: the (expected) arrival.
    pub(crate) arrival: Option<Seconds>,
}

/// How much each second weighs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Weights {
    pub(crate) lateness: f64,
    pub(crate) freshness: f64,
    pub(crate) driving: f64,
}

impl Weights {
    pub(crate) fn new(policy: &DispatchPolicySpec) -> Self {
        let given = policy.objective.clone().unwrap_or_default();
        Self {
            lateness: given.lateness.unwrap_or(4.0),
            freshness: given.freshness.unwrap_or(1.0),
            driving: given.driving.unwrap_or(0.3),
        }
    }
}

/// What a route costs: the weighted sum and its terms in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Cost {
    pub(crate) total: f64,
    pub(crate) lateness: f64,
    pub(crate) freshness: f64,
    pub(crate) driving: f64,
}

impl Cost {
    pub(crate) fn minus(&self, other: &Self) -> Self {
        Self {
            total: self.total - other.total,
            lateness: self.lateness - other.lateness,
            freshness: self.freshness - other.freshness,
            driving: self.driving - other.driving,
        }
    }
}

/// A stop of a route in time.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Visit {
    /// The pickup of the trip whose legs are `from..to`.
    Pickup {
        from: usize,
        to: usize,
        /// When the driver could set out, and how long the way is.
        free_at: Seconds,
        travel: Seconds,
        arrival: Seconds,
        leave: Seconds,
    },
    /// The last stop of the leg.
    Door { leg: usize, arrival: Seconds, done: Seconds },
}

/// What is needed to put a route into time.
#[derive(Clone, Copy)]
pub(crate) struct Walker<'a> {
    pub(crate) jobs: &'a [Job],
    pub(crate) fitness: &'a Fitness,
    pub(crate) start: &'a Start,
    pub(crate) weights: Weights,
    pub(crate) now: Seconds,
}

impl Walker<'_> {
    /// What the route costs; `None` if it breaks a hard limit for an order that is not bound.
    pub(crate) fn cost(&self, legs: &[Leg]) -> Option<Cost> {
        self.walk(legs, |_| {})
    }

    /// The cost, and every stop on the way.
    pub(crate) fn walk(&self, legs: &[Leg], mut visit: impl FnMut(Visit)) -> Option<Cost> {
        let mut cost = Cost::default();
        let mut place = self.start.place;
        let mut at = self.start.at.max(self.now);
        let mut arrival = self.start.arrival;
        let mut from = 0;
        while from < legs.len() {
            let to = trip_end(legs, from);
            let trip = &legs[from..to];
            if let Some(first) = trip.iter().find(|leg| leg.errand == Errand::Fetch) {
                let site = self.jobs[first.order].pickup;
                let pickup = self.fetch(trip, site, place, at, arrival.take())?;
                cost.driving += pickup.travel as f64;
                visit(Visit::Pickup {
                    from,
                    to,
                    free_at: pickup.free_at,
                    travel: pickup.travel,
                    arrival: pickup.arrival,
                    leave: pickup.leave,
                });
                (place, at) = (site, pickup.leave);
            }
            for (offset, leg) in trip.iter().enumerate() {
                let job = &self.jobs[leg.order];
                let door = last_stop(job, leg.errand);
                let travel = travel::seconds(place, door, self.fitness.meters_per_second);
                let reached = arrival.take().unwrap_or(at + travel);
                cost.driving += travel as f64;
                let done = if leg.errand == Errand::Return {
                    (reached + job.pickup_service).max(self.now)
                } else {
                    let done = (reached.max(job.dropoff_from) + job.dropoff_service).max(self.now);
                    let late = (done - job.due_at).max(0) as f64;
                    let fresh = (done - job.ready_at) as f64;
                    cost.lateness += late;
                    cost.freshness += fresh;
                    cost.total += job.urgency * (self.weights.lateness * late + self.weights.freshness * fresh);
                    if reached > job.dropoff_until {
                        cost.total += MISSED_WINDOW_COST;
                    }
                    done
                };
                visit(Visit::Door { leg: from + offset, arrival: reached, done });
                (place, at) = (door, done);
            }
            from = to;
        }
        cost.total += self.weights.driving * cost.driving;
        Some(cost)
    }

    /// The pickup of a trip, in the first shift it fits in; `None` if a limit forbids it.
    fn fetch(
        &self,
        trip: &[Leg],
        site: Place,
        place: Place,
        at: Seconds,
        under_way: Option<Seconds>,
    ) -> Option<Fetched> {
        let checked = trip.iter().any(|leg| !leg.bound && !leg.forced);
        let (mut ready, mut service, mut until) = (Seconds::MIN, 0, Seconds::MAX);
        let mut load = Load::default();
        for leg in trip {
            let job = &self.jobs[leg.order];
            if leg.errand == Errand::Fetch {
                // A bound driver waits no longer than for the goods; only a plan waits for the door to open.
                ready = ready.max(if leg.bound { job.ready_at } else { job.fetch_from });
                service = service.max(job.pickup_service);
                until = until.min(job.pickup_until);
            }
            load.add(&job.load);
        }
        if checked && !load.fits(&self.fitness.capacity) {
            return None;
        }
        let travel = travel::seconds(place, site, self.fitness.meters_per_second);
        let pickup = |free_at: Seconds| {
            let arrival = under_way.unwrap_or(free_at + travel);
            Fetched { free_at, travel, arrival, leave: leave(arrival, ready, service).max(self.now) }
        };
        if !checked {
            return Some(pickup(at));
        }
        let mut from = at;
        loop {
            let (free_at, end) = self.fitness.shift_from(from)?;
            let fetched = pickup(free_at);
            if fetched.leave > until {
                return None;
            }
            if fetched.leave + SHIFT_MARGIN_SECONDS <= end {
                return Some(fetched);
            }
            if under_way.is_some() {
                return None;
            }
            from = end;
        }
    }
}

/// A pickup in time.
struct Fetched {
    free_at: Seconds,
    travel: Seconds,
    arrival: Seconds,
    leave: Seconds,
}

/// When a driver who arrived leaves with the goods: parking and asking may happen while they are being made.
fn leave(arrival: Seconds, ready: Seconds, service: Seconds) -> Seconds {
    (arrival + service).max(ready)
}

/// When a driver has to arrive so that nothing waits for him.
pub(crate) fn useful_arrival(ready: Seconds, service: Seconds) -> Seconds {
    ready - service
}

/// The end of the trip that begins at `from`.
pub(crate) fn trip_end(legs: &[Leg], from: usize) -> usize {
    let trip = legs[from].trip;
    from + legs[from..].iter().take_while(|leg| leg.trip == trip).count()
}

/// Where the errand ends.
pub(crate) fn last_stop(job: &Job, errand: Errand) -> Place {
    match errand {
        Errand::Fetch | Errand::Aboard => job.dropoff,
        Errand::Return => job.pickup,
    }
}

/// Which of the order's stops the errand ends at.
pub(crate) fn last_stop_kind(errand: Errand) -> StopKind {
    match errand {
        Errand::Fetch | Errand::Aboard => StopKind::Dropoff,
        Errand::Return => StopKind::Pickup,
    }
}
