//! `dropmate-control-plane`: the server alone; agents connect to it from outside.

use std::{io::Write, process::ExitCode, sync::Arc};

use clap::Parser;
use dropmate_api::Clock;
use dropmate_control_plane::{Args, Config, ControlPlane, exit_code, install_crypto_provider};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The control plane of DropMate: the Kubernetes-compatible API over a durable store, without agents.
#[derive(Debug, clap::Parser)]
#[command(
    name = "dropmate-control-plane",
    version,
    after_help = "Examples:\n  \
        dropmate-control-plane --data-dir /var/lib/dropmate --listen 0.0.0.0:7443 --tls-san dispatch.example.com\n  \
        kubectl --kubeconfig /var/lib/dropmate/admin.kubeconfig get orders -A"
)]
struct Cli {
    #[command(flatten)]
    args: Args,

    /// What to log: a level, or levels by module
    #[arg(long, env = "DROPMATE_LOG", value_name = "FILTER", default_value = "info")]
    log: EnvFilter,
}

#[tokio::main]
async fn main() -> ExitCode {
    install_crypto_provider();
    let cli = Cli::parse();
    tracing_subscriber::fmt().json().flatten_event(true).with_env_filter(cli.log).with_writer(std::io::stderr).init();
    match run(cli.args).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = %format!("{error:#}"), "cannot serve");
            ExitCode::from(exit_code(&error))
        }
    }
}

async fn run(args: Args) -> anyhow::Result<()> {
    #[expect(clippy::disallowed_methods, reason = "the process's one reading of the wall clock")]
    let clock = Clock::real(Arc::new(jiff::Timestamp::now));
    let shutdown = CancellationToken::new();
    end_on_signals(shutdown.clone())?;
    let control_plane = ControlPlane::open(Config::new(args, clock)?).await?;
    if let Some(url) = control_plane.url() {
        // The first line of standard output is an interface: programs that start us on port 0 read it.
        writeln!(std::io::stdout(), "{url}")?;
    }
    control_plane.serve(shutdown).await
}

/// SIGTERM and Ctrl-C drain; a second one ends at once, which the store survives as it survives kill -9.
fn end_on_signals(shutdown: CancellationToken) -> std::io::Result<()> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::spawn(async move {
        for again in [false, true] {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if again {
                std::process::exit(2);
            }
            shutdown.cancel();
        }
    });
    Ok(())
}
