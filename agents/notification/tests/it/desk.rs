//! What is done to endpoints on somebody's word, and what an SMS service tells later.

use std::sync::Arc;

use axum::{Router, body::Body};
use base64::{Engine, prelude::BASE64_STANDARD};
use dropmate_api::Clock;
use dropmate_notification::{
    channel::Channel,
    draft::Draft,
    providers::Providers,
    store::{End, Finished, Full, Store},
    webhooks::{Desk, routes},
};
use hmac::{Hmac, Mac};
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use jiff::SignedDuration;
use serde_json::{Value, json};
use sha1::Sha1;
use tokio::sync::Notify;
use tower::ServiceExt;

use super::{
    kept::{self, Kept, draft, plan},
    services::{Endpoint, Verifier},
    shop::{Shop, now},
};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const SMS: [&str; 6] = ["--sms-account", "AC123", "--sms-token", "12345", "--sms-from", "+15550001111"];

fn desk(store: &Store, providers: Providers) -> Router {
    let clock = Clock::real(Arc::new(now));
    routes(Desk { store: store.clone(), clock, planned: Arc::new(Notify::new()), providers })
}

async fn post(desk: &Router, path: &str, body: &Value) -> (StatusCode, Value) {
    let request =
        Request::post(path).header("content-type", "application/json").body(Body::from(body.to_string())).unwrap();
    let answer = desk.clone().oneshot(request).await.unwrap();
    let code = answer.status();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    (code, serde_json::from_slice(&body).unwrap_or_default())
}

/// Claims everything in a queue and lets it end so.
async fn end(store: &Store, queue: &str, how: impl Fn(&str) -> End) {
    let claims = store.claim(&[(queue.to_owned(), 100)], "me", now()).await.unwrap();
    let ended: Vec<Finished> = claims
        .messages
        .iter()
        .map(|message| Finished {
            seq: message.seq,
            number: message.attempts,
            provider: "test".to_owned(),
            end: how(&message.id),
            at: now(),
            endpoint: message.channel == "webhook",
            lane: (message.lane.clone(), message.not_before),
        })
        .collect();
    store.finish("me", &ended).await.unwrap();
}

fn taken(provider_id: &str) -> End {
    End::Sent { provider_id: provider_id.to_owned(), answer: "queued".to_owned() }
}

async fn message(store: &Store, id: &str) -> Full {
    store.message("default", id).await.unwrap().unwrap()
}

fn sms(revision: i64) -> Draft {
    Draft {
        key: format!("evt_e_{revision}_0/recipient/sms/+15551234567/rule"),
        namespace: "default".to_owned(),
        policy: String::new(),
        channel: Channel::Sms,
        to: "+15551234567".to_owned(),
        queue: "sms".to_owned(),
        lane: format!("uid-{revision}/sms/+15551234567"),
        not_before: now(),
        ..draft(revision, "order.delivered")
    }
}

fn signed(url: &str, fields: &[(&str, &str)]) -> Value {
    let mut sorted = fields.to_vec();
    sorted.sort_unstable();
    let mut mac = Hmac::<Sha1>::new_from_slice(b"12345").unwrap();
    mac.update(url.as_bytes());
    for (name, value) in sorted {
        mac.update(format!("{name}{value}").as_bytes());
    }
    let form: Vec<String> = fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
    json!({"form": form.join("&"), "signature": BASE64_STANDARD.encode(mac.finalize().into_bytes())})
}

#[tokio::test]
async fn what_the_service_tells_later_counts_if_it_has_signed_it() {
    for Kept { store, folder: _folder, database: _database } in kept::both().await {
        let shop = Shop::open().await;
        let desk = desk(&store, shop.providers(&SMS, &[]));
        let drafts = [sms(1), sms(2), sms(3)];
        plan(&store, &drafts, &[]).await;
        end(&store, "sms", |_| taken("SM1")).await;
        let [came, failed, stopped] = drafts.each_ref().map(Draft::id);
        let url = |id: &str| format!("https://dm.example/v1/callbacks/sms/default/{id}");
        let path = |id: &str| format!("/callbacks/sms/default/{id}");
        let told = async |id: &str, fields: &[(&str, &str)]| post(&desk, &path(id), &signed(&url(id), fields)).await.0;

        let delivered = [("MessageStatus", "delivered"), ("MessageSid", "SM1"), ("AccountSid", "AC123")];
        assert_eq!(told(&came, &delivered).await, 204);
        assert_eq!(told(&came, &[("MessageStatus", "sent"), ("MessageSid", "SM1")]).await, 204, "late");
        let view = message(&store, &came).await.view;
        assert_eq!((view.state.as_str(), view.answer.as_str()), ("sent", "delivered"));

        let undelivered = [("MessageStatus", "undelivered"), ("MessageSid", "SM1"), ("ErrorCode", "30003")];
        // Everything that may be wrong is one answer, and changes nothing.
        let mut wrong = signed(&url(&failed), &undelivered);
        wrong["form"] = "MessageStatus=failed&MessageSid=SM1&ErrorCode=30003".into();
        assert_eq!(post(&desk, &path(&failed), &wrong).await, (StatusCode::FORBIDDEN, Value::Null));
        let of_another = signed(&url(&came), &undelivered);
        assert_eq!(post(&desk, &path(&failed), &of_another).await, (StatusCode::FORBIDDEN, Value::Null));
        let unknown = post(&desk, &path("msg_unknown"), &signed(&url("msg_unknown"), &undelivered)).await;
        assert_eq!(unknown, (StatusCode::FORBIDDEN, Value::Null));
        let other_namespace = format!("/callbacks/sms/other/{failed}");
        assert_eq!(post(&desk, &other_namespace, &signed(&url(&failed), &undelivered)).await.0, 403);
        assert_eq!(message(&store, &failed).await.view.state, "sent");
        // Of an attempt that no longer counts.
        assert_eq!(told(&failed, &[("MessageStatus", "failed"), ("MessageSid", "SM0")]).await, 204);
        assert_eq!(message(&store, &failed).await.view.state, "sent");

        for _ in 0..2 {
            assert_eq!(told(&failed, &undelivered).await, 204);
            let view = message(&store, &failed).await.view;
            let told = (view.state.as_str(), view.reason.as_str(), view.answer.as_str());
            assert_eq!(told, ("dead", "undelivered", "undelivered (30003)"));
        }
        // After STOP nothing more goes to that number.
        let no_more = [("MessageStatus", "failed"), ("MessageSid", "SM1"), ("ErrorCode", "21610")];
        assert_eq!(told(&stopped, &no_more).await, 204);
        plan(&store, &[sms(4)], &[]).await;
        let claims = store.claim(&[("sms".to_owned(), 10)], "me", now()).await.unwrap();
        assert_eq!((claims.messages.len(), claims.suppressed), (0, vec!["optedOut"]));
    }
}

#[tokio::test]
async fn a_callback_that_is_faster_than_our_own_note_waits_for_it() {
    let (shop, kept) = (Shop::open().await, kept::sqlite().await);
    let desk = desk(&kept.store, shop.providers(&SMS, &[]));
    plan(&kept.store, &[sms(1)], &[]).await;
    let id = sms(1).id();
    let claims = kept.store.claim(&[("sms".to_owned(), 1)], "me", now()).await.unwrap();
    let failed = signed(
        &format!("https://dm.example/v1/callbacks/sms/default/{id}"),
        &[("MessageStatus", "undelivered"), ("MessageSid", "SM1")],
    );
    let path = format!("/callbacks/sms/default/{id}");
    let telling = tokio::spawn(async move { post(&desk, &path, &failed).await.0 });
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    let claimed = &claims.messages[0];
    let ended = Finished {
        seq: claimed.seq,
        number: claimed.attempts,
        provider: "sms".to_owned(),
        end: taken("SM1"),
        at: now(),
        endpoint: false,
        lane: (claimed.lane.clone(), claimed.not_before),
    };
    kept.store.finish("me", &[ended]).await.unwrap();
    assert_eq!(telling.await.unwrap(), 204);
    assert_eq!(message(&kept.store, &id).await.view.state, "dead");
}

#[tokio::test]
async fn a_replay_sends_what_was_planned_for_that_endpoint_and_only_what_is_asked_for() {
    let (shop, kept) = (Shop::open().await, kept::sqlite().await);
    let desk = desk(&kept.store, shop.providers(&[], &[]));
    let spec = json!({"url": "https://erp.example/", "secretName": "signing"});
    shop.make("Webhook", "webhooks", "erp", &spec).await;
    let (_, webhook) = shop.ask("GET", "/apis/dropmate.dev/v1/namespaces/default/webhooks/erp", &Value::Null).await;
    let uid = webhook["metadata"]["uid"].as_str().unwrap();
    let delivery = |revision, endpoint: &str| Draft {
        namespace: "default".to_owned(),
        not_before: now(),
        ..kept::delivery(revision, endpoint, &format!("object-{revision}"))
    };
    let drafts = [delivery(1, uid), delivery(2, uid), delivery(3, "another")];
    plan(&kept.store, &drafts, &[]).await;
    let lost = drafts[0].id();
    let dead = || End::Dead { outcome: "again", reason: "attempts", answer: "500".to_owned(), opted_out: None };
    end(&kept.store, &format!("webhook/{uid}"), |id| if id == lost { dead() } else { taken("") }).await;
    end(&kept.store, "webhook/another", |_| dead()).await;
    let states = async || {
        let mut states = Vec::new();
        for draft in &drafts {
            states.push(message(&kept.store, &draft.id()).await.view.state);
        }
        states
    };
    assert_eq!(states().await, ["dead", "sent", "dead"]);
    let path = "/webhooks/default/erp/replay";
    // They were planned at noon.
    let (since, later) = (kept::noon() - SignedDuration::from_hours(1), kept::noon() + SignedDuration::from_hours(1));
    assert_eq!(post(&desk, path, &json!({"since": later})).await, (StatusCode::OK, json!({"replayed": 0})));
    let until = json!({"since": since, "until": kept::noon() - SignedDuration::from_mins(30)});
    assert_eq!(post(&desk, path, &until).await.1, json!({"replayed": 0}));
    let failed = json!({"since": since, "failedOnly": true});
    assert_eq!(post(&desk, path, &failed).await.1, json!({"replayed": 1}));
    assert_eq!(states().await, ["planned", "sent", "dead"]);
    assert_eq!(post(&desk, path, &json!({"since": since})).await.1, json!({"replayed": 1}), "what waits, waits once");
    assert_eq!(states().await, ["planned", "planned", "dead"]);
    assert_eq!(post(&desk, "/webhooks/default/none/replay", &failed).await.0, 404);
    assert!(post(&desk, path, &json!({"since": "yesterday"})).await.0.is_client_error());
}

#[tokio::test]
async fn a_test_delivery_is_made_at_once_and_tells_what_came_back() {
    let (shop, kept) = (Shop::open().await, kept::sqlite().await);
    let endpoint = Endpoint::answering(StatusCode::IM_A_TEAPOT, "short and stout").await;
    let spec = json!({"url": endpoint.url("/"), "secretName": "signing", "suspended": true});
    shop.make("Webhook", "webhooks", "erp", &spec).await;
    let path = "/webhooks/default/erp/test";
    let providers = || shop.providers(&["--allow-plain-webhooks"], &["127.0.0.1/32"]);
    let (_, missing) = post(&desk(&kept.store, providers()), path, &json!({})).await;
    assert_eq!((&missing["outcome"], &missing["milliseconds"]), (&json!("not_sent"), &json!(0)));
    assert!(missing["answer"].as_str().unwrap().contains("\"signing\" is missing"), "{missing}");
    shop.secret("signing", SECRET).await;
    let (code, told) = post(&desk(&kept.store, providers()), path, &json!({})).await;
    assert_eq!(
        (code, &told["outcome"], &told["answer"]),
        (StatusCode::OK, &json!("again"), &json!("418 short and stout"))
    );
    let request = endpoint.received().pop().expect("also while it is suspended");
    let verified = Verifier::start().verify(SECRET, &request);
    assert_eq!(
        (&verified["believed"], &verified["event"]["type"]),
        (&json!(true), &json!("webhook.test")),
        "{verified}"
    );
}
