//! What happens in the business meanwhile: orders that are placed and changed, at a steady pace.

use std::{
    collections::HashMap,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use reqwest::{Certificate, Client, Method, StatusCode};
use serde_json::{Value, json};
use tokio::time::sleep_until;

use crate::ledger::About;

/// How long one write may take in all: over a restart of the database it is tried again and again.
const PATIENCE: Duration = Duration::from_mins(2);
const ORDERS: &str = "/apis/dropmate.dev/v1/namespaces/default/orders";
/// Writes under way at once.
const AT_ONCE: usize = 16;

/// Who speaks to the API as the operator.
#[derive(Clone)]
pub(crate) struct Operator {
    http: Client,
    url: String,
    token: String,
}

impl Operator {
    pub(crate) fn new(data_dir: &Path, url: &str) -> Self {
        let ca = std::fs::read(data_dir.join("tls/ca.crt")).unwrap();
        let http = Client::builder()
            .tls_certs_only([Certificate::from_pem(&ca).unwrap()])
            .timeout(Duration::from_secs(10))
            .build()
            .unwrap();
        let token = std::fs::read_to_string(data_dir.join("tokens/operator.token")).unwrap();
        Self { http, url: url.to_owned(), token }
    }

    /// Until it is done, whatever fails meanwhile. What was done before its answer was lost counts.
    pub(crate) async fn ask(&self, method: Method, path: &str, body: &Value) -> Value {
        let kind = if method == Method::PATCH { "application/merge-patch+json" } else { "application/json" };
        let until = Instant::now() + PATIENCE;
        loop {
            let request = self.http.request(method.clone(), format!("{}{path}", self.url)).bearer_auth(&self.token);
            let answer = request.header("content-type", kind).body(body.to_string()).send().await;
            let why = match answer {
                Ok(answer) if answer.status().is_success() => return answer.json().await.unwrap_or_default(),
                Ok(answer) if answer.status() == StatusCode::CONFLICT && method == Method::POST => return Value::Null,
                Ok(answer) if answer.status().is_client_error() && answer.status() != StatusCode::TOO_MANY_REQUESTS => {
                    panic!("{path}: {} {}", answer.status(), answer.text().await.unwrap_or_default())
                }
                Ok(answer) => answer.status().to_string(),
                Err(error) => error.without_url().to_string(),
            };
            assert!(Instant::now() < until, "{path}: {why}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

/// What has happened, and when it was acknowledged.
#[derive(Clone, Default)]
pub(crate) struct Happened {
    events: Arc<Mutex<HashMap<About, Instant>>>,
    begun: Arc<AtomicUsize>,
}

impl Happened {
    /// How many events were begun.
    pub(crate) fn begun(&self) -> usize {
        self.begun.load(Ordering::Relaxed)
    }

    pub(crate) fn all(&self) -> HashMap<About, Instant> {
        self.events.lock().unwrap().clone()
    }
}

/// `events` of them, so many a second: each order is placed, and changed once later.
pub(crate) async fn run(operator: Operator, happened: Happened, events: usize, per_second: f64) {
    let begun_at = tokio::time::Instant::now();
    let next = Arc::new(AtomicUsize::new(0));
    let workers = (0..AT_ONCE).map(|_| {
        let (operator, happened, next) = (operator.clone(), happened.clone(), next.clone());
        async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= events {
                    return;
                }
                sleep_until(begun_at + Duration::from_secs_f64(number as f64 / per_second)).await;
                happened.begun.fetch_add(1, Ordering::Relaxed);
                let about = one(&operator, number, events).await;
                happened.events.lock().unwrap().insert(about, Instant::now());
            }
        }
    });
    futures::future::join_all(workers).await;
}

/// One order that is none of the load's.
pub(crate) async fn warm(operator: &Operator) {
    let stop = |address: &str| json!({"address": address, "location": {"latitude": 43.65, "longitude": -79.36}});
    let order = json!({
        "apiVersion": "dropmate.dev/v1", "kind": "Order", "metadata": {"name": "warm"},
        "spec": {"pickup": stop("12 Mill St"), "dropoff": stop("88 Queens Quay"), "recipient": {"name": "Ada",
            "email": "warm@example.org", "phone": "+14165559999"}},
    });
    operator.ask(Method::POST, ORDERS, &order).await;
}

/// First all are placed, then all are changed: the two events of an order are well apart.
async fn one(operator: &Operator, number: usize, events: usize) -> About {
    let orders = events.div_ceil(2);
    if number < orders {
        let stop = |address: &str| json!({"address": address, "location": {"latitude": 43.65, "longitude": -79.36}});
        let order = json!({
            "apiVersion": "dropmate.dev/v1", "kind": "Order", "metadata": {"name": format!("o-{number}")},
            "spec": {
                "pickup": stop("12 Mill St"), "dropoff": stop("88 Queens Quay"),
                "recipient": {"name": "Ada", "email": format!("ada-{number}@example.org"), "phone": format!("+1416{number:07}")},
            },
        });
        operator.ask(Method::POST, ORDERS, &order).await;
        (format!("o-{number}"), "order.created".to_owned())
    } else {
        let order = number - orders;
        operator.ask(Method::PATCH, &format!("{ORDERS}/o-{order}"), &json!({"spec": {"priority": 7}})).await;
        (format!("o-{order}"), "order.updated".to_owned())
    }
}
