//! The recipient's PIN: who may read it, how it is checked, and what five wrong tries lead to.

use serde_json::{Value, json};

use crate::{
    client::{Answer, text},
    proofs::{Shop, picture, upload},
    tenants::at,
};

/// An order at the door, with that policy for the handover.
async fn at_the_door(shop: &Shop, name: &str, dropoff: &Value) {
    shop.bound(name, "sam", &json!({"dropoff": dropoff})).await;
    report(shop, name, "p", "pickUp", &Value::Null).await.ok();
}

async fn report(shop: &Shop, name: &str, id: &str, type_: &str, proof: &Value) -> Answer {
    let mut report = json!({"clientEventId": id, "type": type_, "occurredAt": shop.now(), "driver": "sam"});
    if !proof.is_null() {
        report["proof"] = proof.clone();
    }
    let dispatcher = shop.of_acme("dispatcher");
    let path = at("acme", &format!("orders/{name}/progress"));
    dispatcher.post(&path, &report).await
}

async fn deliver(shop: &Shop, name: &str, id: &str, pin: &str) -> Answer {
    report(shop, name, id, "deliver", &json!([{"type": "pin", "reference": pin}])).await
}

async fn pin(shop: &Shop, name: &str) -> String {
    let path = format!("/v1/namespaces/acme/orders/{name}/pin");
    text(&shop.of_acme("manager").get(&path).await.ok()["pin"]).to_owned()
}

/// Another PIN than that one; each `number` another.
fn wrong(pin: &str, number: u32) -> String {
    format!("{:06}", (pin.parse::<u32>().unwrap() + number) % 1_000_000)
}

async fn condition(shop: &Shop, name: &str) -> Option<(String, String)> {
    let order = shop.operator.get(&at("acme", &format!("orders/{name}"))).await.ok();
    let conditions = order["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let open = conditions.iter().find(|condition| condition["type"] == "IncidentOpen")?;
    Some((text(&open["status"]).to_owned(), text(&open["reason"]).to_owned()))
}

#[tokio::test]
async fn the_right_pin_delivers_and_nothing_that_can_be_read_tells_it() {
    let shop = Shop::open().await;
    at_the_door(&shop, "o1", &json!(["pin"])).await;
    let pin = pin(&shop, "o1").await;
    assert_eq!(pin.len(), 6);
    assert_eq!(pin, self::pin(&shop, "o1").await, "it stays");
    let missing = report(&shop, "o1", "d0", "deliver", &Value::Null).await;
    assert_eq!(missing.code, 422);
    let given = json!([{"type": "pin", "reference": pin}]);
    let delivery = json!({
        "clientEventId": "d1", "type": "deliver", "occurredAt": shop.now(), "driver": "sam", "proof": given,
    });
    let path = at("acme", "orders/o1/progress");
    let dispatcher = shop.of_acme("dispatcher");
    assert_eq!(dispatcher.post(&path, &delivery).await.ok()["phase"], "Delivered");
    assert_eq!(dispatcher.post(&path, &delivery).await.ok()["outcome"], "replayed");
    let order = shop.operator.get(&at("acme", "orders/o1")).await.ok().to_string();
    assert!(!order.contains(&format!("\"{pin}\"")), "{order}");
}

#[tokio::test]
async fn managers_read_a_pin_and_nobody_else_and_it_is_noted_that_they_did() {
    let shop = Shop::open().await;
    shop.bound("o1", "sam", &json!({"dropoff": ["pin"]})).await;
    let path = "/v1/namespaces/acme/orders/o1/pin";
    for (name, code) in [("dispatcher", 403), ("viewer", 403), ("sam", 403), ("manager", 200)] {
        assert_eq!(shop.of_acme(name).get(path).await.code, code, "{name}");
        let renewed = if code == 200 { 201 } else { code };
        assert_eq!(shop.of_acme(name).post(path, &json!({})).await.code, renewed, "{name}");
    }
    // Over a socket, where requests are noted.
    let answer = shop.server.get(path).await;
    assert_eq!(answer.headers()["cache-control"], "no-store");
    let pin: Value = answer.json().await.unwrap();
    let audit = shop.server.get("/v1/namespaces/acme/audit").await.text().await.unwrap();
    assert!(audit.contains(r#""subresource":"pin"},"outcome":"read""#), "{audit}");
    assert!(!audit.contains(&pin["pin"].to_string()), "{audit}");
    let none = shop.of_acme("manager").get("/v1/namespaces/acme/orders/sams/pin").await;
    assert_eq!(none.code, 404);
    assert!(none.body["detail"].as_str().unwrap().contains("asks for none"), "{}", none.body);
}

#[tokio::test]
async fn after_five_wrong_pins_not_even_the_right_one_counts_until_a_manager_makes_another() {
    let shop = Shop::open().await;
    at_the_door(&shop, "o1", &json!(["pin"])).await;
    let pin = pin(&shop, "o1").await;
    for number in 1..=4 {
        let refused = deliver(&shop, "o1", &format!("d{number}"), &wrong(&pin, number)).await;
        assert_eq!(refused.code, 422);
        assert!(
            refused.body["message"].as_str().unwrap().ends_with(&format!("are left: {}", 5 - number)),
            "{}",
            refused.body
        );
        // A phone that heard nothing sends it again.
        assert_eq!(deliver(&shop, "o1", &format!("d{number}"), &wrong(&pin, number)).await.body, refused.body);
    }
    assert_eq!(condition(&shop, "o1").await, None);
    let locked = deliver(&shop, "o1", "d5", &wrong(&pin, 5)).await;
    assert_eq!(locked.code, 409);
    assert_eq!(locked.body["details"]["causes"][0]["reason"], "PinLocked");
    assert_eq!(condition(&shop, "o1").await, Some(("True".to_owned(), "PinLocked".to_owned())));
    assert_eq!(deliver(&shop, "o1", "d6", &pin).await.code, 409, "the right one, too late");
    let incidents = shop.of_acme("viewer").get("/v1/namespaces/acme/incidents?open=true").await.ok();
    assert_eq!(incidents["items"].as_array().unwrap().len(), 1, "{incidents}");
    assert!(!incidents.to_string().contains(&pin));

    let renewed = shop.of_acme("manager").post("/v1/namespaces/acme/orders/o1/pin", &json!({})).await;
    assert_eq!(renewed.code, 201);
    assert_eq!(condition(&shop, "o1").await, Some(("False".to_owned(), "Resolved".to_owned())));
    let renewed = text(&renewed.body["pin"]).to_owned();
    assert_eq!(deliver(&shop, "o1", "d7", &renewed).await.ok()["phase"], "Delivered");
}

#[tokio::test]
async fn however_many_are_tried_at_once_five_are_looked_at() {
    let shop = Shop::open().await;
    at_the_door(&shop, "o1", &json!(["pin"])).await;
    let pin = pin(&shop, "o1").await;
    let shop = &shop;
    let tries = (1..=30).map(|number| {
        let guess = wrong(&pin, number);
        async move { deliver(shop, "o1", &format!("d{number}"), &guess).await.code.as_u16() }
    });
    let codes = futures::future::join_all(tries).await;
    assert_eq!(codes.iter().filter(|code| **code == 422).count(), 4, "{codes:?}");
    assert_eq!(codes.iter().filter(|code| **code == 409).count(), 26, "{codes:?}");
}

#[tokio::test]
async fn a_try_is_not_spent_where_the_report_is_refused_anyway() {
    let shop = Shop::open().await;
    shop.bound("o1", "sam", &json!({"dropoff": ["pin"]})).await;
    for number in 1..10 {
        let early = deliver(&shop, "o1", &format!("d{number}"), &format!("{number:06}")).await;
        assert_eq!(early.code, 409, "nothing was picked up: {}", early.body);
        assert_ne!(early.body["details"]["causes"][0]["reason"], "PinLocked");
    }
    report(&shop, "o1", "p", "pickUp", &Value::Null).await.ok();
    let pin = pin(&shop, "o1").await;
    assert_eq!(deliver(&shop, "o1", "d", &pin).await.ok()["phase"], "Delivered");
}

#[tokio::test]
async fn a_picture_in_a_report_is_one_of_that_order() {
    let shop = Shop::open().await;
    at_the_door(&shop, "o1", &json!(["photo"])).await;
    let file = picture(image::ImageFormat::Jpeg, 40);
    let (sam, kim) = (shop.of_acme("sam"), shop.of_acme("kim"));
    let mine = upload(&sam, "acme/o1", "a", &file).await.ok()["id"].clone();
    let of_another_order = upload(&sam, "acme/sams", "b", &file).await.ok()["id"].clone();
    let of_another_driver = upload(&kim, "acme/kims", "a", &file).await.ok()["id"].clone();
    let shown = |id: &Value| json!([{"type": "photo", "reference": id}]);
    for (name, other) in [("order", of_another_order), ("driver", of_another_driver), ("nobody", "prf_0".into())] {
        let refused = report(&shop, "o1", name, "deliver", &shown(&other)).await;
        assert_eq!(refused.code, 422, "{name}");
        assert_eq!(refused.body["details"]["causes"][0]["field"], "proof[0].reference");
    }
    let as_signature = json!([{"type": "photo", "reference": mine}, {"type": "signature", "reference": mine}]);
    assert_eq!(report(&shop, "o1", "type", "deliver", &as_signature).await.code, 422);
    let delivered = report(&shop, "o1", "d", "deliver", &shown(&mine)).await.ok();
    assert_eq!(delivered["phase"], "Delivered");
}
