//! Our kinds as `CustomResourceDefinition` objects, which clients list and watch to learn what is served. The server
//! keeps them as its registry says; nobody else may write them.

use dropmate_api::{
    crd::crds,
    registry::{Kind, by_resource},
};
use dropmate_store::{Actor, At, Change, Expect, Key, Object, Write, WriteError};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    error::{ApiError, Result},
    object::{self, text},
    resources,
    state::AppState,
};

/// Writes what is missing or of another version of this program.
pub(crate) async fn bootstrap(state: &AppState) -> Result<()> {
    let kind = by_resource("apiextensions.k8s.io", "v1", "customresourcedefinitions")
        .ok_or_else(|| ApiError::internal("no kind CustomResourceDefinition"))?;
    for definition in crds() {
        let name = text(&definition, "/metadata/name").to_owned();
        let key = Key { resource: kind.storage.into(), namespace: String::new(), name };
        let (held, _) = state.store.get(&key, At::Latest).await?;
        let expect = held.as_ref().map_or(Expect::Absent, |held| Expect::Revision(held.revision));
        let held = held.map(|held| resources::served(kind, &held).map(|object| (held, object))).transpose()?;
        let now = object::metadata_time(state.clock.system_now());
        let Some((uid, wanted)) = wanted(definition, held.as_ref().map(|(held, object)| (&**held, object)), &now)
        else {
            continue;
        };
        match state.store.write(write(kind, key.clone(), expect, uid, wanted)).await {
            // Another replica was faster, and says the same.
            Ok(_) | Err(WriteError::Exists(_) | WriteError::Changed(_)) => {}
            Err(error) => return Err(ApiError::write(kind, &key.name, &error)),
        }
    }
    Ok(())
}

/// The object as it should be, with its uid; `None` if it is so already.
fn wanted(mut definition: Value, held: Option<(&Object, &Value)>, now: &Value) -> Option<(String, Value)> {
    let since = held.map_or(now, |(_, object)| &object["metadata"]["creationTimestamp"]);
    let established = |type_: &str, reason: &str, message: &str| json!({"type": type_, "status": "True", "reason": reason, "message": message, "lastTransitionTime": since});
    definition["spec"]["conversion"] = json!({"strategy": "None"});
    definition["status"] = json!({
        "acceptedNames": definition["spec"]["names"],
        "conditions": [
            established("NamesAccepted", "NoConflicts", "no conflicts found"),
            established("Established", "InitialNamesAccepted", "the initial names have been accepted"),
        ],
        "storedVersions": [definition["spec"]["versions"][0]["name"]],
    });
    let Some((object, body)) = held else {
        let uid = Uuid::new_v4().to_string();
        let metadata = object::metadata(&mut definition);
        metadata.insert("uid".into(), uid.as_str().into());
        metadata.insert("generation".into(), 1.into());
        metadata.insert("creationTimestamp".into(), now.clone());
        return Some((uid, definition));
    };
    if body["spec"] == definition["spec"] && body["status"] == definition["status"] {
        return None;
    }
    definition["metadata"] = body["metadata"].clone();
    let generation = body["metadata"]["generation"].as_i64().unwrap_or(1);
    object::metadata(&mut definition).insert("generation".into(), (generation + 1).into());
    Some((object.uid.clone(), definition))
}

fn write(kind: &Kind, key: Key, expect: Expect, uid: String, wanted: Value) -> Write {
    Write {
        key,
        expect,
        change: Change::Put { uid, body: resources::body(kind, wanted) },
        guards: Vec::new(),
        urgent: false,
        actor: Actor { user: "system:apiserver".into(), ..Actor::default() },
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn a_definition_is_written_anew_only_when_the_registry_says_something_else() {
        let now = json!("2026-11-23T12:00:00Z");
        let definition = crds().remove(0);
        let (uid, first) = wanted(definition.clone(), None, &now).unwrap();
        let key = Key { resource: "x".into(), namespace: String::new(), name: "orders.dropmate.dev".into() };
        let held = Object::new(key, uid.clone(), 1, Arc::from(""));
        let later = json!("2026-11-24T12:00:00Z");
        assert_eq!(wanted(definition.clone(), Some((&held, &first)), &later), None);
        let mut other = definition;
        other["spec"]["names"]["categories"] = json!(["more"]);
        let (same, second) = wanted(other, Some((&held, &first)), &later).unwrap();
        assert_eq!((same, &second["metadata"]["generation"]), (uid, &json!(2)));
        assert_eq!(second["metadata"]["creationTimestamp"], now);
        assert_eq!(second["status"]["acceptedNames"]["categories"], json!(["more"]));
    }
}
