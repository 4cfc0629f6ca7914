//! The stream of a link: what is heard there, and when it ends.

use std::time::Duration;

use jiff::SignedDuration;
use serde_json::{Value, json};

use super::Late;
use crate::{
    client::text,
    proofs::Shop,
    stream::socket::{Socket, ask_at},
};

async fn open(shop: &Shop, token: &str) -> Socket {
    let mut socket = ask_at(&shop.server, &format!("/v1/track/{token}/stream"), &[]).await.unwrap();
    let hello = socket.next().await;
    assert_eq!((&hello["type"], hello["epoch"].is_string()), (&"hello".into(), true), "{hello}");
    socket
}

#[tokio::test]
async fn all_there_is_comes_first_then_what_changes_and_where_the_driver_is() {
    let shop = Shop::open().await;
    shop.plan("sam", &[("sams", "pickup"), ("sams", "dropoff")]).await;
    let token = shop.link_token("sams").await;
    let mut socket = open(&shop, &token).await;
    let first = socket.next().await;
    assert_eq!((&first["type"], &first["data"]), (&"reset".into(), &shop.seen(&token).await));
    assert_eq!(first["data"]["phase"], "Assigned");
    shop.drives("sam", 43.60);
    shop.tell("sams", "pickUp", "sam", &Value::Null).await.ok();
    let changed = loop {
        let frame = socket.next().await;
        if frame["data"]["phase"] == "OutForDelivery" {
            break frame;
        }
    };
    assert_eq!(changed["type"], "event");
    assert!(changed["seq"].as_u64() > first["seq"].as_u64());
    assert!(changed["data"]["driver"].get("position").is_none(), "that was before: {changed}");
    shop.drives("sam", 43.61);
    let appeared = socket.next().await;
    assert_eq!(appeared["type"], "event", "{appeared}");
    assert_eq!(appeared["data"]["driver"]["position"]["latitude"], 43.61);
    shop.drives("sam", 43.62);
    let moved = socket.next().await;
    assert_eq!((&moved["type"], &moved["data"]["latitude"]), (&"position".into(), &43.62.into()), "{moved}");
    shop.tell("sams", "deliver", "sam", &Value::Null).await.ok();
    let over = socket.next().await;
    assert_eq!((&over["type"], &over["data"]["phase"]), (&"event".into(), &"Delivered".into()), "{over}");
    assert!(over["data"].get("driver").is_none());
    shop.drives("sam", 43.63);
    assert_eq!(socket.within(Duration::from_secs(2)).await, None, "and nothing after");
}

#[tokio::test]
async fn a_stream_ends_with_its_link() {
    let late = Late::open(&[]).await;
    let shop = &late.shop;
    let (sams, kims) = (shop.link_token("sams").await, shop.link_token("kims").await);
    let (mut revoked, mut over) = (open(shop, &sams).await, open(shop, &kims).await);
    shop.of_acme("manager").delete("/v1/namespaces/acme/orders/sams/tracking-links", &json!({})).await.ok();
    assert_eq!(revoked.closed().await, 4401);
    shop.bring("kims", "kim").await;
    while over.next().await["data"]["phase"] != "Delivered" {}
    late.pass(SignedDuration::from_hours(2));
    // Nobody writes anything any more: time alone ends it.
    let ended = tokio::time::timeout(Duration::from_secs(20), async {
        loop {
            if let Ok(code) = tokio::time::timeout(Duration::from_secs(4), over.closed()).await {
                return code;
            }
        }
    });
    assert_eq!(ended.await.expect("within a quarter of a minute"), 4401);
    assert_eq!(ask_at(&shop.server, &format!("/v1/track/{sams}/stream"), &[]).await.err(), Some(404));
}

#[tokio::test]
async fn pages_from_elsewhere_get_no_stream() {
    let shop = Shop::open().await;
    let token = shop.link_token("sams").await;
    let path = format!("/v1/track/{token}/stream");
    let mut foreign = ask_at(&shop.server, &path, &[("origin", "https://evil.example")]).await.unwrap();
    assert_eq!(foreign.closed().await, 4403);
    let own = shop.server.url("");
    let mut own = ask_at(&shop.server, &path, &[("origin", &own)]).await.unwrap();
    assert_eq!(own.next().await["type"], "hello");
    let metrics = shop.server.metrics().await;
    assert!(metrics.contains("dropmate_track_streams 1"), "{metrics}");
    assert_eq!(text(&shop.seen(&token).await["phase"]), "Assigned");
}
