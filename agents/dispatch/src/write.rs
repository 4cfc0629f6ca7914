//! Each decision as the one request it is, fenced by the lease it was made under.

use dropmate_agent::{CallError, Term, call};
use dropmate_api::{
    Clock, Condition, DispatchPolicy, Driver, Order,
    common::{ConditionStatus, set_condition},
    order::{AssignmentReason, RuledOut},
    subresource::{
        Binding, BindingMetadata, BindingTarget, Fence, Report, ReportAnswer, ReportOutcome, ReportType, Unbinding,
    },
};
use dropmate_planning::Command;
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{Patch, PatchParams, PostParams},
    core::NamespaceResourceScope,
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::{
    AGENT,
    act::{Deed, Task},
    world::Seen,
};

/// The condition that is dispatch's own.
const UNASSIGNABLE: &str = "Unassignable";

/// Writes under one term.
pub(crate) struct Writer {
    client: Client,
    clock: Clock,
    fence: Fence,
}

/// What a write did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    Changed,
    /// It was so already, or it has to wait for the next look.
    Unchanged,
}

impl Writer {
    pub(crate) fn new(client: Client, clock: Clock, term: &Term) -> Self {
        let fence = Fence {
            lease: term.lease.clone(),
            lease_uid: term.lease_uid.clone(),
            holder: term.holder.clone(),
            transitions: term.transitions,
        };
        Self { client, clock, fence }
    }

    /// Writes what the task says. `moved`: this look has written to the object before, so it is no longer at the
    /// version that the decision saw.
    pub(crate) async fn write(&self, task: &Task, moved: bool) -> Result<Written, CallError> {
        match &task.deed {
            Deed::Order(order, command) => self.write_order(&task.about, order, command, moved).await,
            Deed::Route { active_orders, route } => {
                let status = json!({"activeOrders": active_orders, "route": route});
                self.apply_status::<Driver>(&task.about, None, &status).await
            }
            Deed::Policy(status) => self.apply_status::<DispatchPolicy>(&task.about, None, &json!(status)).await,
        }
    }

    async fn write_order(
        &self,
        about: &Seen,
        order: &Order,
        command: &Command,
        moved: bool,
    ) -> Result<Written, CallError> {
        let generation = order.status.as_ref().and_then(|s| s.assignment.as_ref()).map_or(0, |a| a.generation);
        match command {
            Command::Bind { driver, trip_id, reason, .. } => {
                let version = (!moved).then(|| about.version.clone());
                self.bind(about, version, driver, trip_id, reason).await
            }
            Command::Unbind { reason, .. } => self.unbind(about, reason).await,
            // The ids are made of what the decision rests on: decided again on the same state, it is a replay.
            Command::Schedule { release_at, .. } => {
                let report = self.report(ReportType::Schedule, format!("{generation}:{release_at}"));
                self.report_progress(about, Report { release_at: Some(*release_at), ..report }).await
            }
            Command::Release { .. } => self.report_progress(about, self.report(ReportType::Release, generation)).await,
            Command::Expire { .. } => self.report_progress(about, self.report(ReportType::Expire, generation)).await,
            Command::Decide { decision, .. } => {
                let attempts = order.status.as_ref().map_or(0, |status| status.attempts.len());
                let report = self.report(ReportType::Decide, attempts);
                self.report_progress(about, Report { decision: Some(*decision), ..report }).await
            }
            Command::Unassignable { message, ruled_out, .. } => {
                let limit = most_excluding(ruled_out).unwrap_or("NoDriver");
                self.set_unassignable(about, order, moved, (ConditionStatus::True, limit, message)).await
            }
            Command::Assignable { .. } => {
                self.set_unassignable(about, order, moved, (ConditionStatus::False, "Assignable", "")).await
            }
            Command::Route { .. } => Ok(Written::Unchanged),
        }
    }

    async fn bind(
        &self,
        about: &Seen,
        resource_version: Option<String>,
        driver: &str,
        trip_id: &str,
        reason: &AssignmentReason,
    ) -> Result<Written, CallError> {
        let binding = Binding {
            api_version: "dropmate.dev/v1".to_owned(),
            kind: "Binding".to_owned(),
            metadata: BindingMetadata {
                name: Some(about.name.clone()),
                namespace: None,
                uid: Some(about.uid.clone()),
                resource_version,
            },
            target: BindingTarget { kind: "Driver".to_owned(), name: driver.to_owned() },
            trip_id: Some(trip_id.to_owned()),
            reason: Some(reason.clone()),
            fence: Some(self.fence.clone()),
        };
        let orders = self.api::<Order>(about);
        call(orders.create_subresource::<_, Value>("binding", &about.name, &PostParams::default(), &binding)).await?;
        Ok(Written::Changed)
    }

    async fn unbind(&self, about: &Seen, reason: &str) -> Result<Written, CallError> {
        let unbinding = Unbinding { reason: reason.to_owned(), fence: Some(self.fence.clone()) };
        let path = format!("{}/{}/binding", Order::url_path(&(), Some(&about.namespace)), about.name);
        // kube has no deletion of a subresource with a body of one's own.
        let request = http::Request::delete(path)
            .header(http::header::CONTENT_TYPE, "application/json")
            .body(json!(unbinding).to_string().into_bytes())
            .map_err(kube::core::request::Error::BuildRequest)
            .map_err(kube::Error::BuildRequest)?;
        call(self.client.request_text(request)).await?;
        Ok(Written::Changed)
    }

    fn report(&self, type_: ReportType, about: impl std::fmt::Display) -> Report {
        let name = json!(type_);
        Report {
            client_event_id: format!("dispatch:{}:{about}", name.as_str().unwrap_or_default()),
            type_,
            occurred_at: self.clock.business_now(),
            location: None,
            proof: None,
            reason: None,
            note: None,
            driver: None,
            deadline: None,
            release_at: None,
            decision: None,
            fence: Some(self.fence.clone()),
        }
    }

    async fn report_progress(&self, about: &Seen, report: Report) -> Result<Written, CallError> {
        let orders = self.api::<Order>(about);
        let answer: ReportAnswer =
            call(orders.create_subresource("progress", &about.name, &PostParams::default(), &report)).await?;
        Ok(match answer.outcome {
            ReportOutcome::Applied => Written::Changed,
            ReportOutcome::Replayed => Written::Unchanged,
        })
    }

    /// Sets dispatch's own condition, of a state that the decision saw.
    async fn set_unassignable(
        &self,
        about: &Seen,
        order: &Order,
        moved: bool,
        (status, reason, message): (ConditionStatus, &str, &str),
    ) -> Result<Written, CallError> {
        let mut conditions = order.status.as_ref().map(|status| status.conditions.clone()).unwrap_or_default();
        conditions.retain(|condition| condition.type_ == UNASSIGNABLE);
        let condition = Condition {
            type_: UNASSIGNABLE.to_owned(),
            status,
            reason: reason.to_owned(),
            message: message.to_owned(),
            last_transition_time: self.clock.business_now(),
            observed_generation: order.metadata.generation,
        };
        if !set_condition(&mut conditions, condition) {
            return Ok(Written::Unchanged);
        }
        let version = (!moved).then_some(about.version.as_str());
        self.apply_status::<Order>(about, version, &json!({"conditions": conditions})).await
    }

    /// Writes dispatch's part of a status. It is the one writer of that part, so whoever else wrote there loses it; all
    /// other parts stay as they are, whatever has become of them since. `version`: only onto that one.
    async fn apply_status<K>(&self, about: &Seen, version: Option<&str>, status: &Value) -> Result<Written, CallError>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + std::fmt::Debug,
    {
        let mut part = json!({
            "apiVersion": K::api_version(&()), "kind": K::kind(&()), "metadata": {"name": about.name}, "status": status,
        });
        if let Some(version) = version {
            part["metadata"]["resourceVersion"] = version.into();
        }
        let objects = self.api::<K>(about);
        let params = PatchParams::apply(AGENT).force();
        let after = call(objects.patch_status(&about.name, &params, &Patch::Apply(&part))).await?;
        let same = after.resource_version().as_ref() == Some(&about.version);
        Ok(if same { Written::Unchanged } else { Written::Changed })
    }

    fn api<K>(&self, about: &Seen) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        Api::namespaced(self.client.clone(), &about.namespace)
    }
}

/// The hard limit that rules out most drivers; of equals the first.
fn most_excluding(ruled_out: &[RuledOut]) -> Option<&str> {
    let most = ruled_out.iter().map(|r| r.drivers).max()?;
    ruled_out.iter().find(|r| r.drivers == most).map(|r| r.limit.as_str())
}
