//! `dropmate-notification`: the notification agent as a program of its own, over HTTPS.

use std::{fs::File, path::PathBuf, process::ExitCode, sync::Arc};

use clap::Parser;
use dropmate_agent::{Admin, Args, Follower, Now, Place, Reach, admin, clock::Reading, connect, program};
use dropmate_api::Clock;
use dropmate_notification::{
    Config, ControlPlane, api,
    providers::{Flags, Providers, Setup},
    store::{FILE, Store},
    webhooks,
};
use prometheus_client::registry::Registry;
use tokio_util::sync::CancellationToken;

/// Where the admin port is found unless `--admin-listen` says otherwise.
const ADMIN_PORT: u16 = 7453;

/// The notification agent of DropMate: e-mail, SMS and webhooks. All of several send; one of them plans, the others stand
/// by.
#[derive(Debug, clap::Parser)]
#[command(
    name = "dropmate-notification",
    version,
    after_help = "Examples:\n  \
        dropmate-notification --server https://127.0.0.1:7443 --token-file /var/lib/dropmate/tokens/notification.token \
        --ca-file /var/lib/dropmate/tls/ca.crt --data-dir /var/lib/dropmate-notification\n  \
        dropmate-notification … --database-url postgres://dropmate@db/dropmate --advertise-address notification-0:7453 \
        --smtp-url smtps://shop@mail.example.org --smtp-password-file /run/secrets/smtp --mail-from shop@example.org\n\n\
        Without --smtp-url and --sms-account messages stay in an outbox that can be read: dropmate notifications list.\n\
        The database is brought up to date by `dropmate migrate`; a file in --data-dir by this program itself.\n\
        The admin port tells messages with their addresses to whoever reaches it: it is for the control plane alone.\n\
        Exit codes: 0 ended by a signal, 2 it could not start. A control plane that is not there is waited for."
)]
struct Cli {
    #[command(flatten)]
    args: Args,
    /// Where notification.db is kept if there is no --database-url; one process at a time
    #[arg(long, env = "DROPMATE_DATA_DIR", value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// How the control plane is reached from outside, https://HOST[:PORT]: SMS services call back there
    #[arg(long, env = "DROPMATE_PUBLIC_URL", value_name = "URL")]
    public_url: Option<String>,
    #[command(flatten)]
    channels: Flags,
    #[command(flatten)]
    way_out: dropmate_notification::WayOut,
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
    let settings = cli.channels.clone().checked(cli.public_url.as_deref().filter(|url| !url.is_empty()))?;
    let providers = Providers::new(Setup {
        client: client.clone(),
        guard: cli.way_out.guard()?,
        trust: cli.way_out.trust()?,
        now: now.clone(),
        settings,
    })?;
    let (store, _lock) = open(&cli).await?;
    let identity = uuid::Uuid::new_v4().to_string();
    let vault = Arc::new(ControlPlane::new(client.clone()));
    let config = Config {
        address: args.advertise_address.as_ref().and_then(|given| given.address()).map(str::to_owned),
        ..Config::new(clock.clone(), identity, store.clone(), Arc::new(providers.clone()), vault)
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
        vec![("api", Box::new(move || server.check())), ("notification", Box::new(move || standing.check()))];
    let desk = api::Desk { store: store.clone(), clock: clock.clone(), planned: config.planned.clone() };
    let endpoints =
        webhooks::Desk { store: store.clone(), clock: clock.clone(), planned: config.planned.clone(), providers };
    let routes = Admin { checks, registry }.routes().merge(api::routes(desk)).merge(webhooks::routes(endpoints));
    tokio::spawn(admin::serve(listener, routes, shutdown.clone()));

    // Nothing is judged by a clock of our own: the first reading is waited for, and tells that the API is there.
    let follower = Follower { client: client.clone(), now, reach, shutdown: shutdown.clone() };
    let Some(reading) = follower.read().await else { return Ok(()) };
    clock.correct(&of(reading));
    tokio::spawn(follower.follow(move |reading| {
        if clock.correct(&of(reading)) {
            tracing::info!(speed = clock.speed(), "the control plane's business clock was set; following it");
        }
    }));
    Box::pin(dropmate_notification::run(client, config, shutdown)).await?;
    store.close().await;
    Ok(())
}

/// Opens the database, or the file of the data dir with the lock that keeps other processes away from it.
async fn open(cli: &Cli) -> anyhow::Result<(Store, Option<File>)> {
    let keeps = "what is to be sent is written down before it is sent";
    match Place::of(&cli.args, cli.data_dir.as_deref(), FILE, "NOTIFICATION.LOCK", keeps)? {
        Place::Postgres(url) => Ok((Store::postgres(&url).await?, None)),
        Place::File(file, lock) => Ok((Store::sqlite(&file).await?, Some(lock))),
    }
}

fn of(reading: Reading) -> dropmate_api::clock::Reading {
    let Reading { at, uncertainty, business, speed } = reading;
    dropmate_api::clock::Reading { at, uncertainty, business, speed }
}
