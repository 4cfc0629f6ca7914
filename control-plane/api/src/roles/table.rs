//! The table. A request that no line here matches is refused.

use super::{Role, Rows, Rule, TASKS};
use crate::{GROUP, SYSTEM_NAMESPACE};

const ALL: &[&str] = &["*"];
const READ: &[&str] = &["get", "list", "watch"];
const WRITE: &[&str] = &["create", "update", "patch"];
const OURS: &[&str] = &[GROUP];
const CORE: &[&str] = &[""];
const LEASES: &[&str] = &["coordination.k8s.io"];
const EVENTS: &[&str] = &["", "events.k8s.io"];
/// The state, the past and the archive of everything of ours, and what tracking tells of it.
const EVERY_STATE: &[&str] = &["*/", "*/status", "*/history", "*/archive", "orders/timeline", "drivers/positions"];

const fn rule(
    role: Role,
    groups: &'static [&'static str],
    resources: &'static [&'static str],
    verbs: &'static [&'static str],
) -> Rule {
    Rule { role, groups, resources, verbs, namespace: None, names: None, rows: Rows::All, fields: None }
}

/// The same for the caller's own objects.
const fn own(
    role: Role,
    groups: &'static [&'static str],
    resources: &'static [&'static str],
    verbs: &'static [&'static str],
) -> Rule {
    Rule { rows: Rows::Own, ..rule(role, groups, resources, verbs) }
}

/// What may be written of the status of a resource.
const fn status(role: Role, resources: &'static [&'static str], fields: &'static [&'static str]) -> Rule {
    Rule { fields: Some(fields), ..rule(role, OURS, resources, &["get", "update", "patch"]) }
}

/// What every agent needs: our kinds and namespaces to read, its Lease, and Events.
const fn agent(role: Role, lease: &'static [&'static str]) -> [Rule; 6] {
    [
        rule(role, OURS, &["*/", "*/status"], READ),
        rule(role, CORE, &["namespaces"], READ),
        Rule { namespace: Some(SYSTEM_NAMESPACE), ..rule(role, LEASES, &["leases"], READ) },
        Rule { namespace: Some(SYSTEM_NAMESPACE), names: Some(lease), ..rule(role, LEASES, &["leases"], WRITE) },
        rule(role, EVENTS, &["events"], READ),
        rule(role, EVENTS, &["events"], WRITE),
    ]
}

/// What members see of their own namespace, with what happened in it.
const fn onlooker(role: Role) -> [Rule; 7] {
    [
        rule(role, OURS, EVERY_STATE, READ),
        // What was told to customers.
        rule(role, OURS, &["orders/notifications"], &["get"]),
        rule(role, &[TASKS], &["notifications"], &["get", "list"]),
        rule(role, OURS, &["drivers/position"], &["get"]),
        rule(role, EVENTS, &["events"], READ),
        rule(role, CORE, &["namespaces"], &["get"]),
        rule(role, &[TASKS], &["proofs", "incidents"], READ),
    ]
}

/// The table.
pub const TABLE: &[&[Rule]] = &[
    // Everybody may ask what they are and what they may, what kinds there are, and where they are members.
    &[
        rule(
            Role::Anyone,
            &["authorization.k8s.io"],
            &["selfsubjectaccessreviews", "selfsubjectrulesreviews"],
            &["create"],
        ),
        rule(Role::Anyone, &["authentication.k8s.io"], &["selfsubjectreviews"], &["create"]),
        rule(
            Role::Anyone,
            &["apiextensions.k8s.io"],
            &["customresourcedefinitions", "customresourcedefinitions/status"],
            READ,
        ),
        own(Role::Anyone, CORE, &["namespaces"], &["list", "watch"]),
    ],
    &[rule(Role::Operator, ALL, ALL, ALL)],
    // A manager does everything in the namespace but what agents observe.
    &onlooker(Role::Manager),
    &[
        rule(Role::Manager, OURS, &["*/"], ALL),
        rule(Role::Manager, OURS, &["orders/binding"], &["delete"]),
        rule(Role::Manager, OURS, &["drivers/pairing"], &["create", "delete"]),
        rule(Role::Manager, OURS, &["orders/progress", "members/invitation", "incidents/resolve"], &["create"]),
        rule(Role::Manager, OURS, &["orders/pin"], &["get", "create"]),
        // The page behind a link shows the PIN.
        rule(Role::Manager, OURS, &["orders/tracking-links"], &["create", "delete"]),
        rule(Role::Manager, &[TASKS], &["ratings"], READ),
        rule(Role::Manager, &[TASKS], &["secrets", "audit"], ALL),
        // Previews, and what goes out once more.
        rule(Role::Manager, &[TASKS], &["notifications"], &["create"]),
        rule(Role::Manager, OURS, &["notifications/retry"], &["create"]),
        rule(Role::Manager, OURS, &["webhooks/enable", "webhooks/replay", "webhooks/test"], &["create"]),
        rule(Role::Manager, CORE, &["serviceaccounts"], ALL),
        rule(Role::Manager, CORE, &["serviceaccounts/token"], &["create"]),
        rule(Role::Manager, CORE, &["serviceaccounts/tokens"], &["delete"]),
        rule(Role::Manager, EVENTS, &["events"], ALL),
        rule(Role::Manager, LEASES, &["leases"], ALL),
    ],
    // Orders but their end, and which drivers work.
    &onlooker(Role::Dispatcher),
    &[
        rule(Role::Dispatcher, OURS, &["orders"], WRITE),
        rule(Role::Dispatcher, OURS, &["orders/binding"], &["delete"]),
        rule(Role::Dispatcher, OURS, &["drivers/pairing"], &["create", "delete"]),
        rule(Role::Dispatcher, OURS, &["orders/progress", "incidents/resolve"], &["create"]),
        Rule { fields: Some(&["spec.suspended"]), ..rule(Role::Dispatcher, OURS, &["drivers"], &["update", "patch"]) },
    ],
    &onlooker(Role::Viewer),
    // What a driver does goes through `/v1/me`.
    &[
        own(Role::Driver, OURS, &["orders", "orders/status", "drivers", "drivers/status"], READ),
        own(Role::Driver, OURS, &["orders/timeline", "drivers/position", "drivers/positions"], &["get"]),
        rule(Role::Driver, CORE, &["namespaces"], &["get"]),
        own(Role::Driver, &[TASKS], &["proofs"], &["get"]),
    ],
    &[
        own(Role::Customer, OURS, &["orders", "orders/status"], READ),
        own(Role::Customer, OURS, &["orders/timeline"], &["get"]),
        Rule { fields: Some(ORDERED), ..own(Role::Customer, OURS, &["orders"], &["create"]) },
        Rule { fields: Some(&["spec.cancelled"]), ..own(Role::Customer, OURS, &["orders"], &["update", "patch"]) },
        rule(Role::Customer, CORE, &["namespaces"], &["get"]),
    ],
    &agent(Role::Dispatch, &["dispatch"]),
    &[
        rule(Role::Dispatch, OURS, &["orders/binding"], &["create", "delete"]),
        rule(Role::Dispatch, OURS, &["orders/progress"], &["create"]),
        status(Role::Dispatch, &["orders/status"], &["status.conditions[type=Unassignable]"]),
        // Whether a driver is busy follows from the orders: the server writes it with them.
        status(Role::Dispatch, &["drivers/status"], &["status.activeOrders", "status.route", "status.availability"]),
        status(Role::Dispatch, &["dispatchpolicies/status"], &["status"]),
    ],
    &agent(Role::Tracking, &["tracking"]),
    &[
        // Arrivals, where the policy says so.
        rule(Role::Tracking, OURS, &["orders/progress"], &["create"]),
        status(
            Role::Tracking,
            &["orders/status"],
            &[
                "status.eta",
                "status.conditions[type=Arriving]",
                "status.conditions[type=Late]",
                "status.conditions[type=AtRisk]",
                "status.conditions[type=TrackingStale]",
            ],
        ),
        status(Role::Tracking, &["drivers/status"], &["status.position", "status.conditions"]),
        // What phones bring in, as it was acknowledged.
        rule(Role::Tracking, &[TASKS], &["internal/positions"], &["get"]),
    ],
    &agent(Role::Notification, &["notification", "notification-events"]),
    &[
        status(Role::Notification, &["orders/status"], &["status.conditions[type=CustomerNotified]"]),
        status(Role::Notification, &["notificationpolicies/status", "webhooks/status"], &["status"]),
        // What happened, what only the message may tell, and what the channels are paid with.
        rule(Role::Notification, &[TASKS], &["internal/events", "internal/mails", "internal/secrets"], &["get"]),
        rule(Role::Notification, &[TASKS], &["internal/reveal"], &["create"]),
    ],
    &[
        rule(Role::Simulation, OURS, &["*/", "*/status"], READ),
        rule(Role::Simulation, CORE, &["namespaces"], READ),
        rule(Role::Simulation, OURS, &["orders/progress"], &["create"]),
    ],
];

/// What a customer says of an order. Who carries it and in which turn is the business's to say.
const ORDERED: &[&str] = &[
    "metadata.name",
    "metadata.generateName",
    "metadata.namespace",
    "metadata.labels",
    "metadata.annotations",
    "spec.pickup",
    "spec.dropoff",
    "spec.recipient",
    "spec.readyAt",
    "spec.dueBy",
    "spec.items",
    "spec.proof",
    "spec.customerName",
];

/// What only one role may do, whatever else the table gives: people pin with `spec.driverName`, they do not bind.
/// And positions as phones bring them in are the tracking agent's alone, as secrets, links and PINs are the notification
/// agent's.
pub const RESERVED: &[(&str, &str, Role)] = &[
    ("create", "orders/binding", Role::Dispatch),
    ("get", "internal/positions", Role::Tracking),
    ("get", "internal/events", Role::Notification),
    ("get", "internal/mails", Role::Notification),
    ("get", "internal/secrets", Role::Notification),
    ("create", "internal/reveal", Role::Notification),
];

/// The lines of a role.
pub(super) fn of(role: Role) -> impl Iterator<Item = &'static Rule> {
    TABLE.iter().copied().flatten().filter(move |rule| rule.role == role)
}
