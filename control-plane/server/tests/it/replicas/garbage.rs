//! The collectors of several replicas at the same garbage.

use serde_json::{Value, json};

use super::{Two, two, until};
use crate::{
    client::{Api, DRIVERS, ORDERS, driver},
    garbage::{deleted_at, owned, owner},
};
use dropmate_store::Key;

const DEPENDENTS: usize = 20;

/// A driver and orders that it owns, made at both.
async fn fleet(two: &Two) -> Value {
    let sam = two.a.post(DRIVERS, &driver("sam")).await.ok();
    for index in 0..DEPENDENTS {
        let at = if index % 2 == 0 { &two.a } else { &two.b };
        at.post(ORDERS, &owned(&format!("o{index}"), &[owner(&sam, true)])).await.ok();
    }
    sam
}

/// Deletes the driver at one, and waits until it is gone at the other.
async fn delete(two: &Two, way: &str) {
    let path = format!("{DRIVERS}/sam");
    two.b.delete(&path, &json!({"propagationPolicy": way})).await.ok();
    until("the driver goes", async || two.a.get(&path).await.code == 404).await;
}

async fn history(api: &Api, index: usize) -> Vec<(bool, String)> {
    let name = format!("o{index}");
    let key = Key { resource: "orders.dropmate.dev".into(), namespace: "default".into(), name };
    let history = api.plane.store().history(&key, 0, 50).await.unwrap();
    history.into_iter().map(|entry| (entry.event.deleted, entry.actor.user)).collect()
}

fn operator_then_collector(deleted: bool) -> Vec<(bool, String)> {
    vec![(false, "operator".to_owned()), (deleted, "system:garbage-collector".to_owned())]
}

#[tokio::test]
async fn in_the_foreground_each_dependent_goes_once_and_before_its_owner() {
    let two = two().await;
    fleet(&two).await;
    delete(&two, "Foreground").await;
    let last = deleted_at(&two.a, "drivers.dropmate.dev", "sam").await;
    for index in 0..DEPENDENTS {
        assert_eq!(history(&two.a, index).await, operator_then_collector(true));
        assert!(deleted_at(&two.a, "orders.dropmate.dev", &format!("o{index}")).await < last);
    }
}

#[tokio::test]
async fn orphans_are_let_go_of_once_and_stay() {
    let two = two().await;
    fleet(&two).await;
    delete(&two, "Orphan").await;
    for index in 0..DEPENDENTS {
        assert_eq!(history(&two.b, index).await, operator_then_collector(false));
        let order = two.a.get(&format!("{ORDERS}/o{index}")).await.ok();
        assert_eq!(order["metadata"]["ownerReferences"], Value::Null);
    }
}

#[tokio::test]
async fn in_the_background_each_dependent_goes_once() {
    let two = two().await;
    fleet(&two).await;
    delete(&two, "Background").await;
    until("the orders go", async || two.b.get(ORDERS).await.ok()["items"].as_array().unwrap().is_empty()).await;
    for index in 0..DEPENDENTS {
        assert_eq!(history(&two.a, index).await, operator_then_collector(true));
    }
}
