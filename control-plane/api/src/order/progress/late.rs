//! Late reports: a phone without a network tells afterwards when something happened that was inferred meanwhile.

use jiff::Timestamp;

use super::apply::{ARRIVED_AT, DEPARTED_AT};
use crate::{
    order::{OrderStatus, StopState, StopStatus, Stops},
    subresource::{Report, ReportType},
};

/// Whether something known about the order's stops happened after this report. Reports of the dispatch agent and
/// answers to offers are no part of the drive.
pub(super) fn is_late(status: &OrderStatus, report: &Report) -> bool {
    let drives = !report.type_.is_dispatch() && !matches!(report.type_, ReportType::Accept | ReportType::Decline);
    drives && newest(status).is_some_and(|newest| report.occurred_at < newest)
}

/// Fills the time that the report tells of, if it was inferred. Returns whether it did.
///
/// Which stop it means, its time tells: before the goods were fetched it was the pickup.
pub(super) fn fill(status: &mut OrderStatus, report: &Report) -> bool {
    let Some(stops) = &mut status.stops else { return false };
    let at = report.occurred_at;
    let time = match report.type_ {
        ReportType::Depart => DEPARTED_AT,
        ReportType::Arrive => ARRIVED_AT,
        _ => return false,
    };
    let Stops { pickup, dropoff } = stops;
    let fetched = pickup.completed_at.filter(|_| pickup.state == StopState::Completed);
    let stop = if fetched.is_some_and(|fetched| at >= fetched) { dropoff } else { pickup };
    fill_stop(stop, time, at, report)
}

fn fill_stop(stop: &mut StopStatus, time: &str, at: Timestamp, report: &Report) -> bool {
    let Some(place) = stop.inferred.iter().position(|inferred| inferred == time) else { return false };
    // Within one stop the order of the steps stands: set out, then arrive, then finish.
    let reported = |name: &str, value: Option<Timestamp>| value.filter(|_| !stop.inferred.iter().any(|i| i == name));
    let fits = if time == DEPARTED_AT {
        reported(ARRIVED_AT, stop.arrived_at).or(stop.completed_at).is_none_or(|next| at <= next)
    } else {
        reported(DEPARTED_AT, stop.departed_at).is_none_or(|before| at >= before)
    };
    if !fits {
        return false;
    }
    stop.inferred.remove(place);
    if time == DEPARTED_AT {
        stop.departed_at = Some(at);
    } else {
        stop.arrived_at = Some(at);
        // What is still inferred cannot have happened after it.
        if stop.inferred.iter().any(|inferred| inferred == DEPARTED_AT) {
            stop.departed_at = stop.departed_at.map(|departed| departed.min(at));
        }
    }
    if stop.location.is_none() {
        stop.location = report.location;
    }
    true
}

/// The latest thing known to have happened at a stop or on the way back.
fn newest(status: &OrderStatus) -> Option<Timestamp> {
    let stops = status.stops.iter().flat_map(|s| [&s.pickup, &s.dropoff]);
    stops.flat_map(|s| [s.departed_at, s.arrived_at, s.completed_at]).chain([status.return_started_at]).flatten().max()
}
