//! The businesses (namespaces) under one term: each with its planner's memory, when to look at it again, and which
//! commands have failed lately.

use std::collections::{BTreeMap, BTreeSet};

use dropmate_agent::Backoff;
use dropmate_api::{Clock, DispatchPolicySpec};
use dropmate_planning::{Memory, step};
use jiff::Timestamp;
use tokio::{
    runtime::{Handle, RuntimeFlavor},
    time::Instant,
};

use crate::{
    Metrics,
    act::{Report, Task},
    world::World,
};

pub(crate) struct Businesses {
    by_namespace: BTreeMap<String, Business>,
}

#[derive(Default)]
struct Business {
    memory: Memory,
    /// Whether something has changed since the last look.
    dirty: bool,
    /// Business time at which something becomes due.
    wake_at: Option<Timestamp>,
    /// The policy of the last look under this term.
    policy: Option<DispatchPolicySpec>,
    /// Commands that have failed, until planning no longer wants them.
    held_back: BTreeMap<String, HeldBack>,
}

/// A command that has failed. It is tried again when its object has changed, or after a while.
struct HeldBack {
    version: String,
    backoff: Backoff,
    until: Option<Instant>,
}

impl Businesses {
    /// All of them are looked at first.
    pub(crate) fn new(namespaces: BTreeSet<String>) -> Self {
        let by_namespace =
            namespaces.into_iter().map(|ns| (ns, Business { dirty: true, ..Business::default() })).collect();
        Self { by_namespace }
    }

    /// Looks at every business that has changed or where something is due, and says what to do.
    pub(crate) fn plan(
        &mut self,
        world: &World,
        dirty: BTreeSet<String>,
        clock: &Clock,
        metrics: &Metrics,
    ) -> Vec<Task> {
        for namespace in dirty {
            self.by_namespace.entry(namespace).or_default().dirty = true;
        }
        let mut tasks = Vec::new();
        for (namespace, business) in &mut self.by_namespace {
            if business.is_due(clock.business_now()) {
                tasks.extend(business.look(world, namespace, clock.business_now(), metrics));
            }
        }
        tasks
    }

    /// Holds back what has failed.
    pub(crate) fn learn(&mut self, report: &Report) {
        for failed in &report.failed {
            let Some(business) = self.by_namespace.get_mut(&failed.about.namespace) else { continue };
            let version = &failed.about.version;
            let held = business.held_back.entry(failed.key()).or_insert_with(|| HeldBack::new(version));
            if held.version != *version {
                *held = HeldBack::new(version);
            }
            held.until = Some(Instant::now() + held.backoff.after_failure());
        }
    }

    /// When to look again even if nothing changes.
    pub(crate) fn wake_at(&self, clock: &Clock) -> Option<Instant> {
        let due = |at| Instant::now() + clock.system_delay_until(at);
        let businesses = self.by_namespace.values();
        businesses.flat_map(|b| b.wake_at.map(due).into_iter().chain(b.retry_at())).min()
    }
}

impl Business {
    fn is_due(&self, now: Timestamp) -> bool {
        self.dirty || self.wake_at.is_some_and(|at| at <= now) || self.retry_at().is_some_and(|at| at <= Instant::now())
    }

    fn retry_at(&self) -> Option<Instant> {
        self.held_back.values().filter_map(|held| held.until).min()
    }

    fn look(&mut self, world: &World, namespace: &str, now: Timestamp, metrics: &Metrics) -> Vec<Task> {
        self.dirty = false;
        let snapshot = world.snapshot(namespace);
        let started = Instant::now();
        let plan = without_blocking_others(|| step(&mut self.memory, &snapshot, now));
        metrics.plan_seconds.observe(started.elapsed().as_secs_f64());
        self.wake_at = plan.wake_at;

        let replaced = self.policy.replace(snapshot.policy.clone());
        let policy_changed = replaced.is_some_and(|before| before != snapshot.policy);
        let mut tasks = Task::from_policies(world, namespace, policy_changed, now);
        tasks.extend(plan.commands.into_iter().filter_map(|command| Task::new(&snapshot, command)));
        self.without_held_back(tasks)
    }

    /// Takes out the tasks that failed lately on the same state, and forgets what is no longer wanted.
    fn without_held_back(&mut self, mut tasks: Vec<Task>) -> Vec<Task> {
        let wanted: BTreeSet<String> = tasks.iter().map(Task::key).collect();
        self.held_back.retain(|key, _| wanted.contains(key));
        tasks.retain(|task| match self.held_back.get_mut(&task.key()) {
            Some(held) if held.version == task.about.version && held.until > Some(Instant::now()) => false,
            Some(held) => {
                held.until = None;
                true
            }
            None => true,
        });
        tasks
    }
}

impl HeldBack {
    fn new(version: &str) -> Self {
        Self { version: version.to_owned(), backoff: Backoff::default(), until: None }
    }
}

/// Planning may compute for seconds. Where there are other worker threads they take over our queue meanwhile, so that
/// leases are renewed and, in one process, requests answered.
fn without_blocking_others<T>(compute: impl FnOnce() -> T) -> T {
    match Handle::current().runtime_flavor() {
        RuntimeFlavor::MultiThread => tokio::task::block_in_place(compute),
        _ => compute(),
    }
}
