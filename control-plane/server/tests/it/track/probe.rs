//! A probe that reads every 100 ms through whole lives of two orders of one driver, while the driver moves all the time: it
//! sees a position on the way to its own order, and never before, between other stops, or after.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::{client::text, proofs::Shop, stream::socket::ask_at};

const EVERY: Duration = Duration::from_millis(100);
/// How long each step of the life lasts.
const STEP: Duration = Duration::from_secs(1);

/// What was seen by whom, in which step.
#[derive(Debug)]
struct Sight {
    step: u32,
    place: Option<f64>,
}

/// Reads what a link shows every 100 ms.
async fn probe(shop: Arc<Shop>, token: String, step: Arc<AtomicU32>, halt: Arc<AtomicBool>) -> Vec<Sight> {
    let mut sights = Vec::new();
    while !halt.load(Ordering::SeqCst) {
        let began = Instant::now();
        let before = step.load(Ordering::SeqCst);
        let seen = shop.seen(&token).await;
        // What was asked in one step and answered in the next belongs to neither.
        if before == step.load(Ordering::SeqCst) && before.is_multiple_of(2) {
            let place = seen["driver"]["position"]["latitude"].as_f64();
            assert_eq!(place.is_some(), seen["driver"]["positionAt"].is_string(), "{seen}");
            sights.push(Sight { step: before, place });
        }
        sleep(EVERY.saturating_sub(began.elapsed())).await;
    }
    sights
}

/// Listens to what a link's stream says; each position with the step in which it came.
async fn listen(shop: Arc<Shop>, token: String, step: Arc<AtomicU32>, halt: Arc<AtomicBool>) -> Vec<(u32, f64)> {
    let mut socket = ask_at(&shop.server, &format!("/v1/track/{token}/stream"), &[]).await.unwrap();
    let mut places = Vec::new();
    while !halt.load(Ordering::SeqCst) {
        let Some(frame) = socket.within(EVERY).await else { continue };
        let data = &frame["data"];
        let place = match text(&frame["type"]) {
            "position" => data["latitude"].as_f64(),
            "event" | "reset" => data["driver"]["position"]["latitude"].as_f64(),
            _ => None,
        };
        places.extend(place.map(|place| (step.load(Ordering::SeqCst), place)));
    }
    places
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_probe_sees_the_driver_on_the_way_to_its_order_and_at_no_other_time() {
    let shop = Arc::new(Shop::open_with(&["--rate-limit-address", "0"]).await);
    shop.only().await;
    for name in ["a", "b"] {
        shop.bound(name, "sam", &json!({})).await;
    }
    let (step, halt) = (Arc::<AtomicU32>::default(), Arc::<AtomicBool>::default());
    let mut probes = Vec::new();
    let mut listeners = Vec::new();
    for name in ["a", "b"] {
        let token = shop.link_token(name).await;
        probes.push(tokio::spawn(probe(shop.clone(), token.clone(), step.clone(), halt.clone())));
        listeners.push(tokio::spawn(listen(shop.clone(), token, step.clone(), halt.clone())));
    }
    // The driver moves all the time, and where they are says in which step it was.
    let driving = {
        let (shop, step, halt) = (shop.clone(), step.clone(), halt.clone());
        tokio::spawn(async move {
            let mut tick = 0;
            while !halt.load(Ordering::SeqCst) {
                let number = step.load(Ordering::SeqCst);
                if number.is_multiple_of(2) {
                    tick += 1;
                    shop.drives("sam", 40.0 + f64::from(number) / 100.0 + f64::from(tick % 100 + 1) / 100_000.0);
                }
                sleep(Duration::from_millis(30)).await;
            }
        })
    };
    // Odd: something is being written. Even: it is.
    let next = async || {
        sleep(STEP).await;
        step.fetch_add(1, Ordering::SeqCst);
    };
    let written = async || {
        step.fetch_add(1, Ordering::SeqCst);
    };
    next().await;
    shop.plan("sam", &[("a", "pickup"), ("b", "pickup"), ("a", "dropoff"), ("b", "dropoff")]).await;
    written().await; // 2: both assigned
    next().await;
    shop.tell("a", "pickUp", "sam", &Value::Null).await.ok();
    shop.tell("b", "pickUp", "sam", &Value::Null).await.ok();
    written().await; // 4: on the way to a, then to b
    next().await;
    shop.tell("a", "arrive", "sam", &Value::Null).await.ok();
    written().await; // 6: at the door of a
    next().await;
    shop.tell("a", "deliver", "sam", &Value::Null).await.ok();
    written().await; // 8: on the way to b
    next().await;
    shop.tell("b", "depart", "sam", &Value::Null).await.ok();
    written().await; // 10: the same
    next().await;
    shop.tell("b", "fail", "sam", &json!({"reason": "NobodyHome"})).await.ok();
    written().await; // 12: nobody was there
    sleep(STEP).await;
    halt.store(true, Ordering::SeqCst);
    driving.await.unwrap();

    let ways = [("a", vec![4, 6]), ("b", vec![8, 10])];
    for ((name, shown), (probe, listener)) in ways.iter().zip(probes.into_iter().zip(listeners)) {
        let sights = probe.await.unwrap();
        for number in (0..=12).step_by(2) {
            let of_step: Vec<&Sight> = sights.iter().filter(|sight| sight.step == number).collect();
            let with = of_step.iter().filter(|sight| sight.place.is_some()).count();
            assert!(of_step.len() >= 3, "{name} was looked at in step {number}: {}", of_step.len());
            println!("{name}, step {number}: {with} of {} looks show a position", of_step.len());
            if shown.contains(&number) {
                assert!(with > 0, "{name} sees the driver in step {number}");
            } else {
                assert_eq!(with, 0, "{name} must not see the driver in step {number}: {of_step:?}");
            }
            for place in of_step.iter().filter_map(|sight| sight.place) {
                let driven = ((place - 40.0) * 100.0).floor() as u32;
                assert!(shown.contains(&driven), "{name} was shown where the driver was in step {driven}");
            }
        }
        let heard = listener.await.unwrap();
        assert!(heard.len() > 1, "{name} heard positions: {heard:?}");
        for (at, place) in heard {
            let driven = ((place - 40.0) * 100.0).floor() as u32;
            assert!(shown.contains(&driven), "{name} heard in step {at} where the driver was in step {driven}");
        }
    }
}
