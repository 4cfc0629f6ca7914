use std::{sync::Arc, time::Duration};

use dropmate_store::{At, Expect, Object, ReadError, Store};
use tokio::sync::mpsc;

use super::On;
use crate::it::fixture::{ORDERS, create, create_many, delete, everything, key, key_in, names_at, put, update, within};

pub(crate) async fn a_list_is_ordered_by_namespace_and_name(on: On) {
    let store = on.store().await;
    let mut keys = [("b", "a"), ("a-b", "z"), ("a", "b"), ("a", "B"), ("a", "a.c"), ("a", "a-c"), ("ab", "a")]
        .map(|(namespace, name)| key_in(ORDERS, namespace, name));
    for key in &keys {
        store.write(put(key.clone(), Expect::Absent, "{}")).await.unwrap();
    }
    keys.sort_by(|a, b| (a.namespace.as_bytes(), a.name.as_bytes()).cmp(&(b.namespace.as_bytes(), b.name.as_bytes())));
    let listed = store.list(&everything(), At::Latest, None, None).await.unwrap();
    assert_eq!(listed.objects.iter().map(|object| object.key.clone()).collect::<Vec<_>>(), keys);
}

pub(crate) async fn a_list_keeps_to_its_scope(on: On) {
    let store = on.store().await;
    for (resource, namespace) in
        [(ORDERS, "a"), (ORDERS, "aa"), (ORDERS, "b"), ("orders.dropmate.dev2", "a"), ("drivers", "a")]
    {
        store.write(put(key_in(resource, namespace, "x"), Expect::Absent, "{}")).await.unwrap();
    }
    let in_a = store.list(&within("a"), At::Latest, None, None).await.unwrap();
    assert_eq!(in_a.objects.iter().map(|object| &object.key).collect::<Vec<_>>(), [&key_in(ORDERS, "a", "x")]);
    assert_eq!(store.list(&everything(), At::Any, None, None).await.unwrap().objects.len(), 3);
    assert!(store.list(&within("c"), At::Latest, None, None).await.unwrap().objects.is_empty());
}

pub(crate) async fn a_page_tells_how_many_follow(on: On) {
    let store = on.store().await;
    create_many(&store, 10).await;
    let first = store.list(&everything(), At::Latest, None, Some(4)).await.unwrap();
    assert_eq!((first.objects.len(), first.remaining), (4, 6));
    let at = At::Exact(first.revision);
    let second = store.list(&everything(), at, first.next.as_ref(), Some(4)).await.unwrap();
    assert_eq!((second.objects.len(), second.remaining), (4, 2));
    let third = store.list(&everything(), at, second.next.as_ref(), Some(4)).await.unwrap();
    assert_eq!((third.objects.len(), third.remaining, third.next), (2, 0, None));
    let whole = store.list(&everything(), at, None, Some(10)).await.unwrap();
    assert_eq!((whole.objects.len(), whole.remaining, whole.next), (10, 0, None));
}

pub(crate) async fn pages_of_one_walk_are_all_at_one_revision_while_writes_go_on(on: On) {
    let store = on.forgetful_store().await;
    let objects = create_many(&store, 60).await;
    let writing = tokio::spawn({
        let store = store.clone();
        async move {
            for (index, object) in objects.iter().enumerate() {
                let name = &object.key.name;
                if index % 3 == 0 {
                    store.write(delete(name, object.revision, "{}")).await.unwrap();
                } else {
                    store.write(update(name, object.revision, "{\"changed\":true}")).await.unwrap();
                }
                store.write(create(&format!("{name}-new"), "{}")).await.unwrap();
            }
        }
    });
    let all: Vec<_> = (0..60).map(|index| format!("o{index:03}")).collect();
    assert_eq!(names_at(&store, &everything(), At::Exact(60), 7).await, all);
    for _ in 0..20 {
        let first = store.list(&everything(), At::Latest, None, Some(7)).await.unwrap();
        let whole = store.list(&everything(), At::Exact(first.revision), None, None).await.unwrap();
        assert_eq!(whole.revision, first.revision);
        assert_eq!(whole.objects[..first.objects.len()], first.objects);
        assert_eq!(whole.objects.len(), first.objects.len() + first.remaining);
        let paged = names_at(&store, &everything(), At::Exact(first.revision), 7).await;
        assert_eq!(paged, whole.objects.iter().map(|object| object.key.name.clone()).collect::<Vec<_>>());
    }
    writing.await.unwrap();
    assert_eq!(names_at(&store, &everything(), At::Exact(60), 7).await, all);
}

pub(crate) async fn every_past_state_can_be_listed_and_read(on: On) {
    past_states(&on.store().await).await;
}

pub(crate) async fn every_past_state_can_be_listed_and_read_when_memory_has_forgotten_it(on: On) {
    past_states(&on.forgetful_store().await).await;
}

async fn past_states(store: &Store) {
    let mut states: Vec<Vec<Arc<Object>>> = vec![Vec::new()];
    let mut now = Vec::<Arc<Object>>::new();
    for round in 0..12 {
        let name = format!("o{}", round % 5);
        let held = now.iter().position(|object| object.key.name == name);
        let write = match held {
            None => create(&name, &format!("{round}")),
            Some(index) if round % 4 == 3 => delete(&name, now[index].revision, "{}"),
            Some(index) => update(&name, now[index].revision, &format!("{round}")),
        };
        let deletes = matches!(write.change, dropmate_store::Change::Delete { .. });
        let object = store.write(write).await.unwrap();
        now.retain(|other| other.key != object.key);
        if !deletes {
            now.push(object);
        }
        now.sort_by(|a, b| a.key.cmp(&b.key));
        states.push(now.clone());
    }
    for (revision, state) in states.iter().enumerate() {
        let at = At::Exact(revision as u64);
        let listed = store.list(&everything(), at, None, None).await.unwrap();
        assert_eq!((&listed.objects, listed.revision), (state, revision as u64));
        for index in 0..6 {
            let key = key(&format!("o{index}"));
            let then = state.iter().find(|object| object.key == key).cloned();
            assert_eq!(store.get(&key, at).await.unwrap(), (then, revision as u64));
        }
    }
}

pub(crate) async fn a_write_is_seen_by_every_read_after_its_answer(on: On) {
    let store = on.store().await;
    let (written, mut acknowledged) = mpsc::channel::<Arc<Object>>(1);
    let reading = tokio::spawn({
        let store = store.clone();
        async move {
            while let Some(object) = acknowledged.recv().await {
                let (read, revision) = store.get(&object.key, At::Latest).await.unwrap();
                assert!(read.unwrap().revision >= object.revision && revision >= object.revision);
                let listed = store.list(&everything(), At::Latest, None, None).await.unwrap();
                assert!(listed.objects.iter().any(|other| other.key == object.key));
            }
        }
    });
    let noise = tokio::spawn({
        let store = store.clone();
        async move {
            for index in 0..200 {
                store.write(create(&format!("noise-{index}"), "{}")).await.unwrap();
            }
        }
    });
    for index in 0..100 {
        written.send(store.write(create(&format!("{index}"), "{}")).await.unwrap()).await.unwrap();
    }
    drop(written);
    reading.await.unwrap();
    noise.await.unwrap();
}

pub(crate) async fn a_read_waits_for_a_revision_that_is_under_way(on: On) {
    let store = on.store().await;
    let reading = tokio::spawn({
        let store = store.clone();
        async move { store.get(&key("o002"), At::NotOlder(3)).await }
    });
    tokio::time::sleep(Duration::from_millis(20)).await;
    create_many(&store, 3).await;
    let (object, revision) = reading.await.unwrap().unwrap();
    assert_eq!((object.unwrap().revision, revision), (3, 3));
}

pub(crate) async fn a_revision_that_never_comes_is_in_the_future(on: On) {
    let store = on.store().await;
    create_many(&store, 2).await;
    let scope = everything();
    let reads = [At::NotOlder(3), At::Exact(3)].map(|at| store.list(&scope, at, None, None));
    for read in futures::future::join_all(reads).await {
        assert!(matches!(read, Err(ReadError::Future { asked: 3, newest: 2 })));
    }
}
