//! What only a file can do to us.

use std::sync::Arc;

use dropmate_store::{At, OpenError, Options, Sqlite, Store, WriteError};
use futures::future::join_all;

use super::fixture::{Clock, create, create_many, everything};

#[tokio::test]
async fn a_full_disk_refuses_writes_and_leaves_nothing_half_done() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("control.db");
    let backend = Arc::new(Sqlite::open(&path).await.unwrap());
    let store = Store::open(backend.clone(), Clock::default().now(), Options::default()).await.unwrap();
    create_many(&store, 3).await;
    let limit = |pages: &'static str| sqlx::query(pages).execute(&backend.pools().write);
    limit("PRAGMA max_page_count = 40").await.unwrap();

    let body = format!("\"{}\"", "x".repeat(10_000));
    let names: Vec<_> = (0..30).map(|index| format!("big-{index}")).collect();
    let outcomes = join_all(names.iter().map(|name| store.write(create(name, &body)))).await;
    let refused = outcomes.iter().filter(|outcome| matches!(outcome, Err(WriteError::Unavailable(_)))).count();
    let written = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    assert!(refused > 0, "the disk was not full");
    assert_eq!(refused + written, 30);
    let listed = store.list(&everything(), At::Latest, None, None).await.unwrap();
    assert_eq!(listed.objects.len(), 3 + written);

    limit("PRAGMA max_page_count = 100000").await.unwrap();
    let after = store.write(create("after", "{}")).await.unwrap();
    assert_eq!(after.revision, listed.revision + 1);
    store.close().await;
    let store = Store::sqlite(&path, Clock::default().now(), Options::default()).await.unwrap();
    assert_eq!(store.list(&everything(), At::Latest, None, None).await.unwrap().objects.len(), 4 + written);
}

#[tokio::test]
async fn a_database_of_a_newer_program_is_refused_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("control.db");
    let backend = Sqlite::open(&path).await.unwrap();
    let newer = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
                 VALUES (9999, 'from the future', 1, x'00', 0)";
    sqlx::query(newer).execute(&backend.pools().write).await.unwrap();
    backend.pools().close().await;
    let refused = Store::sqlite(&path, Clock::default().now(), Options::default()).await.unwrap_err();
    assert!(matches!(refused, OpenError::Database(dropmate_sql::OpenError::Newer { found: 9999, .. })));
    assert!(refused.to_string().contains("version 9999"), "{refused}");
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("control.db");
    std::fs::write(&path, "this is not a database, but it is long enough to be looked at".repeat(100)).unwrap();
    let refused = Store::sqlite(&path, Clock::default().now(), Options::default()).await.unwrap_err();
    assert!(refused.to_string().contains("control.db"), "{refused}");
}
