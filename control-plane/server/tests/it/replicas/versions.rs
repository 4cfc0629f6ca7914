//! Versions and tokens of one replica at the other.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use axum::body::Body;
use dropmate_api::Order;
use futures::StreamExt;
use http::Request;
use jiff::SignedDuration;
use kube::{
    ResourceExt,
    runtime::{WatchStreamExt, watcher},
};
use serde_json::{Value, json};
use tower::ServiceExt;

use super::{PATIENCE, Two, two};
use crate::client::{Api, ORDERS, order, text};

fn version(object: &Value) -> &str {
    text(&object["metadata"]["resourceVersion"])
}

fn number(object: &Value) -> u64 {
    version(object).parse().unwrap()
}

fn names(list: &Value) -> Vec<&str> {
    list["items"].as_array().unwrap().iter().map(|item| text(&item["metadata"]["name"])).collect()
}

#[tokio::test]
async fn what_was_written_at_one_is_read_listed_and_watched_from_at_the_other_at_once() {
    let two = two().await;
    for round in 0..20 {
        let (writes, reads) = if round % 2 == 0 { (&two.a, &two.b) } else { (&two.b, &two.a) };
        let name = format!("o{round:02}");
        let created = writes.post(ORDERS, &order(&name)).await.ok();
        let path = format!("{ORDERS}/{name}");
        assert_eq!(reads.get(&path).await.ok(), created);
        let list = reads.get(ORDERS).await.ok();
        assert!(names(&list).contains(&name.as_str()), "{name} is not in the list");
        assert!(number(&list) >= number(&created), "the list is at {}", number(&list));
        let mut watch = reads.watch(&format!("{ORDERS}?watch=true&resourceVersion={}", version(&created))).await;
        let changed = reads.merge(&path, &json!({"spec": {"priority": 1}})).await.ok();
        assert_eq!(writes.get(&path).await.ok(), changed);
        let event = watch.next().await.unwrap();
        assert_eq!((text(&event["type"]), version(&event["object"])), ("MODIFIED", version(&changed)));
    }
}

#[tokio::test]
async fn a_walk_in_pages_that_goes_on_at_the_other_sees_the_state_of_its_first_page() {
    let Two { a, b, _database } = two().await;
    for index in 0..10 {
        a.post(ORDERS, &order(&format!("o{index}"))).await.ok();
    }
    let first = a.get(&format!("{ORDERS}?limit=3")).await.ok();
    b.delete(&format!("{ORDERS}/o9"), &Value::Null).await.ok();
    a.post(ORDERS, &order("o99")).await.ok();
    let mut seen: Vec<String> = names(&first).into_iter().map(str::to_owned).collect();
    let mut token = text(&first["metadata"]["continue"]).to_owned();
    let mut goes_on_at = [&b, &a].into_iter().cycle();
    while !token.is_empty() {
        let at = goes_on_at.next().unwrap();
        let page = at.get(&format!("{ORDERS}?limit=3&continue={token}")).await.ok();
        assert_eq!(version(&page), version(&first));
        seen.extend(names(&page).into_iter().map(str::to_owned));
        text(&page["metadata"]["continue"]).clone_into(&mut token);
    }
    assert_eq!(seen, (0..10).map(|index| format!("o{index}")).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_version_of_one_means_the_same_at_the_other() {
    let Two { a, b, _database } = two().await;
    a.post(ORDERS, &order("o1")).await.ok();
    let before = a.get(ORDERS).await.ok();
    let version = version(&before).to_owned();
    let newest = a.post(ORDERS, &order("o2")).await.ok();
    let exact = b.get(&format!("{ORDERS}?resourceVersion={version}&resourceVersionMatch=Exact")).await.ok();
    assert_eq!(exact, before);
    let not_older = format!("{ORDERS}?resourceVersion={}&resourceVersionMatch=NotOlderThan", number(&newest));
    assert_eq!(names(&b.get(&not_older).await.ok()), ["o1", "o2"]);
    let stale = json!({"metadata": {"resourceVersion": version}, "spec": {"priority": 1}});
    assert_eq!(b.merge(&format!("{ORDERS}/o2"), &stale).await.refusal().0, 409, "o2 is newer than that");
    let future = format!("{ORDERS}?resourceVersion=999999&resourceVersionMatch=NotOlderThan");
    assert_eq!(b.get(&future).await.refusal().0, 504);
}

#[tokio::test]
async fn history_that_one_has_compacted_is_gone_at_the_other() {
    let Two { a, b, _database } = two().await;
    for index in 0..5 {
        a.post(ORDERS, &order(&format!("o{index}"))).await.ok();
    }
    let page = b.get(&format!("{ORDERS}?limit=2")).await.ok();
    let old = version(&page);
    a.merge(&format!("{ORDERS}/o4"), &json!({"spec": {"priority": 1}})).await.ok();
    let tomorrow = a.plane.clock().system_now() + SignedDuration::from_hours(25);
    assert!(a.plane.store().compact(tomorrow).await.unwrap() > 0);
    // The first to look in the log learns of it; what is still in memory is no lie.
    let fresh = super::replica(&_database).await;
    for at in [&a, &fresh] {
        let exact = at.get(&format!("{ORDERS}?resourceVersion={old}&resourceVersionMatch=Exact")).await;
        assert_eq!(exact.refusal().0, 410);
        let mut watch = at.watch(&format!("{ORDERS}?watch=true&resourceVersion={old}")).await;
        assert_eq!(watch.next().await.unwrap()["object"]["code"], 410);
        assert!(watch.next().await.is_none(), "the watch ends");
        let token = text(&page["metadata"]["continue"]);
        let walk = at.get(&format!("{ORDERS}?limit=2&continue={token}")).await;
        assert_eq!(walk.refusal().0, 410);
        // With the token in the refusal the rest can be had, as it is now.
        let token = text(&walk.body["metadata"]["continue"]).to_owned();
        let rest = b.get(&format!("{ORDERS}?continue={token}")).await.ok();
        assert_eq!(names(&rest), ["o2", "o3", "o4"]);
    }
}

/// A client of the first while it runs, and then of the second.
fn follows(first: &Api, second: &Api, first_is_gone: &Arc<AtomicBool>) -> kube::Client {
    let routers = [first.plane.in_process("operator"), second.plane.in_process("operator")];
    let gone = first_is_gone.clone();
    let service = tower::service_fn(move |request: Request<kube::client::Body>| {
        let router = routers[usize::from(gone.load(Ordering::SeqCst))].clone();
        router.oneshot(request.map(Body::new))
    });
    kube::Client::new(service, "default")
}

#[tokio::test]
async fn a_watch_goes_on_at_the_other_when_its_own_goes_away() {
    const EACH: usize = 10;
    let Two { a, b, _database } = two().await;
    let gone = Arc::new(AtomicBool::new(false));
    let orders: kube::Api<Order> = kube::Api::default_namespaced(follows(&a, &b, &gone));
    let watch = tokio::spawn(async move {
        let mut events = std::pin::pin!(watcher(orders, watcher::Config::default()).default_backoff());
        let (mut seen, mut lists): (BTreeMap<String, usize>, usize) = (BTreeMap::new(), 0);
        while seen.len() < 3 * EACH {
            match events.next().await.unwrap() {
                Ok(watcher::Event::Init) => lists += 1,
                Ok(watcher::Event::Apply(order) | watcher::Event::InitApply(order)) => {
                    *seen.entry(order.name_any()).or_default() += 1;
                }
                _ => {}
            }
        }
        (seen, lists)
    });
    let trade = async |at: &Api, round: usize| {
        for index in 0..EACH {
            at.post(ORDERS, &order(&format!("o{round}-{index}"))).await.ok();
        }
    };
    trade(&a, 0).await;
    trade(&b, 1).await;
    // What comes between is seen from the log.
    gone.store(true, Ordering::SeqCst);
    a.plane.close().await;
    trade(&b, 2).await;
    let (seen, lists) = tokio::time::timeout(PATIENCE, watch).await.expect("all is seen").unwrap();
    assert_eq!(lists, 1, "the watch went on from its version");
    assert!(seen.values().all(|times| *times == 1), "{seen:?}");
}
