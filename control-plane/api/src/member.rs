//! `Member`: who has which role in a business. A role is declared in its namespace, so that it can stand in git.

use jiff::Timestamp;
use kube_derive::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    SYSTEM_NAMESPACE, cross,
    registry::{Part, Strategy, WriteContext},
    roles::SERVICE_ACCOUNT,
    validation::Cause,
};

/// A role that somebody has in a namespace.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(crates(kube_core = "::kube_core"))]
#[kube(group = "dropmate.dev", version = "v1", kind = "Member", plural = "members", shortname = "mem")]
#[kube(category = "dropmate")]
#[kube(namespaced, status = "MemberStatus", derive = "PartialEq")]
#[kube(selectable = ".spec.user", selectable = ".spec.role")]
#[serde(rename_all = "camelCase")]
pub struct MemberSpec {
    /// Who: an e-mail address, or `system:serviceaccount:NAMESPACE:NAME` of this namespace. Cannot be changed.
    #[schemars(length(min = 3, max = 320))]
    pub user: String,
    /// What they may do here.
    pub role: MemberRole,
    /// The Driver that this is, with the role `driver`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub driver_name: Option<String>,
    /// The customer that this is, with the role `customer`: sees the orders whose `spec.customerName` says the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub customer_name: Option<String>,
}

/// A role in a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum MemberRole {
    /// Runs the business: everything in its namespace.
    Manager,
    /// Runs the day: orders, and which drivers work.
    Dispatcher,
    /// Carries: sees their own orders.
    Driver,
    /// Orders: sees their own orders.
    Customer,
    /// Sees everything, changes nothing.
    Viewer,
}

/// What became of the invitation. Written by the server alone.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MemberStatus {
    /// When a link was made last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invited_at: Option<Timestamp>,
    /// When the link was used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted_at: Option<Timestamp>,
    /// The user who used it: only they have the role by it, whoever else may register the address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_uid: Option<String>,
}

/// The strategy of [`Member`].
#[derive(Debug)]
pub struct MemberStrategy;

impl Strategy for MemberStrategy {
    fn prepare(&self, new: &mut Value, old: Option<&Value>, cx: &WriteContext) {
        let Value::Object(fields) = new else { return };
        if cx.part != Part::Facts {
            let kept = old.and_then(|old| old.get("status")).cloned().unwrap_or_else(|| json!({}));
            fields.insert("status".to_owned(), kept);
        }
        // Addresses are compared in lower case; nobody has two that differ in case only.
        if let Some(user) = fields.get_mut("spec").and_then(|spec| spec.get_mut("user"))
            && let Some(text) = user.as_str().filter(|text| text.contains('@'))
        {
            *user = text.to_lowercase().into();
        }
    }

    fn validate(&self, new: &Value, old: Option<&Value>) -> Vec<Cause> {
        let mut causes = Vec::new();
        let text = |object: &Value, pointer: &str| object.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        if let Some(user) = text(new, "/spec/user") {
            let namespace = text(new, "/metadata/namespace").unwrap_or_default();
            if namespace == SYSTEM_NAMESPACE {
                let why =
                    "Forbidden: the agents' accounts stand here; nobody but the operator has a role in this namespace";
                causes.push(cause("FieldValueForbidden", why.to_owned(), "metadata.namespace"));
            }
            if let Some(rule) = wrong_user(&user, &namespace) {
                causes.push(cause("FieldValueInvalid", format!("Invalid value: {user:?}: {rule}"), "spec.user"));
            }
            if old.and_then(|old| text(old, "/spec/user")).is_some_and(|held| held != user) {
                let message =
                    format!("Invalid value: {user:?}: field is immutable; delete the Member and make another");
                causes.push(cause("FieldValueInvalid", message, "spec.user"));
            }
        }
        let role = text(new, "/spec/role").unwrap_or_default();
        for (needs, pointer, field) in
            [("driver", "/spec/driverName", "spec.driverName"), ("customer", "/spec/customerName", "spec.customerName")]
        {
            match text(new, pointer) {
                None if role == needs => {
                    let message = format!("Required value: the role {needs:?} must say which one it is");
                    causes.push(cause("FieldValueRequired", message, field));
                }
                Some(_) if role != needs => {
                    let message = format!("Forbidden: only the role {needs:?} has it, and this is {role:?}");
                    causes.push(cause("FieldValueForbidden", message, field));
                }
                _ => {}
            }
        }
        cross::readable::<Member>(&mut causes, new, "members");
        causes
    }
}

/// Why that is no user who may be a member of the namespace.
fn wrong_user(user: &str, namespace: &str) -> Option<String> {
    if let Some(account) = user.strip_prefix(SERVICE_ACCOUNT) {
        return match account.split_once(':') {
            Some((of, name)) if of == namespace && !name.is_empty() && !name.contains(':') => None,
            Some((of, _)) if of != namespace => {
                Some(format!("a service account is a member of its own namespace only, which is {namespace:?}"))
            }
            _ => Some(format!("must be of the form {SERVICE_ACCOUNT}{namespace}:NAME")),
        };
    }
    let (local, domain) = user.rsplit_once('@').unwrap_or_default();
    let sane = |c: char| !c.is_whitespace() && !c.is_control() && !",;:<>()\"".contains(c);
    let address = !local.is_empty() && !local.contains('@') && !domain.is_empty() && user.chars().all(sane);
    (!address).then(|| format!("must be an e-mail address or {SERVICE_ACCOUNT}{namespace}:NAME"))
}

fn cause(reason: &str, message: String, field: &str) -> Cause {
    Cause { reason: reason.to_owned(), message, field: field.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn causes(spec: &Value) -> Vec<String> {
        let member = json!({
            "apiVersion": "dropmate.dev/v1", "kind": "Member", "metadata": {"name": "m", "namespace": "acme"}, "spec": spec,
        });
        MemberStrategy.validate(&member, None).into_iter().map(|cause| cause.field).collect()
    }

    #[test]
    fn a_member_is_an_address_or_an_account_of_its_own_namespace() {
        for user in ["ada@example.com", "system:serviceaccount:acme:gitops"] {
            assert!(causes(&json!({"user": user, "role": "viewer"})).is_empty(), "{user}");
        }
        for user in
            ["operator", "@", "a@", "a b@c", "a@b@c", "system:serviceaccount:other:x", "system:serviceaccount:acme:"]
        {
            assert_eq!(causes(&json!({"user": user, "role": "viewer"})), ["spec.user"], "{user}");
        }
    }

    #[test]
    fn nobody_is_a_member_where_the_agents_are() {
        let member = json!({"metadata": {"namespace": SYSTEM_NAMESPACE}, "spec": {"user": "a@b.c", "role": "manager"}});
        assert_eq!(MemberStrategy.validate(&member, None)[0].field, "metadata.namespace");
    }

    #[test]
    fn a_driver_says_which_and_others_do_not() {
        assert!(causes(&json!({"user": "a@b.c", "role": "driver", "driverName": "sam"})).is_empty());
        assert_eq!(causes(&json!({"user": "a@b.c", "role": "driver"})), ["spec.driverName"]);
        assert_eq!(causes(&json!({"user": "a@b.c", "role": "viewer", "driverName": "sam"})), ["spec.driverName"]);
        assert_eq!(causes(&json!({"user": "a@b.c", "role": "customer"})), ["spec.customerName"]);
    }

    #[test]
    fn nobody_but_the_server_writes_the_status() {
        let now = "2026-11-24T12:00:00Z".parse().unwrap();
        let forged = json!({"metadata": {}, "spec": {"user": "Ada@Example.com"}, "status": {"userUid": "mine"}});
        for part in [Part::Main, Part::Status] {
            let mut new = forged.clone();
            let old = json!({"spec": {}, "status": {"invitedAt": "2026-11-24T11:00:00Z"}});
            MemberStrategy.prepare(&mut new, Some(&old), &WriteContext { part, business_now: now });
            assert_eq!(new["status"], old["status"], "{part:?}");
            assert_eq!(new["spec"]["user"], "ada@example.com");
        }
        let mut new = forged;
        MemberStrategy.prepare(&mut new, None, &WriteContext { part: Part::Main, business_now: now });
        assert_eq!(new["status"], json!({}));
    }
}
