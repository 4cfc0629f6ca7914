use dropmate_api::{Phase, driver::Shift};

use super::{super::samples::*, *};

fn seen(board: &Board, ui: &mut Ui) -> View {
    let heights = Heights { orders: 20, drivers: 20, log: 20 };
    view(board, ui, heights, &About { namespace: Some("acme".to_owned()), speed: 1.0 }, at(0))
}

fn column(table: &Table, column: usize) -> Vec<&str> {
    table.rows.iter().map(|row| row.cells[column].as_str()).collect()
}

fn due(name: &str, minutes: i64) -> OrderLine {
    OrderLine { due_by: Some(at(minutes)), ..order(name, Phase::Ready) }
}

#[test]
fn late_orders_come_first_then_by_due_and_those_without_a_promise_last() {
    let board = live(vec![order("a", Phase::Ready), due("b", 30), due("c", -4), due("d", -90), due("e", 5)], vec![]);
    let view = seen(&board, &mut Ui::default());
    assert_eq!(column(&view.orders, 0), ["d", "c", "e", "b", "a"]);
    assert_eq!(column(&view.orders, 3), ["1h30m late", "4m late", "in 5m", "in 30m", ""]);
    assert_eq!(view.phases, [("Late 2".to_owned(), Tone::Bad), ("Ready 5".to_owned(), Tone::Plain)]);
    assert_eq!([view.orders.rows[1].tone, view.orders.rows[2].tone], [Tone::Bad, Tone::Plain]);
}

#[test]
fn an_order_that_is_expected_too_late_is_a_warning_before_it_is_late() {
    let board = live(vec![OrderLine { eta: Some(at(9)), ..due("a", 5) }], vec![]);
    let row = &seen(&board, &mut Ui::default()).orders.rows[0];
    assert_eq!((row.cells[4].as_str(), row.tone), ("in 9m", Tone::Warning));
}

#[test]
fn the_route_of_its_driver_tells_when_an_order_arrives_that_does_not_say_so_itself() {
    let on_route = DriverLine { arrivals: [("a".to_owned(), at(7))].into(), ..driver("sam") };
    let orders = vec![assigned("a", "sam"), assigned("b", "sam"), assigned("c", "kim"), order("d", Phase::Ready)];
    let view = seen(&live(orders, vec![on_route]), &mut Ui::default());
    assert_eq!(column(&view.orders, 4), ["in 7m", "", "", ""]);
}

#[test]
fn finished_orders_are_shown_on_request_newest_first_and_never_among_the_late() {
    let late = OrderLine { due_by: Some(at(-20)), ..finished("a", -8) };
    let board = live(vec![late, finished("b", -2), order("c", Phase::Ready)], vec![]);
    let mut ui = Ui::default();
    assert_eq!(column(&seen(&board, &mut ui).orders, 0), ["c"]);
    ui.finished = true;
    let view = seen(&board, &mut ui);
    assert_eq!(column(&view.orders, 0), ["c", "b", "a"]);
    assert_eq!(column(&view.orders, 3), ["", "", "12m late"]);
    assert!(!view.phases.iter().any(|(text, _)| text.starts_with("Late")), "{:?}", view.phases);
}

#[test]
fn a_driver_is_suspended_busy_off_shift_or_free_and_loaded_by_what_is_open() {
    let off = Shift { start: at(60), end: at(120) };
    let drivers = vec![
        driver("busy"),
        driver("free"),
        DriverLine { shifts: vec![off], ..driver("off") },
        DriverLine { suspended: true, next: Some((StopKind::Pickup, "o-3".to_owned(), Some(at(4)))), ..driver("sus") },
    ];
    let done = OrderLine { driver: Some("busy".to_owned()), ..finished("o-0", -1) };
    let orders = vec![assigned("o-1", "busy"), assigned("o-2", "busy"), assigned("o-3", "sus"), done];
    let view = seen(&live(orders, drivers), &mut Ui::default());
    assert_eq!(column(&view.drivers, 2), ["busy", "free", "off shift", "suspended"]);
    assert_eq!(column(&view.drivers, 4), [" 50 %", "  0 %", "  0 %", " 25 %"]);
    assert_eq!(column(&view.drivers, 5), ["", "", "", "pickup o-3 in 4m"]);
}

#[test]
fn a_filter_and_a_page_cut_the_rows_but_not_the_counts() {
    let board = live((0..50).map(|index| order(&format!("o-{index:02}"), Phase::Ready)).collect(), vec![]);
    let mut ui = Ui { filter: "O-1".to_owned(), ..Ui::default() };
    ui.orders.offset = 8;
    let heights = Heights { orders: 4, ..Heights::default() };
    let view = view(&board, &mut ui, heights, &About { namespace: None, speed: 60.0 }, at(0));
    assert_eq!(column(&view.orders, 0), ["acme/o-16", "acme/o-17", "acme/o-18", "acme/o-19"]);
    assert_eq!(view.orders.title, " Open orders (10 of 50, 6 above, 0 below) ");
    assert_eq!(view.phases, [("Ready 50".to_owned(), Tone::Plain)]);
    assert!(view.title.ends_with("all namespaces  2026-05-01 12:00:00 UTC, 60× life"), "{}", view.title);
}

#[test]
fn spans_have_two_units_at_most() {
    let spans = [59, 60, 3599, 3600, 3660, 86_399, 90_000].map(|seconds| span(SignedDuration::from_secs(seconds)));
    assert_eq!(spans, ["59s", "1m", "59m", "1h00m", "1h01m", "23h59m", "1d1h"]);
}
