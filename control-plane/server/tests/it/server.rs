//! A whole server in a data dir of its own, on free ports, spoken to over HTTPS.

use std::{fs, path::Path};

use clap::Parser;
use dropmate_api::Clock;
use dropmate_control_plane::{Args, Config, ControlPlane, install_crypto_provider};
use reqwest::{Certificate, Client, ClientBuilder, RequestBuilder, Response};
use serde_json::Value;
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::client::clock;

#[derive(Debug, clap::Parser)]
struct Cli {
    #[command(flatten)]
    args: Args,
}

/// A running server.
pub(crate) struct Server {
    pub(crate) plane: ControlPlane,
    pub(crate) dir: TempDir,
    pub(crate) stop: CancellationToken,
    pub(crate) running: JoinHandle<anyhow::Result<()>>,
    pub(crate) http: Client,
}

/// A config for that data dir on free ports.
pub(crate) fn config(dir: &Path) -> Config {
    config_with(dir, &[])
}

/// The same with further flags.
fn config_with(dir: &Path, more: &[&str]) -> Config {
    config_at(dir, more, clock())
}

/// The same by that clock.
fn config_at(dir: &Path, more: &[&str], clock: Clock) -> Config {
    let dir = dir.to_str().unwrap();
    let free = "127.0.0.1:0";
    let flags = ["test", "--data-dir", dir, "--listen", free, "--admin-listen", free, "--plain-listen", free];
    Config::new(Cli::parse_from(flags.iter().chain(more)).args, clock).unwrap()
}

impl Server {
    /// A first start.
    pub(crate) async fn start() -> Self {
        Self::start_in(tempfile::tempdir().unwrap()).await
    }

    /// A start in a data dir that may have been used before.
    pub(crate) async fn start_in(dir: TempDir) -> Self {
        Self::start_with(dir, &[]).await
    }

    /// A start with further flags.
    pub(crate) async fn start_with(dir: TempDir, more: &[&str]) -> Self {
        Self::open(dir, more, |dir| trusting(dir).build().unwrap()).await
    }

    /// A start with a certificate by flag. `http` trusts nobody in particular.
    pub(crate) async fn start_with_own(dir: TempDir, more: &[&str]) -> Self {
        Self::open(dir, more, |_| Client::new()).await
    }

    async fn open(dir: TempDir, more: &[&str], http: impl FnOnce(&Path) -> Client) -> Self {
        let config = config_with(dir.path(), more);
        Self::open_with(dir, config, http).await
    }

    /// A first start by that clock.
    pub(crate) async fn start_at(more: &[&str], clock: Clock) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = config_at(dir.path(), more, clock);
        Self::open_with(dir, config, |dir| trusting(dir).build().unwrap()).await
    }

    async fn open_with(dir: TempDir, config: Config, http: impl FnOnce(&Path) -> Client) -> Self {
        install_crypto_provider();
        let plane = ControlPlane::open(config).await.unwrap();
        let stop = CancellationToken::new();
        let running = tokio::spawn(plane.clone().serve(stop.clone()));
        let http = http(dir.path());
        Self { plane, dir, stop, running, http }
    }

    /// Shuts down and gives the data dir back.
    pub(crate) async fn end(self) -> TempDir {
        self.stop.cancel();
        self.running.await.unwrap().unwrap();
        self.dir
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.plane.url().unwrap())
    }

    pub(crate) fn token(&self, name: &str) -> String {
        fs::read_to_string(self.dir.path().join(format!("tokens/{name}.token"))).unwrap()
    }

    /// A request as that caller.
    pub(crate) fn call(&self, caller: &str, method: reqwest::Method, path: &str) -> RequestBuilder {
        self.http.request(method, self.url(path)).bearer_auth(self.token(caller))
    }

    pub(crate) async fn get(&self, path: &str) -> Response {
        self.call("operator", reqwest::Method::GET, path).send().await.unwrap()
    }

    /// Creates an order from that body, as the operator; says code and reason.
    pub(crate) async fn create(&self, content_type: &str, body: impl Into<reqwest::Body>) -> (u16, String) {
        let path = "/apis/dropmate.dev/v1/namespaces/default/orders";
        let request = self.call("operator", reqwest::Method::POST, path).header("content-type", content_type);
        outcome(request.body(body).send().await.unwrap()).await
    }

    /// The admin port's metrics.
    pub(crate) async fn metrics(&self) -> String {
        let url = format!("{}/metrics", self.plane.admin_url().unwrap());
        reqwest::get(url).await.unwrap().text().await.unwrap()
    }
}

/// Code and `reason` of an answer.
pub(crate) async fn outcome(answer: Response) -> (u16, String) {
    let code = answer.status().as_u16();
    let body: Value = answer.json().await.unwrap_or_default();
    (code, body["reason"].as_str().unwrap_or_default().to_owned())
}

/// A client that trusts that data dir's authority and nobody else.
pub(crate) fn trusting(dir: &Path) -> ClientBuilder {
    let ca = fs::read(dir.join("tls/ca.crt")).unwrap();
    Client::builder().tls_certs_only([Certificate::from_pem(&ca).unwrap()])
}
