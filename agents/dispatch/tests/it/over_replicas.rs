//! `dropmate-dispatch` at two control planes on one PostgreSQL database, each a process, behind one address.

use std::{
    io::{BufRead, BufReader, Write},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use clap::Parser;
use dropmate_api::{Clock, Order};
use dropmate_control_plane::{Args, Config, ControlPlane, bootstrap, install_crypto_provider};
use dropmate_testing::{Database, Proxy};
use kube::{
    Api, Client,
    api::{ListParams, PostParams},
    config::{KubeConfigOptions, Kubeconfig},
};
use serde_json::json;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::program::{
    Agent, PATIENCE, Witness, add_drivers, all_bound, driver_of, eventually, holder, lease, order, wall,
};

const ORDERS: usize = 60;
/// Between two orders of the flood.
const EVERY: Duration = Duration::from_millis(60);

/// The flags of a replica, one a line; set for its process alone.
const FLAGS: &str = "DROPMATE_TEST_REPLICA_FLAGS";
/// The test that is a replica's process.
const NAME: &str = "it::over_replicas::a_replica_serves_until_it_is_told_to_end";

#[derive(Debug, clap::Parser)]
struct Cli {
    #[command(flatten)]
    args: Args,
}

/// Run by itself, the replica is one on SQLite and ends once somebody has reached it. The test below starts it as a
/// process without an end, and kills it.
#[tokio::test(flavor = "multi_thread")]
async fn a_replica_serves_until_it_is_told_to_end() {
    install_crypto_provider();
    let alone = tempfile::tempdir().unwrap();
    let given = std::env::var(FLAGS).ok();
    let own = format!("--listen\n127.0.0.1:0\n--admin-listen\n127.0.0.1:0\n--data-dir\n{}", alone.path().display());
    let flags = given.as_ref().unwrap_or(&own);
    let cli = Cli::parse_from(["test"].into_iter().chain(flags.lines()));
    let plane = ControlPlane::open(Config::new(cli.args, Clock::real(wall())).unwrap()).await.unwrap();
    let url = plane.url().unwrap().to_owned();
    let stop = CancellationToken::new();
    let serving = tokio::spawn(plane.serve(stop.clone()));
    writeln!(std::io::stdout(), "\n{url}").unwrap();
    if given.is_none() {
        tokio::net::TcpStream::connect(url.trim_start_matches("https://")).await.unwrap();
        stop.cancel();
    }
    serving.await.unwrap().unwrap();
}

/// A replica in a process of its own, killed with the value.
struct Replica {
    child: Child,
    address: SocketAddr,
}

impl Replica {
    /// One with the certificate and the tokens in `secrets`.
    fn start(data: &Path, secrets: &Path, database: &Database) -> Self {
        let file = |name: &str| secrets.join(name).to_str().unwrap().to_owned();
        let flags = [
            ("--listen", "127.0.0.1:0".to_owned()),
            ("--admin-listen", "127.0.0.1:0".to_owned()),
            ("--data-dir", data.to_str().unwrap().to_owned()),
            ("--database-url", database.url()),
            ("--tls-cert", file("tls.crt")),
            ("--tls-key", file("tls.key")),
            ("--token-auth-file", file("tokens.csv")),
            ("--secrets-key-file", file("secrets.key")),
        ];
        let flags = flags.map(|(flag, value)| format!("{flag}\n{value}")).join("\n");
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", NAME, "--nocapture"])
            .env(FLAGS, flags)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let address = said.find_map(|line| line.strip_prefix("https://")?.parse().ok());
        Self { child, address: address.expect("the replica says where it serves") }
    }

    /// kill -9.
    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        // It may have been killed already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The operator at that address.
async fn operator(secrets: &Path, address: SocketAddr) -> Client {
    let kubeconfig = Kubeconfig::read_from(secrets.join("admin.kubeconfig")).unwrap();
    let mut config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
    config.cluster_url = format!("https://{address}").parse().unwrap();
    Client::try_from(config).unwrap()
}

/// Places all orders, each until it is in.
async fn flood(orders: Api<Order>) -> usize {
    let mut tries = 0;
    for n in 0..ORDERS {
        let order = order(&format!("o-{n:03}"), &json!({}));
        let in_time = Instant::now() + PATIENCE;
        loop {
            tries += 1;
            match orders.create(&PostParams::default(), &order).await {
                Ok(_) => break,
                // The answer to an earlier try was lost.
                Err(kube::Error::Api(status)) if status.reason == "AlreadyExists" => break,
                Err(error) => assert!(Instant::now() < in_time, "{error}"),
            }
            sleep(EVERY).await;
        }
        sleep(EVERY).await;
    }
    tries
}

#[tokio::test(flavor = "multi_thread")]
async fn when_its_server_is_killed_in_a_flood_it_goes_on_at_the_other_and_no_order_is_bound_twice() {
    install_crypto_provider();
    let dir = tempfile::tempdir().unwrap();
    let secrets = dir.path().join("secrets");
    let server = "https://127.0.0.1:7443".parse().unwrap();
    let wanted = bootstrap::Wanted { out: secrets.clone(), server, sans: Vec::new(), owner: None, database: None };
    bootstrap(&wanted, wall()()).unwrap();
    let database = Database::create().await;
    let everything = dropmate_control_plane::args::Database::Postgres { url: database.url() };
    dropmate_control_plane::migrations::migrate(&everything, &[], false).await.unwrap();
    let mut first = Replica::start(&dir.path().join("first"), &secrets, &database);
    let second = Replica::start(&dir.path().join("second"), &secrets, &database);
    let proxy = Proxy::start(first.address).await;

    let at_second = operator(&secrets, second.address).await;
    add_drivers(&at_second, ORDERS).await;
    let seen: Api<Order> = Api::default_namespaced(at_second.clone());
    let witness = Witness::watch(seen.clone());
    let url = format!("https://{}", proxy.address());
    let agent = Agent::start_with(&secrets.join("agents/dispatch.token"), &secrets.join("ca.crt"), &url, &[]);
    agent.ready(200, "leads").await;

    let flood = tokio::spawn(flood(Api::default_namespaced(operator(&secrets, proxy.address()).await)));
    eventually("some orders are bound", async || {
        let all = seen.list(&ListParams::default()).await.ok()?.items;
        (all.iter().filter(|order| driver_of(order).is_some()).count() > ORDERS / 6).then_some(())
    })
    .await;
    first.kill();
    assert!(!flood.is_finished(), "the flood is over before the kill");
    // Nobody answers for a moment, as until a load balancer has noticed.
    sleep(Duration::from_millis(500)).await;
    proxy.lead_to(second.address);

    assert!(flood.await.unwrap() > ORDERS, "nobody noticed the kill");
    assert_eq!(all_bound(&seen).await, ORDERS);
    witness.saw_each_bound_once(ORDERS).await;
    assert_eq!(holder(lease(&at_second).await), agent.identity, "it went on under its lease");
    agent.ready(200, "[+]api ok: answers").await;
}
