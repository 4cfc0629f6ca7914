//! Kill -9 under load, again and again, of the processes and of their database: every acknowledged write is there, none
//! that was refused is, every watcher saw every event once and in order on however many replicas it was, and nobody
//! bound without holding the Lease. The parent is the truth: it keeps what came through the pipes before each kill.
//!
//! Killing a process shows what is acknowledged too early; that a commit reaches the disk is `synchronous = FULL` in
//! SQLite and `fsync` in PostgreSQL.
//!
//! `DROPMATE_TEST_KILLS=50` makes the runs on PostgreSQL that long, with 200 acknowledged writes for each kill:
//! `DROPMATE_TEST_KILLS=50 cargo nextest run -p dropmate-store --no-capture no_kill_of`.

use std::{collections::BTreeSet, path::Path, sync::Arc, time::Duration};

use dropmate_store::{Backend, Entry, Postgres, Snapshot, Sqlite};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tempfile::tempdir;

use super::{database::Database, faulty::Fault, server};

mod checker;
mod load;
mod parent;

use checker::{Seen, Violation, check};
use parent::{Run, run};

/// How often a planted fault has the chance to show. Almost every run shows it, unless the machine is so busy that too
/// little happens at once.
const RUNS: u64 = 20;
/// How long a planted fault is waited for which may keep a watcher from ever coming to the end.
const BRIEF: Duration = Duration::from_secs(2);
/// Names the number of kills of a full-size run.
const KILLS: &str = "DROPMATE_TEST_KILLS";
/// Acknowledged writes for each kill: 50 kills come to 10,000.
const WRITES_PER_KILL: usize = 200;

#[test]
fn no_kill_loses_an_acknowledged_write_or_tears_a_watch() {
    const KILLS: usize = 25;
    let dir = tempdir().unwrap();
    let place = dir.path().to_str().unwrap();
    let seen = run(&Run { kills: KILLS, ..short(place, 1) });
    assert_nothing_is_wrong(&seen, place);
    assert_eq!(seen.starts.len(), KILLS + 1);
}

#[test]
fn no_kill_of_a_process_or_of_its_postgres_loses_a_write_or_tears_a_watch() {
    killed_on_postgres(1);
}

#[test]
fn no_kill_of_three_processes_or_of_their_postgres_loses_a_write_or_tears_a_watch() {
    let seen = killed_on_postgres(3);
    assert!(seen.moves > 0, "no watcher went to another replica without need");
}

fn killed_on_postgres(replicas: usize) -> Seen {
    let kills = std::env::var(KILLS).map_or(8, |kills| kills.parse().expect("a number of kills"));
    let server = block_on(server::start(&[]));
    let seen = run(&Run {
        server: Some(&server),
        replicas,
        watchers: 3,
        kills,
        writes: kills * WRITES_PER_KILL,
        ..short(server.url(), replicas as u64)
    });
    assert_nothing_is_wrong(&seen, server.url());
    assert_eq!(seen.database_kills, kills / 4);
    assert_eq!(seen.kills + seen.database_kills, kills);
    assert!(seen.refused_for("guard") > 0, "no leader wrote without holding the Lease");
    assert!(seen.refused_for("exists") > 0, "no rivals met");
    assert!(seen.refused_for("unavailable") + seen.unknown.len() > 0, "nobody noticed that the database was away");
    seen
}

#[test]
fn an_answer_before_the_commit_is_found() {
    assert_found(Fault::AnswersBeforeCommit, |violation| matches!(violation, Violation::Lost { .. }));
}

#[test]
fn a_gap_in_a_resumed_watch_is_found() {
    assert_found(Fault::ResumesOneLate, |violation| matches!(violation, Violation::Missed { .. }));
}

#[test]
fn a_doubled_event_in_a_resumed_watch_is_found() {
    assert_found(Fault::ResumesOneEarly, |violation| matches!(violation, Violation::OutOfOrder { .. }));
}

/// Runs until the violation shows: whether a kill comes at the right moment is chance.
fn assert_found(fault: Fault, is_it: impl Fn(&Violation) -> bool) {
    let found = (1..=RUNS).any(|seed| {
        let dir = tempdir().unwrap();
        let place = dir.path().to_str().unwrap();
        let seen = run(&Run { kills: 6, fault, patience: BRIEF, ..short(place, seed) });
        violations(&seen, place).iter().any(&is_it)
    });
    assert!(found, "{fault:?} stayed hidden");
}

/// The database answers before its commit is on the disk, which shows when it is killed.
#[test]
fn an_answer_of_postgres_before_its_commit_is_found() {
    // Nothing but a full buffer makes it write what it has said is committed.
    let settings = ["synchronous_commit = off", "wal_writer_delay = 10s", "wal_writer_flush_after = 1GB"];
    // The last of the kills is the database's. Whether it comes before the buffer of itself reaches the disk is chance.
    let kills = 4;
    let found = (1..=RUNS).any(|seed| {
        let server = block_on(server::start(&settings));
        let seen = run(&Run { server: Some(&server), kills, patience: BRIEF, ..short(server.url(), seed) });
        assert_eq!(seen.database_kills, 1);
        violations(&seen, server.url()).iter().any(|violation| matches!(violation, Violation::Lost { .. }))
    });
    assert!(found, "no acknowledged write was lost");
}

/// Numbers from a sequence become visible out of order, and a follower goes past those that come late.
#[test]
fn revisions_from_a_sequence_are_found() {
    let found = (1..=RUNS).any(|seed| {
        let database = block_on(Database::create());
        block_on(take_numbers_from_a_sequence(&database.url()));
        let place = database.url();
        let seen = run(&Run { replicas: 3, watchers: 3, writes: 400, patience: BRIEF, ..short(&place, seed) });
        violations(&seen, &place).iter().any(|violation| matches!(violation, Violation::Missed { .. }))
    });
    assert!(found, "no watcher missed anything");
}

#[test]
fn an_unguarded_binding_is_found() {
    let found = (1..=RUNS).any(|seed| {
        let database = block_on(Database::create());
        let place = database.url();
        let seen = run(&Run { replicas: 2, writes: 400, fault: Fault::ForgetsGuards, ..short(&place, seed) });
        violations(&seen, &place).iter().any(|violation| matches!(violation, Violation::Unfenced { .. }))
    });
    assert!(found, "no binding was out of place");
}

/// A process alone, and its one watcher.
fn short(place: &str, seed: u64) -> Run<'_> {
    let patience = Duration::from_secs(20);
    Run { place, server: None, replicas: 1, watchers: 1, kills: 0, writes: 0, seed, fault: Fault::None, patience }
}

/// `control.commit_v1` as one might write it who does not know that a sequence's numbers are not committed in their
/// order: no lock on the counter, which only says how far the log goes. A thousand numbers a batch.
async fn take_numbers_from_a_sequence(url: &str) {
    let mut connection = PgConnection::connect(url).await.unwrap();
    let sequence = "CREATE SEQUENCE control.numbers INCREMENT BY 1000 MINVALUE 0";
    sqlx::query(sequence).execute(&mut connection).await.unwrap();
    let definition = "SELECT pg_get_functiondef('control.commit_v1'::regproc)";
    let mut function: String = sqlx::query_scalar(definition).fetch_one(&mut connection).await.unwrap();
    for (sound, naive) in [
        (
            "SELECT r.value, r.bytes INTO before, bytes_before FROM control.revision r FOR UPDATE;",
            "SELECT nextval('control.numbers'), r.bytes INTO before, bytes_before FROM control.revision r;",
        ),
        ("SET value = newest,", "SET value = greatest(value, newest),"),
    ] {
        assert!(function.contains(sound), "the function has another text now: {function}");
        function = function.replace(sound, naive);
    }
    sqlx::query(AssertSqlSafe(function)).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

fn violations(seen: &Seen, place: &str) -> Vec<Violation> {
    let (log, snapshot) = block_on(log(place));
    check(seen, &log, &snapshot)
}

fn assert_nothing_is_wrong(seen: &Seen, place: &str) {
    let (log, snapshot) = block_on(log(place));
    let violations = check(seen, &log, &snapshot);
    let words: BTreeSet<_> = log.iter().map(|entry| checker::word(&entry.event.object.body)).collect();
    let found = seen.unknown.iter().filter(|word| words.contains(*word)).count();
    eprintln!(
        "{} kills, {} kills of the database, {} moves; {} acknowledged, {} refused ({} unavailable, {} by a guard), \
         {} unknown of which {found} were written, {} in the log; each watcher saw {:?} events",
        seen.kills,
        seen.database_kills,
        seen.moves,
        seen.written.len(),
        seen.refused.len(),
        seen.refused_for("unavailable"),
        seen.refused_for("guard"),
        seen.unknown.len(),
        log.len(),
        seen.events.iter().map(Vec::len).collect::<Vec<_>>(),
    );
    assert!(
        violations.is_empty(),
        "{} violations, the first: {:#?}",
        violations.len(),
        &violations[..violations.len().min(5)]
    );

    let kills = seen.kills + seen.database_kills;
    assert!(seen.written.len() > kills, "the kills came before the writes");
    assert!(seen.events.iter().all(|events| events.len() > kills), "the kills came before the events");
    let unanswered = log.len() - seen.written.len();
    assert!(unanswered > 0, "no kill came between a commit and its answer: the writes were not under load");
}

/// The whole log, as the next start finds it, and what that starts from.
async fn log(place: &str) -> (Vec<Entry>, Snapshot) {
    let backend = open(place).await.unwrap();
    let newest = backend.newest().await.unwrap();
    let (mut log, mut after) = (Vec::new(), 0);
    while after < newest {
        let piece = backend.entries(None, after, newest, 10_000).await.unwrap();
        after = piece.upto;
        log.extend(piece.entries);
    }
    let snapshot = backend.load().await.unwrap();
    backend.close().await;
    (log, snapshot)
}

/// The backend at a folder or at a URL.
async fn open(place: &str) -> anyhow::Result<Arc<dyn Backend>> {
    if place.starts_with("postgres://") {
        return Ok(Arc::new(Postgres::open(place).await?));
    }
    Ok(Arc::new(Sqlite::open(&Path::new(place).join("control.db")).await?))
}

fn block_on<T>(op: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(op)
}
