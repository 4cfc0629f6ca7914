//! Who changed what, and the state of a moment. Under paused time.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use dropmate_api::Clock;
use dropmate_control_plane::ControlPlane;
use dropmate_store::{Options, Store};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::client::{Api, ORDERS, order, text};

const TRACKING: &str = "system:serviceaccount:dropmate-system:tracking";
const HISTORY: &str = "/v1/namespaces/default/history/orders/o1";
const START: &str = "2026-05-01T10:00:00Z";

/// A control plane whose system time is the runtime's.
async fn shop() -> Api {
    let start: Timestamp = START.parse().unwrap();
    let origin = Instant::now();
    let now = Arc::new(move || start + SignedDuration::try_from(origin.elapsed()).unwrap());
    Api::start_at(Clock::real(now)).await
}

fn items(page: &Value) -> Vec<(&str, &str)> {
    let items = page["items"].as_array().unwrap().iter();
    items.map(|item| (text(&item["change"]), text(&item["user"]))).collect()
}

#[tokio::test(start_paused = true)]
async fn every_change_is_told_with_who_made_it_and_what_it_changed() {
    let api = shop().await;
    api.post(ORDERS, &order("o1")).await.ok();
    sleep(Duration::from_mins(1)).await;
    let path = format!("{ORDERS}/o1");
    api.merge(&path, &json!({"spec": {"priority": 7}, "metadata": {"labels": {"a.b/c": "d"}}})).await.ok();
    let eta = json!({"status": {"eta": "2026-05-01T11:00:00Z"}});
    api.as_user(TRACKING).merge(&format!("{path}/status"), &eta).await.ok();
    api.delete(&path, &Value::Null).await.ok();
    let page = api.get(HISTORY).await.ok();
    let who = [("created", "operator"), ("modified", "operator"), ("modified", TRACKING), ("deleted", "operator")];
    assert_eq!(items(&page), who);
    let item = &page["items"][1];
    assert_eq!(
        item["changes"],
        json!([
            {"field": "metadata.labels[a.b/c]", "new": "d"},
            {"field": "spec.priority", "old": 0, "new": 7},
        ])
    );
    assert_eq!(item["at"], "2026-05-01T10:01:00Z");
    assert!(item["requestId"].as_str().is_some_and(|id| !id.is_empty()), "{item}");
    assert_eq!(page["next"], Value::Null);
    assert_eq!(api.get("/v1/namespaces/default/history/orders/nobody").await.code, 404);
    assert_eq!(api.get("/v1/namespaces/default/history/nothings/o1").await.code, 404);
}

#[tokio::test(start_paused = true)]
async fn pages_of_history_join_without_gap_or_double() {
    let api = shop().await;
    api.post(ORDERS, &order("o1")).await.ok();
    for priority in 1..30 {
        api.merge(&format!("{ORDERS}/o1"), &json!({"spec": {"priority": priority}})).await.ok();
    }
    let (mut seen, mut path) = (Vec::new(), format!("{HISTORY}?limit=7"));
    loop {
        let page = api.get(&path).await.ok();
        let items = page["items"].as_array().unwrap();
        assert!(items.len() <= 7);
        seen.extend(items.iter().map(|item| item["changes"][0]["new"].clone()));
        let Some(next) = page["next"].as_str() else { break };
        path = format!("{HISTORY}?limit=7&after={next}");
    }
    let expected: Vec<Value> = std::iter::once(Value::Null).chain((1..30).map(Value::from)).collect();
    assert_eq!(seen, expected);
    for wrong in ["limit=0", "limit=201", "limit=x", "after=x", "else=1"] {
        assert_eq!(api.get(&format!("{HISTORY}?{wrong}")).await.code, 400, "{wrong}");
    }
}

#[tokio::test(start_paused = true)]
async fn history_is_for_those_who_may_read_the_object() {
    let api = shop().await;
    api.post(ORDERS, &order("o1")).await.ok();
    api.get(HISTORY).await.ok();
    assert_eq!(api.as_user(TRACKING).get(HISTORY).await.code, 403, "agents have no use for it");
    assert_eq!(api.as_user("stranger").get(HISTORY).await.code, 404, "to them the namespace does not exist");
    assert_eq!(api.as_user("stranger").get("/v1/history/namespaces/default").await.code, 404);
    assert_eq!(api.get("/v1/history/namespaces/default").await.ok()["items"][0]["change"], "created");
    assert_eq!(api.get("/v1/history/orders/o1").await.code, 404, "orders are in namespaces");
}

#[tokio::test(start_paused = true)]
async fn the_state_of_a_moment_is_listed_at_its_revision() {
    let api = shop().await;
    sleep(Duration::from_mins(1)).await;
    api.post(ORDERS, &order("o1")).await.ok();
    sleep(Duration::from_mins(10)).await;
    api.merge(&format!("{ORDERS}/o1"), &json!({"spec": {"priority": 7}})).await.ok();
    api.post(ORDERS, &order("o2")).await.ok();
    let state = async |at: &str| {
        let found = api.get(&format!("/v1/revisions?at={at}")).await.ok();
        let list = format!("{ORDERS}?resourceVersion={}&resourceVersionMatch=Exact", text(&found["revision"]));
        let list = api.get(&list).await.ok();
        let items = list["items"].as_array().unwrap().iter();
        items
            .map(|item| format!("{}/{}", text(&item["metadata"]["name"]), item["spec"]["priority"]))
            .collect::<Vec<_>>()
    };
    assert_eq!(state("2026-05-01T10:00:30Z").await, [""; 0]);
    assert_eq!(state("2026-05-01T10:01:00Z").await, ["o1/0"]);
    assert_eq!(state("2026-05-01T10:10:59Z").await, ["o1/0"]);
    assert_eq!(state("2026-05-01T10:11:00Z").await, ["o1/7", "o2/0"]);
    assert_eq!(state("2026-05-01T23:11:00Z").await, ["o1/7", "o2/0"], "later is now");

    let gone = api.get("/v1/revisions?at=2026-04-30T10:00:00Z").await;
    assert_eq!(gone.code, 410);
    assert!(text(&gone.body["detail"]).contains(&format!("the oldest is {START}")), "{}", gone.body);
    for wrong in ["", "?at=yesterday", "?at=2026-05-01T10:00:00Z&resource=nothings"] {
        assert_eq!(api.get(&format!("/v1/revisions{wrong}")).await.code, 400, "{wrong}");
    }
}

#[tokio::test]
async fn what_is_older_than_the_history_is_told_as_known_and_as_gone() {
    let start: Timestamp = START.parse().unwrap();
    let passed = Arc::new(AtomicI64::new(0));
    let hours = passed.clone();
    let now = Arc::new(move || start + SignedDuration::from_hours(hours.load(Ordering::SeqCst)));
    let dir = tempfile::tempdir().unwrap();
    let store = Store::sqlite(dir.path().join("control.db"), now.clone(), Options::default()).await.unwrap();
    let api = Api::over(ControlPlane::over_store(store.clone(), Clock::real(now)).await);
    api.post(ORDERS, &order("o1")).await.ok();
    api.merge(&format!("{ORDERS}/o1"), &json!({"spec": {"priority": 1}})).await.ok();
    passed.store(30, Ordering::SeqCst);
    api.merge(&format!("{ORDERS}/o1"), &json!({"spec": {"priority": 2}})).await.ok();
    assert!(store.compact(start + SignedDuration::from_hours(30)).await.unwrap() > 0);
    let page = api.get(HISTORY).await.ok();
    assert_eq!(items(&page), [("known", "operator"), ("modified", "operator")]);
    assert_eq!(page["items"][0].get("changes"), None);

    let gone = api.get("/v1/revisions?at=2026-05-01T09:59:00Z").await;
    assert_eq!(gone.code, 410);
    let oldest = text(&gone.body["detail"]).split("the oldest is ").nth(1).unwrap().to_owned();
    api.get(&format!("/v1/revisions?at={oldest}")).await.ok();
    api.plane.close().await;
}
