//! Which objects there are for a caller, and what they see of them.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::{Grant, Role};

/// How long a driver sees an order after its end: long enough to settle the day, no longer than the customer's address is
/// anybody's business.
const DRIVER_SEES_FINISHED: SignedDuration = SignedDuration::from_hours(12);
/// The annotation in which kubectl keeps what was applied: all of it, and so also what is left out here.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Which objects there are for a caller.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Sight {
    /// All that the request means.
    #[default]
    Everything,
    /// Only the caller's own.
    Own(Own),
}

/// Whose objects the caller's own are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Own {
    /// The drivers that the caller is.
    pub drivers: BTreeSet<String>,
    /// The customers that the caller is.
    pub customers: BTreeSet<String>,
    /// The namespaces that the caller is a member of.
    pub namespaces: BTreeSet<String>,
}

/// Whom an object is about: what tells whether it is somebody's own. Read out of it once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parties {
    /// The driver that it is bound to, or who may take it.
    pub drivers: Vec<String>,
    /// The customer who ordered it.
    pub customer: Option<String>,
    /// When it ended, in business time.
    pub finished_at: Option<Timestamp>,
}

impl Parties {
    /// Reads them out of an order.
    pub fn of(order: &Value) -> Self {
        let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
        let offers = order.pointer("/status/offers").and_then(Value::as_array).into_iter().flatten();
        let open = offers.filter(|offer| offer["state"] == "Open" || offer["state"] == "Accepted");
        let offered = open.filter_map(|offer| text(offer.get("driver")));
        Self {
            drivers: text(order.pointer("/status/driverName")).into_iter().chain(offered).collect(),
            customer: text(order.pointer("/spec/customerName")),
            finished_at: text(order.pointer("/status/finishedAt")).and_then(|at| at.parse().ok()),
        }
    }
}

impl Sight {
    /// Whether there is anything that the caller does not see.
    pub fn is_everything(&self) -> bool {
        *self == Self::Everything
    }

    /// Whether an object of that resource is there for the caller, at a business time.
    pub fn sees(&self, resource: &str, name: &str, parties: &Parties, now: Timestamp) -> bool {
        let Self::Own(own) = self else { return true };
        match resource {
            "namespaces" => own.namespaces.contains(name),
            "drivers" => own.drivers.contains(name),
            "orders" => {
                let gone = |at: Timestamp| now.duration_since(at) > DRIVER_SEES_FINISHED;
                let carries = parties.drivers.iter().any(|driver| own.drivers.contains(driver));
                let ordered = parties.customer.as_ref().is_some_and(|customer| own.customers.contains(customer));
                ordered || carries && !parties.finished_at.is_some_and(gone)
            }
            _ => false,
        }
    }

    /// Adds what a grant makes the caller's own. `grants` are all that the caller has.
    pub(super) fn widen(&mut self, grant: &Grant, grants: &[Grant]) {
        let Self::Own(own) = self else { return };
        match grant.role {
            Role::Driver => own.drivers.extend(grant.name.clone()),
            Role::Customer => own.customers.extend(grant.name.clone()),
            Role::Anyone => own.namespaces.extend(grants.iter().filter_map(|grant| grant.namespace.clone())),
            _ => {}
        }
    }
}

/// Takes out of an object what is nobody's business who sees only their own: the recipient's address for mail, what the
/// others were weighed at, and who wrote which field.
pub fn redact(resource: &str, object: &mut Value) {
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
        if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
            annotations.remove(LAST_APPLIED);
            if annotations.is_empty() {
                metadata.remove("annotations");
            }
        }
    }
    if resource != "orders" {
        return;
    }
    let mut remove = |parent: &str, field: &str| {
        if let Some(parent) = object.pointer_mut(parent).and_then(Value::as_object_mut) {
            parent.remove(field);
        }
    };
    remove("/spec/recipient", "email");
    remove("/status/assignment", "reason");
    remove("/status", "offers");
    remove("/status", "reports");
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn of_driver(name: &str) -> Sight {
        Sight::Own(Own { drivers: [name.to_owned()].into(), ..Own::default() })
    }

    #[test]
    fn a_driver_sees_what_is_bound_or_offered_to_them_until_twelve_hours_after_its_end() {
        let order = json!({"status": {
            "driverName": "sam", "offers": [{"driver": "kim", "state": "Open"}, {"driver": "alex", "state": "Declined"}],
            "finishedAt": "2026-11-24T12:00:00Z",
        }});
        let parties = Parties::of(&order);
        let sees = |name: &str, now: &str| of_driver(name).sees("orders", "o1", &parties, at(now));
        assert!(sees("sam", "2026-11-24T23:59:59Z"));
        assert!(!sees("sam", "2026-11-25T00:00:01Z"));
        assert!(sees("kim", "2026-11-24T13:00:00Z"));
        assert!(!sees("alex", "2026-11-24T13:00:00Z"));
        assert!(!of_driver("sam").sees("depots", "sam", &parties, at("2026-11-24T13:00:00Z")));
    }

    #[test]
    fn what_is_redacted_is_gone_by_every_door() {
        let mut order = json!({
            "metadata": {"name": "o", "managedFields": [1], "annotations": {LAST_APPLIED: "ada@example.com"}},
            "spec": {"recipient": {"name": "Ada", "email": "ada@example.com", "phone": "+15550100"}},
            "status": {"assignment": {"driverName": "sam", "reason": {"candidates": [{"driver": "kim"}]}}, "offers": [{"driver": "kim"}]},
        });
        redact("orders", &mut order);
        let text = order.to_string();
        assert!(
            !text.contains("ada@example.com") && !text.contains("kim") && !text.contains("managedFields"),
            "{text}"
        );
        assert_eq!(order["spec"]["recipient"], json!({"name": "Ada", "phone": "+15550100"}));
        assert_eq!(order["status"]["assignment"]["driverName"], "sam");
    }
}
