//! What the notification agent is told of what happened, and that it is what everybody else hears.

#[path = "events/feed.rs"]
mod feed;
#[path = "events/published.rs"]
mod published;

use std::collections::BTreeMap;

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    server::Server,
    stream::{Shop, Socket},
    tenants::at,
};

/// The agent's page of what happened.
pub(crate) async fn feed(server: &Server, query: &str) -> Value {
    let answer = ask(server, "notification", query).await;
    assert_eq!(answer.0, 200, "{query}: {}", answer.1);
    answer.1
}

async fn ask(server: &Server, caller: &str, query: &str) -> (u16, Value) {
    let answer = server.call(caller, Method::GET, &format!("/v1/internal/events?{query}")).send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

/// Everything that is told after a revision, page by page.
pub(crate) async fn all_after(server: &Server, after: u64, limit: usize) -> Vec<Value> {
    let (mut events, mut after) = (Vec::new(), after);
    loop {
        let page = feed(server, &format!("after={after}&limit={limit}")).await;
        events.extend(page["events"].as_array().unwrap().iter().cloned());
        let next = page["next"].as_u64().unwrap();
        assert!(next >= after);
        if next == page["newest"] {
            return events;
        }
        assert!(next > after, "a page that is not the last one goes on");
        after = next;
    }
}

fn names(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["type"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_life_is_told_in_order_whole_and_once() {
    let shop = Shop::open().await;
    let start = feed(&shop.server, "after=latest").await;
    assert_eq!(start["events"], json!([]));
    assert_eq!(start["next"], start["newest"]);
    let after = start["next"].as_u64().unwrap();
    shop.delivered("o-1", "sam").await;
    let told = all_after(&shop.server, after, 500).await;
    assert_eq!(
        names(&told),
        [
            "order.created",
            "order.ready",
            "delivery.updated",
            "order.assigned",
            "delivery.updated",
            "order.pickup_enroute",
            "delivery.updated",
            "order.pickup_arrived",
            "delivery.updated",
            "order.picked_up",
            "order.out_for_delivery",
            "delivery.updated",
            "order.dropoff_arrived",
            "delivery.updated",
            "order.delivered",
            "delivery.updated",
        ]
    );
    let mut numbers = BTreeMap::<&str, usize>::new();
    for event in &told {
        let sequence = event["sequence"].as_str().unwrap();
        let ordinal = numbers.entry(sequence).or_default();
        assert_eq!(event["id"], format!("evt_{}_{sequence}_{ordinal}", start["epoch"].as_str().unwrap()));
        *ordinal += 1;
        let order = &event["data"]["order"];
        assert_eq!(
            (&event["subject"], &order["metadata"]["resourceVersion"]),
            (&json!("acme/o-1"), &event["sequence"])
        );
        assert_eq!(order["metadata"].get("managedFields"), None);
        assert!(order["spec"]["dropoff"]["address"].is_string(), "whole: {order}");
        assert!(!order["status"].to_string().contains("digest"), "{order}");
    }
    // However it is read: in small pages, and again.
    for limit in [1, 2, 3, 1000] {
        assert_eq!(all_after(&shop.server, after, limit).await, told, "in pages of {limit}");
    }
    // And after a restart.
    let dir = shop.server.end().await;
    let server = Server::start_in(dir).await;
    assert_eq!(all_after(&server, after, 7).await, told);
    server.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_stream_tells_has_the_same_names_whoever_hears_it() {
    let shop = Shop::open().await;
    let token = shop.member("phone", "driver").await;
    let after = feed(&shop.server, "after=latest").await["next"].as_u64().unwrap();
    let mut manager = shop.stream().await;
    let mut driver = Socket::open(&shop.server, &token, "namespace=acme").await;
    shop.order("o-1").await;
    shop.release("o-1").await;
    // What is asked of kim is not told to sam, and what follows is told under its own number.
    shop.offer("o-1", "kim").await;
    shop.bind("o-1", "sam").await;
    shop.unbind("o-1").await;
    let told = all_after(&shop.server, after, 500).await;
    let by_id: BTreeMap<&str, &Value> = told.iter().map(|event| (event["id"].as_str().unwrap(), event)).collect();
    assert_eq!(by_id.len(), told.len());
    assert!(names(&told).contains(&"order.offered"), "{:?}", names(&told));
    let hear = async |stream: &mut Socket, last: &str, times: usize| {
        let mut heard: Vec<Value> = Vec::new();
        while heard.iter().filter(|event| event["type"] == last).count() < times {
            heard.push(stream.event_frame().await["data"].clone());
        }
        stream.settle_within(std::time::Duration::from_millis(300)).await;
        heard.extend(stream.coarse.iter().map(|frame| frame["data"].clone()));
        heard
    };
    let heard = hear(&mut manager, "order.ready", 2).await;
    let mut ids: Vec<_> = heard.iter().map(|event| event["id"].as_str().unwrap()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids, by_id.keys().copied().collect::<Vec<_>>(), "who sees everything hears all of it");
    for event in &heard {
        let same = by_id[event["id"].as_str().unwrap()];
        for field in ["type", "subject", "time", "sequence", "source"] {
            assert_eq!(event[field], same[field]);
        }
    }
    let heard = hear(&mut driver, "order.deleted", 1).await;
    assert!(heard.iter().any(|event| event["type"] == "order.assigned"));
    for event in &heard {
        match by_id.get(event["id"].as_str().unwrap()) {
            Some(same) => assert_eq!(event["type"], same["type"], "{event}"),
            // That it left their sight is told to nobody else, under a name of its own.
            None => assert_eq!(event["type"], "order.deleted"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn drivers_and_webhooks_have_their_own() {
    let shop = Shop::open().await;
    let after = feed(&shop.server, "after=latest").await["next"].as_u64().unwrap();
    let patch = async |caller: &str, path: &str, change: &Value| {
        shop.send(caller, Method::PATCH, &at("acme", path), change).await;
    };
    patch("operator", "drivers/sam", &json!({"spec": {"suspended": true}})).await;
    patch("operator", "drivers/sam", &json!({"spec": {"capacity": {"orders": 3}}})).await;
    let silent = json!([{"type": "TrackingStale", "status": "True", "reason": "DriverSilent", "message": "",
        "lastTransitionTime": "2026-11-29T12:00:00Z"}]);
    patch("tracking", "drivers/kim/status", &json!({"status": {"conditions": silent}})).await;
    let webhook = json!({"apiVersion": "dropmate.dev/v1", "kind": "Webhook", "metadata": {"name": "erp"},
        "spec": {"url": "https://erp.example/hook", "events": ["order.*"], "secretName": "erp"}});
    shop.post("operator", &at("acme", "webhooks"), &webhook).await;
    let off = json!({"status": {"failures": 9, "disabledAt": "2026-11-29T12:30:00Z", "disabledReason": "Gone"}});
    patch("notification", "webhooks/erp/status", &off).await;
    let told = all_after(&shop.server, after, 500).await;
    assert_eq!(names(&told), ["driver.unavailable", "driver.silent", "webhook.disabled"]);
    assert_eq!(told[0]["source"], "/apis/dropmate.dev/v1/namespaces/acme/drivers");
    assert_eq!(
        (&told[0]["subject"], &told[0]["data"]["driver"]["spec"]["suspended"]),
        (&json!("acme/sam"), &json!(true))
    );
    assert_eq!(told[1]["time"], "2026-11-29T12:00:00Z");
    assert_eq!(told[2]["data"]["reason"], "Gone");
    assert_eq!(told[2]["data"]["webhook"]["spec"]["url"], "https://erp.example/hook");
}
