//! A database that does not answer: nothing is acknowledged that is not kept, what waits is bounded, and what is sent again
//! counts once.

use std::{sync::Arc, time::Duration};

use dropmate_ingest::{Counts, Detail, Fix, Ingest, KeepError, PAGE_MAX};
use dropmate_testing::{Database, Proxy};
use futures::future::join_all;
use jiff::Timestamp;
use sqlx::{Connection, SqliteConnection, sqlite::SqliteConnectOptions};

/// Longer than anything here may take.
const PATIENCE: Duration = Duration::from_secs(40);

fn fixes(from: i64, count: i64) -> Vec<Fix> {
    let at = |second| Timestamp::from_second(second).unwrap();
    (from..from + count)
        .map(|second| Fix { at: at(second), latitude: 43.65, longitude: -79.38, detail: Detail::default() })
        .collect()
}

async fn kept(ingest: &Ingest) -> usize {
    let (mut count, mut after) = (0, 0);
    loop {
        let page = ingest.positions_after(after, PAGE_MAX).await.unwrap();
        if page.positions.is_empty() {
            return count;
        }
        count += page.positions.len();
        after = page.next;
    }
}

fn now() -> dropmate_ingest::Now {
    Arc::new(|| Timestamp::UNIX_EPOCH)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_what_comes_while_the_file_is_locked_no_more_waits_than_there_is_room_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ingest.db");
    let ingest = Ingest::sqlite(&path, now()).await.unwrap();
    let mut other = SqliteConnection::connect_with(&SqliteConnectOptions::new().filename(&path)).await.unwrap();
    sqlx::query("BEGIN IMMEDIATE").execute(&mut other).await.unwrap();
    let phones: Vec<_> = (0..60)
        .map(|phone| {
            let ingest = ingest.clone();
            tokio::spawn(async move { ingest.keep("acme", &format!("d{phone}"), &fixes(0, 1_000)).await })
        })
        .collect();
    // Who finds no room hears so at once; nobody else hears anything. The file's lock is waited for longer than this.
    let begun = tokio::time::Instant::now();
    while phones.iter().filter(|phone| phone.is_finished()).count() < 20 {
        assert!(begun.elapsed() < Duration::from_secs(4), "60,000 fixes wait where there is room for 40,000");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    sqlx::query("ROLLBACK").execute(&mut other).await.unwrap();
    let outcomes = tokio::time::timeout(PATIENCE, join_all(phones)).await.expect("all are answered");
    let (mut acknowledged, mut refused) = (0, 0);
    for outcome in outcomes {
        match outcome.unwrap() {
            Ok(Counts { accepted, duplicate: 0 }) => acknowledged += accepted,
            Err(KeepError::Full) => refused += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((refused, acknowledged), (20, 40_000));
    assert_eq!(kept(&ingest).await, acknowledged);
}

#[tokio::test]
async fn what_was_not_acknowledged_may_be_sent_again_and_counts_once() {
    for away in [Proxy::cut, Proxy::pause] {
        let database = Database::create().await;
        Ingest::migrate_postgres(&database.url()).await.unwrap();
        let proxy = Proxy::start(database.address()).await;
        let ingest = Ingest::postgres(&database.url_by(proxy.address()), now()).await.unwrap();
        ingest.keep("acme", "sam", &fixes(0, 100)).await.unwrap();
        away(&proxy);
        let refused = tokio::time::timeout(PATIENCE, ingest.keep("acme", "sam", &fixes(50, 100))).await.unwrap();
        assert!(matches!(refused, Err(KeepError::Unavailable)), "{refused:?}");
        proxy.mend();
        let sent = async {
            loop {
                if let Ok(counts) = ingest.keep("acme", "sam", &fixes(50, 100)).await {
                    return counts;
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        let counts = tokio::time::timeout(PATIENCE, sent).await.expect("the database is back");
        // Whether the lost one was kept after all, nobody can tell; that each is there once, everybody.
        assert_eq!(counts.accepted + counts.duplicate, 100);
        assert_eq!(kept(&ingest).await, 150);
    }
}
