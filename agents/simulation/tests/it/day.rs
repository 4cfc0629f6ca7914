//! A day in the town: everything that runs, what goes wrong, and what is left at its end.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use dropmate_agent::{Backoff, call};
use dropmate_api::{Clock, Driver, clock::Now};
use dropmate_simulation::{
    drivers,
    invariants::Checker,
    town::{self, Size},
};
use jiff::{SignedDuration, Timestamp};
use kube::{
    Api, ResourceExt,
    api::{ListParams, Patch, PatchParams},
};
use rand::{RngExt, SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use serde_json::json;
use tokio::{task::JoinHandle, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{
    faults::{Faults, WRITE_FAULTS},
    replicas::{Exit, Replicas},
    witness::Witnesses,
};

/// How often somebody tries who has no faults in the way but replicas that come and go.
const TRIES: usize = 10;
/// How long a shift can be looked for that may be ended.
const SEND_HOME_WITHIN: SignedDuration = SignedDuration::from_hours(1);

pub(super) const DISPATCH: &str = "system:serviceaccount:dropmate-system:dispatch";
pub(super) const SIMULATION: &str = "system:serviceaccount:dropmate-system:simulation";

/// What a day is like.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) seed: u64,
    pub(super) orders: usize,
    pub(super) drivers: usize,
    /// Faults of the network, restarts, and drivers who stop working.
    pub(super) faults: bool,
    /// The share of visits at doors where nobody is home.
    pub(super) fail_share: f64,
    pub(super) stage: Stage,
}

/// Where the day takes place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// One control plane in memory and one dispatch agent, under paused time.
    Memory,
    /// So many control planes on PostgreSQL and two dispatch agents, in real time.
    Postgres { replicas: usize },
}

/// What happens to those who take part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    KillDispatch,
    RestartDispatch,
    RestartDrivers,
    SuspendOne,
    SendOneHome,
    CloseReplica,
    KillReplica,
    EndSessions,
}

impl Stage {
    /// Business seconds in a second of the runtime.
    fn speed(self) -> f64 {
        match self {
            Self::Memory => 60.0,
            // Forty-five orders in fifteen seconds, as long as a lost lease lasts.
            Self::Postgres { .. } => 450.0,
        }
    }

    /// By then (business time after the last order) all has settled, or something is stuck.
    fn settled_within(self) -> SignedDuration {
        match self {
            Self::Memory => SignedDuration::from_hours(4),
            // A hundred seconds and more: a busy machine and a lost lease are no reason to fail.
            Self::Postgres { .. } => SignedDuration::from_hours(13),
        }
    }

    fn dispatchers(self) -> usize {
        match self {
            Self::Memory => 1,
            Self::Postgres { .. } => 2,
        }
    }

    /// As [`WRITE_FAULTS`]; a single day must see each of them.
    fn write_faults(self) -> f64 {
        match self {
            Self::Memory => WRITE_FAULTS,
            Self::Postgres { .. } => 1.5 * WRITE_FAULTS,
        }
    }

    /// What happens, in whatever order: in memory for as long as customers order, in real time once.
    fn troubles(self, chance: &mut ChaCha8Rng) -> Vec<Trouble> {
        use Trouble as T;
        match self {
            Self::Memory => {
                let mut everywhere = [T::KillDispatch, T::RestartDrivers, T::SuspendOne, T::SendOneHome];
                everywhere.shuffle(chance);
                everywhere.to_vec()
            }
            Self::Postgres { .. } => {
                let more = [T::CloseReplica, T::KillReplica, T::EndSessions];
                // Only who is sent by a leader can be sent home; and a lost lease stands in nobody's way to the end.
                let first = [T::SendOneHome, T::KillDispatch];
                let mut then = [&[T::RestartDispatch, T::RestartDrivers, T::SuspendOne][..], &more, &more].concat();
                then.shuffle(chance);
                [&first[..], &then].concat()
            }
        }
    }
}

/// How it went.
pub(super) struct Outcome {
    pub(super) checker: Checker,
    /// Where witnesses saw something else than the log has.
    pub(super) differences: Vec<String>,
    pub(super) restarts: usize,
    pub(super) suspended: usize,
    pub(super) sent_off: usize,
    pub(super) faults: Arc<Faults>,
    pub(super) replicas: Arc<Replicas>,
}

/// System and business time of a runtime, also of one whose time is paused.
pub(super) fn clock(speed: f64) -> Clock {
    let start: Timestamp = "2026-05-01T10:00:00Z".parse().unwrap();
    let origin = Instant::now();
    let now: Now = Arc::new(move || start + SignedDuration::try_from(origin.elapsed()).unwrap());
    Clock::scaled(now, "2026-05-01T11:00:00Z".parse().unwrap(), speed)
}

/// Lives through the day on a runtime of its own.
pub(super) fn live(plan: &Plan) -> Outcome {
    let mut runtime = match plan.stage {
        Stage::Memory => tokio::runtime::Builder::new_current_thread(),
        Stage::Postgres { .. } => tokio::runtime::Builder::new_multi_thread(),
    };
    if plan.stage == Stage::Memory {
        runtime.start_paused(true);
    }
    runtime.worker_threads(2).enable_all().build().unwrap().block_on(live_through(plan))
}

async fn live_through(plan: &Plan) -> Outcome {
    let clock = clock(plan.stage.speed());
    let replicas = match plan.stage {
        Stage::Memory => Replicas::in_memory(clock.clone()).await,
        Stage::Postgres { replicas } => Replicas::on_postgres(clock.clone(), replicas, plan.seed).await,
    };
    let witnesses = Witnesses::start(&replicas, plan.seed);
    let faults = Faults::new(plan.seed, plan.stage.write_faults());
    if !plan.faults {
        faults.stop();
    }
    let operator = replicas.client("operator");
    let size = Size { drivers: plan.drivers, seconds_between_orders: 150.0, ..Size::default() };
    let town = town::generate(plan.seed, &size);
    town::build(&operator, &town).await.unwrap();
    let drivers: Api<Driver> = Api::namespaced(operator, &town.namespace);
    let mut day = Day::begin(&replicas, &faults, drivers, plan);
    let customers = tokio::spawn(town::run_orders(
        faults.client(&replicas, "operator"),
        clock.clone(),
        town,
        Some(plan.orders),
        CancellationToken::new(),
    ));
    if plan.faults {
        let mut chance = ChaCha8Rng::seed_from_u64(plan.seed ^ 0xBAD);
        loop {
            for trouble in plan.stage.troubles(&mut chance) {
                business(&clock, SignedDuration::from_secs(chance.random_range(120..600))).await;
                day.meet(trouble, &mut chance).await;
            }
            if customers.is_finished() || plan.stage != Stage::Memory {
                break;
            }
        }
    }
    let placed = customers.await.unwrap().unwrap();
    assert_eq!(placed, plan.orders);
    if plan.faults {
        faults.stop();
        day.resume_all().await;
    }
    let give_up_at = clock.business_now() + plan.stage.settled_within();
    let checker = loop {
        business(&clock, SignedDuration::from_mins(5)).await;
        let checker = witnesses.check();
        if checker.unsettled().is_empty() || clock.business_now() > give_up_at {
            break checker;
        }
    };
    let (restarts, suspended, sent_off) = (day.restarts, day.suspended, day.sent_off);
    day.end().await;
    let differences = match plan.stage {
        // What is in memory is the log.
        Stage::Memory => Vec::new(),
        Stage::Postgres { .. } => witnesses.differences(replicas.another().await.store()).await,
    };
    Outcome { checker, differences, restarts, suspended, sent_off, faults, replicas }
}

async fn business(clock: &Clock, time: SignedDuration) {
    tokio::time::sleep(clock.system_delay_until(clock.business_now() + time)).await;
}

/// An agent that runs.
struct Agent {
    running: JoinHandle<anyhow::Result<()>>,
    shutdown: CancellationToken,
}

impl Agent {
    fn start<R: Future<Output = anyhow::Result<()>> + Send + 'static>(
        run: impl FnOnce(CancellationToken) -> R,
    ) -> Self {
        let shutdown = CancellationToken::new();
        Self { running: tokio::spawn(run(shutdown.clone())), shutdown }
    }
}

impl Drop for Agent {
    /// In the middle of whatever it does.
    fn drop(&mut self) {
        self.running.abort();
    }
}

/// The agents that run, and what happened to them and to the drivers.
struct Day {
    replicas: Arc<Replicas>,
    faults: Arc<Faults>,
    drivers: Api<Driver>,
    plan: Plan,
    dispatchers: Vec<Agent>,
    phones: Agent,
    restarts: usize,
    suspended: usize,
    sent_off: usize,
}

impl Day {
    fn begin(replicas: &Arc<Replicas>, faults: &Arc<Faults>, drivers: Api<Driver>, plan: &Plan) -> Self {
        let dispatchers = 0..plan.stage.dispatchers();
        Self {
            dispatchers: dispatchers.map(|n| dispatcher(replicas, faults, &format!("dispatch-{n}"))).collect(),
            phones: phones(replicas, faults, plan),
            replicas: replicas.clone(),
            faults: faults.clone(),
            drivers,
            plan: plan.clone(),
            restarts: 0,
            suspended: 0,
            sent_off: 0,
        }
    }

    async fn meet(&mut self, trouble: Trouble, chance: &mut ChaCha8Rng) {
        match trouble {
            Trouble::KillDispatch => self.replace_dispatcher(chance),
            Trouble::RestartDispatch => {
                let agent = &mut self.dispatchers[0];
                agent.shutdown.cancel();
                // It gives its lease back if it leads.
                (&mut agent.running).await.unwrap().unwrap();
                self.replace_dispatcher_at(0);
            }
            Trouble::RestartDrivers => {
                self.restarts += 1;
                self.phones = phones(&self.replicas, &self.faults, &self.plan);
            }
            Trouble::SuspendOne => self.suspended += usize::from(suspend_one(&self.drivers, chance).await),
            Trouble::SendOneHome => {
                self.sent_off += usize::from(send_one_home(&self.drivers, self.replicas.clock()).await);
            }
            Trouble::CloseReplica => self.replicas.replace_one(Exit::Closes).await,
            Trouble::KillReplica => self.replicas.replace_one(Exit::Dies).await,
            Trouble::EndSessions => self.replicas.end_sessions().await,
        }
    }

    fn replace_dispatcher(&mut self, chance: &mut ChaCha8Rng) {
        let chosen = chance.random_range(0..self.dispatchers.len());
        self.replace_dispatcher_at(chosen);
    }

    fn replace_dispatcher_at(&mut self, chosen: usize) {
        self.restarts += 1;
        let identity = format!("dispatch-{}", self.dispatchers.len() + self.restarts);
        self.dispatchers[chosen] = dispatcher(&self.replicas, &self.faults, &identity);
    }

    async fn resume_all(&self) {
        for driver in list(&self.drivers).await {
            patch(&self.drivers, &driver.name_any(), &json!({"spec": {"suspended": false}})).await;
        }
    }

    /// From then on nothing is written.
    async fn end(mut self) {
        for agent in self.dispatchers.iter_mut().chain([&mut self.phones]) {
            agent.shutdown.cancel();
            (&mut agent.running).await.unwrap().unwrap();
        }
    }
}

fn dispatcher(replicas: &Arc<Replicas>, faults: &Arc<Faults>, identity: &str) -> Agent {
    let config = dropmate_dispatch::Config::new(replicas.clock().clone(), identity);
    let client = faults.client(replicas, DISPATCH);
    Agent::start(|shutdown| dropmate_dispatch::run(client, config, shutdown))
}

fn phones(replicas: &Arc<Replicas>, faults: &Arc<Faults>, plan: &Plan) -> Agent {
    let config = drivers::Config { seed: plan.seed, fail_share: plan.fail_share };
    let (client, clock) = (faults.client(replicas, SIMULATION), replicas.clock().clone());
    Agent::start(|shutdown| drivers::run(client, clock, config, shutdown))
}

/// Suspends a driver, or lets one work again who was suspended before. Whether one was suspended.
async fn suspend_one(drivers: &Api<Driver>, chance: &mut ChaCha8Rng) -> bool {
    let all = list(drivers).await;
    let chosen = &all[chance.random_range(0..all.len())];
    let suspended = !chosen.spec.suspended;
    patch(drivers, &chosen.name_any(), &json!({"spec": {"suspended": suspended}})).await;
    suspended
}

/// Ends the shift of a driver who is on the way to a pickup, as soon as one is; half of the drivers stay.
async fn send_one_home(drivers: &Api<Driver>, clock: &Clock) -> bool {
    let fetches = |driver: &&Driver| {
        let next = driver.status.as_ref().and_then(|status| status.route.first());
        driver.spec.shifts.is_empty() && next.is_some_and(|stop| stop.stop == dropmate_api::order::StopKind::Pickup)
    };
    let give_up_at = clock.business_now() + SEND_HOME_WITHIN;
    while clock.business_now() < give_up_at {
        let all = list(drivers).await;
        let home = all.iter().filter(|driver| !driver.spec.shifts.is_empty()).count();
        if home * 2 >= all.len() {
            return false;
        }
        if let Some(chosen) = all.iter().find(fetches) {
            let now = clock.business_now();
            let shift = json!({"start": now - SignedDuration::from_hours(4), "end": now});
            patch(drivers, &chosen.name_any(), &json!({"spec": {"shifts": [shift]}})).await;
            return true;
        }
        business(clock, SignedDuration::from_secs(30)).await;
    }
    false
}

async fn list(drivers: &Api<Driver>) -> Vec<Driver> {
    insist(async || drivers.list(&ListParams::default()).await).await.items
}

async fn patch(drivers: &Api<Driver>, name: &str, patch: &serde_json::Value) {
    insist(async || drivers.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await).await;
}

/// Asks until there is an answer: a replica may be going away.
async fn insist<T>(mut ask: impl AsyncFnMut() -> kube::Result<T>) -> T {
    let mut waits = Backoff::default().take(TRIES);
    loop {
        match call(ask()).await {
            Ok(answer) => return answer,
            Err(error) => {
                let wait: Option<Duration> = waits.next();
                tokio::time::sleep(wait.unwrap_or_else(|| panic!("{error:?}"))).await;
            }
        }
    }
}

impl Outcome {
    /// Every fault there is, with how often it happened.
    pub(super) fn faults(&self) -> Vec<(&'static str, usize)> {
        let (faults, replicas) = (&self.faults, &self.replicas);
        let mut happened = vec![
            ("conflicts", faults.conflicts.load(Relaxed)),
            ("errors", faults.errors.load(Relaxed)),
            ("unavailable", faults.unavailable.load(Relaxed)),
            ("lost answers", faults.lost_answers.load(Relaxed)),
            ("expired watches", faults.expired.load(Relaxed)),
            ("cut watches", faults.cut.load(Relaxed)),
            ("restarts", self.restarts),
            ("drivers suspended", self.suspended),
            ("drivers sent home", self.sent_off),
        ];
        if self.replicas.is_replicated() {
            happened.extend([
                ("replicas closed", replicas.closed.load(Relaxed)),
                ("replicas killed", replicas.killed.load(Relaxed)),
                ("sessions ended", replicas.sessions_ended.load(Relaxed)),
                ("moves to another replica", replicas.moves.load(Relaxed)),
            ]);
        }
        happened
    }
}
