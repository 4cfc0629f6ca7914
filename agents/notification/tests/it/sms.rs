//! SMS to a service that speaks as Twilio does.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use axum::response::{IntoResponse, Response};
use base64::{Engine, prelude::BASE64_STANDARD};
use dropmate_notification::{
    channel::{Channel, Outcome, Outgoing},
    providers::sms::callback::fields,
};
use http::StatusCode;
use serde_json::json;
use tokio::io::AsyncReadExt;

use super::{
    services::{Endpoint, Received},
    shop::{Shop, sent, to},
};

/// The last digits of the number say what happens.
fn twilio(request: &Received) -> Response {
    let to = form(request)["To"].clone();
    let json = |code: StatusCode, body: serde_json::Value| (code, body.to_string()).into_response();
    match to.get(to.len() - 4..).unwrap() {
        "0000" => json(
            StatusCode::BAD_REQUEST,
            json!({"code": 21610, "message": format!("{to} has replied STOP"), "status": 400}),
        ),
        "0001" => json(
            StatusCode::BAD_REQUEST,
            json!({"code": 21211, "message": format!("Invalid 'To' {to}"), "status": 400}),
        ),
        "0429" => {
            let body = json!({"code": 20429, "message": "Too Many Requests", "status": 429}).to_string();
            (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "17")], body).into_response()
        }
        "0500" => (StatusCode::INTERNAL_SERVER_ERROR, "<html>oops</html>").into_response(),
        "0200" => "thank you".into_response(),
        _ => json(StatusCode::CREATED, json!({"sid": "SM00ff", "status": "queued", "error_code": null, "to": to})),
    }
}

fn form(request: &Received) -> BTreeMap<String, String> {
    fields(&request.text()).into_iter().collect()
}

const FLAGS: [&str; 6] = ["--sms-account", "AC123", "--sms-token", "hunter2", "--sms-from", "+15550001111"];

#[tokio::test]
async fn an_sms_goes_out_as_twilio_takes_it() {
    let (shop, service) = (Shop::open().await, Endpoint::start(twilio).await);
    let url = service.url("");
    let providers = shop.providers(&[&FLAGS[..], &["--sms-url", &url]].concat(), &[]);
    let message = Outgoing { text: "Grüße & mehr = 100 %+".to_owned(), ..to("+15551234567") };
    let outcome = sent(&providers, Channel::Sms, &message).await;
    assert_eq!(outcome, Outcome::Sent { provider_id: Some("SM00ff".to_owned()), answer: "queued".to_owned() });
    let request = &service.received()[0];
    assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/2010-04-01/Accounts/AC123/Messages.json"));
    let credentials = format!("Basic {}", BASE64_STANDARD.encode("AC123:hunter2"));
    assert_eq!(request.headers["authorization"], credentials);
    assert_eq!(request.headers["idempotency-key"], message.id);
    assert_eq!(request.headers["content-type"], "application/x-www-form-urlencoded");
    let told = form(request);
    assert_eq!((told["To"].as_str(), told["From"].as_str()), ("+15551234567", "+15550001111"));
    assert_eq!(told["Body"], message.text);
    assert_eq!(told["StatusCallback"], format!("https://dm.example/v1/callbacks/sms/default/{}", message.id));
}

#[tokio::test]
async fn what_the_service_says_decides_what_becomes_of_an_sms() {
    let (shop, service) = (Shop::open().await, Endpoint::start(twilio).await);
    let url = service.url("");
    let providers = shop.providers(&[&FLAGS[..], &["--sms-url", &url]].concat(), &[]);
    let of = async |number: &str| sent(&providers, Channel::Sms, &to(number)).await;
    let Outcome::Refused { answer, opted_out: true } = of("+15550000000").await else { panic!() };
    assert_eq!(answer, "400 21610 (recipient) has replied STOP");
    assert!(matches!(of("+15550000001").await, Outcome::Refused { opted_out: false, .. }));
    let Outcome::Again { after, .. } = of("+15550000429").await else { panic!() };
    assert_eq!(after, Some(Duration::from_secs(17)));
    assert!(matches!(of("+15550000500").await, Outcome::Again { after: None, .. }));
    assert!(matches!(of("+15550000200").await, Outcome::InDoubt { .. }), "it may well have been taken");
}

#[tokio::test]
async fn a_service_that_is_away_and_one_that_hangs_up_are_told_apart() {
    let shop = Shop::open().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let url = format!("http://{address}");
    let providers = shop.providers(&[&FLAGS[..], &["--sms-url", &url]].concat(), &[]);
    let hangs_up = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = vec![0; 4096];
        let _ = stream.read(&mut request).await;
    });
    let lost = sent(&providers, Channel::Sms, &to("+15551234567")).await;
    assert!(matches!(lost, Outcome::InDoubt { .. }), "{lost:?}");
    hangs_up.await.unwrap();
    let away = sent(&providers, Channel::Sms, &to("+15551234567")).await;
    assert!(matches!(away, Outcome::Again { .. }), "{away:?}");
}

#[tokio::test]
async fn a_businesss_own_account_is_used_with_its_token_and_its_sender() {
    let (shop, service) = (Shop::open().await, Endpoint::start(twilio).await);
    let sms =
        json!({"sms": {"from": "MG77", "account": "AC-own", "secretName": "sms", "url": service.url("/gateway/")}});
    shop.policy("mine", &sms).await;
    shop.secret("sms", "own-token").await;
    let message = Outgoing { policy: "mine".to_owned(), ..to("+15551234567") };
    let guarded = shop.providers(&["--allow-plain-webhooks"], &[]);
    let Outcome::Again { answer, .. } = sent(&guarded, Channel::Sms, &message).await else { panic!() };
    assert!(answer.contains("loopback") && service.connections() == 0, "{answer}");
    let plain = shop.providers(&[], &["127.0.0.0/8"]).provider(Channel::Sms, &message).await;
    let plain = plain.map(|_| ()).unwrap_err();
    assert!(plain.why.contains("spec.channels.sms.url") && plain.wait.is_some(), "{plain:?}");

    let open = shop.providers(&["--allow-plain-webhooks"], &["127.0.0.0/8"]);
    let started = Instant::now();
    assert!(matches!(sent(&open, Channel::Sms, &message).await, Outcome::Sent { .. }));
    assert!(started.elapsed() < Duration::from_secs(5));
    let request = &service.received()[0];
    assert_eq!(request.path, "/gateway/2010-04-01/Accounts/AC-own/Messages.json");
    assert_eq!(request.headers["authorization"], format!("Basic {}", BASE64_STANDARD.encode("AC-own:own-token")));
    assert_eq!(
        (form(request).get("MessagingServiceSid").map(String::as_str), form(request).get("From")),
        (Some("MG77"), None)
    );
    assert_eq!(open.sms_token("default", "mine").await.unwrap().expose(), "own-token");
}
