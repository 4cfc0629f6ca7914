//! The subresources of an order through which its facts change: `/binding` and `/progress`. What is legal, the pure
//! functions of `dropmate_api::order` decide; here the fence, the driver and the race are checked.

use std::sync::Arc;

use axum::{
    Json,
    body::Body,
    response::{IntoResponse, Response},
};
use dropmate_api::{
    Order, SYSTEM_NAMESPACE,
    order::{
        binding::{self, BindError, Bound, UnbindError},
        progress::{self, Applied, ReportError},
    },
    registry::{Part, WriteContext},
    subresource::{Binding, Fence, Report, ReportType, Unbinding},
    validation::Cause,
};
use dropmate_store::{At, Change, Expect, Guard, Key, Object, WriteError};
use http::StatusCode;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{
    call::Call,
    commit::{self, LEASES, MAX_ATTEMPTS},
};
use crate::{
    body,
    error::{ApiError, Result},
    object::cause,
    options::{self, WriteOptions},
    proofs::{self, Giver},
};

/// The account of the dispatch agent.
const DISPATCH: &str = "system:serviceaccount:dropmate-system:dispatch";
/// The account of the tracking agent.
const TRACKING: &str = "system:serviceaccount:dropmate-system:tracking";
/// The Lease that dispatch's decisions are made under.
const DISPATCH_LEASE: &str = "dispatch";
/// Where drivers are stored.
const DRIVERS: &str = "drivers.dropmate.dev";

/// `POST …/binding`: binds the order to a driver.
pub(crate) async fn bind(call: Call, body: Body) -> Result<Response> {
    if call.caller.user != DISPATCH {
        return Err(refused(&call, "create", "binding", "only the dispatch agent binds; pin with spec.driverName"));
    }
    let options = WriteOptions::parse(&call.query, "CreateOptions")?;
    let binding: Binding = read(&call, body, "Binding").await?;
    check_binding(&call, &binding)?;
    let fence = require_fence(&call, "Binding", binding.fence.as_ref())?;
    let version = binding.metadata.resource_version.as_deref().map(options::parse_version).transpose()?;
    let uid = binding.metadata.uid.as_deref();
    for _ in 0..MAX_ATTEMPTS {
        let current = call.read().await?;
        if uid.is_some_and(|uid| uid != current.uid) {
            return Err(ApiError::conflict(call.kind(), call.name(), "the order was deleted and made anew"));
        }
        if version.is_some_and(|version| version != current.revision) {
            return Err(ApiError::modified(call.kind(), call.name()));
        }
        let order = typed(&current)?;
        let mut guards = call.fence_guards(fence).await?;
        let fences = guards.len();
        let bound = match binding::bind(&order, &binding, call.state.clock.business_now()) {
            Ok(Bound::Unchanged) => return Ok(accepted(StatusCode::CREATED)),
            Ok(Bound::Bound(bound)) => bound,
            Err(error) => {
                let reason =
                    if matches!(error, BindError::AlreadyBound { .. }) { "AlreadyBound" } else { "NotBindable" };
                return Err(conflict(&call, reason, &error.to_string()));
            }
        };
        guards.push(call.driver_guard(&binding.target.name).await?);
        match call.write_facts(&current, &bound, guards, options).await? {
            Outcome::Written => return Ok(accepted(StatusCode::CREATED)),
            Outcome::Guard(index) if index < fences => return Err(fenced(&call)),
            Outcome::Lost if version.is_some() => return Err(ApiError::modified(call.kind(), call.name())),
            // The order or the driver changed: look again.
            Outcome::Lost | Outcome::Guard(_) => {}
        }
    }
    Err(ApiError::modified(call.kind(), call.name()))
}

/// `DELETE …/binding`: takes the order from its driver.
pub(crate) async fn unbind(call: Call, body: Body) -> Result<Response> {
    let options = WriteOptions::parse(&call.query, "DeleteOptions")?;
    let unbinding: Unbinding = read(&call, body, "Unbinding").await?;
    let fence = match &unbinding.fence {
        None if call.caller.user == DISPATCH => Some(require_fence(&call, "Unbinding", None)?),
        None => None,
        Some(fence) => Some(require_fence(&call, "Unbinding", Some(fence))?),
    };
    for _ in 0..MAX_ATTEMPTS {
        let current = call.read().await?;
        let guards = match fence {
            Some(fence) => call.fence_guards(fence).await?,
            None => Vec::new(),
        };
        let unbound =
            binding::unbind(&typed(&current)?, &unbinding, call.state.clock.business_now()).map_err(|error| {
                let reason = if matches!(error, UnbindError::NotBound) { "NotBound" } else { "NotUnbindable" };
                conflict(&call, reason, &error.to_string())
            })?;
        match call.write_facts(&current, &unbound, guards, options).await? {
            Outcome::Written => return Ok(accepted(StatusCode::OK)),
            Outcome::Guard(_) => return Err(fenced(&call)),
            Outcome::Lost => {}
        }
    }
    Err(ApiError::modified(call.kind(), call.name()))
}

/// `POST …/progress`: takes in a report.
pub(crate) async fn report_progress(call: Call, body: Body) -> Result<Response> {
    let options = WriteOptions::parse(&call.query, "CreateOptions")?;
    let report: Report = read(&call, body, "Report").await?;
    let by_dispatch = call.caller.user == DISPATCH;
    if report.type_.is_dispatch() != by_dispatch {
        let why =
            if by_dispatch { "a driver reports this, not dispatch" } else { "only the dispatch agent reports this" };
        return Err(refused(&call, "create", "progress", why));
    }
    if call.caller.user == TRACKING && report.type_ != ReportType::Arrive {
        return Err(refused(&call, "create", "progress", "tracking reports arrivals and nothing else"));
    }
    let fence = if by_dispatch { Some(require_fence(&call, "Report", report.fence.as_ref())?) } else { None };
    match take(&call, &report, fence, None, options).await {
        Ok(applied) => Ok(Json(applied.answer()).into_response()),
        Err(NotTaken::Illegal(error, _)) => Err(report_error(&call, &error)),
        Err(NotTaken::Busy) => Err(ApiError::modified(call.kind(), call.name())),
        Err(NotTaken::Refused(error) | NotTaken::Unproven(error, _)) => Err(error),
    }
}

/// Why a report was not taken in.
pub(crate) enum NotTaken {
    /// By the order as it was then.
    Illegal(ReportError, Box<Order>),
    /// By what it says was given as a proof.
    Unproven(ApiError, Box<Order>),
    /// Others were faster each time: the same report may be taken in later.
    Busy,
    /// By the server.
    Refused(ApiError),
}

impl From<ApiError> for NotTaken {
    fn from(error: ApiError) -> Self {
        Self::Refused(error)
    }
}

/// Takes in a report. `whose` is the driver to whom only their own orders are there.
pub(crate) async fn take(
    call: &Call,
    report: &Report,
    fence: Option<&Fence>,
    whose: Option<&str>,
    options: WriteOptions,
) -> Result<Applied, NotTaken> {
    for _ in 0..MAX_ATTEMPTS {
        let current = call.read().await?;
        let order = typed(&current)?;
        if whose.is_some_and(|driver| !binding::concerns(&order, driver)) {
            return Err(ApiError::not_found(call.kind(), call.name()).into());
        }
        // A stale leader hears that it is one, whatever else is wrong with what it wants.
        let guards = match fence {
            Some(fence) => call.fence_guards(fence).await?,
            None => Vec::new(),
        };
        if !progress::is_known(&order, report) {
            let giver = whose.map_or(Giver::Office, Giver::Driver);
            let checked = proofs::check(&call.state, &order, report, giver).await;
            checked.map_err(|error| NotTaken::Unproven(error, Box::new(order.clone())))?;
        }
        let applied = progress::report(&order, report, call.state.clock.business_now())
            .map_err(|error| NotTaken::Illegal(error, Box::new(order.clone())))?;
        if applied.order == order {
            return Ok(applied);
        }
        match call.write_facts(&current, &applied.order, guards, options).await? {
            Outcome::Written => return Ok(applied),
            Outcome::Guard(_) => return Err(fenced(call).into()),
            Outcome::Lost => {}
        }
    }
    Err(NotTaken::Busy)
}

enum Outcome {
    Written,
    Guard(usize),
    Lost,
}

impl Call {
    /// Writes the facts of `order` over `current`; everything else stays as it is stored.
    async fn write_facts(
        &self,
        current: &Arc<Object>,
        order: &Order,
        guards: Vec<Guard>,
        options: WriteOptions,
    ) -> Result<Outcome> {
        let kind = self.kind();
        let old = commit::served(kind, current)?;
        let mut new = old.clone();
        new["status"] = serde_json::to_value(&order.status).map_err(ApiError::internal)?;
        let cx = WriteContext { part: Part::Facts, business_now: self.state.clock.business_now() };
        kind.strategy.prepare(&mut new, Some(&old), &cx);
        if options.dry_run || new == old {
            return Ok(Outcome::Written);
        }
        let change = Change::Put { uid: current.uid.clone(), body: commit::body(kind, new) };
        match self.commit(self.key(), Expect::Revision(current.revision), change, guards).await {
            Ok(_) => Ok(Outcome::Written),
            Err(WriteError::Changed(_)) => Ok(Outcome::Lost),
            Err(WriteError::Guard(index)) => Ok(Outcome::Guard(index)),
            Err(error) => Err(ApiError::write(kind, self.name(), &error)),
        }
    }

    /// The fence as guards: at commit the Lease must still be the caller's. Looked at now as well, for dry runs and for
    /// an answer without a write.
    async fn fence_guards(&self, fence: &Fence) -> Result<Vec<Guard>> {
        let key = Key { resource: LEASES.into(), namespace: SYSTEM_NAMESPACE.into(), name: fence.lease.clone() };
        let (lease, _) = self.state.store.get(&key, At::Latest).await?;
        let lease = lease.filter(|lease| lease.uid == fence.lease_uid).ok_or_else(|| fenced(self))?;
        let body: Value = serde_json::from_str(&lease.body).map_err(ApiError::internal)?;
        // A Lease that never changed hands may leave the count out.
        let transitions = match (body.pointer("/spec/leaseTransitions"), fence.transitions) {
            (None, 0) => Value::Null,
            (_, count) => count.into(),
        };
        let guards =
            [("/spec/holderIdentity", Value::from(fence.holder.as_str())), ("/spec/leaseTransitions", transitions)];
        if guards.iter().any(|(pointer, value)| body.pointer(pointer).unwrap_or(&Value::Null) != value) {
            return Err(fenced(self));
        }
        let uid = Some(fence.lease_uid.clone());
        let guard = |(pointer, equals): (&str, Value)| Guard {
            key: key.clone(),
            uid: uid.clone(),
            pointer: pointer.to_owned(),
            equals,
        };
        Ok(guards.into_iter().map(guard).collect())
    }

    /// The driver must be there and work, also at commit.
    async fn driver_guard(&self, driver: &str) -> Result<Guard> {
        let namespace = self.target.namespace.clone().unwrap_or_default();
        let key = Key { resource: DRIVERS.into(), namespace, name: driver.to_owned() };
        let (held, _) = self.state.store.get(&key, At::Latest).await?;
        let invalid =
            |reason: &str, message: String| self.invalid_body("Binding", cause(reason, message, "target.name"));
        let held = held.ok_or_else(|| invalid("FieldValueNotFound", format!("Not found: {driver:?}")))?;
        let body: Value = serde_json::from_str(&held.body).map_err(ApiError::internal)?;
        let suspended = body.pointer("/spec/suspended").cloned().unwrap_or_default();
        if suspended == Value::Bool(true) {
            let message = format!("Invalid value: {driver:?}: the driver is suspended");
            return Err(invalid("FieldValueInvalid", message));
        }
        Ok(Guard { key, uid: Some(held.uid.clone()), pointer: "/spec/suspended".into(), equals: suspended })
    }

    fn invalid_body(&self, kind: &str, cause: Cause) -> ApiError {
        ApiError::invalid_named(dropmate_api::GROUP, kind, self.name(), &[cause])
    }
}

/// Reads the body of a subresource. An empty one counts as `{}`.
async fn read<T: DeserializeOwned>(call: &Call, body: Body, kind: &str) -> Result<T> {
    let bytes = body::read(body).await?;
    let document = if bytes.is_empty() {
        body::json(b"{}")?
    } else {
        body::decode(call.kind(), &body::media_type(&call.headers), &bytes)?
    };
    serde_json::from_value(document.value)
        .map_err(|error| call.invalid_body(kind, cause("FieldValueInvalid", error.to_string(), "")))
}

fn check_binding(call: &Call, binding: &Binding) -> Result<()> {
    let wrong = |field: &str, value: &str, rule: &str| {
        call.invalid_body("Binding", cause("FieldValueInvalid", format!("Invalid value: {value:?}: {rule}"), field))
    };
    if binding.api_version != dropmate_api::API_VERSION || binding.kind != "Binding" {
        return Err(ApiError::bad_request(format!(
            "the body must be of kind Binding in {}, not {} in {}",
            dropmate_api::API_VERSION,
            binding.kind,
            binding.api_version
        )));
    }
    if binding.target.kind != "Driver" {
        return Err(wrong("target.kind", &binding.target.kind, "must be Driver"));
    }
    if let Some(name) = binding.metadata.name.as_deref().filter(|name| *name != call.name()) {
        return Err(wrong("metadata.name", name, "must be the name in the path"));
    }
    if let Some(namespace) = &binding.metadata.namespace
        && call.target.namespace.as_ref() != Some(namespace)
    {
        return Err(wrong("metadata.namespace", namespace, "must be the namespace in the path"));
    }
    Ok(())
}

fn require_fence<'a>(call: &Call, kind: &str, fence: Option<&'a Fence>) -> Result<&'a Fence> {
    let Some(fence) = fence else {
        let message = "Required value: the Lease that the decision is made under";
        return Err(call.invalid_body(kind, cause("FieldValueRequired", message, "fence")));
    };
    if fence.lease != DISPATCH_LEASE {
        let message = format!("Unsupported value: {:?}: supported values: {DISPATCH_LEASE:?}", fence.lease);
        return Err(call.invalid_body(kind, cause("FieldValueNotSupported", message, "fence.lease")));
    }
    Ok(fence)
}

fn typed(object: &Object) -> Result<Order> {
    serde_json::from_str(&object.body).map_err(ApiError::internal)
}

fn accepted(code: StatusCode) -> Response {
    let status =
        json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": code.as_u16()});
    (code, Json(status)).into_response()
}

fn conflict(call: &Call, reason: &str, why: &str) -> ApiError {
    ApiError::conflict(call.kind(), call.name(), why).cause(reason, why, "")
}

fn fenced(call: &Call) -> ApiError {
    conflict(call, "FencedLease", "the Lease of the fence is not held as the fence says")
}

fn refused(call: &Call, verb: &str, subresource: &str, why: &str) -> ApiError {
    let namespace = call.target.namespace.as_deref().unwrap_or("");
    let message = format!(
        "User {:?} cannot {verb} resource \"orders/{subresource}\" in API group {:?} in the namespace {namespace:?}: {why}",
        call.caller.user,
        dropmate_api::GROUP
    );
    ApiError::forbidden(call.kind(), call.name(), &message)
}

fn report_error(call: &Call, error: &ReportError) -> ApiError {
    let text = error.to_string();
    match error {
        ReportError::Illegal { legal_next, .. } => {
            let causes: Vec<Cause> = legal_next.iter().map(|next| cause("LegalNext", next.as_str(), "type")).collect();
            ApiError::conflict(call.kind(), call.name(), &text).causes(&causes)
        }
        ReportError::IdReused { .. } => call.invalid_body("Report", cause("FieldValueInvalid", text, "clientEventId")),
        ReportError::Invalid { field, message } => {
            call.invalid_body("Report", cause("FieldValueInvalid", message.as_str(), field))
        }
        ReportError::ProofMissing { .. } => call.invalid_body("Report", cause("FieldValueRequired", text, "proof")),
        ReportError::NoOffer { .. } => conflict(call, "NoOffer", &text),
        ReportError::OtherDriver { .. } => ApiError::forbidden(call.kind(), call.name(), &text),
    }
}
