use std::time::Duration;

use dropmate_store::{At, Expect, Options, ReadError, Retention, Store};

use super::On;
use crate::it::fixture::{create, create_many, delete, events_up_to, everything, key, key_in, next, put, update};

const DAY: Duration = Duration::from_hours(24);
const MINUTE: Duration = Duration::from_mins(1);

/// Revisions 1 to 5 yesterday (`a` changes twice, `b` is deleted), 6 and 7 today, all compacted today.
async fn two_days(on: &On, store: &Store) {
    store.write(create("a", "1")).await.unwrap();
    store.write(create("b", "1")).await.unwrap();
    store.write(update("a", 1, "2")).await.unwrap();
    store.write(delete("b", 2, "2")).await.unwrap();
    store.write(create("c", "1")).await.unwrap();
    on.clock().advance(DAY);
    let now = on.clock().advance(MINUTE);
    store.write(update("a", 3, "3")).await.unwrap();
    store.write(update("c", 5, "2")).await.unwrap();
    assert_eq!(store.compact(now).await.unwrap(), 3);
}

pub(crate) async fn old_history_goes_and_the_present_stays(on: On) {
    let store = on.store().await;
    two_days(&on, &store).await;
    let revisions =
        |entries: Vec<dropmate_store::Entry>| entries.iter().map(|entry| entry.event.revision).collect::<Vec<_>>();
    assert_eq!(revisions(store.history(&key("a"), 0, 10).await.unwrap()), [3, 6]);
    assert!(store.history(&key("b"), 0, 10).await.unwrap().is_empty());
    assert_eq!(revisions(store.history(&key("c"), 0, 10).await.unwrap()), [5, 7]);
    let page = store.list(&everything(), At::Latest, None, None).await.unwrap();
    assert_eq!(page.objects.iter().map(|object| object.revision).collect::<Vec<_>>(), [6, 7]);
    let again = on.clock().advance(MINUTE);
    assert_eq!(store.compact(again).await.unwrap(), 0);
}

pub(crate) async fn below_the_floor_is_expired_and_above_is_whole(on: On) {
    let store = on.store().await;
    two_days(&on, &store).await;
    for store in [&store, &on.forgetful_store().await] {
        let expired = |error| matches!(error, ReadError::Expired { asked: 3, floor: 4 });
        assert!(expired(store.list(&everything(), At::Exact(3), None, None).await.unwrap_err()));
        assert!(expired(store.get(&key("a"), At::Exact(3)).await.unwrap_err()));
        assert!(expired(store.watch(everything(), 3).await.unwrap_err()));
        for revision in 4..=7 {
            let listed = store.list(&everything(), At::Exact(revision), None, None).await.unwrap();
            let told: Vec<_> = listed.objects.iter().map(|object| object.revision).collect();
            let expected: &[_] = [&[3_u64] as &[_], &[3, 5], &[6, 5], &[6, 7]][revision as usize - 4];
            assert_eq!(told, expected);
            let mut watch = store.watch(everything(), revision).await.unwrap();
            if revision < 7 {
                let seen: Vec<_> = events_up_to(&mut watch, 7).await.iter().map(|event| event.revision).collect();
                assert_eq!(seen, (revision + 1..=7).collect::<Vec<_>>());
            }
        }
        let mut watch = store.watch(everything(), 5).await.unwrap();
        assert_eq!(&*next(&mut watch).await.previous.as_ref().unwrap().body, "2");
    }
}

pub(crate) async fn each_resource_ages_at_its_own_pace(on: On) {
    let store = on.store().await;
    let lease = || key_in("leases.coordination.k8s.io", "dropmate-system", "dispatch");
    let mut revision = store.write(put(lease(), Expect::Absent, "0")).await.unwrap().revision;
    let order = store.write(create("a", "1")).await.unwrap();
    store.write(update("a", order.revision, "2")).await.unwrap();
    for renewal in 1..=10 {
        on.clock().advance(2 * MINUTE);
        revision = store.write(put(lease(), Expect::Revision(revision), &format!("{renewal}"))).await.unwrap().revision;
    }
    let now = on.clock().advance(MINUTE);
    assert_eq!(store.compact(now).await.unwrap(), 5);
    assert_eq!(store.history(&lease(), 0, 100).await.unwrap().len(), 6);
    assert_eq!(store.history(&key("a"), 0, 100).await.unwrap().len(), 2);
    assert!(store.watch(everything(), 0).await.is_ok());
    let leases = dropmate_store::Scope { resource: lease().resource, namespace: None };
    assert!(matches!(store.watch(leases, 0).await, Err(ReadError::Expired { .. })));
}

pub(crate) async fn a_watch_that_still_reads_old_history_is_told_that_it_is_gone(on: On) {
    let store = on.forgetful_store().await;
    let objects = create_many(&store, 300).await;
    for object in &objects {
        store.write(update(&object.key.name, object.revision, "{}")).await.unwrap();
    }
    let mut watch = store.watch(everything(), 0).await.unwrap();
    assert_eq!(next(&mut watch).await.revision, 1);
    let now = on.clock().advance(2 * DAY);
    assert_eq!(store.compact(now).await.unwrap(), 300);
    let mut seen = 1;
    let error = loop {
        match watch.next().await.expect("it must say why it ends") {
            Ok(event) => {
                seen += 1;
                assert_eq!(event.revision, seen);
            }
            Err(error) => break error,
        }
    };
    assert!(matches!(error, ReadError::Expired { floor: 600, .. }));
    assert!(watch.next().await.is_none());
}

pub(crate) async fn floors_survive_reopening(on: On) {
    let store = on.store().await;
    two_days(&on, &store).await;
    store.close().await;
    let store = on.store_after_close().await;
    assert!(matches!(store.watch(everything(), 3).await, Err(ReadError::Expired { asked: 3, floor: 4 })));
    let mut watch = store.watch(everything(), 4).await.unwrap();
    assert_eq!(events_up_to(&mut watch, 7).await.len(), 3);
}

pub(crate) async fn of_more_history_than_fits_the_oldest_goes(on: On) {
    let retention = Retention { bytes: 1_000, ..Retention::default() };
    let store = on.store_with(Options { retention, ..Options::default() }).await;
    let body = |n: usize| format!("\"{n:098}\"");
    let mut last = store.write(create("a", &body(0))).await.unwrap();
    store.write(create("b", &body(0))).await.unwrap();
    for n in 1..30 {
        last = store.write(update("a", last.revision, &body(n))).await.unwrap();
    }
    let now = on.clock().advance(MINUTE);
    assert!(store.compact(now).await.unwrap() > 0);

    // The last ten bodies of a hundred bytes each, and the state before them.
    let kept = store.history(&key("a"), 0, 100).await.unwrap();
    assert_eq!(kept.len(), 11, "{:?}", kept.iter().map(|entry| entry.event.revision).collect::<Vec<_>>());
    assert!(matches!(store.watch(everything(), 3).await, Err(ReadError::Expired { .. })));
    let mut watch = store.watch(everything(), last.revision - 10).await.unwrap();
    assert_eq!(events_up_to(&mut watch, last.revision).await.len(), 10);
    // What is current stays, however old.
    assert!(store.get(&key("b"), At::Latest).await.unwrap().0.is_some());
}

/// What the slowest reader has not read stays, as long as it may be held; what it has passed goes.
pub(crate) async fn history_waits_for_a_reader_who_is_behind(on: On) {
    let store = on.store().await;
    let resources = std::collections::BTreeSet::from([everything().resource]);
    let lease = || key_in("leases.coordination.k8s.io", "dropmate-system", "dispatch");
    store.write(create("a", "1")).await.unwrap();
    for (before, body) in [(1, "2"), (2, "3"), (3, "4")] {
        store.write(update("a", before, body)).await.unwrap();
    }
    let held = store.write(put(lease(), Expect::Absent, "0")).await.unwrap();
    store.write(put(lease(), Expect::Revision(held.revision), "1")).await.unwrap();
    store.hold(Some(2));
    let now = on.clock().advance(2 * DAY);
    // The state before what it has read, and the lease, for which nobody waits.
    assert_eq!(store.compact(now).await.unwrap(), 2);
    let bodies = |piece: &dropmate_store::LogPiece| -> Vec<String> {
        piece
            .events
            .iter()
            .map(|event| format!("{}<{}", event.object.body, event.previous.as_ref().unwrap().body))
            .collect()
    };
    let piece = store.log(&resources, 2, 10).await.unwrap();
    assert_eq!((bodies(&piece), piece.upto), (vec!["3<2".to_owned(), "4<3".to_owned()], 6));
    // Also when it is read from the log.
    let store = on.forgetful_store().await;
    let piece = store.log(&resources, 2, 10).await.unwrap();
    assert_eq!((bodies(&piece), piece.upto), (vec!["3<2".to_owned(), "4<3".to_owned()], 6));
    assert!(matches!(store.log(&resources, 1, 10).await, Err(ReadError::Expired { asked: 1, floor: 2 })));
    // It reads on, and what it has passed goes.
    store.hold(Some(3));
    store.compact(now).await.unwrap();
    assert!(matches!(store.log(&resources, 2, 10).await, Err(ReadError::Expired { asked: 2, floor: 3 })));
    assert_eq!(bodies(&store.log(&resources, 3, 10).await.unwrap()), ["4<3"]);
    // Nobody is waited for for ever.
    let now = on.clock().advance(6 * DAY);
    store.compact(now).await.unwrap();
    assert!(matches!(store.log(&resources, 3, 10).await, Err(ReadError::Expired { asked: 3, floor: 4 })));
    let mut registry = prometheus_client::registry::Registry::default();
    store.metrics().register(&mut registry);
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    assert!(text.contains("dropmate_store_history_lost_total 1"), "{text}");
}

/// Several resources in one order, read in pieces of any size, from memory or from the log.
pub(crate) async fn the_log_is_read_on_in_order(on: On) {
    let store = on.store().await;
    let resources = std::collections::BTreeSet::from([everything().resource, "depots.dropmate.dev".to_owned()]);
    let other = |n: usize| {
        key_in(if n.is_multiple_of(3) { "depots.dropmate.dev" } else { "events" }, "acme", &format!("x-{n}"))
    };
    let mut made = Vec::new();
    for n in 0..60 {
        let object = if n % 2 == 0 {
            store.write(create(&format!("o-{n}"), "{}")).await.unwrap()
        } else {
            store.write(put(other(n), Expect::Absent, "{}")).await.unwrap()
        };
        if resources.contains(&object.key.resource) {
            made.push(object.revision);
        }
    }
    let newest = store.newest().await.unwrap();
    let forgetful = on.forgetful_store().await;
    for store in [&store, &forgetful] {
        for limit in [1, 7, 1_000] {
            let (mut after, mut seen) = (0, Vec::new());
            while after < newest {
                let piece = store.log(&resources, after, limit).await.unwrap();
                assert!(piece.upto > after && piece.events.len() <= limit, "{piece:?}");
                seen.extend(piece.events.iter().map(|event| event.revision));
                assert!(seen.iter().all(|revision| *revision <= piece.upto));
                after = piece.upto;
            }
            assert_eq!(seen, made);
        }
    }
    assert!(matches!(forgetful.log(&resources, newest + 1_000, 1).await, Err(ReadError::Future { .. })));
    let mut revisions = forgetful.revisions();
    revisions.mark_unchanged();
    forgetful.write(create("last", "{}")).await.unwrap();
    assert!(revisions.has_changed().unwrap());
}
