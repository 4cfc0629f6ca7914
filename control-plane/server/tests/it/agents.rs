//! What agents tell through the control plane: by whom it may be asked, and what an agent that is away is.

use axum::{Json, Router, extract::OriginalUri, routing::get};
use serde_json::json;
use tokio::net::TcpListener;

use crate::{
    client::{DISPATCH, LEASES},
    tenants::{ROLES, Town, person},
};

const TIMELINE: &str = "/v1/namespaces/acme/orders/own-1/timeline";
const POSITIONS: &str = "/v1/namespaces/acme/drivers/sam/positions";

/// An agent that tells what it was asked.
fn parrot() -> Router {
    let timeline = async |OriginalUri(uri): OriginalUri| {
        Json(
            json!({"timeline": [{"at": "2026-11-23T12:00:00Z", "what": "Placed", "detail": {"asked": uri.to_string()}}]}),
        )
    };
    let positions = async |OriginalUri(uri): OriginalUri| Json(json!({"positions": [], "asked": uri.to_string()}));
    Router::new()
        .route("/timeline/{namespace}/{name}", get(timeline))
        .route("/positions/{namespace}/{driver}", get(positions))
}

#[tokio::test]
async fn who_sees_an_order_sees_its_timeline_and_who_sees_a_driver_where_the_driver_was() {
    let town = Town::build().await;
    town.operator.plane.attach_agent("tracking", parrot());
    let codes = async |path: &str| {
        let mut codes = Vec::new();
        for role in ROLES {
            codes.push((role, town.of_acme(role).get(path).await.code.as_u16()));
        }
        codes
    };
    let told = |codes: Vec<(&'static str, u16)>| -> Vec<&'static str> {
        codes.into_iter().filter(|(_, code)| *code == 200).map(|(role, _)| role).collect()
    };
    assert_eq!(told(codes(TIMELINE).await), ["manager", "dispatcher", "driver", "customer", "viewer"]);
    assert_eq!(told(codes(POSITIONS).await), ["manager", "dispatcher", "driver", "viewer"]);
    // Somebody else's.
    let others = "/v1/namespaces/acme/orders/other-1/timeline";
    assert_eq!(told(codes(others).await), ["manager", "dispatcher", "viewer"]);
    assert_eq!(town.of_acme("driver").get(others).await.code, 404);
    assert_eq!(town.of_acme("driver").get("/v1/namespaces/acme/drivers/kim/positions").await.code, 404);
    let stranger = town.operator.as_caller(person("stranger@nowhere.test"));
    assert_eq!(stranger.get(TIMELINE).await.code, 404);
}

#[tokio::test]
async fn the_agent_is_asked_for_this_very_order_and_customers_hear_no_details() {
    let town = Town::build().await;
    town.operator.plane.attach_agent("tracking", parrot());
    let uid = town.operator.get("/apis/dropmate.dev/v1/namespaces/acme/orders/own-1").await.ok()["metadata"]["uid"]
        .as_str()
        .unwrap()
        .to_owned();
    let told = town.of_acme("manager").get(TIMELINE).await.ok();
    assert_eq!(told["timeline"][0]["detail"]["asked"], format!("/timeline/acme/own-1?uid={uid}"));
    let told = town.of_acme("customer").get(TIMELINE).await.ok();
    assert_eq!(told, json!({"timeline": [{"at": "2026-11-23T12:00:00Z", "what": "Placed"}]}));
    // Of a driver, only since there is this one.
    let path = format!("{POSITIONS}?from=2026-11-23T12:00:00Z&to=2026-11-23T13:00:00Z&limit=7");
    let asked = town.of_acme("driver").get(&path).await.ok()["asked"].as_str().unwrap().to_owned();
    assert!(asked.starts_with("/positions/acme/sam?limit=7&recordedSince=20"), "{asked}");
    assert!(asked.ends_with("&from=2026-11-23T12:00:00Z&to=2026-11-23T13:00:00Z"), "{asked}");
}

#[tokio::test]
async fn a_wrong_question_is_told_by_its_field() {
    let town = Town::build().await;
    town.operator.plane.attach_agent("tracking", parrot());
    for (wrong, field) in [
        ("from=yesterday", "from"),
        ("to=1", "to"),
        ("limit=0", "limit"),
        ("limit=5001", "limit"),
        ("limit=x", "limit"),
        ("from=2026-11-23T12:00:00Z&to=2026-11-23T12:00:00Z", "to"),
        ("form=2026-11-23T12:00:00Z", "form"),
    ] {
        let answer = town.of_acme("manager").get(&format!("{POSITIONS}?{wrong}")).await;
        assert_eq!(answer.code, 400, "{wrong}");
        assert!(answer.body["detail"].as_str().unwrap().contains(field), "{wrong}: {}", answer.body);
    }
}

#[tokio::test]
async fn an_agent_elsewhere_is_found_by_its_lease_and_one_that_is_away_is_named() {
    let town = Town::build().await;
    let manager = town.of_acme("manager");
    let away = manager.get(TIMELINE).await;
    assert_eq!(away.code, 503);
    assert_eq!(away.body["detail"], "the tracking agent does not run");

    let _ = rustls::crypto::ring::default_provider().install_default();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let serving = tokio::spawn(async move { axum::serve(listener, parrot()).await.unwrap() });
    let tracking = town.operator.as_user(&DISPATCH.replace("dispatch", "tracking"));
    let lease = json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {"name": "tracking", "annotations": {"dropmate.dev/address": address}},
        "spec": {"holderIdentity": "one"},
    });
    tracking.post(LEASES, &lease).await.ok();
    assert_eq!(manager.get(TIMELINE).await.ok()["timeline"][0]["what"], "Placed");
    serving.abort();
    let _ = serving.await;
    // Of this one nothing is in the cache.
    let away = manager.get("/v1/namespaces/acme/orders/other-1/timeline").await;
    assert_eq!(away.code, 503);
    assert_eq!(away.body["detail"], "the tracking agent does not answer; try again later");
}
