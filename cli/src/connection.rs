//! The connection to a control plane: which one, as whom, and requests with deadlines.

mod probe;

use std::{
    env,
    fmt::{self, Write as _},
    net::IpAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, anyhow};
use clap::Args;
use http::{Method, Request, StatusCode, header};
use kube::{
    Client, Config,
    client::Body,
    config::{KubeConfigOptions, Kubeconfig},
};
use serde::Deserialize;
use serde_json::Value;

pub(crate) use self::probe::probe;
use crate::{
    failure::{Failure, Outcome},
    session::{self, Sessions},
};

/// A server on the other side of the world answers a handshake within this.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest wait for an answer; the server itself gives up a request earlier.
const REQUEST_TIMEOUT: Duration = Duration::from_mins(1);

/// How to reach the control plane.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Connection")]
pub(crate) struct ConnectionArgs {
    /// The kubeconfig to read. Without any: $KUBECONFIG, then the session of `dropmate login`, then the admin.kubeconfig
    /// of a local `dropmate up`.
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// The context of the kubeconfig.
    #[arg(long, global = true, env = "DROPMATE_CONTEXT")]
    context: Option<String>,
    /// The namespace (the business) to work in.
    #[arg(short, long, global = true, env = "DROPMATE_NAMESPACE")]
    pub(crate) namespace: Option<String>,
    /// The server's address: https://host:port.
    #[arg(long, global = true, env = "DROPMATE_SERVER", value_name = "URL")]
    pub(crate) server: Option<http::Uri>,
    /// The bearer token to send.
    #[arg(long, global = true, env = "DROPMATE_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// A file with the bearer token.
    #[arg(long, global = true, env = "DROPMATE_TOKEN_FILE", value_name = "FILE", conflicts_with = "token")]
    token_file: Option<PathBuf>,
    /// The certificate authority to trust, as a PEM file.
    #[arg(long, global = true, env = "DROPMATE_CA", value_name = "FILE")]
    ca: Option<PathBuf>,
}

/// A control plane, and the namespace to work in.
#[derive(Clone)]
pub(crate) struct Connection {
    client: Client,
    /// The server's address, for messages.
    pub(crate) server: String,
    /// The namespace to work in.
    pub(crate) namespace: String,
    /// Whether the namespace was given by a flag rather than taken from the kubeconfig.
    pub(crate) namespace_given: bool,
}

/// A successful or refused answer, whole.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The status code.
    pub(crate) code: StatusCode,
    /// The body as JSON, or as text where it is none.
    pub(crate) body: Value,
    /// What the server warns of.
    pub(crate) warnings: Vec<String>,
}

/// A refusal, as the `Status` says it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Refusal {
    pub(crate) code: u16,
    pub(crate) reason: String,
    pub(crate) message: String,
    pub(crate) details: Box<RefusalDetails>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct RefusalDetails {
    pub(crate) kind: String,
    pub(crate) name: String,
    pub(crate) causes: Vec<RefusalCause>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct RefusalCause {
    pub(crate) reason: String,
    pub(crate) field: String,
    pub(crate) message: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.message.is_empty() {
            return write!(f, "the server answered {}", self.code);
        }
        f.write_str(&self.message)
    }
}

impl From<Refusal> for Failure {
    /// 4xx is a no; anything else, and a caller the server does not know, leaves the question open.
    fn from(refusal: Refusal) -> Self {
        match refusal.code {
            401 => Self::Unknown(anyhow!("the server does not know this caller: {refusal} (token or kubeconfig?)")),
            408 | 429 | 500.. => Self::Unknown(anyhow!("{refusal}")),
            _ => Self::No(refusal.to_string()),
        }
    }
}

impl Answer {
    /// The body of a success, or the refusal.
    pub(crate) fn accepted(self) -> Result<Value, Refusal> {
        if self.code.is_success() {
            return Ok(self.body);
        }
        let mut refusal = serde_json::from_value::<Refusal>(self.body.clone()).unwrap_or_default();
        if refusal.message.is_empty()
            && let Some(text) = self.body.as_str()
        {
            text.trim().clone_into(&mut refusal.message);
        }
        // Under `/v1` refusals are problems (RFC 9457).
        if refusal.message.is_empty()
            && let Some(detail) = self.body["detail"].as_str()
        {
            detail.clone_into(&mut refusal.message);
        }
        refusal.code = self.code.as_u16();
        Err(refusal)
    }
}

impl ConnectionArgs {
    /// The authority of `--ca`, as PEM.
    pub(crate) fn ca_text(&self) -> anyhow::Result<Option<String>> {
        let Some(path) = &self.ca else { return Ok(None) };
        certificates(path)?;
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        Ok(Some(text))
    }
}

impl Connection {
    /// Finds the server and prepares to talk to it; sends nothing yet.
    pub(crate) async fn open(args: &ConnectionArgs) -> Outcome<Self> {
        let mut config = match logged_in(args).await? {
            Some(config) => config,
            None => match kubeconfig_path(args)? {
                Some(source) => from_kubeconfig(args, source).await?,
                None => Config::new(args.server.clone().ok_or_else(no_server)?),
            },
        };
        if let Some(server) = &args.server {
            config.cluster_url.clone_from(server);
        }
        if let Some(token) = token(args)? {
            config.auth_info.token = Some(token.into());
            config.auth_info.token_file = None;
            config.auth_info.client_certificate_data = None;
            config.auth_info.client_key_data = None;
        }
        if let Some(ca) = &args.ca {
            config.root_cert = Some(certificates(ca)?);
        }
        if let Some(namespace) = &args.namespace {
            config.default_namespace.clone_from(namespace);
        }
        Self::over(config, args.namespace.is_some())
    }

    /// A server that does not know us yet. What goes there is secret, so it is HTTPS, or this machine.
    pub(crate) fn anonymous(server: &str, ca: Option<&str>) -> Outcome<Self> {
        let uri: http::Uri = server.parse().map_err(|_| Failure::No(format!("--server: {server:?} is no address")))?;
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
        let near = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
        if uri.scheme_str() != Some("https") && !near {
            return Err(Failure::No(format!("--server: {server}: passwords and sessions go over https:// only")));
        }
        Self::over(config_of(uri, ca)?, false)
    }

    /// The same server, as whoever has that token.
    pub(crate) fn bearing(server: &str, ca: Option<&str>, token: &str) -> Outcome<Self> {
        let mut config = config_of(server.parse()?, ca)?;
        config.auth_info.token = Some(token.to_owned().into());
        Self::over(config, false)
    }

    fn over(mut config: Config, namespace_given: bool) -> Outcome<Self> {
        config.connect_timeout = Some(CONNECT_TIMEOUT);
        // Every request has its own deadline; a watch may be silent for long.
        config.read_timeout = None;
        config.default_retry = false;
        let server = config.cluster_url.to_string().trim_end_matches('/').to_owned();
        let namespace = config.default_namespace.clone();
        let client = Client::try_from(config).with_context(|| format!("cannot use the configuration for {server}"))?;
        Ok(Self { client, server, namespace, namespace_given })
    }

    /// The path of our kinds in the namespace to work in.
    pub(crate) fn ours(&self) -> String {
        format!("/apis/{}/namespaces/{}", dropmate_api::API_VERSION, self.namespace)
    }

    /// GET.
    pub(crate) async fn get(&self, path: &str) -> Outcome<Answer> {
        self.send(Method::GET, path, "application/json", None).await
    }

    /// GET in the Table form.
    pub(crate) async fn get_table(&self, path: &str) -> Outcome<Answer> {
        self.send(Method::GET, path, TABLE, None).await
    }

    /// Sends a body. `content_type` is also what makes a PATCH one kind or the other.
    pub(crate) async fn write(&self, method: Method, path: &str, content_type: &str, body: &Value) -> Outcome<Answer> {
        let body = serde_json::to_vec(body)?;
        self.send(method, path, "application/json", Some((content_type, body))).await
    }

    /// POST of JSON.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> Outcome<Answer> {
        self.write(Method::POST, path, "application/json", body).await
    }

    /// DELETE.
    pub(crate) async fn delete(&self, path: &str) -> Outcome<Answer> {
        self.send(Method::DELETE, path, "application/json", None).await
    }

    async fn send(&self, method: Method, path: &str, accept: &str, body: Option<(&str, Vec<u8>)>) -> Outcome<Answer> {
        let mut request = request(method, path, accept);
        if let Some((content_type, _)) = &body {
            request = request.header(header::CONTENT_TYPE, *content_type);
        }
        let request = request.body(Body::from(body.map(|(_, body)| body).unwrap_or_default()))?;
        let exchange = async {
            let response = self.client.send(request).await?;
            let (parts, body) = response.into_parts();
            Ok::<_, kube::Error>((parts, body.collect_bytes().await?))
        };
        let (parts, bytes) = match tokio::time::timeout(REQUEST_TIMEOUT, exchange).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => return Err(self.unreachable(&error)),
            Err(_) => {
                let seconds = REQUEST_TIMEOUT.as_secs();
                return Err(anyhow!("{} did not answer within {seconds} s", self.server).into());
            }
        };
        let warnings = parts.headers.get_all(header::WARNING).iter().filter_map(|value| value.to_str().ok());
        Ok(Answer {
            code: parts.status,
            body: serde_json::from_slice(&bytes)
                .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&bytes).into_owned())),
            warnings: warnings.map(warning_text).collect(),
        })
    }

    /// A watch: lines of JSON until the server ends it. Refusals come as `Err(Refusal)` inside.
    pub(crate) async fn watch(
        &self,
        path: &str,
        table: bool,
    ) -> Outcome<Result<impl futures::AsyncBufRead + use<>, Refusal>> {
        let accept = if table { TABLE } else { "application/json" };
        let request = request(Method::GET, path, accept).body(Vec::new())?;
        match tokio::time::timeout(REQUEST_TIMEOUT, self.client.request_stream(request)).await {
            Ok(Ok(stream)) => Ok(Ok(stream)),
            Ok(Err(kube::Error::Api(status))) => Ok(Err(Refusal {
                code: status.code,
                reason: status.reason.clone(),
                message: status.message.clone(),
                details: Box::default(),
            })),
            Ok(Err(error)) => Err(self.unreachable(&error)),
            Err(_) => Err(anyhow!("{} did not answer in time", self.server).into()),
        }
    }

    fn unreachable(&self, error: &kube::Error) -> Failure {
        let cause = innermost(error);
        anyhow!("cannot reach {}: {cause}. Is the control plane running (`dropmate up`)?", self.server).into()
    }
}

fn request(method: Method, path: &str, accept: &str) -> http::request::Builder {
    Request::builder()
        .method(method)
        .uri(path)
        .header(header::ACCEPT, accept)
        .header(header::USER_AGENT, concat!("dropmate/", env!("CARGO_PKG_VERSION")))
}

/// The Table form, with JSON for servers or kinds that have none.
const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io, application/json";

/// Only the root cause says what a person can do something about.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}

/// `299 - "text"` → `text`.
fn warning_text(header: &str) -> String {
    let text = header.split_once('"').map_or(header, |(_, text)| text.strip_suffix('"').unwrap_or(text));
    text.replace("\\\"", "\"")
}

fn no_server() -> anyhow::Error {
    anyhow!(
        "no server to talk to: start one with `dropmate up`, or name one by KUBECONFIG, --kubeconfig or --server with --token and --ca"
    )
}

/// A server by itself, without a kubeconfig.
fn config_of(server: http::Uri, ca: Option<&str>) -> anyhow::Result<Config> {
    let plain = server.scheme_str() != Some("https");
    let mut config = Config::new(server);
    if let Some(ca) = ca {
        config.root_cert = Some(in_text(ca).context("cannot read the certificates of the authority")?);
    } else if plain {
        // Nothing to verify, and small containers have no authorities to load.
        config.root_cert = Some(Vec::new());
    }
    Ok(config)
}

/// The session of `dropmate login`, where nothing else says whom to talk to: with the server named or that of the last
/// login.
async fn logged_in(args: &ConnectionArgs) -> Outcome<Option<Config>> {
    let kubeconfig = args.kubeconfig.is_some() || env::var_os("KUBECONFIG").is_some_and(|paths| !paths.is_empty());
    if kubeconfig || args.context.is_some() || args.token.is_some() || args.token_file.is_some() {
        return Ok(None);
    }
    // Without a home there is no session.
    let sessions = Sessions::read().unwrap_or_default();
    let Some(server) = args.server.as_ref().map(session::normal).or_else(|| sessions.current.clone()) else {
        return Ok(None);
    };
    if !sessions.servers.contains_key(&server) {
        return Ok(None);
    }
    let session = session::fresh(&server).await?;
    let mut config = config_of(server.parse()?, session.ca.as_deref())?;
    config.auth_info.token = Some(session.access_token.into());
    Ok(Some(config))
}

/// Where the kubeconfig is, if there is one. `~/.kube/config` is left alone: it is about some cluster, not about us.
fn kubeconfig_path(args: &ConnectionArgs) -> anyhow::Result<Option<Vec<PathBuf>>> {
    if let Some(path) = &args.kubeconfig {
        return Ok(Some(vec![path.clone()]));
    }
    if let Some(paths) = env::var_os("KUBECONFIG").filter(|value| !value.is_empty()) {
        return Ok(Some(env::split_paths(&paths).filter(|path| !path.as_os_str().is_empty()).collect()));
    }
    if args.server.is_some() {
        return Ok(None);
    }
    let local = crate::commands::up::default_data_dir().ok_or_else(no_server)?.join("admin.kubeconfig");
    if local.exists() { Ok(Some(vec![local])) } else { Err(no_server()) }
}

async fn from_kubeconfig(args: &ConnectionArgs, paths: Vec<PathBuf>) -> anyhow::Result<Config> {
    let mut merged = Kubeconfig::default();
    for path in &paths {
        let next = Kubeconfig::read_from(path).with_context(|| format!("cannot use kubeconfig {}", path.display()))?;
        merged = merged.merge(next)?;
    }
    let options = KubeConfigOptions { context: args.context.clone(), ..KubeConfigOptions::default() };
    let names = paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ");
    Config::from_custom_kubeconfig(merged, &options).await.with_context(|| format!("cannot use kubeconfig {names}"))
}

fn token(args: &ConnectionArgs) -> anyhow::Result<Option<String>> {
    if let Some(path) = &args.token_file {
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        return Ok(Some(text.trim().to_owned()));
    }
    Ok(args.token.clone())
}

/// The certificates of a PEM file, as DER.
fn certificates(path: &Path) -> anyhow::Result<Vec<Vec<u8>>> {
    let context = || format!("cannot read certificates from {}", path.display());
    in_text(&std::fs::read_to_string(path).with_context(context)?).with_context(context)
}

fn in_text(pem: &str) -> anyhow::Result<Vec<Vec<u8>>> {
    use rustls::pki_types::{CertificateDer, pem::PemObject as _};
    let found = CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<Vec<_>, _>>()?;
    if found.is_empty() {
        return Err(anyhow!("there is no certificate in it"));
    }
    Ok(found.into_iter().map(|certificate| certificate.to_vec()).collect())
}

/// Escapes a value for a query string.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(byte.into()),
            _ => write!(out, "%{byte:02X}").expect("writing to a String cannot fail"),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_escaped() {
        assert_eq!(escape("status.phase=Ready,a!=b c"), "status.phase%3DReady%2Ca%21%3Db%20c");
    }

    #[test]
    fn a_warning_header_is_told_as_its_text() {
        assert_eq!(warning_text(r#"299 - "unknown field \"spec.bogus\"""#), r#"unknown field "spec.bogus""#);
    }
}
