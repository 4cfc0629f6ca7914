//! An ApplySet: which objects a set of manifests has put there, kept in the cluster.
//!
//! That an object is a member stands on the object itself, written in the same request that applies it; so nothing is
//! lost when a run ends between two requests. The ApplySet keeps in which kinds and namespaces members may be: more
//! before the first is applied there, less only after a whole run. Runs take turns: one that wants to begin waits for
//! the other's end, or until it has seen nothing of it for a while.

mod turn;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use anyhow::anyhow;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use dropmate_api::{
    GROUP,
    applyset::{GROUP_KINDS, NAMESPACES, TOOLING},
};
use http::Method;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::{sync::Mutex, task::JoinHandle, time::Instant};
use uuid::Uuid;

use crate::{
    connection::{Connection, escape},
    failure::{Failure, Outcome},
    output,
};

/// A run that has not renewed its hold for so long has ended, whatever it believes: another may begin. Longer than a hold
/// may be old when a delete is sent ([`HOLD_FRESH`]) and than that request may be under way (a minute).
const HOLD: Duration = Duration::from_secs(75);
/// How often a run renews its hold: it may fail a few times.
const RENEW_EVERY: Duration = Duration::from_secs(8);
/// Nothing is deleted on a hold older than this.
const HOLD_FRESH: Duration = Duration::from_secs(10);
/// How long a run waits for its turn. Ten thousand orders take half a minute.
const TURN_WITHIN: Duration = Duration::from_mins(5);
/// How often a run that waits looks.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How often a write is tried anew when somebody else wrote to the ApplySet.
const MAX_ATTEMPTS: usize = 5;

const MERGE: &str = "application/merge-patch+json";

/// Kinds (`Order.dropmate.dev`) and namespaces that may have members.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Places {
    pub(super) kinds: BTreeSet<String>,
    pub(super) namespaces: BTreeSet<String>,
}

impl Places {
    /// Adds one; whether it is new.
    pub(super) fn add(&mut self, kind: &str, namespace: Option<&str>) -> bool {
        let kind = self.kinds.insert(kind.to_owned());
        namespace.is_some_and(|namespace| self.namespaces.insert(namespace.to_owned())) | kind
    }
}

/// The id of an ApplySet, as KEP-3659 makes it from the set's own name.
pub(super) fn id(name: &str, namespace: &str) -> String {
    let hash = Sha256::digest(format!("{name}.{namespace}.ApplySet.{GROUP}"));
    format!("applyset-{}-v1", URL_SAFE_NO_PAD.encode(hash))
}

/// What the ApplySet says where members may be; `None` if there is no such set yet. For those who only look.
pub(super) async fn look(connection: &Connection, name: &str) -> Outcome<Option<Places>> {
    match connection.get(&path(connection, name)).await?.accepted() {
        Ok(live) => {
            check_tooling(&live, name)?;
            Ok(Some(places(&live)))
        }
        Err(refusal) if refusal.code == 404 => Ok(None),
        Err(refusal) => Err(refusal.into()),
    }
}

/// An ApplySet that this run has.
pub(super) struct Held {
    shared: Arc<Shared>,
    renewing: JoinHandle<()>,
}

struct Shared {
    connection: Connection,
    name: String,
    run: Uuid,
    state: Mutex<State>,
}

struct State {
    places: Places,
    renewed_at: Instant,
}

impl Held {
    /// Makes the set if it is not there, and waits for its turn.
    pub(super) async fn take(connection: &Connection, name: &str) -> Outcome<Self> {
        let run = Uuid::new_v4();
        let begun = Instant::now();
        let mut seen: Option<(String, Instant)> = None;
        loop {
            // Before the request: the hold is never believed younger than others see it.
            let renewed_at = Instant::now();
            let Some(live) = turn::attempt(connection, name, run, &mut seen).await? else {
                if begun.elapsed() > TURN_WITHIN {
                    let minutes = TURN_WITHIN.as_secs() / 60;
                    return Err(
                        anyhow!("the other run over ApplySet {name:?} has not ended within {minutes} minutes").into()
                    );
                }
                tokio::time::sleep(LOOK_EVERY).await;
                continue;
            };
            let state = Mutex::new(State { places: places(&live), renewed_at });
            let shared = Arc::new(Shared { connection: connection.clone(), name: name.to_owned(), run, state });
            let renewing = tokio::spawn(renew(shared.clone()));
            return Ok(Self { shared, renewing });
        }
    }

    /// Where members may be.
    pub(super) async fn places(&self) -> Places {
        self.shared.state.lock().await.places.clone()
    }

    /// Keeps that members may be there, before there are any.
    pub(super) async fn grow(&self, kind: &str, namespace: Option<&str>) -> Outcome {
        let mut state = self.shared.state.lock().await;
        let mut places = state.places.clone();
        if places.add(kind, namespace) {
            let change = json!({"metadata": {"annotations": self.shared.annotations(&places)}});
            self.shared.write(&mut state, change).await?;
            state.places = places;
        }
        Ok(())
    }

    /// Makes sure that the set is still this run's, for long enough to delete something.
    pub(super) async fn hold(&self) -> Outcome {
        let mut state = self.shared.state.lock().await;
        if state.renewed_at.elapsed() < HOLD_FRESH {
            return Ok(());
        }
        self.shared.renew(&mut state).await
    }

    /// Ends a whole run: members are in these places and nowhere else, and so many, if it is known.
    pub(super) async fn finish(self, places: &Places, members: Option<usize>) -> Outcome {
        self.renewing.abort();
        let shared = &self.shared;
        let mut state = shared.state.lock().await;
        let change = json!({"metadata": {"annotations": shared.annotations(places)}, "spec": {"run": null}});
        shared.write(&mut state, change).await?;
        let mut status = json!({"status": {"appliedAt": now(&shared.connection).await?}});
        if let Some(members) = members {
            status["status"]["members"] = members.into();
        }
        let path = format!("{}/status?fieldManager=dropmate-applyset", path(&shared.connection, &shared.name));
        shared.connection.write(Method::PATCH, &path, MERGE, &status).await?.accepted()?;
        Ok(())
    }

    /// Ends a run that was not whole: everything stays in the set.
    pub(super) async fn release(self) {
        self.renewing.abort();
        let mut state = self.shared.state.lock().await;
        if let Err(failure) = self.shared.write(&mut state, json!({"spec": {"run": null}})).await {
            output::note(format!(
                "ApplySet {:?} could not be released, its hold will run out: {failure}",
                self.shared.name
            ));
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.renewing.abort();
    }
}

async fn renew(shared: Arc<Shared>) {
    loop {
        tokio::time::sleep(RENEW_EVERY).await;
        let mut state = shared.state.lock().await;
        // A failure is no end yet: whoever deletes makes sure for himself.
        let _ = shared.renew(&mut state).await;
    }
}

impl Shared {
    /// Says that this run goes on.
    async fn renew(&self, state: &mut State) -> Outcome {
        let change = json!({"spec": {"run": {"renewedAt": now(&self.connection).await?}}});
        self.write(state, change).await
    }

    fn annotations(&self, places: &Places) -> Value {
        let own = &self.connection.namespace;
        let joined = |set: &BTreeSet<String>, but: &str| {
            set.iter().map(String::as_str).filter(|item| *item != but).collect::<Vec<_>>().join(",")
        };
        json!({GROUP_KINDS: joined(&places.kinds, ""), NAMESPACES: joined(&places.namespaces, own)})
    }

    /// Writes to the ApplySet, while it is this run's.
    async fn write(&self, state: &mut State, mut change: Value) -> Outcome {
        let path = path(&self.connection, &self.name);
        for _ in 0..MAX_ATTEMPTS {
            let begun = Instant::now();
            let live = self.connection.get(&path).await?.accepted()?;
            if run_of(&live).as_deref() != Some(&self.run.to_string()) {
                return Err(anyhow!(
                    "ApplySet {:?} has passed to another run; nothing more is done by this one",
                    self.name
                )
                .into());
            }
            change["metadata"]["resourceVersion"] = live["metadata"]["resourceVersion"].clone();
            let url = format!("{path}?fieldManager=dropmate-applyset");
            match self.connection.write(Method::PATCH, &url, MERGE, &change).await?.accepted() {
                Ok(_) => {
                    state.renewed_at = begun;
                    return Ok(());
                }
                Err(refusal) if refusal.code == 409 => {}
                Err(refusal) => return Err(refusal.into()),
            }
        }
        Err(anyhow!("others kept writing to ApplySet {:?}", self.name).into())
    }
}

/// The server's time.
async fn now(connection: &Connection) -> Outcome<Value> {
    Ok(connection.get("/v1/clock").await?.accepted()?["systemNow"].take())
}

/// Sets that another program keeps are its own.
fn check_tooling(live: &Value, name: &str) -> Outcome {
    let held = live["metadata"]["annotations"][TOOLING].as_str().unwrap_or_default();
    let program = held.split('/').next().unwrap_or_default();
    if program.is_empty() || program == "dropmate" {
        return Ok(());
    }
    Err(Failure::No(format!(
        "ApplySet {name:?} is kept by {held}: go on with that, or take another name for --applyset"
    )))
}

fn places(live: &Value) -> Places {
    let read = |name: &str| -> BTreeSet<String> {
        let text = live["metadata"]["annotations"][name].as_str().unwrap_or_default();
        text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect()
    };
    let mut namespaces = read(NAMESPACES);
    if let Some(own) = live.pointer("/metadata/namespace").and_then(Value::as_str) {
        namespaces.insert(own.to_owned());
    }
    Places { kinds: read(GROUP_KINDS), namespaces }
}

fn run_of(live: &Value) -> Option<String> {
    live.pointer("/spec/run/id").and_then(Value::as_str).map(str::to_owned)
}

fn path(connection: &Connection, name: &str) -> String {
    format!("{}/applysets/{}", connection.ours(), escape(name))
}

fn tooling() -> &'static str {
    concat!("dropmate/v", env!("CARGO_PKG_VERSION"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_is_the_one_of_the_proposal() {
        // sha256("shop.acme.ApplySet.dropmate.dev") by another program.
        assert_eq!(id("shop", "acme"), ID_OF_SHOP);
        assert!(id("shop", "acme").len() <= 63, "it is a label");
        assert_ne!(id("shop", "acme"), id("shop", "other"));
    }

    const ID_OF_SHOP: &str = "applyset-CqJ5Mkx09RsZHVR3ecujlK1VbOB3Pi5bXxSO55P8nWw-v1";

    #[test]
    fn the_set_s_own_namespace_is_always_looked_into() {
        let live = json!({"metadata": {"namespace": "acme", "annotations": {GROUP_KINDS: "Order.dropmate.dev, Event", NAMESPACES: "b"}}});
        let found = places(&live);
        assert_eq!(found.kinds.iter().collect::<Vec<_>>(), ["Event", "Order.dropmate.dev"]);
        assert_eq!(found.namespaces.iter().collect::<Vec<_>>(), ["acme", "b"]);
    }

    #[test]
    fn a_set_of_another_program_is_refused() {
        let kept = |by: &str| json!({"metadata": {"annotations": {TOOLING: by}}});
        assert!(check_tooling(&kept("dropmate/v9"), "x").is_ok());
        assert!(check_tooling(&json!({}), "x").is_ok());
        assert!(check_tooling(&kept("kubectl/v1.27"), "x").unwrap_err().to_string().contains("kubectl/v1.27"));
    }
}
