//! The agent against the real API.

use std::{collections::BTreeSet, time::Duration};

use axum::body::Body;
use dropmate_api::{Phase, common::ConditionStatus};
use dropmate_testing::Database;
use dropmate_tracking::{
    api,
    store::{Between, Store},
};
use http::Request;
use http_body_util::BodyExt;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use tower::ServiceExt;

use super::{core::north, town::Town};

fn everything() -> Between {
    Between { from: Timestamp::MIN, to: Timestamp::MAX, recorded_since: Timestamp::MIN, limit: 10_000 }
}

#[tokio::test]
async fn positions_become_an_eta_a_proposal_a_timeline_and_events() {
    let town = Town::new().await;
    town.add_sam().await;
    let due = town.now() + SignedDuration::from_hours(2);
    town.bind_to_sam("o-1", json!({"dueBy": due})).await;
    let agent = town.start("one").await;
    town.sam_was(1, 1000.0);
    let order = town.order_when("o-1", |order| order.status.as_ref().is_some_and(|s| s.eta.is_some())).await;
    // A hundred seconds back to the counter, a minute there, two hundred to the door.
    let ahead = order.status.unwrap().eta.unwrap().duration_since(town.now()).as_secs();
    assert!((350..=365).contains(&ahead), "{ahead}");

    town.sam_was(60, 40.0);
    town.sam_was(95, 30.0);
    let said = agent.told("o-1", "ArrivalProposed").await;
    assert_eq!(said.iter().filter(|what| *what == "ArrivalProposed").count(), 1);
    assert!(said.iter().any(|what| what == "EtaChanged"), "{said:?}");
    assert_eq!(agent.metrics.arrivals.get(), 1);
    // It is a proposal: the stop stays as it is.
    assert_eq!(town.orders.get("o-1").await.unwrap().phase(), Phase::Assigned);
    let driver = town.drivers.get("sam").await.unwrap();
    assert!(driver.status.unwrap().position.is_some());

    for report in ["depart", "arrive", "pickUp", "deliver"] {
        town.sam_reports("o-1", report).await;
    }
    let said: BTreeSet<String> = agent.told("o-1", "Delivered").await.into_iter().collect();
    for what in ["Placed", "Released", "Assigned", "PickupEnRoute", "PickupArrived", "PickedUp", "DropoffArrived"] {
        assert!(said.contains(what), "{what} is missing in {said:?}");
    }
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        let events = town.events("o-1").await;
        if ["ArrivalProposed", "PickedUp", "Delivered"].iter().all(|what| events.iter().any(|event| event == what)) {
            break;
        }
        assert!(Instant::now() < until, "{events:?}");
        sleep(Duration::from_millis(20)).await;
    }
    agent.stop().await;
}

#[tokio::test]
async fn where_the_policy_says_so_a_stay_at_the_counter_is_an_arrival() {
    let town = Town::new().await;
    town.set_policy(json!({"tracking": {"autoArrive": true}})).await;
    town.add_sam().await;
    town.bind_to_sam("o-1", json!({})).await;
    let agent = town.start("one").await;
    town.sam_was(10, 20.0);
    town.sam_was(50, 20.0);
    let order = town.order_when("o-1", |order| order.phase() == Phase::AtPickup).await;
    let reports = order.status.unwrap().reports;
    let arrivals: Vec<&str> =
        reports.iter().filter(|r| r.type_ == "arrive").map(|r| r.client_event_id.as_str()).collect();
    assert_eq!(arrivals, ["tracking:arrive:pickup:0"]);
    agent.stop().await;
}

#[tokio::test]
async fn tracking_reports_arrivals_and_nothing_else() {
    let town = Town::new().await;
    town.add_sam().await;
    town.bind_to_sam("o-1", json!({})).await;
    let tracking = town.plane.in_process("system:serviceaccount:dropmate-system:tracking");
    let report = json!({"clientEventId": "x", "type": "pickUp", "occurredAt": town.now(), "driver": "sam"});
    let request = Request::post("/apis/dropmate.dev/v1/namespaces/default/orders/o-1/progress")
        .header("content-type", "application/json")
        .body(Body::from(report.to_string()))
        .unwrap();
    assert_eq!(tracking.oneshot(request).await.unwrap().status(), 403);
}

#[tokio::test]
async fn a_late_order_and_a_promise_at_risk_are_conditions() {
    let town = Town::new().await;
    town.add_sam().await;
    let due = town.now() + SignedDuration::from_secs(2);
    town.bind_to_sam("o-1", json!({"dueBy": due})).await;
    let agent = town.start("one").await;
    town.sam_was(0, 1000.0);
    let holds = |order: &dropmate_api::Order, type_: &str| {
        let conditions = order.status.as_ref().map(|status| status.conditions.clone()).unwrap_or_default();
        conditions.iter().any(|held| held.type_ == type_ && held.status == ConditionStatus::True)
    };
    town.order_when("o-1", |order| holds(order, "AtRisk")).await;
    // Nothing changes but the time.
    town.order_when("o-1", |order| holds(order, "Late")).await;
    assert!(agent.told("o-1", "Late").await.iter().any(|what| what == "AtRisk"));
    for report in ["depart", "arrive", "pickUp", "deliver"] {
        town.sam_reports("o-1", report).await;
    }
    let done = town.order_when("o-1", |order| !holds(order, "Late") && !holds(order, "AtRisk")).await;
    assert_eq!(done.phase(), Phase::Delivered);
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn agents_that_are_killed_lose_no_position_and_say_nothing_twice() {
    let town = Town::new().await;
    town.add_sam().await;
    town.bind_to_sam("o-1", json!({})).await;
    let start = town.now();
    let phones = town.phones.clone();
    // Sam stands at the counter while the agents come and go; each fix is said once, some come late.
    let talking = tokio::spawn(async move {
        for n in 0_i64..600 {
            let late = if n % 7 == 0 { 90 } else { 0 };
            let at = start + SignedDuration::from_millis(n * 200 - late * 1001 + 100_000);
            phones.say("sam", at, north(20.0 + (n % 5) as f64));
            sleep(Duration::from_millis(5)).await;
        }
    });
    for life in 0..4 {
        let agent = town.start(&format!("life-{life}")).await;
        sleep(Duration::from_millis(500)).await;
        let lease: kube::Api<k8s_openapi::api::coordination::v1::Lease> =
            kube::Api::namespaced(kube::Client::new(town.plane.in_process("operator"), "default"), "dropmate-system");
        agent.kill().await;
        // Nobody waits here until the lease of the dead runs out.
        lease.delete("tracking", &kube::api::DeleteParams::default()).await.unwrap();
    }
    talking.await.unwrap();
    let agent = town.start("last").await;
    let until = Instant::now() + Duration::from_secs(30);
    while agent.store.progress().await.unwrap() < 600 {
        assert!(Instant::now() < until, "never came to the end");
        sleep(Duration::from_millis(50)).await;
    }
    let said = agent.told("o-1", "ArrivalProposed").await;
    assert_eq!(said.iter().filter(|what| *what == "ArrivalProposed").count(), 1);
    let kept = agent.store.positions("default", "sam", everything()).await.unwrap();
    let times: BTreeSet<Timestamp> = kept.iter().map(|position| position.at).collect();
    assert_eq!((kept.len(), times.len()), (600, 600), "all, and each once");
    assert!(agent.metrics.positions.get() < 600, "the lives before had their part");
    let arrived = agent.store.timeline("default", "o-1", None).await.unwrap();
    let arrived = arrived.iter().find(|line| line.what == "ArrivalProposed").unwrap().at;
    assert_eq!(arrived, *times.iter().next().unwrap(), "the first fix inside, though it came late");
    agent.stop().await;
}

#[tokio::test]
async fn an_agent_works_on_postgresql_too() {
    let town = Town::new().await;
    town.add_sam().await;
    town.bind_to_sam("o-1", json!({})).await;
    let database = Database::create().await;
    Store::migrate_postgres(&database.url()).await.unwrap();
    let agent = town.start_on("one", Store::postgres(&database.url()).await.unwrap());
    town.sam_was(10, 20.0);
    town.sam_was(50, 20.0);
    agent.told("o-1", "ArrivalProposed").await;
    database.execute("SELECT 1 / (count(*) = 2)::int FROM tracking.positions").await;
    agent.stop().await;
}

async fn get(store: &Store, path: &str) -> (u16, Value) {
    let request = Request::get(path).body(Body::empty()).unwrap();
    let answer = api::routes(store.clone()).oneshot(request).await.unwrap();
    let code = answer.status().as_u16();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    (code, serde_json::from_slice(&body).unwrap_or_default())
}

#[tokio::test]
async fn timelines_and_positions_are_told() {
    let town = Town::new().await;
    town.add_sam().await;
    town.bind_to_sam("o-1", json!({})).await;
    let agent = town.start("one").await;
    for n in 0..5 {
        town.sam_was(n * 20, 20.0);
    }
    agent.told("o-1", "ArrivalProposed").await;
    let (code, body) = get(&agent.store, "/timeline/default/o-1").await;
    assert_eq!(code, 200);
    assert_eq!(body["timeline"][0]["what"], "Placed");
    let proposed = body["timeline"].as_array().unwrap().iter().find(|line| line["what"] == "ArrivalProposed").unwrap();
    assert_eq!(proposed["detail"], json!({"stop": "pickup", "driver": "sam"}));
    let (_, body) = get(&agent.store, "/timeline/default/o-1?uid=another").await;
    assert_eq!(body, json!({"timeline": []}));
    let (_, body) = get(&agent.store, "/positions/default/sam?limit=2").await;
    assert_eq!(body["positions"].as_array().unwrap().len(), 2);
    assert_eq!(body["positions"][0]["accuracyMeters"], 8.0);
    assert_eq!(get(&agent.store, "/positions/default/sam?from=yesterday").await.0, 400);
    agent.stop().await;
}
