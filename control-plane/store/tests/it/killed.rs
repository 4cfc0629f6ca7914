//! Kill -9 under load, again and again: every acknowledged write is there, and every watch event was seen once and in
//! order. The parent is the truth: it keeps what came through the pipe before each kill.
//!
//! Killing a process shows what is acknowledged too early; that a commit reaches the disk is `synchronous = FULL`.

use std::sync::Arc;

use dropmate_store::Sqlite;
use tempfile::tempdir;

use super::faulty::Fault;

mod checker;
mod load;
mod parent;

use checker::{Violation, check};
use parent::{Run, run};

const KILLS: usize = 25;

#[test]
fn no_kill_loses_an_acknowledged_write_or_tears_a_watch() {
    let dir = tempdir().unwrap();
    let seen = run(&Run { dir: dir.path(), kills: KILLS, seed: 1, fault: Fault::None });
    let log = log(dir.path());
    let violations = check(&seen, &log);
    assert!(violations.is_empty(), "{violations:#?}");

    assert_eq!(seen.starts.len(), KILLS);
    assert!(seen.written.len() > KILLS, "the kills came before the writes");
    assert!(seen.events.len() > KILLS, "the kills came before the events");
    let unanswered = log.len() - seen.written.len();
    assert!(unanswered > 0, "no kill came between a commit and its answer: the writes were not under load");
}

#[test]
fn an_answer_before_the_commit_is_found() {
    let violations = violations_of(Fault::AnswersBeforeCommit);
    assert!(violations.iter().any(|violation| matches!(violation, Violation::Lost { .. })), "{violations:#?}");
}

#[test]
fn a_gap_in_a_resumed_watch_is_found() {
    let violations = violations_of(Fault::ResumesOneLate);
    assert!(violations.iter().any(|violation| matches!(violation, Violation::Missed { .. })), "{violations:#?}");
}

#[test]
fn a_doubled_event_in_a_resumed_watch_is_found() {
    let violations = violations_of(Fault::ResumesOneEarly);
    assert!(violations.iter().any(|violation| matches!(violation, Violation::OutOfOrder { .. })), "{violations:#?}");
}

fn violations_of(fault: Fault) -> Vec<Violation> {
    let dir = tempdir().unwrap();
    let seen = run(&Run { dir: dir.path(), kills: 6, seed: 2, fault });
    check(&seen, &log(dir.path()))
}

/// The whole log, as the next start finds it.
fn log(dir: &std::path::Path) -> Vec<dropmate_store::Entry> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let backend: Arc<dyn dropmate_store::Backend> = Arc::new(Sqlite::open(&dir.join("control.db")).await.unwrap());
        let newest = backend.newest().await.unwrap();
        let (mut log, mut after) = (Vec::new(), 0);
        while after < newest {
            let piece = backend.entries(None, after, newest, 10_000).await.unwrap();
            after = piece.upto;
            log.extend(piece.entries);
        }
        checker::assert_present_is_the_sum_of_the_log(&backend.load().await.unwrap(), &log);
        backend.close().await;
        log
    })
}
