//! What is wrong with an object, as causes with field paths in the words of Kubernetes.

mod metadata;
pub mod names;
mod text;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use metadata::object_meta;
pub use names::{is_dns_label, is_dns_subdomain, is_label_value, is_qualified_name};
pub(crate) use text::float;
pub use text::quote;
pub(crate) use text::value as shown;

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

impl Cause {
    /// The field must be given.
    pub fn required(field: impl Into<String>, detail: &str) -> Self {
        Self::new("FieldValueRequired", with_detail("Required value".to_owned(), detail), field)
    }

    /// The value is malformed or out of bounds.
    pub fn invalid(field: impl Into<String>, value: &Value, detail: &str) -> Self {
        Self::new("FieldValueInvalid", with_detail(format!("Invalid value: {}", text::value(value)), detail), field)
    }

    /// The value has the wrong type; `value` is what Kubernetes shows, mostly the name of the type it has.
    pub fn type_invalid(field: impl Into<String>, value: &Value, detail: &str) -> Self {
        Self::new("FieldValueTypeInvalid", with_detail(format!("Invalid value: {}", text::value(value)), detail), field)
    }

    /// The value is not one of those an enumeration knows.
    pub fn not_supported<S: AsRef<str>>(field: impl Into<String>, value: &Value, supported: &[S]) -> Self {
        let quoted: Vec<String> = supported.iter().map(|s| quote(s.as_ref())).collect();
        let detail = if quoted.is_empty() { String::new() } else { format!("supported values: {}", quoted.join(", ")) };
        Self::new(
            "FieldValueNotSupported",
            with_detail(format!("Unsupported value: {}", text::value(value)), &detail),
            field,
        )
    }

    /// The value, or the key of the list item, is there twice.
    pub fn duplicate(field: impl Into<String>, value: &Value) -> Self {
        Self::new("FieldValueDuplicate", format!("Duplicate value: {}", text::value(value)), field)
    }

    /// The value may not be given, or may not be changed, in this state.
    pub fn forbidden(field: impl Into<String>, detail: &str) -> Self {
        Self::new("FieldValueForbidden", with_detail("Forbidden".to_owned(), detail), field)
    }

    /// The value is longer than `max` bytes.
    pub fn too_long(field: impl Into<String>, max: usize) -> Self {
        let unit = if max == 1 { "byte" } else { "bytes" };
        Self::new("FieldValueTooLong", format!("Too long: may not be more than {max} {unit}"), field)
    }

    /// The list has more than `max` items.
    pub fn too_many(field: impl Into<String>, actual: usize, max: usize) -> Self {
        let unit = if max == 1 { "item" } else { "items" };
        Self::new("FieldValueTooMany", format!("Too many: {actual}: must have at most {max} {unit}"), field)
    }

    fn new(reason: &str, message: String, field: impl Into<String>) -> Self {
        Self { reason: reason.to_owned(), message, field: field.into() }
    }
}

fn with_detail(head: String, detail: &str) -> String {
    if detail.is_empty() { head } else { format!("{head}: {detail}") }
}
