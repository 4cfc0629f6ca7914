use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use dropmate_agent::lease::TRUST;
use dropmate_api::Phase;
use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::city::{City, DISPATCH, Fate};

async fn leader(city: &City) -> Option<String> {
    let leases: Api<Lease> = Api::namespaced(city.client(DISPATCH), "dropmate-system");
    leases.get_opt("dispatch").await.unwrap()?.spec?.holder_identity
}

#[tokio::test(start_paused = true)]
async fn the_late_write_of_a_stale_leader_is_refused_and_seen() {
    let city = City::new().await;
    city.add_driver("sam", 0.1).await;
    // Once stalled, the old leader cannot renew its lease, and everybody's bindings are long on the way.
    let stalled = Arc::new(AtomicBool::new(false));
    let client = |renews: bool| {
        let stalled = stalled.clone();
        city.client_by_fate(move |request| {
            let path = request.uri().path().to_owned();
            let stalled = stalled.load(Ordering::SeqCst);
            Box::pin(async move {
                if stalled && path.contains("/leases/") && !renews {
                    std::future::pending::<()>().await;
                }
                if stalled && path.ends_with("/binding") {
                    sleep(Duration::from_secs(9)).await;
                }
                Fate::Pass
            })
        })
    };
    let old = city.start_with("old", client(false));
    sleep(Duration::from_secs(1)).await;
    assert_eq!(leader(&city).await.as_deref(), Some("old"));
    let new = city.start_with("new", client(true));

    // In the last moment in which the old leader is sure of its lease it binds, and the binding comes too late.
    stalled.store(true, Ordering::SeqCst);
    sleep(TRUST.saturating_sub(Duration::from_secs(3))).await;
    city.add_order("o-1", json!({})).await;
    city.bound("o-1").await;
    sleep(Duration::from_secs(30)).await;

    assert_eq!(leader(&city).await.as_deref(), Some("new"));
    assert_eq!(old.metrics.fenced.get(), 1, "the refusal is seen");
    assert_eq!(old.metrics.bound.get(), 0);
    assert_eq!(new.metrics.bound.get(), 1);
}

#[tokio::test(start_paused = true)]
async fn of_two_agents_one_works_and_the_other_takes_over_when_it_leaves() {
    let city = City::new().await;
    city.add_drivers(6).await;
    let first = city.start("first");
    sleep(Duration::from_secs(1)).await;
    let second = city.start("second");
    for n in 0..5 {
        city.add_order(&format!("o-{n}"), json!({})).await;
    }
    for n in 0..5 {
        city.bound(&format!("o-{n}")).await;
    }
    assert_eq!((first.metrics.bound.get(), second.metrics.bound.get()), (5, 0));
    first.stop().await;
    let asked_at = Instant::now();
    city.add_order("o-5", json!({})).await;
    city.bound("o-5").await;
    assert!(asked_at.elapsed() < Duration::from_secs(3), "{:?}", asked_at.elapsed());
    assert_eq!(second.metrics.bound.get(), 1);
    assert_eq!(second.metrics.fenced.get(), 0);
}

#[tokio::test(start_paused = true)]
async fn after_a_crash_the_next_agent_goes_on() {
    let city = City::new().await;
    city.add_drivers(2).await;
    let first = city.start("first");
    city.add_order("o-1", json!({})).await;
    city.bound("o-1").await;
    first.kill();
    let _second = city.start("second");
    city.add_order("o-2", json!({})).await;
    city.bound("o-2").await;
}

#[tokio::test(start_paused = true)]
async fn a_restart_changes_nothing() {
    let city = City::new().await;
    city.add_drivers(6).await;
    let first = city.start("first");
    for n in 0..6 {
        city.add_order(&format!("o-{n}"), json!({})).await;
    }
    city.add_order("o-never", json!({"requirements": {"skills": ["frozen"]}})).await;
    for n in 0..6 {
        city.bound(&format!("o-{n}")).await;
    }
    sleep(Duration::from_secs(5)).await;
    first.stop().await;
    let before = (city.all_orders().await, drivers(&city).await);
    let second = city.start("second");
    sleep(Duration::from_secs(5)).await;
    assert!(leader(&city).await.as_deref() == Some("second"));
    assert_eq!((city.all_orders().await, drivers(&city).await), before);
    assert_eq!(second.metrics.bound.get(), 0);
}

#[tokio::test(start_paused = true)]
async fn shutdown_gives_the_lease_back() {
    let city = City::new().await;
    let agent = city.start("a");
    sleep(Duration::from_secs(1)).await;
    assert_eq!(leader(&city).await.as_deref(), Some("a"));
    agent.stop().await;
    assert_eq!(leader(&city).await.as_deref(), Some(""));
}

async fn drivers(city: &City) -> Vec<dropmate_api::Driver> {
    city.drivers.list(&kube::api::ListParams::default()).await.unwrap().items
}

#[tokio::test(start_paused = true)]
async fn a_pending_order_is_released_before_it_is_bound() {
    let city = City::new().await;
    let _agent = city.start("a");
    city.add_order("o-1", json!({})).await;
    city.order_when("o-1", |order| order.phase() == Phase::Ready).await;
}
