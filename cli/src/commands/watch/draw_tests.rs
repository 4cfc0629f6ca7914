use dropmate_api::{Phase, order::StopKind};
use ratatui::{Terminal, backend::TestBackend};

use super::{
    super::{
        board::{Board, Event, Told},
        line::{DriverLine, OrderLine},
        samples::*,
        ui::Ui,
        view::{About, view},
    },
    *,
};
use crate::follow::Change;

fn shop() -> Board {
    let mut board = live(
        vec![
            OrderLine { due_by: Some(at(-4)), eta: Some(at(3)), ..assigned("o-1001", "sam") },
            OrderLine { due_by: Some(at(20)), note: "on hold".to_owned(), ..order("o-1002", Phase::Pending) },
            OrderLine { due_by: Some(at(10)), eta: Some(at(12)), ..assigned("o-1003", "kim") },
            order("o-1004", Phase::Ready),
            finished("o-0999", -30),
        ],
        vec![
            DriverLine { next: Some((StopKind::Dropoff, "o-1001".to_owned(), Some(at(3)))), ..driver("sam") },
            DriverLine { suspended: true, ..driver("kim") },
            driver("alex"),
        ],
    );
    changed(&mut board, Change::Modified, assigned("o-1004", "alex"));
    board
}

fn drawn(board: &Board, mut ui: Ui, width: u16, height: u16) -> Terminal<TestBackend> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    let about = About { namespace: Some("acme".to_owned()), speed: 1.0 };
    let heights = places(Rect::new(0, 0, width, height)).heights();
    let view = view(board, &mut ui, heights, &about, at(2));
    terminal.draw(|frame| draw(frame, &view, Paint { colours: true })).unwrap();
    terminal
}

#[test]
fn a_shop_fits_on_an_ordinary_terminal() {
    insta::assert_snapshot!(drawn(&shop(), Ui::default(), 100, 26).backend());
}

#[test]
fn on_a_wide_terminal_drivers_stand_beside_the_orders_and_a_cut_is_told() {
    let mut board = shop();
    board.apply(Event::Orders(Told::Cut("connection refused".to_owned())), at(2));
    insta::assert_snapshot!(drawn(&board, Ui { finished: true, ..Ui::default() }, 160, 18).backend());
}

#[test]
fn help_lies_over_the_board() {
    insta::assert_snapshot!(drawn(&shop(), Ui { help: true, ..Ui::default() }, 80, 20).backend());
}

#[test]
fn late_is_red_and_bold_and_without_colours_still_bold() {
    let terminal = drawn(&shop(), Ui::default(), 100, 26);
    let buffer = terminal.backend().buffer();
    let line = (0..26).find(|y| buffer[(0, *y)].symbol() == "o" && buffer[(5, *y)].symbol() == "1").unwrap();
    assert_eq!(buffer[(0, line)].fg, Color::Red);
    assert!(Paint { colours: false }.style(Tone::Bad).add_modifier.contains(Modifier::BOLD));
    assert_eq!(Paint { colours: false }.style(Tone::Bad).fg, None);
}

#[test]
fn no_terminal_is_too_small_and_no_name_breaks_it() {
    let evil = DriverLine { display_name: "Zoë\u{1b}[2J\n\t李".to_owned(), ..driver("sam") };
    let board = live(vec![order("o-1", Phase::Ready)], vec![evil]);
    for (width, height) in [(1, 1), (3, 2), (20, 5), (40, 9), (300, 100), (0, 0)] {
        for help in [false, true] {
            let terminal = drawn(&board, Ui { help, ..Ui::default() }, width, height);
            let cells = terminal.backend().buffer().content();
            assert!(!cells.iter().any(|cell| cell.symbol().contains(char::is_control)), "{width}×{height}");
        }
    }
}
