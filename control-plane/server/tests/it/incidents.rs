//! Incidents: told by drivers, read and resolved by the office, and shown on the order.

use serde_json::{Value, json};

use crate::{
    client::text,
    proofs::{Shop, picture, upload},
    tenants::at,
};

const MINE: &str = "/v1/me/incidents";
const ALL: &str = "/v1/namespaces/acme/incidents";

async fn conditions(shop: &Shop, name: &str) -> Vec<(String, String)> {
    let order = shop.operator.get(&at("acme", &format!("orders/{name}"))).await.ok();
    let conditions = order["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let open = conditions.iter().filter(|condition| condition["type"] == "IncidentOpen");
    open.map(|condition| (text(&condition["status"]).to_owned(), text(&condition["reason"]).to_owned())).collect()
}

async fn ids(shop: &Shop, query: &str) -> Vec<String> {
    let page = shop.of_acme("viewer").get(&format!("{ALL}?{query}")).await.ok();
    page["items"].as_array().unwrap().iter().map(|item| text(&item["id"]).to_owned()).collect()
}

#[tokio::test]
async fn an_incident_shows_on_its_order_until_the_last_one_is_resolved() {
    let shop = Shop::open().await;
    let sam = shop.of_acme("sam");
    let photo = upload(&sam, "sams", "p", &picture(image::ImageFormat::Jpeg, 30)).await.ok()["id"].clone();
    let told = json!({
        "order": "acme/sams", "category": "damaged", "note": "The box is wet.", "photoId": photo, "clientEventId": "i1",
    });
    let first = sam.post(MINE, &told).await;
    assert_eq!(first.code, 201, "{}", first.body);
    let first = text(&first.body["id"]).to_owned();
    assert_eq!(sam.post(MINE, &told).await.ok()["id"], first.as_str(), "sent again");
    let second = json!({"order": "sams", "category": "Accident", "note": "A flat tyre."});
    let second = text(&sam.post(MINE, &second).await.ok()["id"]).to_owned();
    assert_eq!(conditions(&shop, "sams").await, [("True".to_owned(), "Damaged".to_owned())], "the oldest");
    assert_eq!(ids(&shop, "").await, [second.clone(), first.clone()]);
    assert_eq!(ids(&shop, "order=kims").await, [""; 0]);

    let resolve = |id: &str| format!("{ALL}/{id}/resolve");
    let dispatcher = shop.of_acme("dispatcher");
    let resolved = dispatcher.post(&resolve(&first), &Value::Null).await.ok();
    assert_eq!((text(&resolved["resolvedBy"]), &resolved["open"]), ("dispatcher@acme.test", &json!(false)));
    assert_eq!(dispatcher.post(&resolve(&first), &Value::Null).await.ok(), resolved, "again");
    assert_eq!(conditions(&shop, "sams").await, [("True".to_owned(), "Accident".to_owned())]);
    assert_eq!(ids(&shop, "open=true").await, [second.as_str()]);
    assert_eq!(ids(&shop, "open=false").await, [first.as_str()]);
    shop.of_acme("manager").post(&resolve(&second), &Value::Null).await.ok();
    assert_eq!(conditions(&shop, "sams").await, [("False".to_owned(), "Resolved".to_owned())]);

    let events = shop.operator.get("/api/v1/namespaces/acme/events").await.ok();
    let reasons: Vec<&str> = events["items"].as_array().unwrap().iter().map(|event| text(&event["reason"])).collect();
    assert_eq!(reasons.iter().filter(|reason| **reason == "IncidentOpened").count(), 2, "{reasons:?}");
    assert_eq!(reasons.iter().filter(|reason| **reason == "IncidentResolved").count(), 2, "{reasons:?}");
    assert!(!events.to_string().contains("wet"), "what the driver wrote is in no Event");
}

#[tokio::test]
async fn pages_of_incidents_follow_one_another() {
    let shop = Shop::open().await;
    let sam = shop.of_acme("sam");
    for number in 0..5 {
        sam.post(MINE, &json!({"category": "Other", "note": format!("{number}")})).await.ok();
    }
    let (mut after, mut notes) = (String::new(), Vec::new());
    loop {
        let page = shop.of_acme("manager").get(&format!("{ALL}?limit=2{after}")).await.ok();
        notes.extend(page["items"].as_array().unwrap().iter().map(|item| text(&item["note"]).to_owned()));
        let Some(next) = page["next"].as_str() else { break };
        after = format!("&after={next}");
    }
    assert_eq!(notes, ["4", "3", "2", "1", "0"]);
}

#[tokio::test]
async fn what_is_wrong_with_an_incident_is_named() {
    let shop = Shop::open().await;
    let sam = shop.of_acme("sam");
    let kims =
        upload(&shop.of_acme("kim"), "kims", "p", &picture(image::ImageFormat::Jpeg, 30)).await.ok()["id"].clone();
    for (body, code, named) in [
        (json!({"category": "Other"}), 422, "note"),
        (json!({"note": "a"}), 422, "category"),
        (json!({"category": "two words", "note": "a"}), 422, "category: "),
        (json!({"category": "Other", "note": " "}), 422, "note: "),
        (json!({"category": "Other", "note": "a", "why": 1}), 422, "why"),
        (json!({"category": "Other", "note": "a", "order": "acme/kims"}), 404, "order: "),
        (json!({"category": "Other", "note": "a", "photoId": kims}), 422, "photoId: "),
        (json!({"category": "Other", "note": "a".repeat(2_001)}), 422, "note: "),
    ] {
        let answer = sam.post(MINE, &body).await;
        assert_eq!(answer.code, code, "{body}");
        assert!(text(&answer.body["detail"]).contains(named), "{}", answer.body);
    }
    let told = json!({"category": "Other", "note": "a", "clientEventId": "i"});
    sam.post(MINE, &told).await.ok();
    assert_eq!(sam.post(MINE, &json!({"category": "Other", "note": "b", "clientEventId": "i"})).await.code, 422);
    assert_eq!(shop.of_acme("manager").post(MINE, &told).await.code, 403, "no driver");
    assert_eq!(sam.get(ALL).await.code, 403);
    assert_eq!(shop.of_acme("viewer").post(&format!("{ALL}/inc_0/resolve"), &Value::Null).await.code, 403);
    assert_eq!(shop.of_acme("manager").post(&format!("{ALL}/inc_0/resolve"), &Value::Null).await.code, 404);
    for query in ["limit=0", "limit=501", "after=x", "open=maybe", "limits=1"] {
        let code = shop.of_acme("viewer").get(&format!("{ALL}?{query}")).await.code.as_u16();
        assert!([400, 422].contains(&code), "{query} {code}");
    }
}
