//! A day in the town: everything that runs, what goes wrong, and what is left at its end.

use std::sync::{Arc, atomic::Ordering::Relaxed};

use dropmate_api::{Clock, Driver, clock::Now};
use dropmate_control_plane::ControlPlane;
use dropmate_simulation::{
    drivers,
    invariants::Checker,
    town::{self, Size},
};
use jiff::{SignedDuration, Timestamp};
use kube::{
    Api, Client, ResourceExt,
    api::{ListParams, Patch, PatchParams},
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::json;
use tokio::{task::JoinHandle, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{faults::Faults, witness::Witness};

/// Business seconds in a second of the runtime.
const SPEED: f64 = 60.0;
/// By then (business time after the last order) all has settled, or something is stuck.
const SETTLED_WITHIN: SignedDuration = SignedDuration::from_hours(4);

pub(super) const DISPATCH: &str = "system:serviceaccount:dropmate-system:dispatch";
const SIMULATION: &str = "system:serviceaccount:dropmate-system:simulation";

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
}

/// How it went.
pub(super) struct Outcome {
    pub(super) checker: Checker,
    pub(super) restarts: usize,
    pub(super) suspended: usize,
    pub(super) sent_off: usize,
    pub(super) faults: Arc<Faults>,
}

/// System and business time of a runtime whose time is paused.
pub(super) fn clock() -> Clock {
    let start: Timestamp = "2026-05-01T10:00:00Z".parse().unwrap();
    let origin = Instant::now();
    let now: Now = Arc::new(move || start + SignedDuration::try_from(origin.elapsed()).unwrap());
    Clock::scaled(now, "2026-05-01T11:00:00Z".parse().unwrap(), SPEED)
}

/// Lives through the day on a runtime of its own.
pub(super) fn live(plan: &Plan) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    runtime.block_on(live_paused(plan))
}

async fn live_paused(plan: &Plan) -> Outcome {
    let clock = clock();
    let control = ControlPlane::in_memory(clock.clone()).await;
    let witness = Witness::start(&control);
    let faults = Faults::new(plan.seed);
    if !plan.faults {
        faults.stop();
    }
    let operator = Client::new(control.in_process("operator"), "default");
    let mut running = Running::new(&control, &faults, plan);
    let size = Size { drivers: plan.drivers, seconds_between_orders: 150.0, ..Size::default() };
    let town = town::generate(plan.seed, &size);
    town::build(&operator, &town).await.unwrap();
    let namespace = town.namespace.clone();
    let customers = tokio::spawn(town::run_orders(
        operator.clone(),
        clock.clone(),
        town,
        Some(plan.orders),
        CancellationToken::new(),
    ));
    let mut outcome =
        Outcome { checker: Checker::default(), restarts: 0, suspended: 0, sent_off: 0, faults: faults.clone() };
    if plan.faults {
        let mut chance = ChaCha8Rng::seed_from_u64(plan.seed ^ 0xBAD);
        let drivers: Api<Driver> = Api::namespaced(operator.clone(), &namespace);
        while !customers.is_finished() {
            business(&clock, SignedDuration::from_secs(chance.random_range(120..600))).await;
            match chance.random_range(0..4) {
                0 => running.restart_dispatch(),
                1 => running.restart_drivers(),
                2 => outcome.suspended += usize::from(suspend_one(&drivers, &mut chance).await),
                _ => outcome.sent_off += usize::from(send_one_home(&drivers, &clock).await),
            }
        }
        outcome.restarts = running.restarts;
        faults.stop();
        resume_all(&drivers).await;
    }
    let placed = customers.await.unwrap().unwrap();
    assert_eq!(placed, plan.orders);
    let give_up_at = clock.business_now() + SETTLED_WITHIN;
    outcome.checker = loop {
        business(&clock, SignedDuration::from_mins(5)).await;
        let checker = witness.check();
        if checker.unsettled().is_empty() || clock.business_now() > give_up_at {
            break checker;
        }
    };
    outcome
}

async fn business(clock: &Clock, time: SignedDuration) {
    tokio::time::sleep(clock.system_delay_until(clock.business_now() + time)).await;
}

/// The agents that run, and how to stop them in the middle of whatever they do.
struct Running {
    control: ControlPlane,
    faults: Arc<Faults>,
    plan: Plan,
    dispatch: JoinHandle<anyhow::Result<()>>,
    drivers: JoinHandle<anyhow::Result<()>>,
    restarts: usize,
}

impl Running {
    fn new(control: &ControlPlane, faults: &Arc<Faults>, plan: &Plan) -> Self {
        Self {
            control: control.clone(),
            faults: faults.clone(),
            plan: plan.clone(),
            dispatch: start_dispatch(control, faults, "dispatch-0"),
            drivers: start_drivers(control, faults, plan),
            restarts: 0,
        }
    }

    fn restart_dispatch(&mut self) {
        self.dispatch.abort();
        self.restarts += 1;
        self.dispatch = start_dispatch(&self.control, &self.faults, &format!("dispatch-{}", self.restarts));
    }

    fn restart_drivers(&mut self) {
        self.drivers.abort();
        self.restarts += 1;
        self.drivers = start_drivers(&self.control, &self.faults, &self.plan);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.dispatch.abort();
        self.drivers.abort();
    }
}

fn start_dispatch(control: &ControlPlane, faults: &Arc<Faults>, identity: &str) -> JoinHandle<anyhow::Result<()>> {
    let config = dropmate_dispatch::Config::new(control.clock().clone(), identity);
    tokio::spawn(dropmate_dispatch::run(faults.client(control, DISPATCH), config, CancellationToken::new()))
}

fn start_drivers(control: &ControlPlane, faults: &Arc<Faults>, plan: &Plan) -> JoinHandle<anyhow::Result<()>> {
    let config = drivers::Config { seed: plan.seed, fail_share: plan.fail_share };
    let client = faults.client(control, SIMULATION);
    tokio::spawn(drivers::run(client, control.clock().clone(), config, CancellationToken::new()))
}

/// Suspends a driver, or lets one work again who was suspended before. Whether one was suspended.
async fn suspend_one(drivers: &Api<Driver>, chance: &mut ChaCha8Rng) -> bool {
    let all = drivers.list(&ListParams::default()).await.unwrap().items;
    let chosen = &all[chance.random_range(0..all.len())];
    let suspended = !chosen.spec.suspended;
    patch(drivers, &chosen.name_any(), &json!({"spec": {"suspended": suspended}})).await;
    suspended
}

/// Ends the shift of a driver who is on the way to a pickup; half of the drivers stay.
async fn send_one_home(drivers: &Api<Driver>, clock: &Clock) -> bool {
    let all = drivers.list(&ListParams::default()).await.unwrap().items;
    let home = all.iter().filter(|driver| !driver.spec.shifts.is_empty()).count();
    let fetches = |driver: &&Driver| {
        let next = driver.status.as_ref().and_then(|status| status.route.first());
        driver.spec.shifts.is_empty() && next.is_some_and(|stop| stop.stop == dropmate_api::order::StopKind::Pickup)
    };
    let Some(chosen) = all.iter().find(fetches).filter(|_| home * 2 < all.len()) else { return false };
    let now = clock.business_now();
    let shift = json!({"start": now - SignedDuration::from_hours(4), "end": now});
    patch(drivers, &chosen.name_any(), &json!({"spec": {"shifts": [shift]}})).await;
    true
}

async fn resume_all(drivers: &Api<Driver>) {
    for driver in drivers.list(&ListParams::default()).await.unwrap().items {
        patch(drivers, &driver.name_any(), &json!({"spec": {"suspended": false}})).await;
    }
}

async fn patch(drivers: &Api<Driver>, name: &str, patch: &serde_json::Value) {
    drivers.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
}

impl Outcome {
    /// Every fault there is, with how often it happened.
    pub(super) fn faults(&self) -> [(&'static str, usize); 9] {
        let faults = &self.faults;
        [
            ("conflicts", faults.conflicts.load(Relaxed)),
            ("errors", faults.errors.load(Relaxed)),
            ("unavailable", faults.unavailable.load(Relaxed)),
            ("lost answers", faults.lost_answers.load(Relaxed)),
            ("expired watches", faults.expired.load(Relaxed)),
            ("cut watches", faults.cut.load(Relaxed)),
            ("restarts", self.restarts),
            ("drivers suspended", self.suspended),
            ("drivers sent home", self.sent_off),
        ]
    }
}
