//! Where a stream begins.

use std::sync::Arc;

use axum::extract::Query;
use dropmate_api::{
    SYSTEM_NAMESPACE,
    roles::{self, Attributes, Decision, Sight},
};
use dropmate_store::{At, ReadError, Revision, Scope, Watch};
use http::Uri;
use serde::Deserialize;

use super::{epoch::epoch, frames::Words, positions::Room};
use crate::{
    caller::Admission,
    error::{ApiError, Result},
    resources,
    state::AppState,
};

/// What the query asks for.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Asked {
    pub(super) namespace: Option<String>,
    pub(super) ticket: Option<String>,
    epoch: Option<String>,
    seq: Option<String>,
}

impl Asked {
    pub(super) fn of(uri: &Uri) -> Result<Self> {
        let read = Query::<Self>::try_from_uri(uri);
        read.map(|Query(asked)| asked)
            .map_err(|_| ApiError::bad_request("the query cannot be read: namespace, epoch, seq and ticket, each once"))
    }

    /// Where the client was; `None`: it comes for the first time.
    fn seq(&self) -> Result<Option<Revision>> {
        let Some(seq) = self.seq.as_deref().filter(|seq| !seq.is_empty()) else { return Ok(None) };
        let why =
            || ApiError::bad_request(format!("seq: {seq:?} is not the number of a frame; leave it out to begin anew"));
        seq.parse().map(Some).map_err(|_| why())
    }
}

/// A stream that can begin.
#[derive(Debug)]
pub(super) struct Beginning {
    pub(super) scope: Scope,
    pub(super) words: Arc<Words>,
    /// The first frame says so.
    pub(super) seq: Revision,
    /// `None`: what the client knows is of no use, and a snapshot comes first.
    pub(super) watch: Option<Watch>,
    /// Whose positions the caller sees; none at all: no room.
    pub(super) rooms: Vec<Room>,
}

/// Finds out where to begin. What the client says of an epoch or a history that is gone is no error: it begins anew.
pub(super) async fn begin(state: &AppState, admission: &Admission, asked: &Asked) -> Result<Beginning> {
    let seq = asked.seq()?;
    let (epoch, newest) = epoch_and_newest(state).await?;
    let words = state.streams.words(epoch, &state.clock)?;
    let namespace = admission.info.namespace.clone();
    let scope = Scope { resource: words.storage().to_owned(), namespace: namespace.clone() };
    let rooms = rooms(admission);
    let known = match seq {
        None => Some(newest),
        Some(seq) if asked.epoch.as_ref() != Some(&words.epoch) || seq == 0 || seq > newest => None,
        Some(seq) if is_same_tenant(state, admission, seq).await? => Some(seq),
        Some(_) => None,
    };
    let watch = match known {
        None => None,
        Some(known) => match state.store.watch(scope.clone(), known).await {
            Ok(watch) => Some(watch),
            Err(ReadError::Expired { .. } | ReadError::Future { .. }) => None,
            Err(error) => return Err(error.into()),
        },
    };
    let seq = if watch.is_some() { known.unwrap_or(newest) } else { newest };
    Ok(Beginning { scope, words, seq, watch, rooms })
}

/// The history that revisions are of.
pub(crate) async fn epoch_of(state: &AppState) -> Result<String> {
    epoch_and_newest(state).await.map(|(epoch, _)| epoch)
}

async fn epoch_and_newest(state: &AppState) -> Result<(String, Revision)> {
    let (system, newest) = state.store.get(&resources::namespace_key(SYSTEM_NAMESPACE), At::Latest).await?;
    let uid = system.map(|namespace| namespace.uid.clone()).unwrap_or_default();
    Ok((epoch(&uid, newest), newest))
}

/// Whether the namespace was the same then: one of that name before it was another tenant.
async fn is_same_tenant(state: &AppState, admission: &Admission, then: Revision) -> Result<bool> {
    let Some(namespace) = admission.info.namespace.as_deref().filter(|_| !roles::is_global(&admission.grants)) else {
        return Ok(true);
    };
    let key = resources::namespace_key(namespace);
    let (now, _) = state.store.get(&key, At::Any).await?;
    match state.store.get(&key, At::Exact(then)).await {
        Ok((then, _)) => Ok(now.map(|held| held.uid.clone()) == then.map(|held| held.uid.clone())),
        Err(ReadError::Expired { .. } | ReadError::Future { .. }) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Where the positions are that the caller may see: those of the drivers that they may watch.
fn rooms(admission: &Admission) -> Vec<Room> {
    let namespace = admission.info.namespace.as_deref();
    let drivers = Attributes {
        verb: "watch",
        group: dropmate_api::GROUP,
        resource: "drivers",
        namespace,
        ..Attributes::default()
    };
    let Decision::Allowed(permit) = roles::decide(&admission.grants, &drivers) else { return Vec::new() };
    match (permit.sight, namespace) {
        (Sight::Everything, None) => vec![Room::Everywhere],
        (Sight::Everything, Some(namespace)) => vec![Room::Namespace(namespace.to_owned())],
        (Sight::Own(own), Some(namespace)) => {
            own.drivers.into_iter().map(|driver| Room::Driver(namespace.to_owned(), driver)).collect()
        }
        (Sight::Own(_), None) => Vec::new(),
    }
}
