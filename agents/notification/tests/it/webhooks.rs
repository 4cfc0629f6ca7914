//! Webhooks, checked by another language's library.

use std::time::Duration;

use axum::response::IntoResponse;
use dropmate_notification::{
    channel::{Channel, Outcome, Outgoing},
    webhooks::test_event,
};
use http::StatusCode;
use serde_json::{Value, json};

use super::{
    services::{Endpoint, Received, Verifier},
    shop::{Shop, now, send, sent, to},
};

const OLD: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const NEW: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const OTHER: &str = "whsec_dGhpcyBpcyBub3QgdGhlIHNlY3JldCE=";

const OPEN: (&[&str], &[&str]) = (&["--allow-plain-webhooks"], &["127.0.0.1/32"]);

fn event(name: &str) -> Outgoing {
    let payload = test_event("evt_test", "default", name, now());
    Outgoing { payload: Some(payload), ..to(name) }
}

async fn webhook(shop: &Shop, name: &str, url: &str) {
    shop.make("Webhook", "webhooks", name, &json!({"url": url, "secretName": "signing"})).await;
}

async fn status(shop: &Shop, name: &str, status: &Value) {
    let path = format!("/apis/dropmate.dev/v1/namespaces/default/webhooks/{name}");
    let (_, mut object) = shop.ask("GET", &path, &Value::Null).await;
    object["status"] = status.clone();
    let (code, told) = shop.ask("PUT", &format!("{path}/status"), &object).await;
    assert_eq!(code, 200, "{told}");
}

#[tokio::test]
async fn what_is_sent_is_believed_by_the_public_library_also_while_the_secret_is_changed() {
    let (shop, endpoint) = (Shop::open().await, Endpoint::answering(StatusCode::NO_CONTENT, "").await);
    webhook(&shop, "erp", &endpoint.url("/hook?shop=1")).await;
    let mut library = Verifier::start();
    for (secret, believes, does_not) in [
        (OLD.to_owned(), vec![OLD], vec![NEW, OTHER]),
        (format!("{NEW} {OLD}"), vec![OLD, NEW], vec![OTHER]),
        (NEW.to_owned(), vec![NEW], vec![OLD]),
    ] {
        shop.secret("signing", &secret).await;
        let providers = shop.providers(OPEN.0, OPEN.1);
        let message = event("erp");
        let outcome = sent(&providers, Channel::Webhook, &message).await;
        assert!(matches!(outcome, Outcome::Sent { .. }), "{outcome:?}");
        let request = endpoint.received().pop().unwrap();
        assert_eq!(
            (request.path.as_str(), &request.headers["webhook-id"]),
            ("/hook?shop=1", &message.id.parse().unwrap())
        );
        assert_eq!(request.headers["content-type"], "application/cloudevents+json; charset=utf-8");
        assert_eq!(Some(request.text()), message.payload, "byte for byte");
        for secret in believes {
            let told = library.verify(secret, &request);
            assert_eq!((&told["believed"], &told["event"]["type"]), (&json!(true), &json!("webhook.test")), "{told}");
        }
        for secret in does_not {
            assert_eq!(library.verify(secret, &request)["believed"], false, "{secret}");
        }
        // The library sees each change of what was sent.
        let mut changed = request.clone();
        changed.body = request.text().replace("default/erp", "default/erq").into();
        assert_eq!(library.verify(NEW, &changed)["believed"], false);
        let mut changed = request.clone();
        changed.headers.insert("webhook-id", "msg_other".parse().unwrap());
        assert_eq!(library.verify(NEW, &changed)["believed"], false);
    }
}

#[tokio::test]
async fn only_a_2xx_is_a_success_and_410_is_the_end() {
    let shop = Shop::open().await;
    shop.secret("signing", OLD).await;
    let script = |request: &Received| {
        let status: u16 = request.path.trim_start_matches('/').parse().unwrap();
        let headers = [("retry-after", "12"), ("location", "http://169.254.169.254/")];
        (StatusCode::from_u16(status).unwrap(), headers, "x".repeat(100_000)).into_response()
    };
    let endpoint = Endpoint::start(script).await;
    let providers = shop.providers(OPEN.0, OPEN.1);
    for status in [200, 202, 204, 299, 301, 302, 307, 400, 401, 404, 409, 410, 429, 500, 503] {
        let name = format!("w{status}");
        webhook(&shop, &name, &endpoint.url(&format!("/{status}"))).await;
        let outcome = sent(&providers, Channel::Webhook, &event(&name)).await;
        match (status, &outcome) {
            (200..=299, Outcome::Sent { answer, .. }) | (410, Outcome::Gone { answer }) => {
                assert!(answer.chars().count() <= 300, "{answer}");
            }
            (301..=307, Outcome::Again { answer, after: None }) => assert!(answer.contains("redirect"), "{answer}"),
            (400..=409 | 429 | 500 | 503, Outcome::Again { after, .. }) => {
                assert_eq!(*after, Some(Duration::from_secs(12)));
            }
            _ => panic!("{status}: {outcome:?}"),
        }
    }
    assert_eq!(endpoint.received().len(), 15, "each was asked once, and nowhere else");
}

#[tokio::test]
async fn an_endpoint_inside_is_not_even_connected_to() {
    let (shop, inside) = (Shop::open().await, Endpoint::answering(StatusCode::OK, "secret").await);
    shop.secret("signing", OLD).await;
    let port = inside.address.port();
    shop.lookups.set("inside.example", &[&["127.0.0.1"]]);
    shop.lookups.set("rebinds.example", &[&["127.0.0.9"], &["127.0.0.1"]]);
    // 127.0.0.9 plays a public address; nobody listens there.
    let providers = shop.providers(&["--allow-plain-webhooks"], &["127.0.0.9/32"]);
    for (n, host) in
        ["127.0.0.1", "2130706433", "0x7f.1", "[::ffff:127.0.0.1]", "localhost", "inside.example"].iter().enumerate()
    {
        let name = format!("w{n}");
        if *host == "localhost" {
            shop.lookups.set("localhost", &[&["127.0.0.1", "::1"]]);
        }
        webhook(&shop, &name, &format!("http://{host}:{port}/")).await;
        let outcome = sent(&providers, Channel::Webhook, &event(&name)).await;
        let Outcome::Again { answer, .. } = outcome else { panic!("{host}: {outcome:?}") };
        assert!(answer.contains("loopback") && answer.contains("--allow-outbound"), "{host}: {answer}");
    }
    webhook(&shop, "rebinds", &format!("http://rebinds.example:{port}/")).await;
    let public = sent(&providers, Channel::Webhook, &event("rebinds")).await;
    assert!(matches!(&public, Outcome::Again { answer, .. } if answer.contains("no connection")), "{public:?}");
    let private = sent(&providers, Channel::Webhook, &event("rebinds")).await;
    assert!(matches!(&private, Outcome::Again { answer, .. } if answer.contains("loopback")), "{private:?}");
    assert_eq!(inside.connections(), 0);
    // The same endpoint is there for whom it is allowed: the test would see a connection.
    let open = shop.providers(OPEN.0, OPEN.1);
    assert!(matches!(sent(&open, Channel::Webhook, &event("w0")).await, Outcome::Sent { .. }));
    assert_eq!(inside.connections(), 1);
}

#[tokio::test]
async fn a_webhook_waits_while_something_is_missing_and_is_given_up_when_it_is_gone() {
    let (shop, endpoint) = (Shop::open().await, Endpoint::answering(StatusCode::OK, "").await);
    let providers = shop.providers(OPEN.0, OPEN.1);
    let none = send(&providers, Channel::Webhook, &event("erp")).await.unwrap_err();
    assert!(none.wait.is_none() && none.why.contains("gone"), "{none:?}");
    webhook(&shop, "erp", &endpoint.url("/")).await;
    let missing = send(&providers, Channel::Webhook, &event("erp")).await.unwrap_err();
    assert!(missing.wait.is_some() && missing.why.contains("\"signing\" is missing"), "{missing:?}");
    let with = async |secret: &str| {
        shop.secret("signing", secret).await;
        send(&shop.providers(OPEN.0, OPEN.1), Channel::Webhook, &event("erp")).await
    };
    let short = with("hunter2").await.unwrap_err();
    assert!(short.wait.is_some() && short.why.contains("guessed") && !short.why.contains("hunter2"), "{short:?}");
    assert!(with(OLD).await.is_ok());
    let plain = send(&shop.providers(&[], OPEN.1), Channel::Webhook, &event("erp")).await.unwrap_err();
    assert!(plain.why.contains("https"), "{plain:?}");

    let disabled = json!({"disabledAt": now(), "disabledReason": "it answered 410", "observedGeneration": 1});
    status(&shop, "erp", &disabled).await;
    let disabled = send(&shop.providers(OPEN.0, OPEN.1), Channel::Webhook, &event("erp")).await.unwrap_err();
    assert!(disabled.wait.is_none() && disabled.why.contains("it answered 410"), "{disabled:?}");
    let path = "/apis/dropmate.dev/v1/namespaces/default/webhooks/erp";
    let (_, mut object) = shop.ask("GET", path, &Value::Null).await;
    object["spec"]["suspended"] = true.into();
    assert_eq!(shop.ask("PUT", path, &object).await.0, 200);
    let suspended = send(&shop.providers(OPEN.0, OPEN.1), Channel::Webhook, &event("erp")).await.unwrap_err();
    assert!(
        suspended.wait.is_some() && suspended.why.contains("suspended"),
        "a new generation is a new try: {suspended:?}"
    );
}
