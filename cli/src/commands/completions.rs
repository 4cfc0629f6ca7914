//! `dropmate completions`.

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use crate::{args::Cli, output};

/// Print what makes a shell complete the commands and flags.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  source <(dropmate completions bash)                                        # this shell only
  dropmate completions bash > ~/.local/share/bash-completion/completions/dropmate
  dropmate completions zsh > ~/.zfunc/_dropmate                              # a directory of $fpath
  dropmate completions fish > ~/.config/fish/completions/dropmate.fish
  dropmate completions powershell | Out-String | Invoke-Expression")]
pub(crate) struct CompletionsArgs {
    /// For which shell.
    #[arg(value_enum)]
    shell: Shell,
}

/// Runs it.
pub(crate) fn run(args: &CompletionsArgs) {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "dropmate", &mut script);
    output::print(&String::from_utf8_lossy(&script));
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum as _;

    use super::*;

    #[test]
    fn every_shell_learns_every_command() {
        for shell in Shell::value_variants() {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Cli::command(), "dropmate", &mut script);
            let script = String::from_utf8(script).unwrap();
            let words: Vec<&str> = script.split(|c: char| !c.is_alphanumeric()).collect();
            for command in Cli::command().get_subcommands() {
                assert!(words.contains(&command.get_name()), "{shell} does not know {}", command.get_name());
            }
        }
    }
}
