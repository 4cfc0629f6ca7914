use std::{collections::BTreeSet, time::Duration};

use dropmate_agent::{Cache, Caches, Ticks};
use dropmate_api::Depot;
use dropmate_control_plane::ControlPlane;
use kube::{
    Api, Client,
    api::{DeleteParams, PostParams},
};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::gate::{Gate, plane};

const INTERVAL: Duration = Duration::from_millis(200);

fn operator(plane: &ControlPlane) -> Client {
    Client::new(plane.in_process("operator"), "default")
}

async fn make_depot(plane: &ControlPlane, name: &str) {
    let depots: Api<Depot> = Api::namespaced(operator(plane), "default");
    let depot = serde_json::json!({
        "apiVersion": "dropmate.dev/v1", "kind": "Depot", "metadata": {"name": name}, "spec": {"address": "1 Mill St"}
    });
    depots.create(&PostParams::default(), &serde_json::from_value(depot).unwrap()).await.unwrap();
}

async fn delete_depot(plane: &ControlPlane, name: &str) {
    let depots: Api<Depot> = Api::namespaced(operator(plane), "default");
    depots.delete(name, &DeleteParams::default()).await.unwrap();
}

fn names(depots: &Cache<Depot>) -> Vec<String> {
    depots.in_namespace("default").iter().map(|depot| depot.metadata.name.clone().unwrap()).collect()
}

async fn watch(plane: &ControlPlane, gate: &Gate) -> (Caches, Cache<Depot>) {
    let mut caches = Caches::default();
    let depots = caches.watch(Api::all(gate.client(plane)), |_| {});
    caches.synced().await;
    (caches, depots)
}

#[tokio::test(start_paused = true)]
async fn a_cache_is_whole_once_synced_and_sorted_by_name() {
    let plane = plane().await;
    make_depot(&plane, "south").await;
    make_depot(&plane, "north").await;
    let (_caches, depots) = watch(&plane, &Gate::default()).await;
    assert_eq!(names(&depots), ["north", "south"]);
}

#[tokio::test(start_paused = true)]
async fn a_change_makes_its_namespace_due_and_is_seen() {
    let plane = plane().await;
    let (caches, depots) = watch(&plane, &Gate::default()).await;
    let mut ticks = Ticks::new(&caches, INTERVAL);
    make_depot(&plane, "north").await;
    let dirty = ticks.next(&CancellationToken::new()).await.unwrap();
    assert_eq!(dirty, BTreeSet::from(["default".to_owned()]));
    assert_eq!(names(&depots), ["north"]);
    delete_depot(&plane, "north").await;
    ticks.next(&CancellationToken::new()).await.unwrap();
    assert!(names(&depots).is_empty());
}

#[tokio::test(start_paused = true)]
async fn nothing_is_due_while_nothing_changes() {
    let plane = plane().await;
    let (caches, _depots) = watch(&plane, &Gate::default()).await;
    let mut ticks = Ticks::new(&caches, INTERVAL);
    assert!(timeout(Duration::from_mins(30), ticks.next(&CancellationToken::new())).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_burst_is_one_tick_and_ticks_keep_their_distance() {
    let plane = plane().await;
    let (caches, depots) = watch(&plane, &Gate::default()).await;
    let mut ticks = Ticks::new(&caches, INTERVAL);
    let ended = CancellationToken::new();
    make_depot(&plane, "a").await;
    ticks.next(&ended).await.unwrap();
    let first_at = Instant::now();
    for name in ["b", "c", "d"] {
        make_depot(&plane, name).await;
    }
    ticks.next(&ended).await.unwrap();
    assert!(first_at.elapsed() >= INTERVAL);
    assert_eq!(names(&depots).len(), 4);
    assert!(timeout(Duration::from_mins(1), ticks.next(&ended)).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_wake_up_comes_at_its_time_without_a_change() {
    let plane = plane().await;
    let (caches, _depots) = watch(&plane, &Gate::default()).await;
    let mut ticks = Ticks::new(&caches, INTERVAL);
    let wake_at = Instant::now() + Duration::from_secs(90);
    ticks.wake_at(Some(wake_at));
    assert!(ticks.next(&CancellationToken::new()).await.unwrap().is_empty());
    assert_eq!(Instant::now(), wake_at);
}

#[tokio::test(start_paused = true)]
async fn a_cache_is_right_again_after_an_outage() {
    let plane = plane().await;
    let gate = Gate::default();
    gate.close();
    let mut caches = Caches::default();
    let depots: Cache<Depot> = caches.watch(Api::all(gate.client(&plane)), |_| {});
    make_depot(&plane, "north").await;
    sleep(Duration::from_secs(30)).await;
    assert!(names(&depots).is_empty());
    gate.open();
    caches.synced().await;
    assert_eq!(names(&depots), ["north"]);
}

#[tokio::test(start_paused = true)]
async fn settling_waits_for_the_write_to_be_seen_but_not_for_ever() {
    let plane = plane().await;
    let (caches, depots) = watch(&plane, &Gate::default()).await;
    let ticks = Ticks::new(&caches, INTERVAL);
    make_depot(&plane, "north").await;
    assert!(ticks.settle(|| names(&depots) == ["north"]).await);
    assert!(!ticks.settle(|| names(&depots) == ["south"]).await);
}
