//! What a person is asked for, and what comes by standard input: never an argument, which every process can see.

use std::io::{self, IsTerminal as _, Read as _};

use anyhow::{Context as _, anyhow};
use clap::Args;

use crate::failure::Outcome;

/// What is read from standard input at most: a key of a mail server, a certificate.
const STDIN_BYTES_MAX: u64 = 64 * 1024;

/// Where a password comes from.
#[derive(Args, Clone, Debug)]
pub(crate) struct PasswordArgs {
    /// Read the password from standard input instead of asking for it.
    #[arg(long)]
    password_stdin: bool,
}

impl PasswordArgs {
    /// The password; `twice` where it is a new one.
    pub(crate) fn password(&self, prompt: &str, twice: bool) -> Outcome<String> {
        if self.password_stdin {
            return stdin("the password");
        }
        if !io::stdin().is_terminal() {
            return Err(anyhow!("there is no terminal to ask for the password: give it by --password-stdin").into());
        }
        let mut ask = dialoguer::Password::new().with_prompt(prompt);
        if twice {
            ask = ask.with_confirmation("Once more", "They are not the same.");
        }
        Ok(ask.interact().context("cannot read the password")?)
    }
}

/// All of standard input, without a line's end.
pub(crate) fn stdin(what: &str) -> Outcome<String> {
    let mut text = String::new();
    let read = io::stdin().take(STDIN_BYTES_MAX + 1).read_to_string(&mut text);
    read.with_context(|| format!("cannot read {what} from standard input"))?;
    if text.len() as u64 > STDIN_BYTES_MAX {
        return Err(anyhow!("{what} on standard input is longer than {STDIN_BYTES_MAX} bytes").into());
    }
    let text = text.strip_suffix('\n').map_or(text.as_str(), |line| line.strip_suffix('\r').unwrap_or(line));
    if text.is_empty() {
        return Err(anyhow!("standard input is empty: {what} is expected there").into());
    }
    Ok(text.to_owned())
}

/// A line that a person types.
pub(crate) fn line(prompt: &str, flag: &str) -> Outcome<String> {
    if !io::stdin().is_terminal() {
        return Err(anyhow!("there is no terminal to ask: give {flag}").into());
    }
    Ok(dialoguer::Input::new().with_prompt(prompt).interact_text().context("cannot read the answer")?)
}
