//! Leader election over a `coordination.k8s.io` Lease: one process acts, the others stand by.
//!
//! Holding the lease is never proof that one may write: the clock that says so may have stood still. So each write
//! carries the lease's uid, holder and transitions ([`Term`]), and the store refuses it unless they equal the stored
//! ones. Transitions rise with every acquisition, so no two terms are alike, even of the same process.

use std::time::Duration;

use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta},
};
use kube::{Api, Client, ResourceExt, api::PostParams};
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep, sleep_until, timeout_at},
};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{Now, call, call::CallError, reach::chain};

/// How long a lease lasts after its last renewal.
pub const DURATION: Duration = Duration::from_secs(15);

/// How long a holder trusts it without a renewal. Shorter than `DURATION`, so that it has ended its work when another
/// may begin.
pub const TRUST: Duration = Duration::from_secs(12);

/// How often the holder renews it: one renewal may fail.
pub const RENEW_EVERY: Duration = Duration::from_secs(5);

/// How often a standby looks, and a holder tries again after a failure.
pub const RETRY_EVERY: Duration = Duration::from_secs(1);

/// Where the holder's admin port is found: an annotation of the lease.
pub const ADDRESS: &str = "dropmate.dev/address";

/// Takes part in the election of one lease.
pub struct Election {
    api: Api<Lease>,
    name: String,
    holder: String,
    address: Option<String>,
    now: Now,
    shutdown: CancellationToken,
    pause: Duration,
}

/// A time of leadership. Dropping it without [`Term::resign`] lets the lease run out.
#[derive(Debug)]
pub struct Term {
    /// Name of the Lease.
    pub lease: String,
    /// Its uid.
    pub lease_uid: String,
    /// Its holder: this process.
    pub holder: String,
    /// Its transitions.
    pub transitions: i32,
    ended: CancellationToken,
    renewal: JoinHandle<Option<Renewal>>,
    _end_on_drop: DropGuard,
}

/// What the holder knows of its lease.
#[derive(Debug)]
struct Renewal {
    api: Api<Lease>,
    lease: Lease,
}

impl Election {
    /// `holder` is unique to this process and start.
    pub fn new(
        client: Client,
        namespace: &str,
        name: &str,
        holder: &str,
        now: Now,
        shutdown: CancellationToken,
    ) -> Self {
        let api = Api::namespaced(client, namespace);
        Self {
            api,
            name: name.to_owned(),
            holder: holder.to_owned(),
            address: None,
            now,
            shutdown,
            pause: Duration::ZERO,
        }
    }

    /// The address that the lease tells while this process holds it ([`ADDRESS`]). A holder without one leaves none.
    #[must_use]
    pub fn advertise(mut self, address: Option<String>) -> Self {
        self.address = address;
        self
    }

    /// Stands by until this process leads. `None` once shut down.
    pub async fn win(&mut self) -> Option<Term> {
        let mut watched: Option<(String, Instant)> = None;
        loop {
            tokio::select! {
                biased;
                () = self.shutdown.cancelled() => return None,
                () = sleep(self.pause) => {}
            }
            // Also before the next campaign, so that a lease that is won and lost at once is no hot loop.
            self.pause = RETRY_EVERY;
            match self.campaign(&mut watched).await {
                Ok(Some(term)) => return Some(term),
                // A lost race: somebody else has just taken or renewed it.
                Ok(None) | Err(CallError::LookAgain(_)) => {}
                Err(error) => {
                    tracing::warn!(
                        lease.name = self.name,
                        error = chain(&error),
                        "the lease could not be looked at or taken"
                    );
                }
            }
        }
    }

    async fn campaign(&self, watched: &mut Option<(String, Instant)>) -> Result<Option<Term>, CallError> {
        let Some(held) = call(self.api.get_opt(&self.name)).await? else {
            let mut metadata = ObjectMeta { name: Some(self.name.clone()), ..ObjectMeta::default() };
            set_address(&mut metadata, self.address.clone());
            let asked_at = Instant::now();
            let lease = Lease { metadata, spec: Some(self.claim(0)) };
            let lease = call(self.api.create(&PostParams::default(), &lease)).await?;
            return Ok(Some(self.begin(lease, asked_at)));
        };
        let spec = held.spec.clone().unwrap_or_default();
        let holder = spec.holder_identity.as_deref().unwrap_or_default();
        if !holder.is_empty() && holder != self.holder && !outlived(&held, watched) {
            return Ok(None);
        }
        let asked_at = Instant::now();
        let mut lease = Lease { spec: Some(self.claim(spec.lease_transitions.unwrap_or(0) + 1)), ..held };
        set_address(&mut lease.metadata, self.address.clone());
        let lease = call(self.api.replace(&self.name, &PostParams::default(), &lease)).await?;
        Ok(Some(self.begin(lease, asked_at)))
    }

    fn claim(&self, transitions: i32) -> LeaseSpec {
        let now = MicroTime((self.now)());
        LeaseSpec {
            holder_identity: Some(self.holder.clone()),
            lease_duration_seconds: Some(DURATION.as_secs() as i32),
            acquire_time: Some(now.clone()),
            renew_time: Some(now),
            lease_transitions: Some(transitions),
            ..LeaseSpec::default()
        }
    }

    fn begin(&self, lease: Lease, asked_at: Instant) -> Term {
        let ended = self.shutdown.child_token();
        let transitions = transitions(&lease);
        tracing::info!(
            lease.name = self.name,
            lease.holder = self.holder,
            lease.transitions = transitions,
            "this process leads"
        );
        Term {
            lease: self.name.clone(),
            lease_uid: lease.uid().unwrap_or_default(),
            holder: self.holder.clone(),
            transitions,
            renewal: tokio::spawn(Renewal { api: self.api.clone(), lease }.keep(
                asked_at + TRUST,
                ended.clone(),
                self.now.clone(),
            )),
            _end_on_drop: ended.clone().drop_guard(),
            ended,
        }
    }
}

impl Term {
    /// Cancelled when this process no longer leads or shuts down: finish what is under way and begin nothing.
    pub fn ended(&self) -> &CancellationToken {
        &self.ended
    }

    /// Ends the term early: the store says that another leads.
    pub fn step_down(&self) {
        self.ended.cancel();
    }

    /// Ends the term, and gives the lease back if it is still ours, so that a standby need not wait for it to run out.
    pub async fn resign(self) {
        self.ended.cancel();
        if let Ok(Some(renewal)) = self.renewal.await {
            renewal.release().await;
        }
        tracing::info!(
            lease.name = self.lease,
            lease.holder = self.holder,
            lease.transitions = self.transitions,
            "this process leads no more"
        );
    }
}

impl Renewal {
    /// Renews until `ended`, which it brings about itself when the lease is lost. Returns itself while the lease is
    /// ours. `valid_until` goes by our own monotonic clock from before the last renewal was asked for.
    async fn keep(mut self, mut valid_until: Instant, ended: CancellationToken, now: Now) -> Option<Self> {
        let _end = ended.clone().drop_guard();
        let mut pause = RENEW_EVERY;
        loop {
            tokio::select! {
                biased;
                () = ended.cancelled() => return Some(self),
                () = sleep_until(valid_until) => return self.lost("it could not be renewed in time"),
                () = sleep(pause) => {}
            }
            let asked_at = Instant::now();
            let deadline = valid_until.min(asked_at + RENEW_EVERY);
            let renewed = tokio::select! {
                biased;
                () = ended.cancelled() => return Some(self),
                renewed = timeout_at(deadline, self.renew(now())) => renewed,
            };
            pause = RETRY_EVERY;
            match renewed {
                Ok(Ok(true)) => {
                    valid_until = asked_at + TRUST;
                    pause = RENEW_EVERY;
                }
                Ok(Ok(false)) => return self.lost("another has taken it"),
                Ok(Err(error)) => {
                    tracing::warn!(
                        lease.name = self.lease.name_any(),
                        error = chain(&error),
                        "the lease could not be renewed"
                    );
                }
                Err(_) => tracing::warn!(lease.name = self.lease.name_any(), "the lease could not be renewed in time"),
            }
        }
    }

    fn lost(self, why: &str) -> Option<Self> {
        tracing::warn!(lease.name = self.lease.name_any(), reason = why, "the lease is lost");
        None
    }

    /// Renews once; `false` if the lease is another's. A change by others that leaves it ours, or our own renewal whose
    /// answer was lost, is looked up and written over.
    async fn renew(&mut self, now: jiff::Timestamp) -> Result<bool, CallError> {
        let renewed = |lease: &mut Lease| lease.spec.get_or_insert_default().renew_time = Some(MicroTime(now));
        match self.write(renewed).await {
            Err(CallError::LookAgain(_) | CallError::Gone(_)) => {}
            written => return written.map(|()| true),
        }
        if !self.look().await? {
            return Ok(false);
        }
        self.write(renewed).await.map(|()| true)
    }

    async fn release(mut self) {
        let give_back = |lease: &mut Lease| {
            lease.spec.get_or_insert_default().holder_identity = Some(String::new());
            set_address(&mut lease.metadata, None);
        };
        let mut released = self.write(give_back).await;
        if matches!(released, Err(CallError::LookAgain(_))) {
            released = match self.look().await {
                Ok(true) => self.write(give_back).await,
                // Another has it.
                Ok(false) => Ok(()),
                Err(error) => Err(error),
            };
        }
        if let Err(error) = released {
            tracing::warn!(
                lease.name = self.lease.name_any(),
                error = chain(&error),
                "the lease was not given back and will run out"
            );
        }
    }

    async fn write(&mut self, change: impl FnOnce(&mut Lease)) -> Result<(), CallError> {
        let mut next = self.lease.clone();
        change(&mut next);
        self.lease = call(self.api.replace(&next.name_any(), &PostParams::default(), &next)).await?;
        Ok(())
    }

    /// Looks the lease up; whether it is still this term's.
    async fn look(&mut self) -> Result<bool, CallError> {
        let Some(found) = call(self.api.get_opt(&self.lease.name_any())).await? else { return Ok(false) };
        let ours = found.uid() == self.lease.uid()
            && holder(&found) == holder(&self.lease)
            && transitions(&found) == transitions(&self.lease);
        if ours {
            self.lease = found;
        }
        Ok(ours)
    }
}

/// Whether the lease has not changed for its whole duration while we watched it. Nobody's clock but our own counts.
fn outlived(held: &Lease, watched: &mut Option<(String, Instant)>) -> bool {
    let version = held.resource_version().unwrap_or_default();
    match watched {
        Some((seen, since)) if *seen == version => since.elapsed() >= DURATION,
        _ => {
            *watched = Some((version, Instant::now()));
            false
        }
    }
}

fn set_address(metadata: &mut ObjectMeta, address: Option<String>) {
    let annotations = metadata.annotations.get_or_insert_default();
    match address {
        Some(address) => annotations.insert(ADDRESS.to_owned(), address),
        None => annotations.remove(ADDRESS),
    };
}

fn holder(lease: &Lease) -> Option<&str> {
    lease.spec.as_ref()?.holder_identity.as_deref()
}

fn transitions(lease: &Lease) -> i32 {
    lease.spec.as_ref().and_then(|spec| spec.lease_transitions).unwrap_or(0)
}
