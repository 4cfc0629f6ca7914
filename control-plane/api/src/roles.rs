//! Who may do what, as one table of data. Whoever asks (gateway, reviews of access, tests) asks here.

use crate::{GROUP, SYSTEM_NAMESPACE, subresource::ReportType};

/// The user of the operator's token: global, may do everything people may do.
pub const OPERATOR: &str = "operator";

/// What a user is. A user without a role may do nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Runs the installation.
    Operator,
    /// The dispatch agent.
    Dispatch,
    /// The tracking agent.
    Tracking,
    /// The notification agent.
    Notification,
    /// The simulated phones of `up --simulate-drivers`.
    Simulation,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 5] = [Self::Operator, Self::Dispatch, Self::Tracking, Self::Notification, Self::Simulation];

    /// The role of a user name.
    pub fn of(user: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.user() == user)
    }

    /// The user name that has this role.
    pub fn user(self) -> &'static str {
        match self {
            Self::Operator => OPERATOR,
            Self::Dispatch => "system:serviceaccount:dropmate-system:dispatch",
            Self::Tracking => "system:serviceaccount:dropmate-system:tracking",
            Self::Notification => "system:serviceaccount:dropmate-system:notification",
            Self::Simulation => "system:serviceaccount:dropmate-system:simulation",
        }
    }
}

/// Groups of a user, as Kubernetes names them.
pub fn groups(user: &str) -> Vec<String> {
    let mut groups = vec!["system:authenticated".to_owned()];
    if let Some((namespace, _)) = user.strip_prefix("system:serviceaccount:").and_then(|rest| rest.split_once(':')) {
        groups.push("system:serviceaccounts".to_owned());
        groups.push(format!("system:serviceaccounts:{namespace}"));
    }
    groups
}

/// What a request wants, in the words of Kubernetes' authorization.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attributes<'a> {
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`.
    pub verb: &'a str,
    /// API group; empty for the core group.
    pub group: &'a str,
    /// Plural: `orders`.
    pub resource: &'a str,
    /// `status`, `binding`, …; empty for the object itself.
    pub subresource: &'a str,
    /// Namespace; `None` is the cluster scope or all namespaces.
    pub namespace: Option<&'a str>,
}

/// One line of the table: a role may use these verbs on these resources.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// Who.
    pub role: Role,
    /// API groups; `*` is every group.
    pub groups: &'static [&'static str],
    /// `orders`, `orders/status`; `*` is every resource with its subresources, `*/` every resource without them.
    pub resources: &'static [&'static str],
    /// Verbs; `*` is every verb.
    pub verbs: &'static [&'static str],
    /// Only in this namespace; `None` is everywhere.
    pub namespace: Option<&'static str>,
}

const READ: &[&str] = &["get", "list", "watch"];
const OURS: &[&str] = &[GROUP];
const LEASES: &[&str] = &["coordination.k8s.io"];
const EVENTS: &[&str] = &["", "events.k8s.io"];

const fn rule(
    role: Role,
    groups: &'static [&'static str],
    resources: &'static [&'static str],
    verbs: &'static [&'static str],
) -> Rule {
    Rule { role, groups, resources, verbs, namespace: None }
}

/// What every agent needs: our kinds and namespaces to read, its Lease, and Events.
const fn agent(role: Role) -> [Rule; 4] {
    [
        rule(role, OURS, &["*/"], READ),
        rule(role, &[""], &["namespaces"], READ),
        Rule {
            role,
            groups: LEASES,
            resources: &["leases"],
            verbs: &["get", "list", "watch", "create", "update", "patch"],
            namespace: Some(SYSTEM_NAMESPACE),
        },
        rule(role, EVENTS, &["events"], &["get", "list", "watch", "create", "update", "patch"]),
    ]
}

/// The table.
pub const TABLE: &[&[Rule]] = &[
    &[rule(Role::Operator, &["*"], &["*"], &["*"])],
    &agent(Role::Dispatch),
    &[
        rule(Role::Dispatch, OURS, &["orders/binding"], &["create", "delete"]),
        rule(Role::Dispatch, OURS, &["orders/progress"], &["create"]),
        rule(
            Role::Dispatch,
            OURS,
            &["orders/status", "drivers/status", "dispatchpolicies/status"],
            &["get", "update", "patch"],
        ),
    ],
    &agent(Role::Tracking),
    &[rule(Role::Tracking, OURS, &["orders/status", "drivers/status"], &["get", "update", "patch"])],
    &agent(Role::Notification),
    &[rule(Role::Notification, OURS, &["orders/status"], &["get", "update", "patch"])],
    &[rule(Role::Simulation, &["*"], &["*"], READ), rule(Role::Simulation, OURS, &["orders/progress"], &["create"])],
];

/// What only one role may do, whatever else the table gives: people pin with `spec.driverName`, they do not bind.
pub const RESERVED: &[(&str, &str, Role)] = &[("create", "orders/binding", Role::Dispatch)];

/// Whether the user may do that.
pub fn allowed(user: &str, wanted: &Attributes<'_>) -> bool {
    let Some(role) = Role::of(user) else { return false };
    let path = if wanted.subresource.is_empty() {
        wanted.resource.to_owned()
    } else {
        format!("{}/{}", wanted.resource, wanted.subresource)
    };
    let reserved = RESERVED.iter().any(|(verb, resource, owner)| {
        *verb == wanted.verb && *resource == path && wanted.group == GROUP && *owner != role
    });
    !reserved && TABLE.iter().copied().flatten().any(|rule| rule.role == role && rule.matches(wanted, &path))
}

/// Whether the user may send this type to an order's `/progress`: dispatch decides, phones and people report.
pub fn may_report(user: &str, report: ReportType) -> bool {
    match Role::of(user) {
        Some(Role::Operator) => true,
        Some(Role::Dispatch) => report.is_dispatch(),
        Some(Role::Simulation) => !report.is_dispatch(),
        Some(Role::Tracking | Role::Notification) | None => false,
    }
}

impl Rule {
    fn matches(&self, wanted: &Attributes<'_>, path: &str) -> bool {
        let has = |list: &[&str], item: &str| list.iter().any(|held| *held == "*" || *held == item);
        let resource = has(self.resources, path) || (wanted.subresource.is_empty() && self.resources.contains(&"*/"));
        has(self.groups, wanted.group)
            && resource
            && has(self.verbs, wanted.verb)
            && self.namespace.is_none_or(|only| wanted.namespace == Some(only))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DISPATCH: &str = "system:serviceaccount:dropmate-system:dispatch";
    const SIMULATION: &str = "system:serviceaccount:dropmate-system:simulation";

    fn orders<'a>(verb: &'a str, subresource: &'a str) -> Attributes<'a> {
        Attributes { verb, group: GROUP, resource: "orders", subresource, namespace: Some("acme") }
    }

    #[test]
    fn only_dispatch_binds_but_the_operator_may_unbind() {
        assert!(allowed(DISPATCH, &orders("create", "binding")));
        assert!(!allowed(OPERATOR, &orders("create", "binding")));
        assert!(!allowed(SIMULATION, &orders("create", "binding")));
        assert!(allowed(OPERATOR, &orders("delete", "binding")));
    }

    #[test]
    fn agents_read_everything_of_ours_and_write_only_their_part() {
        assert!(allowed(DISPATCH, &orders("watch", "")));
        assert!(allowed(DISPATCH, &orders("patch", "status")));
        assert!(!allowed(DISPATCH, &orders("patch", "")));
        assert!(!allowed(DISPATCH, &orders("delete", "")));
        assert!(allowed(SIMULATION, &orders("create", "progress")));
        assert!(!allowed(SIMULATION, &orders("create", "")));
    }

    #[test]
    fn leases_are_writable_only_in_the_system_namespace() {
        let lease = |namespace| Attributes {
            verb: "update",
            group: "coordination.k8s.io",
            resource: "leases",
            subresource: "",
            namespace,
        };
        assert!(allowed(DISPATCH, &lease(Some(SYSTEM_NAMESPACE))));
        assert!(!allowed(DISPATCH, &lease(Some("acme"))));
        assert!(!allowed(DISPATCH, &lease(None)));
    }

    #[test]
    fn a_user_without_a_role_may_do_nothing() {
        for verb in ["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"] {
            assert!(!allowed("alice", &orders(verb, "")));
        }
        assert!(!may_report("alice", ReportType::Deliver));
    }

    #[test]
    fn phones_report_facts_and_dispatch_reports_decisions() {
        assert!(may_report(SIMULATION, ReportType::Deliver));
        assert!(!may_report(SIMULATION, ReportType::Offer));
        assert!(may_report(DISPATCH, ReportType::Offer));
        assert!(!may_report(DISPATCH, ReportType::Deliver));
    }

    #[test]
    fn service_accounts_are_in_the_groups_of_kubernetes() {
        assert_eq!(
            groups(DISPATCH),
            ["system:authenticated", "system:serviceaccounts", "system:serviceaccounts:dropmate-system"]
        );
        assert_eq!(groups(OPERATOR), ["system:authenticated"]);
    }
}
