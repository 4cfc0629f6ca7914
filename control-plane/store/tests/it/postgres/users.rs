//! Writers, readers and a watcher who go on whatever happens, and an account of what they met.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use dropmate_store::{At, Backend, Postgres, ReadError, Revision, Store, WriteError};
use futures::future::join_all;
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::it::fixture::{Follower, create, everything, key};

pub(crate) const WRITERS: usize = 4;
/// What a client is promised, and what a machine that is busy with other tests may add.
pub(crate) const ANSWERED_WITHIN: Duration = Duration::from_millis(5_000 + 500);
/// From the end of a fault to the first answer that is none of it.
const HEALED_WITHIN: Duration = Duration::from_secs(10);

pub(crate) struct Users {
    store: Store,
    url: String,
    pace: Duration,
    stop: CancellationToken,
    writers: Vec<JoinHandle<()>>,
    reader: JoinHandle<usize>,
    outcomes: Arc<Mutex<Vec<(String, Outcome, Duration)>>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Written,
    Unavailable,
    Unknown,
}

/// What they met.
#[derive(Debug)]
pub(crate) struct Account {
    pub(crate) written: usize,
    /// Writes that were refused because the database was away.
    pub(crate) unavailable: usize,
    pub(crate) unknown: usize,
    /// Reads that must see the newest and could not.
    pub(crate) unread: usize,
    /// The longest wait for the outcome of a write.
    pub(crate) slowest: Duration,
}

impl Users {
    /// Each of the writers pauses for `pace` between two writes.
    pub(crate) fn of(store: &Store, url: &str, pace: Duration) -> Self {
        let stop = CancellationToken::new();
        let outcomes = Arc::default();
        let writers = (0..WRITERS).map(|writer| {
            tokio::spawn(write(store.clone(), writer, usize::MAX, pace, stop.clone(), Arc::clone(&outcomes)))
        });
        let writers = writers.collect();
        let reader = tokio::spawn(read(store.clone(), stop.clone()));
        Self { store: store.clone(), url: url.into(), pace, stop, writers, reader, outcomes }
    }

    /// Somebody writes once, whatever the others wait for.
    pub(crate) fn come_by(&mut self) {
        let (writer, outcomes) = (self.writers.len(), self.outcomes.clone());
        let writing = write(self.store.clone(), writer, 1, self.pace, self.stop.clone(), outcomes);
        self.writers.push(tokio::spawn(writing));
    }

    /// Once the fault is over: waits until writes and reads go through, ends, and checks the account against the log.
    pub(crate) async fn account(self) -> Account {
        let since = Instant::now();
        let name = format!("healed-{since:?}");
        loop {
            let read = self.store.list(&everything(), At::Latest, None, Some(1)).await;
            let written = match &read {
                Ok(_) => self.store.write(create(&name, "{}")).await.map(|_| ()),
                Err(error) => Err(WriteError::Unavailable(error.to_string())),
            };
            match written {
                Ok(()) | Err(WriteError::Exists(_)) => break,
                Err(error) => assert!(since.elapsed() < HEALED_WITHIN, "it does not heal: {error}"),
            }
            sleep(self.pace).await;
        }
        self.stop.cancel();
        join_all(self.writers).await.into_iter().for_each(|ended| ended.unwrap());
        let unread = self.reader.await.unwrap();

        let log = log(&self.url).await;
        let outcomes = self.outcomes.lock().unwrap();
        for (name, outcome, _) in outcomes.iter() {
            let times = log.get(name).copied().unwrap_or(0);
            match outcome {
                Outcome::Written => assert_eq!(times, 1, "{name} was acknowledged"),
                Outcome::Unavailable => assert_eq!(times, 0, "{name} was refused"),
                Outcome::Unknown => assert!(times <= 1, "{name} was written twice"),
            }
        }
        let count = |wanted| outcomes.iter().filter(|(_, outcome, _)| *outcome == wanted).count();
        let account = Account {
            written: count(Outcome::Written),
            unavailable: count(Outcome::Unavailable),
            unknown: count(Outcome::Unknown),
            unread,
            slowest: outcomes.iter().map(|(.., took)| *took).max().unwrap_or_default(),
        };
        eprintln!("{account:?}");
        account
    }
}

async fn write(
    store: Store,
    writer: usize,
    rounds: usize,
    pace: Duration,
    stop: CancellationToken,
    outcomes: Arc<Mutex<Vec<(String, Outcome, Duration)>>>,
) {
    for round in 0..rounds {
        if stop.is_cancelled() {
            return;
        }
        let name = format!("{writer}-{round}");
        let since = Instant::now();
        let answer = timeout(ANSWERED_WITHIN, store.write(create(&name, "{}"))).await;
        let outcome = match answer.unwrap_or_else(|_| panic!("{name} has no answer after {ANSWERED_WITHIN:?}")) {
            Ok(_) => Outcome::Written,
            Err(WriteError::Unavailable(_)) => Outcome::Unavailable,
            Err(WriteError::Unknown(_)) => Outcome::Unknown,
            Err(error) => panic!("{name}: {error}"),
        };
        outcomes.lock().unwrap().push((name, outcome, since.elapsed()));
        sleep(pace).await;
    }
}

/// Reads what is in memory, which never fails, and what is newest, which may. How often it did.
async fn read(store: Store, stop: CancellationToken) -> usize {
    let mut unread = 0;
    while !stop.is_cancelled() {
        store.get(&key("0-0"), At::Any).await.expect("what is in memory can be read");
        let answer = timeout(ANSWERED_WITHIN, store.get(&key("0-0"), At::Latest)).await;
        match answer.unwrap_or_else(|_| panic!("a read has no answer after {ANSWERED_WITHIN:?}")) {
            Ok(_) => {}
            Err(ReadError::Unavailable(_)) => unread += 1,
            Err(error) => panic!("{error}"),
        }
        sleep(Duration::from_millis(20)).await;
    }
    unread
}

/// How often each name was created.
async fn log(url: &str) -> BTreeMap<String, usize> {
    let backend = Postgres::open(url).await.unwrap();
    let newest = backend.newest().await.unwrap();
    let (mut names, mut after) = (BTreeMap::new(), 0);
    while after < newest {
        let piece = backend.entries(None, after, newest, 10_000).await.unwrap();
        after = piece.upto;
        for entry in piece.entries {
            *names.entry(entry.event.object.key.name.clone()).or_default() += 1;
        }
    }
    backend.close().await;
    names
}

/// A watcher who was there before the fault, and is asked afterwards whether everything came once and in order.
pub(crate) struct Witness {
    seen: Arc<Mutex<Vec<Revision>>>,
    watching: JoinHandle<()>,
}

impl Witness {
    pub(crate) async fn of(store: &Store) -> Self {
        let mut follower = Follower::new(store, everything(), 0).await;
        let seen = Arc::<Mutex<Vec<_>>>::default();
        let noted = seen.clone();
        let watching = tokio::spawn(async move {
            loop {
                let event = follower.watch.next().await.expect("a stream goes on").expect("a stream does not fail");
                noted.lock().unwrap().push(event.revision);
            }
        });
        Self { seen, watching }
    }

    pub(crate) async fn has_seen_everything(self, store: &Store) {
        let page = store.list(&everything(), At::Latest, None, None).await.unwrap();
        let mut there: Vec<_> = page.objects.iter().map(|object| object.revision).collect();
        there.sort_unstable();
        let newest = there.last().copied();
        let since = Instant::now();
        while self.seen.lock().unwrap().last().copied() < newest {
            assert!(since.elapsed() < HEALED_WITHIN && !self.watching.is_finished(), "the watcher stays behind");
            sleep(Duration::from_millis(10)).await;
        }
        self.watching.abort();
        assert_eq!(*self.seen.lock().unwrap(), there);
    }
}
