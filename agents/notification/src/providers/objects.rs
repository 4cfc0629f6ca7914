//! Policies and webhooks as they are now.

use std::{fmt::Debug, sync::Arc};

use dropmate_agent::{Cache, Caches, CallError, call, call::with_deadline};
use dropmate_api::{NotificationPolicy, Webhook};
use kube::{Api, Client, Resource, core::NamespaceResourceScope};
use serde::de::DeserializeOwned;

use super::NoProvider;

/// Policies and webhooks, watched; dropping it ends the watches.
pub(super) struct Objects {
    client: Client,
    caches: Caches,
    policies: Cache<NotificationPolicy>,
    webhooks: Cache<Webhook>,
}

impl Objects {
    pub(super) fn watch(client: &Client) -> Self {
        let client = with_deadline(client);
        let mut caches = Caches::default();
        let policies = caches.watch(Api::all(client.clone()), |_| {});
        let webhooks = caches.watch(Api::all(client.clone()), |_| {});
        Self { client, caches, policies, webhooks }
    }

    pub(super) async fn synced(&self) {
        self.caches.synced().await;
    }

    pub(super) async fn policy(
        &self,
        namespace: &str,
        name: &str,
    ) -> Result<Option<Arc<NotificationPolicy>>, NoProvider> {
        find(&self.client, &self.policies, namespace, name).await
    }

    pub(super) async fn webhook(&self, namespace: &str, name: &str) -> Result<Option<Arc<Webhook>>, NoProvider> {
        find(&self.client, &self.webhooks, namespace, name).await
    }
}

/// From the cache; what is not there is asked for: the cache may be a moment behind, and a message must not be given up for
/// that.
async fn find<K>(client: &Client, cache: &Cache<K>, namespace: &str, name: &str) -> Result<Option<Arc<K>>, NoProvider>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug,
{
    if let Some(found) = cache.get(namespace, name) {
        return Ok(Some(found));
    }
    let api: Api<K> = Api::namespaced(client.clone(), namespace);
    match call(api.get_opt(name)).await {
        Ok(found) => Ok(found.map(Arc::new)),
        Err(CallError::Gone(_)) => Ok(None),
        Err(error) => {
            tracing::warn!(error = %error, kind = %K::kind(&()), "an object that a message needs cannot be read");
            Err(NoProvider::until_answered())
        }
    }
}
