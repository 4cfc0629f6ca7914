//! A whole run: files read as they are sent, many objects in flight, results in the order of the files.

use std::{collections::HashSet, io::IsTerminal as _, sync::Arc, thread, time::Duration};

use futures::{StreamExt as _, stream::FuturesOrdered};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use tokio::sync::mpsc;

use super::one::{self, Applied, ApplyError, Change, Rules};
use crate::{
    connection::Connection,
    failure::{Failure, Outcome},
    kinds::Kinds,
    manifest::{Documents, Input, Manifest, Problem, manifests},
    output::{self, Format},
};

/// How many objects are sent at once: enough to fill the server's grouped writes, few enough to be a good neighbour.
const IN_FLIGHT: usize = 16;
/// How many objects are read ahead. With [`crate::manifest::MAX_DOCUMENT_BYTES`] it bounds the memory.
const READ_AHEAD: usize = 16;
/// How often the progress is drawn.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(100);

/// How to apply.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Options {
    /// Make namespaces that are missing.
    pub(crate) create_namespace: bool,
    /// Let the server check everything and keep nothing.
    pub(crate) dry_run: bool,
    /// How to print.
    pub(crate) format: Format,
}

/// What happened, for programs.
#[derive(Debug, Default, Serialize)]
struct Report {
    objects: Vec<ReportedObject>,
    errors: Vec<ReportedError>,
}

#[derive(Debug, Serialize)]
struct ReportedObject {
    object: String,
    change: &'static str,
}

#[derive(Debug, Serialize)]
struct ReportedError {
    file: String,
    line: Option<usize>,
    message: String,
}

/// Applies all inputs. A bad object does not keep the others out; the end says how many there were.
pub(crate) async fn run(connection: &Connection, inputs: Vec<Input>, options: Options) -> Outcome {
    let mut run = Run::new(options);
    let kinds = Kinds::default();
    let rules = Rules { create_namespace: options.create_namespace, dry_run: options.dry_run };

    // Namespaces first, wherever they stand. Standard input comes only once, so there they go in as they come.
    let namespaces = read(&inputs, Pass::Namespaces);
    run.drain(connection, &kinds, rules, namespaces).await?;
    let rest = read(&inputs, Pass::Rest);
    run.drain(connection, &kinds, rules, rest).await?;
    run.finish()
}

/// Which objects a pass over the inputs is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pass {
    Namespaces,
    Rest,
}

/// Reads the inputs on a thread of its own, since files and standard input block.
fn read(inputs: &[Input], pass: Pass) -> mpsc::Receiver<Result<Manifest, Problem>> {
    let (sender, receiver) = mpsc::channel(READ_AHEAD);
    let inputs: Vec<Input> = inputs.iter().filter(|input| pass == Pass::Rest || !comes_once(input)).cloned().collect();
    thread::spawn(move || {
        for input in inputs {
            if read_one(&input, pass, &sender).is_none() {
                return;
            }
        }
    });
    receiver
}

/// Reads one input; `None` when nobody listens any more.
fn read_one(input: &Input, pass: Pass, sender: &mpsc::Sender<Result<Manifest, Problem>>) -> Option<()> {
    let name = input.name();
    let send = |item| sender.blocking_send(item).ok();
    let whole = |message: String| Problem { file: name.as_str().into(), line: None, message };
    let reader = match input.open() {
        Ok(reader) => reader,
        Err(error) if pass == Pass::Rest => return send(Err(whole(format!("cannot be read: {error}")))),
        Err(_) => return Some(()),
    };
    let mut empty = true;
    for document in Documents::new(&name, reader) {
        empty = false;
        let objects = match document {
            Ok(document) if pass == Pass::Namespaces && !document.text.contains("Namespace") => continue,
            Ok(document) => manifests(document),
            Err(problem) => vec![Err(problem)],
        };
        for object in objects {
            let is_namespace = object.as_ref().is_ok_and(|object| object.kind() == "Namespace");
            let wanted = match pass {
                Pass::Namespaces => is_namespace,
                Pass::Rest => !is_namespace || comes_once(input),
            };
            if wanted {
                send(object)?;
            }
        }
    }
    if empty && pass == Pass::Rest {
        send(Err(whole("holds no objects; is it empty?".to_owned())))?;
    }
    Some(())
}

/// Only a plain file can be read twice; a pipe under a name (`<(…)`) comes once, like standard input.
fn comes_once(input: &Input) -> bool {
    !matches!(input, Input::File(path) if path.is_file())
}

struct Run {
    options: Options,
    report: Report,
    progress: ProgressBar,
    failed: usize,
    done: usize,
}

impl Run {
    fn new(options: Options) -> Self {
        let progress = if std::io::stderr().is_terminal() { ProgressBar::new_spinner() } else { ProgressBar::hidden() };
        progress.set_style(
            ProgressStyle::with_template("{spinner} {pos} objects applied, {per_sec}, {elapsed}")
                .unwrap_or_else(|_| ProgressStyle::default_spinner()),
        );
        progress.enable_steady_tick(PROGRESS_INTERVAL);
        Self { options, report: Report::default(), progress, failed: 0, done: 0 }
    }

    /// Applies what arrives, [`IN_FLIGHT`] at a time, and tells of each in the order of arrival.
    async fn drain(
        &mut self,
        connection: &Connection,
        kinds: &Kinds,
        rules: Rules,
        mut manifests: mpsc::Receiver<Result<Manifest, Problem>>,
    ) -> Outcome {
        let mut flying = FuturesOrdered::new();
        let mut keys = HashSet::new();
        while let Some(next) = manifests.recv().await {
            let manifest = match next {
                Ok(manifest) => manifest,
                Err(problem) => {
                    self.land_all(&mut flying).await?;
                    self.problem(&problem);
                    continue;
                }
            };
            // The same object twice, or a namespace that others may wait for: first let everything land.
            let key = key(&manifest);
            let barrier = manifest.kind() == "Namespace";
            if barrier || keys.contains(&key) {
                self.land_all(&mut flying).await?;
                keys.clear();
            }
            keys.insert(key);
            flying.push_back(one::apply(connection, kinds, rules, manifest));
            if barrier {
                self.land_all(&mut flying).await?;
                keys.clear();
            } else if flying.len() >= IN_FLIGHT
                && let Some(landed) = flying.next().await
            {
                self.landed(landed)?;
            }
            if keys.len() > MAX_KEYS {
                self.land_all(&mut flying).await?;
                keys.clear();
            }
        }
        self.land_all(&mut flying).await
    }

    async fn land_all<F>(&mut self, flying: &mut FuturesOrdered<F>) -> Outcome
    where
        F: Future<Output = Result<Applied, ApplyError>>,
    {
        while let Some(landed) = flying.next().await {
            self.landed(landed)?;
        }
        Ok(())
    }

    fn landed(&mut self, landed: Result<Applied, ApplyError>) -> Outcome {
        match landed {
            Ok(applied) => {
                self.done += 1;
                self.progress.inc(1);
                self.applied(&applied);
                Ok(())
            }
            Err(ApplyError::Object(problems)) => {
                for problem in &problems {
                    self.problem(problem);
                }
                Ok(())
            }
            Err(ApplyError::Stop(failure)) => {
                self.progress.finish_and_clear();
                if self.options.format == Format::Json {
                    output::json(&self.report);
                }
                Err(match failure {
                    Failure::Unknown(error) => {
                        Failure::Unknown(error.context(format!("stopped after {} objects", self.done)))
                    }
                    no @ Failure::No(_) => no,
                })
            }
        }
    }

    fn applied(&mut self, applied: &Applied) {
        let Applied { object, change, warnings } = applied;
        self.progress.suspend(|| {
            for warning in warnings {
                output::note(format!("Warning: {warning}"));
            }
            if self.options.format == Format::Text {
                let dry_run = if self.options.dry_run { " (server dry run)" } else { "" };
                let word = match change {
                    Change::Created => output::painted("created", anstyle::AnsiColor::Green),
                    Change::Configured => output::painted("configured", anstyle::AnsiColor::Yellow),
                    Change::Unchanged => "unchanged".to_owned(),
                };
                output::line(format!("{object} {word}{dry_run}"));
            }
        });
        if self.options.format == Format::Json {
            self.report.objects.push(ReportedObject { object: object.clone(), change: change.word() });
        }
    }

    fn problem(&mut self, problem: &Problem) {
        self.failed += 1;
        self.progress.suspend(|| output::error(problem.to_string()));
        if self.options.format == Format::Json {
            let Problem { file, line, message } = problem;
            let error = ReportedError { file: Arc::clone(file).to_string(), line: *line, message: message.clone() };
            self.report.errors.push(error);
        }
    }

    fn finish(self) -> Outcome {
        self.progress.finish_and_clear();
        if self.options.format == Format::Json {
            output::json(&self.report);
        }
        match (self.failed, self.done) {
            (0, _) => Ok(()),
            (1, done) => Err(Failure::No(format!("1 error; {done} objects are in place"))),
            (failed, done) => Err(Failure::No(format!("{failed} errors; {done} objects are in place"))),
        }
    }
}

/// How many object names are remembered to keep the same one from flying twice; they are all forgotten at a barrier.
const MAX_KEYS: usize = 1024;

fn key(manifest: &Manifest) -> String {
    [manifest.api_version(), manifest.kind(), manifest.namespace().unwrap_or_default(), manifest.name()].join("\0")
}
