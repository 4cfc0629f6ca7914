//! Tracker apps, as they were recorded: whatever a known phone sends is taken, and nothing is ever asked for again.

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use super::{fixture::Day, paired::Phone};

const TRACKING: &str = "system:serviceaccount:dropmate-system:tracking";

/// What a tracker app sends.
struct Sent {
    method: Method,
    path: &'static str,
    content_type: &'static str,
    body: String,
}

fn sent(method: Method, path: &'static str, content_type: &'static str, body: &impl ToString) -> Sent {
    Sent { method, path, content_type, body: body.to_string() }
}

const FORM: &str = "application/x-www-form-urlencoded";
const JSON: &str = "application/json";

/// One point of each app, `SECOND` after the start of the day.
fn apps() -> Vec<(&'static str, Sent, Value)> {
    let client_8 = "/ingest/osmand/TOKEN?id=123456&timestamp=SECOND&lat=43.65&lon=-79.38&speed=9.0&bearing=54.0&altitude=76.0&accuracy=5.0&batt=85.0";
    let client_9 = json!({
        "location": {
            "timestamp": "ISO", "coords": {"latitude": 43.65, "longitude": -79.38, "accuracy": 5, "speed": 4.63, "heading": 54, "altitude": 76},
            "is_moving": true, "odometer": 0, "event": "motionchange", "battery": {"level": 0.85, "is_charging": false},
            "activity": {"type": "in_vehicle"}, "extras": {},
        },
        "device_id": "123456",
    });
    let client_10 = "id=123456&timestamp=SECOND&lat=43.65&lon=-79.38&speed=9.0&bearing=54.0&altitude=76.0&accuracy=5.0&batt=85.0&charge=false";
    let osmand = "/ingest/osmand/TOKEN?lat=43.65&lon=-79.38&timestamp=SECOND000&hdop=4&altitude=76&speed=9&bearing=54";
    let owntracks = json!({
        "_type": "location", "acc": 5, "alt": 76, "batt": 85, "cog": 54, "conn": "m", "lat": 43.65, "lon": -79.38, "t": "u",
        "tid": "sa", "tst": "SECOND", "vel": 17,
    });
    let overland = json!({"locations": [{
        "type": "Feature", "geometry": {"type": "Point", "coordinates": [-79.38, 43.65]},
        "properties": {"timestamp": "ISO", "altitude": 76, "speed": 4, "horizontal_accuracy": 5, "battery_level": 0.85, "device_id": ""},
    }]});
    let traccar = json!({
        "position": {"id": 1, "attributes": {"batteryLevel": 85}, "deviceId": 10, "protocol": "gt06", "fixTime": "ISO", "valid": true,
            "outdated": false, "latitude": 43.65, "longitude": -79.38, "altitude": 76, "speed": 9, "course": 54, "accuracy": 0},
        "device": {"id": 10, "name": "Van 1", "uniqueId": "860000000000001", "status": "online"},
    });
    vec![
        ("Traccar Client 8", sent(Method::POST, client_8, "", &""), json!("")),
        ("Traccar Client 9", sent(Method::POST, "/ingest/osmand/TOKEN", JSON, &client_9), json!("")),
        ("Traccar Client 10", sent(Method::POST, "/ingest/osmand/TOKEN", FORM, &client_10), json!("")),
        ("OsmAnd", sent(Method::GET, osmand, "", &""), json!("")),
        ("OwnTracks", sent(Method::POST, "/ingest/owntracks/TOKEN", JSON, &owntracks), json!([])),
        ("Overland", sent(Method::POST, "/ingest/overland/TOKEN", JSON, &overland), json!({"result": "ok"})),
        ("Traccar server", sent(Method::POST, "/ingest/traccar/TOKEN", JSON, &traccar), json!({})),
    ]
}

impl Sent {
    /// The request, of a moment so many minutes after the start of the day.
    fn request(&self, day: &Day, token: &str, minutes: i64) -> RequestBuilder {
        let at = day.minutes(minutes);
        let fill = |text: &str| {
            text.replace("TOKEN", token).replace("SECOND", &at.as_second().to_string()).replace("ISO", &at.to_string())
        };
        let request = day.server.http.request(self.method.clone(), day.server.url(&fill(self.path)));
        let request =
            if self.content_type.is_empty() { request } else { request.header("content-type", self.content_type) };
        request.body(fill(&self.body))
    }
}

async fn answer(request: RequestBuilder) -> (u16, Value) {
    let answer = request.send().await.unwrap();
    let status = answer.status().as_u16();
    let text = answer.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap_or_else(|_| text.into()))
}

async fn kept(day: &Day) -> Vec<Value> {
    let page = day.operator.as_user(TRACKING).get("/v1/internal/positions?limit=5000").await.ok();
    page["positions"].as_array().unwrap().clone()
}

#[tokio::test]
async fn the_apps_that_exist_are_understood() {
    let day = Day::begin().await;
    let phone = Phone::pair(&day).await;
    for (number, (app, sent, expected)) in (0..).zip(apps()) {
        // Each at another minute, and once more, as after an answer that was lost.
        for _ in 0..2 {
            let told = answer(sent.request(&day, phone.ingest_token(), number)).await;
            assert_eq!(told, (200, expected.clone()), "{app}");
        }
        let positions = kept(&day).await;
        assert_eq!(positions.len(), number as usize + 1, "{app}: once");
        let last = positions.last().unwrap();
        assert_eq!(
            (&last["driver"], &last["latitude"], &last["longitude"]),
            (&json!("sam"), &json!(43.65), &json!(-79.38))
        );
        let at: jiff::Timestamp = last["at"].as_str().unwrap().parse().unwrap();
        assert_eq!(at.as_second(), day.minutes(number).as_second(), "{app}");
        let speed = last["speedMetersPerSecond"].as_f64().unwrap();
        assert!((3.9..4.8).contains(&speed), "{app}: {speed} is in metres a second");
    }
}

#[tokio::test]
async fn a_poisoned_point_never_blocks_a_phone() {
    let day = Day::begin().await;
    let phone = Phone::pair(&day).await;
    let token = phone.ingest_token();
    let paths = ["osmand", "owntracks", "overland", "traccar"].map(|protocol| format!("/ingest/{protocol}/{token}"));
    let old = json!({"_type": "location", "lat": 1, "lon": 1, "tst": 1}).to_string();
    for path in &paths {
        for body in ["", "{", "null", "[]", "{}", "lat=NaN&lon=inf&timestamp=-1", "\0\u{1}", &old, &"[".repeat(100_000)]
        {
            for content_type in [JSON, FORM, "text/plain"] {
                let request = day.server.http.post(day.server.url(path)).header("content-type", content_type);
                assert_eq!(answer(request.body(body.to_owned())).await.0, 200, "{path} {body:.40}");
            }
        }
    }
    let osmand = day.server.url(&paths[0]);
    for query in [
        "id=1",
        "lat=0&lon=0",
        "lat=91&lon=1",
        "lat=1&lon=1&timestamp=99999999999999999999",
        "lat=%zz&lon=%",
        "&&==&",
        "namespace=x&namespace=y",
    ] {
        assert_eq!(answer(day.server.http.get(format!("{osmand}?{query}"))).await.0, 200, "{query}");
    }
    assert_eq!(kept(&day).await, Vec::<Value>::new());
    let good = "lat=43.65&lon=-79.38";
    assert_eq!(answer(day.server.http.get(format!("{osmand}?{good}"))).await.0, 200);
    assert_eq!(kept(&day).await.len(), 1);
    let metrics = day.server.metrics().await;
    assert!(metrics.contains("source=\"owntracks\",outcome=\"rejected\""), "what is dropped is counted");
}

#[tokio::test]
async fn an_unknown_token_is_told_nothing() {
    let day = Day::begin().await;
    let phone = Phone::pair(&day).await;
    day.of("manager").delete("/v1/namespaces/acme/drivers/sam/pairing", &Value::Null).await;
    let (unknown, revoked) = ("ab".repeat(32), phone.ingest_token());
    let mut told = Vec::new();
    for token in [unknown.as_str(), revoked, "x", phone.paired["accessToken"].as_str().unwrap()] {
        for protocol in ["osmand", "owntracks", "overland", "traccar", "nothing"] {
            let path = format!("/ingest/{protocol}/{token}?lat=1&lon=1");
            told.push(answer(day.server.http.post(day.server.url(&path))).await);
        }
    }
    told.push(answer(day.server.http.post(day.server.url("/ingest/osmand"))).await);
    told.push(answer(day.server.http.post(day.server.url("/ingest/"))).await);
    told.dedup();
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0].0, 401);
    // The audit notes that it was tried, and with no token.
    let audit = day.operator.get("/v1/audit").await.ok().to_string();
    assert!(audit.contains("\"denied\"") && !audit.contains(&unknown) && !audit.contains(revoked), "{audit}");
}

#[tokio::test]
async fn the_token_may_stand_in_a_header_and_opens_nothing_else() {
    let day = Day::begin().await;
    let phone = Phone::pair(&day).await;
    let (http, token) = (&day.server.http, phone.ingest_token());
    let overland = http.post(day.server.url("/ingest/overland")).bearer_auth(token).json(&json!({"locations": []}));
    assert_eq!(answer(overland).await, (200, json!({"result": "ok"})));
    let owntracks = http.post(day.server.url("/ingest/owntracks/")).basic_auth("sam", Some(token));
    assert_eq!(answer(owntracks).await, (200, json!([])));
    for path in ["/v1/me", "/v1/me/route", "/apis/dropmate.dev/v1/namespaces/acme/orders"] {
        assert_eq!(answer(http.get(day.server.url(path)).bearer_auth(token)).await.0, 401, "{path}");
    }
    assert_eq!(answer(http.post(day.server.url(&format!("/ingest/nothing/{token}")))).await.0, 404);
}

#[tokio::test]
async fn owntracks_is_told_where_to_go_and_says_when_it_is_there() {
    let day = Day::begin().await;
    day.bound("o", "sam", &json!({})).await;
    let phone = Phone::pair(&day).await;
    let (_, sent, _) = apps().into_iter().find(|(app, ..)| *app == "OwnTracks").unwrap();
    let (_, told) = answer(sent.request(&day, phone.ingest_token(), 1)).await;
    assert_eq!((&told[0]["_type"], &told[0]["action"]), (&json!("cmd"), &json!("setWaypoints")));
    let waypoints = told[0]["waypoints"]["waypoints"].as_array().unwrap();
    let described: Vec<&Value> = waypoints.iter().map(|waypoint| &waypoint["desc"]).collect();
    assert_eq!(described, ["pickup acme/o", "dropoff acme/o"]);
    let again = answer(sent.request(&day, phone.ingest_token(), 2)).await.1;
    assert_eq!(again, told, "the same waypoint has the same number");
    let at = day.minutes(3).as_second();
    let enter = json!({"_type": "transition", "event": "enter", "lat": 43.6503, "lon": -79.3596, "tst": at, "acc": 20, "desc": "pickup acme/o", "wtst": waypoints[0]["tst"]});
    let path = day.server.url(&format!("/ingest/owntracks/{}", phone.ingest_token()));
    assert_eq!(answer(day.server.http.post(path).json(&enter)).await, (200, json!([])));
    assert_eq!(kept(&day).await.last().unwrap()["source"], "owntracks/enter");
    assert_eq!(day.status_of("o").await["phase"], "Assigned", "it proposes, and reports nothing");
}
