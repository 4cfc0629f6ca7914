//! A whole run: files read as they are sent, many objects in flight, results in the order of the files, and at the end
//! what has left the files.

use std::collections::HashSet;

use anyhow::anyhow;
use futures::{StreamExt as _, stream::FuturesOrdered};
use tokio::sync::mpsc;

use super::{
    one::{self, Applied, ApplyError, Rules},
    prune::{self, Pruning},
    read::{Pass, read},
    report::Report,
    set::{self, Held, Places},
    subject::subject,
};
use crate::{
    connection::Connection,
    failure::{Failure, Outcome},
    kinds::Kinds,
    manifest::{Input, Manifest, Problem},
    output::Format,
};

/// How many objects are sent at once: enough to fill the server's grouped writes, few enough to be a good neighbour.
const IN_FLIGHT: usize = 16;
/// How many object names are remembered to keep the same one from flying twice; they are all forgotten at a barrier.
const MAX_KEYS: usize = 1024;

/// How to apply.
#[derive(Clone, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(crate) struct Options {
    /// As whom fields are owned.
    pub(crate) manager: String,
    /// Take over fields that others own.
    pub(crate) force: bool,
    /// Make namespaces that are missing.
    pub(crate) create_namespace: bool,
    /// Let the server check everything and keep nothing.
    pub(crate) dry_run: bool,
    /// Tell the lines that would change; only with `dry_run`.
    pub(crate) diff: bool,
    /// The ApplySet that objects become members of.
    pub(crate) applyset: Option<String>,
    /// Delete members that have left the manifests.
    pub(crate) prune: bool,
    /// Do so even if the manifests hold no objects at all.
    pub(crate) allow_empty: bool,
    /// How to print.
    pub(crate) format: Format,
}

/// Applies or compares all inputs. A bad object does not keep the others out; the end says how many there were.
pub(crate) async fn run(connection: &Connection, inputs: Vec<Input>, options: Options) -> Outcome {
    let rules = Rules {
        manager: options.manager.clone(),
        force: options.force,
        create_namespace: options.create_namespace,
        dry_run: options.dry_run,
        states: options.diff,
        set: options.applyset.as_deref().map(|name| set::id(name, &connection.namespace)),
        ..Rules::default()
    };
    let mut run = Run {
        connection,
        kinds: Kinds::default(),
        report: Report::new(options.format, options.diff, options.dry_run),
        options,
        rules: &rules,
        held: None,
        members: HashSet::new(),
        places: Places::default(),
    };
    let whole = tokio::select! {
        whole = run.whole(&inputs) => whole,
        // Others may have the set at once.
        _ = tokio::signal::ctrl_c() => Err(anyhow!("interrupted").into()),
    };
    if let Some(held) = run.held.take() {
        held.release().await;
    }
    run.end(whole)
}

struct Run<'a> {
    connection: &'a Connection,
    kinds: Kinds,
    options: Options,
    rules: &'a Rules,
    report: Report,
    /// The ApplySet, from the first member on.
    held: Option<Held>,
    /// The keys of all members in the manifests, however they fare. Only with an ApplySet.
    members: HashSet<String>,
    /// Where they are.
    places: Places,
}

impl Run<'_> {
    async fn whole(&mut self, inputs: &[Input]) -> Outcome {
        let namespaces = read(inputs, Pass::Namespaces);
        self.drain(namespaces).await?;
        let rest = read(inputs, Pass::Rest { empty: self.options.allow_empty });
        self.drain(rest).await?;
        self.settle().await
    }

    /// Applies what arrives, [`IN_FLIGHT`] at a time, and tells of each in the order of arrival.
    async fn drain(&mut self, mut manifests: mpsc::Receiver<Result<Manifest, Problem>>) -> Outcome {
        let mut flying = FuturesOrdered::new();
        let mut keys = HashSet::new();
        let (connection, rules) = (self.connection, self.rules);
        while let Some(next) = manifests.recv().await {
            let manifest = match next {
                Ok(manifest) => manifest,
                Err(problem) => {
                    self.land_all(&mut flying).await?;
                    self.report.problem(&problem);
                    continue;
                }
            };
            let subject = match subject(connection, &self.kinds, &manifest).await {
                Ok(subject) => subject,
                Err(error) => {
                    self.land_all(&mut flying).await?;
                    self.landed(Err(error))?;
                    continue;
                }
            };
            // The same object twice, or a namespace that others may wait for: first let everything land.
            let kind = subject.resource.group_kind();
            let key = prune::key(&kind, subject.namespace.as_deref(), manifest.name());
            let barrier = manifest.kind() == "Namespace";
            if barrier || keys.contains(&key) {
                self.land_all(&mut flying).await?;
                keys.clear();
            }
            if rules.set.is_some() && subject.may_be_member() {
                self.join(&kind, subject.namespace.as_deref(), key.clone()).await?;
            }
            keys.insert(key);
            flying.push_back(one::apply(connection, rules, subject, manifest));
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

    /// Keeps in the ApplySet that there may be such a member, before there is.
    async fn join(&mut self, kind: &str, namespace: Option<&str>, key: String) -> Outcome {
        self.members.insert(key);
        if self.places.add(kind, namespace) && !self.options.dry_run {
            self.held().await?.grow(kind, namespace).await?;
        }
        Ok(())
    }

    async fn held(&mut self) -> Outcome<&Held> {
        let held = match self.held.take() {
            Some(held) => held,
            None => Held::take(self.connection, self.options.applyset.as_deref().unwrap_or_default()).await?,
        };
        Ok(self.held.insert(held))
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
            Ok(applied) => self.report.applied(&applied)?,
            Err(ApplyError::Object(problems)) => problems.iter().for_each(|problem| self.report.problem(problem)),
            Err(ApplyError::Conflict { problem, object, conflicts }) => {
                self.report.conflict(&problem, &object, &conflicts);
            }
            Err(ApplyError::Stop(failure)) => {
                return Err(match failure {
                    Failure::Unknown(error) => {
                        Failure::Unknown(error.context(format!("stopped after {} objects", self.report.done)))
                    }
                    no => no,
                });
            }
        }
        Ok(())
    }

    /// Prunes after a whole run, and lets the ApplySet know where its members are now.
    async fn settle(&mut self) -> Outcome {
        let Some(name) = self.options.applyset.clone() else { return Ok(()) };
        if self.report.failed > 0 {
            if self.options.prune {
                self.report.note("nothing is pruned, since not all manifests are in place");
            }
            return Ok(());
        }
        if self.options.prune && self.members.is_empty() && !self.options.allow_empty {
            return Err(Failure::No(format!(
                "the manifests hold no objects; nothing is pruned. To delete all members of ApplySet {name:?}, add --allow-empty"
            )));
        }
        let recorded = if self.options.dry_run {
            set::look(self.connection, &name).await?.unwrap_or_default()
        } else {
            self.held().await?.places().await
        };
        let mut left = recorded.clone();
        let mut count = None;
        if self.options.prune {
            let id = set::id(&name, &self.connection.namespace);
            let pruning = Pruning {
                connection: self.connection,
                kinds: &self.kinds,
                id: &id,
                manager: &self.options.manager,
                wanted: &self.members,
                held: self.held.as_ref(),
                only_tell: self.options.diff,
            };
            let kept;
            (left, kept) = pruning.run(&recorded, &mut self.report).await?;
            count = Some(self.members.len() + kept);
            for kind in &self.places.kinds {
                left.add(kind, None);
            }
            left.namespaces.extend(self.places.namespaces.iter().cloned());
        }
        match self.held.take() {
            Some(held) => held.finish(&left, count).await,
            None => Ok(()),
        }
    }

    fn end(self, whole: Outcome) -> Outcome {
        self.report.finish();
        match whole {
            // Of a diff, 1 is an answer.
            Err(Failure::No(why)) if self.options.diff => return Err(anyhow!(why).into()),
            whole => whole?,
        }
        let Report { failed, done, different, .. } = self.report;
        let errors = if failed == 1 { "1 error".to_owned() } else { format!("{failed} errors") };
        match (self.options.diff, failed) {
            (true, 0) if different == 0 => Ok(()),
            (true, 0) => Err(Failure::Different),
            (true, _) => Err(anyhow!("{errors}; what would change cannot be told").into()),
            (false, 0) => Ok(()),
            (false, _) => Err(Failure::No(format!("{errors}; {done} objects are in place"))),
        }
    }
}
