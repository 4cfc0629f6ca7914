//! Messages through the control plane: who sees them and how, previews, and what is done to webhooks.

use axum::{
    Json, Router,
    body::Bytes,
    extract::{OriginalUri, Path},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use http::StatusCode;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::{
    client::{Answer, DISPATCH, LEASES},
    tenants::{ROLES, Town, at, person},
};

const LIST: &str = "/v1/namespaces/acme/notifications";

fn message(id: &str, created: &str) -> Value {
    json!({"id": id, "seq": 7, "order": "own-1", "channel": "email", "to": "ada@private.example", "state": "dead",
        "createdAt": created, "attempts": 1, "payload": "to ada@private.example"})
}

/// A notification agent that tells what it was asked.
fn parrot() -> Router {
    let list = async |OriginalUri(uri): OriginalUri| {
        let young = message("msg_1", "2099-01-01T00:00:00Z");
        let old = message("msg_0", "2001-01-01T00:00:00Z");
        Json(json!({"messages": [young, old], "next": 3, "asked": uri.to_string()}))
    };
    let show = async |Path((_, id)): Path<(String, String)>| -> Response {
        match id.as_str() {
            "msg_1" | "msg_2" => Json(message(&id, "2099-01-01T00:00:00Z")).into_response(),
            "msg_0" => Json(message(&id, "2001-01-01T00:00:00Z")).into_response(),
            _ => (StatusCode::NOT_FOUND, "there is no such message\n").into_response(),
        }
    };
    let retry = async |Path((_, id)): Path<(String, String)>| -> Response {
        match id.as_str() {
            "msg_1" => Json(json!({"retried": 1})).into_response(),
            _ => (StatusCode::CONFLICT, "it is sent; only a message that was given up (dead) is sent again\n")
                .into_response(),
        }
    };
    let echo = async |OriginalUri(uri): OriginalUri, body: Bytes| {
        let asked: Value = serde_json::from_slice(&body).unwrap();
        Json(json!({"retried": 2, "replayed": 2, "outcome": "sent", "path": uri.to_string(), "asked": asked}))
    };
    Router::new()
        .route("/messages/{namespace}", get(list))
        .route("/messages/{namespace}/retry", post(echo))
        .route("/messages/{namespace}/{id}", get(show))
        .route("/messages/{namespace}/{id}/retry", post(retry))
        .route("/webhooks/{namespace}/{name}/replay", post(echo))
        .route("/webhooks/{namespace}/{name}/test", post(echo))
}

fn webhook() -> Value {
    json!({"apiVersion": "dropmate.dev/v1", "kind": "Webhook", "metadata": {"name": "shop"},
        "spec": {"url": "https://shop.example/hooks", "secretName": "hook"}})
}

fn policy(spec: &Value) -> Value {
    json!({"apiVersion": "dropmate.dev/v1", "kind": "NotificationPolicy", "metadata": {"name": "default"}, "spec": spec})
}

async fn told(town: &Town, ask: impl AsyncFn(&crate::client::Api) -> Answer) -> Vec<(&'static str, u16)> {
    let mut codes = Vec::new();
    for role in ROLES {
        codes.push((role, ask(&town.of_acme(role)).await.code.as_u16()));
    }
    codes
}

fn allowed(codes: Vec<(&'static str, u16)>) -> Vec<&'static str> {
    codes.into_iter().filter(|(_, code)| *code != 403 && *code != 404).map(|(role, _)| role).collect()
}

#[tokio::test]
async fn the_business_sees_its_messages_and_managers_whole_addresses() {
    let town = Town::build().await;
    town.operator.plane.attach_agent("notification", parrot());
    let readers = ["manager", "dispatcher", "viewer"];
    for path in [LIST, "/v1/namespaces/acme/notifications/msg_1", "/v1/namespaces/acme/orders/own-1/notifications"] {
        assert_eq!(allowed(told(&town, async |api| api.get(path).await).await), readers, "{path}");
    }
    for (role, to) in
        [("manager", "ada@private.example"), ("dispatcher", "a…@private.example"), ("viewer", "a…@private.example")]
    {
        let api = town.of_acme(role);
        for answer in [api.get(LIST).await.ok()["messages"][0].clone(), api.get(&format!("{LIST}/msg_1")).await.ok()] {
            assert_eq!(answer["to"], to, "{role}");
            assert_eq!(answer.to_string().contains("ada@private.example"), role == "manager", "{role}: {answer}");
        }
    }
    // What a business of the same name had before is nobody's.
    let listed = town.of_acme("manager").get(LIST).await.ok();
    assert_eq!((listed["messages"].as_array().unwrap().len(), &listed["next"]), (1, &Value::Null));
    assert_eq!(town.of_acme("manager").get(&format!("{LIST}/msg_0")).await.code, 404);
    assert_eq!(town.operator.get(LIST).await.ok()["messages"].as_array().unwrap().len(), 2);
    assert_eq!(town.operator.as_caller(person("stranger@nowhere.test")).get(LIST).await.code, 404);
}

#[tokio::test]
async fn the_agent_is_asked_for_this_very_order_and_only_what_makes_sense() {
    let town = Town::build().await;
    town.operator.plane.attach_agent("notification", parrot());
    let manager = town.of_acme("manager");
    let uid = manager.get(&at("acme", "orders/own-1")).await.ok()["metadata"]["uid"].as_str().unwrap().to_owned();
    let asked = manager.get("/v1/namespaces/acme/orders/own-1/notifications?limit=5").await.ok()["asked"].clone();
    assert_eq!(asked, format!("/messages/acme?uid={uid}&limit=5&order=own-1"));
    assert_eq!(manager.get("/v1/namespaces/acme/orders/nobody/notifications").await.code, 404);
    let asked = manager.get(&format!("{LIST}?state=dead&channel=sms&before=9&order=o%261")).await.ok()["asked"].clone();
    assert_eq!(asked, "/messages/acme?limit=100&before=9&state=dead&channel=sms&order=o%261");
    for (wrong, field) in [
        ("limit=0", "limit"),
        ("limit=501", "limit"),
        ("state=lost", "dead"),
        ("channel=fax", "sms"),
        ("before=x", "before"),
        ("form=1", "form"),
    ] {
        let answer = manager.get(&format!("{LIST}?{wrong}")).await;
        assert_eq!(answer.code, 400, "{wrong}");
        assert!(answer.body["detail"].as_str().unwrap().contains(field), "{wrong}: {}", answer.body);
    }
}

#[tokio::test]
async fn managers_send_again_and_the_agents_refusal_is_told() {
    let town = Town::build().await;
    town.operator.plane.attach_agent("notification", parrot());
    let again = |id: &str| format!("{LIST}/{id}/retry");
    let managers = ["manager"];
    assert_eq!(allowed(told(&town, async |api| api.post(&again("msg_1"), &json!({})).await).await), managers);
    let all = format!("{LIST}/retry");
    assert_eq!(allowed(told(&town, async |api| api.post(&all, &json!({"state": "dead"})).await).await), managers);
    let manager = town.of_acme("manager");
    assert_eq!(manager.post(&again("msg_1"), &json!({})).await.ok()["retried"], 1);
    let refused = manager.post(&again("msg_2"), &json!({})).await;
    assert_eq!(refused.code, 409);
    assert_eq!(refused.body["detail"], "it is sent; only a message that was given up (dead) is sent again");
    assert_eq!(manager.post(&again("msg_9"), &json!({})).await.code, 404);
    assert_eq!(manager.post(&again("msg_0"), &json!({})).await.code, 404);
    let asked = manager.post(&all, &json!({"channel": "sms", "since": "2098-01-01T00:00:00Z"})).await.ok();
    assert_eq!(asked["asked"], json!({"state": "dead", "channel": "sms", "since": "2098-01-01T00:00:00Z"}));
    // Never from before the business began.
    let since = manager.post(&all, &json!({"since": "2001-01-01T00:00:00Z"})).await.ok()["asked"]["since"].clone();
    assert!(since.as_str().unwrap() > "2020", "{since}");
    for (wrong, field) in
        [(json!({"state": "sent"}), "state"), (json!({"channel": "fax"}), "channel"), (json!({"since": "1h"}), "since")]
    {
        let answer = manager.post(&all, &wrong).await;
        assert_eq!(answer.code, 422, "{wrong}");
        assert!(answer.body["detail"].as_str().unwrap().starts_with(field), "{}", answer.body);
    }
}

#[tokio::test]
async fn a_webhook_is_tried_replayed_and_enabled() {
    let town = Town::build().await;
    town.operator.plane.attach_agent("notification", parrot());
    let manager = town.of_acme("manager");
    manager.post(&at("acme", "webhooks"), &webhook()).await.ok();
    let of = |part: &str| format!("/v1/namespaces/acme/webhooks/shop/{part}");
    for part in ["test", "replay", "enable"] {
        let body = if part == "replay" { json!({"since": "2026-01-01T00:00:00Z"}) } else { json!({}) };
        assert_eq!(allowed(told(&town, async |api| api.post(&of(part), &body).await).await), ["manager"], "{part}");
        assert_eq!(manager.post(&format!("/v1/namespaces/acme/webhooks/none/{part}"), &body).await.code, 404, "{part}");
    }
    assert_eq!(manager.post(&of("test"), &json!({})).await.ok()["path"], "/webhooks/acme/shop/test");
    let replay = manager.post(&of("replay"), &json!({"since": "2026-01-01T00:00:00Z", "failedOnly": true})).await.ok();
    assert_eq!(replay["asked"], json!({"since": "2026-01-01T00:00:00Z", "failedOnly": true}));

    // The agent disables it; a manager has it tried again.
    let agent = town.operator.as_user(&DISPATCH.replace("dispatch", "notification"));
    let mut disabled = agent.get(&at("acme", "webhooks/shop")).await.ok();
    disabled["status"] = json!({"failures": 9, "failingSince": "2026-01-01T00:00:00Z", "disabledAt": "2026-01-06T00:00:00Z",
        "disabledReason": "Failing", "conditions": [{"type": "Disabled", "status": "True", "reason": "Failing",
        "lastTransitionTime": "2026-01-06T00:00:00Z"}]});
    agent.put(&at("acme", "webhooks/shop/status"), &disabled).await.ok();
    assert_eq!(manager.post(&of("enable"), &json!({})).await.ok(), json!({"enabled": true, "wasDisabled": true}));
    let status = manager.get(&at("acme", "webhooks/shop")).await.ok()["status"].clone();
    assert_eq!((&status["disabledAt"], &status["failures"]), (&Value::Null, &json!(0)));
    assert_eq!(
        (&status["conditions"][0]["status"], &status["conditions"][0]["reason"]),
        (&json!("False"), &json!("Enabled"))
    );
    assert_eq!(manager.post(&of("enable"), &json!({})).await.ok()["wasDisabled"], false);
}

#[tokio::test]
async fn an_agent_elsewhere_takes_errands_and_one_that_is_away_is_named() {
    let town = Town::build().await;
    let manager = town.of_acme("manager");
    let away = manager.get(LIST).await;
    assert_eq!((away.code.as_u16(), &away.body["detail"]), (503, &json!("the notification agent does not run")));
    let _ = rustls::crypto::ring::default_provider().install_default();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let serving = tokio::spawn(async move { axum::serve(listener, parrot()).await.unwrap() });
    let lease = json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {"name": "notification", "annotations": {"dropmate.dev/address": address}},
        "spec": {"holderIdentity": "one"},
    });
    town.operator.as_user(&DISPATCH.replace("dispatch", "notification")).post(LEASES, &lease).await.ok();
    let asked = manager.post(&format!("{LIST}/retry"), &json!({"state": "dead", "channel": "email"})).await.ok();
    assert_eq!((&asked["path"], &asked["asked"]["channel"]), (&json!("/messages/acme/retry"), &json!("email")));
    serving.abort();
    let _ = serving.await;
    assert_eq!(manager.post(&format!("{LIST}/retry"), &json!({})).await.code, 503);
}

#[tokio::test]
async fn a_preview_shows_what_would_be_sent_and_sends_nothing() {
    let town = Town::build().await;
    let manager = town.of_acme("manager");
    let path = format!("{LIST}/preview");
    assert_eq!(
        allowed(told(&town, async |api| api.post(&path, &json!({"event": "order.ready"})).await).await),
        ["manager"]
    );
    // An empty namespace already notifies.
    let shown = manager.post(&path, &json!({"event": "order.out_for_delivery", "locale": "de"})).await.ok();
    let rules: Vec<&str> =
        shown["messages"].as_array().unwrap().iter().map(|one| one["rule"].as_str().unwrap()).collect();
    assert_eq!(rules, ["out-for-delivery-email", "out-for-delivery-sms"]);
    let sms = &shown["messages"][1];
    let text = sms["text"].as_str().unwrap();
    assert!(
        text.starts_with("acme: Ihre Bestellung ist unterwegs") && text.contains("PIN für den Kurier: 123456"),
        "{text}"
    );
    assert_eq!((&sms["to"], &sms["segments"]), (&json!("+14165550100"), &json!(1)));
    assert!(shown["messages"][0]["html"].as_str().unwrap().contains("https://dropmate.example/t/"));

    // Of a real order, with its own addresses: there is no phone number.
    let shown = manager.post(&path, &json!({"event": "order.assigned", "order": "own-1"})).await.ok();
    assert_eq!(shown["messages"][0]["to"], "ada@private.example");
    assert_eq!(shown["messages"].as_array().unwrap().len(), 1);
    assert_eq!(shown["skipped"][0]["why"], "the recipient has no phone number (spec.recipient.phone)");

    // A policy that is not applied yet, and stays so.
    let spec = json!({
        "shop": {"name": "Corner Shop"}, "quietHours": {"start": "00:00", "end": "23:59"},
        "rules": [
            {"name": "delivered-sms", "events": ["order.delivered"], "channel": "Sms", "template": "t", "delaySeconds": 30},
            {"name": "vip", "events": ["order.delivered"], "channel": "Email", "when": [{"field": "spec.priority", "operator": "GreaterThan", "values": ["90"]}]},
        ],
        "templates": [{"name": "t", "text": "{{ shop.name }}: {{ order.recipient.name }}, {{ trackingUrl }}"}],
    });
    let tried = json!({"event": "order.delivered", "policy": policy(&spec)});
    let shown = manager.post(&path, &tried).await.ok();
    assert_eq!(shown["messages"].as_array().unwrap().len(), 2, "of a sample order every condition holds: {shown}");
    let sms = &shown["messages"][0];
    assert_eq!(sms["text"], "Corner Shop: Ada Example, https://dropmate.example/t/xxxxxxxxxxxxxxxxxxxxxx");
    assert_eq!((&sms["delaySeconds"], &sms["policy"]), (&json!(30), &json!("default")));
    assert!(sms["quietUntil"].is_string(), "{sms}");
    let of_order = json!({"event": "order.delivered", "policy": spec, "order": "own-1", "rule": "vip"});
    let shown = manager.post(&path, &of_order).await.ok();
    assert_eq!(shown["skipped"][0]["why"], "its conditions do not hold of the order");
    assert!(manager.get(&at("acme", "notificationpolicies")).await.ok()["items"].as_array().unwrap().is_empty());

    for (wrong, code, says) in [
        (json!({}), 422, "event: is missing"),
        (json!({"event": "order.deliverd"}), 422, "order.delivered"),
        (json!({"event": "order.ready", "order": "nobody"}), 404, "nobody"),
        (json!({"event": "order.ready", "policy": "nobody"}), 404, "nobody"),
        (json!({"event": "order.ready", "policy": 7}), 422, "policy"),
        (json!({"event": "order.ready", "rule": "nobody"}), 422, "delivered-email"),
        (json!({"event": "order.ready", "policy": {"rulez": []}}), 422, "rulez"),
        (
            json!({"event": "order.ready", "policy": {"templates": [{"name": "t", "text": "{{ bogus }}"}]}}),
            422,
            "spec.templates[0].text",
        ),
    ] {
        let answer = manager.post(&path, &wrong).await;
        assert_eq!(answer.code.as_u16(), code, "{wrong}: {}", answer.body);
        assert!(answer.body.to_string().contains(says), "{wrong}: {}", answer.body);
    }
}

#[tokio::test]
async fn what_cannot_work_is_refused_at_apply_with_line_and_way_out() {
    let town = Town::build().await;
    let manager = town.of_acme("manager");
    let spec = json!({"templates": [{"name": "t", "text": "fine"}, {"name": "u", "text": "Hello\n{{ order.bogus }}"}]});
    let refused = manager.post(&at("acme", "notificationpolicies"), &policy(&spec)).await;
    let (code, reason, message) = refused.refusal();
    assert_eq!((code, reason), (422, "Invalid"));
    assert!(
        message.contains(
            "spec.templates[1].text: Invalid value: \"{{ order.bogus }}\": line 2: there is no order.bogus; order has"
        ),
        "{message}"
    );
    let mut odd = webhook();
    odd["spec"]["events"] = json!(["order.deliverd"]);
    let refused = manager.post(&at("acme", "webhooks"), &odd).await;
    assert_eq!(refused.body["details"]["causes"][0]["field"], "spec.events[0]");
    let fine =
        json!({"rules": [{"name": "late", "events": ["order.delayed"], "audience": "Manager", "channel": "Email"}]});
    manager.post(&at("acme", "notificationpolicies"), &policy(&fine)).await.ok();
    assert_eq!(town.of_acme("dispatcher").post(&at("acme", "webhooks"), &webhook()).await.refusal().0, 403);
}
