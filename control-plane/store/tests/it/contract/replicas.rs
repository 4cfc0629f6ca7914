//! Several processes on one log.

use std::{collections::BTreeSet, time::Duration};

use dropmate_store::{At, AuditQuery, Expect, ReadError, Store, WriteError};
use futures::future::join_all;
use tokio::time::{Instant, timeout};

use super::On;
use crate::it::fixture::{
    Follower, create, create_many, events_up_to, everything, guard, guarded, key, key_in, names_at, next, put, update,
};

const DAY: Duration = Duration::from_hours(24);

async fn three(on: &On) -> [Store; 3] {
    [on.store().await, on.store().await, on.store().await]
}

pub(crate) async fn what_one_has_acknowledged_every_other_reads(on: On) {
    let stores = three(&on).await;
    let mut last = stores[0].write(create("a", "{}")).await.unwrap();
    for round in 0..60 {
        last = stores[round % 3].write(update("a", last.revision, &format!("{{\"n\":{round}}}"))).await.unwrap();
        for store in &stores {
            let (found, at) = store.get(&key("a"), At::Latest).await.unwrap();
            assert_eq!(found.as_ref(), Some(&last));
            assert!(at >= last.revision);
        }
    }
}

pub(crate) async fn an_object_is_created_once_whoever_asks(on: On) {
    let [a, b, _c] = three(&on).await;
    let made = a.write(create("a", "{\"n\":1}")).await.unwrap();
    match b.write(create("a", "{\"n\":2}")).await {
        Err(WriteError::Exists(existing)) => assert_eq!(existing, made),
        other => panic!("{other:?}"),
    }
}

pub(crate) async fn of_many_rivals_on_all_replicas_one_wins(on: On) {
    let stores = three(&on).await;
    let mut revision = stores[0].write(create("a", "{}")).await.unwrap().revision;
    for _ in 0..10 {
        let rivals = (0..30).map(|rival| {
            let body = format!("{{\"rival\":{rival}}}");
            let store = &stores[rival % 3];
            async move { store.write(update("a", revision, &body)).await }
        });
        let outcomes = join_all(rivals).await;
        let winners: Vec<_> = outcomes.iter().filter_map(|outcome| outcome.as_ref().ok()).collect();
        assert_eq!(winners.len(), 1);
        assert!(outcomes.iter().all(|outcome| matches!(outcome, Ok(_) | Err(WriteError::Changed(_)))));
        revision = winners[0].revision;
    }
}

pub(crate) async fn a_guard_holds_against_what_another_has_written(on: On) {
    let [a, b, _c] = three(&on).await;
    let lease = key_in("leases.coordination.k8s.io", "dropmate-system", "dispatch");
    let held = a.write(put(lease.clone(), Expect::Absent, "{\"holder\":\"old\"}")).await.unwrap();
    let bind = |name: &str, holder: &str| guarded(create(name, "{}"), [guard(lease.clone(), "/holder", holder)]);
    b.write(bind("o1", "old")).await.unwrap();
    a.write(put(lease.clone(), Expect::Revision(held.revision), "{\"holder\":\"new\"}")).await.unwrap();
    assert!(matches!(b.write(bind("o2", "old")).await, Err(WriteError::Guard(0))));
    b.write(bind("o2", "new")).await.unwrap();
}

pub(crate) async fn a_watch_sees_what_all_write_in_one_order(on: On) {
    const EACH: usize = 40;
    let stores = three(&on).await;
    let mut watches = Vec::new();
    for store in &stores {
        watches.push(store.watch(everything(), 0).await.unwrap());
    }
    let writers = stores.iter().enumerate().flat_map(|(index, store)| {
        (0..4).map(move |writer| async move {
            for n in 0..EACH {
                store.write(create(&format!("{index}-{writer}-{n}"), "{}")).await.unwrap();
            }
        })
    });
    join_all(writers).await;
    let mut seen = Vec::new();
    for watch in &mut watches {
        let mut events = Vec::new();
        for _ in 0..3 * 4 * EACH {
            let event = next(watch).await;
            events.push((event.revision, event.object.key.name.clone()));
        }
        assert!(events.is_sorted_by(|a, b| a.0 < b.0));
        seen.push(events);
    }
    assert!(seen.iter().all(|events| *events == seen[0]));
    let names: BTreeSet<_> = seen[0].iter().map(|(_, name)| name).collect();
    assert_eq!(names.len(), 3 * 4 * EACH);
}

pub(crate) async fn a_watch_resumes_on_another_replica_without_gap_or_double(on: On) {
    let stores = three(&on).await;
    let mut seen = Vec::new();
    let mut follower = Follower::new(&stores[0], everything(), 0).await;
    for n in 0..90 {
        stores[(n + 1) % 3].write(create(&format!("o{n}"), "{}")).await.unwrap();
        if n % 4 == 3 {
            for _ in 0..3 {
                seen.push(follower.next().await.object.key.name.clone());
            }
            follower = Follower::new(&stores[n % 3], everything(), follower.watch.position()).await;
        }
    }
    while seen.len() < 90 {
        seen.push(follower.next().await.object.key.name.clone());
    }
    assert_eq!(seen, (0..90).map(|n| format!("o{n}")).collect::<Vec<_>>());
}

pub(crate) async fn a_list_is_continued_on_another_replica(on: On) {
    let [a, b, c] = three(&on).await;
    create_many(&a, 20).await;
    let first = b.list(&everything(), At::Latest, None, Some(5)).await.unwrap();
    let held = c.get(&key("o007"), At::Latest).await.unwrap().0.unwrap();
    a.write(update("o007", held.revision, "{\"n\":2}")).await.unwrap();
    a.write(create("o0071", "{}")).await.unwrap();
    let rest = c.list(&everything(), At::Exact(first.revision), first.next.as_ref(), None).await.unwrap();
    assert_eq!((first.objects.len(), rest.objects.len()), (5, 15));
    assert_eq!(rest.objects[2], held);
    assert_eq!(names_at(&b, &everything(), At::Latest, 7).await.len(), 21);
}

pub(crate) async fn history_that_one_has_removed_is_gone_for_all(on: On) {
    let a = on.store().await;
    let made = a.write(create("a", "1")).await.unwrap();
    let second = a.write(update("a", made.revision, "2")).await.unwrap();
    // It starts with an empty window, so that it must go to the log, and with the floors as they are now.
    let b = on.store().await;
    let mut reading = b.watch(everything(), made.revision).await.unwrap();
    let now = on.clock().advance(DAY + Duration::from_mins(1));
    a.write(update("a", second.revision, "3")).await.unwrap();
    assert_eq!(a.compact(now).await.unwrap(), 1);
    assert!(matches!(
        b.list(&everything(), At::Exact(made.revision), None, None).await,
        Err(ReadError::Expired { .. })
    ));
    assert!(matches!(b.get(&key("a"), At::Exact(made.revision)).await, Err(ReadError::Expired { .. })));
    match timeout(Duration::from_secs(10), reading.next()).await.unwrap() {
        Some(Err(ReadError::Expired { .. })) => {}
        other => panic!("{other:?}"),
    }
}

pub(crate) async fn two_compact_at_the_same_time(on: On) {
    let [a, b, _c] = three(&on).await;
    let mut last = a.write(create("a", "0")).await.unwrap();
    for n in 1..50 {
        last = b.write(update("a", last.revision, &n.to_string())).await.unwrap();
    }
    let now = on.clock().advance(2 * DAY);
    let (by_a, by_b) = tokio::join!(a.compact(now), b.compact(now));
    by_a.unwrap();
    by_b.unwrap();
    for store in [&a, &b] {
        assert_eq!(store.history(&key("a"), 0, 100).await.unwrap().len(), 1);
        assert_eq!(store.get(&key("a"), At::Latest).await.unwrap().0, Some(last.clone()));
        let audited = store.audited(&AuditQuery::default(), None, 100).await.unwrap().found;
        assert_eq!(audited.len(), 50, "what has left the log is in the audit, once");
    }
}

pub(crate) async fn a_bookmark_follows_what_others_write(on: On) {
    let [a, b, _c] = three(&on).await;
    let mut watch = a.watch(everything(), 0).await.unwrap();
    let last = b.write(put(key_in("drivers.dropmate.dev", "shop", "sam"), Expect::Absent, "{}")).await.unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    while watch.position() < last.revision {
        assert!(Instant::now() < deadline, "the bookmark stays at {}", watch.position());
        // Nothing of its own to tell, but it is asked all the same.
        let _ = timeout(Duration::from_millis(10), watch.next()).await;
    }
    let order = b.write(create("a", "{}")).await.unwrap();
    assert_eq!(events_up_to(&mut watch, order.revision).await.len(), 1);
}
