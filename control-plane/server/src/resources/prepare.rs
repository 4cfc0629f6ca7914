//! Making an object fit to be stored: pruning, defaulting, the kind's strategy, validation.

use dropmate_api::{
    registry::{Kind, Part, WriteContext},
    validation::{Cause, object_meta},
};
use serde_json::Value;

use super::call::Warnings;
use crate::{
    error::{ApiError, Result},
    object,
    options::FieldValidation,
};

/// Takes out fields that the kind does not have, and with the duplicate keys of the body does as the caller wants:
/// refuses, warns or stays silent.
pub(crate) fn check_fields(
    kind: &Kind,
    new: &mut Value,
    duplicates: &[String],
    validation: FieldValidation,
    warnings: &mut Warnings,
) -> Result<()> {
    let mut unknown = object::read_metadata(kind, new)?;
    unknown.extend(kind_schema(kind).prune(new));
    unknown.sort_unstable();
    let findings: Vec<String> = duplicates
        .iter()
        .map(|path| format!("duplicate field \"{path}\""))
        .chain(unknown.iter().map(|path| format!("unknown field \"{path}\"")))
        .collect();
    match validation {
        FieldValidation::Ignore => Ok(()),
        FieldValidation::Warn => {
            for finding in findings {
                warnings.push(finding);
            }
            Ok(())
        }
        FieldValidation::Strict if findings.is_empty() => Ok(()),
        FieldValidation::Strict => Err(ApiError::bad_request(format!(
            "{} in version {:?} cannot be handled as a {}: strict decoding error: {}",
            kind.kind,
            kind.version,
            kind.kind,
            findings.join(", ")
        ))),
    }
}

fn kind_schema(kind: &Kind) -> &'static dropmate_api::schema::Schema {
    (kind.schema)()
}

/// Fills in defaults.
pub(crate) fn default(kind: &Kind, new: &mut Value) {
    kind_schema(kind).default(new);
}

/// Fills in defaults and what the kind's strategy owns.
pub(crate) fn fill(kind: &Kind, new: &mut Value, old: Option<&Value>, cx: &WriteContext) {
    default(kind, new);
    kind.strategy.prepare(new, old, cx);
}

/// Refuses an object that is wrong. A `/status` write answers only for the status: what else is wrong was there before.
pub(crate) fn validate(
    kind: &Kind,
    new: &Value,
    old: Option<&Value>,
    part: Part,
    mut causes: Vec<Cause>,
) -> Result<()> {
    causes.extend(object_meta(new, kind));
    causes.extend(kind_schema(kind).validate(new));
    causes.extend(kind.strategy.validate(new, old));
    if part == Part::Status {
        causes.retain(|cause| cause.field.is_empty() || cause.field.starts_with("status"));
    }
    if causes.is_empty() {
        return Ok(());
    }
    Err(ApiError::invalid(kind, object::text(new, "/metadata/name"), &causes))
}
