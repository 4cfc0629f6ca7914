//! What a run tells, object by object and at its end.

use std::{io::IsTerminal as _, time::Duration};

use anstyle::AnsiColor;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use serde_json::Value;

use super::{
    changes::{self, Line},
    conflicts::{Conflict, Conflicts},
    one::{Applied, Change},
};
use crate::{
    manifest::Problem,
    output::{self, Format},
};

/// How often the progress is drawn.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(100);

/// Tells what happens.
pub(super) struct Report {
    format: Format,
    diff: bool,
    dry_run: bool,
    told: Told,
    conflicts: Conflicts,
    progress: ProgressBar,
    /// Things that went wrong.
    pub(super) failed: usize,
    /// Objects that are as their manifests say.
    pub(super) done: usize,
    /// Objects that are not, by a diff.
    pub(super) different: usize,
}

/// What happened, for programs.
#[derive(Debug, Default, Serialize)]
struct Told {
    objects: Vec<ToldObject>,
    errors: Vec<ToldError>,
}

#[derive(Debug, Serialize)]
struct ToldObject {
    object: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<String>,
    change: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    diff: Option<String>,
}

#[derive(Debug, Serialize)]
struct ToldError {
    file: String,
    line: Option<usize>,
    message: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    conflicts: Vec<ToldConflict>,
}

#[derive(Debug, Serialize)]
struct ToldConflict {
    field: String,
    manager: String,
}

impl Report {
    pub(super) fn new(format: Format, diff: bool, dry_run: bool) -> Self {
        let progress = if std::io::stderr().is_terminal() { ProgressBar::new_spinner() } else { ProgressBar::hidden() };
        let what = if diff { "compared" } else { "applied" };
        progress.set_style(
            ProgressStyle::with_template(&format!("{{spinner}} {{pos}} objects {what}, {{per_sec}}, {{elapsed}}"))
                .unwrap_or_else(|_| ProgressStyle::default_spinner()),
        );
        progress.enable_steady_tick(PROGRESS_INTERVAL);
        Self {
            format,
            diff,
            dry_run,
            told: Told::default(),
            conflicts: Conflicts::default(),
            progress,
            failed: 0,
            done: 0,
            different: 0,
        }
    }

    /// An object was applied, or compared.
    pub(super) fn applied(&mut self, applied: &Applied) -> anyhow::Result<()> {
        self.done += 1;
        self.progress.inc(1);
        for warning in &applied.warnings {
            self.note(&format!("Warning: {warning}"));
        }
        if let Some((before, after)) = &applied.states {
            return self.compared(&applied.object, applied.namespace.as_deref(), applied.change.word(), before, after);
        }
        let colour = match applied.change {
            Change::Created => Some(AnsiColor::Green),
            Change::Configured => Some(AnsiColor::Yellow),
            Change::Unchanged => None,
        };
        self.changed(&applied.object, applied.namespace.as_deref(), applied.change.word(), colour, "");
        Ok(())
    }

    /// An object has left the manifests and is gone, or would be; `rest` says what it waits for.
    pub(super) fn pruned(&mut self, object: &str, live: &Value, rest: &str) -> anyhow::Result<()> {
        let namespace = live.pointer("/metadata/namespace").and_then(Value::as_str);
        if self.diff {
            return self.compared(object, namespace, "pruned", live, &Value::Null);
        }
        self.changed(object, namespace, "pruned", Some(AnsiColor::Red), rest);
        Ok(())
    }

    fn changed(
        &mut self,
        object: &str,
        namespace: Option<&str>,
        word: &'static str,
        colour: Option<AnsiColor>,
        rest: &str,
    ) {
        if self.format == Format::Json {
            self.told.objects.push(ToldObject {
                object: object.to_owned(),
                namespace: namespace.map(str::to_owned),
                change: word,
                diff: None,
            });
            return;
        }
        let dry_run = if self.dry_run { " (server dry run)" } else { "" };
        let word = colour.map_or_else(|| word.to_owned(), |colour| output::painted(word, colour));
        self.progress.suspend(|| output::line(format!("{object} {word}{rest}{dry_run}")));
    }

    fn compared(
        &mut self,
        object: &str,
        namespace: Option<&str>,
        change: &'static str,
        before: &Value,
        after: &Value,
    ) -> anyhow::Result<()> {
        let name = namespace.map_or_else(|| object.to_owned(), |namespace| format!("{namespace}/{object}"));
        let lines = changes::changes(&name, before, after)?;
        if lines.is_empty() {
            return Ok(());
        }
        self.different += 1;
        if self.format == Format::Json {
            self.told.objects.push(ToldObject {
                object: object.to_owned(),
                namespace: namespace.map(str::to_owned),
                change,
                diff: Some(changes::joined(&lines)),
            });
            return Ok(());
        }
        let painted = |line: &Line| match line {
            Line::Removed(_) => output::painted(&line.text(), AnsiColor::Red),
            Line::Added(_) => output::painted(&line.text(), AnsiColor::Green),
            Line::Hunk(_) => output::painted(&line.text(), AnsiColor::Cyan),
            Line::Head(_) | Line::Kept(_) => line.text(),
        };
        self.progress.suspend(|| lines.iter().for_each(|line| output::line(painted(line))));
        Ok(())
    }

    /// Something is wrong with a manifest, or was refused.
    pub(super) fn problem(&mut self, problem: &Problem) {
        self.wrong(problem, &[]);
    }

    /// Others own what an object would change.
    pub(super) fn conflict(&mut self, problem: &Problem, object: &str, conflicts: &[Conflict]) {
        self.conflicts.add(&problem.place(), object, conflicts);
        self.wrong(problem, conflicts);
    }

    fn wrong(&mut self, problem: &Problem, conflicts: &[Conflict]) {
        self.failed += 1;
        self.progress.suspend(|| output::error(problem.to_string()));
        if self.format == Format::Json {
            let told =
                |Conflict { field, owner }: &Conflict| ToldConflict { field: field.clone(), manager: owner.clone() };
            self.told.errors.push(ToldError {
                file: problem.file.to_string(),
                line: problem.line,
                message: problem.message.clone(),
                conflicts: conflicts.iter().map(told).collect(),
            });
        }
    }

    /// Something is wrong that no manifest is to blame for.
    pub(super) fn refused(&mut self, message: &str) {
        self.failed += 1;
        self.progress.suspend(|| output::error(message));
        if self.format == Format::Json {
            let message = message.to_owned();
            self.told.errors.push(ToldError { file: String::new(), line: None, message, conflicts: Vec::new() });
        }
    }

    /// Tells something beside the result.
    pub(super) fn note(&self, text: &str) {
        self.progress.suspend(|| output::note(text));
    }

    /// Tells what there is to tell at the end.
    pub(super) fn finish(&self) {
        self.progress.finish_and_clear();
        self.conflicts.tell();
        if self.format == Format::Json {
            output::json(&self.told);
        }
    }
}
