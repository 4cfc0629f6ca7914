//! A server and a Redis of its own, and what the server costs.

use std::{
    fs,
    io::{BufRead, BufReader},
    net::SocketAddr,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use dropmate_testing::RedisServer;
use reqwest::{Certificate, Client, Method};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, pem::PemObject};
use serde_json::Value;
use tempfile::TempDir;

/// The clock that `/proc` counts in, on every Linux that we run on.
const TICKS_PER_SECOND: u64 = 100;

/// A running server; it ends with the value.
pub(crate) struct Server {
    child: Child,
    redis: RedisServer,
    http: Client,
    admin: String,
    pub(crate) address: SocketAddr,
    pub(crate) token: String,
    pub(crate) tls: Arc<ClientConfig>,
    _dir: TempDir,
}

impl Server {
    pub(crate) fn start() -> Result<Self> {
        let (dir, redis) = (tempfile::tempdir()?, RedisServer::start(&[]));
        let data_dir = dir.path().join("data");
        let admin = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let mut child = Command::new(env!("CARGO_BIN_EXE_dropmate-control-plane"))
            .args(["--listen", "127.0.0.1:0", "--admin-listen", &admin.to_string(), "--redis-url", redis.url()])
            // All load comes from one caller.
            .args(["--rate-limit-caller", "0", "--rate-limit-address", "0", "--data-dir"])
            .arg(&data_dir)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot start the server")?;
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().context("no output")?).read_line(&mut line)?;
        let address = line.trim().strip_prefix("https://").with_context(|| format!("the server said {line:?}"))?;
        let ca = fs::read(data_dir.join("tls/ca.crt"))?;
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(&ca)?)?;
        let tls = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        Ok(Self {
            address: address.parse()?,
            token: fs::read_to_string(data_dir.join("tokens/operator.token"))?.trim().to_owned(),
            http: Client::builder().tls_certs_only([Certificate::from_pem(&ca)?]).build()?,
            admin: format!("http://{admin}"),
            tls: Arc::new(tls),
            child,
            redis,
            _dir: dir,
        })
    }

    pub(crate) fn redis_url(&self) -> &str {
        self.redis.url()
    }

    pub(crate) async fn send(&self, method: &str, path: &str, media_type: &str, body: &Value) -> Result<()> {
        let url = format!("https://{}{path}", self.address);
        let request = self.http.request(method.parse::<Method>()?, url).bearer_auth(&self.token);
        let answer = request.header("content-type", media_type).body(body.to_string()).send().await?;
        ensure!(answer.status().is_success(), "{path}: {}", answer.status());
        Ok(())
    }

    /// A figure of the server's own metrics.
    pub(crate) async fn metric(&self, name: &str) -> Result<f64> {
        let text = reqwest::get(format!("{}/metrics", self.admin)).await?.text().await?;
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        Ok(line.with_context(|| format!("no {name}"))?.trim().parse()?)
    }

    /// The CPU time it has used up to now.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // The name in brackets may have spaces.
        let (_, rest) = stat.rsplit_once(')').context("/proc/PID/stat has no name")?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let ticks = |index: usize| -> Result<u64> { Ok(fields.get(index).context("too few fields")?.parse()?) };
        Ok(Duration::from_millis((ticks(11)? + ticks(12)?) * 1_000 / TICKS_PER_SECOND))
    }

    /// Its resident memory in bytes.
    pub(crate) fn memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
        line.split_whitespace().next().and_then(|kib| kib.parse::<u64>().ok()).unwrap_or_default() * 1_024
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
