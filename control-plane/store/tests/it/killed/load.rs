//! The child: writers, rival leaders and watchers that tell through a pipe what they were answered and saw, until they
//! are killed.

use std::{
    collections::HashMap,
    io::{BufRead, Write as _, stdin, stdout},
    str::FromStr,
    time::Duration,
};

use dropmate_store::{At, Expect, Key, Options, Revision, Store, Write, WriteError};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::json;
use tokio::{sync::mpsc, time::sleep};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{checker, open};
use crate::it::{
    faulty::{Fault, Faulty},
    fixture::{Clock, create, delete, everything, guard, guarded, key, key_in, put, update},
};

/// Set for the child: where the log is. The other two come with it.
pub(crate) const PLACE: &str = "DROPMATE_TEST_KILLED_PLACE";
pub(crate) const LIFE: &str = "DROPMATE_TEST_KILLED_LIFE";
pub(crate) const FAULT: &str = "DROPMATE_TEST_KILLED_FAULT";
/// This test, as the parent calls it.
pub(crate) const NAME: &str = "it::killed::load::writers_left_alone_get_an_answer_to_everything";

/// The Lease that the leaders take from each other.
pub(crate) const LEASE: &str = "dispatch";
/// How the names of bindings begin.
pub(crate) const BOUND: &str = "bound-";

const WRITERS: usize = 16;
/// Names of each writer: few, so that most writes are changes and deletions.
const NAMES: usize = 8;
const LEADERS: usize = 2;
/// The leaders bind the order that is due, which is another after so many revisions: few enough for rivals to meet.
const REVISIONS_PER_ORDER: Revision = 32;
/// After a failure, before the next try.
const AGAIN: Duration = Duration::from_millis(20);

/// What the parent asks for through the pipe, a line each.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// Watch, as this watcher, what comes after the revision.
    Watch(usize, Revision),
    /// This watcher goes elsewhere.
    Leave(usize),
    /// Write no more.
    Stop,
}

impl std::fmt::Display for Command {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Watch(watcher, after) => write!(f, "watch {watcher} {after}"),
            Self::Leave(watcher) => write!(f, "leave {watcher}"),
            Self::Stop => write!(f, "stop"),
        }
    }
}

impl FromStr for Command {
    type Err = anyhow::Error;

    fn from_str(line: &str) -> Result<Self, Self::Err> {
        Ok(match line.split(' ').collect::<Vec<_>>()[..] {
            ["watch", watcher, after] => Self::Watch(watcher.parse()?, after.parse()?),
            ["leave", watcher] => Self::Leave(watcher.parse()?),
            ["stop"] => Self::Stop,
            _ => anyhow::bail!("the parent said {line}"),
        })
    }
}

/// Run by itself, the load ends after some writes. The parent runs it without an end, and kills it.
#[test]
fn writers_left_alone_get_an_answer_to_everything() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    if let Ok(place) = std::env::var(PLACE) {
        let life = std::env::var(LIFE).unwrap();
        let fault = std::env::var(FAULT).unwrap().parse().unwrap();
        runtime.block_on(live(&place, &life, fault));
    } else {
        runtime.block_on(async {
            let dir = tempfile::tempdir().unwrap();
            let store = start(dir.path().to_str().unwrap(), Fault::None).await.unwrap();
            let load = Load { store: store.clone(), life: "0".into(), stop: CancellationToken::new() };
            let tasks = load.start(10);
            tasks.wait().await;
            assert!(store.revision() >= 10 * WRITERS as Revision);
            store.close().await;
        });
    }
}

async fn start(place: &str, fault: Fault) -> anyhow::Result<Store> {
    let backend = open(place).await?;
    let backend = Faulty::new(backend, fault).await?;
    Ok(Store::open(backend, Clock::default().now(), Options::default()).await?)
}

async fn live(place: &str, life: &str, fault: Fault) {
    let mut commands = commands();
    let store = loop {
        match start(place, fault).await {
            Ok(store) => break store,
            // The database may have been killed as well.
            Err(error) => eprintln!("cannot start yet: {error:#}"),
        }
        sleep(AGAIN).await;
    };
    say(&format!("start {}", store.revision()));
    let load = Load { store: store.clone(), life: life.into(), stop: CancellationToken::new() };
    let tasks = load.start(usize::MAX);
    let mut watchers = HashMap::new();
    while let Some(command) = commands.recv().await {
        match command {
            Command::Watch(watcher, after) => {
                watchers.insert(watcher, tokio::spawn(watch(store.clone(), watcher, after)));
            }
            Command::Leave(watcher) => {
                if let Some(task) = watchers.remove(&watcher) {
                    task.abort();
                    // It has said its last.
                    let _ = task.await;
                }
                say(&format!("left {watcher}"));
            }
            Command::Stop => {
                load.stop.cancel();
                tasks.wait().await;
                say("stopped");
            }
        }
    }
}

/// What the parent asks for. Without a parent, nothing goes on.
fn commands() -> mpsc::UnboundedReceiver<Command> {
    let (heard, commands) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in stdin().lock().lines() {
            let command = line.ok().and_then(|line| line.parse().ok());
            if command.is_none_or(|command| heard.send(command).is_err()) {
                break;
            }
        }
        std::process::exit(1);
    });
    commands
}

/// Watches on for ever, whatever ends its stream.
async fn watch(store: Store, watcher: usize, mut after: Revision) {
    loop {
        if let Ok(mut watch) = store.watch(everything(), after).await {
            while let Some(Ok(event)) = watch.next().await {
                after = event.revision;
                let kind = if event.deleted { "deleted" } else { "put" };
                let word = checker::word(&event.object.body);
                say(&format!("event {watcher} {after} {} {word} {kind}", event.object.key.name));
            }
        }
        sleep(AGAIN).await;
    }
}

#[derive(Clone)]
struct Load {
    store: Store,
    /// No other life has this name.
    life: String,
    stop: CancellationToken,
}

impl Load {
    fn start(&self, rounds: usize) -> TaskTracker {
        let tasks = TaskTracker::new();
        for number in 0..WRITERS {
            let load = self.clone();
            tasks.spawn(async move { load.write_orders(number, rounds).await });
        }
        for number in 0..LEADERS {
            let load = self.clone();
            tasks.spawn(async move { load.lead(number, rounds).await });
        }
        tasks.close();
        tasks
    }

    fn chance(&self, number: usize) -> ChaCha8Rng {
        let seed = self.life.bytes().fold(number as u64, |seed, byte| seed * 31 + u64::from(byte));
        ChaCha8Rng::seed_from_u64(seed)
    }

    async fn write_orders(&self, number: usize, rounds: usize) {
        let mut random = self.chance(number);
        // Each writer of a replica has names of its own, which it keeps over its lives.
        let replica = self.life.split('.').next().unwrap();
        for round in 0..rounds {
            if self.stop.is_cancelled() {
                return;
            }
            let name = format!("{replica}-{number}-{}", random.random_range(0..NAMES));
            let word = format!("{}.{number}.{round}", self.life);
            let body = json!({"word": word, "text": "x".repeat(1_500)}).to_string();
            let Ok((held, _)) = self.store.get(&key(&name), At::Latest).await else {
                sleep(AGAIN).await;
                continue;
            };
            let change = match held {
                None => create(&name, &body),
                Some(object) if random.random_bool(0.2) => delete(&name, object.revision, &body),
                Some(object) => update(&name, object.revision, &body),
            };
            let _ = self.commit(change, &word).await;
        }
    }

    /// Takes the Lease from whoever has it, and binds for a while in the belief of holding it.
    async fn lead(&self, number: usize, rounds: usize) {
        let mut random = self.chance(WRITERS + number);
        let holder = format!("{}.leader-{number}", self.life);
        for round in 0..rounds {
            if self.stop.is_cancelled() {
                return;
            }
            let Ok((held, _)) = self.store.get(&lease(), At::Latest).await else {
                sleep(AGAIN).await;
                continue;
            };
            let word = format!("{holder}.{round}");
            let expect = held.map_or(Expect::Absent, |held| Expect::Revision(held.revision));
            let taking = put(lease(), expect, &json!({"word": word, "holder": holder}).to_string());
            // Without it, the guards show whose it is.
            let _ = self.commit(Write { urgent: true, ..taking }, &word).await;
            for binding in 0..random.random_range(0..20) {
                if self.stop.is_cancelled() {
                    return;
                }
                let word = format!("{word}.{binding}");
                let body = json!({"word": word, "holder": holder}).to_string();
                let due = format!("{BOUND}{}", self.store.revision() / REVISIONS_PER_ORDER);
                let binding = guarded(create(&due, &body), [guard(lease(), "/holder", holder.as_str())]);
                if let Err(WriteError::Guard(_)) = self.commit(binding, &word).await {
                    break;
                }
                sleep(Duration::from_millis(random.random_range(0..4))).await;
            }
        }
    }

    /// Writes, and says what came of it.
    async fn commit(&self, write: Write, word: &str) -> Result<(), WriteError> {
        let name = write.key.name.clone();
        let kind = if write.change.removes() { "deleted" } else { "put" };
        let error = match self.store.write(write).await {
            Ok(object) => {
                say(&format!("written {} {name} {word} {kind}", object.revision));
                return Ok(());
            }
            Err(error) => error,
        };
        let why = match &error {
            WriteError::Exists(_) => "exists",
            WriteError::Missing => "missing",
            WriteError::Changed(_) => "changed",
            WriteError::Guard(_) => "guard",
            WriteError::Unavailable(_) => "unavailable",
            WriteError::Unknown(_) => "unknown",
        };
        say(&format!("refused {word} {why}"));
        if matches!(why, "unavailable" | "unknown") {
            sleep(AGAIN).await;
        }
        Err(error)
    }
}

fn lease() -> Key {
    key_in("leases.coordination.k8s.io", "dropmate-system", LEASE)
}

/// One line in one call: a kill may cut only the last one.
fn say(line: &str) {
    if stdout().lock().write_all(format!("> {line}\n").as_bytes()).is_err() {
        // The parent is gone.
        std::process::exit(1);
    }
}
