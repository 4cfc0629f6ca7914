//! Whether a driver has been at a stop, by the fixes of his phone: with a dwell, so that driving by is no arrival, and with
//! two radii, so that noise at the edge is no coming and going.

use dropmate_api::Location;
use dropmate_planning::meters;
use jiff::{SignedDuration, Timestamp};

use crate::fix::Fix;

/// Whoever is this near is there: the next free place to park, and the noise of a phone between houses.
pub const ENTER_METERS: f64 = 100.0;

/// Whoever was there has left when this far away.
pub const LEAVE_METERS: f64 = 150.0;

/// Whoever stays this long, by fix time, has arrived; a traffic light is shorter.
pub const DWELL: SignedDuration = SignedDuration::from_secs(30);

/// Up to this accuracy the radii are meant for; what is coarser widens both by the difference.
const GOOD_METERS: f64 = 20.0;

/// No fix widens the radii by more than this.
const WIDEST_METERS: f64 = 80.0;

/// A fix coarser than this says nothing about a stop.
const USELESS_METERS: f64 = 200.0;

/// What the fixes say about one stop. Fixes are seen by their time, each once ([`crate::fix::in_order`]).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Presence {
    /// Since when the driver is inside, if so.
    pub inside_since: Option<Timestamp>,
    /// The first fix inside of the first stay that was long enough: the arrival. There is one, and it stays.
    pub arrived_at: Option<Timestamp>,
    /// The first fix outside after the arrival.
    pub left_at: Option<Timestamp>,
}

impl Presence {
    /// Takes in the next fix.
    pub fn see(&mut self, site: Location, fix: &Fix) {
        let accuracy = fix.accuracy_meters.unwrap_or(0.0);
        if !accuracy.is_finite() || accuracy > USELESS_METERS {
            return;
        }
        let slack = (accuracy - GOOD_METERS).clamp(0.0, WIDEST_METERS);
        let distance = meters(fix.place, site);
        match self.inside_since {
            None if distance <= ENTER_METERS + slack => self.inside_since = Some(fix.at),
            Some(_) if distance > LEAVE_METERS + slack => {
                self.inside_since = None;
                if self.arrived_at.is_some() {
                    self.left_at.get_or_insert(fix.at);
                }
            }
            Some(since) if self.arrived_at.is_none() && fix.at.duration_since(since) >= DWELL => {
                self.arrived_at = Some(since);
            }
            None | Some(_) => {}
        }
    }

    /// What these fixes say, which are in order.
    pub fn of(site: Location, fixes: &[Fix]) -> Self {
        let mut presence = Self::default();
        for fix in fixes {
            presence.see(site, fix);
        }
        presence
    }
}
