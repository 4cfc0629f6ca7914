//! Boards for tests.

use std::collections::BTreeMap;

use dropmate_api::Phase;
use jiff::{SignedDuration, Timestamp};

use super::{
    board::{Board, Event, Told},
    line::{DriverLine, Key, OrderLine},
};
use crate::follow::Change;

/// Minutes after noon of the day all tests play on.
pub(super) fn at(minutes: i64) -> Timestamp {
    let noon: Timestamp = "2026-05-01T12:00:00Z".parse().unwrap();
    noon + SignedDuration::from_mins(minutes)
}

pub(super) fn key(name: &str) -> Key {
    Key { namespace: "acme".to_owned(), name: name.to_owned() }
}

pub(super) fn order(name: &str, phase: Phase) -> OrderLine {
    OrderLine {
        key: key(name),
        phase,
        driver: None,
        placed_at: Some(at(-10)),
        due_by: None,
        eta: None,
        ended_at: None,
        note: String::new(),
    }
}

pub(super) fn assigned(name: &str, driver: &str) -> OrderLine {
    OrderLine { driver: Some(driver.to_owned()), ..order(name, Phase::Assigned) }
}

pub(super) fn finished(name: &str, minutes: i64) -> OrderLine {
    OrderLine { placed_at: Some(at(minutes - 25)), ended_at: Some(at(minutes)), ..order(name, Phase::Delivered) }
}

pub(super) fn driver(name: &str) -> DriverLine {
    DriverLine {
        key: key(name),
        display_name: name.to_uppercase(),
        suspended: false,
        shifts: Vec::new(),
        capacity: 4,
        next: None,
        arrivals: BTreeMap::new(),
    }
}

/// A board that was loaded and is live.
pub(super) fn live(orders: Vec<OrderLine>, drivers: Vec<DriverLine>) -> Board {
    let mut board = Board::default();
    board.apply(Event::Orders(Told::Listed { lines: orders, first: true, last: true }), at(0));
    board.apply(Event::Drivers(Told::Listed { lines: drivers, first: true, last: true }), at(0));
    board.apply(Event::Orders(Told::Live), at(0));
    board.apply(Event::Drivers(Told::Live), at(0));
    board
}

pub(super) fn changed(board: &mut Board, change: Change, line: OrderLine) {
    board.apply(Event::Orders(Told::Changed(change, line)), at(1));
}
