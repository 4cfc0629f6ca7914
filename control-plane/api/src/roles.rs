//! Who may do what, as one table of data. Whoever asks (gateway, reviews of access, tests) asks here.

mod fields;
mod sight;
mod table;

use crate::{GROUP, member::MemberRole};

pub use self::{
    fields::outside,
    sight::{Own, Parties, Sight, redact},
    table::{RESERVED, TABLE},
};

/// The user of the operator's token: global, may do everything people may do.
pub const OPERATOR: &str = "operator";
/// What the user name of a service account begins with; namespace and name follow, with a colon between them.
pub const SERVICE_ACCOUNT: &str = "system:serviceaccount:";
/// What the user name of a driver's phone begins with; namespace and name of the Driver follow, with a colon between them.
pub const DRIVER_USER: &str = "system:driver:";

/// The group, in this table, of what stands in the task API only: no client of Kubernetes finds it.
pub const TASKS: &str = "tasks.dropmate.dev";

/// What a caller is. A caller without a role may do what [`Role::Anyone`] may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// Every caller who is known.
    Anyone,
    /// Runs the installation.
    Operator,
    /// Runs a business.
    Manager,
    /// Runs a business's day.
    Dispatcher,
    /// Carries.
    Driver,
    /// Orders.
    Customer,
    /// Looks.
    Viewer,
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
    pub const ALL: [Self; 11] = [
        Self::Anyone,
        Self::Operator,
        Self::Manager,
        Self::Dispatcher,
        Self::Driver,
        Self::Customer,
        Self::Viewer,
        Self::Dispatch,
        Self::Tracking,
        Self::Notification,
        Self::Simulation,
    ];

    /// The global role of a user name. Roles in a namespace come from its Members.
    pub fn of(user: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.user() == Some(user))
    }

    /// The user name that has this global role.
    pub fn user(self) -> Option<&'static str> {
        match self {
            Self::Operator => Some(OPERATOR),
            Self::Dispatch => Some("system:serviceaccount:dropmate-system:dispatch"),
            Self::Tracking => Some("system:serviceaccount:dropmate-system:tracking"),
            Self::Notification => Some("system:serviceaccount:dropmate-system:notification"),
            Self::Simulation => Some("system:serviceaccount:dropmate-system:simulation"),
            Self::Anyone | Self::Manager | Self::Dispatcher | Self::Driver | Self::Customer | Self::Viewer => None,
        }
    }

    /// As people say it: `manager`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Anyone => "anyone",
            Self::Operator => "operator",
            Self::Manager => "manager",
            Self::Dispatcher => "dispatcher",
            Self::Driver => "driver",
            Self::Customer => "customer",
            Self::Viewer => "viewer",
            Self::Dispatch => "dispatch",
            Self::Tracking => "tracking",
            Self::Notification => "notification",
            Self::Simulation => "simulation",
        }
    }
}

impl From<MemberRole> for Role {
    fn from(role: MemberRole) -> Self {
        match role {
            MemberRole::Manager => Self::Manager,
            MemberRole::Dispatcher => Self::Dispatcher,
            MemberRole::Driver => Self::Driver,
            MemberRole::Customer => Self::Customer,
            MemberRole::Viewer => Self::Viewer,
        }
    }
}

/// Groups of a user, as Kubernetes names them.
pub fn groups(user: &str) -> Vec<String> {
    let mut groups = vec!["system:authenticated".to_owned()];
    if let Some((namespace, _)) = user.strip_prefix(SERVICE_ACCOUNT).and_then(|rest| rest.split_once(':')) {
        groups.push("system:serviceaccounts".to_owned());
        groups.push(format!("system:serviceaccounts:{namespace}"));
    }
    groups
}

/// A role that a caller has, and where.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Grant {
    /// What.
    pub role: Role,
    /// Where; `None` is everywhere.
    pub namespace: Option<String>,
    /// Which driver or customer the caller is there.
    pub name: Option<String>,
}

/// What a caller holds, whatever Members say: what everybody may, and their global role.
pub fn global_grants(user: &str) -> Vec<Grant> {
    let everywhere = |role| Grant { role, namespace: None, name: None };
    std::iter::once(Role::Anyone).chain(Role::of(user)).map(everywhere).collect()
}

/// Whether the caller has a role that is not bound to a namespace: for them, what is missing is missing as in Kubernetes.
pub fn is_global(grants: &[Grant]) -> bool {
    grants.iter().any(|grant| grant.namespace.is_none() && grant.role != Role::Anyone)
}

/// What a request wants, in the words of Kubernetes' authorization.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
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
    /// The object's name, where the request says it.
    pub name: Option<&'a str>,
}

/// One line of the table: a role may use these verbs on these resources.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// Who.
    pub role: Role,
    /// API groups; `*` is every group.
    pub groups: &'static [&'static str],
    /// `orders`, `orders/status`; `*` is every resource with its subresources, `*/` every resource without them,
    /// `*/status` this subresource of every one.
    pub resources: &'static [&'static str],
    /// Verbs; `*` is every verb.
    pub verbs: &'static [&'static str],
    /// Only in this namespace; `None` is everywhere.
    pub namespace: Option<&'static str>,
    /// Only objects of these names; `None` is every name.
    pub names: Option<&'static [&'static str]>,
    /// Which objects.
    pub rows: Rows,
    /// Only these fields may be written, as [`outside`] reads them; `None` is every field.
    pub fields: Option<&'static [&'static str]>,
}

/// Which objects of a resource a rule is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rows {
    /// Every one.
    All,
    /// Only the caller's: a driver's, a customer's; of namespaces, where the caller is a member.
    Own,
}

/// What the table says to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Yes, within these limits.
    Allowed(Permit),
    /// No: the caller lacks the verb.
    Forbidden,
    /// The namespace is none of the caller's: to them it does not exist.
    NoSuchNamespace,
}

/// The limits of a yes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Permit {
    /// Which objects there are for the caller.
    pub sight: Sight,
    /// The only fields that may be written; `None` is every field.
    pub fields: Option<Vec<&'static str>>,
    /// The only names that may be written; `None` is every name.
    pub names: Option<Vec<&'static str>>,
}

/// Looks a request up in the table.
pub fn decide(grants: &[Grant], wanted: &Attributes<'_>) -> Decision {
    let member_of = |namespace: &str| grants.iter().any(|grant| grant.namespace.as_deref() == Some(namespace));
    if let Some(namespace) = wanted.namespace
        && !is_global(grants)
        && !member_of(namespace)
    {
        return Decision::NoSuchNamespace;
    }
    let path = wanted.path();
    let mut matched = grants
        .iter()
        .filter(|grant| grant.namespace.is_none() || grant.namespace.as_deref() == wanted.namespace)
        .filter(|grant| !is_reserved(grant.role, wanted, &path))
        .flat_map(|grant| table::of(grant.role).map(move |rule| (grant, rule)))
        .filter(|(_, rule)| rule.matches(wanted, &path))
        .peekable();
    if matched.peek().is_none() {
        return Decision::Forbidden;
    }
    let mut permit = Permit { sight: Sight::Own(Own::default()), fields: Some(Vec::new()), names: Some(Vec::new()) };
    for (grant, rule) in matched {
        match rule.rows {
            Rows::All => permit.sight = Sight::Everything,
            Rows::Own => permit.sight.widen(grant, grants),
        }
        widen(&mut permit.fields, rule.fields);
        widen(&mut permit.names, rule.names);
    }
    Decision::Allowed(permit)
}

/// Whether the grants allow that for some object at least.
pub fn allowed(grants: &[Grant], wanted: &Attributes<'_>) -> bool {
    matches!(decide(grants, wanted), Decision::Allowed(_))
}

/// The lines of the table that count for a caller in a namespace, and without one.
pub fn rules<'a>(grants: &'a [Grant], namespace: &'a str) -> impl Iterator<Item = &'static Rule> + 'a {
    let here = move |place: Option<&str>| place.is_none_or(|place| place == namespace);
    let held = grants.iter().filter(move |grant| here(grant.namespace.as_deref()));
    held.flat_map(|grant| table::of(grant.role)).filter(move |rule| here(rule.namespace))
}

fn widen(limit: &mut Option<Vec<&'static str>>, rule: Option<&'static [&'static str]>) {
    match (limit.as_mut(), rule) {
        (Some(limit), Some(more)) => limit.extend_from_slice(more),
        _ => *limit = None,
    }
}

fn is_reserved(role: Role, wanted: &Attributes<'_>, path: &str) -> bool {
    let meant =
        |verb: &str, resource: &str| verb == wanted.verb && resource == path && [GROUP, TASKS].contains(&wanted.group);
    RESERVED.iter().any(|(verb, resource, owner)| meant(verb, resource) && *owner != role)
}

impl Attributes<'_> {
    /// `orders`, `orders/status`.
    pub fn path(&self) -> String {
        if self.subresource.is_empty() {
            self.resource.to_owned()
        } else {
            format!("{}/{}", self.resource, self.subresource)
        }
    }
}

impl Rule {
    fn matches(&self, wanted: &Attributes<'_>, path: &str) -> bool {
        let has = |list: &[&str], item: &str| list.iter().any(|held| *held == "*" || *held == item);
        let resource = has(self.resources, path)
            || self.resources.iter().any(|held| held.strip_prefix("*/").is_some_and(|sub| sub == wanted.subresource));
        has(self.groups, wanted.group)
            && resource
            && has(self.verbs, wanted.verb)
            && self.namespace.is_none_or(|only| wanted.namespace == Some(only))
            // A request without a name makes or looks through objects: whoever carries it out looks at each.
            && self.names.is_none_or(|names| wanted.name.is_none_or(|name| names.contains(&name)))
    }
}

#[cfg(test)]
mod tests;
