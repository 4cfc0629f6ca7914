//! Random use against a model so simple that it cannot be wrong: a list of every state there ever was.

use std::{collections::BTreeMap, sync::Arc};

use dropmate_store::{At, Change, Expect, Key, Object, Options, Revision, Scope, Store, Write, WriteError};
use rand::{RngExt, SeedableRng, seq::IndexedRandom};
use rand_chacha::ChaCha8Rng;
use serde_json::json;

use super::On;
use crate::it::fixture::{actor, events_up_to, guard, key_in, names_at};

const STEPS: usize = 400;
const RESOURCES: [&str; 2] = ["orders.dropmate.dev", "drivers.dropmate.dev"];
const NAMESPACES: [&str; 3] = ["", "a", "b"];

#[derive(Default)]
struct Model {
    now: BTreeMap<Key, Arc<Object>>,
    /// Each state with its revision and the key that changed.
    states: Vec<(Revision, Key, BTreeMap<Key, Arc<Object>>)>,
}

impl Model {
    fn at(&self, revision: Revision) -> BTreeMap<Key, Arc<Object>> {
        let state = self.states.iter().rev().find(|(at, ..)| *at <= revision);
        state.map(|(_, _, state)| state.clone()).unwrap_or_default()
    }

    /// What the store must answer.
    fn expected(&self, write: &Write) -> Result<(), &'static str> {
        match (write.expect, self.now.get(&write.key)) {
            (Expect::Absent, Some(_)) => return Err("exists"),
            (Expect::Revision(_), None) => return Err("missing"),
            (Expect::Revision(revision), Some(object)) if object.revision != revision => return Err("changed"),
            _ => {}
        }
        let holds = |name: &Key, equals: &serde_json::Value| {
            let body =
                self.now.get(name).map(|object| serde_json::from_str::<serde_json::Value>(&object.body).unwrap());
            body.is_some_and(|body| body["n"] == *equals)
        };
        if write.guards.iter().all(|guard| holds(&guard.key, &guard.equals)) { Ok(()) } else { Err("guard") }
    }
}

pub(crate) async fn random_use_agrees_with_a_simple_model(on: On) {
    let seed = 7;
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let store = on.store_with(Options { window_events: 40, ..Options::default() }).await;
    let mut model = Model::default();
    for step in 0..STEPS {
        let write = any_write(&mut random, &model, step);
        let expected = model.expected(&write);
        let told = match store.write(write.clone()).await {
            Ok(object) => {
                match &write.change {
                    Change::Put { .. } => model.now.insert(write.key.clone(), object.clone()),
                    Change::Delete { .. } | Change::Archive { .. } => model.now.remove(&write.key),
                };
                model.states.push((object.revision, write.key, model.now.clone()));
                Ok(())
            }
            Err(WriteError::Exists(_)) => Err("exists"),
            Err(WriteError::Missing) => Err("missing"),
            Err(WriteError::Changed(_)) => Err("changed"),
            Err(WriteError::Guard(_)) => Err("guard"),
            Err(error) => panic!("seed {seed}, step {step}: {error}"),
        };
        assert_eq!(told, expected, "seed {seed}, step {step}");
        if step % 8 == 7 {
            compare(&mut random, &store, &model).await;
        }
    }
    let changed: usize = model.states.len();
    assert!(changed > STEPS / 4, "only {changed} writes went through: nothing was tested");
}

fn any_scope(random: &mut ChaCha8Rng) -> Scope {
    let namespace = random.random_bool(0.5).then(|| NAMESPACES.choose(random).unwrap().to_string());
    Scope { resource: RESOURCES.choose(random).unwrap().to_string(), namespace }
}

fn any_key(random: &mut ChaCha8Rng) -> Key {
    let name = format!("{}", random.random_range(0..6));
    key_in(RESOURCES.choose(random).unwrap(), NAMESPACES.choose(random).unwrap(), &name)
}

fn any_write(random: &mut ChaCha8Rng, model: &Model, step: usize) -> Write {
    let key = any_key(random);
    let expect = match model.now.get(&key) {
        Some(object) if random.random_bool(0.8) => Expect::Revision(object.revision),
        Some(object) if random.random_bool(0.5) => Expect::Revision(object.revision - 1),
        None if random.random_bool(0.1) => Expect::Revision(1),
        _ => Expect::Absent,
    };
    let body: Arc<str> = json!({"n": step % 3}).to_string().into();
    let change = if random.random_bool(0.25) && expect != Expect::Absent {
        if random.random_bool(0.5) { Change::Delete { body } } else { Change::Archive { body } }
    } else {
        Change::Put { uid: format!("{step}"), body }
    };
    let guards = (0..random.random_range(0..2)).map(|_| guard(any_key(random), "/n", random.random_range(0..3)));
    Write { key, expect, change, guards: guards.collect(), urgent: random.random_bool(0.2), actor: actor() }
}

async fn compare(random: &mut ChaCha8Rng, store: &Store, model: &Model) {
    let scope = any_scope(random);
    let revision = random.random_range(0..=store.revision());
    let then: BTreeMap<_, _> = model.at(revision).into_iter().filter(|(key, _)| scope.contains(key)).collect();
    let listed = store.list(&scope, At::Exact(revision), None, None).await.unwrap();
    assert_eq!(listed.objects, then.values().cloned().collect::<Vec<_>>());
    let names: Vec<_> = then.keys().map(|key| key.name.clone()).collect();
    assert_eq!(names_at(store, &scope, At::Exact(revision), 1 + random.random_range(0..4)).await, names);
    let key = any_key(random);
    assert_eq!(store.get(&key, At::Exact(revision)).await.unwrap().0, model.at(revision).get(&key).cloned());

    let later = model.states.iter().filter(|(at, key, _)| *at > revision && scope.contains(key));
    let expected: Vec<_> = later.map(|(at, key, state)| (*at, key.clone(), state.get(key).cloned())).collect();
    let Some((last, ..)) = expected.last() else { return };
    let mut watch = store.watch(scope, revision).await.unwrap();
    let events = events_up_to(&mut watch, *last).await;
    let seen = events
        .iter()
        .map(|event| (event.revision, event.object.key.clone(), (!event.deleted).then(|| event.object.clone())));
    assert_eq!(seen.collect::<Vec<_>>(), expected);
}
