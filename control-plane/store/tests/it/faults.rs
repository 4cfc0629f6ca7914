//! A commit whose outcome is lost: the store looks it up before it answers.

use std::sync::{Arc, atomic::Ordering};

use dropmate_store::{At, Memory, Options, Store, WriteError};
use futures::future::join_all;

use super::{
    faulty::{Fault, Faulty},
    fixture::{Clock, create, events_up_to, everything, key, update},
};

async fn broken_store(fault: Fault) -> (Store, Arc<Faulty>) {
    let backend = Faulty::new(Arc::new(Memory::new()), fault).await.unwrap();
    let store = Store::open(backend.clone(), Clock::default().now(), Options::default()).await.unwrap();
    (store, backend)
}

#[tokio::test(start_paused = true)]
async fn a_commit_that_went_through_is_answered_although_its_answer_was_lost() {
    let (store, _) = broken_store(Fault::LosesTheAnswer).await;
    let mut watch = store.watch(everything(), 0).await.unwrap();
    let writes = ["a", "b", "c"].map(|name| store.write(create(name, "{}")));
    for (written, name) in join_all(writes).await.into_iter().zip(["a", "b", "c"]) {
        let written = written.unwrap();
        assert_eq!(store.get(&key(name), At::Latest).await.unwrap().0, Some(written));
    }
    assert_eq!(events_up_to(&mut watch, 3).await.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn of_a_commit_that_went_through_half_refused_only_the_written_are_acknowledged() {
    let (store, backend) = broken_store(Fault::LosesTheAnswer).await;
    store.write(create("a", "{}")).await.unwrap();
    let (again, fresh) = tokio::join!(store.write(create("a", "{}")), store.write(create("b", "{}")));
    assert!(matches!(again, Err(WriteError::Unavailable(_))));
    assert_eq!(fresh.unwrap().revision, 3);
    backend.broken.store(false, Ordering::SeqCst);
    assert!(matches!(store.write(create("a", "{}")).await, Err(WriteError::Exists(_))));
}

#[tokio::test(start_paused = true)]
async fn a_commit_that_did_not_go_through_is_told_to_be_tried_again() {
    let (store, backend) = broken_store(Fault::LosesTheCommit).await;
    assert!(matches!(store.write(create("a", "{}")).await, Err(WriteError::Unavailable(_))));
    backend.broken.store(false, Ordering::SeqCst);
    assert_eq!(store.write(create("a", "{}")).await.unwrap().revision, 1);
}

#[tokio::test(start_paused = true)]
async fn a_commit_that_cannot_be_looked_up_is_unknown_and_shows_once_the_database_is_back() {
    let memory = Arc::new(Memory::new());
    let backend = Faulty::new(memory.clone(), Fault::StaysSilent).await.unwrap();
    let store = Store::open(backend.clone(), Clock::default().now(), Options::default()).await.unwrap();
    let mut watch = store.watch(everything(), 0).await.unwrap();
    assert!(matches!(store.write(create("a", "{}")).await, Err(WriteError::Unknown(_))));
    // Another process wrote meanwhile; the next commit finds it in the log and takes it in first.
    let other = Store::open(memory, Clock::default().now(), Options::default()).await.unwrap();
    other.write(create("b", "{}")).await.unwrap();
    other.write(update("b", 1, "{\"n\":2}")).await.unwrap();
    backend.broken.store(false, Ordering::SeqCst);
    assert_eq!(store.write(create("a", "{}")).await.unwrap().revision, 3);
    let seen: Vec<_> = events_up_to(&mut watch, 3).await.iter().map(|event| event.object.key.name.clone()).collect();
    assert_eq!(seen, ["b", "b", "a"]);
}
