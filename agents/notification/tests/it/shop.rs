//! A control plane with a business on it, whose channels are asked for.

use std::sync::Arc;

use axum::body::Body;
use clap::Parser;
use dropmate_api::Clock;
use dropmate_control_plane::{Config, ControlPlane, install_crypto_provider};
use dropmate_notification::{
    channel::{Channel, Outcome, Outgoing},
    providers::{Flags, NoProvider, Providers, Setup},
};
use dropmate_outbound::{Guard, Lookups, Trust};
use http::Request;
use http_body_util::BodyExt;
use jiff::Timestamp;
use kube::Client;
use serde_json::{Value, json};
use tower::ServiceExt;

const NOTIFICATION: &str = "system:serviceaccount:dropmate-system:notification";

#[derive(Debug, clap::Parser)]
struct Cli {
    #[command(flatten)]
    args: dropmate_control_plane::Args,
}

#[derive(Debug, clap::Parser)]
struct Operator {
    #[command(flatten)]
    flags: Flags,
}

#[expect(clippy::disallowed_methods, reason = "a test binary owns its clock; the other side's library reads its own")]
pub(crate) fn now() -> Timestamp {
    Timestamp::now()
}

pub(crate) struct Shop {
    pub(crate) plane: ControlPlane,
    /// Names that only exist here.
    pub(crate) lookups: Lookups,
    _dir: tempfile::TempDir,
}

impl Shop {
    pub(crate) async fn open() -> Self {
        install_crypto_provider();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().to_str().unwrap().to_owned();
        let flags = ["server", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--data-dir", &path];
        let config = Config::new(Cli::parse_from(flags).args, Clock::real(Arc::new(now))).unwrap();
        let plane = ControlPlane::open(config).await.unwrap();
        Self { plane, lookups: Lookups::default(), _dir: dir }
    }

    /// A request as the operator.
    pub(crate) async fn ask(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", "application/json")
            .body(if body.is_null() { Body::empty() } else { Body::from(body.to_string()) })
            .unwrap();
        let answer = self.plane.in_process("operator").oneshot(request).await.unwrap();
        let code = answer.status().as_u16();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        (code, serde_json::from_slice(&body).unwrap_or_default())
    }

    pub(crate) async fn secret(&self, name: &str, value: &str) {
        let path = format!("/v1/namespaces/default/secrets/{name}");
        let (code, told) = self.ask("PUT", &path, &json!({"value": value})).await;
        assert!(code == 200 || code == 201, "{code} {told}");
    }

    /// Makes an object of ours.
    pub(crate) async fn make(&self, kind: &str, plural: &str, name: &str, spec: &Value) {
        let body = json!({"apiVersion": "dropmate.dev/v1", "kind": kind, "metadata": {"name": name}, "spec": spec});
        let (code, told) = self.ask("POST", &format!("/apis/dropmate.dev/v1/namespaces/default/{plural}"), &body).await;
        assert_eq!(code, 201, "{told}");
    }

    pub(crate) async fn policy(&self, name: &str, channels: &Value) {
        self.make("NotificationPolicy", "notificationpolicies", name, &json!({"channels": channels})).await;
    }

    /// What the agent sends with: the operator's flags, and a guard that lets businesses as far as `allowed`.
    pub(crate) fn providers(&self, flags: &[&str], allowed: &[&str]) -> Providers {
        self.believing(flags, allowed, Trust::machine())
    }

    pub(crate) fn believing(&self, flags: &[&str], allowed: &[&str], trust: Trust) -> Providers {
        let flags = Operator::parse_from([&["test"], flags].concat()).flags;
        let guard = Guard::new(allowed.iter().map(|net| net.parse().unwrap()));
        Providers::new(Setup {
            client: Client::new(self.plane.in_process(NOTIFICATION), "default"),
            guard: guard.resolving(Arc::new(self.lookups.clone())),
            trust,
            now: Arc::new(now),
            settings: flags.checked(Some("https://dm.example")).unwrap(),
        })
        .unwrap()
    }
}

/// Sends as the pipeline does: what is missing is told.
pub(crate) async fn send(providers: &Providers, channel: Channel, message: &Outgoing) -> Result<Outcome, NoProvider> {
    Ok(providers.provider(channel, message).await?.send(message).await)
}

/// Sends, with everything there.
pub(crate) async fn sent(providers: &Providers, channel: Channel, message: &Outgoing) -> Outcome {
    send(providers, channel, message).await.unwrap()
}

/// A message to somebody.
pub(crate) fn to(address: &str) -> Outgoing {
    Outgoing {
        id: format!("msg_{}", uuid::Uuid::new_v4().simple()),
        namespace: "default".to_owned(),
        to: address.to_owned(),
        subject: Some("Your delivery is on its way".to_owned()),
        text: "Hello Ada, follow it at https://dm.example/t/TOKEN".to_owned(),
        locale: "en".to_owned(),
        attempt: 1,
        ..Outgoing::default()
    }
}
