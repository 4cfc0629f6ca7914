//! The schema comes to its version once, whoever brings it there and however often.

use std::{
    process::{Command, Stdio},
    time::Duration,
};

use dropmate_sql::OpenError;
use dropmate_store::{Options, Postgres, Store};
use futures::future::join_all;
use sqlx::{Connection, PgConnection};
use tokio::time::{Instant, sleep};

use crate::it::{
    database::Database,
    fixture::{Clock, create_many},
};

/// Set for the process that is killed while it migrates.
const URL: &str = "DROPMATE_TEST_MIGRATE_URL";
const NAME: &str = "it::postgres::migrations::a_migration_killed_in_the_middle_is_done_by_the_next";

#[tokio::test]
async fn what_is_pending_is_told_and_left_alone_and_then_done_once() {
    let database = Database::bare().await;
    for _ in 0..2 {
        let pending = Postgres::pending(&database.url()).await.unwrap();
        assert_eq!((pending.version, pending.pending[0].0), (0, 1));
    }
    let done = Postgres::migrate(&database.url()).await.unwrap();
    assert_eq!(done, Postgres::pending(&Database::bare().await.url()).await.unwrap());
    let newest = done.pending.last().unwrap().0;
    let again = Postgres::migrate(&database.url()).await.unwrap();
    assert_eq!((again.version, again.pending.len()), (newest, 0));
    assert_usable(&database).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_who_migrate_at_the_same_time_all_find_it_done() {
    let database = Database::bare().await;
    let url = database.url();
    let outcomes = join_all((0..10).map(|_| Postgres::migrate(&url))).await;
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    assert_eq!(Postgres::pending(&url).await.unwrap().pending, []);
    assert_usable(&database).await;
}

#[tokio::test]
async fn a_migration_killed_in_the_middle_is_done_by_the_next() {
    if let Ok(url) = std::env::var(URL) {
        Postgres::migrate(&url).await.unwrap();
        return;
    }
    let database = Database::bare().await;
    let mut foreign = PgConnection::connect(&database.url()).await.unwrap();
    sqlx::query("CREATE SCHEMA control").execute(&mut foreign).await.unwrap();
    let mut holding = foreign.begin().await.unwrap();
    // A table in the middle of the migration: whoever makes another of its name waits for this transaction.
    sqlx::query("CREATE TABLE control.floors ()").execute(&mut *holding).await.unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", NAME])
        .env(URL, database.url())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    wait_until_somebody_waits(&database).await;
    child.kill().unwrap();
    child.wait().unwrap();
    holding.rollback().await.unwrap();

    let pending = Postgres::pending(&database.url()).await.unwrap();
    assert_eq!(pending.version, 0, "nothing of it stayed");
    Postgres::migrate(&database.url()).await.unwrap();
    assert_usable(&database).await;
}

async fn wait_until_somebody_waits(database: &Database) {
    let mut observer = PgConnection::connect(&database.url()).await.unwrap();
    let give_up_at = Instant::now() + Duration::from_secs(10);
    let waiting = "SELECT count(*) FROM pg_stat_activity
                   WHERE datname = current_database() AND wait_event_type = 'Lock'";
    while sqlx::query_scalar::<_, i64>(waiting).fetch_one(&mut observer).await.unwrap() == 0 {
        assert!(Instant::now() < give_up_at, "the migration did not come to the middle");
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_database_that_is_not_migrated_is_refused_and_says_what_to_run() {
    let database = Database::bare().await;
    let refused = Postgres::open(&database.url()).await.unwrap_err();
    assert!(matches!(refused, OpenError::Older { schema: "control", .. }), "{refused:?}");
    assert!(refused.to_string().contains("dropmate migrate"), "{refused}");
}

#[tokio::test]
async fn a_database_of_a_newer_program_is_refused_by_all() {
    let database = Database::create().await;
    let mut connection = PgConnection::connect(&database.url()).await.unwrap();
    let newer = "INSERT INTO control.migrations (version, description, success, checksum, execution_time)
                 VALUES (9999, 'from the future', true, '', 0)";
    sqlx::query(newer).execute(&mut connection).await.unwrap();
    for refused in [
        Postgres::open(&database.url()).await.map(|_| ()),
        Postgres::migrate(&database.url()).await.map(|_| ()),
        Postgres::pending(&database.url()).await.map(|_| ()),
    ] {
        assert!(matches!(refused, Err(OpenError::Newer { found: 9999, .. })), "{refused:?}");
    }
}

async fn assert_usable(database: &Database) {
    let store = Store::postgres(&database.url(), Clock::default().now(), Options::default()).await.unwrap();
    assert_eq!(create_many(&store, 3).await.last().unwrap().revision, 3);
}
