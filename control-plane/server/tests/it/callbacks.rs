//! What SMS services call: open to anybody, believed by the agent alone.

use axum::{Json, Router, extract::Path, routing::post};
use http::StatusCode;
use serde_json::{Value, json};

use crate::server::Server;

/// An agent that believes one signature.
fn agent() -> Router {
    let answer = async |Path((namespace, message)): Path<(String, String)>, Json(told): Json<Value>| {
        assert_eq!((namespace.as_str(), message.as_str()), ("acme", "msg_abc"));
        assert_eq!(told["form"], "MessageSid=SM1&MessageStatus=delivered&To=%2B1555");
        if told["signature"] == "good=" { StatusCode::NO_CONTENT } else { StatusCode::FORBIDDEN }
    };
    Router::new().route("/callbacks/sms/{namespace}/{message}", post(answer))
}

/// As the service calls: without a token.
async fn call(server: &Server, path: &str, signature: Option<&str>, form: &str) -> (u16, Value) {
    let mut request = server.http.post(server.url(path)).header("content-type", "application/x-www-form-urlencoded");
    if let Some(signature) = signature {
        request = request.header("X-Twilio-Signature", signature);
    }
    let answer = request.body(form.to_owned()).send().await.unwrap();
    let code = answer.status().as_u16();
    (code, answer.json().await.unwrap_or_default())
}

#[tokio::test]
async fn a_callback_needs_no_token_and_goes_to_the_agent_as_it_came() {
    let server = Server::start().await;
    let path = "/v1/callbacks/sms/acme/msg_abc";
    let form = "MessageSid=SM1&MessageStatus=delivered&To=%2B1555";
    let (away, told) = call(&server, path, Some("good="), form).await;
    assert_eq!((away, &told["detail"]), (503, &json!("the notification agent does not run")));
    server.plane.attach_agent("notification", agent());
    assert_eq!(call(&server, path, Some("good="), form).await, (204, Value::Null));
    let (code, refused) = call(&server, path, Some("bad="), form).await;
    assert_eq!(code, 403);
    // Whatever is wrong is one answer, and what cannot be right is not forwarded: the agent would fail.
    for (path, signature, form) in [
        (path, None, form.to_owned()),
        (path, Some(""), form.to_owned()),
        ("/v1/callbacks/sms/acme/msg%2F..%2Fx", Some("good="), form.to_owned()),
        ("/v1/callbacks/sms/Not_a_name/msg_abc", Some("good="), form.to_owned()),
        (path, Some("good="), "x".repeat(20_000)),
    ] {
        let (code, told) = call(&server, path, signature, &form).await;
        assert!(code == 403 && told == refused || code == 404, "{path}: {code} {told}");
    }
    let (code, _) = call(&server, path, Some("good="), &"x".repeat(200_000)).await;
    assert_eq!(code, 413);
    let get = server.http.get(server.url(path)).send().await.unwrap();
    assert_eq!(get.status(), 401, "it tells nobody anything");
}
