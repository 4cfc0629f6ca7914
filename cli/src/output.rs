//! The one place that prints. Results go to standard output, everything about them to standard error.

mod table;

use std::{
    io::{self, IsTerminal as _, Write},
    process,
};

use anstyle::{AnsiColor, Color, Style};
use clap::ValueEnum;
use serde::Serialize;
use serde_json::Value;

pub(crate) use table::{Grid, grid_of};

/// In which form a result is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
}

/// Prints a line of the result.
pub(crate) fn line(text: impl AsRef<str>) {
    print(&format!("{}\n", text.as_ref()));
}

/// Prints a part of the result as it is.
pub(crate) fn print(text: &str) {
    let mut out = io::stdout().lock();
    if let Err(error) = out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        // The reader has gone (`| head`): nobody is left to tell.
        process::exit(if error.kind() == io::ErrorKind::BrokenPipe { 0 } else { 2 });
    }
}

/// Prints a line of something that goes on whether anybody reads it or not.
pub(crate) fn tell(text: impl AsRef<str>) {
    let _ = writeln!(io::stdout().lock(), "{}", text.as_ref());
}

/// Prints a value for programs.
pub(crate) fn json(value: &impl Serialize) {
    match serde_json::to_string_pretty(value) {
        Ok(text) => line(text),
        Err(error) => note(format!("cannot be written as JSON: {error}")),
    }
}

/// Prints a value as YAML.
pub(crate) fn yaml(value: &Value) {
    match serde_yaml::to_string(value) {
        Ok(text) => print(&text),
        Err(error) => note(format!("cannot be written as YAML: {error}")),
    }
}

/// Tells something beside the result.
pub(crate) fn note(text: impl AsRef<str>) {
    // A closed standard error leaves nobody to tell.
    let _ = writeln!(io::stderr().lock(), "{}", text.as_ref());
}

/// Tells of something wrong.
pub(crate) fn error(text: impl AsRef<str>) {
    let style = if wants_colours(io::stderr().is_terminal()) { colour(AnsiColor::Red).bold() } else { Style::new() };
    note(format!("{style}error:{style:#} {}", text.as_ref()));
}

/// Whether a person reads standard output.
pub(crate) fn is_terminal() -> bool {
    io::stdout().is_terminal()
}

/// Colours the text if a person reads standard output.
pub(crate) fn painted(text: &str, colour_: AnsiColor) -> String {
    if !colours() {
        return text.to_owned();
    }
    let style = colour(colour_);
    format!("{style}{text}{style:#}")
}

fn colour(colour: AnsiColor) -> Style {
    Style::new().fg_color(Some(Color::Ansi(colour)))
}

/// Whether standard output is read by a person who wants colours.
pub(crate) fn colours() -> bool {
    wants_colours(is_terminal())
}

/// Colour only for people, and not for those who asked for none (no-color.org).
fn wants_colours(terminal: bool) -> bool {
    terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
