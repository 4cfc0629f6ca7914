//! The parent: starts the child, listens, kills it in the middle, and starts it again.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{
    checker::{Change, Seen},
    load,
};
use crate::it::faulty::Fault;

pub(crate) struct Run<'a> {
    pub(crate) dir: &'a Path,
    pub(crate) kills: usize,
    pub(crate) seed: u64,
    pub(crate) fault: Fault,
}

/// The child lives until it has said this many lines: from none after its start to well into the load.
const LINES: std::ops::Range<usize> = 0..600;

pub(crate) fn run(run: &Run<'_>) -> Seen {
    let mut random = ChaCha8Rng::seed_from_u64(run.seed);
    let mut seen = Seen::default();
    for _ in 0..run.kills {
        let resume = seen.events.iter().map(|event| event.revision).max().unwrap_or(0);
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", load::NAME, "--nocapture"])
            .env(load::DIR, run.dir)
            .env(load::AFTER, resume.to_string())
            .env(load::FAULT, format!("{:?}", run.fault))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let lines = random.random_range(LINES);
        let mut said = 0;
        let mut pipe = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        while pipe.read_line(&mut line).unwrap() > 0 {
            // A line without an end was cut by the kill. What the test runner says stands before the mark.
            if let Some((_, ours)) = line.strip_suffix('\n').and_then(|line| line.split_once("> ")) {
                note(&mut seen, ours);
                said += 1;
                if said == lines + 1 {
                    // SIGKILL. What is in the pipe by then was said by a living child, and is read on.
                    child.kill().unwrap();
                }
            }
            line.clear();
        }
        assert!(said > lines, "the child ended by itself");
        child.wait().unwrap();
    }
    seen
}

fn note(seen: &mut Seen, line: &str) {
    let words: Vec<_> = line.split(' ').collect();
    let revision = words[1].parse().unwrap();
    if words[0] == "start" {
        seen.starts.push((revision, seen.events.len()));
        return;
    }
    let change = Change { revision, name: words[2].into(), word: words[3].into(), deleted: words[4] == "deleted" };
    match words[0] {
        "written" => seen.written.push(change),
        "event" => seen.events.push(change),
        other => panic!("the child said {other}"),
    }
}
