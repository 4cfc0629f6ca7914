//! Empties namespaces that are being deleted, and then lets them go.

mod conditions;

use std::{collections::BTreeSet, time::Duration};

use dropmate_api::registry::{Kind, kinds};
use dropmate_store::{Actor, At, Change, Expect, Object, Scope};
use serde_json::{Value, json};

use self::conditions::Remaining;
use crate::{
    error::Result,
    object::{self, text},
    resources::{self, DeleteOptions, Propagation},
    state::AppState,
};

/// Content may wait for its own finalizers: look again this often.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Runs until the server drains.
pub(crate) async fn run(state: AppState) {
    let shutdown = state.shutdown.clone();
    tokio::select! {
        biased;
        () = shutdown.cancelled() => {}
        () = reconcile(&state) => {}
    }
}

async fn reconcile(state: &AppState) {
    loop {
        if let Err(error) = follow(state).await {
            tracing::warn!(error = error.message(), "namespaces could not be followed; trying again");
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// Follows all namespaces until the watch ends.
async fn follow(state: &AppState) -> Result<()> {
    let scope = Scope { resource: "namespaces".into(), namespace: None };
    let page = state.store.list(&scope, At::Latest, None, None).await?;
    let mut terminating: BTreeSet<String> =
        page.objects.iter().filter(|object| is_terminating(object)).map(|object| object.key.name.clone()).collect();
    let mut watch = state.store.watch(scope, page.revision).await?;
    loop {
        for name in terminating.clone() {
            if empty(state, &name).await? {
                terminating.remove(&name);
            }
        }
        tokio::select! {
            biased;
            change = watch.next() => match change {
                None => return Ok(()),
                Some(event) => {
                    let event = event?;
                    if event.deleted {
                        terminating.remove(&event.object.key.name);
                    } else if is_terminating(&event.object) {
                        terminating.insert(event.object.key.name.clone());
                    }
                }
            },
            () = tokio::time::sleep(LOOK_AGAIN), if !terminating.is_empty() => {}
        }
    }
}

fn is_terminating(object: &Object) -> bool {
    // Most namespaces are not; only those whose text says so are parsed.
    object.body.contains("\"Terminating\"")
        && serde_json::from_str::<Value>(&object.body).is_ok_and(|body| {
            text(&body, "/status/phase") == "Terminating" && body.pointer("/spec/finalizers/0").is_some()
        })
}

/// Deletes what is in the namespace, and lets it go if nothing is. Creates are refused by then: their guard asks for an
/// active namespace.
async fn empty(state: &AppState, namespace: &str) -> Result<bool> {
    let actor = Actor { user: "system:namespace-controller".into(), ..Actor::default() };
    let mut remaining = Remaining::default();
    // Owned or not, all of it goes: nobody is waited for or left behind.
    let options = DeleteOptions::default().propagating(Propagation::Background);
    for kind in stored_kinds() {
        let scope = Scope { resource: kind.storage.into(), namespace: Some(namespace.into()) };
        for object in state.store.list(&scope, At::Latest, None, None).await?.objects {
            match resources::remove(state, kind, &object.key, &options, &actor).await {
                Ok(resources::Deleted::Gone(_)) => {}
                Ok(resources::Deleted::Terminating(object)) => remaining.add(kind, &object.body),
                Ok(_) => remaining.add(kind, &object.body),
                Err(error) if error.reason() == "NotFound" => {}
                Err(error) => return Err(error),
            }
        }
    }
    if remaining.is_empty() {
        // Secrets and phones are no objects, but go with them: the next namespace of this name begins without any.
        if let Some(identity) = &state.identity {
            identity.unpair_all_of(namespace).await?;
            identity.delete_secrets_of(namespace).await?;
        }
        if let Some(ingest) = &state.ingest {
            ingest.forget_namespace(namespace).await?;
        }
        return let_go(state, namespace, &actor).await;
    }
    tell(state, namespace, &remaining, &actor).await?;
    Ok(false)
}

/// Writes into the namespace's status what holds it.
async fn tell(state: &AppState, namespace: &str, remaining: &Remaining, actor: &Actor) -> Result<()> {
    let key = resources::namespace_key(namespace);
    let (Some(object), _) = state.store.get(&key, At::Latest).await? else { return Ok(()) };
    let mut body: Value = serde_json::from_str(&object.body).map_err(crate::error::ApiError::internal)?;
    let now = object::metadata_time(state.clock.system_now());
    let conditions = remaining.conditions(&body["status"]["conditions"], &now);
    if body["status"]["conditions"] != conditions {
        body["status"]["conditions"] = conditions;
        let change = Change::Put { uid: object.uid.clone(), body: body.to_string().into() };
        // Who was faster is followed by another look.
        let _ = resources::write(state, key, Expect::Revision(object.revision), change, Vec::new(), actor).await;
    }
    Ok(())
}

/// One kind for each place where namespaced objects are stored.
fn stored_kinds() -> impl Iterator<Item = &'static Kind> {
    let mut seen = BTreeSet::new();
    kinds().iter().filter(move |kind| kind.namespaced && seen.insert(kind.storage))
}

async fn let_go(state: &AppState, namespace: &str, actor: &Actor) -> Result<bool> {
    let key = resources::namespace_key(namespace);
    let (Some(object), _) = state.store.get(&key, At::Latest).await? else { return Ok(true) };
    let mut body: Value = serde_json::from_str(&object.body).map_err(crate::error::ApiError::internal)?;
    body["spec"]["finalizers"] = json!([]);
    let held = body.pointer("/metadata/finalizers").and_then(Value::as_array).is_some_and(|list| !list.is_empty());
    let body = body.to_string().into();
    let change = if held { Change::Put { uid: object.uid.clone(), body } } else { Change::Delete { body } };
    // A lost race is looked at again with the next event.
    Ok(resources::write(state, key, Expect::Revision(object.revision), change, Vec::new(), actor).await.is_ok())
}
