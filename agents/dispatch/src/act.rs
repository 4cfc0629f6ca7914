//! Carrying out what planning decided: in sequence for one driver or order, otherwise side by side, and the failure of
//! one stops no other.

use std::{
    collections::{BTreeMap, BTreeSet},
    error::Error,
    sync::{Arc, Mutex},
};

use dropmate_agent::{CallError, Recorder, events::Tone};
use dropmate_api::{DispatchPolicyStatus, Order, driver::RouteStop};
use dropmate_planning::{Command, Snapshot};
use futures::StreamExt;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::{Resource, ResourceExt};
use tokio_util::sync::CancellationToken;

use crate::{
    AGENT, Metrics,
    world::{Seen, World},
    write::{Writer, Written},
};

/// Writes under way at the same time: enough for the store to group them, few enough to leave the API to others.
const AT_ONCE: usize = 16;

/// Something to do about one object.
#[derive(Clone, Debug)]
pub(crate) struct Task {
    /// The object, as the decision saw it.
    pub(crate) about: Seen,
    pub(crate) deed: Deed,
}

#[derive(Clone, Debug)]
pub(crate) enum Deed {
    Order(Arc<Order>, Command),
    Route { active_orders: i32, route: Vec<RouteStop> },
    Policy(DispatchPolicyStatus),
}

/// What became of the tasks.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// Objects that were changed.
    pub(crate) written: Vec<Seen>,
    /// To be tried again.
    pub(crate) failed: Vec<Task>,
}

/// Carries tasks out under one term.
pub(crate) struct Acts {
    writer: Writer,
    recorder: Recorder,
    metrics: Metrics,
    ended: CancellationToken,
}

impl Task {
    /// A command about an object of the snapshot; `None` if it is not there.
    pub(crate) fn new(snapshot: &Snapshot, command: Command) -> Option<Self> {
        let name = match &command {
            Command::Schedule { order, .. }
            | Command::Release { order }
            | Command::Bind { order, .. }
            | Command::Unbind { order, .. }
            | Command::Expire { order }
            | Command::Decide { order, .. }
            | Command::Unassignable { order, .. }
            | Command::Assignable { order } => order,
            Command::Route { driver, active_orders, route } => {
                let at = snapshot.drivers.binary_search_by(|d| d.name_any().cmp(driver)).ok()?;
                let deed = Deed::Route { active_orders: *active_orders, route: route.clone() };
                return Some(Self { about: Seen::driver(&snapshot.drivers[at]), deed });
            }
        };
        let at = snapshot.orders.binary_search_by(|o| o.name_any().cmp(name)).ok()?;
        let order = snapshot.orders[at].clone();
        Some(Self { about: Seen::order(&order), deed: Deed::Order(order, command) })
    }

    /// What the status of a namespace's policies lacks. It tells which one is in force and when planning last took up
    /// a change of it; not every look, or each look would cause the next.
    pub(crate) fn from_policies(world: &World, namespace: &str, changed: bool, now: Timestamp) -> Vec<Self> {
        let mut tasks = Vec::new();
        if let Some(policy) = world.policy(namespace)
            && (changed || !policy.status.as_ref().is_some_and(|status| status.active))
        {
            let status = DispatchPolicyStatus { active: true, last_plan_at: Some(now) };
            tasks.push(Self { about: Seen::policy(&policy), deed: Deed::Policy(status) });
        }
        for policy in world.idle_policies(namespace) {
            if let Some(status) = policy.status.clone().filter(|status| status.active) {
                let deed = Deed::Policy(DispatchPolicyStatus { active: false, ..status });
                tasks.push(Self { about: Seen::policy(&policy), deed });
            }
        }
        tasks
    }

    /// Tells tasks of one namespace apart, and finds the same one again at the next look.
    pub(crate) fn key(&self) -> String {
        let name = &self.about.name;
        match &self.deed {
            Deed::Order(_, Command::Bind { driver, .. }) => format!("bind {name} {driver}"),
            Deed::Order(_, command) => format!("{} {name}", verb(command)),
            Deed::Route { .. } => format!("route {name}"),
            Deed::Policy(_) => format!("policy {name}"),
        }
    }
}

impl Acts {
    pub(crate) fn new(writer: Writer, recorder: Recorder, metrics: Metrics, ended: CancellationToken) -> Self {
        Self { writer, recorder, metrics, ended }
    }

    /// Carries out the tasks and waits for all of them. Once the term has ended none is begun.
    pub(crate) async fn carry_out(&self, tasks: Vec<Task>) -> Report {
        let report = Mutex::new(Report::default());
        futures::stream::iter(chains(tasks))
            .for_each_concurrent(AT_ONCE, |chain| self.carry_out_chain(chain, &report))
            .await;
        report.into_inner().expect("no chain panics while it adds to the report")
    }

    async fn carry_out_chain(&self, chain: Vec<Task>, report: &Mutex<Report>) {
        let mut moved = BTreeSet::new();
        let mut stuck = BTreeSet::new();
        for task in chain {
            let object = (task.about.kind, task.about.name.clone());
            if self.ended.is_cancelled() || stuck.contains(&object) {
                continue;
            }
            let written = self.writer.write(&task, moved.contains(&object)).await;
            self.count(&task, &written);
            let mut report = report.lock().expect("no chain panics while it adds to the report");
            match written {
                Ok(Written::Changed) => {
                    self.tell(&task);
                    report.written.push(task.about.clone());
                    moved.insert(object);
                }
                Ok(Written::Unchanged) => {}
                Err(error) => {
                    self.tell_failure(&task, &error);
                    if !matches!(error, CallError::Gone(_)) {
                        report.failed.push(task);
                    }
                    stuck.insert(object);
                }
            }
        }
    }

    fn count(&self, task: &Task, written: &Result<Written, CallError>) {
        self.metrics.agent.count(
            AGENT,
            match written {
                Ok(Written::Changed) => "written",
                Ok(Written::Unchanged) => "unchanged",
                Err(error) => error.label(),
            },
        );
        match written {
            Ok(Written::Changed) if matches!(task.deed, Deed::Order(_, Command::Bind { .. })) => {
                self.metrics.bound.inc();
            }
            Err(CallError::Fenced(_)) => {
                self.metrics.fenced.inc();
            }
            _ => {}
        }
    }

    fn tell(&self, task: &Task) {
        let Deed::Order(order, command) = &task.deed else { return };
        let about = reference(order);
        let name = &task.about.name;
        match command {
            Command::Bind { driver, reason, .. } => {
                tracing::info!(
                    namespace = task.about.namespace,
                    order.name = name,
                    driver.name = driver,
                    "order bound"
                );
                let message = format!("Bound to driver {driver}: {}", reason.summary);
                self.recorder.record(about, Tone::Normal, "Assigned", &message);
            }
            Command::Unbind { reason, .. } => {
                tracing::info!(namespace = task.about.namespace, order.name = name, "order unbound");
                self.recorder.record(about, Tone::Normal, "Unassigned", reason);
            }
            Command::Unassignable { message, .. } => {
                self.recorder.record(about, Tone::Warning, "Unassignable", message);
            }
            Command::Expire { .. } => {
                self.recorder.record(about, Tone::Warning, "Expired", "Not bound in time for its promise");
            }
            _ => {}
        }
    }

    fn tell_failure(&self, task: &Task, error: &CallError) {
        let Seen { namespace, name, .. } = &task.about;
        let error_chain = error as &dyn Error;
        match error {
            CallError::Fenced(_) => {
                tracing::warn!(
                    namespace,
                    object.name = name,
                    "a write was refused because another dispatch agent leads"
                );
                self.ended.cancel();
            }
            // Somebody was faster, or has deleted it: the next look will see.
            CallError::LookAgain(_) | CallError::Gone(_) => {
                tracing::debug!(namespace, object.name = name, error = error_chain, "the world has moved on");
            }
            CallError::Transient(_) | CallError::Timeout => {
                tracing::warn!(
                    namespace,
                    object.name = name,
                    error = error_chain,
                    "a write failed and will be tried again"
                );
            }
            CallError::Terminal(_) => {
                tracing::error!(namespace, object.name = name, error = error_chain, "a write was refused for good");
                if let Deed::Order(order, command) = &task.deed {
                    let message = format!("Dispatch could not {}: {}", verb(command), root(error_chain));
                    self.recorder.record(reference(order), Tone::Warning, "DispatchFailed", &message);
                }
            }
        }
    }
}

/// Tasks that must follow each other, in planning's order: those of one driver, with everything about the orders that
/// are to be bound to it; else those of one object.
fn chains(tasks: Vec<Task>) -> Vec<Vec<Task>> {
    let driver_of: BTreeMap<(String, String), String> = tasks
        .iter()
        .filter_map(|task| match &task.deed {
            Deed::Order(_, Command::Bind { driver, .. }) => {
                Some(((task.about.namespace.clone(), task.about.name.clone()), driver.clone()))
            }
            _ => None,
        })
        .collect();
    let mut chains: BTreeMap<(String, &'static str, String), Vec<Task>> = BTreeMap::new();
    for task in tasks {
        let Seen { namespace, name, .. } = &task.about;
        let key = match &task.deed {
            Deed::Order(..) => match driver_of.get(&(namespace.clone(), name.clone())) {
                Some(driver) => (namespace.clone(), "driver", driver.clone()),
                None => (namespace.clone(), "order", name.clone()),
            },
            Deed::Route { .. } => (namespace.clone(), "driver", name.clone()),
            Deed::Policy(_) => (namespace.clone(), "policy", name.clone()),
        };
        chains.entry(key).or_default().push(task);
    }
    chains.into_values().collect()
}

fn verb(command: &Command) -> &'static str {
    match command {
        Command::Schedule { .. } => "schedule",
        Command::Release { .. } => "release",
        Command::Bind { .. } => "bind",
        Command::Unbind { .. } => "unbind",
        Command::Expire { .. } => "expire",
        Command::Decide { .. } => "decide",
        Command::Unassignable { .. } => "mark unassignable",
        Command::Assignable { .. } => "mark assignable",
        Command::Route { .. } => "route",
    }
}

/// What an event about the order points at.
fn reference(order: &Order) -> ObjectReference {
    ObjectReference { resource_version: order.resource_version(), ..order.object_ref(&()) }
}

/// The first cause, which says most.
fn root(mut error: &dyn Error) -> &dyn Error {
    while let Some(source) = error.source() {
        error = source;
    }
    error
}
