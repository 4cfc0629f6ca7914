//! Watches: what a watcher sees, and when.

use std::time::Duration;

use serde_json::{Value, json};

use crate::client::{Api, ORDERS, order, text};

fn named(kind: &str, name: &str) -> (String, String) {
    (kind.to_owned(), name.to_owned())
}

#[tokio::test]
async fn a_watch_without_a_version_begins_with_the_state() {
    let api = Api::start().await;
    api.post(ORDERS, &order("o1")).await.ok();
    let mut watch = api.watch(&format!("{ORDERS}?watch=true")).await;
    assert_eq!(watch.next_named().await, named("ADDED", "o1"));
    api.post(ORDERS, &order("o2")).await.ok();
    api.merge(&format!("{ORDERS}/o2"), &json!({"spec": {"priority": 1}})).await.ok();
    api.delete(&format!("{ORDERS}/o1"), &Value::Null).await.ok();
    assert_eq!(watch.next_named().await, named("ADDED", "o2"));
    assert_eq!(watch.next_named().await, named("MODIFIED", "o2"));
    assert_eq!(watch.next_named().await, named("DELETED", "o1"));
}

#[tokio::test]
async fn a_watch_from_a_version_sees_each_change_after_it_once() {
    let api = Api::start().await;
    let first = api.post(ORDERS, &order("o1")).await.ok();
    api.post(ORDERS, &order("o2")).await.ok();
    let version = text(&first["metadata"]["resourceVersion"]);
    let mut watch = api.watch(&format!("{ORDERS}?watch=true&resourceVersion={version}")).await;
    assert_eq!(watch.next_named().await, named("ADDED", "o2"));
    let gone = api.delete(&format!("{ORDERS}/o2"), &Value::Null).await;
    assert_eq!(gone.code, 200);
    let event = watch.next().await.unwrap();
    assert_eq!(event["type"], "DELETED");
    let versions = [&first, &event["object"]].map(|o| text(&o["metadata"]["resourceVersion"]).parse::<u64>().unwrap());
    assert!(versions[0] < versions[1], "{versions:?}");
}

#[tokio::test]
async fn an_object_enters_a_selector_as_added_and_leaves_it_as_deleted() {
    let api = Api::start().await;
    api.post(ORDERS, &order("o1")).await.ok();
    let mut watch = api.watch(&format!("{ORDERS}?watch=true&labelSelector=hot")).await;
    let label = |value: Value| json!({"metadata": {"labels": {"hot": value}}});
    api.merge(&format!("{ORDERS}/o1"), &label(json!("yes"))).await.ok();
    assert_eq!(watch.next_named().await, named("ADDED", "o1"));
    let left = api.merge(&format!("{ORDERS}/o1"), &label(Value::Null)).await.ok();
    let event = watch.next().await.unwrap();
    assert_eq!(event["type"], "DELETED");
    assert_eq!(event["object"]["metadata"]["labels"]["hot"], "yes");
    assert_eq!(event["object"]["metadata"]["resourceVersion"], left["metadata"]["resourceVersion"]);
}

#[tokio::test]
async fn a_streaming_list_ends_its_beginning_with_a_bookmark() {
    let api = Api::start().await;
    api.post(ORDERS, &order("o1")).await.ok();
    let query = "watch=true&sendInitialEvents=true&allowWatchBookmarks=true&resourceVersionMatch=NotOlderThan";
    let mut watch = api.watch(&format!("{ORDERS}?{query}")).await;
    assert_eq!(watch.next_named().await, named("ADDED", "o1"));
    let bookmark = watch.next().await.unwrap();
    assert_eq!(bookmark["type"], "BOOKMARK");
    assert_eq!(bookmark["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"], "true");
    assert_eq!(bookmark["object"]["kind"], "Order");
}

#[tokio::test(start_paused = true)]
async fn bookmarks_come_every_minute_and_before_the_end() {
    let api = Api::start().await;
    let mut watch = api.watch(&format!("{ORDERS}?watch=true&allowWatchBookmarks=true&timeoutSeconds=130")).await;
    let begun = tokio::time::Instant::now();
    let mut at = Vec::new();
    while let Some(event) = watch.next().await {
        assert_eq!(event["type"], "BOOKMARK");
        assert!(event["object"]["metadata"]["resourceVersion"].is_string());
        at.push(begun.elapsed().as_secs());
    }
    assert_eq!(at, [60, 120, 128]);
    assert_eq!(begun.elapsed().as_secs(), 130);
}

#[tokio::test(start_paused = true)]
async fn a_watch_without_bookmarks_ends_in_silence() {
    let api = Api::start().await;
    let mut watch = api.watch(&format!("{ORDERS}?watch=true&timeoutSeconds=3")).await;
    let begun = tokio::time::Instant::now();
    assert_eq!(watch.next().await, None);
    assert_eq!(begun.elapsed(), Duration::from_secs(3));
}

#[tokio::test]
async fn a_watch_below_the_history_ends_with_one_error() {
    let api = Api::start().await;
    api.post(ORDERS, &order("o1")).await.ok();
    api.merge(&format!("{ORDERS}/o1"), &json!({"spec": {"priority": 1}})).await.ok();
    let later = api.plane.clock().system_now() + jiff::SignedDuration::from_hours(48);
    api.plane.store().compact(later).await.unwrap();
    let mut watch = api.watch(&format!("{ORDERS}?watch=true&resourceVersion=1")).await;
    let event = watch.next().await.unwrap();
    assert_eq!(event["type"], "ERROR");
    assert_eq!(event["object"]["code"], 410);
    assert_eq!(event["object"]["reason"], "Expired");
    assert_eq!(watch.next().await, None);
    let exact = api.get(&format!("{ORDERS}?resourceVersion=1&resourceVersionMatch=Exact")).await;
    assert_eq!(exact.refusal(), (410, "Expired", "The resourceVersion for the provided list is too old."));
}
