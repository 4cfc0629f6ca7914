//! The storage, on SQLite and on PostgreSQL.

use dropmate_testing::Database;
use dropmate_tracking::{
    pull::Pulled,
    store::{Appended, Between, Said, Store},
    timeline::Entry,
};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::core::{at, noon};

/// A store, with what it stands on.
struct Kept {
    store: Store,
    _folder: Option<tempfile::TempDir>,
    database: Option<Database>,
}

async fn sqlite() -> Kept {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::sqlite(&folder.path().join("tracking.db")).await.unwrap();
    Kept { store, _folder: Some(folder), database: None }
}

async fn postgres() -> Kept {
    let database = Database::create().await;
    Store::migrate_postgres(&database.url()).await.unwrap();
    let store = Store::postgres(&database.url()).await.unwrap();
    Kept { store, _folder: None, database: Some(database) }
}

async fn both() -> [Kept; 2] {
    [sqlite().await, postgres().await]
}

fn position(seq: i64, driver: &str, at: Timestamp) -> Pulled {
    let position = json!({
        "seq": seq, "namespace": "acme", "driver": driver, "at": at, "recordedAt": at, "latitude": 43.65,
        "longitude": -79.38 + seq as f64 / 1e6, "accuracyMeters": 5.0, "source": "me",
    });
    serde_json::from_value(position).unwrap()
}

fn everything() -> Between {
    Between { from: Timestamp::MIN, to: Timestamp::MAX, recorded_since: Timestamp::MIN, limit: 10_000 }
}

#[tokio::test]
async fn a_piece_of_the_sequence_is_taken_in_once_whoever_brings_it() {
    for Kept { store, _folder, database: _database } in both().await {
        let piece: Vec<Pulled> = (1..=1_234).map(|seq| position(seq, "sam", at(seq))).collect();
        assert_eq!(store.append(0, 1_234, &piece).await.unwrap(), Appended::Kept);
        assert_eq!(store.progress().await.unwrap(), 1_234);
        // A leader that lost its lease comes with the same piece, or with one that does not follow.
        assert_eq!(store.append(0, 1_234, &piece).await.unwrap(), Appended::Elsewhere);
        assert_eq!(store.append(99, 2_000, &[position(2_000, "sam", at(0))]).await.unwrap(), Appended::Elsewhere);
        // The sequence began anew, and brings what is there already.
        assert_eq!(store.append(1_234, 10, &piece[..10]).await.unwrap(), Appended::Kept);
        let kept = store.positions("acme", "sam", everything()).await.unwrap();
        assert_eq!(kept.len(), 1_234);
        assert!(kept.is_sorted_by_key(|position| position.at));
        assert_eq!(kept[0].detail, piece[0].detail);
        assert!((kept[9].longitude - piece[9].longitude).abs() < 1e-7, "to a centimetre");
        store.close().await;
    }
}

#[tokio::test]
async fn a_part_of_a_drivers_history_is_read_by_time_and_nobody_elses() {
    for Kept { store, _folder, database: _database } in both().await {
        let mut piece: Vec<Pulled> = (1..=100).map(|seq| position(seq, "sam", at(seq * 60))).collect();
        piece.push(position(101, "kim", at(60)));
        store.append(0, 101, &piece).await.unwrap();
        let between = Between { from: at(600), to: at(1200), ..everything() };
        let seconds = |kept: Vec<dropmate_tracking::store::Kept>| -> Vec<i64> {
            kept.iter().map(|position| position.at.duration_since(noon()).as_secs()).collect()
        };
        let tenth = store.positions("acme", "sam", between).await.unwrap();
        assert_eq!(seconds(tenth), (10..20).map(|minute| minute * 60).collect::<Vec<_>>());
        let newest = store.positions("acme", "sam", Between { limit: 2, ..everything() }).await.unwrap();
        assert_eq!(seconds(newest), [5940, 6000]);
        let told_late = Between { recorded_since: at(5970), ..everything() };
        assert_eq!(seconds(store.positions("acme", "sam", told_late).await.unwrap()), [6000]);
        assert_eq!(store.newest("acme", "sam", Timestamp::MIN).await.unwrap().unwrap().at, at(6000));
        assert_eq!(store.newest("acme", "lee", Timestamp::MIN).await.unwrap(), None);
        assert_eq!(store.fixes("acme", "sam", at(5900), Timestamp::MIN).await.unwrap().len(), 2);
        // Of a Driver made after they were recorded, they are not.
        assert_eq!(store.newest("acme", "sam", Timestamp::MAX).await.unwrap(), None);
        store.close().await;
    }
}

fn said(uid: &str, key: &str, seconds: i64, corrected: bool) -> Said {
    let entry = Entry { corrected, ..Entry::seen(key.to_owned(), at(seconds), "Late", json!({"n": seconds})) };
    Said { uid: uid.to_owned(), namespace: "acme".to_owned(), name: "o-1".to_owned(), entry }
}

#[tokio::test]
async fn an_entry_is_new_once_and_corrected_only_if_it_is_a_fact() {
    for Kept { store, _folder, database: _database } in both().await {
        let first = [said("a", "fact", 10, true), said("a", "seen", 20, false), said("b", "fact", 5, true)];
        let new = store.say(&first, at(100)).await.unwrap();
        assert_eq!(new.len(), 3);
        assert!(store.say(&first, at(101)).await.unwrap().is_empty(), "said again it is not new");
        let corrected = [said("a", "fact", 30, true), said("a", "seen", 40, false), said("a", "more", 1, false)];
        let new = store.say(&corrected, at(102)).await.unwrap();
        assert_eq!(new, [("a".to_owned(), "more".to_owned())]);
        let times = |lines: Vec<dropmate_tracking::store::Line>| -> Vec<Timestamp> {
            lines.iter().map(|line| line.at).collect()
        };
        assert_eq!(times(store.timeline("acme", "o-1", Some("a")).await.unwrap()), [at(1), at(20), at(30)]);
        assert_eq!(times(store.timeline("acme", "o-1", Some("b")).await.unwrap()), [at(5)]);
        // Without a uid it is the order of that name that was told of last.
        assert_eq!(times(store.timeline("acme", "o-1", None).await.unwrap()), [at(1), at(20), at(30)]);
        assert!(store.timeline("bolt", "o-1", Some("a")).await.unwrap().is_empty());
        let many: Vec<Said> = (0..450).map(|n| said("c", &format!("k{n}"), n, false)).collect();
        assert_eq!(store.say(&many, at(103)).await.unwrap().len(), 450);
        store.close().await;
    }
}

#[tokio::test]
async fn what_is_old_goes_and_what_is_not_stays() {
    for Kept { store, _folder, database: _database } in both().await {
        let day = SignedDuration::from_hours(24);
        let piece: Vec<Pulled> = (0..40).map(|n| position(n + 1, "sam", noon() - day * (n as i32))).collect();
        store.append(0, 40, &piece).await.unwrap();
        store.say(&[said("a", "k", 0, false)], noon()).await.unwrap();
        assert!(store.tidy(noon(), noon()).await.unwrap() > 0);
        let kept = store.positions("acme", "sam", everything()).await.unwrap();
        assert!((30..=31).contains(&kept.len()), "{}", kept.len());
        assert!(kept.iter().all(|position| position.at >= noon() - day * 31));
        assert_eq!(store.timeline("acme", "o-1", None).await.unwrap().len(), 1);
        assert_eq!(store.tidy(noon(), noon()).await.unwrap(), 0, "once is enough");
        assert!(store.tidy(noon(), noon() + day * 200).await.unwrap() > 0);
        assert!(store.timeline("acme", "o-1", None).await.unwrap().is_empty());
        // A day that was dropped may come again.
        let late = position(41, "sam", noon() - day * 39);
        store.append(40, 41, &[late]).await.unwrap();
        assert_eq!(store.positions("acme", "sam", everything()).await.unwrap().len(), kept.len() + 1);
        store.close().await;
    }
}

#[tokio::test]
async fn in_postgresql_each_day_is_a_partition_which_two_processes_may_make_at_once() {
    let kept = postgres().await;
    let database = kept.database.as_ref().unwrap();
    let other = Store::postgres(&database.url()).await.unwrap();
    let hours = SignedDuration::from_hours(1);
    let (first, second) = (
        [position(1, "sam", noon()), position(2, "sam", noon() + 13 * hours)],
        [position(3, "sam", noon() + hours), position(4, "sam", noon() + 14 * hours)],
    );
    let (one, two) = tokio::join!(kept.store.append(0, 2, &first), other.append(0, 4, &second));
    let mut outcomes = [one.unwrap(), two.unwrap()];
    outcomes.sort_by_key(|outcome| format!("{outcome:?}"));
    assert_eq!(outcomes, [Appended::Elsewhere, Appended::Kept]);
    database
        .execute("SELECT 1 / (count(*) = 2)::int FROM pg_inherits WHERE inhparent = 'tracking.positions'::regclass")
        .await;
    database.execute("SELECT 1 FROM tracking.positions_20261123").await;
    database.execute("SELECT 1 FROM tracking.positions_20261124").await;
    other.close().await;
    kept.store.close().await;
}
