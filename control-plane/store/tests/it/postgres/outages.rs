//! The whole server is away, or writes nothing.

use std::time::Duration;

use dropmate_store::{Options, Store};
use sqlx::{Connection, PgConnection};
use tokio::time::sleep;

use super::users::{Users, WRITERS, Witness};
use crate::it::{
    database::Database,
    fixture::{Clock, Follower, create, everything},
    server,
};

/// Between two writes of a writer.
const PACE: Duration = Duration::from_millis(25);
/// Load before a fault comes.
const BEFORE: Duration = Duration::from_millis(500);

async fn store(url: &str) -> Store {
    Store::postgres(url, Clock::default().now(), Options::default()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_database_is_told_in_time_and_a_resumed_one_goes_on() {
    let server = server::start(&[]).await;
    let store = store(server.url()).await;
    let witness = Witness::of(&store).await;
    let mut users = Users::of(&store, server.url(), PACE);
    sleep(BEFORE).await;
    server.pause();
    // Long enough for a write to come while another hangs, and to hang in its turn.
    for _ in 0..40 {
        users.come_by();
        sleep(Duration::from_millis(300)).await;
    }
    server.resume();
    let account = users.account().await;
    assert!(account.unavailable > 0 && account.unread > 0, "the database was not away: {account:?}");
    assert!(account.slowest > Duration::from_secs(3), "no write hung: {account:?}");
    assert!(account.unknown <= WRITERS + 1, "only what was under way is in doubt: {account:?}");
    witness.has_seen_everything(&store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restarted_database_is_found_again() {
    let server = server::start(&[]).await;
    let store = store(server.url()).await;
    let witness = Witness::of(&store).await;
    let users = Users::of(&store, server.url(), PACE);
    for _ in 0..2 {
        sleep(BEFORE).await;
        server.stop();
        sleep(Duration::from_secs(2)).await;
        server.start_again();
    }
    let account = users.account().await;
    assert!(account.unavailable > 0 && account.unread > 0, "the database was not away: {account:?}");
    witness.has_seen_everything(&store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_only_database_refuses_writes_and_is_read() {
    let server = server::start(&[]).await;
    let store = store(server.url()).await;
    let witness = Witness::of(&store).await;
    let users = Users::of(&store, server.url(), PACE);
    sleep(BEFORE).await;
    let mut operator = PgConnection::connect(server.url()).await.unwrap();
    for statement in [
        "ALTER SYSTEM SET default_transaction_read_only = on",
        "SELECT pg_reload_conf()",
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'",
    ] {
        sqlx::query(statement).execute(&mut operator).await.unwrap();
    }
    sleep(Duration::from_secs(2)).await;
    // Nobody may write, but everybody reads the newest.
    store.list(&everything(), dropmate_store::At::Latest, None, Some(1)).await.unwrap();
    for statement in ["ALTER SYSTEM RESET default_transaction_read_only", "SELECT pg_reload_conf()"] {
        sqlx::query(statement).execute(&mut operator).await.unwrap();
    }
    let account = users.account().await;
    assert!(account.unavailable > 0, "it was not read-only: {account:?}");
    witness.has_seen_everything(&store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_locked_counter_refuses_writes_in_time_and_leaves_nothing_in_doubt() {
    let database = Database::create().await;
    let store = store(&database.url()).await;
    let witness = Witness::of(&store).await;
    let users = Users::of(&store, &database.url(), PACE);
    sleep(BEFORE).await;
    let mut foreign = PgConnection::connect(&database.url()).await.unwrap();
    let mut holding = foreign.begin().await.unwrap();
    sqlx::query("SELECT FROM control.revision FOR UPDATE").execute(&mut *holding).await.unwrap();
    sleep(Duration::from_secs(7)).await;
    holding.rollback().await.unwrap();
    let account = users.account().await;
    assert!(account.unavailable > 0, "the counter was not locked: {account:?}");
    assert_eq!((account.unknown, account.unread), (0, 0), "nothing was under way, and readers do not wait");
    witness.has_seen_everything(&store).await;
}

/// The connection that hears of others' writes is only faster than looking.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watchers_see_what_others_write_while_nobody_listens() {
    let database = Database::create().await;
    let (a, b) = (store(&database.url()).await, store(&database.url()).await);
    let mut watcher = Follower::new(&a, everything(), 0).await;
    let mut operator = PgConnection::connect(&database.url()).await.unwrap();
    for round in 0..4 {
        let ended: Vec<bool> = sqlx::query_scalar(
            "SELECT pg_terminate_backend(pid, 1000) FROM pg_stat_activity
             WHERE datname = current_database() AND query LIKE 'LISTEN%'",
        )
        .fetch_all(&mut operator)
        .await
        .unwrap();
        assert!(!ended.is_empty(), "nobody listened");
        let written = b.write(create(&format!("o{round}"), "{}")).await.unwrap();
        // Not the 10 s that the tests' watchers wait for anything.
        let seen = tokio::time::timeout(Duration::from_millis(2_500), watcher.next()).await;
        assert_eq!(seen.expect("it is seen soon").revision, written.revision);
        // Until they listen again.
        sleep(Duration::from_millis(1_500)).await;
    }
}
