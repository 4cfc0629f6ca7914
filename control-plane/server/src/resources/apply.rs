//! Server-side apply: `PATCH` with what a manager wants of an object. It creates the object where there is none.

use axum::{body::Body, response::Response};
use dropmate_api::{
    apply::{self, ApplyError},
    registry::{Kind, Part},
};
use http::StatusCode;
use serde_json::Value;

use super::{
    answer::Answer,
    call::{Call, Warnings},
    commit::{self, MAX_ATTEMPTS},
    create::Created,
    owners::Owners,
    prepare,
    update::Updated,
};
use crate::{
    body::{self, Document},
    error::{ApiError, Result},
    object::{self, text},
    options::{self, FieldValidation, WriteOptions},
};

/// The media type of an apply patch, be it in YAML or in JSON.
pub(crate) const MEDIA_TYPE: &str = "application/apply-patch+yaml";

/// `PATCH` with an apply patch.
pub(super) async fn apply(call: Call, body: Body) -> Result<Response> {
    let answer = Answer::negotiate(&call)?;
    let options = WriteOptions::parse(&call.query, "PatchOptions")?;
    let force = options::apply_force(&call.query)?;
    let bytes = body::read(body).await?;
    let kind = call.kind();
    let Document { value: mut patch, duplicates } = body::apply_patch(&bytes)?;
    let mut warnings = Warnings::default();
    check_duplicates(&duplicates, options.field_validation, &mut warnings)?;
    check_type(kind, &mut patch)?;
    call.check_namespace(&mut patch)?;
    let name = text(&patch, "/metadata/name").to_owned();
    if !name.is_empty() && name != call.name() {
        return Err(ApiError::bad_request(format!(
            "the name of the object ({name}) does not match the name on the URL ({})",
            call.name()
        )));
    }
    let uid = text(&patch, "/metadata/uid").to_owned();
    let version = match text(&patch, "/metadata/resourceVersion") {
        "" => None,
        version => Some(options::parse_version(version)?),
    };
    call.admit_applied(&patch)?;
    for _ in 0..MAX_ATTEMPTS {
        let Some(current) = call.find().await? else {
            match call.create_applied(&patch, options, force).await {
                // Somebody else was faster: there is an object to apply to now.
                Err(error) if error.reason() == "AlreadyExists" => continue,
                Err(error) => return Err(error),
                Ok(Created::Stored(stored)) => {
                    return Ok(warnings.onto(answer.stored(kind, &stored, StatusCode::CREATED)?));
                }
                Ok(Created::DryRun(value)) => {
                    return Ok(warnings.onto(answer.served(kind, &value, StatusCode::CREATED)));
                }
            }
        };
        if !uid.is_empty() && uid != current.uid {
            return Err(ApiError::invalid(kind, call.name(), &[object::immutable("metadata.uid", &uid)]));
        }
        if version.is_some_and(|version| version != current.revision) {
            return Err(ApiError::modified(kind, call.name()));
        }
        let held = commit::served(kind, &current)?;
        let wanted = call.merged(&held, &patch, force)?;
        match call.update(&current, held, wanted, options, Owners::Settled).await? {
            Updated::Lost if version.is_some() => return Err(ApiError::modified(kind, call.name())),
            Updated::Lost => {}
            updated => return call.answer_update(&answer, updated, &warnings),
        }
    }
    Err(ApiError::modified(kind, call.name()))
}

impl Call {
    /// The object with the patch applied, fit to be written.
    fn merged(&self, live: &Value, patch: &Value, force: bool) -> Result<Value> {
        let kind = self.kind();
        let applied = self.as_writer(|writer| apply::apply((kind.schema)(), live, patch, writer, force));
        let mut wanted = applied.map_err(|error| refusal(&error))?;
        // The patch has no fields outside the schema, or it would have been refused.
        let mut silent = Warnings::default();
        prepare::check_fields(kind, &mut wanted, &[], FieldValidation::Ignore, &mut silent)?;
        Ok(wanted)
    }

    async fn create_applied(&self, patch: &Value, options: WriteOptions, force: bool) -> Result<Created> {
        let kind = self.kind();
        if self.part() == Part::Status {
            return Err(ApiError::not_found(kind, self.name()));
        }
        let uid = text(patch, "/metadata/uid");
        if !uid.is_empty() {
            let why =
                format!("uid mismatch: the provided object specified uid {uid}, and no existing object was found");
            return Err(ApiError::conflict(kind, self.name(), &why));
        }
        let wanted = self.merged(&Value::Null, patch, force)?;
        if text(&wanted, "/metadata/name").is_empty() {
            return Err(ApiError::bad_request(format!(
                "the name of the object ({} based on URL) was undeterminable: name must be provided",
                self.name()
            )));
        }
        self.create_named(wanted, options, Owners::Settled).await
    }
}

fn check_duplicates(duplicates: &[String], validation: FieldValidation, warnings: &mut Warnings) -> Result<()> {
    let findings: Vec<String> = duplicates.iter().map(|path| format!("duplicate field \"{path}\"")).collect();
    match validation {
        FieldValidation::Strict if !findings.is_empty() => {
            Err(ApiError::bad_request(format!("error strict decoding YAML: {}", findings.join(", "))))
        }
        FieldValidation::Warn => {
            for finding in findings {
                warnings.push(finding);
            }
            Ok(())
        }
        FieldValidation::Strict | FieldValidation::Ignore => Ok(()),
    }
}

fn check_type(kind: &Kind, patch: &mut Value) -> Result<()> {
    let version = text(patch, "/apiVersion");
    if patch.is_object() && version != kind.api_version() {
        return Err(ApiError::bad_request(format!(
            "Incorrect version specified in apply patch. Specified patch version: {version}, expected: {}",
            kind.api_version()
        )));
    }
    object::check_type(kind, patch)?;
    if matches!(patch.get("metadata"), None | Some(Value::Null | Value::Object(_))) {
        return Ok(());
    }
    let found = dropmate_api::validation::quote(&patch["metadata"].to_string());
    Err(ApiError::bad_request(format!("metadata must be an object, not {found}")))
}

fn refusal(error: &ApplyError) -> ApiError {
    match error {
        ApplyError::Conflicts(_) => ApiError::apply_conflict(error.to_string(), &error.causes()),
        ApplyError::Refused(_) => ApiError::bad_request(error.to_string()),
        // A fault of the caller's, and yet Kubernetes answers so.
        ApplyError::Untyped { .. } => ApiError::unspecific(error.to_string()),
    }
}
