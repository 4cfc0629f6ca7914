//! What leaves by itself: finished orders into the archive, Events for good. Under paused time.

use std::{sync::Arc, time::Duration};

use dropmate_api::Clock;
use http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::client::{Api, DISPATCH, ORDERS, order, text};

const ARCHIVE: &str = "/v1/namespaces/default/archive/orders";
const EVENTS: &str = "/api/v1/namespaces/default/events";
const DAY: Duration = Duration::from_hours(24);

/// A control plane whose system time is the runtime's, and whose business time is so many times as fast.
async fn shop(speed: f64) -> Api {
    let start: Timestamp = "2026-05-01T10:00:00Z".parse().unwrap();
    let origin = Instant::now();
    let now = Arc::new(move || start + SignedDuration::try_from(origin.elapsed()).unwrap());
    Api::start_at(Clock::scaled(now, start, speed)).await
}

/// Makes an order and calls it off, which finishes it.
async fn finish(api: &Api, name: &str, spec: &Value) {
    let mut wanted = order(name);
    wanted["spec"].as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    api.post(ORDERS, &wanted).await.ok();
    let called_off = api.merge(&format!("{ORDERS}/{name}"), &json!({"spec": {"cancelled": true}})).await.ok();
    assert_eq!(called_off["status"]["phase"], "Cancelled");
    assert!(called_off["status"]["finishedAt"].is_string());
}

async fn is_there(api: &Api, name: &str) -> bool {
    api.get(&format!("{ORDERS}/{name}")).await.code == StatusCode::OK
}

async fn archived(api: &Api) -> Vec<String> {
    let page = api.get(ARCHIVE).await.ok();
    let names = page["items"].as_array().unwrap().iter().map(|item| &item["object"]["metadata"]["name"]);
    names.map(|name| text(name).to_owned()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_finished_order_stays_for_two_days_and_is_then_found_in_the_archive() {
    let api = shop(1.0).await;
    finish(&api, "o1", &json!({})).await;
    api.post(ORDERS, &order("open")).await.ok();
    sleep((2 * DAY).saturating_sub(Duration::from_mins(1))).await;
    assert!(is_there(&api, "o1").await);
    assert!(archived(&api).await.is_empty());
    sleep(Duration::from_mins(2)).await;
    assert!(!is_there(&api, "o1").await);
    assert!(is_there(&api, "open").await, "what is not finished stays");

    let found = api.get(&format!("{ARCHIVE}/o1")).await.ok();
    assert_eq!(found["object"]["status"]["phase"], "Cancelled");
    assert_eq!(found["object"]["kind"], "Order");
    let left: Timestamp = text(&found["archivedAt"]).parse().unwrap();
    let finished: Timestamp = text(&found["object"]["status"]["finishedAt"]).parse().unwrap();
    let stayed = left.duration_since(finished);
    assert!(stayed >= SignedDuration::from_hours(48) && stayed < SignedDuration::from_hours(49), "{stayed}");
    assert_eq!(archived(&api).await, ["o1"]);
}

#[tokio::test(start_paused = true)]
async fn an_order_says_itself_how_long_it_stays() {
    let api = shop(1.0).await;
    finish(&api, "brief", &json!({"ttlSecondsAfterFinished": 60})).await;
    finish(&api, "at-once", &json!({"ttlSecondsAfterFinished": 0})).await;
    sleep(Duration::from_secs(40)).await;
    assert_eq!(archived(&api).await, ["at-once"]);
    sleep(Duration::from_mins(1)).await;
    assert_eq!(archived(&api).await, ["brief", "at-once"]);
    let mut wrong = order("wrong");
    wrong["spec"]["ttlSecondsAfterFinished"] = json!(-1);
    let refused = api.post(ORDERS, &wrong).await;
    assert_eq!(refused.refusal().0, 422);
    assert!(refused.refusal().2.contains("spec.ttlSecondsAfterFinished"), "{}", refused.refusal().2);
}

#[tokio::test(start_paused = true)]
async fn the_time_that_an_order_stays_is_system_time() {
    let api = shop(60.0).await;
    finish(&api, "o1", &json!({"ttlSecondsAfterFinished": 600})).await;
    sleep(Duration::from_secs(500)).await;
    assert!(is_there(&api, "o1").await);
    sleep(Duration::from_secs(150)).await;
    assert!(!is_there(&api, "o1").await);
}

#[tokio::test(start_paused = true)]
async fn an_order_that_somebody_holds_back_leaves_for_the_archive_once_it_is_let_go() {
    let api = shop(1.0).await;
    finish(&api, "o1", &json!({"ttlSecondsAfterFinished": 60})).await;
    let held = json!({"metadata": {"finalizers": ["example.com/invoice"]}});
    api.merge(&format!("{ORDERS}/o1"), &held).await.ok();
    sleep(Duration::from_secs(100)).await;
    let going = api.get(&format!("{ORDERS}/o1")).await.ok();
    assert!(going["metadata"]["deletionTimestamp"].is_string());
    assert!(archived(&api).await.is_empty());
    api.merge(&format!("{ORDERS}/o1"), &json!({"metadata": {"finalizers": null}})).await.ok();
    assert!(!is_there(&api, "o1").await);
    assert_eq!(archived(&api).await, ["o1"]);
}

#[tokio::test(start_paused = true)]
async fn what_a_person_deletes_is_gone_for_good() {
    let api = shop(1.0).await;
    finish(&api, "o1", &json!({})).await;
    api.delete(&format!("{ORDERS}/o1"), &Value::Null).await.ok();
    assert!(archived(&api).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_event_goes_an_hour_after_it_last_happened() {
    let api = shop(1.0).await;
    let event = |name: &str| {
        json!({"apiVersion": "v1", "kind": "Event", "metadata": {"name": name}, "reason": "Assigned", "type": "Normal",
               "involvedObject": {"kind": "Order", "name": "o1", "namespace": "default"}})
    };
    api.post(EVENTS, &event("old")).await.ok();
    api.post(EVENTS, &event("again")).await.ok();
    sleep(Duration::from_mins(50)).await;
    let now = api.plane.clock().system_now().to_string();
    api.merge(&format!("{EVENTS}/again"), &json!({"lastTimestamp": now, "count": 2})).await.ok();
    sleep(Duration::from_mins(15)).await;
    let names = |list: &Value| -> Vec<String> {
        list["items"].as_array().unwrap().iter().map(|e| text(&e["metadata"]["name"]).to_owned()).collect()
    };
    assert_eq!(names(&api.get(EVENTS).await.ok()), ["again"]);
    sleep(Duration::from_mins(50)).await;
    assert!(names(&api.get(EVENTS).await.ok()).is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_archive_is_read_in_pages_by_those_who_may_read_orders() {
    let api = shop(1.0).await;
    for n in 0..5 {
        finish(&api, &format!("o{n}"), &json!({"ttlSecondsAfterFinished": 0})).await;
        sleep(Duration::from_mins(1)).await;
    }
    let first = api.get(&format!("{ARCHIVE}?limit=2")).await.ok();
    let next = text(&first["next"]);
    let second = api.get(&format!("{ARCHIVE}?limit=3&before={next}")).await.ok();
    let names = |page: &Value| -> Vec<String> {
        let items = page["items"].as_array().unwrap().iter();
        items.map(|item| text(&item["object"]["metadata"]["name"]).to_owned()).collect()
    };
    assert_eq!(
        (names(&first), names(&second)),
        (vec!["o4".into(), "o3".into()], vec!["o2".into(), "o1".into(), "o0".into()])
    );

    let problem = |answer: &crate::client::Answer| (answer.code.as_u16(), text(&answer.body["detail"]).to_owned());
    let stranger = api.as_user("nobody").get(ARCHIVE).await;
    assert_eq!(stranger.code, StatusCode::NOT_FOUND, "to them the namespace does not exist");
    assert_eq!(api.as_user(DISPATCH).get(ARCHIVE).await.code, StatusCode::FORBIDDEN);
    assert_eq!(stranger.headers["content-type"], "application/problem+json");
    assert_eq!(api.get(&format!("{ARCHIVE}/none")).await.code, StatusCode::NOT_FOUND);
    assert_eq!(api.get("/v1/namespaces/default/archive/nonsense").await.code, StatusCode::NOT_FOUND);
    assert!(archived_elsewhere(&api).await.is_empty());
    let (code, detail) = problem(&api.get(&format!("{ARCHIVE}?limit=0")).await);
    assert_eq!(code, 400);
    assert!(detail.contains("limit"), "{detail}");
    assert_eq!(problem(&api.get(&format!("{ARCHIVE}?before=x")).await).0, 400);
    assert_eq!(problem(&api.get(&format!("{ARCHIVE}?order=x")).await).0, 400);
}

async fn archived_elsewhere(api: &Api) -> Vec<Value> {
    let page = api.get("/v1/namespaces/dropmate-system/archive/orders").await.ok();
    page["items"].as_array().unwrap().clone()
}
