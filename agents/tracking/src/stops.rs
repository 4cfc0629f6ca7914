//! The stops ahead of a driver, in the turn in which he is expected to take them.

use std::{collections::BTreeMap, sync::Arc};

use dropmate_api::{
    Driver, Location, Order, Phase,
    order::{Custody, StopKind, StopState, StopStatus},
};
use jiff::Timestamp;
use kube::ResourceExt;

use crate::watch::{Site, StopId};

/// Stops of one kind this near are one visit: the doors of one building, or the noise of a geocoder.
const SAME_SITE_METERS: f64 = 30.0;

/// A stop ahead.
#[derive(Clone, Debug, PartialEq)]
pub struct OpenStop {
    /// The order's name.
    pub order: String,
    /// What it is in all its turns.
    pub id: StopId,
    /// Where it is.
    pub place: Location,
    /// Seconds spent there.
    pub service_seconds: i64,
    /// Nothing is handed over before this.
    pub opens_at: Option<Timestamp>,
    /// When the driver set out for it, if he did.
    pub departed_at: Option<Timestamp>,
    /// When he arrived, if he did.
    pub arrived_at: Option<Timestamp>,
    /// Goods are being brought back to where they came from.
    pub returns: bool,
}

impl OpenStop {
    /// Whether both are one visit.
    pub fn is_same_visit(&self, other: &Self) -> bool {
        self.id.kind == other.id.kind && dropmate_planning::meters(self.place, other.place) <= SAME_SITE_METERS
    }
}

/// How often the order was taken from a driver.
pub fn generation(order: &Order) -> i64 {
    order.status.as_ref().and_then(|status| status.assignment.as_ref()).map_or(0, |assignment| assignment.generation)
}

/// Whose work the order is, by name; nobody's once it is finished.
pub fn driver_of(order: &Order) -> Option<&str> {
    let status = order.status.as_ref().filter(|status| !status.phase.is_terminal())?;
    dropmate_api::order::binding::bound_driver(status).or_else(|| dropmate_api::order::binding::custodian(status))
}

/// Which stops of an order its driver still has to make.
fn ahead(order: &Order) -> &'static [StopKind] {
    let custody = order.status.as_ref().map(|status| status.custody).unwrap_or_default();
    match (order.phase(), custody) {
        (Phase::Assigned | Phase::EnRouteToPickup | Phase::AtPickup, Custody::Sender) => {
            &[StopKind::Pickup, StopKind::Dropoff]
        }
        (Phase::Assigned | Phase::OutForDelivery | Phase::AtDropoff, Custody::Driver) => &[StopKind::Dropoff],
        (Phase::Returning, _) => &[StopKind::Pickup],
        _ => &[],
    }
}

fn stop_of(order: &Order, kind: StopKind) -> OpenStop {
    let spec = order.spec.stop(kind);
    let returns = order.phase() == Phase::Returning;
    let status = stop_status(order, kind).filter(|_| !returns);
    let reached = |state| status.is_some_and(|stop| stop.state >= state && stop.state <= StopState::Arrived);
    let ready = order.spec.ready_at.filter(|_| kind == StopKind::Pickup);
    let window = spec.window.as_ref().and_then(|window| window.earliest);
    OpenStop {
        order: order.name_any(),
        id: StopId { uid: order.uid().unwrap_or_default(), kind, generation: generation(order) },
        place: spec.location,
        service_seconds: order.spec.service_seconds(kind),
        opens_at: window.max(ready).filter(|_| !returns),
        departed_at: status.filter(|_| reached(StopState::EnRoute)).and_then(|stop| stop.departed_at),
        arrived_at: status.filter(|_| reached(StopState::Arrived)).and_then(|stop| stop.arrived_at),
        returns,
    }
}

/// What an order says about one of its stops.
pub fn stop_status(order: &Order, kind: StopKind) -> Option<&StopStatus> {
    let stops = order.status.as_ref()?.stops.as_ref()?;
    Some(match kind {
        StopKind::Pickup => &stops.pickup,
        StopKind::Dropoff => &stops.dropoff,
    })
}

/// The stops ahead of a driver whose orders these are: where he stands, then as dispatch's route has them, then what the
/// route does not know yet, fetched before brought.
pub fn open_stops(driver: &Driver, orders: &[Arc<Order>]) -> Vec<OpenStop> {
    let route = driver.status.as_ref().map(|status| status.route.as_slice()).unwrap_or_default();
    let listed = |stop: &OpenStop| {
        let place = route.iter().position(|ahead| ahead.order == stop.order && ahead.stop == stop.id.kind);
        place.unwrap_or(usize::MAX)
    };
    let mut ranked = Vec::new();
    for order in orders {
        let bound_at = order.status.as_ref().and_then(|s| s.assignment.as_ref()).and_then(|a| a.bound_at);
        let stops: Vec<OpenStop> = ahead(order).iter().map(|kind| stop_of(order, *kind)).collect();
        // Whatever the route says, goods are fetched before they are brought.
        let first = stops.iter().map(&listed).min().unwrap_or(usize::MAX);
        for stop in stops {
            let place = if stop.id.kind == StopKind::Pickup { first } else { listed(&stop) };
            ranked.push(((stop.arrived_at.is_none(), place, stop.id.kind, bound_at, stop.order.clone()), stop));
        }
    }
    ranked.sort_by(|a, b| a.0.cmp(&b.0));
    ranked.into_iter().map(|(_, stop)| stop).collect()
}

/// The stops at which an arrival would be news: of each order the next one, unless the driver has said that he is there.
pub fn watched(orders: &[Arc<Order>]) -> BTreeMap<StopId, Site> {
    let mut sites = BTreeMap::new();
    for order in orders.iter().filter(|order| order.phase() != Phase::Returning) {
        let Some(kind) = ahead(order).first() else { continue };
        let stop = stop_of(order, *kind);
        let bound_at = order.status.as_ref().and_then(|s| s.assignment.as_ref()).and_then(|a| a.bound_at);
        let fetched_at = stop_status(order, StopKind::Pickup).and_then(|pickup| pickup.completed_at);
        let since = match kind {
            StopKind::Pickup => bound_at,
            StopKind::Dropoff => bound_at.max(fetched_at),
        };
        if let Some(since) = since {
            sites.insert(stop.id, Site { place: stop.place, since });
        }
    }
    sites
}

/// Whether a driver has said that he does not work now.
pub fn is_off_duty(driver: &Driver) -> bool {
    use dropmate_api::driver::Availability;
    let availability = driver.status.as_ref().and_then(|status| status.availability);
    matches!(availability, Some(Availability::Offline | Availability::OnBreak))
}

/// The times of what happened at an order's stops.
#[derive(Clone, Copy, Debug)]
pub struct StopTimes<'a> {
    order: &'a Order,
    /// When it was bound.
    pub bound_at: Option<Timestamp>,
}

impl<'a> StopTimes<'a> {
    /// Of an order.
    pub fn of(order: &'a Order) -> Self {
        let bound_at = order.status.as_ref().and_then(|s| s.assignment.as_ref()).and_then(|a| a.bound_at);
        Self { order, bound_at }
    }

    fn stops(self) -> impl Iterator<Item = (&'a StopStatus, Location)> {
        let stops = self.order.status.as_ref().and_then(|status| status.stops.as_ref());
        let spec = &self.order.spec;
        stops
            .into_iter()
            .flat_map(|stops| [(&stops.pickup, spec.pickup.location), (&stops.dropoff, spec.dropoff.location)])
    }

    /// When the driver last came to a stop or was done with one.
    pub fn last_stop(self) -> Option<Timestamp> {
        self.stops().flat_map(|(stop, _)| [stop.arrived_at, stop.completed_at]).flatten().max()
    }

    /// When the driver last set out.
    pub fn last_departure(self) -> Option<Timestamp> {
        let returns = self.order.status.as_ref().and_then(|status| status.return_started_at);
        self.stops().filter_map(|(stop, _)| stop.departed_at).chain(returns).max()
    }

    /// When the driver last said anything about it.
    pub fn last_report(self) -> Option<Timestamp> {
        self.last_stop().max(self.last_departure())
    }

    /// Where the driver was when he last said something, and when.
    pub fn last_seen(self) -> Option<(Timestamp, Location)> {
        let seen = self.stops().filter_map(|(stop, place)| {
            // Before the arrival a report's own place is all there is.
            let there = stop.completed_at.or(stop.arrived_at);
            there.map(|at| (at, stop.location.unwrap_or(place))).or(stop.departed_at.zip(stop.location))
        });
        seen.max_by_key(|(at, _)| *at)
    }
}
