//! Travel times from servers like OSRM and Valhalla.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    Json, Router,
    extract::{OriginalUri, State},
    response::{IntoResponse, Response},
    routing::{any, get},
};
use dropmate_api::VehicleType;
use dropmate_tracking::{
    Metrics,
    eta::{self, Start},
    look::{Itinerary, Timed},
    stops,
    travel::{Source, TravelTimes},
};
use rstest::rstest;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::core::{at, bound, north, order, sam};

/// A server that counts what it is asked.
async fn serve(routes: Router) -> String {
    // Servers elsewhere are asked over TLS with the one provider there is.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
    url
}

fn itinerary() -> Itinerary {
    let stops = stops::open_stops(&sam(json!({})), &[order("a", json!({}), bound(json!({})))]);
    let start = Start { at: at(0), place: north(-1000.0) };
    let legs = eta::legs(start.place, &stops);
    Itinerary { driver: "sam".to_owned(), start, stops, legs, meters_per_second: 10.0, vehicle: VehicleType::Car }
}

async fn time(times: &TravelTimes) -> Timed {
    times.time(vec![itinerary()]).await.remove(0)
}

fn over(source: Source, timeout: Duration) -> (TravelTimes, Metrics) {
    let metrics = Metrics::default();
    (TravelTimes::new(&source, timeout, metrics.clone()).unwrap(), metrics)
}

#[tokio::test]
async fn over_the_straight_line_a_way_takes_its_length_by_the_vehicles_speed() {
    let (times, metrics) = over(Source::StraightLine, Duration::from_secs(1));
    let walk = time(&times).await;
    assert_eq!((walk.seconds.len(), walk.fallback, walk.source), (2, false, "straightLine"));
    assert!((walk.seconds[0] - 100.0).abs() < 2.0 && (walk.seconds[1] - 200.0).abs() < 2.0, "{:?}", walk.seconds);
    assert_eq!(metrics.legs_from("straightLine"), 2);
}

#[tokio::test]
async fn osrm_is_asked_for_each_way_once() {
    let asked = Arc::new(AtomicUsize::new(0));
    let answer = async |State(asked): State<Arc<AtomicUsize>>, OriginalUri(uri): OriginalUri| {
        asked.fetch_add(1, Ordering::SeqCst);
        // Longitude first.
        assert!(uri.path().starts_with("/route/v1/car/-79.38,43."), "{uri}");
        assert_eq!(uri.query(), Some("overview=false&steps=false"));
        Json(json!({"code": "Ok", "routes": [{"duration": 345.6, "distance": 2000.1, "legs": []}]}))
    };
    let url = serve(Router::new().route("/route/v1/{profile}/{places}", get(answer)).with_state(asked.clone())).await;
    let (times, metrics) = over(Source::Osrm(url), Duration::from_secs(5));
    for _ in 0..3 {
        let walk = time(&times).await;
        assert_eq!((walk.seconds, walk.fallback, walk.source), (vec![345.6, 345.6], false, "osrm"));
    }
    assert_eq!(asked.load(Ordering::SeqCst), 2, "the rest was known");
    assert_eq!((metrics.legs_from("osrm"), metrics.legs_from("fallback")), (6, 0));
}

#[tokio::test]
async fn valhalla_is_asked_with_the_vehicles_costing() {
    let answer = async |Json(asked): Json<Value>| {
        assert_eq!((&asked["costing"], &asked["directions_type"]), (&json!("auto"), &json!("none")));
        assert_eq!(asked["locations"][1]["lon"], -79.38);
        Json(json!({"trip": {"status": 0, "summary": {"time": 222.25, "length": 1.2}, "legs": []}}))
    };
    let url = serve(Router::new().route("/route", axum::routing::post(answer))).await;
    let (times, _) = over(Source::Valhalla(url), Duration::from_secs(5));
    let walk = time(&times).await;
    assert_eq!((walk.seconds, walk.fallback, walk.source), (vec![222.25, 222.25], false, "valhalla"));
}

async fn too_late() -> Response {
    tokio::time::sleep(Duration::from_secs(30)).await;
    "late".into_response()
}

#[rstest]
#[case::an_error(any(async || (http::StatusCode::INTERNAL_SERVER_ERROR, "no")))]
#[case::nonsense(any(async || "nonsense"))]
#[case::a_negative_time(any(async || Json(json!({"code": "Ok", "routes": [{"duration": -5.0}]}))))]
#[case::too_much(any(async || vec![b'x'; 1 << 20]))]
#[case::another_place(any(async || axum::response::Redirect::temporary("http://127.0.0.1:9/")))]
#[case::too_late(any(too_late))]
#[tokio::test]
async fn what_a_server_cannot_tell_goes_by_the_straight_line_and_is_marked(
    #[case] answer: axum::routing::MethodRouter,
) {
    let url = serve(Router::new().fallback(answer)).await;
    let (times, metrics) = over(Source::Osrm(url), Duration::from_millis(300));
    let walk = time(&times).await;
    assert!(walk.fallback && walk.source == "osrm");
    assert!((walk.seconds[0] - 100.0).abs() < 2.0);
    assert_eq!(metrics.legs_from("fallback"), 2);
    // It is left alone for a while: nobody waits for it again.
    let started = std::time::Instant::now();
    assert!(time(&times).await.fallback);
    assert!(started.elapsed() < Duration::from_millis(200));
}

#[tokio::test]
async fn a_place_without_a_road_does_not_make_the_server_a_broken_one() {
    let asked = Arc::new(AtomicUsize::new(0));
    let answer = async |State(asked): State<Arc<AtomicUsize>>| {
        asked.fetch_add(1, Ordering::SeqCst);
        (http::StatusCode::BAD_REQUEST, Json(json!({"code": "NoRoute", "message": "Impossible route"})))
    };
    let url = serve(Router::new().fallback(answer).with_state(asked.clone())).await;
    let (times, _) = over(Source::Osrm(url), Duration::from_secs(5));
    assert!(time(&times).await.fallback);
    assert!(time(&times).await.fallback);
    assert_eq!(asked.load(Ordering::SeqCst), 4, "it is asked again");
}

#[rstest]
#[case("straight-line", Some(Source::StraightLine))]
#[case("osrm=http://osrm:5000/", Some(Source::Osrm("http://osrm:5000".to_owned())))]
#[case("valhalla=https://maps.example/v", Some(Source::Valhalla("https://maps.example/v".to_owned())))]
#[case("osrm", None)]
#[case("osrm=osrm:5000", None)]
#[case("osrm=file:///etc/passwd", None)]
#[case("google=https://maps.example", None)]
fn a_source_is_named_with_its_address(#[case] text: &str, #[case] wanted: Option<Source>) {
    let parsed = text.parse::<Source>();
    match wanted {
        Some(wanted) => assert_eq!(parsed, Ok(wanted)),
        None => assert!(parsed.unwrap_err().contains("osrm=URL")),
    }
}
