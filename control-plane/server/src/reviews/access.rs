//! What the caller may, as `kubectl auth can-i` asks: answered from the same table as requests are.

use std::collections::BTreeSet;

use dropmate_api::{
    registry::{self, Kind},
    roles::{self, Attributes, Decision, Grant, Rule, TASKS},
};
use k8s_openapi::api::authorization::v1::{SelfSubjectAccessReview, SelfSubjectRulesReview};
use serde_json::{Value, json};

use crate::error::{ApiError, Result};

/// Paths that are no resources, and open to every caller.
const OPEN: [&str; 9] =
    ["/api", "/api/*", "/apis", "/apis/*", "/healthz", "/livez", "/openapi/*", "/readyz", "/version"];

/// The status of a SelfSubjectAccessReview.
pub(super) fn access(grants: &[Grant], review: &SelfSubjectAccessReview) -> Result<Value> {
    let (resource, path) = (&review.spec.resource_attributes, &review.spec.non_resource_attributes);
    match (resource, path) {
        (Some(asked), None) => {
            let text = |value: &'_ Option<String>| value.clone().unwrap_or_default();
            let (verb, group, resource) = (text(&asked.verb), text(&asked.group), text(&asked.resource));
            let (subresource, name) = (text(&asked.subresource), text(&asked.name));
            let namespace = text(&asked.namespace);
            let given = |value: &'_ str| (!value.is_empty()).then(|| value.to_owned());
            let (namespace, name) = (given(&namespace), given(&name));
            // A Namespace is in itself, as in its path.
            let itself = name.clone().filter(|_| resource == "namespaces" && namespace.is_none());
            let decision = roles::decide(
                grants,
                &Attributes {
                    verb: &verb,
                    group: &group,
                    resource: &resource,
                    subresource: &subresource,
                    namespace: namespace.as_deref().or(itself.as_deref()),
                    name: name.as_deref(),
                },
            );
            Ok(match decision {
                Decision::Allowed(_) => json!({"allowed": true}),
                Decision::Forbidden => json!({"allowed": false}),
                Decision::NoSuchNamespace => {
                    let namespace = namespace.or(itself).unwrap_or_default();
                    json!({"allowed": false, "reason": format!("namespaces {namespace:?} not found")})
                }
            })
        }
        (None, Some(asked)) => {
            let path = asked.path.clone().unwrap_or_default();
            let reads = matches!(asked.verb.as_deref(), Some("get" | "head"));
            let held = OPEN.iter().any(|open| match open.strip_suffix('*') {
                Some(prefix) => path.starts_with(prefix),
                None => path == *open,
            });
            Ok(json!({"allowed": reads && held}))
        }
        _ => Err(ApiError::bad_request(
            "exactly one of spec.resourceAttributes and spec.nonResourceAttributes must be set",
        )),
    }
}

/// The status of a SelfSubjectRulesReview.
pub(super) fn rules(grants: &[Grant], review: &SelfSubjectRulesReview) -> Result<Value> {
    let namespace = review.spec.namespace.clone().unwrap_or_default();
    if namespace.is_empty() {
        return Err(ApiError::bad_request("no namespace on request: set spec.namespace"));
    }
    let told: Vec<Value> = roles::rules(grants, &namespace).filter(|rule| rule.groups != [TASKS]).map(told).collect();
    Ok(json!({
        "resourceRules": told,
        "nonResourceRules": [{"verbs": ["get"], "nonResourceURLs": OPEN}],
        "incomplete": false,
    }))
}

fn told(rule: &Rule) -> Value {
    let mut told = json!({"verbs": rule.verbs, "apiGroups": rule.groups, "resources": resources(rule)});
    if let Some(names) = rule.names {
        told["resourceNames"] = json!(names);
    }
    told
}

/// Resources by name: clients do not know our ways of saying "every one".
fn resources(rule: &Rule) -> BTreeSet<String> {
    let kinds = || registry::kinds().iter().filter(|kind| rule.groups.contains(&kind.group));
    let each = |resource: &&'static str| -> Vec<String> {
        match resource.strip_prefix("*/") {
            Some("") => kinds().map(|kind| kind.plural.to_owned()).collect(),
            Some(part) => {
                kinds().filter(|kind| has(kind, part)).map(|kind| format!("{}/{part}", kind.plural)).collect()
            }
            None => vec![(*resource).to_owned()],
        }
    };
    rule.resources.iter().flat_map(each).collect()
}

fn has(kind: &Kind, part: &str) -> bool {
    (part == "status" && kind.status_subresource) || kind.subresources.contains(&part)
}
