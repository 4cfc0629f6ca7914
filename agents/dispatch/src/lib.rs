//! The dispatch agent: watches orders and drivers, lets `dropmate-planning` decide, and carries the decisions out.
//!
//! A thin shell around a pure function. It keeps no truth of its own: killed at any moment and started again, it looks
//! at the world and goes on, and nothing is done twice. Every write it makes is fenced by the lease it leads under.
//! How to decide well is not its business; neither are positions, ETAs or messages.

use std::{sync::Arc, time::Duration};

use dropmate_agent::{Election, Now, Recorder, Stage, Standing, Term, Ticks, call::with_deadline};
use dropmate_api::Clock;
use kube::Client;
use tokio::{sync::Notify, time::Instant};
use tokio_util::sync::CancellationToken;

mod act;
mod businesses;
mod metrics;
mod world;
mod write;

pub use metrics::Metrics;

use crate::{act::Acts, businesses::Businesses, world::World, write::Writer};

/// Where the lease is.
const SYSTEM_NAMESPACE: &str = "dropmate-system";

/// The lease dispatch leads under, as bindings name it.
const LEASE: &str = "dispatch";

/// This agent in metrics, and as the manager of what it owns.
const AGENT: &str = "dispatch";

/// The shortest time between two looks: a burst of changes is planned together, and an order that becomes ready is
/// still bound within 300 ms.
const TICK: Duration = Duration::from_millis(200);

/// How long events may still be written after the end.
const FLUSH_MAX: Duration = Duration::from_secs(3);

/// What the agent is given.
#[derive(Clone, Debug)]
pub struct Config {
    /// Plans by business time, stamps leases and events with system time.
    pub clock: Clock,
    /// Holder of the lease; a fresh uuid per process.
    pub identity: String,
    /// The shortest (system) time between two looks at the world.
    pub tick: Duration,
    /// What it counts.
    pub metrics: Metrics,
    /// The address of its admin port that the lease tells while it leads.
    pub address: Option<String>,
    /// Says how far it is.
    pub standing: Standing,
    /// To be notified when `clock` was set to another time, so that what is due is computed anew.
    pub clock_moved: Arc<Notify>,
}

impl Config {
    /// The usual settings.
    pub fn new(clock: Clock, identity: impl Into<String>) -> Self {
        Self {
            clock,
            identity: identity.into(),
            tick: TICK,
            metrics: Metrics::default(),
            address: None,
            standing: Standing::default(),
            clock_moved: Arc::default(),
        }
    }
}

/// Runs until shut down: stands by until it leads, then plans and binds. On shutdown it finishes the writes under way
/// and gives its lease back.
pub async fn run(client: Client, config: Config, shutdown: CancellationToken) -> anyhow::Result<()> {
    let clock = config.clock.clone();
    let now: Now = Arc::new(move || clock.system_now());
    let client = with_deadline(&client);
    let (recorder, events_written) =
        Recorder::start(client.clone(), "dropmate-dispatch", &config.identity, now.clone());
    let world = World::watch(&client);
    let mut election = Election::new(client.clone(), SYSTEM_NAMESPACE, LEASE, &config.identity, now, shutdown)
        .advertise(config.address.clone());
    config.standing.set(Stage::StandsBy);
    while let Some(term) = election.win().await {
        let writer = Writer::new(client.clone(), config.clock.clone(), &term);
        let acts = Acts::new(writer, recorder.clone(), config.metrics.clone(), term.ended().clone());
        config.standing.set(Stage::Syncing);
        lead(&world, &acts, &term, &config).await;
        config.standing.set(Stage::StandsBy);
        term.resign().await;
    }
    drop(recorder);
    // What is not told by then stays untold; it stands in the orders' status.
    let _ = tokio::time::timeout(FLUSH_MAX, events_written).await;
    Ok(())
}

/// Looks and acts until the term ends.
async fn lead(world: &World, acts: &Acts, term: &Term, config: &Config) {
    if term.ended().run_until_cancelled(world.synced()).await.is_none() {
        return;
    }
    config.standing.set(Stage::Leads);
    let mut businesses = Businesses::new(world.namespaces());
    let mut ticks = Ticks::new(world.caches(), config.tick);
    ticks.wake_at(Some(Instant::now()));
    loop {
        let dirty = tokio::select! {
            biased;
            dirty = ticks.next(term.ended()) => dirty,
            () = config.clock_moved.notified() => {
                ticks.wake_at(businesses.wake_at(&config.clock));
                continue;
            }
        };
        let Some(dirty) = dirty else { return };
        let tasks = businesses.plan(world, dirty, &config.clock, &config.metrics);
        let report = acts.carry_out(tasks).await;
        businesses.learn(&report);
        ticks.settle(|| report.written.iter().all(|written| world.shows(written))).await;
        ticks.wake_at(businesses.wake_at(&config.clock));
    }
}
