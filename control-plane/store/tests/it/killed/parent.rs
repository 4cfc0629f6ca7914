//! The parent: starts the children, listens, kills them and their database in the middle, and starts them again.

use std::{
    io::{BufRead, BufReader, Write as _},
    process::{Child, ChildStdin, Command as Process, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    time::{Duration, Instant},
};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{
    checker::{Change, Seen},
    load::{self, Command},
};
use dropmate_testing::PostgresServer;

use crate::it::faulty::Fault;

pub(crate) struct Run<'a> {
    /// The folder or URL of the log.
    pub(crate) place: &'a str,
    /// To be killed as well, at every fourth kill.
    pub(crate) server: Option<&'a PostgresServer>,
    pub(crate) replicas: usize,
    pub(crate) watchers: usize,
    pub(crate) kills: usize,
    /// Goes on until so many writes are acknowledged.
    pub(crate) writes: usize,
    pub(crate) seed: u64,
    pub(crate) fault: Fault,
    /// How long the watchers have to come to the end, from when one of them last said something.
    pub(crate) patience: Duration,
}

/// How many lines come between two kills: from none after a start to well into the load. Times the replicas.
const LINES: std::ops::Range<usize> = 0..600;
/// A database is away for up to this long.
const AWAY: std::ops::Range<u64> = 0..1_200;
/// If nobody says anything for this long, the next kill comes all the same.
const SILENCE: Duration = Duration::from_secs(3);
/// How long a child that has been killed may take to be there again, its database as well.
const BACK_WITHIN: Duration = Duration::from_mins(1);

pub(crate) fn run(run: &Run<'_>) -> Seen {
    let (said, lines) = channel();
    let mut parent = Parent {
        run,
        random: ChaCha8Rng::seed_from_u64(run.seed),
        said,
        seen: Seen { events: vec![Vec::new(); run.watchers], ..Seen::default() },
        replicas: Vec::new(),
        hosts: Vec::new(),
        lives: 0,
    };
    for slot in 0..run.replicas {
        let replica = parent.start(slot);
        parent.replicas.push(replica);
    }
    for watcher in 0..run.watchers {
        let host = watcher % run.replicas;
        parent.hosts.push(host);
        parent.replicas[host].ask(&Command::Watch(watcher, 0));
    }
    parent.kill_under_load(&lines);
    parent.come_to_the_end(&lines);
    parent.seen
}

/// What a replica said; at last that it has ended.
type Said = (usize, Option<String>);

struct Parent<'a> {
    run: &'a Run<'a>,
    random: ChaCha8Rng,
    said: Sender<Said>,
    seen: Seen,
    replicas: Vec<Replica>,
    /// On which replica each watcher is.
    hosts: Vec<usize>,
    lives: usize,
}

/// A child, in one of its lives.
struct Replica {
    child: Child,
    asks: ChildStdin,
    killed: bool,
    stopped: bool,
    /// The newest revision that anybody had seen when it was started.
    known: u64,
}

impl Replica {
    fn ask(&mut self, command: &Command) {
        // One that is being killed hears nothing, and its watchers are taken up elsewhere.
        let _ = self.asks.write_all(format!("{command}\n").as_bytes());
    }

    /// SIGKILL. What is in the pipe by then was said by a living child, and is read on.
    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.killed = true;
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Parent<'_> {
    fn start(&mut self, slot: usize) -> Replica {
        self.lives += 1;
        let mut child = Process::new(std::env::current_exe().unwrap())
            .args(["--exact", load::NAME, "--nocapture"])
            .env(load::PLACE, self.run.place)
            .env(load::LIFE, format!("{slot}.{}", self.lives))
            .env(load::FAULT, format!("{:?}", self.run.fault))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let asks = child.stdin.take().unwrap();
        let mut pipe = BufReader::new(child.stdout.take().unwrap());
        let said = self.said.clone();
        std::thread::spawn(move || {
            let mut line = String::new();
            while pipe.read_line(&mut line).is_ok_and(|read| read > 0) {
                // A line without an end was cut by the kill. What the test runner says stands before the mark.
                if let Some((_, ours)) = line.strip_suffix('\n').and_then(|line| line.split_once("> "))
                    && said.send((slot, Some(ours.to_owned()))).is_err()
                {
                    return;
                }
                line.clear();
            }
            let _ = said.send((slot, None));
        });
        Replica { child, asks, killed: false, stopped: false, known: self.seen.newest() }
    }

    fn kill_under_load(&mut self, lines: &Receiver<Said>) {
        let mut left = self.lines_to_the_next_kill();
        while self.kills() < self.run.kills || self.seen.written.len() < self.run.writes {
            match lines.recv_timeout(SILENCE) {
                Ok(said) => self.hear(said),
                Err(RecvTimeoutError::Timeout) => left = 0,
                Err(RecvTimeoutError::Disconnected) => unreachable!("the parent has a sender"),
            }
            if left > 0 {
                left -= 1;
                continue;
            }
            left = self.lines_to_the_next_kill();
            if self.random.random_bool(0.3) {
                self.move_a_watcher();
            }
            if self.kills() < self.run.kills {
                self.kill_somebody();
            }
        }
    }

    fn kills(&self) -> usize {
        self.seen.kills + self.seen.database_kills
    }

    fn lines_to_the_next_kill(&mut self) -> usize {
        self.random.random_range(LINES) * self.run.replicas
    }

    fn kill_somebody(&mut self) {
        if let Some(server) = self.run.server.filter(|_| self.kills() % 4 == 3) {
            server.kill();
            std::thread::sleep(Duration::from_millis(self.random.random_range(AWAY)));
            server.start_again();
            self.seen.database_kills += 1;
            return;
        }
        let slot = self.random.random_range(0..self.run.replicas);
        if !self.replicas[slot].killed {
            self.replicas[slot].kill();
            self.seen.kills += 1;
        }
    }

    fn move_a_watcher(&mut self) {
        let watcher = self.random.random_range(0..self.run.watchers);
        let host = self.hosts[watcher];
        if self.run.replicas > 1 && !self.replicas[host].killed {
            self.replicas[host].ask(&Command::Leave(watcher));
            self.seen.moves += 1;
        }
    }

    /// Takes a watcher up where another replica lives, at what it saw last.
    fn take_up(&mut self, watcher: usize) {
        let living: Vec<_> = (0..self.run.replicas).filter(|slot| !self.replicas[*slot].killed).collect();
        let others: Vec<_> = living.iter().copied().filter(|slot| *slot != self.hosts[watcher]).collect();
        // The only one has just been started again.
        let choice = if others.is_empty() { &living } else { &others };
        let host = choice[self.random.random_range(0..choice.len())];
        let after = self.seen.events[watcher].last().map_or(0, |event| event.revision);
        self.hosts[watcher] = host;
        self.replicas[host].ask(&Command::Watch(watcher, after));
    }

    fn hear(&mut self, (slot, line): Said) {
        let Some(line) = line else {
            assert!(self.replicas[slot].killed, "a child ended by itself");
            self.replicas[slot] = self.start(slot);
            for watcher in 0..self.run.watchers {
                if self.hosts[watcher] == slot {
                    self.take_up(watcher);
                }
            }
            return;
        };
        self.note(slot, &line);
    }

    fn note(&mut self, slot: usize, line: &str) {
        let change = |revision: &str, name: &str, word: &str, kind: &str| Change {
            revision: revision.parse().unwrap(),
            name: name.into(),
            word: word.into(),
            deleted: kind == "deleted",
        };
        match line.split(' ').collect::<Vec<_>>()[..] {
            ["start", revision] => {
                let start = (revision.parse().unwrap(), self.replicas[slot].known);
                self.seen.starts.push(start);
            }
            ["written", revision, name, word, kind] => self.seen.written.push(change(revision, name, word, kind)),
            ["refused", word, "unknown"] => self.seen.unknown.push(word.into()),
            ["refused", word, why] => self.seen.refused.push((word.into(), why.into())),
            ["event", watcher, revision, name, word, kind] => {
                let watcher: usize = watcher.parse().unwrap();
                assert_eq!(self.hosts[watcher], slot, "a watcher is in two places");
                self.seen.events[watcher].push(change(revision, name, word, kind));
            }
            ["left", watcher] => self.take_up(watcher.parse().unwrap()),
            ["stopped"] => self.replicas[slot].stopped = true,
            _ => panic!("the child said {line}"),
        }
    }

    /// Ends the writing and lets the watchers come to its end.
    fn come_to_the_end(&mut self, lines: &Receiver<Said>) {
        let mut asked = false;
        let mut give_up_at = Instant::now() + BACK_WITHIN;
        while Instant::now() < give_up_at {
            if !asked && self.replicas.iter().all(|replica| !replica.killed) {
                self.replicas.iter_mut().for_each(|replica| replica.ask(&Command::Stop));
                asked = true;
            }
            let newest = self.seen.newest_watched();
            let all_there = || {
                let last = |events: &Vec<Change>| events.last().map_or(0, |event| event.revision);
                self.seen.events.iter().all(|events| last(events) >= newest)
            };
            if asked && self.replicas.iter().all(|replica| replica.stopped) && all_there() {
                return;
            }
            if let Ok(said) = lines.recv_timeout(Duration::from_millis(100)) {
                self.hear(said);
                let stopped = self.replicas.iter().all(|replica| replica.stopped);
                give_up_at = Instant::now() + if stopped { self.run.patience } else { BACK_WITHIN };
            }
        }
    }
}
