//! Positions: kept once each, read on by number without a gap, deleted when they are old.

use std::collections::BTreeSet;

use dropmate_ingest::{Counts, Detail, Fix};
use futures::future::join_all;
use jiff::{SignedDuration, Timestamp};
use rstest::rstest;

use crate::fixture::{Kept, On};

fn fix(second: i64) -> Fix {
    let detail = Detail { speed_meters_per_second: Some(4.2), source: "me".to_owned(), ..Detail::default() };
    Fix { at: Timestamp::from_second(second).unwrap(), latitude: 43.650_3, longitude: -79.359_612_3, detail }
}

fn counts(accepted: usize, duplicate: usize) -> Counts {
    Counts { accepted, duplicate }
}

#[rstest]
#[case::sqlite(On::Sqlite)]
#[case::postgres(On::Postgres)]
#[tokio::test]
async fn a_fix_is_kept_once_and_read_back_as_it_was_told(#[case] on: On) {
    let kept = Kept::new(on).await;
    let ingest = &kept.ingest;
    // Told twice in one request, and once more in the next.
    assert_eq!(ingest.keep("acme", "sam", &[fix(1), fix(2), fix(1)]).await.unwrap(), counts(2, 1));
    assert_eq!(ingest.keep("acme", "sam", &[fix(2), fix(3)]).await.unwrap(), counts(1, 1));
    // Another driver may be at the same place.
    assert_eq!(ingest.keep("acme", "kim", &[fix(2)]).await.unwrap(), counts(1, 0));
    let page = ingest.positions_after(0, 10).await.unwrap();
    let told: Vec<_> =
        page.positions.iter().map(|position| (position.driver.as_str(), position.fix.at.as_second())).collect();
    assert_eq!(told, [("sam", 1), ("sam", 2), ("sam", 3), ("kim", 2)]);
    assert_eq!(page.positions[0].fix, fix(1));
    let first = ingest.positions_after(0, 2).await.unwrap();
    let rest = ingest.positions_after(first.next, 10).await.unwrap();
    assert_eq!([first.positions, rest.positions].concat(), page.positions);
    let end = ingest.positions_after(rest.next, 10).await.unwrap();
    assert_eq!((end.positions.len(), end.next), (0, rest.next));
    // Whoever comes from another database goes on from here.
    assert!(ingest.positions_after(1_000_000, 10).await.unwrap().next < 10);
}

#[rstest]
#[case::sqlite(On::Sqlite)]
#[case::postgres(On::Postgres)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_reads_on_while_many_write_misses_nothing(#[case] on: On) {
    const PHONES: i64 = 40;
    const REQUESTS: i64 = 25;
    let kept = Kept::new(on).await;
    // On PostgreSQL two processes write.
    let other = if matches!(on, On::Postgres) { kept.another().await } else { kept.ingest.clone() };
    let writing = join_all((0..PHONES).map(|phone| {
        let ingest = if phone % 2 == 0 { kept.ingest.clone() } else { other.clone() };
        async move {
            for request in 0..REQUESTS {
                let fixes = [fix(request * 2), fix(request * 2 + 1)];
                ingest.keep("acme", &format!("d{phone}"), &fixes).await.unwrap();
            }
        }
    }));
    let reader = kept.ingest.clone();
    let reading = tokio::spawn(async move {
        let (mut seen, mut after) = (BTreeSet::new(), 0);
        while seen.len() < usize::try_from(PHONES * REQUESTS * 2).unwrap() {
            let page = reader.positions_after(after, 100).await.unwrap();
            for position in page.positions {
                assert!(position.seq > after, "numbers rise");
                after = position.seq;
                assert!(seen.insert((position.driver, position.fix.at)), "each comes once");
            }
            tokio::task::yield_now().await;
        }
    });
    writing.await;
    tokio::time::timeout(std::time::Duration::from_secs(20), reading).await.expect("all of them come").unwrap();
}

#[rstest]
#[case::sqlite(On::Sqlite)]
#[case::postgres(On::Postgres)]
#[tokio::test]
async fn what_is_old_goes_and_numbers_go_on(#[case] on: On) {
    let kept = Kept::new(on).await;
    let fixes: Vec<Fix> = (0..6_000).map(fix).collect();
    assert_eq!(kept.ingest.keep("acme", "sam", &fixes).await.unwrap(), counts(6_000, 0));
    kept.pass(SignedDuration::from_hours(47));
    kept.ingest.keep("acme", "sam", &[fix(7_000)]).await.unwrap();
    assert_eq!(kept.ingest.delete_old_positions().await.unwrap(), 0);
    kept.pass(SignedDuration::from_hours(2));
    assert_eq!(kept.ingest.delete_old_positions().await.unwrap(), 6_000);
    let page = kept.ingest.positions_after(0, 10).await.unwrap();
    assert_eq!((page.positions.len(), page.next, page.oldest), (1, 6_001, 6_001));
    kept.pass(SignedDuration::from_hours(48));
    kept.ingest.delete_old_positions().await.unwrap();
    assert_eq!(kept.ingest.positions_after(6_001, 10).await.unwrap().oldest, 6_002);
    let again = kept.another().await;
    again.keep("acme", "sam", &[fix(8_000)]).await.unwrap();
    assert_eq!(again.positions_after(6_001, 10).await.unwrap().next, 6_002);
}

#[rstest]
#[case::sqlite(On::Sqlite)]
#[case::postgres(On::Postgres)]
#[tokio::test]
async fn what_waits_when_the_process_ends_is_kept_and_answered(#[case] on: On) {
    let kept = Kept::new(on).await;
    let waiting: Vec<_> = (0..200)
        .map(|second| {
            let ingest = kept.ingest.clone();
            tokio::spawn(async move { ingest.keep("acme", "sam", &[fix(second)]).await })
        })
        .collect();
    tokio::task::yield_now().await;
    kept.ingest.close().await;
    let mut acknowledged = 0;
    for task in waiting {
        acknowledged += task.await.unwrap().map_or(0, |counts| counts.accepted);
    }
    assert!(acknowledged > 0, "the test begins before the end");
    let again = kept.another().await;
    assert_eq!(again.positions_after(0, 1_000).await.unwrap().positions.len(), acknowledged);
}
