//! There are connections, but none to be had.

use std::{sync::Arc, time::Duration};

use dropmate_sql::postgres::within;
use dropmate_store::{At, Options, Postgres, ReadError, Store};
use futures::future::join_all;
use sqlx::{Connection, PgConnection};
use tokio::time::{Instant, sleep};

use super::users::{ANSWERED_WITHIN, Users, Witness};
use crate::it::{
    database::Database,
    fixture::{Clock, create, events_up_to, everything, key, update},
    server,
};

/// Between two writes of a writer.
const PACE: Duration = Duration::from_millis(25);

/// The planner thinks a young database large, and would spend 50 ms on compiling a look at the log that takes 0.2 ms.
#[tokio::test]
async fn no_connection_compiles_its_statements() {
    let database = Database::create().await;
    let backend = Postgres::open(&database.url()).await.unwrap();
    let pools = backend.pools();
    let limit = Duration::from_secs(1);
    let show = async |connection: &mut PgConnection| sqlx::query_scalar("SHOW jit").fetch_one(connection).await;
    let compiles: [String; 3] = [
        pools.write.within(limit, show).await.unwrap(),
        pools.follow.within(limit, show).await.unwrap(),
        within(&pools.read, limit, show).await.unwrap(),
    ];
    assert_eq!(compiles, ["off"; 3]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_of_history_who_find_all_connections_busy_are_told_so_and_nobody_else_notices() {
    let database = Database::create().await;
    let backend = Arc::new(Postgres::open(&database.url()).await.unwrap());
    let store = Store::open(backend.clone(), Clock::default().now(), Options::default()).await.unwrap();
    let other = Store::postgres(&database.url(), Clock::default().now(), Options::default()).await.unwrap();
    let first = store.write(create("a", "{}")).await.unwrap();
    let mut watch = store.watch(everything(), 0).await.unwrap();
    let pool = &backend.pools().read;
    let held = join_all((0..pool.options().get_max_connections()).map(|_| pool.acquire())).await;
    assert!(held.iter().all(Result::is_ok));

    let since = Instant::now();
    let refused = store.history(&key("a"), 0, 10).await;
    assert!(matches!(refused, Err(ReadError::Unavailable(_))), "{refused:?}");
    assert!(since.elapsed() < ANSWERED_WITHIN);
    let mut last = first;
    for round in 0..20 {
        let by = if round % 2 == 0 { &other } else { &store };
        last = by.write(update("a", last.revision, "{}")).await.unwrap();
        assert_eq!(store.get(&key("a"), At::Latest).await.unwrap().0.as_ref(), Some(&last));
    }

    assert_eq!(events_up_to(&mut watch, last.revision).await.len(), 21);

    drop(held);
    assert_eq!(store.history(&key("a"), 0, 100).await.unwrap().len(), 21);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_without_a_connection_to_give_is_told_in_time_and_tried_again() {
    let server = server::start(&["max_connections = 20"]).await;
    let store = Store::postgres(server.url(), Clock::default().now(), Options::default()).await.unwrap();
    let witness = Witness::of(&store).await;
    let users = Users::of(&store, server.url(), PACE);
    sleep(Duration::from_millis(500)).await;
    let mut operator = PgConnection::connect(server.url()).await.unwrap();
    // Takes every place that becomes free.
    let mut others = Vec::new();
    let since = Instant::now();
    while since.elapsed() < Duration::from_secs(4) {
        let end_all = "SELECT pg_terminate_backend(pid, 1000) FROM pg_stat_activity
                       WHERE application_name = 'dropmate'";
        sqlx::query(end_all).execute(&mut operator).await.unwrap();
        while let Ok(connection) = PgConnection::connect(server.url()).await {
            others.push(connection);
        }
        sleep(Duration::from_millis(100)).await;
    }
    assert!(others.len() > 10, "there were places left");
    drop(others);
    let account = users.account().await;
    assert!(account.unavailable > 0 && account.unread > 0, "there were connections: {account:?}");
    witness.has_seen_everything(&store).await;
}
