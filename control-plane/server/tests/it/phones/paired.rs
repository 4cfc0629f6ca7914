//! A phone that was paired: over HTTPS, with the tokens it got for its code, and nothing else.

use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::fixture::{Day, outcomes};
use crate::tenants::at;

const PAIRING: &str = "/v1/namespaces/acme/drivers/sam/pairing";
/// Access ends within so long on every replica.
const ENDED_WITHIN: Duration = Duration::from_secs(5);

/// A phone with what it got.
pub(crate) struct Phone<'a> {
    day: &'a Day,
    pub(crate) paired: Value,
}

impl<'a> Phone<'a> {
    pub(crate) async fn pair(day: &'a Day) -> Self {
        let code = day.of("dispatcher").post(PAIRING, &json!({})).await.ok();
        let answer = redeem(day, &code["code"]).await;
        assert_eq!(answer.0, 200, "{}", answer.1);
        Self { day, paired: answer.1 }
    }

    pub(crate) fn ingest_token(&self) -> &str {
        self.paired["ingestToken"].as_str().unwrap()
    }

    async fn ask(&self, method: reqwest::Method, path: &str, body: Option<&Value>) -> (u16, Value) {
        let token = self.paired["accessToken"].as_str().unwrap();
        let request = self.day.server.http.request(method, self.day.server.url(path)).bearer_auth(token);
        let request = body.map_or(request.try_clone().unwrap(), |body| request.json(body));
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap_or_default())
    }

    pub(crate) async fn get(&self, path: &str) -> (u16, Value) {
        self.ask(reqwest::Method::GET, path, None).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        self.ask(reqwest::Method::POST, path, Some(body)).await
    }

    pub(crate) async fn put(&self, path: &str, body: &Value) -> (u16, Value) {
        self.ask(reqwest::Method::PUT, path, Some(body)).await
    }
}

pub(crate) async fn redeem(day: &Day, code: &Value) -> (u16, Value) {
    let request = day.server.http.post(day.server.url("/v1/pair")).json(&json!({ "code": code }));
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

#[tokio::test]
async fn a_code_is_good_once_and_makes_a_phone_its_driver() {
    let day = Day::begin().await;
    let made = day.of("manager").post(PAIRING, &json!({})).await;
    assert_eq!((made.code, made.headers["cache-control"].to_str().unwrap()), (StatusCode::CREATED, "no-store"));
    let made = made.ok();
    let code = made["code"].as_str().unwrap();
    assert!(code.len() >= 32, "at least 128 bits in hex");
    assert_eq!(made["url"], format!("{}/d#pair={code}", day.server.plane.url().unwrap()));
    assert!(made["expiresAt"].is_string());
    let (status, paired) = redeem(&day, &made["code"]).await;
    assert_eq!(status, 200);
    for (field, value) in [("namespace", "acme"), ("driver", "sam"), ("tokenType", "Bearer")] {
        assert_eq!(paired[field], value);
    }
    assert_eq!((&paired["expiresIn"], &paired["server"]), (&json!(900), &json!(day.server.plane.url().unwrap())));
    assert_eq!(redeem(&day, &made["code"]).await.0, 410);
    assert_eq!(redeem(&day, &json!("guessed")).await.0, 410);
    let phone = Phone { day: &day, paired };
    let (_, me) = phone.get("/v1/me").await;
    assert_eq!(
        me,
        json!({"user": "system:driver:acme:sam", "memberships": [{"namespace": "acme", "role": "driver", "driver": "sam"}]})
    );
    // Only what is the driver's.
    assert_eq!(phone.get(&at("acme", "drivers/sam")).await.0, 200);
    assert_eq!(phone.get(&at("acme", "drivers/kim")).await.0, 404);
    assert_eq!(phone.get(&at("default", "drivers")).await.0, 404);
    assert_eq!(phone.post(PAIRING, &json!({})).await.0, 403);
    // The session goes on as any other.
    let refresh = json!({"refreshToken": phone.paired["refreshToken"]});
    let (status, next) = phone.post("/v1/auth/refresh", &refresh).await;
    assert_eq!((status, next["accessToken"].is_string()), (200, true));
    // Nobody finds it among people.
    let users = day.operator.get("/v1/users").await.ok();
    assert_eq!(users["items"], json!([]));
    for name in ["nobody", "sam%2Fx"] {
        let missing = day.of("manager").post(&format!("/v1/namespaces/acme/drivers/{name}/pairing"), &json!({})).await;
        assert_eq!(missing.code, 404, "{name}");
    }
    assert_eq!(day.of("manager").delete("/v1/namespaces/acme/drivers/nobody/pairing", &Value::Null).await.code, 404);
}

#[tokio::test]
async fn unpairing_ends_the_phone_and_so_does_the_end_of_its_driver() {
    let day = Day::begin().await;
    for remade in [false, true] {
        let phone = Phone::pair(&day).await;
        let fix = format!("/ingest/osmand/{}?lat=43.65&lon=-79.38", phone.ingest_token());
        assert_eq!(phone.get(&fix).await.0, 200);
        let unused = day.of("manager").post(PAIRING, &json!({})).await.ok();
        if remade {
            day.operator.delete(&at("acme", "drivers/sam"), &Value::Null).await.ok();
            day.operator.post(&at("acme", "drivers"), &crate::client::driver("sam")).await.ok();
        } else {
            assert_eq!(day.of("dispatcher").delete(PAIRING, &Value::Null).await.code, 204);
            assert_eq!(day.of("dispatcher").delete(PAIRING, &Value::Null).await.code, 204, "twice is as once");
        }
        let deadline = Instant::now() + ENDED_WITHIN;
        // One is told 401, the other finds that it is nobody's phone: both are told nothing of drivers any more.
        while phone.get("/v1/me/route").await.0 == 200 || phone.get(&fix).await.0 != 401 {
            assert!(Instant::now() < deadline, "access goes on");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(redeem(&day, &unused["code"]).await.0, 410);
        let refresh = json!({"refreshToken": phone.paired["refreshToken"]});
        let refreshed = phone.post("/v1/auth/refresh", &refresh).await;
        if remade {
            let token = refreshed.1["accessToken"].clone();
            let phone = Phone { day: &day, paired: json!({ "accessToken": token }) };
            assert_eq!(phone.get("/v1/me").await.1["memberships"], json!([]), "another Driver of the name");
        } else {
            assert_eq!(refreshed.0, 401);
        }
    }
}

#[tokio::test]
async fn a_whole_delivery_over_https_and_the_same_in_one_batch() {
    let day = Day::begin().await;
    for order in ["live", "late"] {
        day.bound(order, "sam", &json!({})).await;
    }
    let phone = Phone::pair(&day).await;
    assert_eq!(phone.put("/v1/me/availability", &json!({"availability": "Available"})).await.0, 200);
    let steps = [("depart", 1), ("arrive", 9), ("pickUp", 11), ("depart", 12), ("arrive", 20), ("deliver", 22)];
    for (type_, minutes) in steps {
        let (_, route) = phone.get("/v1/me/route").await;
        let ahead = route["stops"].as_array().unwrap();
        let next = ahead.iter().find(|stop| stop["order"] == "acme/live" && stop["legalNext"] != json!([])).unwrap();
        assert!(next["legalNext"].as_array().unwrap().contains(&json!(type_)), "{type_}: {next}");
        let place = json!({"at": day.minutes(minutes).to_string(), "latitude": 43.64, "longitude": -79.37});
        let (_, kept) = phone.post("/v1/me/positions", &json!({"positions": [place]})).await;
        assert_eq!(kept, json!({"accepted": 1, "duplicate": 0, "rejected": 0}));
        let report = json!({"reports": [day.report("live", type_, minutes)]});
        assert_eq!(outcomes(&phone.post("/v1/me/events", &report).await.1), ["applied 200"], "{type_}");
    }
    let mut batch: Vec<Value> = steps.iter().map(|(type_, minutes)| day.report("late", type_, *minutes)).collect();
    batch.reverse();
    batch.swap(1, 4);
    let (_, answer) = phone.post("/v1/me/events", &json!({ "reports": batch })).await;
    assert_eq!(outcomes(&answer), ["applied 200"; 6]);
    let (live, late) = (day.status_of("live").await, day.status_of("late").await);
    assert_eq!((&live["phase"], &late["phase"]), (&json!("Delivered"), &json!("Delivered")));
    assert_eq!(live["stops"], late["stops"]);
    assert_eq!(phone.get("/v1/me/route").await.1, json!({"stops": []}));
}

#[tokio::test]
async fn guessing_codes_is_throttled() {
    let day = Day::begin_with(&["--rate-limit-auth", "1:3"]).await;
    let mut codes = Vec::new();
    for _ in 0..5 {
        codes.push(redeem(&day, &json!("guess")).await.0);
    }
    assert_eq!(codes, [410, 410, 410, 429, 429]);
}
