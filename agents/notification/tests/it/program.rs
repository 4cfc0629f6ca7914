//! `dropmate-notification` as its users have it: a process with flags and files, over HTTPS to a server on a data dir.

use std::{
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use axum::body::Body;
use clap::Parser;
use dropmate_api::Clock;
use dropmate_control_plane::{Config, ControlPlane, install_crypto_provider};
use http::Request;
use http_body_util::BodyExt;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

/// A loaded machine takes its time; a test that needs longer is stuck.
const PATIENCE: Duration = Duration::from_secs(90);

#[derive(Debug, clap::Parser)]
struct Cli {
    #[command(flatten)]
    args: dropmate_control_plane::Args,
}

#[expect(clippy::disallowed_methods, reason = "a test binary owns its clock")]
fn wall() -> Clock {
    Clock::real(Arc::new(Timestamp::now))
}

/// An agent's process; killed with the value.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn program(flags: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dropmate-notification"));
    command.args(flags).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

async fn operator(plane: &ControlPlane, method: &str, path: &str, body: &Value) -> (u16, Value) {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("content-type", "application/json")
        .body(if body.is_null() { Body::empty() } else { Body::from(body.to_string()) })
        .unwrap();
    let answer = plane.in_process("operator").oneshot(request).await.unwrap();
    let code = answer.status().as_u16();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    (code, serde_json::from_slice(&body).unwrap_or_default())
}

/// Waits for a process to end.
async fn ended(process: &mut Child) -> ExitStatus {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(status) = process.try_wait().unwrap() {
            return status;
        }
        assert!(Instant::now() < until, "the process did not end");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Asks until the answer is as wanted.
async fn until(plane: &ControlPlane, path: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let end = Instant::now() + PATIENCE;
    loop {
        let (code, told) = operator(plane, "GET", path, &Value::Null).await;
        if code == 200 && wanted(&told) {
            return told;
        }
        assert!(Instant::now() < end, "{code} {told}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_program_sends_with_the_control_planes_link_and_gives_its_lease_back() {
    install_crypto_provider();
    let (server, kept) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let data_dir = server.path().to_str().unwrap().to_owned();
    let flags = ["server", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--data-dir", &data_dir];
    let config = Config::new(Cli::parse_from(flags).args, wall()).unwrap();
    let plane = ControlPlane::open(config).await.unwrap();
    let stop = CancellationToken::new();
    let serving = tokio::spawn(plane.clone().serve(stop.clone()));
    let messages = "/v1/namespaces/default/notifications";
    assert_eq!(operator(&plane, "GET", messages, &Value::Null).await.0, 503);

    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let path = |part: &Path| part.to_str().unwrap().to_owned();
    let (url, token, ca, dir) = (
        plane.url().unwrap().to_owned(),
        path(&server.path().join("tokens/notification.token")),
        path(&server.path().join("tls/ca.crt")),
        path(kept.path()),
    );
    let flags = ["--server", &url, "--token-file", &token, "--ca-file", &ca, "--data-dir", &dir];
    let mut agent =
        Program(program(&flags).args(["--admin-listen", &free, "--advertise-address", &free]).spawn().unwrap());
    until(&plane, messages, |told| told["messages"].is_array()).await;
    // It begins with what happens from when it has read for the first time.
    until(
        &plane,
        "/apis/coordination.k8s.io/v1/namespaces/dropmate-system/leases/notification-events",
        |lease| lease["metadata"]["annotations"]["dropmate.dev/cursor"].is_string(),
    )
    .await;
    let rule = json!({"name": "placed", "events": ["order.created"], "channel": "Email", "template": "placed"});
    let policy = json!({
        "apiVersion": "dropmate.dev/v1", "kind": "NotificationPolicy", "metadata": {"name": "default"},
        "spec": {"rules": [rule], "templates": [{"name": "placed", "subject": "Hello {{ order.recipient.name }}", "text": "See {{ trackingUrl }}"}]},
    });
    let policies = "/apis/dropmate.dev/v1/namespaces/default/notificationpolicies";
    let (code, answer) = operator(&plane, "POST", policies, &policy).await;
    assert_eq!(code, 201, "{answer}");
    tokio::time::sleep(Duration::from_millis(500)).await;
    let order = json!({
        "apiVersion": "dropmate.dev/v1", "kind": "Order", "metadata": {"name": "o-1"},
        "spec": {
            "pickup": {"address": "12 Mill St", "location": {"latitude": 43.65, "longitude": -79.35}},
            "dropoff": {"address": "88 Queens Quay", "location": {"latitude": 43.64, "longitude": -79.37}},
            "recipient": {"name": "Ada", "email": "ada@example.org"},
        },
    });
    assert_eq!(operator(&plane, "POST", "/apis/dropmate.dev/v1/namespaces/default/orders", &order).await.0, 201);
    let told = until(&plane, messages, |told| told["messages"][0]["state"] == "sent").await;
    let message = &told["messages"][0];
    assert_eq!((&message["provider"], &message["rule"]), (&json!("outbox"), &json!("placed")), "{message}");
    let shown = until(&plane, &format!("{messages}/{}", message["id"].as_str().unwrap()), |_| true).await;
    assert_eq!((&shown["subject"], &shown["text"]), (&json!("Hello Ada"), &json!("See [link]")), "{shown}");
    assert_eq!(shown["attempts"].as_array().unwrap().len(), 1);
    let order = "/apis/dropmate.dev/v1/namespaces/default/orders/o-1";
    until(&plane, order, |order| {
        let conditions = order["status"]["conditions"].as_array().cloned().unwrap_or_default();
        conditions.iter().any(|held| held["type"] == "CustomerNotified" && held["reason"] == "OrderCreated")
    })
    .await;
    // The file is one process's.
    let mut second = Program(program(&flags).args(["--admin-listen", "127.0.0.1:0"]).spawn().unwrap());
    assert_eq!(ended(&mut second.0).await.code(), Some(2));

    dropmate_testing::signal("TERM", &[agent.0.id() as i32]);
    assert_eq!(ended(&mut agent.0).await.code(), Some(0));
    let lease = "/apis/coordination.k8s.io/v1/namespaces/dropmate-system/leases/notification";
    let (_, lease) = operator(&plane, "GET", lease, &Value::Null).await;
    assert_eq!(lease["spec"]["holderIdentity"], "", "{lease}");
    stop.cancel();
    serving.await.unwrap().unwrap();
}

#[tokio::test]
async fn without_a_place_to_keep_anything_it_does_not_start() {
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "secret").unwrap();
    let flags = ["--server", "https://127.0.0.1:1", "--token-file", token.to_str().unwrap()];
    let mut agent = Program(program(&flags).args(["--admin-listen", "127.0.0.1:0"]).spawn().unwrap());
    assert_eq!(ended(&mut agent.0).await.code(), Some(2));
}
