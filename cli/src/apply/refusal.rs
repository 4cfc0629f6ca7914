//! What a refusal complains about, field by field.

use crate::connection::Refusal;

/// Whether a refusal says nothing about the object, so that there is no use in sending others. What does not fit the types
/// of the schema is the object's fault, although Kubernetes has no other code for it than 500.
pub(super) fn stops(refusal: &Refusal) -> bool {
    matches!(refusal.code, 401 | 429 | 500..) && untyped(&refusal.message).is_empty()
}

/// Field and message of everything a refusal complains about.
pub(super) fn complaints(refusal: &Refusal) -> Vec<(String, String)> {
    let causes = refusal.details.causes.iter().filter(|cause| !cause.field.is_empty());
    let named: Vec<_> = causes.map(|cause| (cause.field.clone(), cause.message.clone())).collect();
    if !named.is_empty() {
        return named;
    }
    let untyped = untyped(&refusal.message);
    if !untyped.is_empty() {
        return untyped;
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

/// Server-side apply names what does not fit the schema in the message alone: `failed to create typed patch object
/// (…): .spec.bogus: field not declared in schema`, several on lines of their own.
fn untyped(message: &str) -> Vec<(String, String)> {
    let Some((_, rest)) = message.split_once("failed to create typed patch object (") else { return Vec::new() };
    let Some((_, faults)) = rest.split_once("): ") else { return Vec::new() };
    let faults = faults.strip_prefix("errors:\n").unwrap_or(faults);
    let fault = |line: &str| {
        let (field, message) = line.trim().strip_prefix('.')?.split_once(": ")?;
        let message = if message == "field not declared in schema" { "unknown field" } else { message };
        Some((field.to_owned(), message.to_owned()))
    };
    faults.lines().filter_map(fault).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::{RefusalCause, RefusalDetails};

    fn told(message: &str) -> Vec<(String, String)> {
        complaints(&Refusal { code: 400, message: message.to_owned(), ..Refusal::default() })
    }

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|&(field, message)| (field.to_owned(), message.to_owned())).collect()
    }

    #[test]
    fn strict_decoding_errors_are_told_field_by_field() {
        let message = "Order in version \"v1\" cannot be handled as a Order: strict decoding error: \
                       unknown field \"spec.bogus\", unknown field \"spec.pickup.adress\"";
        assert_eq!(told(message), pairs(&[("spec.bogus", "unknown field"), ("spec.pickup.adress", "unknown field")]));
    }

    #[test]
    fn what_does_not_fit_the_schema_is_told_field_by_field() {
        let one = "failed to create typed patch object (acme/o; dropmate.dev/v1, Kind=Order): .spec.bogus: field not declared in schema";
        assert_eq!(told(one), pairs(&[("spec.bogus", "unknown field")]));
        let two = "failed to create typed patch object (acme/o; dropmate.dev/v1, Kind=Order): errors:\n  .spec.bogus: field not declared in schema\n  .spec.items[0].name: expected string, got &value.valueUnstructured{Value:1}";
        assert_eq!(
            told(two),
            pairs(&[
                ("spec.bogus", "unknown field"),
                ("spec.items[0].name", "expected string, got &value.valueUnstructured{Value:1}")
            ])
        );
    }

    #[test]
    fn causes_are_told_field_by_field() {
        let cause = RefusalCause {
            field: "spec.priority".to_owned(),
            message: "Invalid value".to_owned(),
            ..RefusalCause::default()
        };
        let details = Box::new(RefusalDetails { causes: vec![cause], ..RefusalDetails::default() });
        let refusal = Refusal { code: 422, details, ..Refusal::default() };
        assert_eq!(complaints(&refusal), pairs(&[("spec.priority", "Invalid value")]));
    }
}
