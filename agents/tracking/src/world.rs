//! The world as tracking sees it: caches of orders, drivers and policies.

use std::collections::BTreeSet;

use dropmate_agent::{Cache, Caches};
use dropmate_api::{DispatchPolicy, Driver, Order, subresource::ReportType};
use jiff::SignedDuration;
use kube::{Api, Client, ResourceExt};

use crate::look::Scene;

/// In force is the policy of that name.
const POLICY_IN_FORCE: &str = "default";

/// What kubectl keeps for itself; large, and of no use here.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Everything tracking watches, in all namespaces.
pub(crate) struct World {
    caches: Caches,
    orders: Cache<Order>,
    drivers: Cache<Driver>,
    policies: Cache<DispatchPolicy>,
}

/// An object as a decision saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) driver: bool,
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) version: Option<String>,
}

impl World {
    pub(crate) fn watch(client: &Client) -> Self {
        let mut caches = Caches::default();
        Self {
            orders: caches.watch(Api::all(client.clone()), slim_order),
            drivers: caches.watch(Api::all(client.clone()), |driver: &mut Driver| forget_last_applied(driver)),
            policies: caches.watch(Api::all(client.clone()), |policy: &mut DispatchPolicy| forget_last_applied(policy)),
            caches,
        }
    }

    pub(crate) fn caches(&self) -> &Caches {
        &self.caches
    }

    pub(crate) async fn synced(&self) {
        self.caches.synced().await;
    }

    /// Every namespace with something to track.
    pub(crate) fn namespaces(&self) -> BTreeSet<String> {
        let mut namespaces = self.orders.namespaces();
        namespaces.extend(self.drivers.namespaces());
        namespaces
    }

    pub(crate) fn scene(&self, namespace: &str, silence_at_least: SignedDuration) -> Scene {
        let policy = self.policies.get(namespace, POLICY_IN_FORCE);
        Scene {
            orders: self.orders.in_namespace(namespace),
            drivers: self.drivers.in_namespace(namespace),
            policy: policy.map(|policy| policy.spec.clone()).unwrap_or_default(),
            silence_at_least,
        }
    }

    /// Whether the caches have moved past what a write was decided on.
    pub(crate) fn shows(&self, written: &Seen) -> bool {
        let Seen { namespace, name, .. } = written;
        let now = if written.driver {
            self.drivers.get(namespace, name).map(|driver| driver.resource_version())
        } else {
            self.orders.get(namespace, name).map(|order| order.resource_version())
        };
        now.is_none_or(|now| now != written.version)
    }

    /// Finished orders that are told leave memory.
    pub(crate) fn forget(&self, namespace: &str, orders: &[String]) {
        self.orders.forget(namespace, orders);
    }
}

/// Of reports only those are kept whose time stands nowhere else; of people and goods nothing.
fn slim_order(order: &mut Order) {
    forget_last_applied(order);
    let timed = [ReportType::Schedule, ReportType::Offer, ReportType::Accept, ReportType::Decline, ReportType::Decide];
    order.spec.items = Vec::new();
    if let Some(status) = &mut order.status {
        status.reports.retain(|report| timed.iter().any(|type_| type_.as_str() == report.type_));
        status.proofs = Vec::new();
        if let Some(assignment) = &mut status.assignment {
            assignment.reason = None;
        }
    }
}

fn forget_last_applied(object: &mut impl ResourceExt) {
    object.annotations_mut().remove(LAST_APPLIED);
}
