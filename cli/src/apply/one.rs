//! One object brought to what its manifest wants.

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
};

use dropmate_api::applyset::PART_OF;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::{
    conflicts::{self, Conflict},
    member::{self, label, owns_label},
    migrate,
    refusal::{complaints, stops},
    subject::Subject,
};
use crate::{
    connection::{Answer, Connection, Refusal, escape},
    failure::Failure,
    manifest::{Manifest, Problem},
};

/// How often an object is looked at anew when somebody else wrote in between.
const MAX_ATTEMPTS: usize = 8;

/// The media type of an apply patch; JSON is YAML.
const APPLY_PATCH: &str = "application/apply-patch+yaml";

/// What `apply` did to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Created,
    Configured,
    Unchanged,
}

impl Change {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Configured => "configured",
            Self::Unchanged => "unchanged",
        }
    }
}

/// An applied object.
#[derive(Debug)]
pub(super) struct Applied {
    /// `order.dropmate.dev/o-1`.
    pub(super) object: String,
    pub(super) namespace: Option<String>,
    pub(super) change: Change,
    pub(super) warnings: Vec<String>,
    /// Before and after, if they are wanted; null before, if it is new.
    pub(super) states: Option<(Value, Value)>,
}

/// How an object may fail: its own fault, or the fault of everything.
#[derive(Debug)]
pub(super) enum ApplyError {
    /// The object is wrong or refused; others may go in.
    Object(Vec<Problem>),
    /// Others own what it would change.
    Conflict { problem: Problem, object: String, conflicts: Vec<Conflict> },
    /// There is no use in going on.
    Stop(Failure),
}

impl From<Failure> for ApplyError {
    fn from(failure: Failure) -> Self {
        Self::Stop(failure)
    }
}

/// What applies to every object of a run.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(super) struct Rules {
    /// As whom fields are owned.
    pub(super) manager: String,
    /// Take over what others own.
    pub(super) force: bool,
    pub(super) create_namespace: bool,
    pub(super) dry_run: bool,
    /// Tell the states before and after.
    pub(super) states: bool,
    /// The ApplySet that objects become members of: its id.
    pub(super) set: Option<String>,
    /// Namespaces that would be there by now, were this no dry run.
    pub(super) promised: Mutex<BTreeSet<String>>,
}

impl Rules {
    fn promised(&self) -> std::sync::MutexGuard<'_, BTreeSet<String>> {
        self.promised.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Applies one object.
pub(super) async fn apply(
    connection: &Connection,
    rules: &Rules,
    subject: Subject,
    manifest: Manifest,
) -> Result<Applied, ApplyError> {
    let mut wanted = manifest.object.clone();
    if let Some(namespace) = &subject.namespace {
        wanted["metadata"]["namespace"] = json!(namespace);
    }
    if let Some(Value::Object(annotations)) = wanted.pointer_mut("/metadata/annotations") {
        // A copy of what client-side apply once applied is no wish.
        annotations.remove(migrate::LAST_APPLIED);
    }
    if label(&wanted).is_some() {
        let message = format!("{PART_OF} is set by --applyset alone; take it out");
        return Err(ApplyError::Object(vec![manifest.problem_at(&format!("metadata.labels.{PART_OF}"), message)]));
    }
    let target = Target { connection, subject: &subject, rules, manifest: &manifest, wanted: &wanted };
    target.bring_about().await
}

struct Target<'a> {
    connection: &'a Connection,
    subject: &'a Subject,
    rules: &'a Rules,
    manifest: &'a Manifest,
    wanted: &'a Value,
}

impl Target<'_> {
    async fn bring_about(&self) -> Result<Applied, ApplyError> {
        let collection = self.subject.resource.path(self.subject.namespace.as_deref());
        let path = format!("{collection}/{}", escape(self.manifest.name()));
        for _ in 0..MAX_ATTEMPTS {
            let live = match self.connection.get(&path).await?.accepted() {
                Ok(live) => Some(live),
                Err(refusal) if refusal.code == 404 => None,
                Err(refusal) => return Err(self.refused(&refusal)),
            };
            if let Some(applied) = self.attempt(&path, live.as_ref()).await? {
                return Ok(applied);
            }
        }
        let message = format!("others kept changing it; gave up after {MAX_ATTEMPTS} attempts");
        Err(ApplyError::Object(vec![self.manifest.problem(self.named(&message))]))
    }

    /// Applies over what is there; `None` if that is something else by now.
    async fn attempt(&self, path: &str, live: Option<&Value>) -> Result<Option<Applied>, ApplyError> {
        let mut migrated = None;
        if let Some(live) = live
            && !self.rules.dry_run
            && let Some(patch) = migrate::patch(live, &self.rules.manager)
        {
            let url = format!("{path}?fieldManager={}", escape(&self.rules.manager));
            match self.connection.write(Method::PATCH, &url, "application/json-patch+json", &patch).await?.accepted() {
                Ok(object) => migrated = Some(object),
                Err(refusal) if refusal.code == 409 || refusal.code == 404 => return Ok(None),
                Err(refusal) => return Err(self.refused(&refusal)),
            }
        }
        let mut wanted = self.wanted.clone();
        if let Some(id) = self.membership(live)? {
            member::set_label(&mut wanted, &id);
        }
        // Of this very version: so it is known what changed, and nobody's membership is taken over unseen.
        let pinned = live.is_some() && version(self.wanted).is_none();
        if let Some(object) = migrated.as_ref().or(live)
            && pinned
        {
            wanted["metadata"]["resourceVersion"] = object["metadata"]["resourceVersion"].clone();
        }
        let answer = self.patch(path, &wanted, self.rules.force).await?;
        let (created, warnings) = (answer.code == StatusCode::CREATED, answer.warnings.clone());
        let after = match answer.accepted() {
            Ok(after) => after,
            Err(refusal) if self.would_be_migrated(live, &refusal) => {
                match self.patch(path, &wanted, true).await?.accepted() {
                    Ok(after) => after,
                    Err(refusal) => return self.not_applied(&refusal, pinned, &wanted).await,
                }
            }
            Err(refusal) => return self.not_applied(&refusal, pinned, &wanted).await,
        };
        if created && self.rules.dry_run && self.subject.resource.kind == "Namespace" {
            self.rules.promised().insert(self.manifest.name().to_owned());
        }
        let changed = |live: &Value| {
            if self.rules.dry_run { *live != after } else { version(live) != version(&after) }
        };
        let change = match live {
            _ if created => Change::Created,
            Some(live) if !changed(live) => Change::Unchanged,
            _ => Change::Configured,
        };
        let after = match live {
            Some(live) if self.rules.dry_run && migrate::patch(live, &self.rules.manager).is_some() => {
                migrate::without_what_left(live, self.wanted, after)
            }
            _ => after,
        };
        Ok(Some(self.applied(change, warnings, live, after)))
    }

    async fn patch(&self, path: &str, wanted: &Value, force: bool) -> Result<Answer, ApplyError> {
        let dry_run = if self.rules.dry_run { "&dryRun=All" } else { "" };
        let manager = escape(&self.rules.manager);
        let url = format!("{path}?fieldManager={manager}&force={force}&fieldValidation=Strict{dry_run}");
        Ok(self.connection.write(Method::PATCH, &url, APPLY_PATCH, wanted).await?)
    }

    /// A dry run cannot migrate; but the real one would, and then what client-side apply owns is no conflict.
    fn would_be_migrated(&self, live: Option<&Value>, refusal: &Refusal) -> bool {
        let conflicts = conflicts::of(refusal);
        let mine = live.map(migrate::owners).unwrap_or_default();
        self.rules.dry_run && !conflicts.is_empty() && conflicts.iter().all(|conflict| mine.contains(&conflict.owner))
    }

    /// What a refusal means: look again (`None`), or an error; in a dry run a missing namespace may be none.
    async fn not_applied(
        &self,
        refusal: &Refusal,
        pinned: bool,
        wanted: &Value,
    ) -> Result<Option<Applied>, ApplyError> {
        let conflicts = conflicts::of(refusal);
        if !conflicts.is_empty() {
            let count = match conflicts.len() {
                1 => "a field".to_owned(),
                many => format!("{many} fields"),
            };
            let problem = self.manifest.problem(self.named(&format!("others own {count} that it would change")));
            let object = self.subject.resource.object(self.manifest.name());
            return Err(ApplyError::Conflict { problem, object, conflicts });
        }
        // Changed, deleted or made in between: look again.
        if refusal.code == 409 && pinned {
            return Ok(None);
        }
        if refusal.code == 404 && refusal.details.kind == "namespaces" {
            let namespace = &refusal.details.name;
            let missing = format!("namespace {namespace:?} is missing");
            if self.rules.dry_run && (self.rules.create_namespace || self.rules.promised().contains(namespace)) {
                let warning = self.named("not checked: its namespace is not there yet");
                return Ok(Some(self.applied(Change::Created, vec![warning], None, wanted.clone())));
            }
            if !self.rules.create_namespace {
                let message = format!("{missing}; --create-namespace makes it");
                return Err(ApplyError::Object(vec![self.manifest.problem(self.named(&message))]));
            }
            self.create_namespace(namespace).await?;
            return Ok(None);
        }
        Err(self.refused(refusal))
    }

    async fn create_namespace(&self, name: &str) -> Result<(), ApplyError> {
        let body = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        let answer = self.connection.write(Method::POST, "/api/v1/namespaces", "application/json", &body).await?;
        match answer.accepted() {
            Ok(_) => Ok(()),
            // Another object of this run, or another person, made it.
            Err(refusal) if refusal.code == 409 => Ok(()),
            Err(refusal) => Err(self.refused(&refusal)),
        }
    }

    /// The ApplySet that the object is to be a member of. A member that is applied by itself stays one.
    fn membership(&self, live: Option<&Value>) -> Result<Option<String>, ApplyError> {
        if !self.subject.may_be_member() {
            return Ok(None);
        }
        let held = live.and_then(label);
        let Some(wanted) = &self.rules.set else {
            let own = live.is_some_and(|live| owns_label(live, &self.rules.manager));
            return Ok(held.filter(|_| own).map(str::to_owned));
        };
        match held {
            Some(other) if other != wanted => {
                let message = format!(
                    "is a member of another ApplySet ({other}): apply it with that one alone, or take the label {PART_OF} off it first"
                );
                Err(ApplyError::Object(vec![self.manifest.problem(self.named(&message))]))
            }
            _ => Ok(Some(wanted.clone())),
        }
    }

    fn named(&self, message: &str) -> String {
        format!("{}: {message}", self.subject.resource.object(self.manifest.name()))
    }

    fn applied(&self, change: Change, warnings: Vec<String>, live: Option<&Value>, after: Value) -> Applied {
        Applied {
            object: self.subject.resource.object(self.manifest.name()),
            namespace: self.subject.namespace.clone(),
            change,
            warnings,
            states: self.rules.states.then(|| (live.cloned().unwrap_or_default(), after)),
        }
    }

    /// A refusal of this object, told field by field on the lines where the fields stand.
    fn refused(&self, refusal: &Refusal) -> ApplyError {
        if stops(refusal) {
            return ApplyError::Stop(refusal.clone().into());
        }
        let fields = complaints(refusal);
        if fields.is_empty() {
            return ApplyError::Object(vec![self.manifest.problem(self.named(&refusal.to_string()))]);
        }
        let problem = |(field, message): &(String, String)| {
            self.manifest.problem_at(field, self.named(&format!("{field}: {message}")))
        };
        ApplyError::Object(fields.iter().map(problem).collect())
    }
}

fn version(object: &Value) -> Option<&str> {
    object.pointer("/metadata/resourceVersion").and_then(Value::as_str)
}
