//! Every served kind. To add one, add its types to this crate and its entry here.

use std::sync::LazyLock;

use k8s_openapi::api::{coordination::v1 as coordination, core::v1 as core_v1, events::v1 as events};
use kube_core::CustomResourceExt;

use super::Strategy;
use super::{
    Access, Column, Kind, Renamed,
    builtin::{EventStrategy, EventsStrategy, LeaseStrategy, NamespaceStrategy, Plain},
    schemas,
};
use crate::{
    ApplySet, Depot, DispatchPolicy, Driver, GROUP, Member, NotificationPolicy, Order, VERSION, Webhook,
    applyset::ApplySetStrategy, depot::DepotStrategy, driver::DriverStrategy, member::MemberStrategy,
    notification::NotificationPolicyStrategy, order::strategy::OrderStrategy, policy::DispatchPolicyStrategy,
    schema::Schema, webhook::WebhookStrategy,
};

/// The schema made by an expression, on first use and once.
macro_rules! schema {
    ($make:expr) => {
        || {
            static SCHEMA: LazyLock<Schema> = LazyLock::new(|| $make);
            &SCHEMA
        }
    };
}

pub(super) static KINDS: [Kind; 14] = [
    Kind {
        group: "",
        version: "v1",
        kind: "Namespace",
        plural: "namespaces",
        singular: "namespace",
        short_names: &["ns"],
        categories: &[],
        namespaced: false,
        access: Access::Full,
        status_subresource: true,
        subresources: &[],
        columns: &[column("Status", "string", ".status.phase", "The status of the namespace")],
        selectable_fields: &["status.phase"],
        strategic_merge: true,
        storage: "namespaces",
        stored_api_version: "v1",
        renamed: &[],
        schema: schema!(schemas::core::<core_v1::Namespace>()),
        strategy: &NamespaceStrategy,
    },
    Kind {
        group: "",
        version: "v1",
        kind: "Event",
        plural: "events",
        singular: "event",
        short_names: &["ev"],
        categories: &[],
        namespaced: true,
        access: Access::Full,
        status_subresource: false,
        subresources: &[],
        columns: EVENT_COLUMNS,
        selectable_fields: &[
            "involvedObject.kind",
            "involvedObject.namespace",
            "involvedObject.name",
            "involvedObject.uid",
            "involvedObject.apiVersion",
            "involvedObject.resourceVersion",
            "involvedObject.fieldPath",
            "reason",
            "reportingComponent",
            "source",
            "type",
        ],
        strategic_merge: true,
        storage: "events",
        stored_api_version: "v1",
        renamed: &[],
        schema: schema!(schemas::core::<core_v1::Event>()),
        strategy: &EventStrategy,
    },
    Kind {
        group: "events.k8s.io",
        version: "v1",
        kind: "Event",
        plural: "events",
        singular: "event",
        short_names: &["ev"],
        categories: &[],
        namespaced: true,
        access: Access::Full,
        status_subresource: false,
        subresources: &[],
        columns: EVENT_COLUMNS,
        selectable_fields: &[
            "regarding.kind",
            "regarding.namespace",
            "regarding.name",
            "regarding.uid",
            "regarding.apiVersion",
            "regarding.resourceVersion",
            "regarding.fieldPath",
            "reason",
            "reportingController",
            "type",
        ],
        strategic_merge: true,
        storage: "events",
        stored_api_version: "v1",
        renamed: &[
            Renamed { served: "regarding", stored: "involvedObject" },
            Renamed { served: "note", stored: "message" },
            Renamed { served: "reportingController", stored: "reportingComponent" },
            Renamed { served: "deprecatedSource", stored: "source" },
            Renamed { served: "deprecatedFirstTimestamp", stored: "firstTimestamp" },
            Renamed { served: "deprecatedLastTimestamp", stored: "lastTimestamp" },
            Renamed { served: "deprecatedCount", stored: "count" },
        ],
        schema: schema!(schemas::core::<events::Event>()),
        strategy: &EventsStrategy,
    },
    Kind {
        group: "",
        version: "v1",
        kind: "ServiceAccount",
        plural: "serviceaccounts",
        singular: "serviceaccount",
        short_names: &["sa"],
        categories: &[],
        namespaced: true,
        access: Access::Full,
        status_subresource: false,
        subresources: &["token"],
        columns: &[],
        selectable_fields: &[],
        strategic_merge: true,
        storage: "serviceaccounts",
        stored_api_version: "v1",
        renamed: &[],
        schema: schema!(schemas::core::<core_v1::ServiceAccount>()),
        strategy: &Plain,
    },
    Kind {
        group: "coordination.k8s.io",
        version: "v1",
        kind: "Lease",
        plural: "leases",
        singular: "lease",
        short_names: &[],
        categories: &[],
        namespaced: true,
        access: Access::Full,
        status_subresource: false,
        subresources: &[],
        columns: &[column("Holder", "string", ".spec.holderIdentity", "Who holds the lease")],
        selectable_fields: &[],
        strategic_merge: true,
        storage: "leases.coordination.k8s.io",
        stored_api_version: "coordination.k8s.io/v1",
        renamed: &[],
        schema: schema!(schemas::core::<coordination::Lease>()),
        strategy: &LeaseStrategy,
    },
    Kind {
        group: "apiextensions.k8s.io",
        version: "v1",
        kind: "CustomResourceDefinition",
        plural: "customresourcedefinitions",
        singular: "customresourcedefinition",
        short_names: &["crd", "crds"],
        categories: &["api-extensions"],
        namespaced: false,
        access: Access::ReadOnly,
        status_subresource: true,
        subresources: &[],
        columns: &[column("Created At", "string", ".metadata.creationTimestamp", "Since when the kind is served")],
        selectable_fields: &[],
        strategic_merge: false,
        storage: "customresourcedefinitions.apiextensions.k8s.io",
        stored_api_version: "apiextensions.k8s.io/v1",
        renamed: &[],
        schema: schema!(schemas::definition()),
        strategy: &Plain,
    },
    Kind {
        subresources: &["binding", "progress"],
        columns: &[
            column("Phase", "string", ".status.phase", "Where the order is in its life"),
            column("Driver", "string", ".status.driverName", "The driver the order is bound to"),
            column("ETA", "string", ".status.eta", "When the goods are expected at the door"),
            column("Due", "string", ".spec.dueBy", "The promise"),
            wide("Pickup", "string", ".spec.pickup.address", "Where the goods are fetched"),
            wide("Dropoff", "string", ".spec.dropoff.address", "Where they go"),
            wide("Priority", "integer", ".spec.priority", "Higher goes first"),
            wide("Reason", "string", ".status.assignment.reason.summary", "Why this driver"),
        ],
        selectable_fields: &["status.phase", "status.driverName", "spec.driverName"],
        storage: "orders.dropmate.dev",
        schema: schema!(schemas::ours(
            &Order::crd(),
            "Order is something to be carried from a pickup to a dropoff. `spec` says what is wanted; `status` holds the \
             facts so far, and the phase that follows from them."
        )),
        ..ours("Order", "orders", "order", &["ord"], &OrderStrategy)
    },
    Kind {
        columns: &[
            column("Vehicle", "string", ".spec.vehicle.type", "What the driver drives"),
            column("Orders", "integer", ".status.activeOrders", "How many orders are bound to the driver"),
            column("Suspended", "boolean", ".spec.suspended", "Whether the driver gets no new orders"),
            wide("Display Name", "string", ".spec.displayName", "The name people see"),
            wide("Next", "string", ".status.route[0].order", "The order of the next stop"),
            wide(
                "Availability",
                "string",
                ".status.availability",
                "Whether the driver takes orders, as the driver says",
            ),
        ],
        storage: "drivers.dropmate.dev",
        schema: schema!(schemas::ours(
            &Driver::crd(),
            "Driver is a person with a vehicle who carries orders. Orders are bound to drivers by the dispatch agent, or \
             pinned by a person with `Order.spec.driverName`."
        )),
        ..ours("Driver", "drivers", "driver", &["drv"], &DriverStrategy)
    },
    Kind {
        columns: &[
            column("Address", "string", ".spec.address", "Street address"),
            column("Open Orders", "integer", ".status.openOrders", "Orders that start here and are not finished"),
            wide("Time Zone", "string", ".spec.timeZone", "IANA time zone"),
        ],
        storage: "depots.dropmate.dev",
        schema: schema!(schemas::ours(
            &Depot::crd(),
            "Depot is a place orders start from: a shop, a kitchen, a warehouse."
        )),
        ..ours("Depot", "depots", "depot", &["dep"], &DepotStrategy)
    },
    Kind {
        columns: &[
            column("Mode", "string", ".spec.mode", "Who decides, and how"),
            column("Active", "boolean", ".status.active", "Whether this policy is in force"),
            wide("Last Plan", "string", ".status.lastPlanAt", "When dispatch last planned with it"),
        ],
        storage: "dispatchpolicies.dropmate.dev",
        schema: schema!(schemas::ours(
            &DispatchPolicy::crd(),
            "DispatchPolicy says how the dispatch agent decides in its namespace. In force is the one named `default`; \
             without it, built-in defaults are."
        )),
        ..ours("DispatchPolicy", "dispatchpolicies", "dispatchpolicy", &["dp"], &DispatchPolicyStrategy)
    },
    Kind {
        columns: &[
            column("Suspended", "boolean", ".spec.suspended", "Whether the policy counts for nothing"),
            column("Sent", "integer", ".status.sent", "Messages that a provider took"),
            column("Failed", "integer", ".status.failed", "Messages that were given up"),
            wide("Built-in Rules", "string", ".spec.builtInRules", "Whether the built-in rules count"),
        ],
        storage: "notificationpolicies.dropmate.dev",
        schema: schema!(schemas::ours(
            &NotificationPolicy::crd(),
            "NotificationPolicy says who hears of what, over which channel and in which words. All policies of a namespace \
             count together; without any, the built-in rules do."
        )),
        ..ours("NotificationPolicy", "notificationpolicies", "notificationpolicy", &["np"], &NotificationPolicyStrategy)
    },
    Kind {
        columns: &[
            column("URL", "string", ".spec.url", "Where events are sent to"),
            column("Suspended", "boolean", ".spec.suspended", "Whether nothing is sent"),
            column("Failures", "integer", ".status.failures", "Attempts in a row that failed"),
            column("Disabled", "string", ".status.disabledReason", "Why nothing is sent any more"),
            wide("Last Success", "date", ".status.lastSuccessAt", "When an event was taken last"),
        ],
        storage: "webhooks.dropmate.dev",
        schema: schema!(schemas::ours(
            &Webhook::crd(),
            "Webhook is where a program of the shop hears of events, signed as Standard Webhooks say."
        )),
        ..ours("Webhook", "webhooks", "webhook", &["wh"], &WebhookStrategy)
    },
    Kind {
        categories: &["dropmate"],
        columns: &[
            column("User", "string", ".spec.user", "Who"),
            column("Role", "string", ".spec.role", "What they may do here"),
            column("Accepted", "date", ".status.acceptedAt", "Since when the invitation is accepted"),
            wide("Driver", "string", ".spec.driverName", "The Driver that this is"),
            wide("Customer", "string", ".spec.customerName", "The customer that this is"),
        ],
        selectable_fields: &["spec.user", "spec.role"],
        storage: "members.dropmate.dev",
        schema: schema!(schemas::ours(
            &Member::crd(),
            "Member says who has which role in its namespace. It takes effect once its invitation is accepted, at once for a \
             service account or a verified address."
        )),
        ..ours("Member", "members", "member", &["mem"], &MemberStrategy)
    },
    Kind {
        // Not among `all`: it is about objects of the shop, and none of them.
        categories: &["dropmate"],
        columns: &[
            column("Members", "integer", ".status.members", "Objects in the set"),
            column("Applied", "date", ".status.appliedAt", "When the last whole run ended"),
            column("Running", "string", ".spec.run.holder", "Who is at work on it now"),
        ],
        storage: "applysets.dropmate.dev",
        schema: schema!(schemas::ours(
            &ApplySet::crd(),
            "ApplySet keeps which objects one set of manifests has put here, so that `dropmate apply --prune` deletes what \
             has left the manifests, and nothing else."
        )),
        ..ours("ApplySet", "applysets", "applyset", &[], &ApplySetStrategy)
    },
];

/// As `kubectl get events` shows them; events have neither the NAME nor the AGE column of other kinds.
const EVENT_COLUMNS: &[Column] = &[
    column("Last Seen", "string", ".lastTimestamp", "Time when this event was last observed"),
    column("Type", "string", ".type", "Normal or Warning"),
    column("Reason", "string", ".reason", "Why, for programs"),
    column("Object", "string", ".involvedObject", "What it is about"),
    wide("Subobject", "string", ".involvedObject.fieldPath", "Which part of the object it is about"),
    wide("Source", "string", ".reportingComponent", "Who reports it"),
    column("Message", "string", ".message", "What happened, for people"),
    wide("First Seen", "string", ".firstTimestamp", "Time when this event was first observed"),
    wide("Count", "integer", ".count", "How often it was observed"),
    wide("Name", "string", ".metadata.name", "Name of the event"),
];

/// What all of our own kinds have in common.
const fn ours(
    kind: &'static str,
    plural: &'static str,
    singular: &'static str,
    short_names: &'static [&'static str],
    strategy: &'static dyn Strategy,
) -> Kind {
    Kind {
        group: GROUP,
        version: VERSION,
        kind,
        plural,
        singular,
        short_names,
        categories: &["dropmate", "all"],
        namespaced: true,
        access: Access::Full,
        status_subresource: true,
        subresources: &[],
        columns: &[],
        selectable_fields: &[],
        strategic_merge: false,
        storage: "",
        stored_api_version: crate::API_VERSION,
        renamed: &[],
        schema: schema!(Schema::new(serde_json::json!({"type": "object"}))),
        strategy,
    }
}

const fn column(name: &'static str, type_: &'static str, json_path: &'static str, description: &'static str) -> Column {
    Column { name, type_, description, json_path, priority: 0 }
}

/// A column that only `-o wide` shows.
const fn wide(name: &'static str, type_: &'static str, json_path: &'static str, description: &'static str) -> Column {
    Column { name, type_, description, json_path, priority: 1 }
}
