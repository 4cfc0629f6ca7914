//! Changing the metadata of an object on the server's own behalf.

use std::sync::Arc;

use dropmate_api::{
    apply::{self, Writer},
    registry::Kind,
};
use dropmate_store::{Actor, Change, Expect, Object, WriteError};
use serde_json::{Map, Value};

use super::commit;
use crate::{
    error::{ApiError, Result},
    object::{self, metadata},
    state::AppState,
};

/// Changes the metadata of an object that still is as it was read. A list that ends up empty is taken out; what was held
/// back by it alone goes.
pub(crate) async fn amend(
    state: &AppState,
    kind: &Kind,
    current: &Arc<Object>,
    actor: &Actor,
    change: impl FnOnce(&mut Map<String, Value>),
) -> Result<()> {
    let old = commit::served(kind, current)?;
    let mut new = old.clone();
    let fields = metadata(&mut new);
    change(fields);
    fields.retain(|_, value| !value.as_array().is_some_and(Vec::is_empty));
    if new == old {
        return Ok(());
    }
    let at = object::metadata_time(state.clock.system_now());
    let writer = Writer {
        manager: &actor.user,
        api_version: &kind.api_version(),
        subresource: "",
        status_apart: kind.status_subresource,
        at: at.as_str().unwrap_or(""),
    };
    // Whoever owned what is gone owns it no more.
    apply::update((kind.schema)(), &old, &mut new, &writer);
    let goes = new.pointer("/metadata/deletionTimestamp").is_some() && super::delete::may_go(kind, &new);
    let going = goes.then(|| new.clone());
    let body = commit::body(kind, new);
    let change = match going {
        Some(object) => commit::removal(state, kind, &object, body),
        None => Change::Put { uid: current.uid.clone(), body },
    };
    let expect = Expect::Revision(current.revision);
    match commit::write(state, current.key.clone(), expect, change, Vec::new(), actor).await {
        // Gone by itself: there is nothing left to change.
        Ok(_) | Err(WriteError::Missing) => Ok(()),
        Err(error) => Err(ApiError::write(kind, &current.key.name, &error)),
    }
}
