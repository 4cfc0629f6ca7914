//! `dropmate-tracking`: the tracking agent as a program of its own, over HTTPS.

use std::{fs::File, path::PathBuf, process::ExitCode, sync::Arc};

use anyhow::Context;
use clap::Parser;
use dropmate_agent::{Admin, Args, Follower, Now, Place, Reach, admin, clock::Reading, connect, program};
use dropmate_api::Clock;
use dropmate_tracking::{
    Config, Metrics, api,
    store::{FILE, Store},
    travel::{Source, TravelTimes},
};
use jiff::SignedDuration;
use prometheus_client::registry::Registry;
use tokio_util::sync::CancellationToken;

/// Where the admin port is found unless `--admin-listen` says otherwise.
const ADMIN_PORT: u16 = 7452;

/// The tracking agent of DropMate: history of positions, geofences, ETAs, timelines. One of several acts, the others
/// stand by.
#[derive(Debug, clap::Parser)]
#[command(
    name = "dropmate-tracking",
    version,
    after_help = "Examples:\n  \
        dropmate-tracking --server https://127.0.0.1:7443 --token-file /var/lib/dropmate/tokens/tracking.token \
        --ca-file /var/lib/dropmate/tls/ca.crt --data-dir /var/lib/dropmate-tracking\n  \
        dropmate-tracking … --database-url postgres://dropmate@db/dropmate --advertise-address tracking-0:7452\n\n\
        The database is brought up to date by `dropmate migrate`; a file in --data-dir by this program itself.\n\
        The admin port tells positions and timelines to whoever reaches it: it is for the control plane alone.\n\
        Exit codes: 0 ended by a signal, 2 it could not start. A control plane that is not there is waited for."
)]
struct Cli {
    #[command(flatten)]
    args: Args,
    /// Where tracking.db is kept if there is no --database-url; one process at a time
    #[arg(long, env = "DROPMATE_DATA_DIR", value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Where travel times are from: straight-line, osrm=URL or valhalla=URL
    #[arg(long, env = "DROPMATE_TRAVEL_TIMES", value_name = "SOURCE", default_value = "straight-line")]
    travel_times: Source,
    /// How long a travel-time server may take for one way
    #[arg(long, env = "DROPMATE_TRAVEL_TIMEOUT", value_name = "DURATION", default_value = "2s")]
    travel_timeout: SignedDuration,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    program::run(cli.args.log.clone(), |shutdown| run(cli, shutdown))
}

async fn run(cli: Cli, shutdown: CancellationToken) -> anyhow::Result<()> {
    let args = &cli.args;
    #[expect(clippy::disallowed_methods, reason = "the process's one reading of the wall clock")]
    let now: Now = Arc::new(jiff::Timestamp::now);
    let client = connect(args)?;
    let clock = Clock::real(now.clone());
    let metrics = Metrics::default();
    let travel_times = TravelTimes::new(&cli.travel_times, cli.travel_timeout.unsigned_abs(), metrics.clone())
        .context("--travel-times")?;
    let (store, _lock) = open(&cli).await?;
    let config = Config {
        address: args.advertise_address.as_ref().and_then(|given| given.address()).map(str::to_owned),
        ..Config::new(clock.clone(), uuid::Uuid::new_v4().to_string(), store.clone(), travel_times, metrics)
    };
    let reach = Reach::default();

    let listener = admin::bind(args.admin_listen, ADMIN_PORT).await?;
    tracing::info!(
        server = %args.server,
        admin = %format!("http://{}", listener.local_addr()?),
        identity = config.identity,
        "starting"
    );
    let mut registry = Registry::default();
    config.metrics.register(&mut registry);
    config.metrics.agent.register(&mut registry);
    let (server, standing) = (reach.clone(), config.standing.clone());
    let checks: Vec<(&'static str, admin::Check)> =
        vec![("api", Box::new(move || server.check())), ("tracking", Box::new(move || standing.check()))];
    let routes = Admin { checks, registry }.routes().merge(api::routes(store.clone()));
    tokio::spawn(admin::serve(listener, routes, shutdown.clone()));

    // Nothing is judged by a clock of our own: the first reading is waited for, and tells that the API is there.
    let follower = Follower { client: client.clone(), now, reach, shutdown: shutdown.clone() };
    let Some(reading) = follower.read().await else { return Ok(()) };
    clock.correct(&of(reading));
    let moved = config.clock_moved.clone();
    tokio::spawn(follower.follow(move |reading| {
        if clock.correct(&of(reading)) {
            tracing::info!(speed = clock.speed(), "the control plane's business clock was set; following it");
            moved.notify_one();
        }
    }));
    dropmate_tracking::run(client, config, shutdown).await?;
    store.close().await;
    Ok(())
}

/// Opens the database, or the file of the data dir with the lock that keeps other processes away from it.
async fn open(cli: &Cli) -> anyhow::Result<(Store, Option<File>)> {
    let keeps = "tracking keeps positions and timelines";
    match Place::of(&cli.args, cli.data_dir.as_deref(), FILE, "TRACKING.LOCK", keeps)? {
        Place::Postgres(url) => Ok((Store::postgres(&url).await?, None)),
        Place::File(file, lock) => Ok((Store::sqlite(&file).await?, Some(lock))),
    }
}

fn of(reading: Reading) -> dropmate_api::clock::Reading {
    let Reading { at, uncertainty, business, speed } = reading;
    dropmate_api::clock::Reading { at, uncertainty, business, speed }
}
