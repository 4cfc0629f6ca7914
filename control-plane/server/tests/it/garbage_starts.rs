//! The collector over restarts: what it had not done when the server ended, it does when one starts.

use std::{path::Path, sync::Arc};

use dropmate_control_plane::ControlPlane;
use dropmate_store::{Actor, At, Change, Expect, Key, Options, Store, Write};
use serde_json::{Value, json};

use crate::{
    client::{Api, DRIVERS, ORDERS, clock, driver},
    garbage::{deleted_at, owned, owner, until},
    server::Server,
};

async fn store(path: &Path) -> Store {
    let clock = clock();
    Store::sqlite(path, Arc::new(move || clock.system_now()), Options::default()).await.unwrap()
}

async fn server(path: &Path) -> Api {
    Api::over(ControlPlane::over_store(store(path).await, clock()).await)
}

/// Makes a driver with that many orders, each owned by it, and ends the server.
async fn fleet(path: &Path, orders: usize) {
    let api = server(path).await;
    let sam = api.post(DRIVERS, &driver("sam")).await.ok();
    for index in 0..orders {
        api.post(ORDERS, &owned(&format!("o{index}"), &[owner(&sam, true)])).await.ok();
    }
    api.plane.close().await;
}

/// Changes the driver while no server runs, as one does that ends right after it.
async fn change_sam(path: &Path, change: impl FnOnce(&mut Value) -> bool) {
    let store = store(path).await;
    let key = Key { resource: "drivers.dropmate.dev".into(), namespace: "default".into(), name: "sam".into() };
    let sam = store.get(&key, At::Latest).await.unwrap().0.unwrap();
    let mut body: Value = serde_json::from_str(&sam.body).unwrap();
    let goes = change(&mut body);
    let body: Arc<str> = body.to_string().into();
    let change = if goes { Change::Delete { body } } else { Change::Put { uid: sam.uid.clone(), body } };
    let (expect, actor) = (Expect::Revision(sam.revision), Actor::default());
    store.write(Write { key, expect, change, guards: Vec::new(), urgent: false, actor }).await.unwrap();
    store.close().await;
}

fn mark(body: &mut Value, finalizer: &str) -> bool {
    body["metadata"]["deletionTimestamp"] = json!("2026-11-23T05:00:00Z");
    body["metadata"]["deletionGracePeriodSeconds"] = json!(0);
    body["metadata"]["finalizers"] = json!([finalizer]);
    false
}

async fn sam_is_gone(api: &Api) {
    until("the driver goes", async || api.get(&format!("{DRIVERS}/sam")).await.code == 404).await;
}

#[tokio::test]
async fn what_was_marked_for_the_foreground_before_a_restart_goes_after_its_dependents() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("control.db");
    fleet(&path, 5).await;
    change_sam(&path, |body| mark(body, "foregroundDeletion")).await;
    let api = server(&path).await;
    sam_is_gone(&api).await;
    let last = deleted_at(&api, "drivers.dropmate.dev", "sam").await;
    for index in 0..5 {
        assert!(deleted_at(&api, "orders.dropmate.dev", &format!("o{index}")).await < last);
    }
    api.plane.close().await;
}

#[tokio::test]
async fn what_was_to_let_go_before_a_restart_lets_go() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("control.db");
    fleet(&path, 5).await;
    change_sam(&path, |body| mark(body, "orphan")).await;
    let api = server(&path).await;
    sam_is_gone(&api).await;
    let orders = api.get(ORDERS).await.ok();
    let items = orders["items"].as_array().unwrap();
    assert_eq!(items.len(), 5);
    assert!(items.iter().all(|order| order["metadata"]["ownerReferences"].is_null()), "{orders}");
    api.plane.close().await;
}

#[tokio::test]
async fn dependents_of_what_went_before_a_restart_go_after_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("control.db");
    fleet(&path, 5).await;
    change_sam(&path, |_| true).await;
    let api = server(&path).await;
    until("the orders go", async || api.get(ORDERS).await.ok()["items"].as_array().unwrap().is_empty()).await;
    api.plane.close().await;
}

#[tokio::test]
async fn what_the_collector_does_is_told_by_metrics() {
    let server = Server::start().await;
    let api = Api::over(server.plane.clone());
    let sam = api.post(DRIVERS, &driver("sam")).await.ok();
    api.post(ORDERS, &owned("o1", &[owner(&sam, true)])).await.ok();
    until("both are followed", async || server.metrics().await.contains("\ndropmate_garbage_objects 2\n")).await;
    api.delete(&format!("{DRIVERS}/sam"), &json!({"propagationPolicy": "Foreground"})).await.ok();
    sam_is_gone(&api).await;
    until("both are forgotten", async || server.metrics().await.contains("\ndropmate_garbage_objects 0\n")).await;
    let metrics = server.metrics().await;
    for line in [
        "dropmate_garbage_actions_total{action=\"delete\"} 1",
        "dropmate_garbage_actions_total{action=\"finish\"} 1",
        "dropmate_garbage_failures_total 0",
        "dropmate_garbage_pending 0",
    ] {
        assert!(metrics.lines().any(|held| held == line), "{line} is not in {metrics}");
    }
    server.end().await;
}
