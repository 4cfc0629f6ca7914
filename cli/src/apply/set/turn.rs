//! Whose turn it is: a set is taken if nobody has it, or if whoever has it has not been heard of for long.

use dropmate_api::{
    API_VERSION,
    applyset::{GROUP_KINDS, ID, NAMESPACES, TOOLING},
};
use http::Method;
use serde_json::{Value, json};
use tokio::time::Instant;
use uuid::Uuid;

use super::{HOLD, MERGE, check_tooling, id, now, path, run_of, tooling};
use crate::{connection::Connection, failure::Outcome, output};

/// Takes the set if it is free; `None` if it is another run's turn, or somebody else was faster.
pub(super) async fn attempt(
    connection: &Connection,
    name: &str,
    run: Uuid,
    seen: &mut Option<(String, Instant)>,
) -> Outcome<Option<Value>> {
    let path = path(connection, name);
    let held = json!({"id": run, "holder": holder(), "renewedAt": now(connection).await?});
    let live = match connection.get(&path).await?.accepted() {
        Ok(live) => live,
        Err(refusal) if refusal.code == 404 => return create(connection, name, held).await,
        Err(refusal) => return Err(refusal.into()),
    };
    check_tooling(&live, name)?;
    let version = live["metadata"]["resourceVersion"].clone();
    if run_of(&live).is_some() {
        let version = version.as_str().unwrap_or_default().to_owned();
        match seen {
            Some((before, since)) if *before == version => {
                if since.elapsed() < HOLD {
                    return Ok(None);
                }
                output::note(format!(
                    "the run that had ApplySet {name:?} has not been heard of for {} s",
                    HOLD.as_secs()
                ));
            }
            _ => {
                if seen.is_none() {
                    let other = live.pointer("/spec/run/holder").and_then(Value::as_str).unwrap_or("somebody");
                    output::note(format!("waiting for the run of {other} over ApplySet {name:?}"));
                }
                *seen = Some((version, Instant::now()));
                return Ok(None);
            }
        }
    }
    let change = json!({
        "metadata": {
            "resourceVersion": version,
            "labels": {ID: id(name, &connection.namespace)},
            "annotations": {TOOLING: tooling()},
        },
        "spec": {"run": held},
    });
    let url = format!("{path}?fieldManager=dropmate-applyset");
    match connection.write(Method::PATCH, &url, MERGE, &change).await?.accepted() {
        Ok(live) => Ok(Some(live)),
        Err(refusal) if refusal.code == 409 || refusal.code == 404 => Ok(None),
        Err(refusal) => Err(refusal.into()),
    }
}

async fn create(connection: &Connection, name: &str, held: Value) -> Outcome<Option<Value>> {
    let new = json!({
        "apiVersion": API_VERSION,
        "kind": "ApplySet",
        "metadata": {
            "name": name,
            "namespace": connection.namespace,
            "labels": {ID: id(name, &connection.namespace)},
            "annotations": {TOOLING: tooling(), GROUP_KINDS: "", NAMESPACES: ""},
        },
        "spec": {"run": held},
    });
    let url = format!("{}/applysets?fieldManager=dropmate-applyset", connection.ours());
    match connection.write(Method::POST, &url, "application/json", &new).await?.accepted() {
        Ok(live) => Ok(Some(live)),
        Err(refusal) if refusal.code == 409 && refusal.reason == "AlreadyExists" => Ok(None),
        Err(refusal) => Err(refusal.into()),
    }
}

/// Who runs this, for people who wait.
fn holder() -> String {
    let name = |variable: &str| std::env::var(variable).ok().filter(|value| !value.is_empty());
    let host = name("HOSTNAME").or_else(|| std::fs::read_to_string("/proc/sys/kernel/hostname").ok());
    let host = host.map_or_else(|| "unknown host".to_owned(), |host| host.trim().to_owned());
    format!("{}@{host}", name("USER").unwrap_or_else(|| "process ".to_owned() + &std::process::id().to_string()))
}
