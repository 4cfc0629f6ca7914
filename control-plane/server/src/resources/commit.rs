//! Writing to the store: the guard on the namespace, and what a refused guard means to the caller.

use std::sync::Arc;

use dropmate_api::registry::Kind;
use dropmate_store::{Actor, At, Change, Expect, Guard, Key, Object, Revision, Write, WriteError};
use serde_json::Value;

use super::call::Call;
use crate::{
    error::{ApiError, Result},
    object,
    state::AppState,
};

/// A read or a write that lost a race is tried again this often before the caller hears of the conflict.
pub(crate) const MAX_ATTEMPTS: usize = 8;

/// The group-resource of Leases; their writes go first.
pub(crate) const LEASES: &str = "leases.coordination.k8s.io";

impl Call {
    /// Reads the object of the path, as new as can be.
    pub(crate) async fn read(&self) -> Result<Arc<Object>> {
        self.find().await?.ok_or_else(|| ApiError::not_found(self.kind(), self.name()))
    }

    /// The same, where it need not be there.
    pub(crate) async fn find(&self) -> Result<Option<Arc<Object>>> {
        Ok(self.seen(self.state.store.get(&self.key(), At::Latest).await?.0))
    }

    /// Commits a change to one object.
    pub(crate) async fn commit(
        &self,
        key: Key,
        expect: Expect,
        change: Change,
        guards: Vec<Guard>,
    ) -> Result<Arc<Object>, WriteError> {
        write(&self.state, key, expect, change, guards, &self.actor).await
    }
}

/// Commits a change to one object.
pub(crate) async fn write(
    state: &AppState,
    key: Key,
    expect: Expect,
    change: Change,
    guards: Vec<Guard>,
    actor: &Actor,
) -> Result<Arc<Object>, WriteError> {
    let urgent = key.resource == LEASES;
    state.store.write(Write { key, expect, change, guards, urgent, actor: actor.clone() }).await
}

/// The object in the form in which its kind is served, with `resourceVersion`.
pub(crate) fn served(kind: &Kind, stored: &Object) -> Result<Value> {
    at_version(kind, stored, stored.revision)
}

/// The same with another version: that of the change which took the object out of a watcher's sight.
pub(crate) fn at_version(kind: &Kind, stored: &Object, revision: Revision) -> Result<Value> {
    let mut value: Value = serde_json::from_str(&stored.body).map_err(ApiError::internal)?;
    kind.to_served(&mut value);
    object::metadata(&mut value).insert("resourceVersion".into(), revision.to_string().into());
    Ok(value)
}

/// The canonical text of a served object.
pub(crate) fn body(kind: &Kind, mut served: Value) -> Arc<str> {
    kind.to_stored(&mut served);
    object::metadata(&mut served).remove("resourceVersion");
    // To a text directly: `Display` goes through a formatter for every token.
    Arc::from(serde_json::to_string(&served).unwrap_or_default())
}

/// How an object goes: into the archive if its time has come, else for good.
pub(crate) fn removal(state: &AppState, kind: &Kind, stored: &Value, body: Arc<str>) -> Change {
    let expired = kind.strategy.expiry(stored).filter(|expiry| expiry.due(&state.clock) <= state.clock.system_now());
    if expired.is_some_and(|expiry| expiry.archive) { Change::Archive { body } } else { Change::Delete { body } }
}

/// The key of a namespace.
pub(crate) fn namespace_key(name: &str) -> Key {
    Key { resource: "namespaces".into(), namespace: String::new(), name: name.into() }
}

/// What a create needs of its namespace: that it is there and not going away. Read now for a clear refusal; the guard
/// holds it at commit.
pub(crate) async fn namespace_guard(state: &AppState, kind: &Kind, name: &str, namespace: &str) -> Result<Guard> {
    let (held, _) = state.store.get(&namespace_key(namespace), At::Latest).await?;
    let held = held.ok_or_else(|| ApiError::namespace_not_found(namespace))?;
    let value: Value = serde_json::from_str(&held.body).map_err(ApiError::internal)?;
    if object::text(&value, "/status/phase") == "Terminating" {
        let why = format!("unable to create new content in namespace {namespace} because it is being terminated");
        return Err(ApiError::forbidden(kind, name, &why).cause(
            "NamespaceTerminating",
            format!("namespace {namespace} is being terminated"),
            "metadata.namespace",
        ));
    }
    Ok(Guard {
        key: namespace_key(namespace),
        uid: Some(held.uid.clone()),
        pointer: "/status/phase".into(),
        equals: "Active".into(),
    })
}
