//! Requests that a policy describes.

use std::time::Duration;

use axum::response::IntoResponse;
use dropmate_notification::channel::{Channel, Outcome, Outgoing};
use http::StatusCode;
use rstest::rstest;
use serde_json::{Value, json};

use super::{
    services::{Endpoint, Received},
    shop::{Shop, send, sent, to},
};

fn channel(url: &str) -> Value {
    json!({"http": [{
        "name": "gateway", "url": url, "method": "PUT", "body": "{}", "secretName": "gateway",
        "headers": {"Authorization": "Bearer {{ secret }}", "X-Shop": "corner"},
    }]})
}

fn message() -> Outgoing {
    Outgoing {
        policy: "mine".to_owned(),
        http: "gateway".to_owned(),
        payload: Some(r#"{"to": "+15551234567"}"#.to_owned()),
        ..to("+15551234567")
    }
}

#[tokio::test]
async fn a_request_is_as_the_policy_says_with_the_secret_in_its_place() {
    let (shop, service) = (Shop::open().await, Endpoint::answering(StatusCode::ACCEPTED, "{\"id\": 7}").await);
    shop.policy("mine", &channel(&service.url("/send"))).await;
    let providers = shop.providers(&["--allow-plain-webhooks"], &["127.0.0.1/32"]);
    let missing = send(&providers, Channel::Http, &message()).await.unwrap_err();
    assert!(missing.wait.is_some() && missing.why.contains("gateway"), "{missing:?}");
    shop.secret("gateway", "hunter2").await;
    let providers = shop.providers(&["--allow-plain-webhooks"], &["127.0.0.1/32"]);
    let message = message();
    let Outcome::Sent { answer, .. } = sent(&providers, Channel::Http, &message).await else { panic!() };
    assert_eq!(answer, "202 {\"id\": 7}");
    let request = &service.received()[0];
    assert_eq!((request.method.as_str(), request.path.as_str()), ("PUT", "/send"));
    assert_eq!(
        (&request.headers["authorization"], &request.headers["x-shop"]),
        (&"Bearer hunter2".parse().unwrap(), &"corner".parse().unwrap())
    );
    assert_eq!(
        (&request.headers["content-type"], &request.headers["idempotency-key"]),
        (&"application/json".parse().unwrap(), &message.id.parse().unwrap())
    );
    assert_eq!(Some(request.text()), message.payload);
}

#[rstest]
#[case::away(503, Some(9))]
#[case::too_many(429, Some(9))]
#[case::a_wrong_key(401, Some(9))]
#[case::a_redirect(302, None)]
#[tokio::test]
async fn what_may_be_taken_later_is_tried_again(#[case] status: u16, #[case] after: Option<u64>) {
    let shop = Shop::open().await;
    let answer = move |_: &Received| {
        (StatusCode::from_u16(status).unwrap(), [("retry-after", "9"), ("location", "http://127.0.0.1:1/")], "later")
            .into_response()
    };
    let service = Endpoint::start(answer).await;
    shop.policy("mine", &channel(&service.url("/"))).await;
    shop.secret("gateway", "hunter2").await;
    let providers = shop.providers(&["--allow-plain-webhooks"], &["127.0.0.1/32"]);
    let outcome = sent(&providers, Channel::Http, &message()).await;
    let Outcome::Again { after: told, .. } = outcome else { panic!("{outcome:?}") };
    assert_eq!(told, after.map(Duration::from_secs));
}

#[tokio::test]
async fn what_is_refused_is_refused_and_what_was_never_there_waits() {
    let (shop, service) =
        (Shop::open().await, Endpoint::answering(StatusCode::UNPROCESSABLE_ENTITY, "no +15551234567").await);
    shop.policy("mine", &channel(&service.url("/"))).await;
    shop.secret("gateway", "hunter2").await;
    let providers = shop.providers(&["--allow-plain-webhooks"], &["127.0.0.1/32"]);
    let outcome = sent(&providers, Channel::Http, &message()).await;
    let refused = Outcome::Refused { answer: "422 no (recipient)".to_owned(), opted_out: false };
    assert_eq!(outcome, refused);
    let other = Outgoing { http: "other".to_owned(), ..message() };
    let none = send(&providers, Channel::Http, &other).await.unwrap_err();
    assert!(none.why.contains("\"other\"") && none.wait.is_some(), "{none:?}");
}
