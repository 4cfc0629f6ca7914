use dropmate_store::{At, Expect, Guard, Key, Write, WriteError};
use futures::future::join_all;
use serde_json::{Value, json};

use super::On;
use crate::it::fixture::{create, guard, guarded, key, key_in, put, update};

fn lease() -> Key {
    key_in("leases.coordination.k8s.io", "dropmate-system", "dispatch")
}

fn held_by(holder: &str) -> String {
    json!({"spec": {"holderIdentity": holder}}).to_string()
}

pub(crate) async fn a_guard_on_existence_and_uid_holds_only_for_that_object(on: On) {
    let store = on.store().await;
    let with = |name: &str, uid: Option<&str>, target: &str| {
        let guard = Guard { uid: uid.map(Into::into), ..guard(key(target), "", Value::Null) };
        guarded(create(name, "{}"), [guard])
    };
    assert!(matches!(store.write(with("a", None, "shop")).await, Err(WriteError::Guard(0))));
    store.write(create("shop", "{}")).await.unwrap();
    store.write(with("a", None, "shop")).await.unwrap();
    store.write(with("b", Some("uid-of-shop"), "shop")).await.unwrap();
    assert!(matches!(store.write(with("c", Some("another"), "shop")).await, Err(WriteError::Guard(0))));
}

pub(crate) async fn a_guard_compares_the_value_at_a_pointer(on: On) {
    let store = on.store().await;
    store.write(create("shop", r#"{"a/b":[1,{"c":"x"}],"phase":"Active"}"#)).await.unwrap();
    let on_value = |name: &str, pointer: &str, equals: Value| {
        store.write(guarded(create(name, "{}"), [guard(key("shop"), pointer, equals)]))
    };
    on_value("a", "/phase", json!("Active")).await.unwrap();
    on_value("b", "/a~1b/1/c", json!("x")).await.unwrap();
    on_value("c", "/a~1b", json!([1, {"c": "x"}])).await.unwrap();
    assert!(matches!(on_value("d", "/phase", json!("Terminating")).await, Err(WriteError::Guard(0))));
    assert!(matches!(on_value("e", "/a~1b/0", json!("1")).await, Err(WriteError::Guard(0))));
}

pub(crate) async fn a_guard_on_an_absent_value_compares_as_null(on: On) {
    let store = on.store().await;
    store.write(create("shop", "{}")).await.unwrap();
    let absent = |name: &str, equals: Value| guarded(create(name, "{}"), [guard(key("shop"), "/not/there", equals)]);
    store.write(absent("a", Value::Null)).await.unwrap();
    assert!(matches!(store.write(absent("b", json!(false))).await, Err(WriteError::Guard(0))));
}

pub(crate) async fn a_guard_looks_past_whatever_else_is_in_the_body(on: On) {
    let store = on.store().await;
    let odd =
        ["{\"name\":\"a\\u0000b\",\"phase\":\"Active\"}", "{\"name\":\"\\\\u0000\",\"phase\":\"Active\",\"n\":1e300}"];
    for (index, body) in odd.iter().enumerate() {
        let shop = format!("shop-{index}");
        store.write(create(&shop, body)).await.unwrap();
        let guards = [guard(key(&shop), "/phase", "Active"), guard(key(&shop), "/none", Value::Null)];
        store.write(guarded(create(&format!("o-{index}"), "{}"), guards)).await.unwrap();
    }
    let named = guarded(create("n", "{}"), [guard(key("shop-0"), "/name", "a\0b")]);
    store.write(named).await.unwrap();
    let otherwise = guarded(create("m", "{}"), [guard(key("shop-0"), "/name", "ab")]);
    assert!(matches!(store.write(otherwise).await, Err(WriteError::Guard(0))));
}

pub(crate) async fn a_refused_guard_is_named_and_nothing_is_written(on: On) {
    let store = on.store().await;
    store.write(create("shop", r#"{"phase":"Active"}"#)).await.unwrap();
    let guards = [guard(key("shop"), "/phase", "Active"), guard(key("shop"), "/phase", "Terminating")];
    assert!(matches!(store.write(guarded(create("a", "{}"), guards)).await, Err(WriteError::Guard(1))));
    assert_eq!(store.get(&key("a"), At::Latest).await.unwrap().0, None);
    assert!(store.history(&key("a"), 0, 10).await.unwrap().is_empty());
}

pub(crate) async fn a_guard_sees_a_write_that_was_handed_over_before_it(on: On) {
    let store = on.store().await;
    let mut revision = store.write(put(lease(), Expect::Absent, &held_by("0"))).await.unwrap().revision;
    for round in 1..50 {
        let holder = format!("{round}");
        // Handed over at once, so that they meet in one batch: the change of the Lease first, then a guard on it.
        let change = store.write(put(lease(), Expect::Revision(revision), &held_by(&holder)));
        let fresh = guarded(create(&format!("f{round}"), "{}"), [guard(lease(), "/spec/holderIdentity", holder)]);
        let stale = guarded(
            create(&format!("s{round}"), "{}"),
            [guard(lease(), "/spec/holderIdentity", format!("{}", round - 1))],
        );
        let (change, fresh, stale) = tokio::join!(biased; change, store.write(fresh), store.write(stale));
        revision = change.unwrap().revision;
        assert!(fresh.unwrap().revision > revision);
        assert!(matches!(stale, Err(WriteError::Guard(0))));
    }
}

pub(crate) async fn of_two_leaders_only_the_one_in_the_lease_binds(on: On) {
    let store = on.store().await;
    let mut lease_revision = store.write(put(lease(), Expect::Absent, &held_by("a"))).await.unwrap().revision;
    for round in 0..40 {
        let name = format!("order-{round}");
        let order = store.write(create(&name, "{}")).await.unwrap();
        let bind = |leader: &str| {
            let write = guarded(
                update(&name, order.revision, &json!({"driver": leader}).to_string()),
                [guard(lease(), "/spec/holderIdentity", leader)],
            );
            let store = store.clone();
            tokio::spawn(async move { store.write(write).await })
        };
        let next = if round % 2 == 0 { "b" } else { "a" };
        let take = Write { urgent: true, ..put(lease(), Expect::Revision(lease_revision), &held_by(next)) };
        let taking = tokio::spawn({
            let store = store.clone();
            async move { store.write(take).await }
        });
        let bindings = join_all([bind("a"), bind("b")]).await;
        let taken = taking.await.unwrap().unwrap();
        let bound: Vec<_> = bindings.into_iter().filter_map(|binding| binding.unwrap().ok()).collect();
        assert!(bound.len() <= 1);
        for binding in bound {
            // Whoever held the Lease at that revision made it.
            let leader = if binding.revision > taken.revision {
                next
            } else if next == "a" {
                "b"
            } else {
                "a"
            };
            assert_eq!(*binding.body, *json!({"driver": leader}).to_string());
        }
        lease_revision = taken.revision;
    }
}
