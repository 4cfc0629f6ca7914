//! The world as dispatch sees it: caches of the four kinds it plans with.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use dropmate_agent::{Cache, Caches};
use dropmate_api::{Depot, DispatchPolicy, Driver, Order, order::StopStatus};
use dropmate_planning::Snapshot;
use jiff::Timestamp;
use kube::{Api, Client, ResourceExt};

/// In force is the policy of that name.
pub(crate) const POLICY_IN_FORCE: &str = "default";

/// What kubectl keeps for itself; large, and of no use here.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Everything dispatch watches, in all namespaces.
pub(crate) struct World {
    caches: Caches,
    orders: Cache<Order>,
    drivers: Cache<Driver>,
    depots: Cache<Depot>,
    policies: Cache<DispatchPolicy>,
}

/// An object that a decision was about: its identity and the version the decision was made on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) kind: Kind,
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) uid: String,
    pub(crate) version: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Order,
    Driver,
    DispatchPolicy,
}

impl World {
    pub(crate) fn watch(client: &Client) -> Self {
        let mut caches = Caches::default();
        Self {
            orders: caches.watch(Api::all(client.clone()), slim_order),
            drivers: caches.watch(Api::all(client.clone()), |driver: &mut Driver| forget_last_applied(driver)),
            depots: caches.watch(Api::all(client.clone()), |depot: &mut Depot| forget_last_applied(depot)),
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

    /// Every namespace with something to plan.
    pub(crate) fn namespaces(&self) -> BTreeSet<String> {
        let mut namespaces = self.orders.namespaces();
        namespaces.extend(self.drivers.namespaces());
        namespaces.extend(self.policies.namespaces());
        namespaces
    }

    /// The policy object in force in a namespace, if it has one.
    pub(crate) fn policy(&self, namespace: &str) -> Option<Arc<DispatchPolicy>> {
        self.policies.get(namespace, POLICY_IN_FORCE)
    }

    /// The other policies of a namespace.
    pub(crate) fn idle_policies(&self, namespace: &str) -> Vec<Arc<DispatchPolicy>> {
        let mut policies = self.policies.in_namespace(namespace);
        policies.retain(|policy| policy.name_any() != POLICY_IN_FORCE);
        policies
    }

    /// What planning sees of a namespace. Finished orders leave memory, but for each driver's last one: it tells where
    /// the driver is.
    pub(crate) fn snapshot(&self, namespace: &str) -> Snapshot {
        let mut orders = self.orders.in_namespace(namespace);
        let useless = finished_of_no_use(&orders);
        if !useless.is_empty() {
            self.orders.forget(namespace, &useless);
            let useless: BTreeSet<&String> = useless.iter().collect();
            orders.retain(|order| !useless.contains(&order.name_any()));
        }
        Snapshot {
            orders,
            drivers: self.drivers.in_namespace(namespace),
            depots: self.depots.in_namespace(namespace),
            policy: self.policy(namespace).map(|policy| policy.spec.clone()).unwrap_or_default(),
        }
    }

    /// Whether the caches have moved past the version a write was decided on.
    pub(crate) fn shows(&self, written: &Seen) -> bool {
        let Seen { namespace, name, .. } = written;
        let now = match written.kind {
            Kind::Order => self.orders.get(namespace, name).map(|order| Seen::order(&order)),
            Kind::Driver => self.drivers.get(namespace, name).map(|driver| Seen::driver(&driver)),
            Kind::DispatchPolicy => self.policies.get(namespace, name).map(|policy| Seen::policy(&policy)),
        };
        now.is_none_or(|now| now != *written)
    }
}

impl Seen {
    pub(crate) fn order(order: &Order) -> Self {
        Self::object(Kind::Order, order)
    }

    pub(crate) fn driver(driver: &Driver) -> Self {
        Self::object(Kind::Driver, driver)
    }

    pub(crate) fn policy(policy: &DispatchPolicy) -> Self {
        Self::object(Kind::DispatchPolicy, policy)
    }

    fn object(kind: Kind, object: &impl ResourceExt) -> Self {
        Self {
            kind,
            namespace: object.namespace().unwrap_or_default(),
            name: object.name_any(),
            uid: object.uid().unwrap_or_default(),
            version: object.resource_version().unwrap_or_default(),
        }
    }
}

/// Names of the finished orders that do not tell where a driver is.
fn finished_of_no_use(orders: &[Arc<Order>]) -> Vec<String> {
    let mut last_of_driver: BTreeMap<&str, (Timestamp, &Arc<Order>)> = BTreeMap::new();
    let finished = || orders.iter().filter(|order| order.phase().is_terminal());
    for order in finished() {
        if let Some((driver, at)) = left_at(order) {
            let last = last_of_driver.entry(driver).or_insert((at, order));
            if at > last.0 {
                *last = (at, order);
            }
        }
    }
    let kept: BTreeSet<String> = last_of_driver.values().map(|(_, order)| order.name_any()).collect();
    finished().map(|order| order.name_any()).filter(|name| !kept.contains(name)).collect()
}

/// Who was last at one of the order's stops, and when.
fn left_at(order: &Order) -> Option<(&str, Timestamp)> {
    let status = order.status.as_ref()?;
    let driver = status.driver_name.as_deref()?;
    let stops = status.stops.as_ref()?;
    let last = |stop: &StopStatus| stop.completed_at.max(stop.arrived_at).max(stop.departed_at);
    Some((driver, last(&stops.pickup).max(last(&stops.dropoff))?))
}

fn slim_order(order: &mut Order) {
    forget_last_applied(order);
    if let Some(status) = &mut order.status {
        status.reports = Vec::new();
        status.proofs = Vec::new();
    }
}

fn forget_last_applied(object: &mut impl ResourceExt) {
    object.annotations_mut().remove(LAST_APPLIED);
}
