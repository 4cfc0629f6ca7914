use std::sync::Arc;

use dropmate_api::Order;
use dropmate_tracking::{
    accuracy::Accuracy,
    eta::{self, Start},
    stops::{self, OpenStop},
};
use jiff::Timestamp;
use proptest::prelude::*;
use rstest::rstest;
use serde_json::{Value, json};

use super::{at, bound, fetched, north, order, sam};

/// The straight line at ten metres a second.
fn arrivals(start: Start, stops: &[OpenStop], now: Timestamp) -> Vec<(String, i64)> {
    let seconds: Vec<f64> =
        eta::legs(start.place, stops).iter().map(|leg| dropmate_planning::meters(leg.from, leg.to) / 10.0).collect();
    let found = eta::arrivals(start, stops, &seconds, now);
    let second = |arrival: Timestamp| (arrival.duration_since(at(0)).as_secs_f64()).round() as i64;
    stops
        .iter()
        .zip(found)
        .map(|(stop, arrival)| (format!("{} {:?}", stop.order, stop.id.kind), second(arrival)))
        .collect()
}

fn told(expected: &[(&str, i64)]) -> Vec<(String, i64)> {
    expected.iter().map(|(stop, second)| ((*stop).to_owned(), *second)).collect()
}

fn ahead(route: Value, orders: &[Arc<Order>]) -> Vec<OpenStop> {
    stops::open_stops(&sam(json!({"route": route})), orders)
}

#[test]
fn a_driver_who_has_not_set_out_leaves_now() {
    let stops = ahead(json!([]), &[order("a", json!({}), bound(json!({})))]);
    let start = Start { at: at(-3000), place: north(-1000.0) };
    // 100 s to the pickup, a minute there, 200 s to the door.
    assert_eq!(arrivals(start, &stops, at(60)), told(&[("a Pickup", 160), ("a Dropoff", 420)]));
}

#[test]
fn a_driver_under_way_is_where_the_fix_was_when_it_was() {
    let stops = ahead(json!([]), &[order("a", json!({}), fetched(json!({})))]);
    let start = Start { at: at(400), place: north(1000.0) };
    assert_eq!(arrivals(start, &stops, at(430)), told(&[("a Dropoff", 500)]));
    // He is not there yet, so he does not arrive in the past.
    assert_eq!(arrivals(start, &stops, at(900)), told(&[("a Dropoff", 900)]));
}

#[test]
fn goods_that_are_not_ready_are_waited_for_and_a_closed_door_too() {
    let spec = json!({
        "readyAt": at(1000),
        "dropoff": {"address": "x", "location": north(2000.0), "window": {"earliest": at(5000)}},
    });
    let stops = ahead(json!([]), &[order("a", spec, bound(json!({})))]);
    let start = Start { at: at(0), place: north(0.0) };
    assert_eq!(arrivals(start, &stops, at(0)), told(&[("a Pickup", 0), ("a Dropoff", 5000)]));
}

#[test]
fn parking_takes_no_time_where_the_goods_are_waited_for_anyway() {
    let stops = ahead(json!([]), &[order("a", json!({"readyAt": at(1000)}), bound(json!({})))]);
    let start = Start { at: at(0), place: north(0.0) };
    assert_eq!(arrivals(start, &stops, at(0)), told(&[("a Pickup", 0), ("a Dropoff", 1200)]));
}

#[test]
fn the_route_tells_the_turn_and_one_visit_is_served_once() {
    let elsewhere = json!({"dropoff": {"address": "x", "location": north(3000.0), "serviceSeconds": 60}});
    let orders = [order("a", elsewhere, bound(json!({}))), order("b", json!({}), bound(json!({})))];
    let stop = |order: &str, stop: &str| json!({"order": order, "stop": stop, "location": north(0.0)});
    let route = json!([stop("b", "pickup"), stop("a", "pickup"), stop("b", "dropoff"), stop("a", "dropoff")]);
    let start = Start { at: at(0), place: north(-100.0) };
    let expected = [("b Pickup", 10), ("a Pickup", 10), ("b Dropoff", 270), ("a Dropoff", 430)];
    assert_eq!(arrivals(start, &ahead(route, &orders), at(0)), told(&expected));
}

#[rstest]
#[case::the_route_knows_only_the_door(json!([{"order": "a", "stop": "dropoff", "location": north(0.0)}]))]
#[case::the_route_knows_nothing(json!([]))]
#[case::the_route_is_about_others(json!([{"order": "z", "stop": "pickup", "location": north(0.0)}]))]
fn goods_are_fetched_before_they_are_brought(#[case] route: Value) {
    let stops = ahead(route, &[order("a", json!({}), bound(json!({})))]);
    let kinds: Vec<String> = stops.iter().map(|stop| format!("{:?}", stop.id.kind)).collect();
    assert_eq!(kinds, ["Pickup", "Dropoff"]);
}

#[test]
fn where_the_driver_stands_comes_first() {
    let there = bound(json!({
        "phase": "AtPickup", "stops": {"pickup": {"state": "Arrived", "departedAt": at(10), "arrivedAt": at(50)}},
    }));
    let orders = [order("a", json!({}), fetched(json!({}))), order("b", json!({}), there)];
    let route = json!([{"order": "a", "stop": "dropoff", "location": north(0.0)}]);
    let stops = ahead(route, &orders);
    assert_eq!(stops[0].order, "b");
    let start = Start { at: at(50), place: north(0.0) };
    assert_eq!(arrivals(start, &stops, at(100))[..2], told(&[("b Pickup", 50), ("a Dropoff", 310)]));
}

#[test]
fn an_eta_is_judged_once_by_what_was_said_at_each_horizon() {
    let stops = ahead(json!([]), &[order("a", json!({}), fetched(json!({})))]);
    let (stop, mut accuracy) = (&stops[0].id, Accuracy::default());
    accuracy.predict(stop, at(3000), at(1500));
    accuracy.predict(stop, at(9999), at(9500)); // Within two hours, but no longer about the half hour.
    accuracy.predict(stop, at(3100), at(2900));
    let judged = accuracy.arrived(stop, at(3060));
    let told: Vec<(&str, f64)> = judged.iter().map(|sample| (sample.horizon, sample.error_seconds)).collect();
    assert_eq!(told, [("5m", -40.0), ("15m", -6939.0), ("30m", 60.0)]);
    assert!(accuracy.arrived(stop, at(3060)).is_empty());
}

proptest! {
    #[test]
    fn nobody_arrives_before_now_or_before_the_stop_before(
        seconds in prop::collection::vec(prop_oneof![0.0_f64..5000.0, Just(f64::NAN), Just(f64::INFINITY)], 4),
        start_at in -5000_i64..5000,
        now in -1000_i64..5000,
    ) {
        let orders = [order("a", json!({}), bound(json!({}))), order("b", json!({}), fetched(json!({})))];
        let stops = ahead(json!([]), &orders);
        let found = eta::arrivals(Start { at: at(start_at), place: north(0.0) }, &stops, &seconds[..stops.len()], at(now));
        prop_assert_eq!(found.len(), stops.len());
        prop_assert!(found.iter().all(|arrival| *arrival >= at(now)));
        prop_assert!(found.is_sorted());
    }
}
