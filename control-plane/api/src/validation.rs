//! What is wrong with an object, as causes with field paths in the words of Kubernetes.

use serde::{Deserialize, Serialize};

/// One thing that is wrong, as it stands in `Status.details.causes`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    /// For programs: `FieldValueInvalid`, `FieldValueRequired`, `FieldValueNotSupported`, `FieldValueDuplicate`,
    /// `FieldValueTypeInvalid`, `FieldValueForbidden`, `FieldValueTooLong`, …
    pub reason: String,
    /// For people, without the field: `Invalid value: 91: must be less than or equal to 90`.
    pub message: String,
    /// Path of the field: `spec.items[0].quantity`.
    pub field: String,
}
