//! One driver as tracking follows him: the newest fix, and the stops he may come to.
//!
//! Fixes are seen as they come, by their time. One that is older than what was seen already cannot be put in between: then
//! the stops are watched anew from the history, which has it. So the outcome is that of all fixes in order, in whatever
//! order they came.

use std::collections::BTreeMap;

use dropmate_api::{Location, order::StopKind};
use jiff::Timestamp;

use crate::{
    fix::{Fix, in_order},
    geofence::Presence,
};

/// A stop to be watched: an order's, in one of its turns (a binding).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StopId {
    /// The order's uid.
    pub uid: String,
    /// Which of its stops.
    pub kind: StopKind,
    /// How often the order was taken from a driver before.
    pub generation: i64,
}

/// Where a stop is, and from when on the driver's being there means something.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Site {
    /// Where.
    pub place: Location,
    /// Fixes before this say nothing about it.
    pub since: Timestamp,
}

/// One driver as tracking follows him.
#[derive(Clone, Debug, Default)]
pub struct Watch {
    newest: Option<Fix>,
    stops: BTreeMap<StopId, (Site, Presence)>,
    /// From when on the history has to be read again.
    reread: Option<Timestamp>,
}

impl Watch {
    /// The newest fix by its time.
    pub fn newest(&self) -> Option<&Fix> {
        self.newest.as_ref()
    }

    /// The driver's stops are these. A stop that was not watched before has to be looked up in the history.
    pub fn expect(&mut self, sites: BTreeMap<StopId, Site>) {
        self.stops.retain(|id, (site, _)| sites.get(id) == Some(site));
        for (id, site) in sites {
            if !self.stops.contains_key(&id) {
                self.reread = Some(self.reread.map_or(site.since, |held| held.min(site.since)));
                self.stops.insert(id, (site, Presence::default()));
            }
        }
    }

    /// Takes in fixes that are in the history, too.
    pub fn see(&mut self, fixes: Vec<Fix>) {
        for fix in in_order(fixes) {
            match self.newest {
                Some(newest) if fix.key() == newest.key() => {}
                Some(newest) if fix.key() < newest.key() => {
                    let stops = self.stops.values().map(|(site, _)| site.since).filter(|since| *since <= fix.at);
                    self.reread = stops.chain(self.reread).min();
                }
                _ => {
                    for (site, presence) in self.stops.values_mut().filter(|(site, _)| site.since <= fix.at) {
                        presence.see(site.place, &fix);
                    }
                    self.newest = Some(fix);
                }
            }
        }
    }

    /// From when on the history has to be given to [`recall`](Self::recall) before [`presence`](Self::presence) says
    /// anything new.
    pub fn wants_history(&self) -> Option<Timestamp> {
        self.reread
    }

    /// The driver's fixes since [`wants_history`](Self::wants_history), all of them: stops are looked at anew.
    pub fn recall(&mut self, fixes: Vec<Fix>) {
        let Some(from) = self.reread.take() else { return };
        let fixes = in_order(fixes);
        // A stop that is watched for longer lacks nothing, and would lack its first fixes here.
        for (site, presence) in self.stops.values_mut().filter(|(site, _)| site.since >= from) {
            let from = fixes.partition_point(|fix| fix.at < site.since);
            *presence = Presence::of(site.place, &fixes[from..]);
        }
        if let Some(last) = fixes.last()
            && self.newest.is_none_or(|newest| newest.key() < last.key())
        {
            self.newest = Some(*last);
        }
    }

    /// The newest fix of the time before this process; no stop is looked at by it.
    pub fn remember(&mut self, fix: Fix) {
        if self.newest.is_none_or(|newest| newest.key() < fix.key()) {
            self.newest = Some(fix);
        }
    }

    /// What is known of a stop.
    pub fn presence(&self, id: &StopId) -> Option<&Presence> {
        self.stops.get(id).map(|(_, presence)| presence)
    }
}
