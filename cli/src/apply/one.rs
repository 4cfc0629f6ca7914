//! One object brought to what its manifest wants.

use anyhow::anyhow;
use http::Method;
use serde_json::{Value, json};

use super::plan;
use crate::{
    connection::{Connection, Refusal, escape},
    failure::Failure,
    kinds::{Kinds, Resource},
    manifest::{Manifest, Problem},
};

/// How often a patch is made anew when somebody else wrote in between. kubectl tries as often.
const MAX_ATTEMPTS: usize = 5;

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
    pub(super) change: Change,
    pub(super) warnings: Vec<String>,
}

/// How an object may fail: its own fault, or the fault of everything.
#[derive(Debug)]
pub(super) enum ApplyError {
    /// The object is wrong or refused; others may go in.
    Object(Vec<Problem>),
    /// There is no use in going on.
    Stop(Failure),
}

impl From<Failure> for ApplyError {
    fn from(failure: Failure) -> Self {
        Self::Stop(failure)
    }
}

/// What applies to every object of a run.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rules {
    pub(super) create_namespace: bool,
    pub(super) dry_run: bool,
}

/// Applies one object.
pub(super) async fn apply(
    connection: &Connection,
    kinds: &Kinds,
    rules: Rules,
    manifest: Manifest,
) -> Result<Applied, ApplyError> {
    let resource = kinds.of(connection, manifest.api_version(), manifest.kind()).await?;
    let Some(resource) = resource else {
        let message = format!("the server has no kind {:?} in {:?}", manifest.kind(), manifest.api_version());
        return Err(ApplyError::Object(vec![manifest.problem_at("kind", message)]));
    };
    let namespace = namespace_of(connection, &resource, &manifest)?;
    let mut object = manifest.object.clone();
    if let Some(namespace) = &namespace {
        object["metadata"]["namespace"] = json!(namespace);
    }
    let wanted = plan::annotated(object);
    let target = Target { connection, resource: &resource, namespace, rules, manifest: &manifest, wanted: &wanted };
    target.bring_about().await
}

/// The namespace the object goes to; `None` for kinds without.
fn namespace_of(
    connection: &Connection,
    resource: &Resource,
    manifest: &Manifest,
) -> Result<Option<String>, ApplyError> {
    if !resource.namespaced {
        return Ok(None);
    }
    match manifest.namespace() {
        Some(own) if connection.namespace_given && own != connection.namespace => {
            let message = format!("the object is of namespace {own:?}, but -n says {:?}", connection.namespace);
            Err(ApplyError::Object(vec![manifest.problem_at("metadata.namespace", message)]))
        }
        Some(own) => Ok(Some(own.to_owned())),
        None => Ok(Some(connection.namespace.clone())),
    }
}

struct Target<'a> {
    connection: &'a Connection,
    resource: &'a Resource,
    namespace: Option<String>,
    rules: Rules,
    manifest: &'a Manifest,
    wanted: &'a Value,
}

impl Target<'_> {
    async fn bring_about(&self) -> Result<Applied, ApplyError> {
        let collection = self.resource.path(self.namespace.as_deref());
        let path = format!("{collection}/{}", escape(self.manifest.name()));
        for _ in 0..MAX_ATTEMPTS {
            let live = match self.connection.get(&path).await?.accepted() {
                Ok(live) => live,
                Err(refusal) if refusal.code == 404 => match self.create(&collection).await? {
                    Some(applied) => return Ok(applied),
                    // Somebody else was faster: there is something to patch now.
                    None => continue,
                },
                Err(refusal) => return Err(self.refused(refusal)),
            };
            let last = plan::last_applied(&live);
            let Some(changes) = plan::three_way(last.as_ref(), &live, self.wanted) else {
                return Ok(self.applied(Change::Unchanged, Vec::new()));
            };
            let url = format!("{path}?{}", self.parameters());
            let answer = self.connection.write(Method::PATCH, &url, "application/merge-patch+json", &changes).await?;
            let warnings = answer.warnings.clone();
            match answer.accepted() {
                Ok(_) => return Ok(self.applied(Change::Configured, warnings)),
                // Changed or deleted in between: look again.
                Err(refusal) if refusal.code == 409 || refusal.code == 404 => {}
                Err(refusal) => return Err(self.refused(refusal)),
            }
        }
        let message = format!("others kept changing it; gave up after {MAX_ATTEMPTS} attempts");
        Err(ApplyError::Object(vec![self.manifest.problem(self.named(&message))]))
    }

    /// Creates the object; `None` if it is there by now.
    async fn create(&self, collection: &str) -> Result<Option<Applied>, ApplyError> {
        let url = format!("{collection}?{}", self.parameters());
        for attempt in 0..2 {
            let answer = self.connection.write(Method::POST, &url, "application/json", self.wanted).await?;
            let warnings = answer.warnings.clone();
            match answer.accepted() {
                Ok(_) => return Ok(Some(self.applied(Change::Created, warnings))),
                Err(refusal) if refusal.code == 409 && refusal.reason == "AlreadyExists" => return Ok(None),
                Err(refusal) if refusal.code == 404 && refusal.details.kind == "namespaces" => {
                    let missing = format!("namespace {:?} is missing", refusal.details.name);
                    if !self.rules.create_namespace {
                        let message = format!("{missing}; --create-namespace makes it");
                        return Err(ApplyError::Object(vec![self.manifest.problem(self.named(&message))]));
                    }
                    if self.rules.dry_run {
                        let message = format!("{missing}, and a dry run does not make it");
                        return Err(ApplyError::Object(vec![self.manifest.problem(self.named(&message))]));
                    }
                    if attempt == 0 {
                        self.create_namespace(&refusal.details.name).await?;
                    }
                }
                Err(refusal) => return Err(self.refused(refusal)),
            }
        }
        Err(ApplyError::Stop(anyhow!("the namespace was made and is missing again").into()))
    }

    async fn create_namespace(&self, name: &str) -> Result<(), ApplyError> {
        let body = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        let answer = self.connection.write(Method::POST, "/api/v1/namespaces", "application/json", &body).await?;
        match answer.accepted() {
            Ok(_) => Ok(()),
            // Another object of this run, or another person, made it.
            Err(refusal) if refusal.code == 409 => Ok(()),
            Err(refusal) => Err(self.refused(refusal)),
        }
    }

    fn parameters(&self) -> String {
        let dry_run = if self.rules.dry_run { "&dryRun=All" } else { "" };
        format!("fieldManager=dropmate&fieldValidation=Strict{dry_run}")
    }

    fn named(&self, message: &str) -> String {
        format!("{}: {message}", self.resource.object(self.manifest.name()))
    }

    fn applied(&self, change: Change, warnings: Vec<String>) -> Applied {
        Applied { object: self.resource.object(self.manifest.name()), change, warnings }
    }

    /// A refusal of this object, told field by field on the lines where the fields stand.
    fn refused(&self, refusal: Refusal) -> ApplyError {
        if matches!(refusal.code, 401 | 429 | 500..) {
            return ApplyError::Stop(refusal.into());
        }
        let fields = complaints(&refusal);
        if fields.is_empty() {
            return ApplyError::Object(vec![self.manifest.problem(self.named(&refusal.to_string()))]);
        }
        let problem = |(field, message): &(String, String)| {
            self.manifest.problem_at(field, self.named(&format!("{field}: {message}")))
        };
        ApplyError::Object(fields.iter().map(problem).collect())
    }
}

/// Field and message of everything a refusal complains about.
fn complaints(refusal: &Refusal) -> Vec<(String, String)> {
    let causes = refusal.details.causes.iter().filter(|cause| !cause.field.is_empty());
    let named: Vec<_> = causes.map(|cause| (cause.field.clone(), cause.message.clone())).collect();
    if !named.is_empty() {
        return named;
    }
    // Strict decoding names its fields in the message alone: `unknown field "spec.bogus", duplicate field "spec.x"`.
    let mut found = Vec::new();
    for what in ["unknown field", "duplicate field"] {
        for part in refusal.message.split(&format!("{what} \"")).skip(1) {
            if let Some((field, _)) = part.split_once('"') {
                found.push((field.to_owned(), what.to_owned()));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::{RefusalCause, RefusalDetails};

    #[test]
    fn strict_decoding_errors_are_told_field_by_field() {
        let message = "Order in version \"v1\" cannot be handled as a Order: strict decoding error: \
                       unknown field \"spec.bogus\", unknown field \"spec.pickup.adress\"";
        let refusal = Refusal { code: 400, message: message.to_owned(), ..Refusal::default() };
        let fields: Vec<_> = complaints(&refusal).into_iter().map(|(field, _)| field).collect();
        assert_eq!(fields, ["spec.bogus", "spec.pickup.adress"]);
    }

    #[test]
    fn causes_are_told_field_by_field() {
        let cause = RefusalCause { field: "spec.priority".to_owned(), message: "Invalid value".to_owned() };
        let details = Box::new(RefusalDetails { causes: vec![cause], ..RefusalDetails::default() });
        let refusal = Refusal { code: 422, details, ..Refusal::default() };
        assert_eq!(complaints(&refusal), [("spec.priority".to_owned(), "Invalid value".to_owned())]);
    }
}
