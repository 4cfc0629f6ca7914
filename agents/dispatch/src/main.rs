//! `dropmate-dispatch`: the dispatch agent as a program of its own, over HTTPS.

use std::{process::ExitCode, sync::Arc};

use clap::Parser;
use dropmate_agent::{Admin, Args, Follower, Now, Reach, admin, clock::Reading, connect, program};
use dropmate_api::Clock;
use dropmate_dispatch::Config;
use prometheus_client::registry::Registry;
use tokio_util::sync::CancellationToken;

/// Where the admin port is found unless `--admin-listen` says otherwise.
const ADMIN_PORT: u16 = 7451;

/// The dispatch agent of DropMate: plans, and binds orders to drivers. One of several acts, the others stand by.
#[derive(Debug, clap::Parser)]
#[command(
    name = "dropmate-dispatch",
    version,
    after_help = "Examples:\n  \
        dropmate-dispatch --server https://127.0.0.1:7443 --token-file /var/lib/dropmate/tokens/dispatch.token \
        --ca-file /var/lib/dropmate/tls/ca.crt\n\n\
        It keeps nothing: --database-url and --redis-url are ignored.\n\
        Exit codes: 0 ended by a signal, 2 it could not start. A control plane that is not there is waited for."
)]
struct Cli {
    #[command(flatten)]
    args: Args,
}

fn main() -> ExitCode {
    let Cli { args } = Cli::parse();
    program::run(args.log.clone(), |shutdown| run(args, shutdown))
}

async fn run(args: Args, shutdown: CancellationToken) -> anyhow::Result<()> {
    #[expect(clippy::disallowed_methods, reason = "the process's one reading of the wall clock")]
    let now: Now = Arc::new(jiff::Timestamp::now);
    let client = connect(&args)?;
    let clock = Clock::real(now.clone());
    let config = Config {
        address: args.advertise_address.as_ref().and_then(|given| given.address()).map(str::to_owned),
        ..Config::new(clock.clone(), uuid::Uuid::new_v4().to_string())
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
    let (api, standing) = (reach.clone(), config.standing.clone());
    let checks: Vec<(&'static str, admin::Check)> =
        vec![("api", Box::new(move || api.check())), ("dispatch", Box::new(move || standing.check()))];
    tokio::spawn(admin::serve(listener, Admin { checks, registry }.routes(), shutdown.clone()));

    // Nothing is planned by a clock of our own: the first reading is waited for, and tells that the API is there.
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
    dropmate_dispatch::run(client, config, shutdown).await
}

fn of(reading: Reading) -> dropmate_api::clock::Reading {
    let Reading { at, uncertainty, business, speed } = reading;
    dropmate_api::clock::Reading { at, uncertainty, business, speed }
}
