//! `dropmate cordon` and `dropmate uncordon`: whether a driver gets new orders.

use clap::Args;
use http::Method;
use serde_json::{Value, json};

use crate::{
    commands::{apply::DryRun, delete::selected},
    connection::{Connection, ConnectionArgs, escape},
    failure::{Failure, Outcome},
    output,
};

/// The words that mean the kind of a driver.
const KIND_WORDS: [&str; 3] = ["driver", "drivers", "drv"];

/// Give drivers no new orders; what is bound to them goes on.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  dropmate cordon sam -n acme
  dropmate cordon driver sam kim -n acme
  dropmate cordon -l team=evening --dry-run=server

To take away what was not picked up yet as well: dropmate drain driver NAME.")]
pub(crate) struct CordonArgs {
    #[command(flatten)]
    drivers: Drivers,
    #[command(flatten)]
    trial: Trial,
}

/// Give drivers new orders again.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  dropmate uncordon sam -n acme
  dropmate uncordon driver/sam driver/kim -n acme
  dropmate uncordon -l team=evening")]
pub(crate) struct UncordonArgs {
    #[command(flatten)]
    drivers: Drivers,
    #[command(flatten)]
    trial: Trial,
}

/// Which drivers are meant.
#[derive(Args, Debug)]
pub(super) struct Drivers {
    /// Drivers: `NAME…`, `driver NAME…` or `driver/NAME…`.
    #[arg(value_name = "DRIVER", required_unless_present = "selector")]
    words: Vec<String>,
    /// The drivers with these labels: `team=north,zone!=b`.
    #[arg(short = 'l', long, conflicts_with = "words")]
    selector: Option<String>,
}

/// Whether it is done or only tried.
#[derive(Args, Clone, Copy, Debug)]
pub(super) struct Trial {
    /// `server`: the server checks everything and keeps nothing.
    #[arg(long, value_enum, default_value_t, num_args = 0..=1, require_equals = true, default_missing_value = "server")]
    dry_run: DryRun,
}

impl CordonArgs {
    /// Runs it.
    pub(crate) async fn run(self, connection: &ConnectionArgs) -> Outcome {
        set_all(connection, &self.drivers, true, self.trial).await
    }
}

impl UncordonArgs {
    /// Runs it.
    pub(crate) async fn run(self, connection: &ConnectionArgs) -> Outcome {
        set_all(connection, &self.drivers, false, self.trial).await
    }
}

async fn set_all(connection: &ConnectionArgs, drivers: &Drivers, suspended: bool, trial: Trial) -> Outcome {
    let connection = Connection::open(connection).await?;
    let mut refused = Vec::new();
    for name in drivers.names(&connection).await? {
        match set(&connection, &name, suspended, trial).await {
            Err(Failure::No(why)) => refused.push(why),
            ended => ended?,
        }
    }
    told(&refused)
}

/// Refusals of single drivers, told together after what was done.
pub(super) fn told(refused: &[String]) -> Outcome {
    if refused.is_empty() { Ok(()) } else { Err(Failure::No(refused.join("; "))) }
}

/// Cordons one driver or takes it back, and says which.
pub(super) async fn set(connection: &Connection, name: &str, suspended: bool, trial: Trial) -> Outcome {
    let path = format!("{}/drivers/{}", connection.ours(), escape(name));
    let live = connection.get(&path).await?.accepted()?;
    let done = if suspended { "cordoned" } else { "uncordoned" };
    if live.pointer("/spec/suspended").and_then(Value::as_bool).unwrap_or_default() == suspended {
        output::line(format!("driver/{name} already {done}"));
        return Ok(());
    }
    let change = json!({"spec": {"suspended": suspended}});
    // A name of its own: who applies manifests hears from whom a suspension is.
    let dry_run = if trial.is_dry() { "&dryRun=All" } else { "" };
    let path = format!("{path}?fieldManager=dropmate-cordon{dry_run}");
    connection.write(Method::PATCH, &path, "application/merge-patch+json", &change).await?.accepted()?;
    output::line(format!("driver/{name} {done}{}", trial.remark()));
    Ok(())
}

impl Trial {
    /// Whether nothing is kept.
    pub(super) fn is_dry(self) -> bool {
        self.dry_run == DryRun::Server
    }

    /// The query of a write.
    pub(super) fn query(self) -> &'static str {
        if self.is_dry() { "?dryRun=All" } else { "" }
    }

    /// What is said behind everything done.
    pub(super) fn remark(self) -> &'static str {
        if self.is_dry() { " (server dry run)" } else { "" }
    }
}

impl Drivers {
    /// The names of the drivers, each once.
    pub(super) async fn names(&self, connection: &Connection) -> Outcome<Vec<String>> {
        let Some(selector) = &self.selector else { return names(&self.words).map_err(Failure::No) };
        let names = selected(connection, &format!("{}/drivers", connection.ours()), Some(selector)).await?;
        if names.is_empty() {
            return Err(Failure::No(format!("no driver in {} has labels {selector:?}", connection.namespace)));
        }
        Ok(names)
    }
}

/// What the words of a command line mean: names, with the kind before them or before each.
fn names(words: &[String]) -> Result<Vec<String>, String> {
    let is_kind = |word: &str| {
        let word = word.to_lowercase();
        KIND_WORDS.contains(&word.strip_suffix(".dropmate.dev").unwrap_or(&word))
    };
    let words = match words {
        // A single word is a name, whatever it is.
        [first, rest @ ..] if !rest.is_empty() && is_kind(first) => rest,
        words => words,
    };
    let mut names: Vec<String> = Vec::new();
    for word in words {
        let name = match word.split_once('/') {
            Some((kind, name)) if is_kind(kind) => name,
            Some((kind, _)) => return Err(format!("{word:?} is of kind {kind:?}, and only drivers are meant here")),
            None => word,
        };
        if name.is_empty() {
            return Err(format!("{word:?} names no driver: write NAME, driver NAME or driver/NAME"));
        }
        if !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(line: &str) -> Result<Vec<String>, String> {
        names(&line.split(' ').map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn the_kind_may_stand_before_all_names_before_each_or_not_at_all() {
        for line in
            ["sam kim", "driver sam kim", "drivers.dropmate.dev sam kim", "driver/sam drv/kim", "sam driver/kim sam"]
        {
            assert_eq!(named(line).unwrap(), ["sam", "kim"], "{line}");
        }
        assert_eq!(named("driver").unwrap(), ["driver"]);
    }

    #[test]
    fn another_kind_and_an_empty_name_are_refused_by_the_word() {
        assert!(named("order/o-1").unwrap_err().contains("\"order/o-1\""));
        assert!(named("driver/").unwrap_err().contains("names no driver"));
    }
}
