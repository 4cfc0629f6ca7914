//! Looks at one object as it is now, and does what has to be done about it.

use std::{collections::BTreeSet, sync::Arc};

use dropmate_api::registry::{Kind, by_kind};
use dropmate_store::{Actor, At, Key, Object, Scope};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::{
    Metrics, collected_kinds,
    graph::Graph,
    observed::{Life, Observed, Reference},
    step::{Action, OwnerState, step},
};
use crate::{
    error::Result,
    object,
    resources::{self, DeleteOptions, Propagation},
    state::AppState,
};

/// Who the collector is in history.
const USER: &str = "system:garbage-collector";
/// A write that lost a race is tried again this often at once; then it waits for its turn.
const MAX_ATTEMPTS: usize = 4;

/// Looks at an object and does what has to be done.
pub(super) async fn look(state: &AppState, graph: &Graph, uid: &str, metrics: &Metrics) -> Result<()> {
    let Some(key) = graph.key(uid) else { return Ok(()) };
    let Some(kind) = kind_of(key) else { return Ok(()) };
    // Gone, or gone and made anew: the watch tells, if it has not already.
    let Some(object) = read(state, key, uid).await? else { return Ok(()) };
    let observed = Observed::read(&object.body);
    let mut owners = Vec::with_capacity(observed.owners.len());
    if observed.life == Life::Alive {
        for reference in &observed.owners {
            owners.push(find_owner(state, graph, &object, reference).await?);
        }
    }
    let actor = Actor { user: USER.into(), ..Actor::default() };
    for action in step(graph, uid, &observed, &owners) {
        let name = action.name();
        match action {
            Action::Report(index) => report(state, kind, &object, &observed.owners[index], &actor).await?,
            Action::Delete { foreground } => {
                let options = DeleteOptions::from(&*object);
                let options = if foreground { options.propagating(Propagation::Foreground) } else { options };
                match resources::remove(state, kind, &object.key, &options, &actor).await {
                    Ok(_) => {}
                    Err(error) if error.reason() == "NotFound" => return Ok(()),
                    Err(error) if error.reason() == "Forbidden" => {
                        tracing::warn!(kind = kind.kind, "an object without owners may not be deleted: it stays");
                        return Ok(());
                    }
                    Err(error) => return Err(error),
                }
            }
            Action::Dereference(owners) => dereference(state, kind, &object, &owners, &actor).await?,
            Action::LetGo(dependents) => {
                let owner = BTreeSet::from([uid.to_owned()]);
                let let_go = dependents.iter().map(|of| dereference_latest(state, graph, of, &owner, &actor));
                futures::future::try_join_all(let_go).await?;
            }
            Action::Finish(finalizer) => {
                resources::amend(state, kind, &object, &actor, |metadata| {
                    retain(metadata, "finalizers", |held| held != finalizer);
                })
                .await?;
            }
        }
        metrics.done(name);
    }
    Ok(())
}

/// The kind in whose form what is there is stored.
fn kind_of(key: &Key) -> Option<&'static Kind> {
    collected_kinds().find(|kind| kind.storage == key.resource)
}

/// The object of that uid as it is now, be it written by whomever.
async fn read(state: &AppState, key: &Key, uid: &str) -> Result<Option<Arc<Object>>> {
    let (found, _) = state.store.get(key, At::Latest).await?;
    Ok(found.filter(|object| object.uid == uid))
}

async fn find_owner(state: &AppState, graph: &Graph, dependent: &Object, reference: &Reference) -> Result<OwnerState> {
    // A kind that is not served now may be so by the next version, which looks at everything when it starts.
    let Some(kind) = by_kind(&reference.api_version, &reference.kind) else { return Ok(OwnerState::Unknown) };
    let namespace = if kind.namespaced { dependent.key.namespace.clone() } else { String::new() };
    let key = Key { resource: kind.storage.into(), namespace, name: reference.name.clone() };
    let misplaced = kind.namespaced && key.namespace.is_empty();
    if !misplaced && let Some(owner) = read(state, &key, &reference.uid).await? {
        let waits = Observed::read(&owner.body).life == Life::AwaitsDependents;
        return Ok(if waits { OwnerState::Waits } else { OwnerState::Solid });
    }
    let elsewhere =
        kind.namespaced && !graph.is_gone(&reference.uid) && is_elsewhere(state, key, &reference.uid).await?;
    Ok(match (misplaced, elsewhere) {
        (true, true) => OwnerState::MisplacedElsewhere,
        (true, false) => OwnerState::Misplaced,
        (false, true) => OwnerState::Elsewhere,
        (false, false) => OwnerState::Absent,
    })
}

/// Whether an object of that name and uid is in any namespace. Only told to people, so that a cached answer will do.
async fn is_elsewhere(state: &AppState, mut key: Key, uid: &str) -> Result<bool> {
    let namespaces = Scope { resource: "namespaces".into(), namespace: None };
    for namespace in state.store.list(&namespaces, At::Any, None, None).await?.objects {
        key.namespace.clone_from(&namespace.key.name);
        if state.store.get(&key, At::Any).await?.0.is_some_and(|found| found.uid == uid) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Takes references out of an object that still is as it was read.
async fn dereference(
    state: &AppState,
    kind: &Kind,
    object: &Arc<Object>,
    owners: &BTreeSet<String>,
    actor: &Actor,
) -> Result<()> {
    resources::amend(state, kind, object, actor, |metadata| {
        retain(metadata, "ownerReferences", |reference| {
            !reference["uid"].as_str().is_some_and(|uid| owners.contains(uid))
        });
    })
    .await
}

/// The same of another object, as it is now.
async fn dereference_latest(
    state: &AppState,
    graph: &Graph,
    uid: &str,
    owners: &BTreeSet<String>,
    actor: &Actor,
) -> Result<()> {
    let Some(key) = graph.key(uid) else { return Ok(()) };
    let Some(kind) = kind_of(key) else { return Ok(()) };
    let mut attempt = 1;
    loop {
        let Some(object) = read(state, key, uid).await? else { return Ok(()) };
        match dereference(state, kind, &object, owners, actor).await {
            Err(error) if error.reason() == "Conflict" && attempt < MAX_ATTEMPTS => attempt += 1,
            done => return done,
        }
    }
}

fn retain(metadata: &mut Map<String, Value>, list: &str, keep: impl Fn(&Value) -> bool) {
    if let Some(items) = metadata.get_mut(list).and_then(Value::as_array_mut) {
        items.retain(keep);
    }
}

/// Tells people that an owner is where it cannot be one.
async fn report(state: &AppState, kind: &Kind, object: &Object, owner: &Reference, actor: &Actor) -> Result<()> {
    const REPORTER: &str = "garbage-collector-controller";
    let Some(events) = by_kind("v1", "Event") else { return Ok(()) };
    let Key { namespace, name, .. } = &object.key;
    // What is in no namespace is spoken of in one that always exists.
    let place = if namespace.is_empty() { "default" } else { namespace };
    let Reference { api_version, kind: owner_kind, name: owner_name, uid: owner_uid, .. } = owner;
    let identity =
        format!("[{api_version}/{owner_kind}, namespace: {namespace}, name: {owner_name}, uid: {owner_uid}]");
    let now = object::metadata_time(state.clock.system_now());
    let event = json!({
        "apiVersion": "v1", "kind": "Event",
        // Of all replicas, and of all looks, one tells it.
        "metadata": {"name": format!("{name}.{}", event_suffix(&object.uid, owner_uid)), "namespace": place},
        "involvedObject": {
            "apiVersion": kind.api_version(), "kind": kind.kind, "name": name, "namespace": namespace, "uid": object.uid,
        },
        "type": "Warning",
        "reason": "OwnerRefInvalidNamespace",
        "message": format!("ownerRef {identity} does not exist in namespace {namespace:?}"),
        "source": {"component": REPORTER}, "reportingComponent": REPORTER, "reportingInstance": "",
        "firstTimestamp": now, "lastTimestamp": now, "count": 1,
    });
    match resources::create_by_server(state, events, event, actor).await {
        // The namespace is going, and with it whoever would read this.
        Err(error) if matches!(error.reason(), "NotFound" | "Forbidden") => Ok(()),
        told => told,
    }
}

fn event_suffix(object: &str, owner: &str) -> String {
    let digest = Sha256::new().chain_update(object).chain_update(owner).finalize();
    hex::encode(&digest[..8])
}
