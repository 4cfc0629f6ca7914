//! What was decided, written: entries into the store, parts of status by server-side apply under tracking's own name,
//! arrivals as reports, and events for people. The failure of one stops no other.

use std::{collections::BTreeMap, error::Error, sync::Mutex};

use dropmate_agent::{CallError, Recorder, call, events::Tone};
use dropmate_api::{
    Clock, Driver, Order,
    order::StopKind,
    subresource::{Report, ReportAnswer, ReportType},
};
use futures::StreamExt;
use jiff::SignedDuration;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{Patch, PatchParams, PostParams},
    core::NamespaceResourceScope,
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::{
    AGENT, Metrics,
    look::{Acts, Arrival},
    store::{Said, Store},
    timeline::Entry,
    world::Seen,
};

/// Writes under way at the same time: enough for the store to group them, few enough to leave the API to others.
const AT_ONCE: usize = 16;

/// What is older is no news: after a restart on an empty database it is not told again.
const NEWS: SignedDuration = SignedDuration::from_hours(1);

/// Writes what a look decides.
pub(crate) struct Writer {
    pub(crate) client: Client,
    pub(crate) clock: Clock,
    pub(crate) store: Store,
    pub(crate) recorder: Recorder,
    pub(crate) metrics: Metrics,
}

/// What became of it.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// Objects that were changed.
    pub(crate) written: Vec<Seen>,
    /// Orders (by uid) whose entries could not be kept.
    pub(crate) unsaid: Vec<String>,
    /// Something is to be tried again.
    pub(crate) failed: bool,
}

enum Task<'a> {
    Order(&'a Order, Value),
    Driver(&'a Driver, Value),
    Arrive(&'a Arrival),
}

impl Writer {
    pub(crate) async fn carry_out(&self, namespace: &str, acts: &Acts) -> Outcome {
        let mut outcome = Outcome::default();
        self.say(namespace, acts, &mut outcome).await;
        for sample in &acts.samples {
            self.metrics.judge(sample);
        }
        let orders = acts.orders.iter().map(|(order, part)| Task::Order(order, part.to_json()));
        let drivers = acts.drivers.iter().map(|(driver, part)| {
            let mut status = json!({"conditions": part.conditions});
            if let Some(position) = &part.position {
                status["position"] = json!(position);
            }
            Task::Driver(driver, status)
        });
        let arrivals = acts.arrivals.iter().map(Task::Arrive);
        let tasks: Vec<Task<'_>> = arrivals.chain(orders).chain(drivers).collect();
        let shared = Mutex::new(&mut outcome);
        futures::stream::iter(tasks)
            .for_each_concurrent(AT_ONCE, async |task| {
                let written = self.write(namespace, &task).await;
                self.metrics.agent.count(
                    AGENT,
                    match &written {
                        Ok(true) => "written",
                        Ok(false) => "unchanged",
                        Err(error) => error.label(),
                    },
                );
                let mut outcome = shared.lock().expect("nothing panics under this lock");
                match written {
                    Ok(true) => outcome.written.push(task.seen(namespace)),
                    Ok(false) | Err(CallError::Gone(_)) => {}
                    Err(error) => {
                        outcome.failed = true;
                        task.tell_failure(namespace, &error);
                    }
                }
            })
            .await;
        outcome
    }

    /// Keeps the entries, and tells as events those that are new.
    async fn say(&self, namespace: &str, acts: &Acts, outcome: &mut Outcome) {
        let mut said: BTreeMap<(String, String), (&Order, Said)> = BTreeMap::new();
        for (order, entries) in &acts.entries {
            let (uid, name) = (order.uid().unwrap_or_default(), order.name_any());
            for entry in entries {
                let one = Said {
                    uid: uid.clone(),
                    namespace: namespace.to_owned(),
                    name: name.clone(),
                    entry: entry.clone(),
                };
                said.insert((uid.clone(), entry.key.clone()), (&**order, one));
            }
        }
        if said.is_empty() {
            return;
        }
        let rows: Vec<Said> = said.values().map(|(_, said)| said.clone()).collect();
        match self.store.say(&rows, self.clock.system_now()).await {
            Ok(new) => {
                let mut new: Vec<&(&Order, Said)> = new.iter().filter_map(|key| said.get(key)).collect();
                new.sort_by_key(|(_, said)| said.entry.at);
                for (order, said) in new {
                    self.tell(order, &said.entry);
                }
            }
            Err(error) => {
                tracing::warn!(namespace, error = %error, "timelines could not be kept and will be tried again");
                outcome.failed = true;
                outcome.unsaid = acts.entries.iter().filter_map(|(order, _)| order.uid()).collect();
            }
        }
    }

    fn tell(&self, order: &Order, entry: &Entry) {
        if entry.what == "ArrivalProposed" {
            self.metrics.arrivals.inc();
        }
        if self.clock.business_now().duration_since(entry.at) > NEWS {
            return;
        }
        if let Some((tone, message)) = message(entry) {
            let about = ObjectReference { resource_version: order.resource_version(), ..order.object_ref(&()) };
            self.recorder.record(about, tone, entry.what, &message);
        }
    }

    /// Whether it changed something.
    async fn write(&self, namespace: &str, task: &Task<'_>) -> Result<bool, CallError> {
        match task {
            Task::Order(order, status) => self.apply::<Order>(namespace, *order, status).await,
            Task::Driver(driver, status) => self.apply::<Driver>(namespace, *driver, status).await,
            Task::Arrive(arrival) => self.arrive(namespace, arrival).await,
        }
    }

    /// Writes tracking's part of a status, of which it is the one writer.
    async fn apply<K>(&self, namespace: &str, object: &K, status: &Value) -> Result<bool, CallError>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + std::fmt::Debug,
    {
        let name = object.name_any();
        // Of another object of the same name nothing is known.
        let part = json!({
            "apiVersion": K::api_version(&()), "kind": K::kind(&()),
            "metadata": {"name": name, "uid": object.uid()}, "status": status,
        });
        let api: Api<K> = Api::namespaced(self.client.clone(), namespace);
        let params = PatchParams::apply(AGENT).force();
        let after = call(api.patch_status(&name, &params, &Patch::Apply(&part))).await?;
        Ok(after.resource_version() != object.resource_version())
    }

    async fn arrive(&self, namespace: &str, arrival: &Arrival) -> Result<bool, CallError> {
        let stop = if arrival.stop.kind == StopKind::Pickup { "pickup" } else { "dropoff" };
        let report = Report {
            // The same however often it is sent, and whoever leads.
            client_event_id: format!("tracking:arrive:{stop}:{}", arrival.stop.generation),
            type_: ReportType::Arrive,
            occurred_at: arrival.at,
            location: None,
            proof: None,
            reason: None,
            note: None,
            driver: Some(arrival.driver.clone()),
            deadline: None,
            release_at: None,
            decision: None,
            fence: None,
        };
        let orders: Api<Order> = Api::namespaced(self.client.clone(), namespace);
        let name = arrival.order.name_any();
        let _: ReportAnswer =
            call(orders.create_subresource("progress", &name, &PostParams::default(), &report)).await?;
        Ok(true)
    }
}

impl Task<'_> {
    fn seen(&self, namespace: &str) -> Seen {
        let (driver, name, version) = match self {
            Task::Order(order, _) => (false, order.name_any(), order.resource_version()),
            Task::Driver(driver, _) => (true, driver.name_any(), driver.resource_version()),
            Task::Arrive(arrival) => (false, arrival.order.name_any(), arrival.order.resource_version()),
        };
        Seen { driver, namespace: namespace.to_owned(), name, version }
    }

    fn tell_failure(&self, namespace: &str, error: &CallError) {
        let name = self.seen(namespace).name;
        let error_chain = error as &dyn Error;
        match error {
            CallError::Terminal(_) => {
                tracing::error!(namespace, object.name = name, error = error_chain, "a write was refused for good");
            }
            // Somebody was faster: the next look will see.
            CallError::LookAgain(_) | CallError::Fenced(_) | CallError::Gone(_) => {
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
        }
    }
}

/// An entry as a sentence, without names of people and places; `None` for what others tell.
fn message(entry: &Entry) -> Option<(Tone, String)> {
    let stop = entry.detail["stop"].as_str().unwrap_or("stop");
    let text = match entry.what {
        "Released" => "May be bound to a driver from now on".to_owned(),
        "Offered" => "Offered to a driver".to_owned(),
        "OfferAccepted" => "A driver accepted the offer".to_owned(),
        "OfferDeclined" => "A driver declined the offer".to_owned(),
        "OfferTimedOut" => "An offer was not answered in time".to_owned(),
        "PickupEnRoute" => "The driver set out for the pickup".to_owned(),
        "PickupArrived" => "The driver arrived at the pickup".to_owned(),
        "PickedUp" => "The driver has the goods".to_owned(),
        "DropoffEnRoute" => "The driver set out for the door".to_owned(),
        "DropoffArrived" => "The driver arrived at the door".to_owned(),
        "Delivered" => "The goods were handed over".to_owned(),
        "AttemptFailed" => format!("An attempt at the {stop} failed"),
        "RetryDecided" => "It will be tried again".to_owned(),
        "ReturnDecided" => "The goods go back".to_owned(),
        "FailureDecided" => "It is given up".to_owned(),
        "ReturnStarted" => "The driver brings the goods back".to_owned(),
        "Returned" => "The goods are back".to_owned(),
        "Cancelled" => "Called off".to_owned(),
        "Failed" => "Given up".to_owned(),
        "ArrivalProposed" => format!("By the positions, the driver has been at the {stop} since {}", entry.at),
        "StopLeft" => format!("By the positions, the driver left the {stop}"),
        "EtaChanged" => format!("Expected at the door at {}", entry.detail["eta"].as_str().unwrap_or("another time")),
        "Arriving" => "The driver will be at the door in a few minutes".to_owned(),
        "AtRisk" => "Expected later than, or just before, it was promised".to_owned(),
        "BackInTime" => "Expected in time again".to_owned(),
        "Late" => "Not delivered by the time it was promised".to_owned(),
        "NoLongerLate" => "No longer late".to_owned(),
        "TrackingStale" => "The driver has not been heard of for a while".to_owned(),
        "TrackingResumed" => "The driver has been heard of again".to_owned(),
        // Of bindings and expiry dispatch tells, with its reasons; that an order was placed is no news.
        _ => return None,
    };
    let bad = ["AttemptFailed", "Failed", "AtRisk", "Late", "TrackingStale", "OfferTimedOut"];
    Some((if bad.contains(&entry.what) { Tone::Warning } else { Tone::Normal }, text))
}
