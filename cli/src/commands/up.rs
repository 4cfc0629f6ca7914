//! `dropmate up`: the whole of DropMate in one process.
//!
//! The control plane over the data dir, the agents beside it talking to its router without a socket, and on request a
//! sample business and simulated drivers.

mod demo;
mod notification;
mod story;
mod tracking;

use std::{path::PathBuf, process, sync::Arc, time::Duration};

use anyhow::{Context as _, anyhow};
use clap::Args;
use dropmate_api::Clock;
use dropmate_control_plane::{Config, ControlPlane};
use jiff::{SignedDuration, Timestamp};
use kube::Client;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
    task::JoinSet,
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

use crate::{
    failure::{Failure, Outcome},
    output,
};

/// How long agents and simulated drivers get to finish what they are writing and to give back their leases; the server
/// drains after them, and both fit into the 30 s that supervisors allow.
const AGENTS_STOP_WITHIN: Duration = Duration::from_secs(8);
/// How long the server may drain.
const SERVER_STOP_WITHIN: Duration = Duration::from_secs(20);
/// The business clock may be at most this much faster; beyond it a tick of the planner is more than an hour.
const MAX_SPEED: f64 = 3600.0;

/// Start DropMate: control plane, agents and, if you like, a business to look at.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  dropmate up                                   # kept in your data folder; Ctrl-C ends it
  dropmate up --demo --speed 60                 # a town whose orders are delivered before your eyes
  dropmate up --simulate-drivers --speed 60 --start-time 2026-01-05T10:00:00Z
  dropmate up --listen 127.0.0.1:0 --data-dir /tmp/try
  dropmate up --demo --speed 60 --until-delivered 1   # ends with 0 after the first delivered order

The first line on standard output is the address. Exit codes: 0 ended as asked, 1 not so many orders were
delivered in time or another process has the data dir, 2 it could not start.")]
pub(crate) struct UpArgs {
    #[command(flatten)]
    server: dropmate_control_plane::Args,
    #[command(flatten)]
    business: BusinessArgs,
    #[command(flatten)]
    channels: dropmate_notification::providers::Flags,
}

#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Agents and business")]
struct BusinessArgs {
    /// Which agents run in this process: all, none, or a list.
    #[arg(long, env = "DROPMATE_AGENTS", value_name = "all|none|LIST", default_value = "all", value_parser = agents)]
    agents: Agents,
    /// Add a sample business: a depot, a dozen drivers and a stream of orders. Implies --simulate-drivers.
    #[arg(long, env = "DROPMATE_DEMO")]
    demo: bool,
    /// Drive every Driver as a phone would: move along the route and report.
    #[arg(long, env = "DROPMATE_SIMULATE_DRIVERS")]
    simulate_drivers: bool,
    /// How many times as fast as life business time runs.
    #[arg(long, env = "DROPMATE_SPEED", value_name = "N", default_value_t = 1.0, value_parser = speed)]
    speed: f64,
    /// Where tracking takes travel times from: straight-line, osrm=URL or valhalla=URL.
    #[arg(long, env = "DROPMATE_TRAVEL_TIMES", value_name = "SOURCE", default_value = "straight-line")]
    travel_times: dropmate_tracking::travel::Source,
    /// How long a travel-time server may take for one way.
    #[arg(long, env = "DROPMATE_TRAVEL_TIMEOUT", value_name = "DURATION", default_value = "2s")]
    travel_timeout: SignedDuration,
    /// When business time starts; now, unless told otherwise.
    #[arg(long, env = "DROPMATE_START_TIME", value_name = "TIME")]
    start_time: Option<Timestamp>,
    /// The seed of the demo and of the simulated drivers.
    #[arg(long, env = "DROPMATE_SEED", default_value_t = 1)]
    seed: u64,
    /// End with 0 once this many orders were delivered.
    #[arg(long, env = "DROPMATE_UNTIL_DELIVERED", value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    until_delivered: Option<u64>,
    /// With --until-delivered: end with 1 after this long (system time).
    #[arg(long, env = "DROPMATE_WITHIN", value_name = "DURATION", default_value = "3m", requires = "until_delivered")]
    within: SignedDuration,
    /// What to log on standard error, as JSON: a level, or levels by module. [default: RUST_LOG, else info, or warn with --demo]
    #[arg(long, env = "DROPMATE_LOG_LEVEL", value_name = "FILTER", value_parser = filter)]
    log_level: Option<String>,
}

/// Which agents run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Agents {
    dispatch: bool,
    tracking: bool,
    notification: bool,
}

fn agents(text: &str) -> Result<Agents, String> {
    let mut agents = Agents::default();
    match text {
        "all" => agents = Agents { dispatch: true, tracking: true, notification: true },
        "none" => {}
        list => {
            for name in list.split(',').map(str::trim).filter(|name| !name.is_empty()) {
                match name {
                    "dispatch" => agents.dispatch = true,
                    "tracking" => agents.tracking = true,
                    "notification" => agents.notification = true,
                    _ => {
                        return Err(format!(
                            "there is no agent {name:?}; there are dispatch, tracking and notification"
                        ));
                    }
                }
            }
        }
    }
    Ok(agents)
}

/// Checked here, so that a typo is told at once and by its flag.
fn filter(text: &str) -> Result<String, String> {
    EnvFilter::try_new(text).map(|_| text.to_owned()).map_err(|error| error.to_string())
}

fn speed(text: &str) -> Result<f64, String> {
    let speed = text.parse::<f64>().ok().filter(|speed| *speed > 0.0 && *speed <= MAX_SPEED);
    speed.ok_or_else(|| format!("must be a number above 0 and at most {MAX_SPEED}"))
}

/// Where a local control plane keeps its data unless told otherwise.
pub(crate) fn default_data_dir() -> Option<PathBuf> {
    let told = std::env::var_os("DROPMATE_DATA_DIR").filter(|dir| !dir.is_empty()).map(PathBuf::from);
    told.or_else(dropmate_control_plane::args::default_data_dir)
}

/// Runs until a signal, or until as many orders were delivered as asked for.
pub(crate) async fn run(args: UpArgs) -> Outcome {
    let UpArgs { server, business, channels } = args;
    let way_out = server.way_out.clone();
    let public_url = server.public_url.clone().filter(|url| !url.is_empty());
    let simulate = business.demo || business.simulate_drivers;
    log(business.log_level.as_deref(), business.demo);

    let clock = clock(&business);
    let control_plane =
        ControlPlane::open(Config::new(server, clock.clone())?.migrating()).await.map_err(could_not_open)?;
    let tracking = if business.agents.tracking {
        Some(tracking::Tracking::open(&control_plane, &business).await.map_err(could_not_open)?)
    } else {
        None
    };
    let notification = if business.agents.notification {
        let opened =
            notification::Notification::open(&control_plane, &clock, channels, &way_out, public_url.as_deref()).await;
        Some(opened.map_err(could_not_open)?)
    } else {
        None
    };
    let url = control_plane.url().context("an opened control plane has an address")?.to_owned();
    let hints = hints(&control_plane, &business);

    let (stop_agents, stop_server) = (CancellationToken::new(), CancellationToken::new());
    let mut server = tokio::spawn(control_plane.clone().serve(stop_server.clone()));
    // Whoever has read the first line may end us at once.
    let stop = listen()?;
    // The first line is an interface: programs that start us on port 0 read it.
    output::tell(&url);
    if output::is_terminal() || business.demo {
        output::tell(&hints);
    }

    let mut tasks: JoinSet<anyhow::Result<()>> = JoinSet::new();
    if business.agents.dispatch {
        let client = client(&control_plane, "dispatch");
        let config = dropmate_dispatch::Config::new(clock.clone(), uuid::Uuid::new_v4().to_string());
        control_plane.register_metrics(|registry| {
            config.metrics.register(registry);
            config.metrics.agent.register(registry);
        });
        tasks.spawn(dropmate_dispatch::run(client, config, stop_agents.clone()));
    }
    let mut kept = None;
    if let Some(tracking) = tracking {
        kept = Some(tracking.store());
        tasks.spawn(tracking.run(&control_plane, clock.clone(), stop_agents.clone()));
    }
    let mut sent = None;
    if let Some(notification) = notification {
        sent = Some(notification.store());
        tasks.spawn(notification.run(stop_agents.clone()));
    }
    if simulate {
        let client = client(&control_plane, "simulation");
        let plane = control_plane.clone();
        // As a phone that was paired with the Driver.
        let as_driver: dropmate_simulation::drivers::AsDriver = Arc::new(move |namespace, driver| {
            Client::new(plane.in_process(&format!("system:driver:{namespace}:{driver}")), namespace)
        });
        tasks.spawn(demo::drive(client, as_driver, clock.clone(), business.seed, stop_agents.clone()));
    }
    let operator = Client::new(control_plane.in_process(dropmate_api::roles::OPERATOR), "default");
    if business.demo {
        tasks.spawn(demo::business(operator.clone(), clock.clone(), business.seed, stop_agents.clone()));
    }
    let (count, delivered) = watch::channel(0);
    if business.demo || output::is_terminal() || business.until_delivered.is_some() {
        tasks.spawn(story::tell(operator, clock.clone(), count, stop_agents.clone()));
    }

    let end = tokio::select! {
        biased;
        () = heard(stop) => Ok(()),
        ended = &mut server => return Err(ended_early("the server", ended)),
        Some(ended) = tasks.join_next(), if !tasks.is_empty() => Err(ended_early("an agent", ended)),
        reached = goal(delivered, &business) => reached,
    };

    // A second signal does not wait: the store survives it as it survives kill -9.
    tokio::spawn(async {
        if signals().await.is_ok() {
            process::exit(2);
        }
    });
    stop_agents.cancel();
    let stopped = timeout(AGENTS_STOP_WITHIN, async { while tasks.join_next().await.is_some() {} }).await;
    if stopped.is_err() {
        tracing::warn!("agents did not stop in time");
        tasks.abort_all();
    }
    if let Some(kept) = kept {
        kept.close().await;
    }
    if let Some(sent) = sent {
        sent.close().await;
    }
    stop_server.cancel();
    match timeout(SERVER_STOP_WITHIN, server).await {
        Ok(ended) => ended.context("the server panicked")?.context("the server did not end well")?,
        Err(_) => return Err(anyhow!("the server did not drain within {} s", SERVER_STOP_WITHIN.as_secs()).into()),
    }
    end
}

fn clock(args: &BusinessArgs) -> Clock {
    #[expect(clippy::disallowed_methods, reason = "the one reading of the wall clock in this process")]
    let now: dropmate_api::clock::Now = Arc::new(Timestamp::now);
    match (args.start_time, args.speed) {
        (None, 1.0) => Clock::real(now),
        (start, speed) => {
            let start = start.unwrap_or_else(|| now());
            Clock::scaled(now, start, speed)
        }
    }
}

/// The flag, else RUST_LOG, else what suits: the story of a demo shall not drown in log lines.
fn log(filter: Option<&str>, demo: bool) {
    let otherwise = || EnvFilter::new(if demo { "warn" } else { "info" });
    let filter =
        filter.map(EnvFilter::new).or_else(|| EnvFilter::try_from_default_env().ok()).unwrap_or_else(otherwise);
    tracing_subscriber::fmt().json().flatten_event(true).with_env_filter(filter).with_writer(std::io::stderr).init();
}

/// An agent's client: the router itself, as the agent's service account.
fn client(control_plane: &ControlPlane, agent: &str) -> Client {
    let user = format!("system:serviceaccount:{}:{agent}", dropmate_api::SYSTEM_NAMESPACE);
    Client::new(control_plane.in_process(&user), dropmate_api::SYSTEM_NAMESPACE)
}

fn could_not_open(error: anyhow::Error) -> Failure {
    match dropmate_control_plane::exit_code(&error) {
        1 => Failure::No(format!("{error:#}")),
        _ => Failure::Unknown(error),
    }
}

fn ended_early(what: &str, ended: Result<anyhow::Result<()>, tokio::task::JoinError>) -> Failure {
    let error = match ended {
        Ok(Ok(())) => anyhow!("{what} ended by itself"),
        Ok(Err(error)) => error.context(format!("{what} failed")),
        Err(error) => anyhow::Error::new(error).context(format!("{what} panicked")),
    };
    Failure::Unknown(error)
}

/// Waits for SIGTERM or Ctrl-C.
pub(crate) async fn signals() -> std::io::Result<()> {
    heard(listen()?).await;
    Ok(())
}

/// From here on SIGTERM and Ctrl-C do not end the process by themselves.
fn listen() -> std::io::Result<[Signal; 2]> {
    Ok([signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?])
}

async fn heard([mut terminate, mut interrupt]: [Signal; 2]) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

/// Waits for as many deliveries as asked for, or for the end of the time given.
async fn goal(mut delivered: watch::Receiver<u64>, args: &BusinessArgs) -> Outcome {
    let Some(wanted) = args.until_delivered else { return std::future::pending().await };
    let reached = timeout(args.within.unsigned_abs(), delivered.wait_for(|count| *count >= wanted)).await;
    match reached.map(|count| count.is_ok()) {
        Ok(true) => Ok(()),
        // The teller went; what ended it is told elsewhere.
        Ok(false) => std::future::pending().await,
        Err(_) => {
            let count = *delivered.borrow();
            Err(Failure::No(format!("{count} of {wanted} orders were delivered within {:#}", args.within)))
        }
    }
}

/// What to do next, for people.
fn hints(control_plane: &ControlPlane, args: &BusinessArgs) -> String {
    let mut lines = Vec::new();
    if let Some(kubeconfig) = control_plane.kubeconfig() {
        lines.push("In another terminal:".to_owned());
        lines.push(format!("  export KUBECONFIG={}", kubeconfig.display()));
        let namespace = if args.demo { format!("-n {}", demo::NAMESPACE) } else { "-A".to_owned() };
        lines.push(format!("  dropmate get orders {namespace} -w      # or: kubectl get orders {namespace} -w"));
    }
    if (args.speed - 1.0).abs() > f64::EPSILON {
        lines.push(format!("Business time runs {} times as fast as life.", args.speed));
    }
    lines.push("Ctrl-C ends it.".to_owned());
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agents_are_named_or_all_or_none() {
        let told = |text| agents(text).map(|agents| (agents.dispatch, agents.tracking, agents.notification));
        assert_eq!(told("all"), Ok((true, true, true)));
        assert_eq!(told("none"), Ok((false, false, false)));
        assert_eq!(told("dispatch"), Ok((true, false, false)));
        assert_eq!(told("tracking, dispatch"), Ok((true, true, false)));
        assert_eq!(told("notification"), Ok((false, false, true)));
        assert!(agents("dispach").is_err());
    }

    #[test]
    fn time_neither_stands_still_nor_runs_backwards() {
        for wrong in ["0", "-1", "inf", "nan", "1e9", "fast"] {
            assert!(speed(wrong).is_err(), "{wrong}");
        }
        assert_eq!(speed("60"), Ok(60.0));
    }
}
