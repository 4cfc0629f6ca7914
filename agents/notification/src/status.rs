//! What managers see on the objects themselves: whether the customer was told, how many messages a policy brought, and how
//! an endpoint does. The leader writes it, of what any process has sent.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use dropmate_agent::{CallError, Recorder, call, events::Tone};
use dropmate_api::{
    Clock, Order, Webhook,
    common::{Condition, ConditionStatus},
    notification::NotificationPolicy,
};
use futures::StreamExt;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{Patch, PatchParams},
};
use serde_json::json;
use tokio::{
    sync::Notify,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;

use crate::{
    AGENT, Metrics,
    plan::replayable,
    store::{Ended, Outcome, Store, Tried, timestamp},
    webhooks::{Observation, Observed, judge},
    world::World,
};

/// The condition that this agent writes on orders.
pub const CUSTOMER_NOTIFIED: &str = "CustomerNotified";

/// Messages told of at once.
const TOLD_AT_ONCE: u32 = 200;

/// Orders written at the same time.
const WRITES_AT_ONCE: usize = 8;

/// How long after a message ended it is told at the latest; whoever ends one wakes us sooner.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Between two writes of statuses: one condition tells of what has ended in between.
const PAUSE: Duration = Duration::from_millis(250);

/// How often the counts of policies are written: each is one write however many messages there were.
const COUNTS_EVERY: Duration = Duration::from_secs(10);

/// Tells what became of messages.
pub(crate) struct Teller {
    pub(crate) client: Client,
    pub(crate) clock: Clock,
    pub(crate) store: Store,
    pub(crate) recorder: Recorder,
    pub(crate) metrics: Metrics,
    pub(crate) ended: Arc<Notify>,
}

/// What is to be said on an order of whether its recipient was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notified {
    /// Whether they were.
    pub status: ConditionStatus,
    /// For programs: the event, or `Failed`.
    pub reason: String,
    /// For people. No address.
    pub message: String,
}

/// Whether the recipient was told of the last event that they were to hear of. `None`: nothing is known yet, or nobody was
/// to be told. `outcomes` is newest first.
pub fn notified(outcomes: &[Outcome]) -> Option<Notified> {
    let mut by_event: BTreeMap<(i64, &str), Vec<&Outcome>> = BTreeMap::new();
    for outcome in outcomes {
        by_event.entry((outcome.revision, outcome.event_id.as_str())).or_default().push(outcome);
    }
    by_event.into_values().rev().find_map(|mut of_event| {
        of_event.sort_by(|one, other| one.channel.cmp(&other.channel));
        let event = of_event[0].event.clone();
        let sent: Vec<&str> =
            of_event.iter().filter(|one| one.state == "sent").map(|one| one.channel.as_str()).collect();
        if !sent.is_empty() {
            let message = format!("{event} by {}", sent.join(" and "));
            return Some(Notified { status: ConditionStatus::True, reason: camel_case(&event), message });
        }
        if of_event.iter().any(|one| matches!(one.state.as_str(), "planned" | "sending")) {
            return None;
        }
        let failed = |one: &&&Outcome| one.state == "dead" || one.reason == "expired";
        let failed: Vec<String> =
            of_event.iter().filter(failed).map(|one| format!("by {}: {}", one.channel, one.reason)).collect();
        (!failed.is_empty()).then(|| Notified {
            status: ConditionStatus::False,
            reason: "Failed".to_owned(),
            // Of each event anew: `notification.failed` follows from the change.
            message: format!("{event} {} ({})", failed.join(", "), of_event[0].event_id),
        })
    })
}

/// `OrderOutForDelivery` of `order.out_for_delivery`.
fn camel_case(event: &str) -> String {
    event
        .split(['.', '_'])
        .flat_map(|word| {
            let mut letters = word.chars();
            letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect::<Vec<_>>()
        })
        .collect()
}

impl Teller {
    /// Tells until the term ends.
    pub(crate) async fn run(&self, world: &World, ended: &CancellationToken) {
        let mut counts_at = Instant::now();
        loop {
            let look = async {
                let messages = self.messages().await?;
                let endpoints = self.endpoints().await?;
                if Instant::now() >= counts_at {
                    counts_at = Instant::now() + COUNTS_EVERY;
                    self.policies(world).await?;
                    self.idle_endpoints(world).await;
                    self.backlog().await?;
                }
                Ok::<_, sqlx::Error>(messages || endpoints)
            };
            let more = match ended.run_until_cancelled(look).await {
                None => return,
                Some(Ok(more)) => more,
                Some(Err(error)) => {
                    tracing::warn!(error = %error, "what became of messages could not be told; trying again");
                    false
                }
            };
            let next = async {
                sleep(PAUSE).await;
                if !more {
                    tokio::select! {
                        () = self.ended.notified() => {}
                        () = sleep(LOOK_EVERY) => {}
                    }
                }
            };
            if ended.run_until_cancelled(next).await.is_none() {
                return;
            }
        }
    }

    /// Conditions and events of what has ended; whether there is more.
    async fn messages(&self) -> Result<bool, sqlx::Error> {
        let untold = self.store.untold(TOLD_AT_ONCE).await?;
        let more = untold.len() == TOLD_AT_ONCE as usize;
        let mut by_order: BTreeMap<(String, String, String), Vec<Ended>> = BTreeMap::new();
        let mut told = Vec::new();
        for ended in untold {
            if ended.order_name.is_empty() || ended.channel == "webhook" {
                told.push(ended);
            } else {
                let key = (ended.namespace.clone(), ended.order_name.clone(), ended.order_uid.clone());
                by_order.entry(key).or_default().push(ended);
            }
        }
        let written: Vec<Option<Vec<Ended>>> = futures::stream::iter(by_order)
            .map(|((namespace, name, uid), ended)| async move {
                let written = self.order(&namespace, &name, &uid, &ended).await;
                let label = match &written {
                    Ok(true) => "written",
                    Ok(false) => "unchanged",
                    Err(error) => error.label(),
                };
                self.metrics.agent.count(AGENT, label);
                match written {
                    Ok(_) | Err(CallError::Gone(_) | CallError::Terminal(_)) => Some(ended),
                    Err(error) => {
                        tracing::debug!(
                            namespace,
                            object.name = name,
                            error = &error as &dyn std::error::Error,
                            "whether the customer was told could not be written and will be tried again"
                        );
                        None
                    }
                }
            })
            .buffer_unordered(WRITES_AT_ONCE)
            .collect()
            .await;
        let all = written.iter().all(Option::is_some);
        told.extend(written.into_iter().flatten().flatten());
        self.store.told(&told).await?;
        Ok(more && all)
    }

    /// Whether something was written on the order.
    async fn order(&self, namespace: &str, name: &str, uid: &str, ended: &[Ended]) -> Result<bool, CallError> {
        let orders: Api<Order> = Api::namespaced(self.client.clone(), namespace);
        let order = call(orders.get(name)).await?;
        if order.uid().as_deref() != Some(uid) {
            return Ok(false);
        }
        let mut version = order.resource_version();
        let outcomes = match self.store.outcomes(namespace, name, uid).await {
            Ok(outcomes) => outcomes,
            Err(error) => {
                tracing::warn!(error = %error, "what became of messages could not be read");
                return Err(CallError::Timeout);
            }
        };
        let mut changed = false;
        if let Some(Notified { status, reason, message }) = notified(&outcomes) {
            let held = order.status.as_ref().and_then(|status| {
                status.conditions.iter().find(|condition| condition.type_ == CUSTOMER_NOTIFIED).cloned()
            });
            let since = held.as_ref().filter(|held| held.status == status).map(|held| held.last_transition_time);
            let condition = Condition {
                type_: CUSTOMER_NOTIFIED.to_owned(),
                status,
                reason,
                message,
                last_transition_time: since.unwrap_or_else(|| self.clock.business_now()),
                // It is about an event, whatever is wanted of the order by now.
                observed_generation: None,
            };
            if held.as_ref() != Some(&condition) {
                let part = json!({
                    "apiVersion": Order::api_version(&()), "kind": Order::kind(&()),
                    "metadata": {"name": name, "uid": uid}, "status": {"conditions": [condition]},
                });
                let params = PatchParams::apply(AGENT).force();
                let after = call(orders.patch_status(name, &params, &Patch::Apply(&part))).await?;
                version = after.resource_version();
                changed = true;
            }
        }
        let about = ObjectReference { resource_version: version, ..order.object_ref(&()) };
        for (tone, reason, sentence) in sentences(ended) {
            self.recorder.record(about.clone(), tone, reason, &sentence);
        }
        Ok(changed)
    }

    /// Statuses of the endpoints at which attempts have ended; whether there are more.
    async fn endpoints(&self) -> Result<bool, sqlx::Error> {
        let untold = self.store.untold_attempts(TOLD_AT_ONCE).await?;
        let more = untold.len() == TOLD_AT_ONCE as usize;
        let mut by_endpoint: BTreeMap<(String, String, String), Vec<Tried>> = BTreeMap::new();
        for tried in untold {
            let key = (tried.namespace.clone(), tried.recipient.clone(), tried.queue.clone());
            by_endpoint.entry(key).or_default().push(tried);
        }
        let mut told = Vec::new();
        for ((namespace, name, queue), tried) in by_endpoint {
            match self.endpoint(&namespace, &name, &queue, &tried).await {
                Ok(()) | Err(CallError::Gone(_) | CallError::Terminal(_)) => told.extend(tried),
                Err(error) => tracing::debug!(
                    namespace,
                    object.name = name,
                    error = &error as &dyn std::error::Error,
                    "the status of a webhook could not be written and will be tried again"
                ),
            }
        }
        let all = !told.is_empty();
        self.store.told_attempts(&told).await?;
        Ok(more && all)
    }

    async fn endpoint(&self, namespace: &str, name: &str, queue: &str, tried: &[Tried]) -> Result<(), CallError> {
        let webhooks: Api<Webhook> = Api::namespaced(self.client.clone(), namespace);
        let webhook = call(webhooks.get(name)).await?;
        if replayable(&webhook) != queue {
            // Another of that name.
            return Ok(());
        }
        let seen: Vec<Observation> = tried
            .iter()
            .map(|one| Observation {
                at: timestamp(one.finished_at),
                observed: match one.outcome.as_str() {
                    "sent" => Observed::Taken,
                    "gone" => Observed::Gone,
                    _ => Observed::Failed,
                },
            })
            .collect();
        self.judge(&webhook, &seen).await
    }

    /// Endpoints change with time, too: five days end, a spec is changed.
    async fn idle_endpoints(&self, world: &World) {
        for webhook in world.webhooks() {
            if let Err(error) = self.judge(&webhook, &[]).await {
                tracing::debug!(
                    object.name = webhook.name_any(),
                    error = &error as &dyn std::error::Error,
                    "the status of a webhook could not be written and will be tried again"
                );
            }
        }
    }

    async fn judge(&self, webhook: &Webhook, seen: &[Observation]) -> Result<(), CallError> {
        let before = webhook.status.clone().unwrap_or_default();
        let after = judge(&before, webhook.metadata.generation, seen, self.clock.system_now());
        if after == before {
            return Ok(());
        }
        let (namespace, name) = (webhook.namespace().unwrap_or_default(), webhook.name_any());
        let part = json!({
            "apiVersion": Webhook::api_version(&()), "kind": Webhook::kind(&()),
            // Somebody may have enabled it meanwhile: then it is looked at anew.
            "metadata": {"name": name, "uid": webhook.uid(), "resourceVersion": webhook.resource_version()},
            "status": after,
        });
        let webhooks: Api<Webhook> = Api::namespaced(self.client.clone(), &namespace);
        let written =
            call(webhooks.patch_status(&name, &PatchParams::apply(AGENT).force(), &Patch::Apply(&part))).await?;
        if let Some(why) = after.disabled_reason.filter(|_| before.disabled_at.is_none()) {
            let about = ObjectReference { resource_version: written.resource_version(), ..written.object_ref(&()) };
            self.recorder.record(about, Tone::Warning, "Disabled", &format!("Nothing is sent any more: {why}"));
        }
        Ok(())
    }

    /// The counts of policies.
    async fn policies(&self, world: &World) -> Result<(), sqlx::Error> {
        for ((namespace, name), counts) in self.store.tallies().await? {
            let Some(policy) = world.policy(&namespace, &name) else { continue };
            let shown = policy.status.clone().unwrap_or_default();
            let generation = policy.metadata.generation;
            if (shown.sent, shown.failed, shown.observed_generation) == (counts.sent, counts.failed, generation) {
                continue;
            }
            let part = json!({
                "apiVersion": NotificationPolicy::api_version(&()), "kind": NotificationPolicy::kind(&()),
                "metadata": {"name": name, "uid": policy.uid()},
                "status": {"sent": counts.sent, "failed": counts.failed, "observedGeneration": generation},
            });
            let policies: Api<NotificationPolicy> = Api::namespaced(self.client.clone(), &namespace);
            let params = PatchParams::apply(AGENT).force();
            if let Err(error) = call(policies.patch_status(&name, &params, &Patch::Apply(&part))).await {
                tracing::debug!(
                    namespace,
                    object.name = name,
                    error = &error as &dyn std::error::Error,
                    "the counts of a policy could not be written and will be tried again"
                );
            }
        }
        Ok(())
    }

    async fn backlog(&self) -> Result<(), sqlx::Error> {
        let (waiting, due) = self.store.backlog().await?;
        self.metrics.backlog.set(waiting);
        let late = due.map_or(0, |due| self.clock.system_now().duration_since(due).as_secs().max(0));
        self.metrics.overdue_seconds.set(late);
        Ok(())
    }
}

/// What is said of messages that have ended, without addresses.
fn sentences(ended: &[Ended]) -> Vec<(Tone, &'static str, String)> {
    let mut sentences = Vec::new();
    let (mut sent, mut failed) = (Vec::new(), Vec::new());
    for one in ended {
        match one.state.as_str() {
            "sent" => sent.push(format!("{} told to the {} by {}", one.event, one.audience, one.channel)),
            "dead" => failed.push(format!(
                "{} could not be told to the {} by {}: {}",
                one.event, one.audience, one.channel, one.reason
            )),
            _ => {}
        }
    }
    if !sent.is_empty() {
        sentences.push((Tone::Normal, "Notified", sent.join("; ")));
    }
    if !failed.is_empty() {
        sentences.push((Tone::Warning, "NotNotified", failed.join("; ")));
    }
    sentences
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(revision: i64, event: &str, channel: &str, state: &str, reason: &str) -> Outcome {
        Outcome {
            revision,
            event_id: format!("evt_e_{revision}_0"),
            event: event.to_owned(),
            channel: channel.to_owned(),
            state: state.to_owned(),
            reason: reason.to_owned(),
        }
    }

    #[test]
    fn the_last_event_counts_and_one_channel_is_enough() {
        let told = notified(&[
            outcome(9, "order.out_for_delivery", "email", "sent", ""),
            outcome(9, "order.out_for_delivery", "sms", "dead", "refused"),
            outcome(4, "order.assigned", "email", "dead", "refused"),
        ])
        .unwrap();
        assert_eq!(told.status, ConditionStatus::True);
        assert_eq!(
            (told.reason.as_str(), told.message.as_str()),
            ("OrderOutForDelivery", "order.out_for_delivery by email")
        );
    }

    #[test]
    fn nobody_says_that_it_failed_while_it_is_tried() {
        let open = [
            outcome(9, "order.delivered", "email", "planned", ""),
            outcome(9, "order.delivered", "sms", "dead", "refused"),
        ];
        assert_eq!(notified(&open), None);
        let failed = notified(&[open[1].clone(), outcome(9, "order.delivered", "email", "dead", "exhausted")]).unwrap();
        assert_eq!((failed.status, failed.reason.as_str()), (ConditionStatus::False, "Failed"));
        assert_eq!(failed.message, "order.delivered by email: exhausted, by sms: refused (evt_e_9_0)");
    }

    #[test]
    fn what_nobody_was_to_hear_changes_nothing() {
        assert_eq!(notified(&[]), None);
        assert_eq!(notified(&[outcome(9, "order.arriving", "sms", "suppressed", "stale")]), None);
        let before = [
            outcome(9, "order.arriving", "sms", "suppressed", "stale"),
            outcome(4, "order.assigned", "sms", "sent", ""),
        ];
        assert_eq!(notified(&before).unwrap().reason, "OrderAssigned");
    }
}
