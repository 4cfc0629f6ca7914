//! What planning needs to know of a driver, taken out of the resource once per change, and the hard limits.

use dropmate_api::{DispatchPolicySpec, Driver, Order, VehicleType, common::ConditionStatus};

use crate::{
    job::{Job, Load},
    moment::{self, NEVER, Seconds},
};

/// A reason a driver may not take an order, in the order in which it is looked for. The names are part of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Limit {
    NotThePinnedDriver,
    Custody,
    Suspended,
    OffDuty,
    Silent,
    VehicleType,
    Skills,
    Capacity,
    OffShift,
    PickupWindow,
    DropoffWindow,
}

impl Limit {
    pub(crate) const ALL: [Self; 11] = [
        Self::NotThePinnedDriver,
        Self::Custody,
        Self::Suspended,
        Self::OffDuty,
        Self::Silent,
        Self::VehicleType,
        Self::Skills,
        Self::Capacity,
        Self::OffShift,
        Self::PickupWindow,
        Self::DropoffWindow,
    ];

    /// As `ruledOut[].limit` says it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::NotThePinnedDriver => "NotThePinnedDriver",
            Self::Custody => "Custody",
            Self::Suspended => "Suspended",
            Self::OffDuty => "OffDuty",
            Self::Silent => "Silent",
            Self::VehicleType => "VehicleType",
            Self::Skills => "Skills",
            Self::Capacity => "Capacity",
            Self::OffShift => "OffShift",
            Self::PickupWindow => "PickupWindow",
            Self::DropoffWindow => "DropoffWindow",
        }
    }

    /// As a sentence about drivers goes on: "two drivers …".
    pub(crate) fn phrase(self, many: bool) -> &'static str {
        match (self, many) {
            (Self::NotThePinnedDriver, false) => "is not the pinned driver",
            (Self::NotThePinnedDriver, true) => "are not the pinned driver",
            (Self::Custody, false) => "does not hold the goods",
            (Self::Custody, true) => "do not hold the goods",
            (Self::Suspended, false) => "is suspended",
            (Self::Suspended, true) => "are suspended",
            (Self::OffDuty, false) => "is off duty",
            (Self::OffDuty, true) => "are off duty",
            (Self::Silent, false) => "has not been heard of",
            (Self::Silent, true) => "have not been heard of",
            (Self::VehicleType, false) => "has another type of vehicle",
            (Self::VehicleType, true) => "have another type of vehicle",
            (Self::Skills, false) => "lacks a required skill",
            (Self::Skills, true) => "lack a required skill",
            (Self::Capacity, _) => "cannot carry that much",
            (Self::OffShift, false) => "is off shift at the pickup",
            (Self::OffShift, true) => "are off shift at the pickup",
            (Self::PickupWindow, _) => "cannot reach the pickup before its window ends",
            (Self::DropoffWindow, _) => "cannot reach the door before its window ends",
        }
    }
}

/// What a driver may carry, and when.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Fitness {
    pub(crate) suspended: bool,
    /// Has gone home or is on a break, as the driver says. Who says nothing works by the shifts.
    pub(crate) off_duty: bool,
    /// Since when tracking says that the driver is silent, where the policy takes orders from such drivers.
    pub(crate) silent_since: Option<Seconds>,
    pub(crate) vehicle: VehicleType,
    pub(crate) meters_per_second: f64,
    pub(crate) capacity: Load,
    /// Sorted.
    skills: Vec<String>,
    /// Sorted by start; empty means always.
    shifts: Vec<(Seconds, Seconds)>,
}

impl Fitness {
    pub(crate) fn new(driver: &Driver, policy: &DispatchPolicySpec) -> Self {
        let spec = &driver.spec;
        let vehicle = spec.vehicle_type();
        let capacity = spec.capacity.clone().unwrap_or_default();
        let mut skills = spec.skills.clone();
        skills.sort_unstable();
        let mut shifts: Vec<_> = spec.shifts.iter().map(|s| (moment::ceil(s.start), s.end.as_second())).collect();
        shifts.sort_unstable();
        let availability = driver.status.as_ref().and_then(|status| status.availability);
        Self {
            suspended: spec.suspended,
            silent_since: silent_since(driver).filter(|_| policy.unbind_silent_seconds.is_some()),
            off_duty: availability.is_some_and(|said| !said.takes_orders()),
            vehicle,
            // The schema keeps given speeds sane; a zero that slipped through must not divide.
            meters_per_second: spec.speed().max(0.01),
            capacity: Load {
                orders: capacity.orders.unwrap_or_else(|| vehicle.default_orders()),
                weight_kilograms: capacity.weight_kilograms.unwrap_or(f64::INFINITY),
                volume_liters: capacity.volume_liters.unwrap_or(f64::INFINITY),
            },
            skills,
            shifts,
        }
    }

    /// What keeps the driver from this order whatever the time and the load: vehicle, skills, capacity for it alone.
    pub(crate) fn unfit(&self, order: &Order, job: &Job) -> Option<Limit> {
        if let Some(wanted) = &order.spec.requirements {
            if !wanted.vehicle_types.is_empty() && !wanted.vehicle_types.contains(&self.vehicle) {
                return Some(Limit::VehicleType);
            }
            if !wanted.skills.iter().all(|skill| self.skills.binary_search(skill).is_ok()) {
                return Some(Limit::Skills);
            }
        }
        (!job.load.fits(&self.capacity)).then_some(Limit::Capacity)
    }

    /// The first shift that has not ended at `at`: when a driver who is free at `at` can set out, and the end that
    /// a pickup may not pass.
    pub(crate) fn shift_from(&self, at: Seconds) -> Option<(Seconds, Seconds)> {
        if self.shifts.is_empty() {
            return Some((at, NEVER));
        }
        self.shifts.iter().find(|(_, end)| *end > at).map(|(start, end)| (at.max(*start), *end))
    }

    /// Whether the driver may be given anything new without being pinned to it.
    pub(crate) fn takes_orders(&self) -> bool {
        !self.suspended && !self.off_duty && self.silent_since.is_none()
    }

    /// When `shift_from` next answers differently for a driver who does nothing.
    pub(crate) fn shift_changes_after(&self, at: Seconds) -> Seconds {
        self.shifts.iter().flat_map(|(start, end)| [*start, *end]).filter(|edge| *edge > at).min().unwrap_or(NEVER)
    }
}

/// Since when the driver's condition `TrackingStale` holds.
fn silent_since(driver: &Driver) -> Option<Seconds> {
    let conditions = &driver.status.as_ref()?.conditions;
    let stale = conditions.iter().find(|c| c.type_ == "TrackingStale" && c.status == ConditionStatus::True)?;
    Some(moment::ceil(stale.last_transition_time))
}
