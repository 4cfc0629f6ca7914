//! The state of the board: what the streams told, and nothing else. It has no clock; `now` is business time.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use dropmate_api::Phase;
use jiff::Timestamp;

use super::line::{DriverLine, Key, OrderLine};
use crate::follow::Change;

/// How many finished orders are kept as lines; the others only count. Nobody scrolls further back on a board.
const MAX_FINISHED: usize = 200;
/// How many changes the log keeps.
const MAX_LOG: usize = 200;

/// What a stream tells.
#[derive(Clone, Debug)]
pub(super) enum Told<L> {
    /// A page of what is there; the first begins the list and the last ends it.
    Listed { lines: Vec<L>, first: bool, last: bool },
    /// A change.
    Changed(Change, L),
    /// An object that this program cannot read.
    Unreadable(String),
    /// Changes come as they happen.
    Live,
    /// The connection is gone, and why.
    Cut(String),
}

/// What any of the streams tells.
#[derive(Clone, Debug)]
pub(super) enum Event {
    Orders(Told<OrderLine>),
    Drivers(Told<DriverLine>),
}

/// How a stream is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Link {
    /// The first list is being read.
    #[default]
    Loading,
    /// What is shown is what is there.
    Live,
    /// It is not, because of this.
    Cut(String),
}

/// A change, when it was heard of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) at: Timestamp,
    pub(super) key: Key,
    pub(super) text: String,
}

/// Orders, the finished ones as counts and a bounded number of lines.
#[derive(Clone, Debug, Default)]
pub(super) struct Orders {
    /// Those that something can still follow for.
    pub(super) open: BTreeMap<Key, OrderLine>,
    /// The last ones that ended, by when.
    pub(super) finished: BTreeMap<(Option<Timestamp>, Key), OrderLine>,
    /// How many ended how.
    pub(super) ended: BTreeMap<Phase, usize>,
}

/// A list that is being read, page by page. What was there before stays shown until it is whole.
#[derive(Debug)]
struct Listing<T> {
    found: T,
    /// Of those known before, the ones that were found again.
    again: BTreeSet<Key>,
}

/// The whole state.
#[derive(Debug, Default)]
pub(super) struct Board {
    pub(super) orders: Orders,
    pub(super) drivers: BTreeMap<Key, DriverLine>,
    /// Newest last.
    pub(super) log: VecDeque<Entry>,
    order_link: Link,
    driver_link: Link,
    /// A list was whole once.
    orders_known: bool,
    drivers_known: bool,
    order_list: Option<Listing<Orders>>,
    driver_list: Option<Listing<BTreeMap<Key, DriverLine>>>,
}

impl Board {
    /// Takes in what was told at that moment of business time.
    pub(super) fn apply(&mut self, event: Event, now: Timestamp) {
        match event {
            Event::Orders(Told::Listed { lines, first, last }) => self.orders_listed(lines, first, last, now),
            Event::Orders(Told::Changed(change, line)) => self.order_changed(change, line, now),
            Event::Orders(Told::Live) => self.order_link = Link::Live,
            Event::Orders(Told::Cut(why)) => self.order_link = Link::Cut(why),
            Event::Drivers(Told::Listed { lines, first, last }) => self.drivers_listed(lines, first, last, now),
            Event::Drivers(Told::Changed(change, line)) => self.driver_changed(change, line, now),
            Event::Drivers(Told::Live) => self.driver_link = Link::Live,
            Event::Drivers(Told::Cut(why)) => self.driver_link = Link::Cut(why),
            Event::Orders(Told::Unreadable(what)) | Event::Drivers(Told::Unreadable(what)) => {
                self.note(now, Key::default(), what);
            }
        }
    }

    /// The worse of the streams: only when both are live is the board true.
    pub(super) fn link(&self) -> &Link {
        match (&self.order_link, &self.driver_link) {
            (cut @ Link::Cut(_), _) | (_, cut @ Link::Cut(_)) => cut,
            (Link::Loading, _) | (_, Link::Loading) => &Link::Loading,
            (Link::Live, Link::Live) => &Link::Live,
        }
    }

    /// How many orders are in each phase.
    pub(super) fn phases(&self) -> BTreeMap<Phase, usize> {
        let mut phases = self.orders.ended.clone();
        for line in self.orders.open.values() {
            *phases.entry(line.phase).or_default() += 1;
        }
        phases
    }

    /// When the goods are expected at the door: what the order says, else the route of its driver.
    pub(super) fn eta(&self, line: &OrderLine) -> Option<Timestamp> {
        if line.eta.is_some() || line.phase.is_terminal() {
            return line.eta;
        }
        let driver = Key { namespace: line.key.namespace.clone(), name: line.driver.clone()? };
        self.drivers.get(&driver)?.arrivals.get(&line.key.name).copied()
    }

    /// How many open orders are bound to each driver.
    pub(super) fn active(&self) -> BTreeMap<Key, usize> {
        let mut active = BTreeMap::new();
        for line in self.orders.open.values() {
            if let Some(driver) = &line.driver {
                let key = Key { namespace: line.key.namespace.clone(), name: driver.clone() };
                *active.entry(key).or_default() += 1;
            }
        }
        active
    }

    fn orders_listed(&mut self, lines: Vec<OrderLine>, first: bool, last: bool, now: Timestamp) {
        // The first list is no news; a later one is, where it differs.
        let news = self.orders_known;
        let mut listing = self.order_list.take().filter(|_| !first).unwrap_or_default();
        for line in lines {
            let known = self.orders.open.get(&line.key).map(|known| (known.phase, known.driver.clone()));
            if known.is_some() {
                listing.again.insert(line.key.clone());
            }
            if news && (known.is_some() || !line.phase.is_terminal()) {
                self.tell_order(known, &line, now);
            }
            listing.found.put(line, true);
        }
        if !last {
            self.order_list = Some(listing);
            return;
        }
        let gone: Vec<Key> = self.orders.open.keys().filter(|key| !listing.again.contains(key)).cloned().collect();
        for key in gone {
            self.note(now, key, "deleted".to_owned());
        }
        (self.orders, self.orders_known) = (listing.found, true);
    }

    fn order_changed(&mut self, change: Change, line: OrderLine, now: Timestamp) {
        if change == Change::Deleted {
            self.orders.remove(&line);
            self.note(now, line.key, "deleted".to_owned());
            return;
        }
        let known = self.orders.open.get(&line.key).map(|known| (known.phase, known.driver.clone()));
        // An order that ended has told all its news.
        if known.is_some() || change == Change::Added {
            self.tell_order(known, &line, now);
        }
        self.orders.put(line, change == Change::Added);
    }

    fn tell_order(&mut self, known: Option<(Phase, Option<String>)>, line: &OrderLine, now: Timestamp) {
        let driver = line.driver.as_ref().map(|driver| format!(" ({driver})")).unwrap_or_default();
        let text = match known {
            None => format!("new, {:?}{driver}", line.phase),
            Some((before, who)) if before != line.phase || who != line.driver => {
                format!("{before:?} → {:?}{driver}", line.phase)
            }
            Some(_) => return,
        };
        self.note(now, line.key.clone(), text);
    }

    fn drivers_listed(&mut self, lines: Vec<DriverLine>, first: bool, last: bool, now: Timestamp) {
        let news = self.drivers_known;
        let mut listing = self.driver_list.take().filter(|_| !first).unwrap_or_default();
        for line in lines {
            if news {
                self.tell_driver(&line, now);
            }
            listing.again.insert(line.key.clone());
            listing.found.insert(line.key.clone(), line);
        }
        if !last {
            self.driver_list = Some(listing);
            return;
        }
        let gone: Vec<Key> = self.drivers.keys().filter(|key| !listing.again.contains(key)).cloned().collect();
        for key in gone {
            self.note(now, key, "driver deleted".to_owned());
        }
        (self.drivers, self.drivers_known) = (listing.found, true);
    }

    fn driver_changed(&mut self, change: Change, line: DriverLine, now: Timestamp) {
        if change == Change::Deleted {
            self.drivers.remove(&line.key);
            self.note(now, line.key, "driver deleted".to_owned());
            return;
        }
        self.tell_driver(&line, now);
        self.drivers.insert(line.key.clone(), line);
    }

    fn tell_driver(&mut self, line: &DriverLine, now: Timestamp) {
        let text = match self.drivers.get(&line.key) {
            None => "driver new",
            Some(known) if !known.suspended && line.suspended => "driver suspended",
            Some(known) if known.suspended && !line.suspended => "driver back to work",
            Some(_) => return,
        };
        self.note(now, line.key.clone(), text.to_owned());
    }

    fn note(&mut self, at: Timestamp, key: Key, text: String) {
        if self.log.len() == MAX_LOG {
            self.log.pop_front();
        }
        self.log.push_back(Entry { at, key, text });
    }
}

impl<T: Default> Default for Listing<T> {
    fn default() -> Self {
        Self { found: T::default(), again: BTreeSet::new() }
    }
}

impl Orders {
    /// Puts an order where it belongs. A finished one counts if it is `new` here or was open; else it had been counted.
    fn put(&mut self, line: OrderLine, new: bool) {
        let was_open = self.open.remove(&line.key).is_some();
        if !line.phase.is_terminal() {
            self.open.insert(line.key.clone(), line);
            return;
        }
        if was_open || new {
            *self.ended.entry(line.phase).or_default() += 1;
        } else if !self.forget_finished(&line.key) {
            return;
        }
        self.finished.insert((line.ended_at, line.key.clone()), line);
        if self.finished.len() > MAX_FINISHED {
            self.finished.pop_first();
        }
    }

    fn remove(&mut self, line: &OrderLine) {
        if self.open.remove(&line.key).is_some() {
            return;
        }
        self.forget_finished(&line.key);
        if let Some(count) = self.ended.get_mut(&line.phase) {
            *count = count.saturating_sub(1);
        }
    }

    /// Whether it was among the lines.
    fn forget_finished(&mut self, key: &Key) -> bool {
        let before = self.finished.len();
        self.finished.retain(|(_, known), _| known != key);
        self.finished.len() < before
    }
}

#[cfg(test)]
#[path = "board_tests.rs"]
mod tests;
