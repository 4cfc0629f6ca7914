//! The child: writers and a watcher that tell through a pipe what they were answered, until they are killed.

use std::{
    io::{Write as _, stdout},
    path::{Path, PathBuf},
    sync::Arc,
};

use dropmate_store::{At, Options, Revision, Sqlite, Store};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

use crate::it::{
    faulty::{Fault, Faulty},
    fixture::{Clock, create, delete, everything, key, update},
};

/// Set for the child: the folder of the database. The other two come with it.
pub(crate) const DIR: &str = "DROPMATE_TEST_KILLED_DIR";
pub(crate) const AFTER: &str = "DROPMATE_TEST_KILLED_AFTER";
pub(crate) const FAULT: &str = "DROPMATE_TEST_KILLED_FAULT";
/// This test, as the parent calls it.
pub(crate) const NAME: &str = "it::killed::load::writers_left_alone_get_an_answer_to_everything";

const WRITERS: usize = 16;
/// Names of each writer: few, so that most writes are changes and deletions.
const NAMES: usize = 8;

/// Run by itself, the load ends after some writes. The parent runs it without an end, and kills it.
#[test]
fn writers_left_alone_get_an_answer_to_everything() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    if let Ok(dir) = std::env::var(DIR) {
        let after = std::env::var(AFTER).unwrap().parse().unwrap();
        let fault = std::env::var(FAULT).unwrap().parse().unwrap();
        runtime.block_on(load(&PathBuf::from(dir), after, fault, usize::MAX));
    } else {
        let dir = tempfile::tempdir().unwrap();
        runtime.block_on(load(dir.path(), 0, Fault::None, 10));
    }
}

async fn load(dir: &Path, after: Revision, fault: Fault, rounds: usize) {
    let sqlite = Arc::new(Sqlite::open(&dir.join("control.db")).await.unwrap());
    let backend = Faulty::new(sqlite, fault).await;
    let store = Store::open(backend, Clock::default().now(), Options::default()).await.unwrap();
    let start = store.revision();
    say(&format!("start {start}"));
    let watching = tokio::spawn(watch(store.clone(), after));
    let writers: Vec<_> =
        (0..WRITERS).map(|writer| tokio::spawn(write(store.clone(), writer, start, rounds))).collect();
    for writer in writers {
        writer.await.unwrap();
    }
    store.close().await;
    watching.await.unwrap();
}

async fn watch(store: Store, after: Revision) {
    let Ok(mut watch) = store.watch(everything(), after).await else {
        // Only a store that has lost what was watched does not know the revision.
        return;
    };
    while let Some(event) = watch.next().await {
        let event = event.unwrap();
        let kind = if event.deleted { "deleted" } else { "put" };
        say(&format!("event {} {} {} {kind}", event.revision, event.object.key.name, word(&event.object.body)));
    }
}

async fn write(store: Store, writer: usize, start: Revision, rounds: usize) {
    let mut random = ChaCha8Rng::seed_from_u64(start * 1_000 + writer as u64);
    for round in 0..rounds {
        let name = format!("{writer}-{}", random.random_range(0..NAMES));
        let word = format!("{start}.{writer}.{round}");
        let body = json!({"word": word, "text": "x".repeat(1_500)}).to_string();
        let held = store.get(&key(&name), At::Latest).await.unwrap().0;
        let (change, kind) = match held {
            None => (create(&name, &body), "put"),
            Some(object) if random.random_bool(0.2) => (delete(&name, object.revision, &body), "deleted"),
            Some(object) => (update(&name, object.revision, &body), "put"),
        };
        // Each writer has names of its own, so that nobody comes between.
        let written = store.write(change).await.unwrap();
        say(&format!("written {} {name} {word} {kind}", written.revision));
    }
}

/// One line in one call: a kill may cut only the last one.
fn say(line: &str) {
    if stdout().lock().write_all(format!("> {line}\n").as_bytes()).is_err() {
        // The parent is gone.
        std::process::exit(1);
    }
}

/// What makes a body unlike any other.
pub(crate) fn word(body: &str) -> String {
    let body: Value = serde_json::from_str(body).unwrap();
    body["word"].as_str().unwrap().to_owned()
}
