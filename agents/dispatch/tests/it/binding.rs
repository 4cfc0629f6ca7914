use std::time::Duration;

use dropmate_api::Phase;
use k8s_openapi::api::core::v1::Event;
use kube::{Api, api::ListParams};
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::city::City;

#[tokio::test(start_paused = true)]
async fn an_order_is_bound_to_the_nearest_driver_with_the_reason() {
    let city = City::new().await;
    city.add_driver("far", 9.0).await;
    city.add_driver("near", 0.5).await;
    let agent = city.start("a");
    city.add_order("o-1", json!({})).await;
    let status = city.bound("o-1").await.status.unwrap();
    let assignment = status.assignment.unwrap();
    assert_eq!(assignment.driver_name.as_deref(), Some("near"));
    let reason = assignment.reason.unwrap();
    assert!(!reason.summary.is_empty());
    assert_eq!(reason.considered, 2);
    assert_eq!(reason.candidates[0].driver, "near");
    assert_eq!(agent.metrics.bound.get(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_waiting_agent_binds_a_new_order_within_a_few_ticks() {
    let city = City::new().await;
    city.add_driver("sam", 0.5).await;
    let _agent = city.start("a");
    sleep(Duration::from_secs(30)).await;
    let asked_at = Instant::now();
    city.add_order("o-1", json!({})).await;
    city.bound("o-1").await;
    assert!(asked_at.elapsed() <= Duration::from_millis(600), "{:?}", asked_at.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_pin_is_obeyed_although_another_driver_is_nearer() {
    let city = City::new().await;
    city.add_driver("near", 0.1).await;
    city.add_driver("far", 5.0).await;
    let _agent = city.start("a");
    city.add_order("o-1", json!({"driverName": "far"})).await;
    city.bound("o-1").await;
    assert_eq!(city.driver_of("o-1").await.as_deref(), Some("far"));
}

#[tokio::test(start_paused = true)]
async fn an_order_whose_driver_is_deleted_goes_to_another() {
    let city = City::new().await;
    city.add_driver("near", 0.1).await;
    city.add_driver("far", 5.0).await;
    let _agent = city.start("a");
    city.add_order("o-1", json!({})).await;
    city.bound("o-1").await;
    city.delete_driver("near").await;
    let order = city
        .order_when("o-1", |order| {
            let assignment = order.status.as_ref().and_then(|status| status.assignment.as_ref());
            assignment.is_some_and(|a| a.driver_name.as_deref() == Some("far"))
        })
        .await;
    assert_eq!(order.status.unwrap().assignment.unwrap().generation, 1);
}

#[tokio::test(start_paused = true)]
async fn an_order_on_hold_waits_until_the_hold_is_lifted() {
    let city = City::new().await;
    city.add_driver("sam", 0.1).await;
    let _agent = city.start("a");
    city.add_order("o-1", json!({"hold": true})).await;
    sleep(Duration::from_mins(1)).await;
    assert_eq!(city.driver_of("o-1").await, None);
    city.patch_order("o-1", json!({"spec": {"hold": false}})).await;
    city.bound("o-1").await;
}

#[tokio::test(start_paused = true)]
async fn an_order_is_not_bound_before_it_is_placed() {
    let city = City::new().await;
    city.add_driver("sam", 0.1).await;
    let _agent = city.start("a");
    city.add_order("o-1", json!({"placedAt": "2026-11-23T08:10:00Z"})).await;
    sleep(Duration::from_mins(9)).await;
    assert!(matches!(city.order("o-1").await.phase(), Phase::Pending | Phase::Scheduled));
    let status = city.bound("o-1").await.status.unwrap();
    assert!(status.assignment.unwrap().bound_at.unwrap() >= "2026-11-23T08:10:00Z".parse().unwrap());
}

#[tokio::test(start_paused = true)]
async fn the_driver_gets_a_route_over_both_stops() {
    let city = City::new().await;
    city.add_driver("sam", 0.1).await;
    let _agent = city.start("a");
    city.add_order("o-1", json!({})).await;
    city.bound("o-1").await;
    sleep(Duration::from_secs(2)).await;
    let status = city.drivers.get("sam").await.unwrap().status.unwrap();
    assert_eq!(status.active_orders, Some(1));
    assert_eq!(status.route.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_event_on_the_order_tells_who_got_it_and_why() {
    let city = City::new().await;
    city.add_driver("sam", 0.1).await;
    let agent = city.start("a");
    city.add_order("o-1", json!({})).await;
    let summary = city.bound("o-1").await.status.unwrap().assignment.unwrap().reason.unwrap().summary;
    agent.stop().await;
    let events: Api<Event> = Api::namespaced(city.client("operator"), "default");
    let events = events.list(&ListParams::default().fields("involvedObject.name=o-1")).await.unwrap().items;
    let assigned = events.iter().find(|event| event.reason.as_deref() == Some("Assigned")).unwrap();
    assert_eq!(assigned.message.as_deref(), Some(format!("Bound to driver sam: {summary}").as_str()));
    assert_eq!(assigned.type_.as_deref(), Some("Normal"));
    assert_eq!(assigned.involved_object.uid, city.order("o-1").await.metadata.uid);
}

#[tokio::test(start_paused = true)]
async fn the_policy_in_force_says_so_once() {
    let city = City::new().await;
    city.add_driver("sam", 0.1).await;
    let _agent = city.start("a");
    sleep(Duration::from_secs(5)).await;
    let shown = city.policies.get("default").await.unwrap();
    assert!(shown.status.as_ref().unwrap().active);
    city.add_order("o-1", json!({})).await;
    city.bound("o-1").await;
    sleep(Duration::from_mins(10)).await;
    assert_eq!(city.policies.get("default").await.unwrap(), shown);
}
