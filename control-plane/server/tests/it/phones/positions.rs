//! Positions: durable before they are acknowledged, a bad one never in the way of the rest, read on by number.

use std::time::{Duration, Instant};

use jiff::SignedDuration;
use serde_json::{Value, json};

use super::fixture::Day;
use crate::{
    client::{Api, driver, text},
    server::Server,
    tenants::at,
};

const TRACKING: &str = "system:serviceaccount:dropmate-system:tracking";
const WHERE_SAM_IS: &str = "/v1/namespaces/acme/drivers/sam/position";

fn position(day: &Day, seconds: i64) -> Value {
    json!({
        "at": (day.morning + SignedDuration::from_secs(seconds)).to_string(),
        "latitude": 43.65, "longitude": -79.38, "speedMetersPerSecond": 4.5, "bearing": 90.0, "accuracyMeters": 8.0,
    })
}

async fn send(day: &Day, positions: Vec<Value>) -> Value {
    day.phone().post("/v1/me/positions", &json!({ "positions": positions })).await.ok()
}

async fn pulled(tracking: &Api, query: &str) -> Value {
    tracking.get(&format!("/v1/internal/positions?{query}")).await.ok()
}

#[tokio::test]
async fn a_bad_position_is_counted_and_the_rest_is_kept() {
    let day = Day::begin().await;
    let mut positions = vec![position(&day, 1), position(&day, 2), position(&day, 1)];
    for (field, value) in [
        ("latitude", json!(91)),
        ("longitude", json!("x")),
        ("latitude", json!(null)),
        ("at", json!("yesterday")),
        ("at", json!("2001-01-01T00:00:00Z")),
        ("at", json!("2201-01-01T00:00:00Z")),
    ] {
        let mut bad = position(&day, 3);
        bad[field] = value;
        positions.push(bad);
    }
    positions.push(json!("no position"));
    assert_eq!(send(&day, positions).await, json!({"accepted": 2, "duplicate": 1, "rejected": 7}));
    let mut by_another_name = position(&day, 2);
    by_another_name["timestamp"] = by_another_name.as_object_mut().unwrap().remove("at").unwrap();
    assert_eq!(send(&day, vec![by_another_name]).await, json!({"accepted": 0, "duplicate": 1, "rejected": 0}));
    let many = vec![position(&day, 5); 1_001];
    let answer = day.phone().post("/v1/me/positions", &json!({ "positions": many })).await;
    assert_eq!(answer.code, 413);
    let metrics = day.server.metrics().await;
    assert!(metrics.contains("dropmate_ingest_positions_total{source=\"me\",outcome=\"rejected\"} 7"), "{metrics}");
}

/// Asks until the answer has that code.
async fn until(api: &Api, code: u16) {
    for _ in 0..500 {
        if api.get(WHERE_SAM_IS).await.code == code {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the answer is never {code}");
}

#[tokio::test]
async fn where_a_driver_was_is_known_after_a_restart_and_never_told_of_the_next_of_that_name() {
    let day = Day::begin().await;
    send(&day, vec![position(&day, 0)]).await;
    let server = Server::start_in(day.end().await).await;
    let operator = Api::over(server.plane.clone());
    until(&operator, 200).await;
    operator.delete(&at("acme", "drivers/sam"), &json!({})).await.ok();
    until(&operator, 404).await;
    // `creationTimestamp` is in whole seconds: within one, nobody can tell the two apart.
    tokio::time::sleep(Duration::from_secs(1)).await;
    operator.post(&at("acme", "drivers"), &driver("sam")).await.ok();
    assert_eq!(operator.get(WHERE_SAM_IS).await.code, 404);
    // Nor after another restart, although the position itself is still kept.
    drop(operator);
    let server = Server::start_in(server.end().await).await;
    let operator = Api::over(server.plane.clone());
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(operator.get(WHERE_SAM_IS).await.code, 404);
}

#[tokio::test]
async fn where_a_driver_was_last_is_for_the_business_and_the_driver() {
    let day = Day::begin().await;
    let viewer = day.of("viewer");
    assert_eq!(viewer.get(WHERE_SAM_IS).await.code, 404);
    send(&day, vec![position(&day, 2), position(&day, 1)]).await;
    for role in ["manager", "dispatcher", "viewer", "driver"] {
        let mut told = day.of(role).get(WHERE_SAM_IS).await.ok();
        let at = told.as_object_mut().unwrap().remove("at").unwrap();
        assert!(text(&at).parse::<jiff::Timestamp>().unwrap() <= day.server.plane.clock().business_now());
        let expected = json!({
            "latitude": 43.65, "longitude": -79.38, "speedMetersPerSecond": 4.5, "bearing": 90.0, "accuracyMeters": 8.0,
        });
        assert_eq!(told, expected, "{role}");
    }
    assert_eq!(day.of("customer").get(WHERE_SAM_IS).await.code, 403);
    // Of a colleague a driver learns nothing, not even whether anything is known.
    day.operator.as_user("nobody").get(WHERE_SAM_IS).await;
    assert_eq!(day.phone().get("/v1/namespaces/acme/drivers/kim/position").await.code, 404);
}

#[tokio::test]
async fn the_tracking_agent_reads_on_and_is_woken() {
    let day = Day::begin().await;
    let tracking = day.operator.as_user(TRACKING);
    send(&day, vec![position(&day, 1), position(&day, 2)]).await;
    let page = pulled(&tracking, "after=0&limit=1").await;
    let first = &page["positions"][0];
    assert_eq!(
        (&first["namespace"], &first["driver"], &first["source"]),
        (&json!("acme"), &json!("sam"), &json!("me"))
    );
    assert_eq!((&first["at"], &first["latitude"]), (&position(&day, 1)["at"], &json!(43.65)));
    assert!(first["recordedAt"].is_string() && first["seq"].is_i64() && page["oldest"].is_i64());
    let rest = pulled(&tracking, &format!("after={}", page["next"])).await;
    assert_eq!(rest["positions"][0]["at"], position(&day, 2)["at"]);
    let next = rest["next"].clone();
    // Whoever waits has it at once.
    let waiting = tokio::spawn({
        let tracking = tracking.clone();
        let query = format!("after={next}&wait=20");
        async move { (pulled(&tracking, &query).await, Instant::now()) }
    });
    tokio::time::sleep(Duration::from_millis(150)).await;
    send(&day, vec![position(&day, 3)]).await;
    let sent = Instant::now();
    let (page, came) = waiting.await.unwrap();
    assert_eq!(page["positions"].as_array().unwrap().len(), 1);
    assert!(came.saturating_duration_since(sent) < Duration::from_millis(400), "woken, and not by chance");
    let began = Instant::now();
    let nothing = pulled(&tracking, &format!("after={}&wait=1", page["next"])).await;
    assert_eq!((&nothing["positions"], &nothing["next"]), (&json!([]), &page["next"]));
    assert!(began.elapsed() >= Duration::from_millis(900));
    for (query, code) in [("limit=5001", 400), ("wait=26", 400), ("limit=0", 400), ("until=1", 400), ("after=x", 400)] {
        assert_eq!(tracking.get(&format!("/v1/internal/positions?{query}")).await.code, code, "{query}");
    }
    for other in [day.operator.clone(), day.phone(), day.of("manager")] {
        assert_eq!(other.get("/v1/internal/positions").await.code, 403);
    }
}
