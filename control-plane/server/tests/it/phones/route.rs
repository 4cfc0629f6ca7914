//! The route of a driver, and whether they take orders.

use http::{Request, header::IF_NONE_MATCH};
use serde_json::json;

use super::fixture::Day;
use crate::{client::DISPATCH, tenants::at};

#[tokio::test]
async fn the_route_has_an_etag_that_changes_with_what_is_legal() {
    let day = Day::begin().await;
    let phone = day.phone();
    assert_eq!(phone.get("/v1/me/route").await.ok(), json!({"stops": []}));
    day.bound("o", "sam", &json!({"proof": {"pickup": ["barcode"], "dropoff": ["photo", "pin"]}})).await;
    day.bound("kims", "kim", &json!({})).await;
    let answer = phone.get("/v1/me/route").await;
    let tag = answer.headers["etag"].clone();
    let route = answer.ok();
    let stops = route["stops"].as_array().unwrap();
    assert_eq!(stops.len(), 2, "{route}");
    assert_eq!(
        stops[0],
        json!({
            "order": "acme/o", "kind": "pickup", "address": "12 Mill St",
            "location": {"latitude": 43.6503, "longitude": -79.3596},
            "proof": ["barcode"], "legalNext": ["depart", "arrive", "pickUp"],
        })
    );
    assert_eq!((&stops[1]["kind"], &stops[1]["proof"]), (&json!("dropoff"), &json!(["photo", "pin"])));
    assert_eq!((&stops[1]["contact"], &stops[1]["legalNext"]), (&json!({"name": "Ada"}), &json!([])));
    let again = Request::builder().uri("/v1/me/route").header(IF_NONE_MATCH, &tag);
    assert_eq!(phone.request(again.body(axum::body::Body::empty()).unwrap()).await.code, 304);
    phone.post("/v1/me/events", &json!({"reports": [day.report("o", "depart", 1)]})).await.ok();
    let again = Request::builder().uri("/v1/me/route").header(IF_NONE_MATCH, &tag);
    let answer = phone.request(again.body(axum::body::Body::empty()).unwrap()).await;
    assert_ne!(answer.headers["etag"], tag);
    assert_eq!(answer.ok()["stops"][0]["legalNext"], json!(["arrive", "pickUp"]));
}

#[tokio::test]
async fn a_route_is_answered_from_the_cache_and_never_to_who_may_not_see_it() {
    let day = Day::begin().await;
    let phone = day.phone();
    day.bound("o", "sam", &json!({})).await;
    let looked = async |outcome: &str| {
        day.metric(&format!("dropmate_live_cache_lookups_total{{cache=\"routes\",outcome=\"{outcome}\"}}")).await
    };
    let first = phone.get("/v1/me/route").await.ok();
    let (hits, misses) = (looked("hit").await, looked("miss").await);
    assert_eq!(phone.get("/v1/me/route").await.ok(), first);
    assert_eq!((looked("hit").await, looked("miss").await), (hits + 1, misses), "the same route again");
    // What is changed is seen at once, by whomever it was changed.
    day.operator
        .merge(&at("acme", "orders/o"), &json!({"spec": {"dropoff": {"instructions": "ring twice"}}}))
        .await
        .ok();
    assert_eq!(phone.get("/v1/me/route").await.ok()["stops"][1]["instructions"], "ring twice");
    assert_eq!(looked("hit").await, hits + 1);
    // The route is in the cache when the driver stops being one.
    phone.get("/v1/me/route").await.ok();
    assert_eq!(looked("hit").await, hits + 2);
    day.operator.delete(&at("acme", "members/driver"), &json!({})).await.ok();
    let mut refused = phone.get("/v1/me/route").await;
    for _ in 0..200 {
        if refused.code == 403 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        refused = phone.get("/v1/me/route").await;
    }
    assert_eq!(refused.code, 403);
    assert!(!refused.body.to_string().contains("ring twice"));
}

#[tokio::test]
async fn a_driver_says_whether_they_work_and_nobody_else_does() {
    let day = Day::begin().await;
    let (phone, sam) = (day.phone(), at("acme", "drivers/sam"));
    let shown = async || day.operator.get(&sam).await.ok()["status"]["availability"].clone();
    assert_eq!(shown().await, json!(null));
    for availability in ["Available", "OnBreak", "Offline", "Available", "Available"] {
        let answer = phone.put("/v1/me/availability", &json!({ "availability": availability })).await.ok();
        assert_eq!(answer, json!({ "availability": availability }));
        assert_eq!(shown().await, availability);
    }
    // Dispatch tells of orders, and so of being busy.
    let dispatch = day.operator.as_user(DISPATCH);
    dispatch.merge(&format!("{sam}/status"), &json!({"status": {"activeOrders": 1}})).await.ok();
    assert_eq!(shown().await, "Busy");
    let said = phone.put("/v1/me/availability", &json!({"availability": "Available"})).await.ok();
    assert_eq!(said, json!({"availability": "Busy"}));
    day.operator.merge(&format!("{sam}/status"), &json!({"status": {"availability": "Offline"}})).await.ok();
    assert_eq!(shown().await, "Busy");
    dispatch.merge(&format!("{sam}/status"), &json!({"status": {"activeOrders": 0}})).await.ok();
    assert_eq!(shown().await, "Available");
    for wrong in ["Busy", "available", ""] {
        let answer = phone.put("/v1/me/availability", &json!({ "availability": wrong })).await;
        assert_eq!(answer.code, 422, "{wrong}");
        assert!(answer.body["detail"].as_str().unwrap().contains("supported values"), "{}", answer.body);
    }
    assert_eq!(day.of("manager").put("/v1/me/availability", &json!({"availability": "Offline"})).await.code, 403);
}
