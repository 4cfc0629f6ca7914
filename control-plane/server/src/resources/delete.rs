//! Delete: at once, or marked for whoever holds a finalizer.

use std::sync::Arc;

use axum::{
    Json,
    body::Body,
    response::{IntoResponse, Response},
};
use dropmate_api::registry::Kind;
use dropmate_store::{Actor, At, Change, Expect, Key, Object, Revision, WriteError};
use http::StatusCode;
use serde_json::{Value, json};

use super::{
    answer::Answer,
    call::Call,
    commit::{self, MAX_ATTEMPTS},
    propagation::{self, Propagation},
};
use crate::{
    body,
    error::{ApiError, Result},
    object::{self, metadata, text},
    options::{self, WriteOptions},
    state::AppState,
};

/// What a delete came to.
pub(crate) enum Deleted {
    /// It is gone.
    Gone(Arc<Object>),
    /// It waits for its finalizers.
    Terminating(Arc<Object>),
    /// It would wait for its finalizers.
    WouldTerminate(Value),
}

/// The body of a DELETE.
#[derive(Clone, Debug, Default)]
pub(crate) struct DeleteOptions {
    uid: Option<String>,
    version: Option<Revision>,
    dry_run: bool,
    propagation: Option<Propagation>,
}

impl From<&Object> for DeleteOptions {
    /// Of that very state.
    fn from(object: &Object) -> Self {
        Self { uid: Some(object.uid.clone()), version: Some(object.revision), dry_run: false, propagation: None }
    }
}

impl DeleteOptions {
    /// Reads them from query and body.
    pub(crate) async fn read(call: &Call, body: Body) -> Result<Self> {
        let query = WriteOptions::parse(&call.query, "DeleteOptions")?;
        let bytes = body::read(body).await?;
        let options = if bytes.is_empty() {
            Value::Null
        } else {
            body::decode_options(&body::media_type(&call.headers), &bytes)?.value
        };
        let given = |pointer: &str| Some(text(&options, pointer).to_owned()).filter(|text| !text.is_empty());
        Ok(Self {
            uid: given("/preconditions/uid"),
            version: given("/preconditions/resourceVersion").map(|v| options::parse_version(&v)).transpose()?,
            dry_run: query.dry_run || options.pointer("/dryRun/0").and_then(Value::as_str) == Some("All"),
            // As in Kubernetes, the query counts where there is no body.
            propagation: if options.is_null() {
                Propagation::of_query(&call.query)?
            } else {
                Propagation::of_body(&options)?
            },
        })
    }

    /// The same, and its dependents are treated so.
    #[must_use]
    pub(crate) fn propagating(self, propagation: Propagation) -> Self {
        Self { propagation: Some(propagation), ..self }
    }
}

/// `DELETE` of an object.
pub(crate) async fn delete(call: Call, body: Body) -> Result<Response> {
    let answer = Answer::negotiate(&call)?;
    let options = DeleteOptions::read(&call, body).await?;
    match call.delete_named(call.name(), &options).await? {
        Deleted::Gone(object) => Ok(Json(success(call.kind(), &object)).into_response()),
        Deleted::Terminating(object) => answer.stored(call.kind(), &object, StatusCode::OK),
        Deleted::WouldTerminate(value) => Ok(answer.served(call.kind(), &value, StatusCode::OK)),
    }
}

impl Call {
    /// Deletes one object of the path's kind and namespace.
    pub(crate) async fn delete_named(&self, name: &str, options: &DeleteOptions) -> Result<Deleted> {
        remove(&self.state, self.kind(), &self.key_of(name), options, &self.actor).await
    }
}

/// Deletes one object, or marks it as going away.
pub(crate) async fn remove(
    state: &AppState,
    kind: &Kind,
    key: &Key,
    options: &DeleteOptions,
    actor: &Actor,
) -> Result<Deleted> {
    if kind.kind == "Namespace" && (key.name == "default" || key.name == dropmate_api::SYSTEM_NAMESPACE) {
        return Err(ApiError::forbidden(kind, &key.name, "this namespace may not be deleted"));
    }
    for _ in 0..MAX_ATTEMPTS {
        let (current, _) = state.store.get(key, At::Latest).await?;
        let current = current.ok_or_else(|| ApiError::not_found(kind, &key.name))?;
        check_preconditions(kind, &current, options)?;
        let old = commit::served(kind, &current)?;
        let terminating = old.pointer("/metadata/deletionTimestamp").is_some();
        // A namespace that is being emptied already goes on as it began.
        if terminating && has_content(kind, &old) {
            return Ok(Deleted::Terminating(current));
        }
        let mut new = old;
        let refinalized = propagation::set_finalizers(kind, &mut new, options.propagation);
        let at_once = may_go(kind, &new);
        if terminating && !at_once && !refinalized {
            return Ok(Deleted::Terminating(current));
        }
        if !terminating && !at_once {
            new = marked(state, kind, new);
        }
        if options.dry_run {
            return Ok(if at_once { Deleted::Gone(current) } else { Deleted::WouldTerminate(new) });
        }
        let going = at_once.then(|| new.clone());
        let body = commit::body(kind, new);
        let change = match going {
            Some(object) => commit::removal(state, kind, &object, body),
            None => Change::Put { uid: current.uid.clone(), body },
        };
        let expect = Expect::Revision(current.revision);
        match commit::write(state, key.clone(), expect, change, Vec::new(), actor).await {
            Ok(object) if at_once => return Ok(Deleted::Gone(object)),
            Ok(object) => return Ok(Deleted::Terminating(object)),
            // Look again: what was asked for may not hold any more.
            Err(WriteError::Changed(_)) => {}
            Err(error) => return Err(ApiError::write(kind, &key.name, &error)),
        }
    }
    Err(ApiError::modified(kind, &key.name))
}

/// The object marked as going away.
fn marked(state: &AppState, kind: &Kind, mut object: Value) -> Value {
    let map = metadata(&mut object);
    map.insert("deletionTimestamp".into(), object::metadata_time(state.clock.system_now()));
    map.insert("deletionGracePeriodSeconds".into(), 0.into());
    if kind.group == dropmate_api::GROUP {
        let held = map.get("generation").and_then(Value::as_i64).unwrap_or(1);
        map.insert("generation".into(), (held + 1).into());
    }
    if kind.kind == "Namespace" {
        object["status"]["phase"] = "Terminating".into();
    }
    object
}

/// Whether nobody has to finish anything before the object may go. A Namespace waits for its content.
pub(crate) fn may_go(kind: &Kind, object: &Value) -> bool {
    object::finalizers(object).is_empty() && !has_content(kind, object)
}

/// Whether it is a Namespace that has not been emptied yet.
fn has_content(kind: &Kind, object: &Value) -> bool {
    kind.kind == "Namespace"
        && object.pointer("/spec/finalizers").and_then(Value::as_array).is_some_and(|list| !list.is_empty())
}

fn check_preconditions(kind: &Kind, current: &Object, options: &DeleteOptions) -> Result<()> {
    let name = &current.key.name;
    if let Some(uid) = options.uid.as_ref().filter(|uid| **uid != current.uid) {
        let why = format!(
            "the UID in the precondition ({uid}) does not match the UID in record ({}). The object might have been deleted and then recreated",
            current.uid
        );
        return Err(ApiError::conflict(kind, name, &why));
    }
    if let Some(version) = options.version.filter(|version| *version != current.revision) {
        let why = format!(
            "the ResourceVersion in the precondition ({version}) does not match the ResourceVersion in record ({}). The object might have been modified",
            current.revision
        );
        return Err(ApiError::conflict(kind, name, &why));
    }
    Ok(())
}

fn success(kind: &Kind, object: &Object) -> Value {
    let mut details = json!({"name": object.key.name, "kind": kind.plural, "uid": object.uid});
    if !kind.group.is_empty() {
        details["group"] = kind.group.into();
    }
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details})
}
