//! The rules for names, label keys and label values, with the texts of Kubernetes.

/// Longest name of an object.
const SUBDOMAIN_BYTES_MAX: usize = 253;
/// Longest DNS label, label value and name part of a label key.
const LABEL_BYTES_MAX: usize = 63;

const SUBDOMAIN_RULE: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const LABEL_RULE: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const QUALIFIED_RULE: &str = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const VALUE_RULE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";

/// Whether the text is an RFC 1123 label: what a namespace may be called.
pub fn is_dns_label(text: &str) -> bool {
    dns_label(text).is_empty()
}

/// Whether the text is an RFC 1123 subdomain: what most objects may be called.
pub fn is_dns_subdomain(text: &str) -> bool {
    dns_subdomain(text).is_empty()
}

/// Whether the text may be a label key, an annotation key or a finalizer.
pub fn is_qualified_name(text: &str) -> bool {
    qualified_name(text).is_empty()
}

/// Whether the text may be the value of a label.
pub fn is_label_value(text: &str) -> bool {
    label_value(text).is_empty()
}

/// What is wrong with the name of a namespace, in the words of Kubernetes.
pub fn dns_label(text: &str) -> Vec<String> {
    let mut wrong = too_long(text, LABEL_BYTES_MAX);
    if !label_shape(text) {
        wrong.push(LABEL_RULE.to_owned());
    }
    wrong
}

/// What is wrong with the name of an object, in the words of Kubernetes.
pub fn dns_subdomain(text: &str) -> Vec<String> {
    let mut wrong = too_long(text, SUBDOMAIN_BYTES_MAX);
    if !text.split('.').all(label_shape) {
        wrong.push(SUBDOMAIN_RULE.to_owned());
    }
    wrong
}

/// What is wrong with a label key, an annotation key or a finalizer, in the words of Kubernetes.
pub fn qualified_name(text: &str) -> Vec<String> {
    let (prefix, name) = match text.split_once('/') {
        None => (None, text),
        Some((_, name)) if name.contains('/') => {
            return vec![format!(
                "a qualified name {QUALIFIED_RULE} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
            )];
        }
        Some((prefix, name)) => (Some(prefix), name),
    };
    let mut wrong = Vec::new();
    match prefix {
        Some("") => wrong.push("prefix part must be non-empty".to_owned()),
        Some(prefix) => wrong.extend(dns_subdomain(prefix).iter().map(|rule| format!("prefix part {rule}"))),
        None => {}
    }
    if name.is_empty() {
        wrong.push("name part must be non-empty".to_owned());
    }
    wrong.extend(too_long(name, LABEL_BYTES_MAX).iter().map(|rule| format!("name part {rule}")));
    if !value_shape(name) {
        wrong.push(format!("name part {QUALIFIED_RULE}"));
    }
    wrong
}

/// What is wrong with the value of a label, in the words of Kubernetes.
pub fn label_value(text: &str) -> Vec<String> {
    let mut wrong = too_long(text, LABEL_BYTES_MAX);
    if !text.is_empty() && !value_shape(text) {
        wrong.push(VALUE_RULE.to_owned());
    }
    wrong
}

fn too_long(text: &str, max: usize) -> Vec<String> {
    if text.len() > max { vec![format!("must be no more than {max} bytes")] } else { Vec::new() }
}

fn label_shape(text: &str) -> bool {
    let alphanumeric = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    text.bytes().all(|b| alphanumeric(b) || b == b'-')
        && text.bytes().next().is_some_and(alphanumeric)
        && text.bytes().next_back().is_some_and(alphanumeric)
}

fn value_shape(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
        && text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric())
        && text.bytes().next_back().is_some_and(|b| b.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_rfc_1123() {
        for name in ["a", "o-1001", "a.b-c.d0", &"a".repeat(253)] {
            assert!(is_dns_subdomain(name), "{name}");
        }
        for name in ["", "A", "-a", "a-", "a..b", ".a", "ä", "a_b", &"a".repeat(254)] {
            assert!(!is_dns_subdomain(name), "{name}");
        }
        assert!(!is_dns_label("a.b"));
    }

    #[test]
    fn qualified_names_may_have_one_prefix() {
        for name in ["app", "app.kubernetes.io/name", "x.y/Z_9", "kubernetes"] {
            assert!(is_qualified_name(name), "{name}");
        }
        for name in ["", "/a", "a/", "a/b/c", "A_/b", "-a", "a b"] {
            assert!(!is_qualified_name(name), "{name}");
        }
    }

    #[test]
    fn label_values_may_be_empty() {
        assert!(is_label_value("") && is_label_value("A.b_c-9"));
        assert!(!is_label_value("-") && !is_label_value("a b") && !is_label_value(&"a".repeat(64)));
    }
}
