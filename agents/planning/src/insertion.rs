//! The cheapest place for an order in a driver's route.

use crate::{
    moment::Seconds,
    route::{Cost, Errand, Leg, OrderId, Visit, Walker, trip_end},
};

/// A driver holds at most this many planned orders beyond the bound ones: farther ahead a plan is a guess.
const MAX_PLANNED_LEGS: usize = 12;

/// Where an order goes in a route, and what that adds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Insertion {
    pub(crate) at: usize,
    pub(crate) leg: Leg,
    pub(crate) added: Cost,
}

/// Finds insertions; holds the scratch space.
#[derive(Debug, Default)]
pub(crate) struct Inserter {
    scratch: Vec<Leg>,
}

impl Inserter {
    /// The cheapest insertion of `order` into the route `legs`; the first among equals.
    pub(crate) fn best(
        &mut self,
        walker: &Walker<'_>,
        legs: &[Leg],
        order: OrderId,
        forced: bool,
        max_per_trip: usize,
    ) -> Option<Insertion> {
        if !forced && legs.iter().filter(|leg| !leg.bound).count() >= MAX_PLANNED_LEGS {
            return None;
        }
        let before = walker.cost(legs)?;
        let job = &walker.jobs[order];
        let errand = if job.aboard { Errand::Aboard } else { Errand::Fetch };
        let free_trip = legs.iter().map(|leg| leg.trip + 1).max().unwrap_or(0);
        let mut best: Option<Insertion> = None;
        let mut attempt = |at: usize, trip: u32| {
            let leg = Leg { order, trip, errand, bound: false, forced };
            self.scratch.clear();
            self.scratch.extend_from_slice(&legs[..at]);
            self.scratch.push(leg);
            self.scratch.extend_from_slice(&legs[at..]);
            if let Some(after) = walker.cost(&self.scratch) {
                let added = after.minus(&before);
                if best.is_none_or(|held| added.total < held.added.total - 1e-9) {
                    best = Some(Insertion { at, leg, added });
                }
            }
        };
        if errand == Errand::Aboard {
            // The goods are in the vehicle: before everything that is only planned.
            let bound = legs.iter().take_while(|leg| leg.bound).count();
            attempt(bound, free_trip);
            return best;
        }
        // Among equals the end comes first: nobody who waited longer is overtaken for nothing.
        attempt(legs.len(), free_trip);
        let mut from = 0;
        while from < legs.len() {
            let to = trip_end(legs, from);
            let trip = &legs[from..to];
            if !trip.iter().any(|leg| leg.bound) {
                attempt(from, free_trip);
            }
            let open = trip.iter().all(|leg| leg.errand == Errand::Fetch)
                && trip.len() < max_per_trip
                && walker.jobs[trip[0].order].pickup.is_same_site(job.pickup);
            if open {
                for at in (from..=to).rev() {
                    attempt(at, trip[0].trip);
                }
            }
            from = to;
        }
        best
    }
}

/// When the order is fetched and handed over in this route.
pub(crate) fn times(walker: &Walker<'_>, legs: &[Leg], order: OrderId) -> (Option<Seconds>, Option<Seconds>) {
    let (mut pickup, mut door) = (None, None);
    walker.walk(legs, |visit| match visit {
        Visit::Pickup { from, to, leave, .. } => {
            if legs[from..to].iter().any(|leg| leg.order == order && leg.errand == Errand::Fetch) {
                pickup = Some(leave);
            }
        }
        Visit::Door { leg, done, .. } => {
            if legs[leg].order == order {
                door = Some(done);
            }
        }
    });
    (pickup, door)
}

/// Orders the doors of one trip (or of goods in the vehicle) so that the trip costs least; the first `fixed` legs stay.
/// Every order of up to five, beyond that the cheapest place for each in turn.
pub(crate) fn arrange(walker: &Walker<'_>, legs: &mut Vec<Leg>, fixed: usize) {
    const EXHAUSTIVE: usize = 5;
    let free = legs.len().saturating_sub(fixed);
    if free < 2 {
        return;
    }
    let cost = |legs: &[Leg]| walker.cost(legs).map_or(f64::INFINITY, |cost| cost.total);
    if free <= EXHAUSTIVE {
        let mut best = (cost(legs), legs.clone());
        permute(legs, fixed, &mut |candidate| {
            let total = cost(candidate);
            if total < best.0 - 1e-9 {
                best = (total, candidate.to_vec());
            }
        });
        *legs = best.1;
        return;
    }
    let waiting = legs.split_off(fixed);
    for leg in waiting {
        let places = fixed..=legs.len();
        let (_, at) = places
            .map(|at| {
                let mut candidate = legs.clone();
                candidate.insert(at, leg);
                (cost(&candidate), at)
            })
            .min_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)))
            .expect("a route has at least one place to insert at");
        legs.insert(at, leg);
    }
}

/// Calls `seen` with every arrangement of the legs from `fixed` on.
fn permute(legs: &mut [Leg], fixed: usize, seen: &mut impl FnMut(&[Leg])) {
    if fixed + 1 >= legs.len() {
        seen(legs);
        return;
    }
    for other in fixed..legs.len() {
        legs.swap(fixed, other);
        permute(legs, fixed + 1, seen);
        legs.swap(fixed, other);
    }
}
