//! What one replica took in of a delivery, the others know.

use image::ImageFormat;
use serde_json::json;

use super::migrated;
use crate::{
    client::{Api, text},
    proofs::{Shop, picture, upload},
    server::Server,
    tenants::{at, person},
};

#[tokio::test]
async fn proofs_pins_and_incidents_are_the_same_at_every_replica() {
    let database = migrated().await;
    let shared = tempfile::tempdir().unwrap();
    let path = |name: &str| shared.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(path("secrets.key"), "0f".repeat(32)).unwrap();
    let (url, store, key) = (database.url(), path("proofs"), path("secrets.key"));
    let flags = ["--database-url", &url, "--proof-store", &store, "--secrets-key-file", &key];
    let shop = Shop::open_with(&flags).await;
    let other = Server::start_with(tempfile::tempdir().unwrap(), &flags).await;
    let there = |name: &str| Api::over(other.plane.clone()).as_caller(person(&format!("{name}@acme.test")));
    shop.bound("o1", "sam", &json!({"dropoff": ["pin"]})).await;

    let file = picture(ImageFormat::Jpeg, 40);
    let sams = [shop.of_acme("sam"), there("sam")];
    let (here, also) = tokio::join!(upload(&sams[0], "sams", "p", &file), upload(&sams[1], "sams", "p", &file));
    let id = here.ok()["id"].clone();
    assert_eq!(also.ok()["id"], id, "sent to both at once");
    let shown = there("viewer").get(&format!("/v1/namespaces/acme/proofs/{}", text(&id))).await;
    assert_eq!(shown.code, 200);

    let pin = "/v1/namespaces/acme/orders/o1/pin";
    let (here, also) = (shop.of_acme("manager"), there("manager"));
    let (one, two) = tokio::join!(here.get(pin), also.get(pin));
    let pin = text(&one.ok()["pin"]).to_owned();
    assert_eq!(two.ok()["pin"], pin.as_str(), "made at both at once");
    let progress = at("acme", "orders/o1/progress");
    let said = |id: String, type_: &str, pin: &str| {
        let proof = json!([{"type": "pin", "reference": pin}]);
        json!({"clientEventId": id, "type": type_, "occurredAt": shop.now(), "driver": "sam", "proof": proof})
    };
    here.post(&progress, &said("p".into(), "pickUp", &pin)).await.ok();
    let wrong = format!("{:06}", (pin.parse::<u32>().unwrap() + 1) % 1_000_000);
    let tries = (0..12).map(|number| {
        let caller = if number % 2 == 0 { &here } else { &also };
        let report = said(format!("d{number}"), "deliver", &wrong);
        let progress = &progress;
        async move { caller.post(progress, &report).await.code.as_u16() }
    });
    let codes = futures::future::join_all(tries).await;
    assert_eq!(codes.iter().filter(|code| **code == 422).count(), 4, "{codes:?}");
    assert_eq!(codes.iter().filter(|code| **code == 409).count(), 8, "{codes:?}");
    let list = |api: Api| async move { api.get("/v1/namespaces/acme/incidents").await.ok() };
    let incidents = list(there("viewer")).await;
    assert_eq!(incidents["items"].as_array().unwrap().len(), 1, "{incidents}");
    assert_eq!(list(shop.of_acme("viewer")).await, incidents);
    let order = there("viewer").get(&at("acme", "orders/o1")).await.ok();
    let conditions = order["status"]["conditions"].as_array().unwrap();
    let open = conditions.iter().find(|condition| condition["type"] == "IncidentOpen").unwrap();
    assert_eq!((text(&open["status"]), text(&open["reason"])), ("True", "PinLocked"));
    other.end().await;
}
