//! Who hears what, and for how long.

use std::time::Duration;

use serde_json::json;

use super::{Shop, Socket, ask, position, told};
use crate::tenants::at;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_driver_hears_of_their_own_orders_and_their_own_position() {
    let shop = Shop::open().await;
    let token = shop.member("phone", "driver").await;
    let mut stream = Socket::open(&shop.server, &token, "namespace=acme").await;
    shop.customer_order("mine", "cust").await;
    shop.order("theirs").await;
    for order in ["mine", "theirs"] {
        shop.release(order).await;
    }
    shop.bind("theirs", "kim").await;
    shop.bind("mine", "sam").await;
    let frame = stream.event_frame().await;
    assert_eq!((&frame["data"]["type"], &frame["data"]["subject"]), (&json!("order.assigned"), &json!("acme/mine")));
    let text = frame.to_string();
    assert!(!text.contains("ada@private.example") && !text.contains("managedFields"), "{text}");
    shop.saw("kim", 1);
    shop.saw("sam", 1);
    let frame = stream.next().await;
    assert_eq!((&frame["type"], &frame["data"]["driver"]), (&json!("position"), &json!("sam")));
    shop.unbind("mine").await;
    let gone = stream.event_frame().await;
    let data = &gone["data"]["data"];
    assert_eq!(gone["data"]["type"], "order.deleted");
    assert_eq!((&data["order"]["metadata"]["name"], data["order"].get("spec")), (&json!("mine"), None));
    assert_eq!(stream.within(Duration::from_millis(300)).await, None);
    // Whoever begins anew sees the same.
    shop.bind("mine", "sam").await;
    let mut stream = Socket::open(&shop.server, &token, "namespace=acme&seq=0").await;
    let (orders, positions, _) = stream.snapshot().await;
    assert_eq!((orders.into_keys().collect::<Vec<_>>(), positions), (vec!["mine".to_owned()], 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_customer_hears_of_their_own_orders_and_nobody_s_position() {
    let shop = Shop::open().await;
    let token = shop.member("shopper", "customer").await;
    let mut stream = Socket::open(&shop.server, &token, "namespace=acme").await;
    shop.order("theirs").await;
    shop.customer_order("mine", "cust").await;
    assert_eq!(stream.event().await, told("order.created", "mine"));
    shop.release("mine").await;
    shop.bind("mine", "sam").await;
    assert_eq!(stream.event().await, told("order.ready", "mine"));
    assert_eq!(stream.event().await, told("order.assigned", "mine"));
    shop.saw("sam", 1);
    assert_eq!(stream.within(Duration::from_millis(500)).await, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_hears_of_another_business() {
    let shop = Shop::open().await;
    for role in ["manager", "dispatcher", "viewer", "driver", "customer"] {
        let token = shop.member(&format!("a-{role}"), role).await;
        let bearer = format!("Bearer {token}");
        let refused =
            async |query: &str| ask(&shop.server, query, &[("authorization", &bearer)]).await.map(|_| ()).unwrap_err();
        assert_eq!(refused("namespace=bolt").await, 404, "{role}");
        assert_eq!(refused("namespace=missing").await, 404, "{role}");
        assert_eq!(refused("").await, 403, "{role}");
        assert_eq!(refused("namespace=").await, 403, "{role}");
    }
    // The operator may hear of all at once.
    let mut stream = Socket::open(&shop.server, &shop.token("operator"), "").await;
    shop.server.plane.live().saw([position("bolt", "sam", 1)]);
    assert_eq!(stream.next().await["data"]["namespace"], "bolt");
    shop.post("operator", &at("bolt", "orders"), &crate::client::order("b-1")).await;
    assert_eq!(stream.event().await.1, "bolt/b-1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_ends_with_the_role_and_with_the_token() {
    let shop = Shop::open().await;
    let viewer = shop.member("looks", "viewer").await;
    let manager = shop.member("runs", "manager").await;
    let mut role = Socket::open(&shop.server, &viewer, "namespace=acme").await;
    let mut token = Socket::open(&shop.server, &manager, "namespace=acme").await;
    shop.send("operator", reqwest::Method::DELETE, &at("acme", "members/looks"), &json!({})).await;
    assert_eq!(role.closed().await, 4401);
    let path = "/v1/namespaces/acme/serviceaccounts/runs/tokens";
    let revoked = shop.server.call("operator", reqwest::Method::DELETE, path).send().await.unwrap();
    assert!(revoked.status().is_success());
    assert_eq!(token.closed().await, 4401);
    let refused = ask(&shop.server, "namespace=acme", &[("authorization", &format!("Bearer {manager}"))]).await;
    assert_eq!(refused.map(|_| ()).unwrap_err(), 401);
}
