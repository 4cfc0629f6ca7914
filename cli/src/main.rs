//! The `dropmate` command: starts DropMate, and talks to one that runs.

mod apply;
mod args;
mod commands;
mod connection;
mod failure;
mod follow;
mod kinds;
mod manifest;
mod mdrp;
mod output;
mod pages;
mod session;

use std::process::ExitCode;

use args::{Cli, Command};
use clap::Parser as _;
use failure::{Failure, Outcome};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Every TLS connection needs a provider, and this is the only one in the program.
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        unreachable!("nothing ran before that could have installed another provider");
    }
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            output::error(format!("cannot start: {error}"));
            return ExitCode::from(2);
        }
    };
    match runtime.block_on(run(cli)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Different) => ExitCode::from(1),
        Err(failure) => {
            output::error(failure.to_string());
            ExitCode::from(failure.code())
        }
    }
}

async fn run(Cli { connection, command }: Cli) -> Outcome {
    match command {
        Command::Up(args) => commands::up::run(*args).await,
        Command::Apply(args) => commands::apply::run(&connection, args).await,
        Command::Diff(args) => commands::diff::run(&connection, args).await,
        Command::Get(args) => commands::get::run(&connection, args).await,
        Command::Watch(args) => commands::watch::run(&connection, args).await,
        Command::Describe(args) => commands::describe::run(&connection, args).await,
        Command::Explain(args) => commands::explain::run(&connection, args).await,
        Command::Audit(args) => commands::audit::run(&connection, args).await,
        Command::History(args) => commands::history::run(&connection, args).await,
        Command::Delete(args) => commands::delete::run(&connection, args).await,
        Command::Cordon(args) => args.run(&connection).await,
        Command::Uncordon(args) => args.run(&connection).await,
        Command::Drain(args) => args.run(&connection).await,
        Command::Driver(args) => commands::driver::run(&connection, args).await,
        Command::Link(args) => commands::link::run(&connection, args).await,
        Command::Notifications(args) => commands::notifications::run(&connection, args).await,
        Command::Webhooks(args) => commands::webhooks::run(&connection, args).await,
        Command::Login(args) => commands::login::login(&connection, args).await,
        Command::Logout(args) => commands::login::logout(&connection, args).await,
        Command::Whoami(args) => commands::whoami::run(&connection, args).await,
        Command::Token(args) => commands::token::token(&connection, args).await,
        Command::Kubeconfig(args) => commands::token::kubeconfig(&connection, &args),
        Command::Accept(args) => commands::accept::run(&connection, args).await,
        Command::User(args) => commands::user::run(&connection, args).await,
        Command::Keys(args) => commands::keys::run(&connection, args).await,
        Command::Secret(args) => commands::secret::run(&connection, args).await,
        Command::Convert(args) => commands::convert::run(connection.namespace.as_deref(), &args),
        Command::Crds(args) => {
            commands::crds::run(&args);
            Ok(())
        }
        Command::Migrate(args) => commands::migrate::run(args).await,
        Command::Summary(args) => commands::summary::run(&connection, args).await,
        Command::Bootstrap(args) => commands::bootstrap::run(&connection, args),
        Command::Probe(args) => commands::probe::run(&connection, args).await,
        Command::Completions(args) => {
            commands::completions::run(&args);
            Ok(())
        }
        Command::Version(args) => commands::version::run(&connection, args).await,
    }
}
