use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use dropmate_api::{Order, Phase};
use kube::{
    Api, Client,
    api::{ListParams, PostParams},
};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::city::{City, Fate};

/// A rush at once, with one write in eight going wrong and agents being replaced, in good order or not.
const ORDERS: usize = 100;
const DRIVERS: usize = 20;

const PHONES: &str = "system:serviceaccount:dropmate-system:simulation";

/// Deterministic noise: the same requests meet the same fates.
fn fate(n: u64) -> Fate {
    match n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 60 {
        0 => Fate::Lost,
        1 => Fate::AnswerLost,
        _ => Fate::Pass,
    }
}

#[tokio::test(start_paused = true)]
async fn every_order_is_bound_once_whatever_gets_lost_on_the_way() {
    let city = City::new().await;
    for n in 0..DRIVERS {
        let spec = json!({
            "displayName": "D", "vehicle": {"type": "van"},
            "startLocation": {"latitude": 43.6 + n as f64 / 1000.0, "longitude": -79.4},
        });
        city.apply_driver(&format!("d-{n:03}"), spec).await;
    }
    let requests = Arc::new(AtomicU64::new(0));
    let unreliable = || {
        let requests = requests.clone();
        city.client_by_fate(move |request| {
            let write = request.method() != http::Method::GET;
            let n = requests.fetch_add(1, Ordering::SeqCst);
            Box::pin(async move { if write { fate(n) } else { Fate::Pass } })
        })
    };
    let phones = tokio::spawn(deliver_at_once(city.orders.clone(), city.client(PHONES)));
    let started_at = Instant::now();
    let mut agent = city.start_with("agent-0", unreliable());
    for n in 0..ORDERS {
        city.add_order(&format!("o-{n:04}"), json!({})).await;
        if n % 25 == 24 {
            sleep(Duration::from_secs(2)).await;
            if n % 50 == 49 {
                agent.kill();
            } else {
                agent.stop().await;
            }
            agent = city.start_with(&format!("agent-{n}"), unreliable());
        }
    }
    let mut orders = city.all_orders().await;
    while orders.iter().any(|order| !order.phase().is_terminal()) {
        assert!(started_at.elapsed() < Duration::from_hours(1), "{:?}", phases(&orders));
        sleep(Duration::from_secs(5)).await;
        orders = city.all_orders().await;
    }
    for order in &orders {
        assert_eq!(order.phase(), Phase::Delivered);
        let assignment = order.status.as_ref().unwrap().assignment.as_ref().unwrap();
        assert_eq!(assignment.generation, 0, "nobody took it away");
        assert!(assignment.reason.is_some());
    }
    phones.abort();
    agent.stop().await;
}

/// Drivers who are done as soon as they are told.
async fn deliver_at_once(orders: Api<Order>, phones: Client) {
    let phones: Api<Order> = Api::default_namespaced(phones);
    loop {
        let assigned = orders.list(&ListParams::default().fields("status.phase=Assigned")).await.unwrap();
        for order in assigned.items {
            let occurred_at = order.status.as_ref().unwrap().assignment.as_ref().unwrap().bound_at;
            for type_ in ["pickUp", "deliver"] {
                let report = json!({"clientEventId": type_, "type": type_, "occurredAt": occurred_at});
                let name = order.metadata.name.as_deref().unwrap();
                phones.create_subresource::<_, Value>("progress", name, &PostParams::default(), &report).await.unwrap();
            }
        }
        sleep(Duration::from_millis(500)).await;
    }
}

fn phases(orders: &[Order]) -> BTreeMap<Phase, usize> {
    let mut phases = BTreeMap::new();
    for order in orders {
        *phases.entry(order.phase()).or_default() += 1;
    }
    phases
}
