use std::collections::BTreeSet;

use dropmate_store::{At, Expect, Revision, WriteError};
use futures::future::join_all;

use super::On;
use crate::it::fixture::{actor, create, create_many, delete, everything, key, key_in, put, update};

pub(crate) async fn every_write_gets_a_higher_revision_than_all_before(on: On) {
    let store = on.store().await;
    let mut last = store.revision();
    for index in 0..20 {
        let resource = if index % 2 == 0 { "orders.dropmate.dev" } else { "drivers.dropmate.dev" };
        let object =
            store.write(put(key_in(resource, "shop", &format!("{index}")), Expect::Absent, "{}")).await.unwrap();
        assert!(object.revision > last);
        assert!(store.revision() >= object.revision);
        last = object.revision;
    }
}

pub(crate) async fn an_object_is_created_once(on: On) {
    let store = on.store().await;
    let first = store.write(create("a", "{\"n\":1}")).await.unwrap();
    match store.write(create("a", "{\"n\":2}")).await {
        Err(WriteError::Exists(existing)) => assert_eq!(existing, first),
        other => panic!("{other:?}"),
    }
    assert_eq!(store.get(&key("a"), At::Latest).await.unwrap().0, Some(first));
}

pub(crate) async fn an_object_changes_only_at_the_revision_that_the_writer_saw(on: On) {
    let store = on.store().await;
    let first = store.write(create("a", "{}")).await.unwrap();
    let second = store.write(update("a", first.revision, "{\"n\":2}")).await.unwrap();
    match store.write(update("a", first.revision, "{\"n\":3}")).await {
        Err(WriteError::Changed(current)) => assert_eq!(current, second),
        other => panic!("{other:?}"),
    }
    assert!(matches!(store.write(update("b", first.revision, "{}")).await, Err(WriteError::Missing)));
    assert_eq!(store.get(&key("a"), At::Latest).await.unwrap().0, Some(second));
}

pub(crate) async fn a_deleted_object_is_gone_and_its_name_is_free(on: On) {
    let store = on.store().await;
    let first = store.write(create("a", "{\"n\":1}")).await.unwrap();
    assert!(matches!(store.write(delete("a", first.revision + 1, "{}")).await, Err(WriteError::Changed(_))));
    let last = store.write(delete("a", first.revision, "{\"n\":2}")).await.unwrap();
    assert_eq!((last.uid.as_str(), &*last.body), ("uid-of-a", "{\"n\":2}"));
    assert!(last.revision > first.revision);
    assert_eq!(store.get(&key("a"), At::Latest).await.unwrap().0, None);
    assert!(matches!(store.write(delete("a", last.revision, "{}")).await, Err(WriteError::Missing)));
    let again = store.write(create("a", "{}")).await.unwrap();
    assert!(again.revision > last.revision);
}

pub(crate) async fn of_two_hundred_rivals_for_one_revision_one_wins(on: On) {
    let store = on.store().await;
    let first = store.write(create("a", "{}")).await.unwrap();
    let writes = (0..200).map(|rival| {
        let store = store.clone();
        let write = update("a", first.revision, &format!("{rival}"));
        tokio::spawn(async move { store.write(write).await })
    });
    let outcomes = join_all(writes).await;
    let won: Vec<_> = outcomes.iter().filter_map(|outcome| outcome.as_ref().unwrap().as_ref().ok()).collect();
    assert_eq!(won.len(), 1);
    assert_eq!(store.get(&key("a"), At::Latest).await.unwrap().0.as_ref(), Some(won[0]));
}

pub(crate) async fn concurrent_writers_lose_nothing(on: On) {
    let store = on.store().await;
    let writers = (0..256).map(|writer| {
        let store = store.clone();
        tokio::spawn(async move {
            let mut revisions = Vec::new();
            for index in 0..4 {
                revisions.push(store.write(create(&format!("{writer}-{index}"), "{}")).await.unwrap().revision);
            }
            revisions
        })
    });
    let revisions: Vec<Revision> = join_all(writers).await.into_iter().flat_map(Result::unwrap).collect();
    assert_eq!(revisions.iter().collect::<BTreeSet<_>>().len(), 1_024);
    assert_eq!(store.list(&everything(), At::Latest, None, None).await.unwrap().objects.len(), 1_024);
}

pub(crate) async fn a_huge_body_is_written_whole(on: On) {
    let store = on.store().await;
    let body = format!("{{\"text\":\"{}\"}}", "ü".repeat(3 << 20));
    let writes = (0..4).map(|index| store.write(create(&format!("{index}"), &body)));
    assert!(join_all(writes).await.iter().all(Result::is_ok));
    store.close().await;
    let store = on.store_after_close().await;
    assert_eq!(*store.get(&key("3"), At::Latest).await.unwrap().0.unwrap().body, *body);
}

pub(crate) async fn every_change_is_kept_with_who_made_it(on: On) {
    let store = on.store().await;
    let first = store.write(create("a", "{\"n\":1}")).await.unwrap();
    store.write(create("b", "{}")).await.unwrap();
    let at = on.clock().advance(std::time::Duration::from_mins(1));
    let second = store.write(delete("a", first.revision, "{\"n\":2}")).await.unwrap();
    let third = store.write(create("a", "{\"n\":3}")).await.unwrap();
    let history = store.history(&key("a"), 0, 10).await.unwrap();
    let told: Vec<_> = history.iter().map(|entry| (entry.event.object.clone(), entry.event.deleted)).collect();
    assert_eq!(told, [(first.clone(), false), (second.clone(), true), (third, false)]);
    assert_eq!(history[1].event.previous, Some(first));
    assert_eq!(history[2].event.previous, None);
    assert!(history.iter().all(|entry| entry.actor == actor()));
    assert_eq!(history[1].at, at);
    assert!(history[0].at < at);
    let later = store.history(&key("a"), second.revision, 1).await.unwrap();
    assert_eq!(&*later[0].event.object.body, "{\"n\":3}");
}

pub(crate) async fn a_closed_store_refuses_writes_and_has_answered_those_before(on: On) {
    let store = on.store().await;
    let writes = (0..50).map(|index| {
        let store = store.clone();
        tokio::spawn(async move { store.write(create(&format!("{index}"), "{}")).await })
    });
    let writes: Vec<_> = writes.collect();
    tokio::task::yield_now().await;
    store.close().await;
    for write in join_all(writes).await {
        assert!(matches!(write.unwrap(), Ok(_) | Err(WriteError::Unavailable(_))));
    }
    assert!(matches!(store.write(create("late", "{}")).await, Err(WriteError::Unavailable(_))));
}

pub(crate) async fn what_was_written_is_there_after_reopening(on: On) {
    let store = on.store().await;
    create_many(&store, 10).await;
    store.write(delete("o003", 4, "{}")).await.unwrap();
    let before = store.list(&everything(), At::Latest, None, None).await.unwrap();
    store.close().await;
    let store = on.store_after_close().await;
    let after = store.list(&everything(), At::Latest, None, None).await.unwrap();
    assert_eq!((after.objects, after.revision), (before.objects, before.revision));
    let next = store.write(create("next", "{}")).await.unwrap();
    assert!(next.revision > before.revision);
}
