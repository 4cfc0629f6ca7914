//! The world as the notification agent sees it: policies, webhooks, and who people are.

use std::{collections::BTreeMap, sync::Arc};

use dropmate_agent::{Cache, Caches};
use dropmate_api::{
    Depot, Driver, Member, Webhook,
    notification::{NotificationPolicy, rules},
};
use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, Client, ResourceExt};

use crate::plan::Scene;

/// What kubectl keeps for itself; large, and of no use here.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Where a namespace says its time zone.
const TIME_ZONE: &str = "dropmate.dev/time-zone";

/// Everything the agent watches, in all namespaces.
pub(crate) struct World {
    caches: Caches,
    policies: Cache<NotificationPolicy>,
    webhooks: Cache<Webhook>,
    drivers: Cache<Driver>,
    members: Cache<Member>,
    depots: Cache<Depot>,
    namespaces: Cache<Namespace>,
}

impl World {
    pub(crate) fn watch(client: &Client) -> Self {
        let mut caches = Caches::default();
        Self {
            policies: caches.watch(Api::all(client.clone()), forget_last_applied),
            webhooks: caches.watch(Api::all(client.clone()), forget_last_applied),
            drivers: caches.watch(Api::all(client.clone()), slim_driver),
            members: caches.watch(Api::all(client.clone()), forget_last_applied),
            depots: caches.watch(Api::all(client.clone()), forget_last_applied),
            namespaces: caches.watch(Api::all(client.clone()), forget_last_applied),
            caches,
        }
    }

    pub(crate) async fn synced(&self) {
        self.caches.synced().await;
    }

    /// What stands in a namespace.
    pub(crate) fn scene(&self, namespace: &str) -> Scene {
        let policies: Vec<NotificationPolicy> =
            self.policies.in_namespace(namespace).iter().map(|policy| (**policy).clone()).collect();
        // Namespaces stand in none.
        let annotated = self.namespaces.get("", namespace);
        Scene {
            rules: rules::effective(&policies),
            webhooks: self.webhooks.in_namespace(namespace),
            drivers: self.drivers.in_namespace(namespace),
            members: self.members.in_namespace(namespace),
            depots: self.depots.in_namespace(namespace),
            time_zone: annotated.and_then(|namespace| namespace.annotations().get(TIME_ZONE).cloned()),
        }
    }

    pub(crate) fn policy(&self, namespace: &str, name: &str) -> Option<Arc<NotificationPolicy>> {
        self.policies.get(namespace, name)
    }

    /// All of them.
    pub(crate) fn webhooks(&self) -> Vec<Arc<Webhook>> {
        let namespaces = self.webhooks.namespaces();
        namespaces.iter().flat_map(|namespace| self.webhooks.in_namespace(namespace)).collect()
    }
}

/// The scenes of the namespaces that a piece of a feed is about, each made once.
pub(crate) struct Scenes<'a> {
    world: &'a World,
    made: BTreeMap<String, Scene>,
}

impl<'a> Scenes<'a> {
    pub(crate) fn of(world: &'a World) -> Self {
        Self { world, made: BTreeMap::new() }
    }

    pub(crate) fn scene(&mut self, namespace: &str) -> &Scene {
        if !self.made.contains_key(namespace) {
            self.made.insert(namespace.to_owned(), self.world.scene(namespace));
        }
        &self.made[namespace]
    }
}

/// Names, numbers and zones are of use here; where drivers are is not.
fn slim_driver(driver: &mut Driver) {
    forget_last_applied(driver);
    driver.status = None;
}

fn forget_last_applied(object: &mut impl ResourceExt) {
    object.annotations_mut().remove(LAST_APPLIED);
}
