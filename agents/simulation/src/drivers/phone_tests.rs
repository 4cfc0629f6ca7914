use dropmate_api::{
    driver::RouteStop,
    order::{
        binding::{Bound, bind, unbind},
        progress::report,
        settle,
    },
    subresource::{Binding, Unbinding},
};
use serde_json::json;

use super::*;

const SPEED: f64 = 5.0;
const KITCHEN: Location = Location { latitude: 43.65, longitude: -79.38 };

/// Seconds after the day's beginning.
fn at(seconds: i64) -> Timestamp {
    "2026-05-01T12:00:00Z".parse::<Timestamp>().unwrap() + SignedDuration::from_secs(seconds)
}

/// So many metres east of the kitchen.
fn east(meters: f64) -> Location {
    geo::offset(KITCHEN, meters, 0.0)
}

fn driver() -> Driver {
    let mut driver: Driver = serde_json::from_value(json!({
        "apiVersion": "dropmate.dev/v1", "kind": "Driver", "metadata": {"name": "sam", "namespace": "acme"},
        "spec": {"displayName": "Sam", "vehicle": {"type": "bicycle", "speedMetersPerSecond": SPEED}},
    }))
    .unwrap();
    driver.spec.start_location = Some(east(-500.0));
    driver
}

/// Bound to sam at second 0, to be fetched at the kitchen.
fn bound(name: &str, door: Location) -> Order {
    let mut order: Order = serde_json::from_value(json!({
        "apiVersion": "dropmate.dev/v1", "kind": "Order", "metadata": {"name": name, "namespace": "acme"},
        "spec": {
            "pickup": {"address": "kitchen", "location": KITCHEN, "serviceSeconds": 60},
            "dropoff": {"address": "door", "location": door, "serviceSeconds": 90},
            "recipient": {"name": "Ada"}, "placedAt": at(-600),
        },
        "status": {"releasedAt": at(-600)},
    }))
    .unwrap();
    settle(&mut order, at(0));
    let binding: Binding = serde_json::from_value(json!({
        "apiVersion": "dropmate.dev/v1", "kind": "Binding", "metadata": {}, "tripId": "t",
        "target": {"kind": "Driver", "name": "sam"},
    }))
    .unwrap();
    let Ok(Bound::Bound(order)) = bind(&order, &binding, at(0)) else { panic!("{name} cannot be bound") };
    order
}

/// A phone with its orders, on which time goes by.
struct Phone {
    driver: Driver,
    orders: Vec<Arc<Order>>,
    memory: Memory,
    said: Vec<(String, &'static str, i64)>,
}

impl Phone {
    fn new(driver: Driver, orders: impl IntoIterator<Item = Order>) -> Self {
        let orders = orders.into_iter().map(Arc::new).collect();
        Self { driver, orders, memory: Memory::default(), said: Vec::new() }
    }

    fn next(&mut self, seconds: i64) -> Next {
        let mine: Vec<_> = self.orders.iter().filter(|o| holder(o) == Some("sam")).cloned().collect();
        next(&self.driver, &mine, &mut self.memory, at(seconds), Luck { seed: 1, fail_share: 0.0 })
    }

    /// Does everything that is to be done until then; what was said, of which order, and when.
    fn until(&mut self, seconds: i64) -> &mut Self {
        while let Next::Say { order, report: said } = self.next(seconds) {
            let after = report(&order, &said, at(seconds)).unwrap().order;
            self.memory.learn(&order, &said);
            let when = said.occurred_at.duration_since(at(0)).as_secs();
            self.said.push((order.name_any(), said.type_.as_str(), when));
            let place = self.orders.iter().position(|o| o.name_any() == order.name_any()).unwrap();
            self.orders[place] = Arc::new(after);
        }
        self
    }

    fn said(&self) -> Vec<(&str, &str, i64)> {
        self.said.iter().map(|(order, what, when)| (order.as_str(), *what, *when)).collect()
    }
}

#[test]
fn an_order_is_fetched_and_brought_at_the_speed_of_the_vehicle() {
    let mut phone = Phone::new(driver(), [bound("a", east(1000.0))]);
    phone.until(3600);
    let expected = [
        ("a", "depart", 0),
        ("a", "arrive", 100),
        ("a", "pickUp", 160),
        ("a", "depart", 160),
        ("a", "arrive", 360),
        ("a", "deliver", 450),
    ];
    for ((order, what, when), (order_said, said, at_said)) in expected.into_iter().zip(phone.said()) {
        assert_eq!((order, what), (order_said, said));
        assert!((when - at_said).abs() <= 2, "{what} at {at_said} instead of {when}");
    }
    assert!(matches!(phone.next(3600), Next::Idle));
}

#[test]
fn nothing_is_said_before_it_has_happened() {
    let mut phone = Phone::new(driver(), [bound("a", east(1000.0))]);
    phone.until(50);
    assert_eq!(phone.said(), [("a", "depart", 0)]);
    let Next::Wait(until) = phone.next(50) else { panic!("does not wait") };
    assert!((until.duration_since(at(0)).as_secs() - 100).abs() <= 2);
}

#[test]
fn the_driver_waits_at_the_counter_until_the_goods_are_ready() {
    let mut order = bound("a", east(1000.0));
    order.spec.ready_at = Some(at(900));
    let mut phone = Phone::new(driver(), [order]);
    phone.until(3600);
    assert_eq!(phone.said()[2], ("a", "pickUp", 900));
}

#[test]
fn what_belongs_together_is_fetched_at_one_visit() {
    let mut phone = Phone::new(driver(), [bound("a", east(1000.0)), bound("b", east(300.0))]);
    phone.until(3600);
    let what: Vec<_> = phone.said().iter().map(|(order, what, _)| format!("{order} {what}")).collect();
    assert_eq!(what[..6], ["a depart", "b depart", "a arrive", "b arrive", "a pickUp", "b pickUp"]);
    assert_eq!(what[6..9], ["b depart", "b arrive", "b deliver"], "the nearer door first");
    assert_eq!(phone.said()[4].2, phone.said()[5].2, "both are handed over at once");
}

#[test]
fn the_route_of_dispatch_outweighs_the_nearer_door() {
    let mut sam = driver();
    let stop = |order: &str, place: Location| RouteStop {
        order: order.to_owned(),
        stop: StopKind::Dropoff,
        location: place,
        eta: None,
    };
    sam.status.get_or_insert_default().route = vec![stop("a", east(1000.0)), stop("b", east(300.0))];
    let mut phone = Phone::new(sam, [bound("a", east(1000.0)), bound("b", east(300.0))]);
    phone.until(3600);
    let delivered: Vec<_> = phone.said().into_iter().filter(|(_, what, _)| *what == "deliver").map(|d| d.0).collect();
    assert_eq!(delivered, ["a", "b"]);
}

#[test]
fn a_driver_off_shift_does_not_set_out() {
    let mut sam = driver();
    sam.spec.shifts = vec![Shift { start: at(-3600), end: at(0) }];
    let mut phone = Phone::new(sam, [bound("a", east(1000.0))]);
    assert!(matches!(phone.next(60), Next::Idle));
}

#[test]
fn a_driver_before_the_shift_waits_for_it() {
    let mut sam = driver();
    sam.spec.shifts = vec![Shift { start: at(300), end: at(3600) }];
    let mut phone = Phone::new(sam, [bound("a", east(1000.0))]);
    assert!(matches!(phone.next(60), Next::Wait(until) if until == at(300)));
}

#[test]
fn whoever_waits_past_the_end_of_the_shift_leaves_without_the_goods() {
    let mut sam = driver();
    sam.spec.shifts = vec![Shift { start: at(-3600), end: at(600) }];
    let mut order = bound("a", east(1000.0));
    order.spec.ready_at = Some(at(900));
    let mut phone = Phone::new(sam, [order]);
    phone.until(10).until(3600);
    assert_eq!(phone.said()[2], ("a", "fail", 600));
}

#[test]
fn an_order_taken_away_on_the_way_leaves_the_driver_where_he_is() {
    let mut phone = Phone::new(driver(), [bound("a", east(1000.0))]);
    phone.until(50);
    phone.orders[0] = Arc::new(unbind(&phone.orders[0], &Unbinding::default(), at(50)).unwrap());
    assert!(matches!(phone.next(50), Next::Idle));
    let place = phone.memory.place.unwrap();
    assert!(geo::meters(place, east(-250.0)) < 10.0, "half of the way is done");
    assert_eq!(phone.memory.free_at, Some(at(50)));
}

#[test]
fn a_called_off_order_goes_back_where_it_came_from() {
    let mut phone = Phone::new(driver(), [bound("a", east(1000.0))]);
    phone.until(200);
    let mut order = Order::clone(&phone.orders[0]);
    order.spec.cancelled = true;
    settle(&mut order, at(200));
    phone.orders[0] = Arc::new(order);
    phone.until(200).until(3600);
    let what: Vec<_> = phone.said().iter().map(|said| said.1).collect();
    assert_eq!(what[4..], ["startReturn", "returned"]);
    assert_eq!(phone.orders[0].phase(), Phase::Cancelled);
}

#[test]
fn a_phone_that_was_switched_off_goes_on_where_it_left_off() {
    let mut whole = Phone::new(driver(), [bound("a", east(1000.0)), bound("b", east(300.0))]);
    whole.until(3600);
    let mut torn = Phone::new(driver(), [bound("a", east(1000.0)), bound("b", east(300.0))]);
    for seconds in (0..3600).step_by(40) {
        torn.until(seconds);
        torn.memory = Memory::default();
    }
    assert_eq!(torn.said(), whole.said());
}

#[test]
fn a_report_sent_again_has_the_same_key() {
    let mut phone = Phone::new(driver(), [bound("a", east(1000.0))]);
    let mut key = || match phone.next(10) {
        Next::Say { report, .. } => report.client_event_id,
        other => panic!("{other:?}"),
    };
    assert_eq!(key(), key());
}

#[test]
fn a_phone_knows_where_it_is_on_the_way_at_the_counter_and_at_rest() {
    let mut phone = Phone::new(driver(), [bound("o-1", east(1000.0))]);
    let near = |phone: &Phone, seconds, meters| {
        let place = place_at(&phone.driver, &phone.orders, &phone.memory, at(seconds)).unwrap();
        geo::meters(place, east(meters)) < 5.0
    };
    assert!(near(&phone, 0, -500.0), "nothing is under way: where he starts");
    phone.until(50);
    // A hundred seconds to the kitchen, and where the clock says, not where the last report was.
    assert!(near(&phone, 50, -250.0) && near(&phone, 75, -125.0) && near(&phone, 500, 0.0));
    phone.until(120);
    assert!(near(&phone, 120, 0.0), "waits at the counter");
    phone.until(260);
    // What a phone that was switched off meanwhile knows, the orders tell.
    phone.memory = Memory::default();
    assert!(near(&phone, 260, 500.0), "a minute at the counter, then half of the way to the door");
    assert_eq!(place_at(&phone.driver, &[], &phone.memory, at(0)), phone.driver.spec.start_location);
}
