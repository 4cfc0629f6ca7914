//! The agent: sends in every process, and in the one that leads plans what is to be sent and tells what became of it.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use anyhow::Context;
use dropmate_agent::{Election, Now, Recorder, Stage, Standing, Term, call, call::with_deadline};
use dropmate_api::{Clock, SYSTEM_NAMESPACE};
use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::{Api, Client, api::PostParams};
use tokio::{
    sync::{Notify, watch},
    time::sleep,
};
use tokio_util::sync::CancellationToken;

use crate::{
    AGENT, Metrics,
    pull::Puller,
    seam::{Route, Vault},
    send::Pipeline,
    status::Teller,
    store::{Feed, Store},
    world::World,
};

/// How often old rows are taken out.
const TIDY_EVERY: Duration = Duration::from_mins(10);

/// How often it is told how far the events are planned: history that was not planned is kept for us until then.
const CURSOR_EVERY: Duration = Duration::from_secs(30);

/// The Lease whose annotation tells it. It is nobody's to hold.
const CURSOR_LEASE: &str = "notification-events";

/// The annotation.
const CURSOR: &str = "dropmate.dev/cursor";

/// How long events may still be written after the end.
const FLUSH_MAX: Duration = Duration::from_secs(2);

/// What the agent is given.
#[derive(Clone)]
pub struct Config {
    /// Sends by system time; delays, quiet hours and conditions are business time.
    pub clock: Clock,
    /// Holder of the lease, and name of the sender; a fresh uuid per process.
    pub identity: String,
    /// What it keeps.
    pub store: Store,
    /// Who takes messages.
    pub route: Arc<dyn Route>,
    /// What only the control plane may tell.
    pub vault: Arc<dyn Vault>,
    /// What it counts.
    pub metrics: Metrics,
    /// The address of its admin port that the lease tells while it leads.
    pub address: Option<String>,
    /// Says how far it is.
    pub standing: Standing,
    /// Notified, the senders look at once.
    pub planned: Arc<Notify>,
}

impl Config {
    /// The usual settings.
    pub fn new(
        clock: Clock,
        identity: impl Into<String>,
        store: Store,
        route: Arc<dyn Route>,
        vault: Arc<dyn Vault>,
    ) -> Self {
        Self {
            clock,
            identity: identity.into(),
            store,
            route,
            vault,
            metrics: Metrics::default(),
            address: None,
            standing: Standing::default(),
            planned: Arc::default(),
        }
    }
}

/// Runs until shut down. On shutdown it ends the attempts under way and gives its lease back; the store is left open.
pub async fn run(client: Client, config: Config, shutdown: CancellationToken) -> anyhow::Result<()> {
    let clock = config.clock.clone();
    let now: Now = Arc::new(move || clock.system_now());
    let caller = with_deadline(&client);
    let (recorder, events_written) =
        Recorder::start(caller.clone(), "dropmate-notification", &config.identity, now.clone());
    let ended = Arc::new(Notify::new());
    let pipeline = Pipeline {
        store: config.store.clone(),
        clock: config.clock.clone(),
        me: config.identity.clone(),
        route: config.route.clone(),
        vault: config.vault.clone(),
        metrics: config.metrics.clone(),
        planned: config.planned.clone(),
        ended: ended.clone(),
    };
    // An agent that sends nothing shall not go on planning as if it did.
    let stop = shutdown.child_token();
    let sending = tokio::spawn({
        let (stop, ends_with_us) = (stop.clone(), stop.clone().drop_guard());
        async move {
            pipeline.run(stop).await;
            drop(ends_with_us);
        }
    });
    let world = World::watch(&caller);
    let mut election = Election::new(caller.clone(), SYSTEM_NAMESPACE, AGENT, &config.identity, now, stop)
        .advertise(config.address.clone());
    config.standing.set(Stage::StandsBy);
    while let Some(term) = election.win().await {
        config.standing.set(Stage::Syncing);
        let (cursor, planned_up_to) = watch::channel(-1);
        let puller = Puller {
            client: client.clone(),
            store: config.store.clone(),
            clock: config.clock.clone(),
            metrics: config.metrics.clone(),
            planned: config.planned.clone(),
            ended: ended.clone(),
            cursor: Arc::new(cursor),
        };
        let teller = Teller {
            client: caller.clone(),
            clock: config.clock.clone(),
            store: config.store.clone(),
            recorder: recorder.clone(),
            metrics: config.metrics.clone(),
            ended: ended.clone(),
        };
        Box::pin(lead(&caller, &world, &puller, &teller, planned_up_to, &term, &config)).await;
        config.standing.set(Stage::StandsBy);
        term.resign().await;
    }
    sending.await.context("the sending pipeline ended by itself")?;
    drop(recorder);
    // What is not told by then stays untold; it stands among the messages.
    let _ = tokio::time::timeout(FLUSH_MAX, events_written).await;
    Ok(())
}

/// Plans and tells until the term ends.
async fn lead(
    client: &Client,
    world: &World,
    puller: &Puller,
    teller: &Teller,
    planned_up_to: watch::Receiver<i64>,
    term: &Term,
    config: &Config,
) {
    let ended = term.ended();
    if ended.run_until_cancelled(world.synced()).await.is_none() {
        return;
    }
    config.standing.set(Stage::Leads);
    tokio::join!(
        puller.run(Feed::Events, world, ended),
        puller.run(Feed::Mails, world, ended),
        teller.run(world, ended),
        tidy(config, ended),
        tell_cursor(client, planned_up_to, ended),
    );
}

/// Takes out what is old, now and then.
async fn tidy(config: &Config, ended: &CancellationToken) {
    loop {
        match ended.run_until_cancelled(config.store.tidy(config.clock.system_now())).await {
            None => return,
            Some(Ok(0)) => {}
            Some(Ok(gone)) => tracing::debug!(gone, "old messages were taken out"),
            Some(Err(error)) => tracing::warn!(error = %error, "old messages could not be taken out"),
        }
        if ended.run_until_cancelled(sleep(TIDY_EVERY)).await.is_none() {
            return;
        }
    }
}

/// Tells how far the events are planned, so that their history is kept until then.
async fn tell_cursor(client: &Client, planned_up_to: watch::Receiver<i64>, ended: &CancellationToken) {
    let leases: Api<Lease> = Api::namespaced(client.clone(), SYSTEM_NAMESPACE);
    let mut told = -1;
    loop {
        let position = *planned_up_to.borrow();
        if position >= 0 && position != told {
            match ended.run_until_cancelled(write_cursor(&leases, position)).await {
                None => return,
                Some(Ok(())) => told = position,
                Some(Err(error)) => tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "how far events are planned could not be told; trying again"
                ),
            }
        }
        let pause = if told < 0 { Duration::from_secs(1) } else { CURSOR_EVERY };
        if ended.run_until_cancelled(sleep(pause)).await.is_none() {
            return;
        }
    }
}

async fn write_cursor(leases: &Api<Lease>, position: i64) -> Result<(), dropmate_agent::CallError> {
    let params = PostParams::default();
    if let Some(mut lease) = call(leases.get_opt(CURSOR_LEASE)).await? {
        lease.metadata.annotations.get_or_insert_default().insert(CURSOR.to_owned(), position.to_string());
        call(leases.replace(CURSOR_LEASE, &params, &lease)).await?;
    } else {
        let metadata = ObjectMeta {
            name: Some(CURSOR_LEASE.to_owned()),
            annotations: Some(BTreeMap::from([(CURSOR.to_owned(), position.to_string())])),
            ..ObjectMeta::default()
        };
        let lease = Lease { metadata, spec: Some(LeaseSpec::default()) };
        call(leases.create(&params, &lease)).await?;
    }
    Ok(())
}
