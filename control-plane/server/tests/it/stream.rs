//! Live streams: what clients of each role hear, and that none misses anything.

#[path = "stream/cut.rs"]
mod cut;
#[path = "stream/sights.rs"]
mod sights;
#[path = "stream/socket.rs"]
pub(crate) mod socket;
#[path = "stream/tickets.rs"]
mod tickets;

use std::time::Duration;

use dropmate_live::Position;
use reqwest::Method;
use serde_json::{Value, json};

pub(crate) use self::socket::{SOON, Socket, ask};
use crate::{
    client::{LEASES, order},
    server::Server,
    tenants::at,
};

/// A business named `acme` on a server, with what happens in it.
pub(crate) struct Shop {
    pub(crate) server: Server,
    fence: Value,
}

impl Shop {
    pub(crate) async fn open() -> Self {
        Self::at(Server::start().await).await
    }

    pub(crate) async fn at(server: Server) -> Self {
        let mut shop = Self { server, fence: Value::Null };
        for business in ["acme", "bolt"] {
            let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": business}});
            shop.post("operator", "/api/v1/namespaces", &namespace).await;
        }
        let lease = json!({
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "dispatch"},
            "spec": {"holderIdentity": "me", "leaseTransitions": 1, "leaseDurationSeconds": 15},
        });
        let lease = shop.post("dispatch", LEASES, &lease).await;
        shop.fence =
            json!({"lease": "dispatch", "leaseUid": lease["metadata"]["uid"], "holder": "me", "transitions": 1});
        for driver in ["sam", "kim"] {
            shop.post("operator", &at("acme", "drivers"), &crate::client::driver(driver)).await;
        }
        shop
    }

    /// The same business at another replica; this one ends.
    pub(crate) async fn move_to(self, server: Server) -> Self {
        self.server.end().await;
        Self { server, fence: self.fence }
    }

    pub(crate) async fn send(&self, caller: &str, method: Method, path: &str, body: &Value) -> Value {
        let kind = if method == Method::PATCH { "application/merge-patch+json" } else { "application/json" };
        let request = self.server.call(caller, method, path).header("content-type", kind).body(body.to_string());
        let answer = request.send().await.unwrap();
        let code = answer.status();
        let body: Value = answer.json().await.unwrap();
        assert!(code.is_success(), "{path}: {code} {body}");
        body
    }

    pub(crate) async fn post(&self, caller: &str, path: &str, body: &Value) -> Value {
        self.send(caller, Method::POST, path, body).await
    }

    pub(crate) async fn order(&self, name: &str) {
        self.post("operator", &at("acme", "orders"), &order(name)).await;
    }

    pub(crate) async fn customer_order(&self, name: &str, customer: &str) {
        let mut order = order(name);
        order["spec"]["customerName"] = customer.into();
        order["spec"]["recipient"]["email"] = "ada@private.example".into();
        self.post("operator", &at("acme", "orders"), &order).await;
    }

    /// A report of a driver, through the operator.
    async fn report(&self, order: &str, type_: &str, driver: &str) {
        let now = self.server.plane.clock().business_now().to_string();
        let id = uuid::Uuid::new_v4().to_string();
        let report = json!({"clientEventId": id, "type": type_, "occurredAt": now, "driver": driver});
        self.post("operator", &at("acme", &format!("orders/{order}/progress")), &report).await;
    }

    pub(crate) async fn release(&self, order: &str) {
        let release = json!({
            "clientEventId": format!("release-{order}"), "type": "release", "fence": self.fence,
            "occurredAt": self.server.plane.clock().business_now().to_string(),
        });
        self.post("dispatch", &at("acme", &format!("orders/{order}/progress")), &release).await;
    }

    pub(crate) async fn offer(&self, order: &str, driver: &str) {
        let now = self.server.plane.clock().business_now();
        let offer = json!({
            "clientEventId": format!("offer-{order}-{driver}"), "type": "offer", "fence": self.fence, "driver": driver,
            "occurredAt": now.to_string(), "deadline": (now + jiff::SignedDuration::from_mins(1)).to_string(),
        });
        self.post("dispatch", &at("acme", &format!("orders/{order}/progress")), &offer).await;
    }

    /// An order from its first to its last moment.
    pub(crate) async fn delivered(&self, order: &str, driver: &str) {
        self.order(order).await;
        self.release(order).await;
        self.bind(order, driver).await;
        for report in ["depart", "arrive", "pickUp", "arrive", "deliver"] {
            self.report(order, report, driver).await;
        }
    }

    pub(crate) async fn bind(&self, order: &str, driver: &str) {
        let binding = json!({
            "apiVersion": "dropmate.dev/v1", "kind": "Binding", "metadata": {"name": order},
            "target": {"kind": "Driver", "name": driver}, "fence": self.fence,
        });
        self.post("dispatch", &at("acme", &format!("orders/{order}/binding")), &binding).await;
    }

    pub(crate) async fn unbind(&self, order: &str) {
        let path = at("acme", &format!("orders/{order}/binding"));
        self.send("operator", Method::DELETE, &path, &json!({"reason": "off duty"})).await;
    }

    pub(crate) async fn patch(&self, order: &str, change: &Value) -> u64 {
        let path = at("acme", &format!("orders/{order}"));
        let patched = self.send("operator", Method::PATCH, &path, change).await;
        patched["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap()
    }

    pub(crate) fn saw(&self, driver: &str, second: i64) {
        self.server.plane.live().saw([position("acme", driver, second)]);
    }

    pub(crate) fn token(&self, name: &str) -> String {
        self.server.token(name)
    }

    /// The operator's stream of `acme`.
    pub(crate) async fn stream(&self) -> Socket {
        Socket::open(&self.server, &self.token("operator"), "namespace=acme").await
    }

    /// A member of `acme` with a token: a service account.
    pub(crate) async fn member(&self, name: &str, role: &str) -> String {
        let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}});
        self.post("operator", "/api/v1/namespaces/acme/serviceaccounts", &account).await;
        let member = crate::tenants::member(name, &format!("system:serviceaccount:acme:{name}"), role);
        self.post("operator", &at("acme", "members"), &member).await;
        let asked = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}});
        let path = format!("/api/v1/namespaces/acme/serviceaccounts/{name}/token");
        let token = self.post("operator", &path, &asked).await["status"]["token"].as_str().unwrap().to_owned();
        // The gateway follows the store.
        for _ in 0..200 {
            let me = self.server.http.get(self.server.url("/v1/me")).bearer_auth(&token).send().await.unwrap();
            let me: Value = me.json().await.unwrap();
            if me["memberships"].as_array().is_some_and(|held| !held.is_empty()) {
                return token;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{name} is a member of nothing");
    }
}

pub(crate) fn position(namespace: &str, driver: &str, second: i64) -> Position {
    Position {
        namespace: namespace.to_owned(),
        driver: driver.to_owned(),
        uid: String::new(),
        at: jiff::Timestamp::from_second(1_800_000_000 + second).unwrap(),
        latitude: 43.65,
        longitude: -79.36,
        speed_meters_per_second: Some(4.5),
        bearing: None,
        accuracy_meters: Some(10.0),
    }
}

fn told(name: &str, order: &str) -> (String, String) {
    (name.to_owned(), format!("acme/{order}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delivery_is_heard_as_it_happens() {
    let shop = Shop::open().await;
    let mut stream = shop.stream().await;
    shop.delivered("o-1", "sam").await;
    let first = stream.event_frame().await;
    let event = &first["data"];
    assert_eq!((&event["type"], &event["specversion"]), (&json!("order.created"), &json!("1.0")));
    let revision = event["data"]["order"]["metadata"]["resourceVersion"].as_str().unwrap();
    assert_eq!(event["id"], format!("evt_{}_{revision}_0", stream.epoch));
    assert_eq!((&event["sequence"], first["seq"].to_string().as_str()), (&json!(revision), revision));
    assert_eq!((&event["subject"], &event["data"]["phase"]), (&json!("acme/o-1"), &json!("Pending")));
    let mut heard = Vec::new();
    while heard.last() != Some(&told("order.delivered", "o-1")) {
        heard.push(stream.event().await);
    }
    let expected = [
        "order.ready",
        "order.assigned",
        "order.pickup_enroute",
        "order.pickup_arrived",
        "order.picked_up",
        "order.out_for_delivery",
        "order.dropoff_arrived",
        "order.delivered",
    ];
    assert_eq!(heard, expected.map(|name| told(name, "o-1")));
    stream.settle().await;
    // Each of the seven reports moved the delivery; the coarse event comes last, with the number of its revision.
    assert_eq!(stream.coarse.len(), 7);
    for frame in &stream.coarse {
        let event = &frame["data"];
        assert_eq!(frame["seq"].to_string(), event["sequence"].as_str().unwrap(), "{event}");
        assert_ne!(event["id"].as_str().unwrap().rsplit('_').next(), Some("0"), "it comes after what it is about");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn positions_come_at_once_and_then_the_newest_once_a_second() {
    let shop = Shop::open().await;
    shop.saw("kim", 1);
    let mut stream = shop.stream().await;
    let known = stream.next().await;
    assert_eq!((&known["type"], &known["data"]["driver"]), (&json!("position"), &json!("kim")));
    let began = std::time::Instant::now();
    for second in 1..=50 {
        shop.saw("sam", second);
        shop.server.plane.live().saw([position("bolt", "sam", second)]);
    }
    let first = stream.next().await;
    assert!(began.elapsed() < Duration::from_millis(500), "the first comes at once");
    let at_second =
        |frame: &Value| frame["data"]["at"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap().as_second();
    assert_eq!(at_second(&first), 1_800_000_001);
    assert_eq!(
        first["data"],
        json!({"namespace": "acme", "driver": "sam", "latitude": 43.65, "longitude": -79.36,
               "at": "2027-01-15T08:00:01Z", "speedMetersPerSecond": 4.5})
    );
    let second = stream.next().await;
    assert_eq!(at_second(&second), 1_800_000_050, "then the newest");
    assert!(began.elapsed() >= Duration::from_millis(950), "a second later");
    assert_eq!(stream.within(Duration::from_millis(1_200)).await, None, "nothing twice, and nothing of others");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_comes_back_gets_what_was_missed_and_else_a_snapshot() {
    let shop = Shop::open().await;
    let token = shop.token("operator");
    for number in 0..250 {
        shop.order(&format!("o-{number:03}")).await;
    }
    let mut stream = shop.stream().await;
    shop.release("o-000").await;
    assert_eq!(stream.event().await, told("order.ready", "o-000"));
    stream.settle().await;
    let seq = stream.seq;
    drop(stream.say("bye").await);
    shop.release("o-001").await;
    shop.bind("o-001", "sam").await;
    let mut stream = stream.again(&shop.server, &token, "namespace=acme").await;
    assert_eq!(stream.seq, seq, "it begins where it was cut");
    assert_eq!(stream.event().await, told("order.ready", "o-001"));
    assert_eq!(stream.event().await, told("order.assigned", "o-001"));
    shop.saw("sam", 1);
    let (epoch, seq) = (stream.epoch.clone(), stream.seq);
    for lost in [
        format!("namespace=acme&epoch=another&seq={seq}"),
        format!("namespace=acme&epoch={epoch}&seq={}", seq + 1_000_000),
        format!("namespace=acme&epoch={epoch}&seq=0"),
        format!("namespace=acme&seq={seq}"),
    ] {
        let mut stream = Socket::open(&shop.server, &token, &lost).await;
        let (orders, positions, frames) = stream.snapshot().await;
        assert_eq!((orders.len(), positions), (250, 1), "{lost}");
        assert!(frames >= 3, "in pieces: {frames}");
        assert_eq!((orders["o-000"].as_str(), orders["o-001"].as_str()), ("Ready", "Assigned"));
        shop.patch(
            "o-002",
            &json!({"metadata": {"labels": {"n": frames.to_string(), "u": uuid::Uuid::new_v4().to_string()}}}),
        )
        .await;
        assert_eq!(stream.event().await, told("order.updated", "o-002"), "and it goes on");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_goes_says_so_and_waits_for_nobody() {
    let shop = Shop::open().await;
    let mut streams = Vec::new();
    for _ in 0..20 {
        streams.push(shop.stream().await);
    }
    let metrics = shop.server.metrics().await;
    assert!(metrics.contains("dropmate_stream_clients 20"), "{metrics}");
    let (began, ending) = (std::time::Instant::now(), tokio::spawn(shop.server.end()));
    for stream in &mut streams {
        assert_eq!(stream.closed().await, 1001);
    }
    ending.await.unwrap();
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn senseless_requests_are_told_what_is_wrong() {
    let shop = Shop::open().await;
    let bearer = format!("Bearer {}", shop.token("operator"));
    let code =
        async |query: &str, headers: &[(&str, &str)]| ask(&shop.server, query, headers).await.map(|_| ()).unwrap_err();
    assert_eq!(code("namespace=acme&seq=seven", &[("authorization", &bearer)]).await, 400);
    assert_eq!(code("namespace=acme", &[]).await, 401);
    assert_eq!(code("namespace=acme&ticket=nonsense", &[]).await, 401);
    let plain = shop.server.get("/v1/stream?namespace=acme").await;
    assert_eq!(plain.headers()["content-type"], "application/problem+json");
    assert!((400..500).contains(&plain.status().as_u16()));
    let problem: Value = plain.json().await.unwrap();
    assert!(problem["detail"].as_str().unwrap().contains("WebSocket"), "{problem}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_talks_too_much_is_closed() {
    let shop = Shop::open().await;
    let mut stream = shop.stream().await;
    for _ in 0..300 {
        if stream.say("hello?").await.is_err() {
            break;
        }
    }
    assert!([1008, 1006].contains(&stream.closed().await));
    let mut stream = shop.stream().await;
    let _ = stream.say(&"x".repeat(5_000)).await;
    stream.closed().await;
    let none_left = async {
        loop {
            let metrics = shop.server.metrics().await;
            if metrics.contains("dropmate_stream_clients 0") {
                return metrics;
            }
        }
    };
    let metrics = tokio::time::timeout(SOON, none_left).await.expect("both are let go");
    assert!(metrics.contains("dropmate_stream_closed_total{reason=\"flood\"} 1"), "{metrics}");
}
