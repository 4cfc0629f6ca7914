//! Replace and patch, of the object and of its status: one path to the store for all of them.

use std::sync::Arc;

use axum::{body::Body, response::Response};
use dropmate_api::registry::{Kind, Part, WriteContext};
use dropmate_store::{Change, Expect, Object, WriteError};
use http::StatusCode;
use serde_json::Value;

use super::{
    answer::Answer,
    apply,
    call::{Call, Warnings},
    commit::{self, MAX_ATTEMPTS},
    owners::Owners,
    prepare,
};
use crate::{
    body::{self, Document},
    error::{ApiError, Result},
    object::{self, cause, metadata, text},
    options::{self, WriteOptions},
    patch::{json_patch, merge_patch, strategic_merge_patch},
};

/// What an update came to.
pub(super) enum Updated {
    /// It is stored, or nothing had to change.
    Stored(Arc<Object>),
    /// It would have been stored so.
    DryRun(Value),
    /// Somebody else was faster.
    Lost,
}

/// `PUT`: replaces the object, or its status.
pub(crate) async fn replace(call: Call, body: Body) -> Result<Response> {
    let answer = Answer::negotiate(&call)?;
    let options = WriteOptions::parse(&call.query, "UpdateOptions")?;
    let bytes = body::read(body).await?;
    let Document { value: mut wanted, duplicates } =
        body::decode(call.kind(), &body::media_type(&call.headers), &bytes)?;
    let mut warnings = Warnings::default();
    let kind = call.kind();
    object::check_type(kind, &mut wanted)?;
    prepare::check_fields(kind, &mut wanted, &duplicates, options.field_validation, &mut warnings)?;
    call.check_namespace(&mut wanted)?;
    let name = text(&wanted, "/metadata/name");
    if name.is_empty() && kind.group != dropmate_api::GROUP {
        metadata(&mut wanted).insert("name".into(), call.name().into());
    } else if name != call.name() {
        return Err(ApiError::bad_request(format!(
            "the name of the object ({name}) does not match the name on the URL ({})",
            call.name()
        )));
    }
    let version = match text(&wanted, "/metadata/resourceVersion") {
        "" => None,
        version => Some(options::parse_version(version)?),
    };
    let uid = text(&wanted, "/metadata/uid").to_owned();
    for _ in 0..MAX_ATTEMPTS {
        let current = call.read().await?;
        if !uid.is_empty() && uid != current.uid {
            let why = format!("Precondition failed: UID in precondition: {uid}, UID in object meta: {}", current.uid);
            return Err(ApiError::conflict(kind, call.name(), &why));
        }
        match version {
            // Kubernetes lets Namespaces and Events be replaced blindly; our kinds and Leases never are.
            None if kind.kind != "Namespace" && kind.kind != "Event" => {
                let message = "Invalid value: 0: must be specified for an update";
                let cause = cause("FieldValueInvalid", message, "metadata.resourceVersion");
                return Err(ApiError::invalid_resource(kind, call.name(), &[cause]));
            }
            Some(version) if version != current.revision => return Err(ApiError::modified(kind, call.name())),
            _ => {}
        }
        let held = commit::served(kind, &current)?;
        match call.update(&current, held, wanted.clone(), options, Owners::Follow).await? {
            Updated::Lost if version.is_some() => return Err(ApiError::modified(kind, call.name())),
            Updated::Lost => {}
            updated => return call.answer_update(&answer, updated, &warnings),
        }
    }
    Err(ApiError::modified(kind, call.name()))
}

/// `PATCH`: changes the object, or its status.
pub(crate) async fn patch(call: Call, body: Body) -> Result<Response> {
    if body::media_type(&call.headers) == apply::MEDIA_TYPE {
        return apply::apply(call, body).await;
    }
    let answer = Answer::negotiate(&call)?;
    let options = WriteOptions::parse(&call.query, "PatchOptions")?;
    let form = PatchForm::of(&call)?;
    options::refuse_force(&call.query)?;
    let bytes = body::read(body).await?;
    let Document { value: patch, duplicates } = body::json(&bytes)?;
    let kind = call.kind();
    for _ in 0..MAX_ATTEMPTS {
        let mut warnings = Warnings::default();
        let current = call.read().await?;
        let held = commit::served(kind, &current)?;
        let mut wanted = form.apply(held.clone(), &patch)?;
        object::check_type(kind, &mut wanted)?;
        prepare::check_fields(kind, &mut wanted, &duplicates, options.field_validation, &mut warnings)?;
        call.check_namespace(&mut wanted)?;
        for (field, held) in [("uid", current.uid.as_str()), ("name", call.name())] {
            let given = text(&wanted, &format!("/metadata/{field}"));
            if !given.is_empty() && given != held {
                let cause = object::immutable(&format!("metadata.{field}"), given);
                return Err(ApiError::invalid(kind, call.name(), &[cause]));
            }
        }
        let version = text(&wanted, "/metadata/resourceVersion");
        // The patch names a version only if it changes it; then it is a precondition.
        if !version.is_empty() && options::parse_version(version)? != current.revision {
            return Err(ApiError::modified(kind, call.name()));
        }
        let pinned = form.names_version(&patch);
        match call.update(&current, held, wanted, options, Owners::Follow).await? {
            Updated::Lost if pinned => return Err(ApiError::modified(kind, call.name())),
            Updated::Lost => {}
            updated => return call.answer_update(&answer, updated, &warnings),
        }
    }
    Err(ApiError::modified(kind, call.name()))
}

/// How a patch is written.
#[derive(Clone, Copy)]
enum PatchForm {
    Json,
    Merge,
    Strategic,
}

impl PatchForm {
    fn of(call: &Call) -> Result<Self> {
        let kind = call.kind();
        match body::media_type(&call.headers).as_str() {
            "application/json-patch+json" => Ok(Self::Json),
            "application/merge-patch+json" => Ok(Self::Merge),
            "application/strategic-merge-patch+json" if kind.strategic_merge => Ok(Self::Strategic),
            _ => Err(ApiError::unsupported_media_type(&patch_types(kind))),
        }
    }

    fn apply(self, base: Value, patch: &Value) -> Result<Value> {
        match self {
            Self::Json => json_patch(base, patch),
            Self::Merge if patch.is_object() => Ok(merge_patch(base, patch)),
            Self::Merge => Err(ApiError::bad_request("a merge patch must be an object")),
            Self::Strategic => strategic_merge_patch(base, patch),
        }
    }

    /// Whether the patch itself says at which version it is meant.
    fn names_version(self, patch: &Value) -> bool {
        match self {
            Self::Json => patch
                .as_array()
                .into_iter()
                .flatten()
                .any(|operation| operation.get("path").and_then(Value::as_str) == Some("/metadata/resourceVersion")),
            Self::Merge | Self::Strategic => patch.pointer("/metadata/resourceVersion").is_some(),
        }
    }
}

/// The media types of the patches that a kind takes.
pub(crate) fn patch_types(kind: &Kind) -> Vec<&'static str> {
    let mut types = vec!["application/json-patch+json", "application/merge-patch+json"];
    if kind.strategic_merge {
        types.push("application/strategic-merge-patch+json");
    }
    types.push(apply::MEDIA_TYPE);
    types
}

impl Call {
    pub(super) fn part(&self) -> Part {
        if self.target.subresource.as_deref() == Some("status") { Part::Status } else { Part::Main }
    }

    /// Writes `wanted`, whose metadata and fields were checked, over `current`, which is `old` as it is served.
    pub(super) async fn update(
        &self,
        current: &Arc<Object>,
        old: Value,
        mut wanted: Value,
        options: WriteOptions,
        owners: Owners,
    ) -> Result<Updated> {
        let kind = self.kind();
        let part = self.part();
        let mut new = if part == Part::Status {
            let mut new = old.clone();
            take_field(&mut new, &mut wanted, "status");
            if owners == Owners::Settled {
                take_field(&mut new["metadata"], &mut wanted["metadata"], "managedFields");
            }
            new
        } else {
            if kind.status_subresource {
                put_field(&mut wanted, &old, "status");
            }
            wanted
        };
        keep_metadata(&mut new, &old);
        let cx = WriteContext { part, business_now: self.state.clock.business_now() };
        self.admit_owners(&old, &new)?;
        if part == Part::Main && self.permit.fields.is_some() {
            prepare::default(kind, &mut new);
            self.admit_change(&old, &new, part)?;
        }
        prepare::fill(kind, &mut new, Some(&old), &cx);
        // What a strategy keeps of a status was not asked for.
        if part == Part::Status {
            self.admit_change(&old, &new, part)?;
        }
        if kind.group == dropmate_api::GROUP {
            let held = old.pointer("/metadata/generation").and_then(Value::as_i64).unwrap_or(1);
            let generation = if object::wants_differ(kind, &old, &new) { held + 1 } else { held };
            metadata(&mut new).insert("generation".into(), generation.into());
        }
        self.own(Some(&old), &mut new, owners);
        if new == old || owners == Owners::Settled && dropmate_api::apply::same_but_times(&old, &new) {
            return Ok(Updated::Stored(current.clone()));
        }
        let terminating = old.pointer("/metadata/deletionTimestamp").is_some();
        let causes = if terminating { new_finalizers(&old, &new).into_iter().collect() } else { Vec::new() };
        prepare::validate(kind, &new, Some(&old), part, causes)?;
        if options.dry_run {
            return Ok(Updated::DryRun(new));
        }
        let going = (terminating && super::delete::may_go(kind, &new)).then(|| new.clone());
        let body = commit::body(kind, new);
        let change = match going {
            Some(object) => commit::removal(&self.state, kind, &object, body),
            None => Change::Put { uid: current.uid.clone(), body },
        };
        match self.commit(self.key(), Expect::Revision(current.revision), change, Vec::new()).await {
            Ok(stored) => Ok(Updated::Stored(stored)),
            Err(WriteError::Changed(_)) => Ok(Updated::Lost),
            Err(error) => Err(ApiError::write(kind, self.name(), &error)),
        }
    }

    pub(super) fn answer_update(&self, answer: &Answer, updated: Updated, warnings: &Warnings) -> Result<Response> {
        let response = match updated {
            Updated::Stored(stored) => answer.stored(self.kind(), &stored, StatusCode::OK)?,
            Updated::DryRun(value) => answer.served(self.kind(), &value, StatusCode::OK),
            Updated::Lost => return Err(ApiError::modified(self.kind(), self.name())),
        };
        Ok(warnings.onto(response))
    }
}

/// Makes `field` of `to` what it is in `from`, be it absent.
fn take_field(to: &mut Value, from: &mut Value, field: &str) {
    let (Value::Object(to), Value::Object(from)) = (to, from) else { return };
    match from.remove(field) {
        Some(value) => {
            to.insert(field.to_owned(), value);
        }
        None => {
            to.remove(field);
        }
    }
}

/// The same, of an object that is still needed.
fn put_field(to: &mut Value, from: &Value, field: &str) {
    let Value::Object(to) = to else { return };
    match from.get(field) {
        Some(value) => {
            to.insert(field.to_owned(), value.clone());
        }
        None => {
            to.remove(field);
        }
    }
}

/// What the server owns in `metadata` stays as it is.
fn keep_metadata(new: &mut Value, old: &Value) {
    const OWNED: &[&str] = &[
        "creationTimestamp",
        "deletionGracePeriodSeconds",
        "deletionTimestamp",
        "generation",
        "name",
        "namespace",
        "resourceVersion",
        "uid",
    ];
    let new = metadata(new);
    for &field in OWNED {
        match old["metadata"].get(field) {
            Some(value) => {
                new.insert(field.to_owned(), value.clone());
            }
            None => {
                new.remove(field);
            }
        }
    }
}

fn new_finalizers(old: &Value, new: &Value) -> Option<dropmate_api::validation::Cause> {
    let held = object::finalizers(old);
    let added: Vec<String> =
        object::finalizers(new).into_iter().filter(|f| !held.contains(f)).map(|f| format!("{f:?}")).collect();
    let message = format!(
        "Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
        added.join(", ")
    );
    (!added.is_empty()).then(|| cause("FieldValueForbidden", message, "metadata.finalizers"))
}
