//! One session is lost in the middle of its work: what it had under way is looked up, never guessed.

use std::time::Duration;

use dropmate_store::{Options, Store, WriteError};
use dropmate_testing::signal;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sqlx::{Connection, PgConnection};
use tokio::time::{sleep, timeout};

use super::users::{ANSWERED_WITHIN, Users, Witness};
use crate::it::{
    database::Database,
    fixture::{Clock, create, key},
    server,
};

async fn store(url: &str) -> Store {
    Store::postgres(url, Clock::default().now(), Options::default()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_ended_in_the_middle_of_commits_loses_and_doubles_nothing() {
    let database = Database::create().await;
    let store = store(&database.url()).await;
    let witness = Witness::of(&store).await;
    let users = Users::of(&store, &database.url(), Duration::ZERO);
    let mut operator = PgConnection::connect(&database.url()).await.unwrap();
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let mut in_the_middle = 0;
    while in_the_middle < 20 {
        sleep(Duration::from_millis(random.random_range(1..60))).await;
        let ended: Vec<bool> = sqlx::query_scalar(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
             WHERE datname = current_database() AND state = 'active' AND query LIKE '%commit_v1%'
               AND pid <> pg_backend_pid()",
        )
        .fetch_all(&mut operator)
        .await
        .unwrap();
        in_the_middle += ended.len();
    }
    let account = users.account().await;
    assert!(account.written > 20, "the sessions ended before the writes: {account:?}");
    assert_eq!(account.unknown, 0, "the database was there to be asked: {account:?}");
    witness.has_seen_everything(&store).await;
}

/// The session sleeps with the commit in its mail, and wakes after the caller had its answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_comes_late_was_not_told_to_have_failed() {
    let server = server::start(&[]).await;
    let store = store(server.url()).await;
    for round in 0..2 {
        store.write(create(&format!("before-{round}"), "{}")).await.unwrap();
        let writer = session_that_writes(server.url()).await;
        signal("STOP", &[writer]);
        let outcome = timeout(ANSWERED_WITHIN, store.write(create(&format!("late-{round}"), "{}"))).await;
        signal("CONT", &[writer]);
        let outcome = outcome.expect("it is answered in time");
        sleep(Duration::from_millis(500)).await;
        let there = !store.history(&key(&format!("late-{round}")), 0, 10).await.unwrap().is_empty();
        match outcome {
            Ok(_) => panic!("nobody could have written it"),
            Err(WriteError::Unavailable(_)) => assert!(!there, "it was told to have failed"),
            Err(WriteError::Unknown(_)) => {}
            Err(error) => panic!("{error}"),
        }
        store.write(create(&format!("after-{round}"), "{}")).await.unwrap();
    }
}

/// The session stops while it waits for the counter, holding nothing yet, and wakes before the caller has its answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_stopped_in_the_middle_of_a_commit_leaves_one_truth() {
    let server = server::start(&[]).await;
    let store = store(server.url()).await;
    for (round, wakes_after) in [1_000, 3_300, 4_000].into_iter().enumerate() {
        let name = format!("o{round}");
        store.write(create(&format!("before-{round}"), "{}")).await.unwrap();
        let mut foreign = PgConnection::connect(server.url()).await.unwrap();
        let mut holding = foreign.begin().await.unwrap();
        sqlx::query("SELECT FROM control.revision FOR UPDATE").execute(&mut *holding).await.unwrap();
        let writing = tokio::spawn({
            let (store, write) = (store.clone(), create(&name, "{}"));
            async move { timeout(ANSWERED_WITHIN, store.write(write)).await.expect("it is answered in time") }
        });
        sleep(Duration::from_millis(200)).await;
        let writer = session_that_writes(server.url()).await;
        signal("STOP", &[writer]);
        holding.rollback().await.unwrap();
        sleep(Duration::from_millis(wakes_after)).await;
        signal("CONT", &[writer]);
        let outcome = writing.await.unwrap();
        sleep(Duration::from_millis(500)).await;
        let times = store.history(&key(&name), 0, 10).await.unwrap().len();
        match outcome {
            Ok(_) => assert_eq!(times, 1, "it was acknowledged"),
            Err(WriteError::Unavailable(_)) => assert_eq!(times, 0, "it was told to have failed"),
            Err(WriteError::Unknown(_)) => assert!(times <= 1),
            Err(error) => panic!("{error}"),
        }
    }
}

/// The process of the server that carries out the store's commits.
async fn session_that_writes(url: &str) -> i32 {
    let mut operator = PgConnection::connect(url).await.unwrap();
    let writer = "SELECT pid FROM pg_stat_activity WHERE query LIKE '%commit_v1%' AND pid <> pg_backend_pid()";
    let writer = sqlx::query_scalar(writer).fetch_one(&mut operator).await.unwrap();
    operator.close().await.unwrap();
    writer
}
