//! What an agent's `main` does around the agent: logs, signals, exit codes.

use std::{process::ExitCode, time::Duration};

use tokio::{
    runtime,
    signal::unix::{SignalKind, signal},
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

/// How long an agent may finish what it is writing and give its lease back; supervisors wait ten seconds or more.
const STOP_WITHIN: Duration = Duration::from_secs(8);

/// How long threads that cannot be cancelled (name look-ups) may go on after the end.
const THREADS_STOP_WITHIN: Duration = Duration::from_millis(100);

/// Runs an agent to its end. Logs go to standard error, as JSON. SIGTERM and Ctrl-C cancel the token that the agent is
/// given; a second one ends the process at once, which others survive as they survive `kill -9`. The exit code is 0
/// after a signal and 2 if the agent could not run.
pub fn run<F>(log: EnvFilter, agent: impl FnOnce(CancellationToken) -> F) -> ExitCode
where
    F: Future<Output = anyhow::Result<()>>,
{
    // An error says that one is installed already: fine.
    let _ = rustls::crypto::ring::default_provider().install_default();
    tracing_subscriber::fmt().json().flatten_event(true).with_env_filter(log).with_writer(std::io::stderr).init();
    let ended =
        runtime::Builder::new_multi_thread().enable_all().build().map_err(anyhow::Error::from).and_then(|runtime| {
            let ended = runtime.block_on(until_stopped(agent));
            runtime.shutdown_timeout(THREADS_STOP_WITHIN);
            ended
        });
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = %format!("{error:#}"), "the agent cannot run");
            ExitCode::from(2)
        }
    }
}

async fn until_stopped<F>(agent: impl FnOnce(CancellationToken) -> F) -> anyhow::Result<()>
where
    F: Future<Output = anyhow::Result<()>>,
{
    let shutdown = CancellationToken::new();
    end_on_signals(shutdown.clone())?;
    let mut agent = std::pin::pin!(agent(shutdown.clone()));
    tokio::select! {
        biased;
        ended = agent.as_mut() => return ended,
        () = shutdown.cancelled() => {}
    }
    tracing::info!("stopping");
    timeout(STOP_WITHIN, agent).await.unwrap_or_else(|_| {
        tracing::warn!("the agent did not stop in time; its lease will run out");
        Ok(())
    })
}

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
