use super::{super::samples::*, *};

fn told(board: &Board) -> Vec<String> {
    board.log.iter().map(|entry| format!("{} {}", entry.key.name, entry.text)).collect()
}

#[test]
fn the_first_list_is_no_news_and_every_change_after_it_is() {
    let mut board = live(vec![order("o-1", Phase::Ready)], vec![driver("sam")]);
    assert_eq!(told(&board), [""; 0]);
    changed(&mut board, Change::Modified, assigned("o-1", "sam"));
    changed(&mut board, Change::Added, order("o-2", Phase::Pending));
    // Another field, but nothing to tell.
    changed(&mut board, Change::Modified, OrderLine { note: "on hold".to_owned(), ..order("o-2", Phase::Pending) });
    let suspended = DriverLine { suspended: true, ..driver("sam") };
    board.apply(Event::Drivers(Told::Changed(Change::Modified, suspended)), at(1));
    changed(&mut board, Change::Deleted, order("o-2", Phase::Pending));
    assert_eq!(told(&board), ["o-1 Ready → Assigned (sam)", "o-2 new, Pending", "sam driver suspended", "o-2 deleted"]);
}

#[test]
fn a_finished_order_is_counted_once_however_often_it_changes_and_not_after_it_is_deleted() {
    let mut board = live(vec![order("o-1", Phase::AtDropoff)], vec![]);
    for _ in 0..3 {
        changed(&mut board, Change::Modified, finished("o-1", 5));
    }
    assert_eq!(board.phases(), BTreeMap::from([(Phase::Delivered, 1)]));
    assert_eq!((board.orders.open.len(), board.orders.finished.len()), (0, 1));
    changed(&mut board, Change::Deleted, finished("o-1", 5));
    assert_eq!(board.phases().get(&Phase::Delivered), Some(&0));
    assert!(board.orders.finished.is_empty());
}

#[test]
fn of_ten_thousand_finished_orders_only_the_last_ones_are_kept_but_all_are_counted() {
    let mut board = live(vec![], vec![]);
    for index in 0..10_000 {
        changed(&mut board, Change::Added, finished(&format!("o-{index}"), index));
    }
    assert_eq!(board.phases()[&Phase::Delivered], 10_000);
    assert_eq!(board.orders.finished.len(), MAX_FINISHED);
    assert_eq!(board.orders.finished.last_key_value().unwrap().1.key.name, "o-9999");
    assert_eq!(board.log.len(), MAX_LOG);
    // One that was forgotten long ago changes: it was counted.
    changed(&mut board, Change::Modified, finished("o-3", 3));
    assert_eq!(board.phases()[&Phase::Delivered], 10_000);
    assert_eq!(board.orders.finished.len(), MAX_FINISHED);
}

#[test]
fn a_list_after_a_cut_replaces_everything_and_tells_what_happened_meanwhile() {
    let known = vec![order("gone", Phase::Ready), order("done", Phase::AtDropoff), order("same", Phase::Ready)];
    let mut board = live(known, vec![driver("sam"), driver("kim")]);
    board.apply(Event::Orders(Told::Cut("no route".to_owned())), at(1));
    assert_eq!(board.link(), &Link::Cut("no route".to_owned()));

    let page = |lines, first, last| Event::Orders(Told::Listed { lines, first, last });
    board.apply(page(vec![finished("done", 2)], true, false), at(2));
    // Until the list is whole the old state stands.
    assert_eq!(board.phases().get(&Phase::Delivered), None);
    board.apply(page(vec![order("fresh", Phase::Pending), order("same", Phase::Ready)], false, true), at(2));
    board.apply(Event::Orders(Told::Live), at(2));
    board.apply(Event::Drivers(Told::Listed { lines: vec![driver("sam")], first: true, last: true }), at(2));

    assert_eq!(board.phases(), BTreeMap::from([(Phase::Pending, 1), (Phase::Ready, 1), (Phase::Delivered, 1)]));
    assert_eq!(
        told(&board),
        ["done AtDropoff → Delivered", "fresh new, Pending", "gone deleted", "kim driver deleted"]
    );
    assert_eq!(board.link(), &Link::Live);
}

#[test]
fn a_list_that_begins_anew_forgets_the_pages_before() {
    let mut board = Board::default();
    let page = |lines, first, last| Event::Orders(Told::Listed { lines, first, last });
    board.apply(page(vec![order("o-1", Phase::Ready)], true, false), at(0));
    board.apply(page(vec![order("o-1", Phase::Ready), order("o-2", Phase::Ready)], true, true), at(0));
    assert_eq!(board.phases(), BTreeMap::from([(Phase::Ready, 2)]));
}

#[test]
fn the_board_is_live_only_when_both_streams_are() {
    let mut board = Board::default();
    board.apply(Event::Orders(Told::Live), at(0));
    assert_eq!(board.link(), &Link::Loading);
    board.apply(Event::Drivers(Told::Live), at(0));
    assert_eq!(board.link(), &Link::Live);
}
