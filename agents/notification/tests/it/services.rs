//! Servers of others: a mail server, and endpoints that keep what they are sent.

use std::{
    io::{BufRead, BufReader, Write},
    net::SocketAddr,
    path::PathBuf,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
        mpsc::{Receiver, channel},
    },
    time::Duration,
};

use axum::{
    Router,
    body::Bytes,
    extract::{OriginalUri, State},
    response::{IntoResponse, Response},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use http::{HeaderMap, Method, StatusCode};
use serde_json::{Value, json};

/// A loaded machine takes its time.
const PATIENCE: Duration = Duration::from_secs(30);

/// Python with what `.ci/prepare` has installed.
fn python(script: &str) -> Command {
    let python = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("../tools/services/bin/python");
    assert!(python.exists(), "{} is missing; .ci/prepare makes it", python.display());
    let mut command = Command::new(python);
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/services").join(script);
    command.arg("-u").arg(script).stdin(Stdio::null()).stdout(Stdio::piped());
    command
}

/// A mail server; killed with the value.
pub(crate) struct MailServer {
    process: Child,
    pub(crate) port: u16,
    mails: Receiver<Value>,
}

/// A mail as the server has taken it.
#[derive(Debug)]
pub(crate) struct Mail {
    pub(crate) told: Value,
    /// As it went over the wire.
    pub(crate) text: String,
}

impl MailServer {
    pub(crate) fn start(flags: &[&str]) -> Self {
        let mut process = python("mail_server.py").args(flags).spawn().unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let first: Value = serde_json::from_str(&lines.next().expect("it starts").unwrap()).unwrap();
        let (sender, mails) = channel();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                if sender.send(serde_json::from_str(&line).unwrap()).is_err() {
                    return;
                }
            }
        });
        Self { process, port: u16::try_from(first["port"].as_u64().unwrap()).unwrap(), mails }
    }

    /// The next mail.
    pub(crate) fn next(&self) -> Mail {
        let told = self.mails.recv_timeout(PATIENCE).expect("a mail comes");
        let data = BASE64_STANDARD.decode(told["data"].as_str().unwrap()).unwrap();
        Mail { told, text: String::from_utf8(data).unwrap() }
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.mails.try_recv().is_err()
    }

    /// Kills it; another may start at its port.
    pub(crate) fn kill(mut self) -> u16 {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        self.port
    }
}

impl Drop for MailServer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Mail {
    /// A header, unfolded.
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        let head = self.text.split("\r\n\r\n").next().unwrap().replace("\r\n ", " ").replace("\r\n\t", " ");
        let prefix = format!("{}:", name.to_lowercase());
        let line = head.split("\r\n").find(|line| line.to_lowercase().starts_with(&prefix))?;
        Some(line[prefix.len()..].trim().to_owned())
    }
}

/// The public library for Standard Webhooks, in another language.
pub(crate) struct Verifier {
    process: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

impl Verifier {
    pub(crate) fn start() -> Self {
        let mut process = python("verify_webhooks.py").stdin(Stdio::piped()).spawn().unwrap();
        let (to, from) = (process.stdin.take().unwrap(), BufReader::new(process.stdout.take().unwrap()));
        Self { process, to, from }
    }

    /// What it says of a request.
    pub(crate) fn verify(&mut self, secret: &str, request: &Received) -> Value {
        let headers: serde_json::Map<String, Value> =
            request.headers.iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap().into())).collect();
        let line = json!({"secret": secret, "headers": headers, "body": request.text()});
        writeln!(self.to, "{line}").unwrap();
        let mut answer = String::new();
        self.from.read_line(&mut answer).unwrap();
        serde_json::from_str(&answer).unwrap()
    }
}

impl Drop for Verifier {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A request that an endpoint got.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Received {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.to_vec()).unwrap()
    }
}

/// Says what is answered to a request.
type Script = Arc<dyn Fn(&Received) -> Response + Send + Sync>;

/// An endpoint on this machine that keeps what it gets.
#[derive(Clone)]
pub(crate) struct Endpoint {
    pub(crate) address: SocketAddr,
    received: Arc<Mutex<Vec<Received>>>,
    connections: Arc<AtomicUsize>,
}

#[derive(Clone)]
struct Serving {
    script: Script,
    received: Arc<Mutex<Vec<Received>>>,
}

impl Endpoint {
    pub(crate) async fn start(script: impl Fn(&Received) -> Response + Send + Sync + 'static) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (received, connections) = (Arc::<Mutex<Vec<Received>>>::default(), Arc::new(AtomicUsize::new(0)));
        let serving = Serving { script: Arc::new(script), received: received.clone() };
        let counted = connections.clone();
        let routes = Router::new().fallback(take).with_state(serving);
        tokio::spawn(async move {
            let listener = axum::serve::ListenerExt::tap_io(listener, move |_| {
                counted.fetch_add(1, Ordering::SeqCst);
            });
            axum::serve(listener, routes).await.unwrap();
        });
        Self { address, received, connections }
    }

    /// That answers always the same.
    pub(crate) async fn answering(status: StatusCode, body: &'static str) -> Self {
        Self::start(move |_| (status, body).into_response()).await
    }

    pub(crate) fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

async fn take(
    State(serving): State<Serving>,
    method: Method,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let received = Received { method, path: uri.to_string(), headers, body };
    serving.received.lock().unwrap().push(received.clone());
    (serving.script)(&received)
}
