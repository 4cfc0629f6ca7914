//! The query of a request, read once into values that cannot be wrong.

use std::{collections::BTreeMap, time::Duration};

use dropmate_api::validation::Cause;
use dropmate_store::Revision;

use crate::error::{ApiError, Result};

/// The raw query, by name; of a name given twice the last counts.
pub(crate) type Query = BTreeMap<String, String>;

/// What to do about fields that the schema does not know and keys given twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum FieldValidation {
    /// Drop them silently.
    Ignore,
    /// Drop them and say so in `Warning` headers.
    #[default]
    Warn,
    /// Refuse the request.
    Strict,
}

/// The query of a write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct WriteOptions {
    /// Do everything but the write.
    pub(crate) dry_run: bool,
    /// What to do about unknown fields.
    pub(crate) field_validation: FieldValidation,
}

impl WriteOptions {
    /// Reads them; `options` is how errors call them: `CreateOptions`.
    pub(crate) fn parse(query: &Query, options: &str) -> Result<Self> {
        let dry_run = match query.get("dryRun").map(String::as_str) {
            None | Some("") => false,
            Some("All") => true,
            Some(other) => return Err(not_supported(options, "dryRun", other, &["All"])),
        };
        let field_validation = match query.get("fieldValidation").map(String::as_str) {
            None | Some("") => FieldValidation::default(),
            Some("Ignore") => FieldValidation::Ignore,
            Some("Warn") => FieldValidation::Warn,
            Some("Strict") => FieldValidation::Strict,
            Some(other) => {
                return Err(not_supported(options, "fieldValidation", other, &["Ignore", "Strict", "Warn"]));
            }
        };
        check_manager(query, options)?;
        Ok(Self { dry_run, field_validation })
    }
}

/// Longest name of a field manager, in bytes, as in Kubernetes.
pub(crate) const MANAGER_BYTES_MAX: usize = 128;

/// Whether a name of a field manager may have this character.
pub(crate) fn is_printable(c: char) -> bool {
    c == ' ' || !c.is_control() && !c.is_whitespace() && (c.is_ascii() || c.escape_debug().len() == 1)
}

fn check_manager(query: &Query, options: &str) -> Result<()> {
    let manager = query.get("fieldManager").map_or("", String::as_str);
    let mut causes = Vec::new();
    if manager.len() > MANAGER_BYTES_MAX {
        causes.push(Cause::too_long("fieldManager", MANAGER_BYTES_MAX));
    }
    if let Some((at, c)) = manager.char_indices().find(|(_, c)| !is_printable(*c)) {
        let detail = format!("invalid character U+{:04X} (at position {at})", u32::from(c));
        causes.push(Cause::invalid("fieldManager", &manager.into(), &detail));
    }
    if causes.is_empty() { Ok(()) } else { Err(ApiError::invalid_options(options, &causes)) }
}

/// Whether an apply patch takes over other managers' fields. An apply patch says who applies.
pub(crate) fn apply_force(query: &Query) -> Result<bool> {
    if query.get("fieldManager").is_none_or(String::is_empty) {
        let cause = Cause::required("fieldManager", "is required for apply patch");
        return Err(ApiError::invalid_options("PatchOptions", &[cause]));
    }
    Ok(boolean(query, "force").unwrap_or(false))
}

/// Refuses `force` where there is nothing to force.
pub(crate) fn refuse_force(query: &Query) -> Result<()> {
    if boolean(query, "force").is_none() {
        return Ok(());
    }
    let cause = forbidden("force", "may not be specified for non-apply patch");
    Err(ApiError::invalid_options("PatchOptions", &[cause]))
}

/// How `resourceVersion` of a list is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum VersionMatch {
    /// At least as new.
    NotOlderThan,
    /// Exactly this one.
    Exact,
}

/// The query of a list or a watch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ListOptions {
    /// Whether it is a watch.
    pub(crate) watch: bool,
    /// Label selector.
    pub(crate) label_selector: Option<String>,
    /// Field selector.
    pub(crate) field_selector: Option<String>,
    /// Most objects of a page.
    pub(crate) limit: Option<usize>,
    /// Where to go on.
    pub(crate) continue_token: Option<String>,
    /// The version asked for; absent if none was.
    pub(crate) resource_version: Option<Revision>,
    /// How it is meant.
    pub(crate) version_match: Option<VersionMatch>,
    /// Whether the watcher takes bookmarks.
    pub(crate) bookmarks: bool,
    /// Whether the watch begins with the present state.
    pub(crate) send_initial_events: Option<bool>,
    /// When the watch ends.
    pub(crate) timeout: Option<Duration>,
}

impl ListOptions {
    /// Reads them and refuses combinations that mean nothing, with the texts of Kubernetes.
    pub(crate) fn parse(query: &Query) -> Result<Self> {
        let text = |name: &str| query.get(name).filter(|v| !v.is_empty()).cloned();
        let options = Self {
            watch: boolean(query, "watch").unwrap_or(false),
            label_selector: text("labelSelector"),
            field_selector: text("fieldSelector"),
            limit: number(query, "limit")?.and_then(|n| usize::try_from(n).ok()).filter(|n| *n > 0),
            continue_token: text("continue"),
            resource_version: match text("resourceVersion") {
                None => None,
                Some(version) => Some(parse_version(&version)?),
            },
            version_match: match query.get("resourceVersionMatch").map(String::as_str) {
                Some("NotOlderThan") => Some(VersionMatch::NotOlderThan),
                Some("Exact") => Some(VersionMatch::Exact),
                _ => None,
            },
            bookmarks: boolean(query, "allowWatchBookmarks").unwrap_or(false),
            send_initial_events: boolean(query, "sendInitialEvents"),
            timeout: number(query, "timeoutSeconds")?.filter(|n| *n > 0).map(|n| Duration::from_secs(n as u64)),
        };
        let version_match = query.get("resourceVersionMatch").map_or("", String::as_str);
        let refusals =
            if options.watch { options.watch_refusals(version_match) } else { options.list_refusals(version_match) };
        if !refusals.is_empty() {
            return Err(ApiError::invalid_options("ListOptions", &refusals));
        }
        if options.continue_token.is_some() && options.resource_version.is_some_and(|v| v != 0) && !options.watch {
            return Err(ApiError::bad_request("specifying resource version is not allowed when using continue"));
        }
        Ok(options)
    }

    fn list_refusals(&self, version_match: &str) -> Vec<Cause> {
        let mut causes = Vec::new();
        let forbid = |why: &str| forbidden("resourceVersionMatch", why);
        if !version_match.is_empty() {
            if self.resource_version.is_none() {
                causes.push(forbid("resourceVersionMatch is forbidden unless resourceVersion is provided"));
            }
            if self.continue_token.is_some() {
                causes.push(forbid("resourceVersionMatch is forbidden when continue is provided"));
            }
            if self.version_match.is_none() {
                causes.push(unsupported("resourceVersionMatch", version_match, &["Exact", "NotOlderThan", ""]));
            }
            if self.version_match == Some(VersionMatch::Exact) && self.resource_version == Some(0) {
                causes.push(forbid("resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\""));
            }
        }
        if self.send_initial_events.is_some() {
            causes.push(forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list"));
        }
        causes
    }

    fn watch_refusals(&self, version_match: &str) -> Vec<Cause> {
        let mut causes = Vec::new();
        let forbid = |why: &str| forbidden("resourceVersionMatch", why);
        let not_older = self.version_match == Some(VersionMatch::NotOlderThan);
        if self.send_initial_events.is_some() && !not_older {
            causes.push(forbid("sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"));
        }
        if !version_match.is_empty() {
            if self.send_initial_events.is_none() {
                causes.push(forbid("resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"));
            }
            if !not_older {
                causes.push(unsupported("resourceVersionMatch", version_match, &["NotOlderThan"]));
            }
            if self.continue_token.is_some() {
                causes.push(forbid("resourceVersionMatch is forbidden when continue is provided"));
            }
        }
        causes
    }
}

/// Reads a `resourceVersion`: opaque to clients, a decimal number to us.
pub(crate) fn parse_version(text: &str) -> Result<Revision> {
    text.parse().map_err(|_| {
        ApiError::bad_request(format!(
            "resourceVersion: Invalid value: {text:?}: strconv.ParseUint: parsing {text:?}: invalid syntax"
        ))
    })
}

/// Whether a parameter that stands there is true: all but `0` and `false` is, as in Kubernetes, the empty text too.
pub(crate) fn truth(text: &str) -> bool {
    text != "0" && !text.eq_ignore_ascii_case("false")
}

pub(crate) fn boolean(query: &Query, name: &str) -> Option<bool> {
    query.get(name).map(|text| truth(text))
}

fn number(query: &Query, name: &str) -> Result<Option<i64>> {
    use std::num::IntErrorKind;

    match query.get(name).map(String::as_str) {
        None | Some("") => Ok(None),
        Some(text) => text.parse().map(Some).map_err(|error: std::num::ParseIntError| {
            let why = match error.kind() {
                IntErrorKind::PosOverflow | IntErrorKind::NegOverflow => "value out of range",
                _ => "invalid syntax",
            };
            ApiError::bad_request(format!("{name}: strconv.ParseInt: parsing {text:?}: {why}"))
        }),
    }
}

fn forbidden(field: &str, why: &str) -> Cause {
    Cause { reason: "FieldValueForbidden".into(), message: format!("Forbidden: {why}"), field: field.into() }
}

fn unsupported(field: &str, value: &str, supported: &[&str]) -> Cause {
    let supported: Vec<String> = supported.iter().map(|s| format!("{s:?}")).collect();
    let message = format!("Unsupported value: {value:?}: supported values: {}", supported.join(", "));
    Cause { reason: "FieldValueNotSupported".into(), message, field: field.into() }
}

fn not_supported(options: &str, field: &str, value: &str, supported: &[&str]) -> ApiError {
    ApiError::invalid_options(options, &[unsupported(field, value, supported)])
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn refusal(query: &[(&str, &str)]) -> String {
        let query = query.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        ListOptions::parse(&query).map_or_else(|error| error.message().to_owned(), |_| String::new())
    }

    const UNLESS: &str =
        "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided";

    #[rstest]
    #[case(&[("resourceVersionMatch", "Exact")], UNLESS.to_owned())]
    #[case(
        &[("resourceVersionMatch", "Some")],
        format!("[{UNLESS}, resourceVersionMatch: Unsupported value: \"Some\": supported values: \"Exact\", \"NotOlderThan\", \"\"]")
    )]
    #[case(
        &[("resourceVersionMatch", "Exact"), ("resourceVersion", "0")],
        "resourceVersionMatch: Forbidden: resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"".to_owned()
    )]
    #[case(
        &[("resourceVersionMatch", "Exact"), ("resourceVersion", "5"), ("continue", "x"), ("sendInitialEvents", "false")],
        "[resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden when continue is provided, sendInitialEvents: Forbidden: sendInitialEvents is forbidden for list]".to_owned()
    )]
    #[case(
        &[("watch", ""), ("sendInitialEvents", "1"), ("resourceVersionMatch", "Exact")],
        "[resourceVersionMatch: Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan, resourceVersionMatch: Unsupported value: \"Exact\": supported values: \"NotOlderThan\"]".to_owned()
    )]
    #[case(
        &[("watch", "yes"), ("resourceVersionMatch", "NotOlderThan")],
        "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided".to_owned()
    )]
    fn options_that_contradict_each_other_are_refused_in_the_words_of_kubernetes(
        #[case] query: &[(&str, &str)],
        #[case] why: String,
    ) {
        assert_eq!(refusal(query), format!("ListOptions.meta.k8s.io \"\" is invalid: {why}"));
    }

    #[rstest]
    #[case(&[("limit", "x")], "limit: strconv.ParseInt: parsing \"x\": invalid syntax")]
    #[case(&[("limit", "99999999999999999999")], "limit: strconv.ParseInt: parsing \"99999999999999999999\": value out of range")]
    #[case(&[("continue", "x"), ("resourceVersion", "5")], "specifying resource version is not allowed when using continue")]
    #[case(&[("limit", "-1"), ("timeoutSeconds", "-1"), ("unheard", "of"), ("watch", "FALSE")], "")]
    fn numbers_are_read_and_what_nobody_knows_is_passed_over(#[case] query: &[(&str, &str)], #[case] why: &str) {
        assert_eq!(refusal(query), why);
    }
}
