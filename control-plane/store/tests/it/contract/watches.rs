use std::{sync::Arc, time::Duration};

use dropmate_store::{Expect, Options, ReadError};
use futures::future::join_all;
use tokio::time::{sleep, timeout};

use super::On;
use crate::it::fixture::{
    Follower, ORDERS, create, create_many, delete, events_up_to, everything, key_in, next, put, update, within,
};

pub(crate) async fn a_watch_sees_each_change_once_and_in_order(on: On) {
    let store = on.store().await;
    let mut watch = store.watch(everything(), 0).await.unwrap();
    let writers = (0..20).map(|writer| {
        let store = store.clone();
        tokio::spawn(async move {
            for index in 0..20 {
                store.write(create(&format!("{writer}-{index}"), "{}")).await.unwrap();
            }
        })
    });
    join_all(writers).await;
    let seen: Vec<_> = events_up_to(&mut watch, 400).await.iter().map(|event| event.revision).collect();
    assert_eq!(seen, (1..=400).collect::<Vec<_>>());
}

pub(crate) async fn a_watch_sees_what_changed_and_what_was_before(on: On) {
    let store = on.store().await;
    let first = store.write(create("a", "1")).await.unwrap();
    let second = store.write(update("a", first.revision, "2")).await.unwrap();
    let third = store.write(delete("a", second.revision, "3")).await.unwrap();
    for store in [&store, &on.forgetful_store().await] {
        let mut watch = store.watch(everything(), 0).await.unwrap();
        let events = events_up_to(&mut watch, third.revision).await;
        let told: Vec<_> =
            events.iter().map(|event| (event.object.clone(), event.previous.clone(), event.deleted)).collect();
        assert_eq!(
            told,
            [
                (first.clone(), None, false),
                (second.clone(), Some(first.clone()), false),
                (third.clone(), Some(second.clone()), true)
            ]
        );
    }
}

pub(crate) async fn a_watch_keeps_to_its_scope(on: On) {
    let store = on.store().await;
    let mut live = store.watch(within("a"), 0).await.unwrap();
    let keys = [(ORDERS, "a", "1"), (ORDERS, "b", "2"), ("drivers", "a", "3"), (ORDERS, "a", "4")];
    for (resource, namespace, name) in keys {
        store.write(put(key_in(resource, namespace, name), Expect::Absent, "{}")).await.unwrap();
    }
    let mut resumed = store.watch(within("a"), 1).await.unwrap();
    let reopened = on.forgetful_store().await;
    let mut from_log = reopened.watch(within("a"), 0).await.unwrap();
    for revision in [1, 4] {
        assert_eq!(next(&mut live).await.revision, revision);
        assert_eq!(next(&mut from_log).await.revision, revision);
    }
    assert_eq!(next(&mut resumed).await.revision, 4);
}

pub(crate) async fn a_watch_from_any_revision_joins_log_and_memory_without_gap_or_double(on: On) {
    let store = on.forgetful_store().await;
    create_many(&store, 700).await;
    let last = 1_000;
    let watchers = (0..=700).step_by(50).map(|after| {
        let store = store.clone();
        tokio::spawn(async move {
            let mut follower = Follower::new(&store, everything(), after).await;
            for revision in after + 1..=last {
                assert_eq!(follower.next().await.revision, revision);
            }
        })
    });
    let watchers: Vec<_> = watchers.collect();
    for index in 700..last {
        store.write(create(&format!("p{index}"), "{}")).await.unwrap();
    }
    for watcher in watchers {
        watcher.await.unwrap();
    }
}

pub(crate) async fn a_slow_watcher_s_stream_ends_and_resumes_without_a_gap(on: On) {
    let store = on.store_with(Options { watch_buffer: 8, ..Options::default() }).await;
    let mut slow = store.watch(everything(), 0).await.unwrap();
    let mut other = store.watch(within("elsewhere"), 0).await.unwrap();
    create_many(&store, 30).await;
    let elsewhere = store.write(put(key_in(ORDERS, "elsewhere", "x"), Expect::Absent, "{}")).await.unwrap();
    assert_eq!(next(&mut other).await.revision, elsewhere.revision);
    let mut seen = Vec::new();
    while let Some(event) = timeout(Duration::from_secs(10), slow.next()).await.expect("it neither goes on nor ends") {
        seen.push(event.unwrap().revision);
        assert_eq!(slow.position(), *seen.last().unwrap());
    }
    assert_eq!(seen, (1..=8).collect::<Vec<_>>());
    let mut resumed = store.watch(everything(), 8).await.unwrap();
    let rest: Vec<_> = events_up_to(&mut resumed, 31).await.iter().map(|event| event.revision).collect();
    assert_eq!(rest, (9..=31).collect::<Vec<_>>());
}

pub(crate) async fn a_watcher_who_sleeps_keeps_no_memory_and_resumes_without_a_gap(on: On) {
    let store = on.forgetful_store().await;
    create_many(&store, 1).await;
    let mut asleep = store.watch(everything(), 0).await.unwrap();
    assert_eq!(next(&mut asleep).await.revision, 1);
    let mut awake = store.watch(everything(), 1).await.unwrap();
    let mut first = None;
    for index in 1..30 {
        store.write(create(&format!("p{index}"), "{}")).await.unwrap();
        let event = next(&mut awake).await;
        first.get_or_insert_with(|| Arc::downgrade(&event));
    }
    let mut resumed = store.watch(everything(), asleep.position()).await.unwrap();
    let rest: Vec<_> = events_up_to(&mut resumed, 30).await.iter().map(|event| event.revision).collect();
    assert_eq!(rest, (2..=30).collect::<Vec<_>>());
    assert!(first.unwrap().upgrade().is_none(), "an event is kept for a watcher who sleeps");
    let ended = timeout(Duration::from_secs(10), asleep.next()).await.expect("it neither goes on nor ends");
    assert!(ended.is_none());
}

pub(crate) async fn a_thousand_watchers_all_see_everything(on: On) {
    let store = on.store().await;
    let mut watchers = Vec::new();
    for _ in 0..1_000 {
        let mut watch = store.watch(everything(), 0).await.unwrap();
        watchers.push(tokio::spawn(async move { events_up_to(&mut watch, 50).await.len() }));
    }
    create_many(&store, 50).await;
    for watcher in watchers {
        assert_eq!(watcher.await.unwrap(), 50);
    }
}

pub(crate) async fn a_bookmark_never_runs_ahead_of_an_event(on: On) {
    let store = on.forgetful_store().await;
    create_many(&store, 300).await;
    let mut follower = Follower::new(&store, everything(), 0).await;
    let writing = tokio::spawn({
        let store = store.clone();
        async move {
            for index in 0..300 {
                store.write(create(&format!("p{index}"), "{}")).await.unwrap();
            }
        }
    });
    let (mut bookmark, mut seen) = (0, 0);
    loop {
        let event = follower.next().await;
        assert!(event.revision > bookmark, "{} came after the bookmark {bookmark}", event.revision);
        bookmark = follower.watch.position();
        assert!(bookmark >= event.revision);
        seen += 1;
        assert_eq!(seen, event.revision, "an event was lost behind a bookmark");
        if event.revision == 600 {
            break;
        }
    }
    writing.await.unwrap();
}

pub(crate) async fn a_bookmark_follows_changes_out_of_scope(on: On) {
    let store = on.store().await;
    let watch = store.watch(within("elsewhere"), 0).await.unwrap();
    create_many(&store, 20).await;
    for _ in 0..500 {
        if watch.position() == 20 {
            return;
        }
        sleep(Duration::from_millis(10)).await;
    }
    panic!("the bookmark stayed at {}", watch.position());
}

pub(crate) async fn a_watch_from_the_future_is_refused(on: On) {
    let store = on.store().await;
    create_many(&store, 1).await;
    let refused = store.watch(everything(), 2).await.unwrap_err();
    assert!(matches!(refused, ReadError::Future { asked: 2, newest: 1 }));
}

pub(crate) async fn watches_end_when_the_store_closes(on: On) {
    let store = on.store().await;
    let mut watch = store.watch(everything(), 0).await.unwrap();
    create_many(&store, 1).await;
    store.close().await;
    assert_eq!(next(&mut watch).await.revision, 1);
    assert!(watch.next().await.is_none());
}
