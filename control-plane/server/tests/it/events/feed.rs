//! How the feed is asked.

use std::time::{Duration, Instant};

use serde_json::json;

use super::{all_after, ask, feed};
use crate::{server::Server, stream::Shop};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_is_told_at_once_and_nobody_waits_for_what_is_no_event() {
    let shop = Shop::open().await;
    let start = feed(&shop.server, "after=latest").await["next"].as_u64().unwrap();
    let waited = async {
        let began = Instant::now();
        let page = feed(&shop.server, &format!("after={start}&wait=20")).await;
        (began.elapsed(), page)
    };
    let (waited, created) = tokio::join!(waited, async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        // Nothing follows from a depot; the wait goes on over it.
        let depot = json!({"apiVersion": "dropmate.dev/v1", "kind": "Depot", "metadata": {"name": "d"},
            "spec": {"address": "1 Front St", "location": {"latitude": 43.6, "longitude": -79.3}}});
        shop.post("operator", &crate::tenants::at("acme", "depots"), &depot).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        shop.order("o-1").await;
        Instant::now()
    });
    let (took, page) = waited;
    assert_eq!(page["events"][0]["type"], "order.created");
    assert!(took >= Duration::from_millis(600), "{took:?}");
    assert!(created.elapsed() < Duration::from_secs(1), "it is told when it happens");
    // A wait that ends says how far it looked, so that nobody looks there again.
    let next = page["next"].as_u64().unwrap();
    let began = Instant::now();
    let page = feed(&shop.server, &format!("after={next}&wait=1")).await;
    assert!(began.elapsed() >= Duration::from_millis(990), "{:?}", began.elapsed());
    assert_eq!(page["events"], json!([]));
    assert!(page["next"].as_u64().unwrap() >= next);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_gone_or_never_was_is_said_with_the_way_out() {
    let shop = Shop::open().await;
    shop.order("o-1").await;
    let start = feed(&shop.server, "after=latest").await;
    let newest = start["newest"].as_u64().unwrap();
    // Older than anything that is kept.
    let store = shop.server.plane.store();
    shop.release("o-1").await;
    shop.patch("o-1", &json!({"spec": {"priority": 3}})).await;
    let later = shop.server.plane.clock().system_now() + jiff::SignedDuration::from_hours(200);
    assert!(store.compact(later).await.unwrap() > 0);
    let (code, problem) = ask(&shop.server, "notification", "after=1").await;
    assert_eq!((code, &problem["status"]), (410, &json!(410)));
    let oldest = problem["oldest"].as_u64().unwrap();
    assert!(oldest > newest, "{problem}");
    assert_eq!(problem["epoch"], start["epoch"]);
    all_after(&shop.server, oldest, 500).await;
    // Another history.
    let (code, problem) = ask(&shop.server, "notification", &format!("after={}", newest + 1_000_000)).await;
    assert_eq!(code, 410);
    assert!(problem["newest"].as_u64().unwrap() >= newest, "{problem}");
    let (code, problem) = ask(&shop.server, "notification", &format!("after={oldest}&epoch=another")).await;
    assert_eq!((code, problem["detail"].as_str().unwrap().contains("after=latest")), (410, true));
    for (query, field) in [
        ("", "after"),
        ("after=seven", "after"),
        ("after=-1", "after"),
        ("after=1&limit=0", "limit"),
        ("after=1&limit=1001", "limit"),
        ("after=1&wait=26", "wait"),
        ("after=1&limt=3", "limt"),
    ] {
        let (code, problem) = ask(&shop.server, "notification", query).await;
        assert_eq!(code, 400, "{query}: {problem}");
        assert!(problem["detail"].as_str().unwrap().contains(field), "{query}: {problem}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_the_agents_alone() {
    let server = Server::start().await;
    for caller in ["operator", "dispatch", "tracking"] {
        assert_eq!(ask(&server, caller, "after=latest").await.0, 403, "{caller}");
    }
    assert_eq!(ask(&server, "notification", "after=latest").await.0, 200);
    let url = server.url("/v1/internal/events?after=latest");
    assert_eq!(server.http.get(url).send().await.unwrap().status(), 401);
}
