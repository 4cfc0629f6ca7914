//! Reports: taken in once, by the time at which things happened, each with its own outcome.

use image::ImageFormat;
use serde_json::{Value, json};

use super::fixture::{Day, outcomes};
use crate::proofs::{picture, upload};

async fn send(day: &Day, reports: &[Value]) -> Value {
    day.phone().post("/v1/me/events", &json!({ "reports": reports })).await.ok()
}

/// A whole delivery, with the photo that was given.
fn delivery(day: &Day, order: &str, photo: &Value) -> Vec<Value> {
    let mut steps: Vec<Value> = [("depart", 1), ("arrive", 10), ("pickUp", 12), ("depart", 13), ("arrive", 25)]
        .iter()
        .map(|(type_, minutes)| day.report(order, type_, *minutes))
        .collect();
    let mut deliver = day.report(order, "deliver", 27);
    deliver["proof"] = json!([{"type": "photo", "reference": photo}]);
    deliver["location"] = json!({"latitude": 43.6405, "longitude": -79.3760});
    steps.push(deliver);
    steps
}

fn proven() -> Value {
    json!({"proof": {"dropoff": ["photo"]}})
}

/// The facts of an order, without when the server heard of them.
fn facts(mut status: Value) -> Value {
    status["assignment"]["boundAt"] = Value::Null;
    for report in status["reports"].as_array_mut().into_iter().flatten() {
        report["recordedAt"] = Value::Null;
        // Named after its order.
        report["clientEventId"] = Value::Null;
        report["digest"] = Value::Null;
    }
    for condition in status["conditions"].as_array_mut().into_iter().flatten() {
        condition["lastTransitionTime"] = Value::Null;
    }
    for proof in status["proofs"].as_array_mut().into_iter().flatten() {
        proof["reference"] = Value::Null;
    }
    status["placedAt"] = Value::Null;
    status["finishedAt"] = Value::Null;
    status
}

#[tokio::test]
async fn a_day_sent_in_one_shuffled_batch_ends_as_the_live_one_did() {
    let day = Day::begin().await;
    for order in ["live", "late"] {
        day.bound(order, "sam", &proven()).await;
    }
    let file = picture(ImageFormat::Jpeg, 40);
    let photo = async |order: &str| upload(&day.phone(), order, order, &file).await.ok()["id"].clone();
    let photos = [photo("live").await, photo("late").await];
    for report in delivery(&day, "live", &photos[0]) {
        assert_eq!(outcomes(&send(&day, &[report]).await), ["applied 200"]);
    }
    let mut shuffled = delivery(&day, "late", &photos[1]);
    for (one, other) in [(0, 5), (1, 4), (2, 3), (0, 2)] {
        shuffled.swap(one, other);
    }
    let answer = send(&day, &shuffled).await;
    assert_eq!(outcomes(&answer), ["applied 200"; 6], "{answer}");
    // Answered in the order of the request.
    let ids = |values: &[Value]| values.iter().map(|value| value["clientEventId"].clone()).collect::<Vec<_>>();
    assert_eq!(ids(answer["results"].as_array().unwrap()), ids(&shuffled));
    let (live, late) = (day.status_of("live").await, day.status_of("late").await);
    assert_eq!(live["phase"], "Delivered");
    assert_eq!(facts(live.clone()), facts(late));
    // Once more, in pieces and whole: nothing happens twice.
    assert_eq!(outcomes(&send(&day, &shuffled[2..4]).await), ["replayed 200"; 2]);
    assert_eq!(outcomes(&send(&day, &delivery(&day, "live", &photos[0])).await), ["replayed 200"; 6]);
    assert_eq!(day.status_of("live").await, live);
}

#[tokio::test]
async fn steps_of_one_moment_are_told_apart_by_what_can_follow_what() {
    let day = Day::begin().await;
    day.bound("o", "sam", &json!({})).await;
    let mut reports = vec![day.report("o", "deliver", 5), day.report("o", "pickUp", 5), day.report("o", "arrive", 5)];
    reports.push(day.report("o", "depart", 5));
    assert_eq!(outcomes(&send(&day, &reports).await), ["applied 200"; 4]);
    assert_eq!(day.status_of("o").await["phase"], "Delivered");
}

#[tokio::test]
async fn a_bad_report_is_rejected_and_the_rest_taken_in() {
    let day = Day::begin().await;
    day.bound("mine", "sam", &proven()).await;
    day.bound("kims", "kim", &json!({})).await;
    let mut unproven = day.report("mine", "deliver", 9);
    unproven["clientEventId"] = "unproven".into();
    let mut other_body = day.report("mine", "arrive", 2);
    other_body["note"] = "again, with another note".into();
    let reports = [
        day.report("mine", "depart", 1),
        day.report("mine", "startReturn", 1),
        day.report("mine", "arrive", 2),
        day.report("mine", "accept", 3),
        day.report("kims", "depart", 1),
        day.report("nobodys", "depart", 1),
        json!({"order": "bolt/mine", "clientEventId": "b", "type": "depart", "occurredAt": day.morning.to_string()}),
        day.report("mine", "release", 1),
        json!({"order": "acme/mine", "clientEventId": "x", "type": "fly", "occurredAt": day.morning.to_string()}),
        json!({"clientEventId": "y", "type": "depart"}),
        json!(7),
        day.report("mine", "pickUp", 8),
        unproven,
        other_body,
    ];
    let answer = send(&day, &reports).await;
    let expected = [
        "applied 200",
        "rejected 409",
        "applied 200",
        "rejected 409",
        "rejected 404",
        "rejected 404",
        "rejected 404",
        "rejected 403",
        "rejected 422",
        "rejected 422",
        "rejected 422",
        "applied 200",
        "rejected 422",
    ];
    assert_eq!(outcomes(&answer)[..13], expected, "{answer:#}");
    let results = answer["results"].as_array().unwrap();
    assert_eq!(results[0]["phase"], "EnRouteToPickup");
    assert_eq!(results[0]["legalNext"], json!(["arrive", "pickUp"]));
    assert_eq!(results[1]["legalNext"], json!(["arrive", "pickUp"]), "what would have been legal then");
    // Somebody else's order and one that never was are told alike.
    for (place, order) in [(4, "kims"), (5, "nobodys")] {
        assert_eq!(results[place]["phase"], Value::Null);
        let detail = results[place]["detail"].as_str().unwrap();
        assert_eq!(detail, format!("order \"acme/{order}\" not found"));
    }
    assert_eq!(results[12]["phase"], "OutForDelivery");
    assert_eq!(results[13]["outcome"], "rejected");
    assert_eq!(results[13]["status"], 422, "the same id with another body");
    assert_eq!(day.status_of("kims").await["phase"], "Assigned");
}

#[tokio::test]
async fn an_offer_is_accepted_by_whom_it_was_made_to() {
    let day = Day::begin().await;
    day.released("o", &json!({})).await;
    assert_eq!(outcomes(&send(&day, &[day.report("o", "accept", 1)]).await), ["rejected 409"], "nobody has asked");
    assert_eq!(outcomes(&send(&day, &[day.report("nobodys", "accept", 1)]).await), ["rejected 409"], "nor of this");
    let offer = json!({
        "type": "offer", "clientEventId": "offer", "driver": "sam", "deadline": day.minutes(5).to_string(),
    });
    day.decided("o", offer).await;
    let route = day.phone().get("/v1/me/route").await.ok();
    assert_eq!(route["stops"][0]["legalNext"], json!(["accept", "decline"]));
    assert_eq!(route["stops"][0]["offeredUntil"], day.minutes(5).to_string());
    // Whatever name it says: it is the caller's.
    let mut accept = day.report("o", "accept", 1);
    accept["driver"] = "kim".into();
    assert_eq!(outcomes(&send(&day, &[accept]).await), ["applied 200"]);
    assert_eq!(day.status_of("o").await["offers"][0]["state"], "Accepted");
    assert_eq!(outcomes(&send(&day, &[day.report("o", "decline", 2)]).await), ["rejected 409"]);
}

#[tokio::test]
async fn a_request_has_five_hundred_reports_at_most_and_is_a_drivers() {
    let day = Day::begin().await;
    let reports = vec![json!({}); 501];
    let answer = day.phone().post("/v1/me/events", &json!({ "reports": reports })).await;
    assert_eq!(answer.code, 413);
    assert!(answer.body["detail"].as_str().unwrap().contains("at most 500"), "{}", answer.body);
    assert_eq!(outcomes(&send(&day, &reports[..500]).await), ["rejected 422"; 500]);
    assert_eq!(day.of("manager").post("/v1/me/events", &json!({"reports": []})).await.code, 403);
    assert_eq!(day.phone().post("/v1/me/events", &json!({"events": []})).await.code, 422);
}
