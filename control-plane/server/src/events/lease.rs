//! The Lease under which one replica publishes. The server takes it as agents take theirs, but straight from the store.
//!
//! Nothing rests on there being one holder: what is published twice is refused by its number. It saves the others the work.

use std::{sync::Arc, time::Duration};

use dropmate_api::{SYSTEM_NAMESPACE, registry};
use dropmate_store::{Actor, At, Change, Expect, Key, Object, Revision, WriteError};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::{
    error::{ApiError, Result},
    resources,
    state::AppState,
};

/// What it is called.
pub(super) const NAME: &str = "event-publisher";
/// Where Leases are stored.
pub(super) const LEASES: &str = "leases.coordination.k8s.io";
/// Where in a Lease it stands how far its holder has read.
pub(super) const CURSOR: &str = "dropmate.dev/cursor";

/// How long a lease lasts after its last renewal, and how long its holder trusts it: so that it has ended its work before
/// another may begin.
const DURATION: Duration = Duration::from_secs(15);
const TRUST: Duration = Duration::from_secs(12);
/// How often the holder renews it: one renewal may fail.
pub(super) const RENEW_EVERY: Duration = Duration::from_secs(5);

/// The lease of another, as it was seen first at that version.
pub(super) type Watched = Option<(Revision, Instant)>;

/// A time of holding it.
#[derive(Debug)]
pub(super) struct Term {
    held: Arc<Object>,
    holder: String,
    transitions: i64,
    trusted_until: Instant,
}

/// Why a term is over.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Renewal {
    /// It goes on.
    Renewed,
    /// It could not be told; trusted for a while yet.
    Failed,
    /// Somebody else has it, or it could not be renewed in time.
    Lost,
}

fn key() -> Key {
    Key { resource: LEASES.to_owned(), namespace: SYSTEM_NAMESPACE.to_owned(), name: NAME.to_owned() }
}

fn actor() -> Actor {
    Actor { user: "system:event-publisher".to_owned(), ..Actor::default() }
}

/// How far the holder of a lease has read, if its lease says so.
pub(super) fn cursor(lease: &Object) -> Option<Revision> {
    let body: Value = serde_json::from_str(&lease.body).ok()?;
    body["metadata"]["annotations"][CURSOR].as_str()?.parse().ok()
}

/// Whether a lease that is another's may be taken: it has not changed for its whole duration while we watched. Nobody's
/// clock but our own counts.
fn outlived(lease: &Object, spec: &Value, watched: &mut Watched, now: Instant) -> bool {
    let lasts = spec["leaseDurationSeconds"].as_u64().map_or(DURATION, Duration::from_secs);
    match watched {
        Some((version, since)) if *version == lease.revision => now.duration_since(*since) >= lasts,
        _ => {
            *watched = Some((lease.revision, now));
            false
        }
    }
}

/// Tries to take it. `None`: it is another's.
pub(super) async fn win(state: &AppState, holder: &str, watched: &mut Watched) -> Result<Option<Term>> {
    let (held, _) = state.store.get(&key(), At::Latest).await?;
    let held = if let Some(held) = held {
        held
    } else {
        let kind = registry::by_resource("coordination.k8s.io", "v1", "leases")
            .ok_or_else(|| ApiError::internal("no kind Lease"))?;
        let new = json!({
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
            "metadata": {"name": NAME, "namespace": SYSTEM_NAMESPACE}, "spec": {"holderIdentity": ""},
        });
        resources::create_by_server(state, kind, new, &actor()).await?;
        let (held, _) = state.store.get(&key(), At::Latest).await?;
        held.ok_or_else(|| ApiError::unavailable("the lease was deleted as it was made"))?
    };
    let body: Value = serde_json::from_str(&held.body).map_err(ApiError::internal)?;
    let spec = &body["spec"];
    let theirs = spec["holderIdentity"].as_str().unwrap_or_default();
    let asked_at = Instant::now();
    if !theirs.is_empty() && theirs != holder && !outlived(&held, spec, watched, asked_at) {
        return Ok(None);
    }
    let transitions = spec["leaseTransitions"].as_i64().unwrap_or(0) + 1;
    let mut term = Term { held, holder: holder.to_owned(), transitions, trusted_until: asked_at };
    let now = state.clock.system_now();
    let taken = term.write(state, |body| body["spec"]["acquireTime"] = json!(micros(now))).await;
    match taken {
        Ok(()) => {
            term.trusted_until = asked_at + TRUST;
            Ok(Some(term))
        }
        // Somebody was faster.
        Err(WriteError::Changed(_) | WriteError::Missing) => Ok(None),
        Err(error) => Err(ApiError::unavailable(error.to_string())),
    }
}

/// A time as Leases hold it.
fn micros(at: jiff::Timestamp) -> String {
    format!("{at:.6}")
}

impl Term {
    /// How far the holder before had read.
    pub(super) fn cursor(&self) -> Option<Revision> {
        cursor(&self.held)
    }

    /// Whether it may still be acted on.
    pub(super) fn is_trusted(&self) -> bool {
        Instant::now() < self.trusted_until
    }

    /// Renews it, and says how far we have read.
    pub(super) async fn renew(&mut self, state: &AppState, read: Revision) -> Renewal {
        let asked_at = Instant::now();
        let set = |body: &mut Value| body["metadata"]["annotations"][CURSOR] = read.to_string().into();
        let outcome = match self.write(state, set).await {
            // A change that leaves it ours, or our own renewal whose answer was lost, is written over.
            Err(WriteError::Changed(found)) if self.is_ours(&found) => {
                self.held = found;
                self.write(state, set).await
            }
            outcome => outcome,
        };
        match outcome {
            Ok(()) => {
                self.trusted_until = asked_at + TRUST;
                Renewal::Renewed
            }
            Err(WriteError::Changed(_) | WriteError::Missing | WriteError::Exists(_) | WriteError::Guard(_)) => {
                Renewal::Lost
            }
            Err(WriteError::Unavailable(_) | WriteError::Unknown(_)) if self.is_trusted() => Renewal::Failed,
            Err(WriteError::Unavailable(_) | WriteError::Unknown(_)) => Renewal::Lost,
        }
    }

    /// Gives it back, so that nobody has to wait for it to run out.
    pub(super) async fn release(mut self, state: &AppState, read: Revision) {
        let given = self.write(state, |body| {
            body["metadata"]["annotations"][CURSOR] = read.to_string().into();
            body["spec"]["holderIdentity"] = "".into();
        });
        if let Err(error) = given.await {
            tracing::debug!(%error, "the lease was not given back and will run out");
        }
    }

    fn is_ours(&self, found: &Object) -> bool {
        let body: Value = serde_json::from_str(&found.body).unwrap_or_default();
        found.uid == self.held.uid
            && body["spec"]["holderIdentity"] == self.holder
            && body["spec"]["leaseTransitions"] == self.transitions
    }

    async fn write(&mut self, state: &AppState, change: impl FnOnce(&mut Value)) -> Result<(), WriteError> {
        let mut body: Value = serde_json::from_str(&self.held.body).unwrap_or_default();
        if !body["metadata"]["annotations"].is_object() {
            body["metadata"]["annotations"] = json!({});
        }
        body["spec"]["holderIdentity"] = self.holder.as_str().into();
        body["spec"]["leaseDurationSeconds"] = DURATION.as_secs().into();
        body["spec"]["leaseTransitions"] = self.transitions.into();
        body["spec"]["renewTime"] = micros(state.clock.system_now()).into();
        change(&mut body);
        let put = Change::Put { uid: self.held.uid.clone(), body: body.to_string().into() };
        let expect = Expect::Revision(self.held.revision);
        self.held = resources::write(state, key(), expect, put, Vec::new(), &actor()).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use dropmate_api::Clock;
    use jiff::Timestamp;

    use super::*;
    use crate::ControlPlane;

    async fn state() -> AppState {
        let clock = Clock::real(Arc::new(|| Timestamp::UNIX_EPOCH));
        ControlPlane::in_memory(clock).await.state
    }

    #[tokio::test(start_paused = true)]
    async fn one_holds_it_until_it_runs_out_and_the_next_reads_on() {
        let state = state().await;
        let (mut one, mut other) = (None, None);
        let mut term = win(&state, "one", &mut one).await.unwrap().expect("it is free");
        assert_eq!(term.cursor(), None);
        assert!(win(&state, "other", &mut other).await.unwrap().is_none());
        tokio::time::advance(RENEW_EVERY).await;
        assert_eq!(term.renew(&state, 41).await, Renewal::Renewed);
        // It is watched for its whole duration from its last change on.
        assert!(win(&state, "other", &mut other).await.unwrap().is_none());
        tokio::time::advance(DURATION.saturating_sub(Duration::from_millis(1))).await;
        assert!(win(&state, "other", &mut other).await.unwrap().is_none());
        assert!(!term.is_trusted(), "whoever held it acts no more before another may");
        tokio::time::advance(Duration::from_millis(1)).await;
        let next = win(&state, "other", &mut other).await.unwrap().expect("it has run out");
        assert_eq!(next.cursor(), Some(41));
        assert_eq!(term.renew(&state, 50).await, Renewal::Lost);
        // One that is given back is free at once.
        next.release(&state, 60).await;
        let last = win(&state, "one", &mut one).await.unwrap().expect("it was given back");
        assert_eq!(last.cursor(), Some(60));
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_by_others_that_leaves_it_ours_is_written_over() {
        let state = state().await;
        let mut term = win(&state, "one", &mut None).await.unwrap().unwrap();
        let held = state.store.get(&key(), At::Latest).await.unwrap().0.unwrap();
        let mut body: Value = serde_json::from_str(&held.body).unwrap();
        body["metadata"]["labels"] = json!({"seen": "yes"});
        let put = Change::Put { uid: held.uid.clone(), body: body.to_string().into() };
        resources::write(&state, key(), Expect::Revision(held.revision), put, Vec::new(), &actor()).await.unwrap();
        assert_eq!(term.renew(&state, 7).await, Renewal::Renewed);
        let held = state.store.get(&key(), At::Latest).await.unwrap().0.unwrap();
        assert_eq!((cursor(&held), held.body.contains("\"seen\"")), (Some(7), true));
    }
}
