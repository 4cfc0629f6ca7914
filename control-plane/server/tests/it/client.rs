//! A caller of an API in memory, for tests that look at exact requests and answers.

use std::{sync::Arc, time::Duration};

use axum::{Router, body::Body};
use dropmate_api::Clock;
use dropmate_control_plane::{Caller, ControlPlane};
use futures::StreamExt;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt;
use jiff::Timestamp;
use serde_json::{Value, json};
use tower::ServiceExt;

pub(crate) const ORDERS: &str = "/apis/dropmate.dev/v1/namespaces/default/orders";
pub(crate) const DRIVERS: &str = "/apis/dropmate.dev/v1/namespaces/default/drivers";
pub(crate) const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/dropmate-system/leases";
pub(crate) const DISPATCH: &str = "system:serviceaccount:dropmate-system:dispatch";

/// A caller of one control plane.
#[derive(Clone)]
pub(crate) struct Api {
    pub(crate) plane: ControlPlane,
    router: Router,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) code: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl Answer {
    /// The object, if the answer is a success.
    #[track_caller]
    pub(crate) fn ok(self) -> Value {
        assert!(self.code.is_success(), "{} {}", self.code, self.body);
        self.body
    }

    /// Code, reason and message of a refusal.
    #[track_caller]
    pub(crate) fn refusal(&self) -> (u16, &str, &str) {
        assert_eq!(self.body["kind"], "Status", "{}", self.body);
        assert_eq!(self.body["code"], self.code.as_u16());
        (self.code.as_u16(), text(&self.body["reason"]), text(&self.body["message"]))
    }
}

pub(crate) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("")
}

#[expect(clippy::disallowed_methods, reason = "a test binary owns its clock")]
pub(crate) fn clock() -> Clock {
    Clock::real(Arc::new(Timestamp::now))
}

impl Api {
    /// The operator at a new control plane in memory.
    pub(crate) async fn start() -> Self {
        Self::start_at(clock()).await
    }

    /// The same, by that clock.
    pub(crate) async fn start_at(clock: Clock) -> Self {
        Self::over(ControlPlane::in_memory(clock).await)
    }

    /// The operator at that control plane.
    pub(crate) fn over(plane: ControlPlane) -> Self {
        let router = plane.in_process("operator");
        Self { plane, router }
    }

    /// Another caller of the same control plane.
    pub(crate) fn as_user(&self, user: &str) -> Self {
        Self { plane: self.plane.clone(), router: self.plane.in_process(user) }
    }

    /// The same as a caller with an identity of theirs.
    pub(crate) fn as_caller(&self, caller: Caller) -> Self {
        Self { plane: self.plane.clone(), router: self.plane.in_process_as(caller) }
    }

    pub(crate) fn client(&self) -> kube::Client {
        kube::Client::new(self.router.clone(), "default")
    }

    pub(crate) async fn send(&self, method: Method, path: &str, media_type: &str, body: impl Into<Body>) -> Answer {
        let request =
            Request::builder().method(method).uri(path).header("content-type", media_type).body(body.into()).unwrap();
        self.request(request).await
    }

    pub(crate) async fn request(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let body = serde_json::from_slice(&bytes).unwrap_or_else(|_| String::from_utf8_lossy(&bytes).as_ref().into());
        Answer { code: parts.status, headers: parts.headers, body }
    }

    /// The same of an answer that may go on for long: of a success, only its head.
    pub(crate) async fn begin(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        if parts.status.is_success() {
            return Answer { code: parts.status, headers: parts.headers, body: Value::Null };
        }
        let bytes = body.collect().await.unwrap().to_bytes();
        Answer { code: parts.status, headers: parts.headers, body: serde_json::from_slice(&bytes).unwrap_or_default() }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, "application/json", "").await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(Method::POST, path, "application/json", body.to_string()).await
    }

    pub(crate) async fn put(&self, path: &str, body: &Value) -> Answer {
        self.send(Method::PUT, path, "application/json", body.to_string()).await
    }

    pub(crate) async fn delete(&self, path: &str, body: &Value) -> Answer {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.send(Method::DELETE, path, "application/json", body).await
    }

    pub(crate) async fn merge(&self, path: &str, body: &Value) -> Answer {
        self.send(Method::PATCH, path, "application/merge-patch+json", body.to_string()).await
    }

    pub(crate) async fn json_patch(&self, path: &str, body: &Value) -> Answer {
        self.send(Method::PATCH, path, "application/json-patch+json", body.to_string()).await
    }

    /// Server-side apply; `query` begins with the manager: `a`, `a&force=true`.
    pub(crate) async fn apply(&self, path: &str, query: &str, body: &Value) -> Answer {
        let path = format!("{path}?fieldManager={query}");
        self.send(Method::PATCH, &path, "application/apply-patch+yaml", body.to_string()).await
    }

    /// Opens a watch and reads it line by line.
    pub(crate) async fn watch(&self, path: &str) -> Lines {
        let request = Request::builder().uri(path).body(Body::empty()).unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), 200);
        Lines { body: response.into_body(), held: Vec::new() }
    }
}

/// The lines of a watch.
pub(crate) struct Lines {
    body: Body,
    held: Vec<u8>,
}

impl Lines {
    /// The next event; `None` at the end of the stream.
    pub(crate) async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.held.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.held.drain(..=end).collect();
                return Some(serde_json::from_slice(&line).unwrap());
            }
            let stream = (&mut self.body).into_data_stream();
            tokio::pin!(stream);
            self.held.extend_from_slice(&stream.next().await?.unwrap());
        }
    }

    /// The next event as its type and the name of its object.
    pub(crate) async fn next_named(&mut self) -> (String, String) {
        let event = tokio::time::timeout(Duration::from_secs(5), self.next()).await.expect("an event").unwrap();
        (text(&event["type"]).to_owned(), text(&event["object"]["metadata"]["name"]).to_owned())
    }
}

pub(crate) fn order(name: &str) -> Value {
    json!({
        "apiVersion": "dropmate.dev/v1",
        "kind": "Order",
        "metadata": {"name": name},
        "spec": {
            "pickup": {"address": "12 Mill St", "location": {"latitude": 43.6503, "longitude": -79.3596}},
            "dropoff": {"address": "88 Queens Quay", "location": {"latitude": 43.6405, "longitude": -79.3760}},
            "recipient": {"name": "Ada"},
        },
    })
}

pub(crate) fn driver(name: &str) -> Value {
    json!({
        "apiVersion": "dropmate.dev/v1",
        "kind": "Driver",
        "metadata": {"name": name},
        "spec": {"displayName": name, "vehicle": {"type": "bicycle"}},
    })
}

pub(crate) fn namespace(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
}
