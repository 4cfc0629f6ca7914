//! The command line.

use clap::{Parser, Subcommand};

use crate::{
    commands::{
        accept::AcceptArgs,
        apply::ApplyArgs,
        audit::AuditArgs,
        bootstrap::BootstrapArgs,
        completions::CompletionsArgs,
        convert::ConvertArgs,
        cordon::{CordonArgs, UncordonArgs},
        crds::CrdsArgs,
        delete::DeleteArgs,
        describe::DescribeArgs,
        diff::DiffArgs,
        drain::DrainArgs,
        driver::DriverArgs,
        explain::ExplainArgs,
        get::GetArgs,
        history::HistoryArgs,
        keys::KeysArgs,
        link::LinkArgs,
        login::{LoginArgs, LogoutArgs},
        migrate::MigrateArgs,
        notifications::NotificationsArgs,
        probe::ProbeArgs,
        secret::SecretArgs,
        summary::SummaryArgs,
        token::{KubeconfigArgs, TokenArgs},
        up::UpArgs,
        user::UserArgs,
        version::VersionArgs,
        watch::WatchArgs,
        webhooks::WebhooksArgs,
        whoami::WhoamiArgs,
    },
    connection::ConnectionArgs,
};

/// DropMate: deliveries declared, not clicked together.
#[derive(Parser, Debug)]
#[command(name = "dropmate", version, propagate_version = true, max_term_width = 120, arg_required_else_help = true)]
#[command(after_help = "\
Examples:
  dropmate up --demo                       # a business whose orders are delivered before your eyes
  dropmate apply -f manifests/examples/    # a small shop
  dropmate get orders -A -w
  dropmate explain order NAME -n acme      # why this driver

Exit codes: 0 done, 1 the answer is no, 2 could not tell.")]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) connection: ConnectionArgs,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    Up(Box<UpArgs>),
    Apply(ApplyArgs),
    Diff(DiffArgs),
    Get(GetArgs),
    Watch(WatchArgs),
    Describe(DescribeArgs),
    Explain(ExplainArgs),
    History(HistoryArgs),
    Audit(AuditArgs),
    Delete(DeleteArgs),
    Cordon(CordonArgs),
    Uncordon(UncordonArgs),
    Drain(DrainArgs),
    Driver(DriverArgs),
    Link(LinkArgs),
    Notifications(NotificationsArgs),
    Webhooks(WebhooksArgs),
    Login(LoginArgs),
    Logout(LogoutArgs),
    Whoami(WhoamiArgs),
    Token(TokenArgs),
    Kubeconfig(KubeconfigArgs),
    Accept(AcceptArgs),
    User(UserArgs),
    Secret(SecretArgs),
    Keys(KeysArgs),
    Convert(ConvertArgs),
    Crds(CrdsArgs),
    Summary(SummaryArgs),
    Probe(ProbeArgs),
    Completions(CompletionsArgs),
    Migrate(MigrateArgs),
    Bootstrap(BootstrapArgs),
    Version(VersionArgs),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_shows_examples() {
        for command in Cli::command().get_subcommands() {
            let leaves: Vec<_> = command.get_subcommands().collect();
            for leaf in if leaves.is_empty() { vec![command] } else { leaves } {
                let help = leaf.get_after_help().map(ToString::to_string).unwrap_or_default();
                assert!(help.contains("Examples:"), "{} has no examples", leaf.get_name());
            }
        }
    }
}
