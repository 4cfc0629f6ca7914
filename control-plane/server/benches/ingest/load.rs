//! Phones that send, and the count of what arrived.

use std::{
    fmt::Write as _,
    fs::OpenOptions,
    io::Write as _,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use http::{Method, StatusCode};
use http_body_util::BodyExt;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::{
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval, sleep},
};

use crate::{
    client::{Client, json},
    figures::{memory, ms, percentile},
    server::{Kind, Server, spawn},
};

/// Drivers on the road.
const DRIVERS: usize = 2_000;
/// Connections that they share: a machine of two cores has to run both ends.
const CONNECTIONS: usize = 40;
/// Connections at full speed.
const FAST: usize = 16;
/// How often, and how long between, is asked whether the server knows the phones.
const TRIES: usize = 100;
const AGAIN_AFTER: Duration = Duration::from_millis(200);
/// The token by which arrivals are counted.
const TRACKING: &str = "tracking-bench";
/// Fixes of a request at full speed.
const BATCH: usize = 50;

fn token(driver: usize) -> String {
    format!("phone-{driver}")
}

/// Moments that no two fixes share, so that none is taken for another's duplicate.
struct Moments {
    base: Timestamp,
    next: AtomicU64,
}

/// What a part came to.
#[derive(Default)]
struct Sent {
    took: Vec<Duration>,
    fixes: u64,
}

/// Both parts on one server.
pub(crate) async fn run(kind: Kind, time: Duration) -> Result<()> {
    let line = |token: &str, user: &str| format!("{},{user}\n", hex::encode(Sha256::digest(token.as_bytes())));
    let mut callers = line(TRACKING, "system:serviceaccount:dropmate-system:tracking");
    for driver in 0..DRIVERS {
        callers += &line(&token(driver), &format!("system:driver:default:d{driver:04}"));
    }
    let server = Arc::new(Server::start(kind).await?);
    make_drivers(&server).await?;
    OpenOptions::new().append(true).open(server.dir.path().join("data/tokens.csv"))?.write_all(callers.as_bytes())?;
    known(&server).await?;
    println!(
        "{:<34} {:>9} {:>8} {:>8} {:>12} {:>10} {:>6}",
        "part", "fixes/s", "p50 ms", "p99 ms", "server us/fix", "db us/fix", "lost"
    );
    let clock = Arc::new(Moments { base: now(&server).await?, next: AtomicU64::new(0) });
    part(&server, "2,000 drivers, a fix each second", steady(&server, &clock, time)).await?;
    part(&server, "batches of 50, full speed", fast(&server, &clock, time)).await?;
    memory(&server, "after both");
    let server = Arc::into_inner(server).context("somebody still sends")?;
    killed(server, &clock, time / 4).await
}

/// Batches at full speed until the server is killed (-9); then it is started again, and what was acknowledged is counted.
async fn killed(mut server: Server, clock: &Arc<Moments>, time: Duration) -> Result<()> {
    let before = kept(&server).await?;
    let acknowledged = Arc::new(AtomicU64::new(0));
    let mut phones = JoinSet::new();
    for connection in 0..FAST {
        let (access, clock, acknowledged) = (server.access.clone(), clock.clone(), acknowledged.clone());
        phones.spawn(async move {
            let Ok(mut client) = Client::connect(&access).await else { return };
            client.access.token = token(connection);
            while send(&mut client, &clock, BATCH, &mut Sent::default()).await.is_ok() {
                acknowledged.fetch_add(BATCH as u64, Ordering::Relaxed);
            }
        });
    }
    sleep(time).await;
    server.child.kill()?;
    server.child.wait()?;
    while phones.join_next().await.is_some() {}
    let (child, address) = spawn(&server.dir.path().join("data"), server.database.as_ref())?;
    server.child = child;
    server.access.address = address;
    let (acknowledged, arrived) = (acknowledged.load(Ordering::Relaxed), kept(&server).await? - before);
    println!(
        "kill -9 under that load: {acknowledged} fixes acknowledged, {arrived} kept, {} lost",
        acknowledged.saturating_sub(arrived)
    );
    ensure!(arrived >= acknowledged, "fixes were acknowledged and lost");
    Ok(())
}

/// What the server takes for now.
async fn now(server: &Server) -> Result<Timestamp> {
    let clock = json(&Client::connect(&server.access).await?.get("/v1/clock").await?)?;
    Ok(clock["businessNow"].as_str().context("no clock")?.parse()?)
}

/// Waits until the server has read who the phones are, which it does within seconds.
async fn known(server: &Server) -> Result<()> {
    let mut client = Client::connect(&server.access).await?;
    client.access.token = token(DRIVERS - 1);
    for _ in 0..TRIES {
        let answer = client.open(Method::GET, "/v1/me/route", "application/json", Bytes::new(), None).await?;
        let status = answer.status();
        answer.into_body().collect().await?;
        if status == StatusCode::OK {
            return Ok(());
        }
        sleep(AGAIN_AFTER).await;
    }
    bail!("the server does not know the phones")
}

async fn make_drivers(server: &Arc<Server>) -> Result<()> {
    let mut tasks = JoinSet::new();
    for connection in 0..CONNECTIONS {
        let server = server.clone();
        tasks.spawn(async move {
            let mut client = Client::connect(&server.access).await?;
            for driver in (connection..DRIVERS).step_by(CONNECTIONS) {
                let body = json!({
                    "apiVersion": "dropmate.dev/v1", "kind": "Driver", "metadata": {"name": format!("d{driver:04}")},
                    "spec": {"displayName": "Driver"},
                });
                let path = "/apis/dropmate.dev/v1/namespaces/default/drivers";
                client.call(Method::POST, path, "application/json", body.to_string().into()).await?;
            }
            anyhow::Ok(())
        });
    }
    all(tasks).await.map(|_| ())
}

async fn all<T: 'static>(mut tasks: JoinSet<Result<T>>) -> Result<Vec<T>> {
    let mut done = Vec::new();
    while let Some(task) = tasks.join_next().await {
        done.push(task??);
    }
    Ok(done)
}

async fn part(server: &Server, what: &str, sending: impl Future<Output = Result<Sent>>) -> Result<()> {
    let (kept_before, cpu_before, began) = (kept(server).await?, server.cpu()?, Instant::now());
    let mut sent = sending.await?;
    let (wall, cpu) = (began.elapsed(), server.cpu()?.since(cpu_before));
    let arrived = kept(server).await? - kept_before;
    sent.took.sort_unstable();
    let micros = |time: Duration| ms(time) * 1_000.0 / sent.fixes as f64;
    println!(
        "{what:<34} {:>9.0} {:>8.2} {:>8.2} {:>12.1} {:>10.1} {:>6}",
        sent.fixes as f64 / wall.as_secs_f64(),
        ms(percentile(&sent.took, 50)),
        ms(percentile(&sent.took, 99)),
        micros(cpu.server),
        micros(cpu.database),
        i128::from(sent.fixes) - i128::from(arrived),
    );
    ensure!(arrived == sent.fixes, "{} fixes were acknowledged, and {arrived} are kept", sent.fixes);
    Ok(())
}

/// How many positions are kept.
async fn kept(server: &Server) -> Result<u64> {
    let mut client = Client::connect(&server.access).await?;
    TRACKING.clone_into(&mut client.access.token);
    let (mut count, mut after) = (0, 0);
    loop {
        let page = json(&client.get(&format!("/v1/internal/positions?after={after}&limit=5000")).await?)?;
        let found = page["positions"].as_array().map_or(0, Vec::len);
        if found == 0 {
            return Ok(count);
        }
        count += found as u64;
        after = page["next"].as_i64().context("no next")?;
    }
}

/// Each driver once a second.
async fn steady(server: &Arc<Server>, clock: &Arc<Moments>, time: Duration) -> Result<Sent> {
    let mut tasks = JoinSet::new();
    for connection in 0..CONNECTIONS {
        let (server, clock) = (server.clone(), clock.clone());
        tasks.spawn(async move {
            let mut client = Client::connect(&server.access).await?;
            let drivers: Vec<usize> = (connection..DRIVERS).step_by(CONNECTIONS).collect();
            let mut ticks = interval(Duration::from_secs(1) / u32::try_from(drivers.len())?);
            // A server that is behind gets what it missed: then the rate shows it.
            ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
            let (mut sent, until) = (Sent::default(), Instant::now() + time);
            for driver in drivers.iter().cycle() {
                ticks.tick().await;
                if Instant::now() >= until {
                    break;
                }
                client.access.token = token(*driver);
                send(&mut client, &clock, 1, &mut sent).await?;
            }
            Ok(sent)
        });
    }
    Ok(together(all(tasks).await?))
}

/// As fast as it goes.
async fn fast(server: &Arc<Server>, clock: &Arc<Moments>, time: Duration) -> Result<Sent> {
    let mut tasks = JoinSet::new();
    for connection in 0..FAST {
        let (server, clock) = (server.clone(), clock.clone());
        tasks.spawn(async move {
            let mut client = Client::connect(&server.access).await?;
            let (mut sent, until) = (Sent::default(), Instant::now() + time);
            for driver in (connection..DRIVERS).step_by(FAST).cycle() {
                if Instant::now() >= until {
                    break;
                }
                client.access.token = token(driver);
                send(&mut client, &clock, BATCH, &mut sent).await?;
            }
            Ok(sent)
        });
    }
    Ok(together(all(tasks).await?))
}

/// Sends so many fixes, each of a moment of its own.
async fn send(client: &mut Client, clock: &Moments, count: usize, sent: &mut Sent) -> Result<()> {
    let first = clock.next.fetch_add(count as u64, Ordering::Relaxed);
    let base = clock.base;
    let mut body = String::from("{\"positions\":[");
    for number in first..first + count as u64 {
        let at = base + SignedDuration::from_micros(i64::try_from(number)?);
        let comma = if number == first { "" } else { "," };
        write!(
            body,
            "{comma}{{\"at\":\"{at}\",\"latitude\":43.6503,\"longitude\":-79.3596,\"speedMetersPerSecond\":4.2,\"bearing\":90,\
             \"accuracyMeters\":8}}"
        )?;
    }
    body.push_str("]}");
    let began = Instant::now();
    let answer = client.call(Method::POST, "/v1/me/positions", "application/json", Bytes::from(body)).await?;
    sent.took.push(began.elapsed());
    let answer: Value = json(&answer)?;
    ensure!(answer["accepted"] == count, "{answer}");
    sent.fixes += count as u64;
    Ok(())
}

fn together(parts: Vec<Sent>) -> Sent {
    let mut all = Sent::default();
    for part in parts {
        all.took.extend(part.took);
        all.fixes += part.fixes;
    }
    all
}
