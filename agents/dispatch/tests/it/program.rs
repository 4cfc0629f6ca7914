//! `dropmate-dispatch` as its users have it: a process with flags and files, over HTTPS to a server on a data dir.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use clap::Parser;
use dropmate_api::{Clock, DispatchPolicy, Driver, Order};
use dropmate_control_plane::{Config, ControlPlane, install_crypto_provider};
use futures::StreamExt;
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use kube::{
    Api, Client, ResourceExt,
    api::{ListParams, PostParams},
    runtime::{WatchStreamExt, watcher},
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// A loaded machine takes its time; a test that needs longer is stuck.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);

#[derive(Debug, clap::Parser)]
struct Cli {
    #[command(flatten)]
    args: dropmate_control_plane::Args,
}

/// A control plane on a port and a data dir of its own.
pub(crate) struct Server {
    pub(crate) dir: TempDir,
    /// `https://127.0.0.1:PORT`.
    pub(crate) url: String,
    plane: ControlPlane,
    stop: CancellationToken,
    running: JoinHandle<anyhow::Result<()>>,
}

impl Server {
    /// One whose business clock is the wall clock.
    pub(crate) async fn start() -> Self {
        Self::start_with(Clock::real(wall())).await
    }

    pub(crate) async fn start_with(clock: Clock) -> Self {
        install_crypto_provider();
        Self::start_at(tempfile::tempdir().unwrap(), "127.0.0.1:0", clock).await
    }

    async fn start_at(dir: TempDir, listen: &str, clock: Clock) -> Self {
        let flags = ["test", "--listen", listen, "--admin-listen", "127.0.0.1:0", "--data-dir"];
        let cli = Cli::parse_from(flags.into_iter().chain([dir.path().to_str().unwrap()]));
        let plane = ControlPlane::open(Config::new(cli.args, clock).unwrap()).await.unwrap();
        let stop = CancellationToken::new();
        let running = tokio::spawn(plane.clone().serve(stop.clone()));
        let url = plane.url().unwrap().to_owned();
        Self { dir, url, plane, stop, running }
    }

    /// Ends it, and says what is needed to start it again: data dir and address.
    pub(crate) async fn end(self) -> (TempDir, String) {
        self.stop.cancel();
        self.running.await.unwrap().unwrap();
        (self.dir, self.url.trim_start_matches("https://").to_owned())
    }

    /// Starts it again where it was.
    pub(crate) async fn again((dir, listen): (TempDir, String), clock: Clock) -> Self {
        Self::start_at(dir, &listen, clock).await
    }

    pub(crate) fn clock(&self) -> &Clock {
        self.plane.clock()
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(self.plane.in_process("operator"), "default")
    }

    pub(crate) fn orders(&self) -> Api<Order> {
        Api::default_namespaced(self.client())
    }

    pub(crate) async fn add_drivers(&self, count: usize) {
        add_drivers(&self.client(), count).await;
    }

    /// An order with `more` in its spec.
    pub(crate) async fn add_order(&self, name: &str, more: Value) {
        create_order(&self.orders(), name, more).await;
    }

    pub(crate) async fn bound(&self, name: &str) -> Order {
        let orders = self.orders();
        eventually(name, async || orders.get(name).await.ok().filter(|order| driver_of(order).is_some())).await
    }

    pub(crate) async fn all_bound(&self) -> usize {
        all_bound(&self.orders()).await
    }

    pub(crate) async fn lease(&self) -> Lease {
        lease(&self.client()).await
    }

    pub(crate) async fn leader(&self) -> String {
        holder(self.lease().await)
    }

    /// Runs an agent for this server.
    pub(crate) fn agent(&self, more: &[&str]) -> Agent {
        Agent::start(self.dir.path(), &self.url, more)
    }

    pub(crate) fn token_file(&self) -> PathBuf {
        self.dir.path().join("tokens/dispatch.token")
    }
}

/// Drivers around the middle of the town, and a policy by which they are told at once.
pub(crate) async fn add_drivers(client: &Client, count: usize) {
    let policies: Api<DispatchPolicy> = Api::default_namespaced(client.clone());
    let policy = json!({
        "apiVersion": "dropmate.dev/v1", "kind": "DispatchPolicy", "metadata": {"name": "default"},
        "spec": {"mode": "Nearest"},
    });
    policies.create(&PostParams::default(), &serde_json::from_value(policy).unwrap()).await.unwrap();
    let drivers: Api<Driver> = Api::default_namespaced(client.clone());
    for n in 0..count {
        let driver = json!({
            "apiVersion": "dropmate.dev/v1", "kind": "Driver", "metadata": {"name": format!("d-{n:03}")},
            "spec": {"displayName": "D", "startLocation": at(0.01 * n as f64)},
        });
        drivers.create(&PostParams::default(), &serde_json::from_value(driver).unwrap()).await.unwrap();
    }
}

/// Waits until every order is bound; how many there are.
pub(crate) async fn all_bound(orders: &Api<Order>) -> usize {
    eventually("every order is bound", async || {
        let all = orders.list(&ListParams::default()).await.ok()?.items;
        all.iter().all(|order| driver_of(order).is_some()).then_some(all.len())
    })
    .await
}

pub(crate) async fn lease(client: &Client) -> Lease {
    let leases: Api<Lease> = Api::namespaced(client.clone(), "dropmate-system");
    leases.get("dispatch").await.unwrap()
}

pub(crate) fn holder(lease: Lease) -> String {
    lease.spec.unwrap().holder_identity.unwrap_or_default()
}

pub(crate) async fn create_order(orders: &Api<Order>, name: &str, more: Value) {
    orders.create(&PostParams::default(), &order(name, &more)).await.unwrap();
}

/// An order with `more` in its spec.
pub(crate) fn order(name: &str, more: &Value) -> Order {
    let mut spec = json!({
        "pickup": {"address": "12 Mill St", "location": at(0.0)},
        "dropoff": {"address": "88 Queens Quay", "location": at(2.0)},
        "recipient": {"name": "Ada"},
    });
    spec.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
    let order = json!({"apiVersion": "dropmate.dev/v1", "kind": "Order", "metadata": {"name": name}, "spec": spec});
    serde_json::from_value(order).unwrap()
}

fn at(north: f64) -> Value {
    json!({"latitude": 43.65 + north / 111.2, "longitude": -79.38})
}

pub(crate) fn driver_of(order: &Order) -> Option<&str> {
    order.status.as_ref()?.assignment.as_ref()?.driver_name.as_deref()
}

#[expect(clippy::disallowed_methods, reason = "as the program's own clock")]
pub(crate) fn wall() -> dropmate_api::clock::Now {
    Arc::new(Timestamp::now)
}

/// Every binding that any order ever had, by what was seen of each of its versions.
#[derive(Clone, Default)]
pub(crate) struct Witness {
    bindings: Arc<Mutex<BTreeMap<String, BTreeSet<String>>>>,
}

impl Witness {
    pub(crate) fn watch(orders: Api<Order>) -> Self {
        let witness = Self::default();
        let seen = witness.bindings.clone();
        tokio::spawn(async move {
            let versions = watcher(orders, watcher::Config::default()).default_backoff().applied_objects();
            let mut versions = std::pin::pin!(versions);
            while let Some(version) = versions.next().await {
                let Ok(order) = version else { continue };
                let Some(assignment) = order.status.as_ref().and_then(|status| status.assignment.as_ref()) else {
                    continue;
                };
                let binding =
                    format!("{:?} {:?} {}", assignment.driver_name, assignment.bound_at, assignment.generation);
                seen.lock().unwrap().entry(order.name_any()).or_default().insert(binding);
            }
        });
        witness
    }

    /// Asserts that so many orders were bound, each exactly once.
    pub(crate) async fn saw_each_bound_once(&self, orders: usize) {
        eventually("the witness has seen everything", async || {
            (self.bindings.lock().unwrap().len() == orders).then_some(())
        })
        .await;
        for (order, bindings) in self.bindings.lock().unwrap().iter() {
            assert_eq!(bindings.len(), 1, "{order}: {bindings:?}");
        }
    }
}

/// A running `dropmate-dispatch`, killed with the value.
pub(crate) struct Agent {
    child: Child,
    log: Arc<Mutex<Vec<Value>>>,
    /// `127.0.0.1:PORT`.
    pub(crate) admin: String,
    pub(crate) identity: String,
}

/// How the program ended, and what it logged or said.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) said: String,
}

/// The program, on a free admin port unless the flags say more.
fn program(flags: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dropmate-dispatch"));
    if !flags.contains(&"--admin-listen") {
        command.args(["--admin-listen", "127.0.0.1:0"]);
    }
    command.args(flags);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

/// Runs the program to its end, which it must find by itself.
pub(crate) fn run(flags: &[&str]) -> Ended {
    let output = program(flags).output().unwrap();
    Ended { code: output.status.code(), said: String::from_utf8_lossy(&output.stderr).into_owned() }
}

impl Agent {
    /// Runs one for the server at `url` with that data dir, whether it runs or not.
    pub(crate) fn start(data_dir: &Path, url: &str, more: &[&str]) -> Self {
        Self::start_with(&data_dir.join("tokens/dispatch.token"), &data_dir.join("tls/ca.crt"), url, more)
    }

    /// Runs one with that token and that authority.
    pub(crate) fn start_with(token: &Path, ca: &Path, url: &str, more: &[&str]) -> Self {
        let [token, ca] = [token, ca].map(|path| path.to_str().unwrap());
        let flags = ["--server", url, "--token-file", token, "--ca-file", ca];
        let mut child = program(&[&flags, more].concat()).spawn().expect("the agent starts");
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let log: Arc<Mutex<Vec<Value>>> = Arc::default();
        let mut started = Value::Null;
        while started["message"] != "starting" {
            let line = lines.next().expect("the agent says that it starts").unwrap();
            started = serde_json::from_str(&line).unwrap_or_else(|_| panic!("no JSON: {line}"));
            log.lock().unwrap().push(started.clone());
        }
        let kept = log.clone();
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let line = serde_json::from_str(&line).unwrap_or(Value::String(line));
                kept.lock().unwrap().push(line);
            }
        });
        let text = |field: &str| started[field].as_str().unwrap().to_owned();
        let admin = text("admin").trim_start_matches("http://").to_owned();
        Self { child, log, admin, identity: text("identity") }
    }

    /// What `GET` answers on the admin port; nothing while the process does not run.
    pub(crate) fn get(&self, path: &str) -> Option<String> {
        let mut stream = TcpStream::connect(&self.admin).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
        write!(stream, "GET {path} HTTP/1.1\r\nhost: agent\r\nconnection: close\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer)
    }

    /// Waits until `/readyz` answers with that code and says that.
    pub(crate) async fn ready(&self, code: u16, says: &str) {
        eventually(&format!("/readyz {code} {says}"), async || {
            let answer = self.get("/readyz")?;
            (answer.starts_with(&format!("HTTP/1.1 {code} ")) && answer.contains(says)).then_some(())
        })
        .await;
    }

    /// Waits until a line of the log contains that.
    pub(crate) async fn logs(&self, text: &str) -> String {
        eventually(&format!("a log line with {text}"), async || {
            self.log.lock().unwrap().iter().map(Value::to_string).find(|line| line.contains(text))
        })
        .await
    }

    /// kill -SIGNAL.
    pub(crate) fn signal(&self, signal: &str) {
        let status = Command::new("kill").args(["-s", signal, &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    /// Waits for its end by itself.
    pub(crate) async fn ended(mut self) -> Option<i32> {
        let child = &mut self.child;
        let status = eventually("the agent ends", async || child.try_wait().unwrap()).await;
        status.code()
    }

    /// kill -9.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            for line in self.log.lock().unwrap().iter() {
                eprintln!("{}: {line}", self.identity);
            }
        }
    }
}

/// Tries until it gives something, within limits.
pub(crate) async fn eventually<T>(what: &str, mut attempt: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = attempt().await {
            return found;
        }
        assert!(Instant::now() < deadline, "{what}: not within {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
