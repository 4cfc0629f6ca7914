//! The archive.

use dropmate_store::{Archived, At, Change, Expect, Key, Revision, Store, Write, WriteError};

use super::On;
use crate::it::fixture::{create, create_many, everything, key, next, put, update, within};

fn archive(key: Key, revision: Revision, body: &str) -> Write {
    let change = Change::Archive { body: body.into() };
    Write { change, ..put(key, Expect::Revision(revision), "") }
}

async fn names(store: &Store, before: Option<Revision>, limit: usize) -> Vec<String> {
    let found = store.archived(&everything(), None, before, limit).await.unwrap();
    found.iter().map(|archived| archived.object.key.name.clone()).collect()
}

pub(crate) async fn what_is_archived_is_gone_and_its_last_state_can_be_found(on: On) {
    let store = on.store().await;
    let made = store.write(create("a", "{\"n\":1}")).await.unwrap();
    let mut watch = store.watch(everything(), made.revision).await.unwrap();
    let gone = store.write(archive(key("a"), made.revision, "{\"n\":2}")).await.unwrap();

    assert_eq!(store.get(&key("a"), At::Latest).await.unwrap().0, None);
    let event = next(&mut watch).await;
    assert!(event.deleted);
    assert_eq!((event.revision, &event.object), (gone.revision, &gone));
    let expected = Archived { object: gone.clone(), at: (on.clock().now())() };
    assert_eq!(store.archived(&within("shop"), Some("a"), None, 10).await.unwrap(), [expected]);
    assert_eq!(&*gone.body, "{\"n\":2}");
    assert_eq!(gone.uid, made.uid);
    assert!(store.archived(&within("elsewhere"), Some("a"), None, 10).await.unwrap().is_empty());
    store.close().await;
    let store = on.store_after_close().await;
    // In memory the log is gone with the store's backend only; every backend keeps its archive.
    assert_eq!(store.archived(&everything(), Some("a"), None, 10).await.unwrap().len(), 1);
}

pub(crate) async fn an_archived_name_can_be_used_again_and_both_are_found(on: On) {
    let store = on.store().await;
    for word in ["first", "second"] {
        let made = store.write(create("a", "{}")).await.unwrap();
        store.write(archive(key("a"), made.revision, &format!("\"{word}\""))).await.unwrap();
    }
    let found = store.archived(&everything(), Some("a"), None, 10).await.unwrap();
    let bodies: Vec<_> = found.iter().map(|archived| archived.object.body.as_ref()).collect();
    assert_eq!(bodies, ["\"second\"", "\"first\""]);
}

pub(crate) async fn a_refused_archiving_leaves_nothing_in_the_archive(on: On) {
    let store = on.store().await;
    let made = store.write(create("a", "{}")).await.unwrap();
    store.write(update("a", made.revision, "{\"n\":2}")).await.unwrap();
    let refused = store.write(archive(key("a"), made.revision, "{}")).await;
    assert!(matches!(refused, Err(WriteError::Changed(_))));
    assert!(store.get(&key("a"), At::Latest).await.unwrap().0.is_some());
    assert!(names(&store, None, 10).await.is_empty());
}

pub(crate) async fn the_archive_is_read_newest_first_and_in_pages(on: On) {
    let store = on.store().await;
    for made in create_many(&store, 5).await {
        store.write(archive(made.key.clone(), made.revision, "{}")).await.unwrap();
    }
    let first = store.archived(&everything(), None, None, 2).await.unwrap();
    let names_of = |found: &[Archived]| found.iter().map(|a| a.object.key.name.clone()).collect::<Vec<_>>();
    assert_eq!(names_of(&first), ["o004", "o003"]);
    let before = first.last().map(|archived| archived.object.revision);
    assert_eq!(names(&store, before, 2).await, ["o002", "o001"]);
    assert_eq!(names(&store, None, 100).await.len(), 5);
}
