//! Create: metadata filled by the server, names generated, one commit guarded by the namespace.

use std::sync::Arc;

use dropmate_api::registry::{Kind, Part, WriteContext, by_resource};
use dropmate_store::{Actor, Change, Expect, Key, Object, WriteError};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    call::{Call, Warnings},
    commit,
    owners::Owners,
    prepare,
};
use crate::{
    body::Document,
    error::{ApiError, Result},
    object::{self, metadata, text},
    options::WriteOptions,
    state::AppState,
};

/// A generated name is made at most this often; five letters of 27 rarely meet twice.
const MAX_NAMES: usize = 8;
/// As in Kubernetes: no vowels, so that no words come out.
const NAME_LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
/// Letters appended to `generateName`.
const NAME_SUFFIX: usize = 5;

/// What a create came to.
pub(crate) enum Created {
    /// It is stored.
    Stored(Arc<Object>),
    /// It would have been stored.
    DryRun(Value),
}

impl Call {
    /// Creates the object that `document` describes.
    pub(crate) async fn create(
        &self,
        document: Document,
        options: WriteOptions,
        warnings: &mut Warnings,
    ) -> Result<Created> {
        let kind = self.kind();
        let mut new = document.value;
        object::check_type(kind, &mut new)?;
        prepare::check_fields(kind, &mut new, &document.duplicates, options.field_validation, warnings)?;
        if !text(&new, "/metadata/resourceVersion").is_empty() {
            return Err(ApiError::bad_request("resourceVersion should not be set on objects to be created"));
        }
        self.check_namespace(&mut new)?;
        let generate = text(&new, "/metadata/name").is_empty() && !text(&new, "/metadata/generateName").is_empty();
        for _ in 0..MAX_NAMES {
            let mut attempt = new.clone();
            if generate {
                let name = generated_name(text(&new, "/metadata/generateName"));
                metadata(&mut attempt).insert("name".into(), name.into());
            }
            match self.create_named(attempt, options, Owners::Follow).await {
                Err(error) if generate && error.reason() == "AlreadyExists" => {}
                outcome => return outcome,
            }
        }
        let message = format!("no free name was found for {:?}", text(&new, "/metadata/generateName"));
        Err(ApiError::conflict(kind, "", &message).retry_after(1))
    }

    /// Creates an object whose metadata and fields were checked.
    pub(super) async fn create_named(&self, mut new: Value, options: WriteOptions, owners: Owners) -> Result<Created> {
        let kind = self.kind();
        self.admit_new(&mut new)?;
        let uid = stamp(&self.state, kind, &mut new);
        let cx = WriteContext { part: Part::Main, business_now: self.state.clock.business_now() };
        prepare::fill(kind, &mut new, None, &cx);
        self.own(None, &mut new, owners);
        prepare::validate(kind, &new, None, Part::Main, Vec::new())?;
        let name = text(&new, "/metadata/name").to_owned();
        let key = self.key_of(&name);
        let mut guards = Vec::new();
        if let Some(namespace) = &self.target.namespace {
            guards.push(commit::namespace_guard(&self.state, kind, &name, namespace).await?);
        }
        if options.dry_run {
            let (held, _) = self.state.store.get(&key, dropmate_store::At::Latest).await?;
            return match held {
                Some(held) => Err(taken(kind, &held)),
                None => Ok(Created::DryRun(new)),
            };
        }
        let change = Change::Put { uid, body: commit::body(kind, new) };
        match self.commit(key, Expect::Absent, change, guards).await {
            Ok(stored) => Ok(Created::Stored(stored)),
            Err(WriteError::Exists(held)) => Err(taken(kind, &held)),
            // The namespace went between the look and the commit: say how it is now.
            Err(WriteError::Guard(_)) => {
                let namespace = self.target.namespace.as_deref().unwrap_or("");
                match commit::namespace_guard(&self.state, kind, &name, namespace).await {
                    Err(error) => Err(error),
                    Ok(_) => Err(ApiError::conflict(kind, &name, "the namespace was replaced meanwhile; try again")),
                }
            }
            Err(error) => Err(ApiError::write(kind, &name, &error)),
        }
    }

    /// The namespace of the path is the object's; another one in the body is an error.
    pub(crate) fn check_namespace(&self, new: &mut Value) -> Result<()> {
        let given = text(new, "/metadata/namespace").to_owned();
        match &self.target.namespace {
            Some(namespace) if given.is_empty() || given == *namespace => {
                metadata(new).insert("namespace".into(), namespace.as_str().into());
                Ok(())
            }
            None if given.is_empty() => Ok(()),
            _ => Err(ApiError::bad_request(
                "the namespace of the provided object does not match the namespace sent on the request",
            )),
        }
    }
}

/// Fills in what the server owns in a new object, and returns its uid.
fn stamp(state: &AppState, kind: &Kind, new: &mut Value) -> String {
    let uid = Uuid::new_v4().to_string();
    let map = metadata(new);
    for field in ["deletionTimestamp", "deletionGracePeriodSeconds", "generation", "resourceVersion"] {
        map.remove(field);
    }
    map.insert("uid".into(), uid.as_str().into());
    map.insert("creationTimestamp".into(), object::metadata_time(state.clock.system_now()));
    if kind.group == dropmate_api::GROUP {
        map.insert("generation".into(), 1.into());
    }
    if kind.status_subresource
        && let Value::Object(new) = new
    {
        new.remove("status");
    }
    uid
}

fn taken(kind: &Kind, held: &Object) -> ApiError {
    let terminating = serde_json::from_str::<Value>(&held.body)
        .is_ok_and(|value| value.pointer("/metadata/deletionTimestamp").is_some());
    if terminating {
        let name = &held.key.name;
        let why = format!("object is being deleted: {} {name:?} already exists", kind.group_resource());
        return ApiError::already_exists_because(kind, name, &why);
    }
    ApiError::already_exists(kind, &held.key.name)
}

fn generated_name(prefix: &str) -> String {
    /// Long prefixes are cut so that the whole fits into a label.
    const MAX_PREFIX: usize = 63 - NAME_SUFFIX;
    let mut name: String = prefix.chars().take(MAX_PREFIX).collect();
    let random = Uuid::new_v4();
    // Bytes 6 and 8 of a uuid are not wholly random.
    for byte in &random.as_bytes()[..NAME_SUFFIX] {
        name.push(char::from(NAME_LETTERS[usize::from(*byte) % NAME_LETTERS.len()]));
    }
    name
}

/// Makes the namespaces that exist from the first start.
pub(crate) async fn bootstrap_namespaces(state: &AppState) -> Result<()> {
    let kind = by_resource("", "v1", "namespaces").ok_or_else(|| ApiError::internal("no kind Namespace"))?;
    let actor = Actor { user: "system:apiserver".into(), ..Actor::default() };
    for name in ["default", dropmate_api::SYSTEM_NAMESPACE] {
        let new = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {
            "name": name, "labels": {"kubernetes.io/metadata.name": name},
        }});
        create_by_server(state, kind, new, &actor).await?;
    }
    Ok(())
}

/// Creates an object that the server itself wants. One that is there already is left as it is.
pub(crate) async fn create_by_server(state: &AppState, kind: &Kind, mut new: Value, actor: &Actor) -> Result<()> {
    let uid = stamp(state, kind, &mut new);
    let cx = WriteContext { part: Part::Main, business_now: state.clock.business_now() };
    prepare::fill(kind, &mut new, None, &cx);
    let (name, namespace) = (text(&new, "/metadata/name").to_owned(), text(&new, "/metadata/namespace").to_owned());
    let guards = match namespace.as_str() {
        "" => Vec::new(),
        namespace => vec![commit::namespace_guard(state, kind, &name, namespace).await?],
    };
    let key = Key { resource: kind.storage.into(), namespace, name: name.clone() };
    let change = Change::Put { uid, body: commit::body(kind, new) };
    match commit::write(state, key, Expect::Absent, change, guards, actor).await {
        Ok(_) | Err(WriteError::Exists(_)) => Ok(()),
        Err(error) => Err(ApiError::write(kind, &name, &error)),
    }
}
