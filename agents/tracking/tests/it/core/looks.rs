use std::sync::Arc;

use dropmate_api::{DispatchPolicySpec, Driver, Order, policy::TrackingPolicy};
use dropmate_tracking::{
    fix::Fix,
    look::{Acts, Memory, Scene, Timed, Wanted},
};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::{at, bound, fetched, fix, north, order, sam};

fn scene(orders: &[Arc<Order>], driver: Arc<Driver>) -> Scene {
    Scene { orders: orders.to_vec(), drivers: vec![driver], ..Scene::default() }
}

/// Looks as the agent does, with the history at hand and ways by the straight line.
fn look(memory: &mut Memory, scene: &Scene, history: &[Fix], now: Timestamp) -> Acts {
    for Wanted { driver, since: from, .. } in memory.expect(scene) {
        memory.recall(&driver, history.iter().filter(|fix| fix.at >= from).copied().collect());
    }
    let timed: Vec<Timed> = memory
        .itineraries(scene, now)
        .into_iter()
        .map(|itinerary| {
            let meters = itinerary.legs.iter().map(|leg| dropmate_planning::meters(leg.from, leg.to));
            let seconds = meters.map(|meters| meters / itinerary.meters_per_second).collect();
            Timed { itinerary, seconds, source: "straightLine", fallback: false }
        })
        .collect();
    memory.decide(scene, &timed, now)
}

fn whats(acts: &Acts) -> Vec<&'static str> {
    acts.entries.iter().flat_map(|(_, entries)| entries.iter().map(|entry| entry.what)).collect()
}

#[test]
fn a_stay_at_the_counter_is_proposed_once_and_after_a_restart_found_again() {
    let (mut memory, bound) = (Memory::default(), order("a", json!({}), bound(json!({}))));
    let scene = scene(&[bound], sam(json!({})));
    let history = [fix(10, 900.0), fix(100, 20.0), fix(140, 10.0)];
    let first = look(&mut memory, &scene, &history, at(150));
    let proposed = |acts: &Acts| -> Vec<(String, Timestamp)> {
        let entries = acts.entries.iter().flat_map(|(_, entries)| entries);
        entries.filter(|entry| entry.what == "ArrivalProposed").map(|entry| (entry.key.clone(), entry.at)).collect()
    };
    assert_eq!(proposed(&first), [("geofence:pickup:0:arrived".to_owned(), at(100))]);
    assert!(first.arrivals.is_empty(), "a policy has to say so");
    assert!(proposed(&look(&mut memory, &scene, &history, at(160))).is_empty());
    // A process that knows nothing says the same under the same key.
    assert_eq!(proposed(&look(&mut Memory::default(), &scene, &history, at(170))), proposed(&first));
}

#[test]
fn where_the_policy_says_so_the_arrival_is_reported_until_it_shows() {
    let mut memory = Memory::default();
    let mut scene = scene(&[order("a", json!({}), bound(json!({})))], sam(json!({})));
    scene.policy =
        DispatchPolicySpec { tracking: Some(TrackingPolicy { auto_arrive: true }), ..DispatchPolicySpec::default() };
    let history = [fix(100, 20.0), fix(140, 10.0)];
    let acts = look(&mut memory, &scene, &history, at(150));
    assert_eq!(acts.arrivals.len(), 1);
    assert_eq!((acts.arrivals[0].at, acts.arrivals[0].driver.as_str()), (at(100), "sam"));
    assert!(look(&mut memory, &scene, &history, at(151)).arrivals.is_empty(), "it is on its way");
    assert_eq!(look(&mut memory, &scene, &history, at(200)).arrivals.len(), 1, "it got lost");
    let shown = bound(json!({"phase": "AtPickup", "stops": {"pickup": {"state": "Arrived", "arrivedAt": at(100)}}}));
    scene.orders = vec![order("a", json!({}), shown)];
    assert!(look(&mut memory, &scene, &history, at(300)).arrivals.is_empty());
}

#[test]
fn a_driver_with_orders_who_is_not_heard_of_is_silent_and_nobody_else() {
    let mut memory = Memory::default();
    let busy = scene(&[order("a", json!({}), fetched(json!({})))], sam(json!({})));
    let stale = |acts: &Acts| acts.orders.iter().any(|(_, part)| part.holds("TrackingStale"));
    memory.see("sam", vec![fix(400, 500.0)]);
    let calm = look(&mut memory, &busy, &[fix(400, 500.0)], at(700));
    assert!(!stale(&calm));
    assert_eq!(calm.wake_at, Some(at(700)));
    let silent = look(&mut memory, &busy, &[fix(400, 500.0)], at(701));
    assert!(stale(&silent));
    assert!(silent.drivers[0].1.conditions.iter().any(|condition| condition.type_ == "TrackingStale"));
    assert!(whats(&silent).contains(&"TrackingStale"));
    // A report is heard as well as a fix.
    let reported = fetched(json!({
        "phase": "AtDropoff",
        "stops": {"pickup": {"state": "Completed", "completedAt": at(300)}, "dropoff": {"state": "Arrived", "arrivedAt": at(690)}},
    }));
    let heard = scene(&[order("a", json!({}), reported)], sam(json!({})));
    assert!(!stale(&look(&mut memory, &heard, &[fix(400, 500.0)], at(701))));
    // Whoever is off duty is not silent, and whoever has nothing to do neither.
    let off = scene(&[order("a", json!({}), fetched(json!({})))], sam(json!({"availability": "OnBreak"})));
    assert!(!stale(&look(&mut memory, &off, &[fix(400, 500.0)], at(9000))));
    let idle = look(&mut memory, &scene(&[], sam(json!({}))), &[], at(9000));
    assert!(idle.drivers.iter().all(|(_, part)| part.conditions.is_empty()));
    // On a fast clock a second of the network's is no silence.
    let fast = Scene { silence_at_least: SignedDuration::from_hours(1), ..busy };
    assert!(!stale(&look(&mut Memory::default(), &fast, &[fix(400, 500.0)], at(1000))));
}

#[test]
fn who_fell_silent_is_so_until_heard_of_even_if_the_orders_were_taken_away() {
    let mut memory = Memory::default();
    let stale = json!({"conditions": [{
        "type": "TrackingStale", "status": "True", "reason": "DriverSilent", "message": "", "lastTransitionTime": at(700),
    }]});
    let idle = |memory: &mut Memory, now| look(memory, &scene(&[], sam(stale.clone())), &[], now).drivers;
    memory.see("sam", vec![fix(400, 0.0)]);
    let holds = |drivers: &[(Arc<Driver>, dropmate_tracking::look::DriverPart)]| {
        let conditions = drivers.iter().flat_map(|(_, part)| &part.conditions);
        conditions.map(|condition| condition.status == dropmate_api::common::ConditionStatus::True).collect::<Vec<_>>()
    };
    assert_eq!(holds(&idle(&mut memory, at(9000))), [true], "only the position is written");
    memory.see("sam", vec![fix(8000, 0.0)]);
    assert_eq!(holds(&idle(&mut memory, at(9000))), [false]);
}

#[test]
fn the_position_in_the_status_is_coarse() {
    let position = |meters: f64, seconds| {
        let place = north(meters);
        json!({"position": {"latitude": place.latitude, "longitude": place.longitude, "at": at(seconds)}})
    };
    let written = |status, newest: Fix, orders: &[Arc<Order>]| {
        let mut memory = Memory::default();
        memory.see("sam", vec![newest]);
        let acts = look(&mut memory, &scene(orders, sam(status)), &[newest], newest.at);
        acts.drivers.first().and_then(|(_, part)| part.position.as_ref()).map(|position| position.at)
    };
    assert_eq!(written(json!({}), fix(10, 0.0), &[]), Some(at(10)), "the first one");
    assert_eq!(written(position(0.0, 0), fix(100, 400.0), &[]), None, "near");
    assert_eq!(written(position(0.0, 0), fix(50, 900.0), &[]), None, "too soon");
    assert_eq!(written(position(0.0, 0), fix(60, 900.0), &[]), Some(at(60)));
    assert_eq!(written(position(0.0, 100), fix(60, 900.0), &[]), None, "older than what is shown");
    // A stop since then counts whatever the distance.
    assert_eq!(
        written(position(0.0, 250), fix(310, 10.0), &[order("a", json!({}), fetched(json!({})))]),
        Some(at(310))
    );
}

#[test]
fn an_eta_is_told_at_first_and_when_it_jumps() {
    let mut memory = Memory::default();
    let mut orders = [order("a", json!({}), fetched(json!({})))];
    let first = look(&mut memory, &scene(&orders, sam(json!({}))), &[fix(400, 1000.0)], at(400));
    assert_eq!(first.orders[0].1.eta, Some(at(500)));
    assert!(whats(&first).contains(&"EtaChanged"));
    orders[0] = order("a", json!({}), fetched(json!({"eta": at(500)})));
    let later = look(&mut memory, &scene(&orders, sam(json!({}))), &[], at(600));
    assert_eq!(later.orders[0].1.eta, Some(at(600)), "moved, but no jump");
    assert!(!whats(&later).contains(&"EtaChanged"));
    let jumped = look(&mut memory, &scene(&orders, sam(json!({}))), &[], at(900));
    assert!(whats(&jumped).contains(&"EtaChanged"));
}

#[test]
fn a_finished_order_of_which_all_is_told_may_be_forgotten() {
    let mut memory = Memory::default();
    let done = fetched(json!({"phase": "Delivered", "custody": "Recipient", "finishedAt": at(900)}));
    let scene = scene(&[order("a", json!({}), done)], sam(json!({})));
    assert!(look(&mut memory, &scene, &[], at(1000)).done.is_empty(), "there is something to say first");
    assert_eq!(look(&mut memory, &scene, &[], at(1001)).done, ["a"]);
    memory.unsaid("uid-a");
    assert!(!look(&mut memory, &scene, &[], at(1002)).entries.is_empty(), "what could not be kept is said again");
}

#[test]
fn of_two_doors_only_the_next_one_is_arriving() {
    let far = json!({"dropoff": {"address": "9 Far Rd", "location": north(2600.0), "serviceSeconds": 60}});
    let (near, far) = (order("a", json!({}), fetched(json!({}))), order("b", far, fetched(json!({}))));
    let route = json!({"route": [
        {"order": "a", "stop": "dropoff", "location": north(2000.0)}, {"order": "b", "stop": "dropoff", "location": north(2600.0)},
    ]});
    let mut memory = Memory::default();
    memory.see("sam", vec![fix(400, 1000.0)]);
    let acts = look(&mut memory, &scene(&[near, far], sam(route)), &[], at(400));
    let arriving: Vec<_> = acts.orders.iter().filter(|(_, part)| part.holds("Arriving")).collect();
    assert_eq!(arriving.len(), 1);
    assert_eq!(arriving[0].0.metadata.name.as_deref(), Some("a"));
    assert!(whats(&acts).contains(&"Arriving"), "and the timeline tells it");
}
