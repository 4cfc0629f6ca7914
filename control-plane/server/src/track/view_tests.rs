use rstest::rstest;
use serde_json::{Value, json};

use super::*;

const NOW: &str = "2027-01-01T12:00:00Z";

fn at(text: &str) -> Timestamp {
    format!("2027-01-01T{text}:00Z").parse().unwrap()
}

/// Where the shop is, from which everything comes.
const SHOP: Location = Location { latitude: 43.6, longitude: -79.3 };
/// A door that is not of the order `mine`.
const OTHER_DOOR: Location = Location { latitude: 43.7, longitude: -79.4 };

/// An order of sam's, picked up at 11:00 unless `status` says otherwise.
fn order(name: &str, status: &Value) -> Order {
    let stop = |location: Location| json!({"address": "1 Main St", "location": location});
    let door = if name == "mine" { Location { latitude: 43.61, longitude: -79.31 } } else { OTHER_DOOR };
    let mut held = json!({
        "phase": "OutForDelivery", "driverName": "sam", "custody": "Driver",
        "assignment": {"driverName": "sam", "boundAt": at("10:30")},
        "stops": {
            "pickup": {"state": "Completed", "departedAt": at("10:40"), "arrivedAt": at("10:50"), "completedAt": at("11:00")},
            "dropoff": {"state": "Pending"},
        },
    });
    merge(&mut held, status);
    let order = json!({
        "apiVersion": "dropmate.dev/v1", "kind": "Order",
        "metadata": {"name": name, "namespace": "acme", "uid": format!("uid-{name}")},
        "spec": {"pickup": stop(SHOP), "dropoff": stop(door), "recipient": {"name": "Ada"}, "placedAt": at("10:00")},
        "status": held,
    });
    serde_json::from_value(order).unwrap()
}

fn merge(into: &mut Value, from: &Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from.clone(),
    }
}

fn driver(route: &[(&str, &str)]) -> Driver {
    let stop = |(number, (order, stop)): (usize, &(&str, &str))| json!({"order": order, "stop": stop, "location": {"latitude": number as f64, "longitude": 0.0}});
    let route: Vec<Value> = route.iter().enumerate().map(stop).collect();
    let driver = json!({
        "apiVersion": "dropmate.dev/v1", "kind": "Driver", "metadata": {"name": "sam"},
        "spec": {"displayName": "Sam Smith"}, "status": {"route": route},
    });
    serde_json::from_value(driver).unwrap()
}

fn position(text: &str) -> Position {
    Position {
        namespace: "acme".to_owned(),
        driver: "sam".to_owned(),
        uid: String::new(),
        at: at(text),
        latitude: 43.65,
        longitude: -79.35,
        speed_meters_per_second: None,
        bearing: None,
        accuracy_meters: None,
    }
}

fn seen(order: &Order, route: &[(&str, &str)], others: &[Order], left: Option<&str>, fix: &str) -> View {
    let visits: Vec<Visit> = left.map(|text| Visit { at: at(text), place: OTHER_DOOR }).into_iter().collect();
    seen_after(order, route, others, &visits, &position(fix))
}

fn seen_after(order: &Order, route: &[(&str, &str)], others: &[Order], visits: &[Visit], position: &Position) -> View {
    let (driver, position) = (driver(route), Some(position));
    let now = NOW.parse().unwrap();
    view(&Known { order, driver: Some(&driver), others, visits, turned: None, position, now })
}

fn shows_position(view: &View) -> bool {
    view.position().is_some()
}

const MINE: &[(&str, &str)] = &[("mine", "dropoff")];

#[rstest]
#[case::on_the_way("OutForDelivery", None, true)]
#[case::at_the_door("AtDropoff", None, true)]
#[case::before("AtPickup", None, false)]
#[case::before_as_the_order_says("OutForDelivery", Some("AtDropoff"), false)]
#[case::earlier_as_the_order_says("EnRouteToPickup", Some("Assigned"), true)]
#[case::never_as_the_order_says("AtDropoff", Some("Delivered"), false)]
#[case::nobody_was_there("AttemptFailed", Some("Assigned"), false)]
#[case::on_the_way_back("Returning", Some("Assigned"), false)]
#[case::after("Delivered", Some("Assigned"), false)]
#[case::called_off("Cancelled", Some("Pending"), false)]
#[case::waiting("Ready", Some("Pending"), false)]
fn the_driver_is_shown_in_the_phases_that_the_order_says(
    #[case] phase: &str,
    #[case] from: Option<&str>,
    #[case] shown: bool,
) {
    let custody = if matches!(phase, "EnRouteToPickup" | "AtPickup") { "Sender" } else { "Driver" };
    let mut order = order("mine", &json!({"phase": phase, "custody": custody}));
    order.spec.tracking_from = from.map(|from| serde_json::from_value(from.into()).unwrap());
    let route = if custody == "Sender" { &[("mine", "pickup"), ("mine", "dropoff")][..] } else { MINE };
    let view = seen(&order, route, &[], None, "11:59");
    assert_eq!((view.driver.is_some(), shows_position(&view)), (shown, shown), "{view:?}");
    if let Some(driver) = view.driver {
        assert_eq!(driver.first_name, "Sam");
    }
}

#[rstest]
#[case::mine_is_next(&[("mine", "dropoff"), ("other", "dropoff")], &json!({}), true, Some(0))]
#[case::another_is_before(&[("other", "dropoff"), ("mine", "dropoff")], &json!({}), false, Some(1))]
#[case::the_other_is_at_its_door(
    &[("mine", "dropoff"), ("other", "dropoff")], &json!({"phase": "AtDropoff", "stops": {"dropoff": {"state": "Arrived"}}}),
    false, Some(0)
)]
#[case::the_other_was_set_out_for(
    &[("mine", "dropoff"), ("other", "dropoff")], &json!({"stops": {"dropoff": {"state": "EnRoute"}}}), false, Some(0)
)]
#[case::nobody_has_planned_and_there_is_another(&[], &json!({}), false, None)]
#[case::mine_is_not_in_the_plan(&[("other", "dropoff")], &json!({}), false, None)]
#[case::still_at_a_door_where_nobody_is(&[("other", "dropoff"), ("mine", "dropoff")], &json!({"phase": "AttemptFailed"}), false, Some(0))]
#[case::the_other_is_on_its_way_back(
    &[("mine", "dropoff")], &json!({"phase": "Returning", "returnStartedAt": "2027-01-01T11:30:00Z"}), false, Some(0)
)]
fn where_the_driver_is_is_shown_while_this_order_is_the_current_stop(
    #[case] route: &[(&str, &str)],
    #[case] other: &Value,
    #[case] shown: bool,
    #[case] before: Option<usize>,
) {
    let view = seen(&order("mine", &json!({})), route, &[order("other", other)], None, "11:59");
    assert_eq!((shows_position(&view), view.stops_before), (shown, before));
    assert!(view.driver.is_some(), "who brings it is no secret");
}

#[rstest]
#[case::fresh("11:59", None, None, true)]
#[case::old_but_shown("11:46", None, None, true)]
#[case::too_old("11:44", None, None, false)]
#[case::from_before_the_goods_were_picked_up("10:59", None, None, false)]
#[case::from_the_door_of_an_order_that_is_over("11:50", Some("11:50"), None, true)]
#[case::from_before_that_door_was_left("11:50", Some("11:51"), None, false)]
#[case::from_before_another_pickup_was_left("11:50", None, Some("11:51"), false)]
#[case::from_after_another_pickup_was_left("11:52", None, Some("11:51"), true)]
fn a_position_counts_if_it_was_taken_on_the_way_to_this_order(
    #[case] fix: &str,
    #[case] left: Option<&str>,
    #[case] other_pickup: Option<&str>,
    #[case] shown: bool,
) {
    let other = other_pickup.map(|text| order("other", &json!({"stops": {"pickup": {"completedAt": at(text)}}})));
    let others: Vec<Order> = other.into_iter().collect();
    let route = [("mine", "dropoff"), ("other", "dropoff")];
    let view = seen(&order("mine", &json!({})), &route, &others, left, fix);
    assert_eq!(shows_position(&view), shown);
}

#[rstest]
#[case::the_other_later("11:20", "11:30", false)]
#[case::mine_later("11:30", "11:20", true)]
#[case::at_once_as_planned("11:30", "11:30", true)]
fn of_two_doors_that_were_set_out_for_the_driver_goes_to_the_later_one(
    #[case] mine: &str,
    #[case] other: &str,
    #[case] shown: bool,
) {
    let set_out = |text| json!({"stops": {"dropoff": {"state": "EnRoute", "departedAt": at(text)}}});
    let route = [("mine", "dropoff"), ("other", "dropoff")];
    let view = seen(&order("mine", &set_out(mine)), &route, &[order("other", &set_out(other))], None, "11:59");
    assert_eq!(shows_position(&view), shown);
}

#[rstest]
#[case::at_that_door(OTHER_DOOR, OTHER_DOOR, false)]
#[case::a_few_steps_from_it(OTHER_DOOR, Location { latitude: 43.701, longitude: -79.4 }, false)]
#[case::a_block_away(OTHER_DOOR, Location { latitude: 43.702, longitude: -79.4 }, true)]
#[case::at_the_shop_where_both_were_fetched(SHOP, SHOP, true)]
fn nobody_sees_the_door_of_the_stop_before(#[case] before: Location, #[case] place: Location, #[case] shown: bool) {
    let visits = [Visit { at: at("11:50"), place: before }];
    let position = Position { latitude: place.latitude, longitude: place.longitude, ..position("11:55") };
    let view = seen_after(&order("mine", &json!({})), MINE, &[], &visits, &position);
    assert_eq!(shows_position(&view), shown);
}

#[test]
fn a_failed_attempt_tells_where_the_driver_was_after_the_stop_has_begun_anew() {
    let attempt = json!([{"reason": "nobody home", "at": at("11:50"), "stop": "dropoff", "decision": "Retry"}]);
    let other = order("other", &json!({"attempts": attempt}));
    let route = [("mine", "dropoff"), ("other", "dropoff")];
    let shown =
        |fix| shows_position(&seen(&order("mine", &json!({})), &route, std::slice::from_ref(&other), None, fix));
    assert_eq!((shown("11:49"), shown("11:51")), (false, true));
}

#[test]
fn a_position_from_before_this_became_the_current_stop_is_not_shown() {
    let (order, driver, position) = (order("mine", &json!({})), driver(MINE), position("11:50"));
    let shown = |turned: &str| {
        let (driver, position, turned) = (Some(&driver), Some(&position), Some(at(turned)));
        let now = NOW.parse().unwrap();
        shows_position(&view(&Known { order: &order, driver, others: &[], visits: &[], turned, position, now }))
    };
    assert_eq!((shown("11:49"), shown("11:51")), (true, false));
}

#[test]
fn a_driver_of_the_same_name_before_is_somebody_else() {
    let position = Position { uid: "another".to_owned(), ..position("11:59") };
    assert!(!shows_position(&seen_after(&order("mine", &json!({})), MINE, &[], &[], &position)));
}

#[test]
fn what_was_planned_and_is_done_does_not_count() {
    let route =
        [("mine", "pickup"), ("other", "pickup"), ("gone", "dropoff"), ("mine", "dropoff"), ("other", "dropoff")];
    let view = seen(&order("mine", &json!({})), &route, &[order("other", &json!({}))], None, "11:59");
    assert_eq!((shows_position(&view), view.stops_before), (true, Some(0)));
}

#[test]
fn stops_at_one_place_are_one() {
    let mut driver = driver(&[("a", "dropoff"), ("b", "dropoff"), ("c", "dropoff"), ("mine", "dropoff")]);
    let route = &mut driver.status.as_mut().unwrap().route;
    route[1].location = route[0].location;
    let others = ["a", "b", "c"].map(|name| order(name, &json!({})));
    let mine = order("mine", &json!({}));
    let known = Known {
        order: &mine,
        driver: Some(&driver),
        others: &others,
        visits: &[],
        turned: None,
        position: None,
        now: NOW.parse().unwrap(),
    };
    assert_eq!(view(&known).stops_before, Some(2));
}

#[rstest]
#[case::soon("12:10", "12:05", "12:15")]
#[case::far_off("14:00", "13:45", "14:15")]
#[case::now("12:00", "12:00", "12:05")]
#[case::late("11:40", "12:00", "12:05")]
fn an_expected_time_is_told_as_a_span_that_is_not_over(
    #[case] eta: &str,
    #[case] earliest: &str,
    #[case] latest: &str,
) {
    let view = seen(&order("mine", &json!({"eta": at(eta)})), MINE, &[], None, "11:59");
    assert_eq!(view.eta, Some(Expected { earliest: at(earliest), latest: at(latest) }));
}

#[test]
fn at_the_end_there_is_nothing_to_expect() {
    let over = json!({
        "phase": "Delivered", "custody": "Recipient", "eta": at("11:40"), "finishedAt": at("11:45"),
        "stops": {"dropoff": {"state": "Completed", "arrivedAt": at("11:40"), "completedAt": at("11:44")}},
    });
    let view = seen(&order("mine", &over), &[], &[], None, "11:59");
    assert_eq!((view.eta, view.stops_before, view.driver.is_none()), (None, None, true));
    let told: Vec<What> = view.timeline.iter().map(|entry| entry.what).collect();
    assert_eq!(
        told,
        [What::Placed, What::Assigned, What::DriverAtPickup, What::PickedUp, What::AtTheDoor, What::Delivered]
    );
    let view = serde_json::to_value(&view).unwrap();
    assert_eq!(view["timeline"][5], json!({"at": at("11:44"), "what": "delivered"}));
    assert!(view["eta"].is_null() && view.get("driver").is_none(), "{view}");
}

#[rstest]
#[case("Sam Smith", "Sam")]
#[case("  Sam", "Sam")]
#[case("Smith, Sam", "Sam")]
#[case("Sam,", "Sam,")]
#[case("", "")]
fn only_the_first_name_is_told(#[case] name: &str, #[case] first: &str) {
    assert_eq!(first_name(name), first);
}
