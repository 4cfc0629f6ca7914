//! The agent: stands by until it leads, then pulls, looks and writes.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use dropmate_agent::{Election, Now, Recorder, Stage, Standing, Term, Ticks, call::with_deadline};
use dropmate_api::Clock;
use jiff::SignedDuration;
use kube::Client;
use tokio::{
    sync::{Notify, mpsc},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use crate::{
    AGENT, Metrics,
    fix::Fix,
    look::{Memory, Scene, Wanted},
    pull::{self, Positions, Pulled},
    store::Store,
    travel::TravelTimes,
    world::World,
    write::Writer,
};

/// Where the lease is.
const SYSTEM_NAMESPACE: &str = "dropmate-system";

/// The shortest time between two looks: the fixes of a second are looked at together.
const TICK: Duration = Duration::from_secs(1);

/// A business with orders under way is looked at this often even if nothing changes: estimates move with the clock.
const PULSE: Duration = Duration::from_secs(10);

/// After a write that failed.
const AGAIN: Duration = Duration::from_secs(2);

/// Pieces of positions that are kept but not looked at yet; then pulling waits.
const PIECES: usize = 4;

/// How often old rows are taken out.
const TIDY_EVERY: Duration = Duration::from_mins(10);

/// A driver is silent after so much system time at the earliest: on a fast business clock minutes are less than what a
/// network takes.
const SILENCE_AT_LEAST_SECONDS: f64 = 15.0;

/// How long events may still be written after the end.
const FLUSH_MAX: Duration = Duration::from_secs(3);

/// What the agent is given.
#[derive(Clone, Debug)]
pub struct Config {
    /// Judges by business time, stamps leases and events with system time.
    pub clock: Clock,
    /// Holder of the lease; a fresh uuid per process.
    pub identity: String,
    /// What it keeps.
    pub store: Store,
    /// How long ways take.
    pub travel_times: TravelTimes,
    /// The shortest (system) time between two looks.
    pub tick: Duration,
    /// What it counts.
    pub metrics: Metrics,
    /// The address of its admin port that the lease tells while it leads.
    pub address: Option<String>,
    /// Says how far it is.
    pub standing: Standing,
    /// To be notified when `clock` was set to another time.
    pub clock_moved: Arc<Notify>,
}

impl Config {
    /// The usual settings. `metrics` are those that `travel_times` counts with.
    pub fn new(
        clock: Clock,
        identity: impl Into<String>,
        store: Store,
        travel_times: TravelTimes,
        metrics: Metrics,
    ) -> Self {
        Self {
            clock,
            identity: identity.into(),
            store,
            travel_times,
            tick: TICK,
            metrics,
            address: None,
            standing: Standing::default(),
            clock_moved: Arc::default(),
        }
    }
}

/// Runs until shut down. On shutdown it finishes the writes under way and gives its lease back; the store is left open.
pub async fn run(client: Client, config: Config, shutdown: CancellationToken) -> anyhow::Result<()> {
    let clock = config.clock.clone();
    let now: Now = Arc::new(move || clock.system_now());
    let client = with_deadline(&client);
    let (recorder, events_written) =
        Recorder::start(client.clone(), "dropmate-tracking", &config.identity, now.clone());
    let world = World::watch(&client);
    let mut election = Election::new(client.clone(), SYSTEM_NAMESPACE, AGENT, &config.identity, now, shutdown)
        .advertise(config.address.clone());
    config.standing.set(Stage::StandsBy);
    while let Some(term) = election.win().await {
        let writer = Writer {
            client: client.clone(),
            clock: config.clock.clone(),
            store: config.store.clone(),
            recorder: recorder.clone(),
            metrics: config.metrics.clone(),
        };
        config.standing.set(Stage::Syncing);
        lead(&client, &world, &writer, &term, &config).await;
        config.standing.set(Stage::StandsBy);
        term.resign().await;
    }
    drop(recorder);
    // What is not told by then stays untold; it stands in the timelines.
    let _ = tokio::time::timeout(FLUSH_MAX, events_written).await;
    Ok(())
}

/// Looks and writes until the term ends.
async fn lead(client: &Client, world: &World, writer: &Writer, term: &Term, config: &Config) {
    if term.ended().run_until_cancelled(world.synced()).await.is_none() {
        return;
    }
    config.standing.set(Stage::Leads);
    let (pieces, mut pulled) = mpsc::channel(PIECES);
    let pulling = pull::run(
        Positions::new(client.clone()),
        config.store.clone(),
        pieces,
        config.metrics.clone(),
        term.ended().clone(),
    );
    let pulling = tokio::spawn(pulling);
    let tidying = tokio::spawn(tidy(config.store.clone(), config.clock.clone(), term.ended().clone()));
    let mut businesses = Businesses::new(world.namespaces());
    let mut ticks = Ticks::new(world.caches(), config.tick);
    loop {
        ticks.wake_at(businesses.wake_at());
        let dirty = tokio::select! {
            biased;
            () = config.clock_moved.notified() => {
                businesses.all_due();
                continue;
            }
            // Paced, so that the positions have their turn.
            dirty = ticks.next(term.ended()) => dirty,
            Some(piece) = pulled.recv() => {
                businesses.see(piece);
                continue;
            }
        };
        let Some(dirty) = dirty else { break };
        let due = businesses.take_due(dirty);
        for namespace in due {
            if term.ended().is_cancelled() {
                break;
            }
            let written = businesses.look(&namespace, world, writer, config).await;
            ticks.settle(|| written.iter().all(|written| world.shows(written))).await;
        }
    }
    let _ = pulling.await;
    let _ = tidying.await;
}

/// Takes out what is old, now and then.
async fn tidy(store: Store, clock: Clock, ended: CancellationToken) {
    loop {
        match ended.run_until_cancelled(store.tidy(clock.business_now(), clock.system_now())).await {
            None => return,
            Some(Ok(0)) => {}
            Some(Ok(gone)) => tracing::debug!(gone, "old positions and timelines were taken out"),
            Some(Err(error)) => tracing::warn!(error = %error, "old positions could not be taken out"),
        }
        if ended.run_until_cancelled(tokio::time::sleep(TIDY_EVERY)).await.is_none() {
            return;
        }
    }
}

/// The businesses under one term, each with its memory and when to look at it again.
struct Businesses {
    by_namespace: BTreeMap<String, Business>,
}

#[derive(Default)]
struct Business {
    memory: Memory,
    due: Option<Instant>,
}

impl Businesses {
    fn new(namespaces: BTreeSet<String>) -> Self {
        let mut businesses = Self { by_namespace: BTreeMap::new() };
        for namespace in namespaces {
            businesses.by_namespace.insert(namespace, Business::default());
        }
        businesses.all_due();
        businesses
    }

    fn all_due(&mut self) {
        let now = Instant::now();
        for business in self.by_namespace.values_mut() {
            business.due = Some(now);
        }
    }

    /// Takes in positions that are kept.
    fn see(&mut self, piece: Vec<Pulled>) {
        let mut by_driver: BTreeMap<(String, String), Vec<Fix>> = BTreeMap::new();
        for position in piece {
            let fix = position.fix();
            by_driver.entry((position.namespace, position.driver)).or_default().push(fix);
        }
        for ((namespace, driver), fixes) in by_driver {
            let business = self.by_namespace.entry(namespace).or_default();
            business.memory.see(&driver, fixes);
            business.due = Some(Instant::now());
        }
    }

    fn take_due(&mut self, dirty: BTreeSet<String>) -> Vec<String> {
        let now = Instant::now();
        for namespace in dirty {
            self.by_namespace.entry(namespace).or_default().due = Some(now);
        }
        let due = self.by_namespace.iter_mut().filter(|(_, business)| business.due.is_some_and(|at| at <= now));
        due.map(|(namespace, business)| {
            business.due = None;
            namespace.clone()
        })
        .collect()
    }

    fn wake_at(&self) -> Option<Instant> {
        self.by_namespace.values().filter_map(|business| business.due).min()
    }

    /// Looks at a business and writes what follows; returns what was changed.
    async fn look(
        &mut self,
        namespace: &str,
        world: &World,
        writer: &Writer,
        config: &Config,
    ) -> Vec<crate::world::Seen> {
        let business = self.by_namespace.entry(namespace.to_owned()).or_default();
        let started = Instant::now();
        let clock = &config.clock;
        let silence = SignedDuration::from_secs_f64(SILENCE_AT_LEAST_SECONDS * clock.speed().max(1.0));
        let scene = world.scene(namespace, silence);
        business.recall(namespace, &scene, &config.store).await;
        let itineraries = business.memory.itineraries(&scene, clock.business_now());
        let under_way = !itineraries.is_empty();
        let timed = config.travel_times.time(itineraries).await;
        let acts = business.memory.decide(&scene, &timed, clock.business_now());
        let outcome = writer.carry_out(namespace, &acts).await;
        for uid in &outcome.unsaid {
            business.memory.unsaid(uid);
        }
        if !outcome.failed {
            world.forget(namespace, &acts.done);
        }
        let now = Instant::now();
        let changes = acts.wake_at.map(|at| now + clock.system_delay_until(at) + Duration::from_millis(1));
        let pulse = under_way.then(|| now + PULSE);
        let again = outcome.failed.then(|| now + AGAIN);
        business.due = [business.due, changes, pulse, again].into_iter().flatten().min();
        config.metrics.look_seconds.observe(started.elapsed().as_secs_f64());
        outcome.written
    }
}

impl Business {
    /// Gives the memory what it lacks of the history.
    async fn recall(&mut self, namespace: &str, scene: &Scene, store: &Store) {
        for Wanted { driver, since, made } in self.memory.expect(scene) {
            let read = async {
                let fixes = store.fixes(namespace, &driver, since, made).await?;
                let newest = if fixes.is_empty() { store.newest(namespace, &driver, made).await? } else { None };
                Ok::<_, sqlx::Error>((fixes, newest))
            };
            match read.await {
                Ok((fixes, newest)) => {
                    self.memory.recall(&driver, fixes);
                    if let Some(newest) = newest {
                        self.memory.remember(&driver, newest);
                    }
                }
                // It is asked for again at the next look.
                Err(error) => tracing::warn!(namespace, error = %error, "the history could not be read"),
            }
        }
    }
}
