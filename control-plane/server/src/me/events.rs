//! `POST /v1/me/events`: what a driver's phone reports about orders, live or after a day without a network.
//!
//! Reports are taken in by the time at which things happened, whatever order they were sent in, and each has its own
//! outcome. What cannot be told apart from a fault of ours fails the whole request: a phone sends it again, and what was
//! taken in before is found to be a replay.

use std::collections::{BTreeMap, VecDeque};

use axum::{
    Json,
    body::Body,
    extract::State,
    response::{IntoResponse, Response},
};
use dropmate_api::{
    Order, Phase,
    order::progress::{self, ReportError},
    subresource::{Report, ReportOutcome, ReportType},
    validation::is_dns_subdomain,
};
use futures::{StreamExt, stream};
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use serde_json::{Value, json};

use super::{Me, list, told};
use crate::{
    error::{ApiError, Result},
    options::WriteOptions,
    resources::{Call, NotTaken, take as take_in},
    state::AppState,
};

/// Reports in a request: a long day of a busy driver.
const REPORTS_MAX: usize = 500;
/// Orders that are written at once: their commits go in groups, and other callers have their turn.
const ORDERS_AT_ONCE: usize = 16;

/// A report that can be read, with its place in the request.
#[derive(Debug)]
struct Told {
    place: usize,
    report: Report,
}

/// What became of a report.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    /// As it was sent.
    client_event_id: Value,
    outcome: &'static str,
    /// As if it had come alone.
    status: u16,
    /// Of the order after it, where it is the driver's.
    phase: Option<Phase>,
    legal_next: Vec<ReportType>,
    /// Why it was rejected.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

/// `POST /v1/me/events {reports: [{order: "ns/name", …}]}` → 200 `{results: […]}`, in the order of the reports.
pub(crate) async fn take(State(state): State<AppState>, me: Me, headers: HeaderMap, body: Body) -> Response {
    let answer = async {
        let reports = list::read(&headers, body, "reports", REPORTS_MAX).await?;
        let mut outcomes: BTreeMap<usize, Answer> = BTreeMap::new();
        let mut by_order: BTreeMap<String, Vec<Told>> = BTreeMap::new();
        for (place, report) in reports.into_iter().enumerate() {
            match read(report, &me) {
                Ok((order, report)) => by_order.entry(order).or_default().push(Told { place, report }),
                Err(outcome) => drop(outcomes.insert(place, *outcome)),
            }
        }
        let taking = by_order.into_iter().map(|(order, told)| {
            let ids: Vec<_> = told.iter().map(|told| (told.place, told.report.client_event_id.clone())).collect();
            let taken = of_order(&state, &me, order, told);
            async { (ids, taken.await) }
        });
        let taken: Vec<_> = stream::iter(taking).buffer_unordered(ORDERS_AT_ONCE).collect().await;
        // One order with a fault of ours does not hold up the others; where nothing can be written, nothing is answered.
        let nothing = outcomes.is_empty() && taken.iter().all(|(_, taken)| taken.is_err());
        for (ids, taken) in taken {
            match taken {
                Ok(taken) => outcomes.extend(taken),
                Err(error) if nothing => return Err(error),
                Err(error) => outcomes.extend(ids.into_iter().map(|(place, id)| {
                    (place, rejected(id.into(), StatusCode::SERVICE_UNAVAILABLE, error.message().to_owned(), None))
                })),
            }
        }
        Ok(Json(json!({"results": outcomes.into_values().collect::<Vec<_>>()})).into_response())
    };
    told(answer.await)
}

/// The order's name and the report, as the driver's own; or why it is rejected.
fn read(mut told: Value, me: &Me) -> std::result::Result<(String, Report), Box<Answer>> {
    let id = told.get("clientEventId").cloned().unwrap_or_default();
    let rejected = |status: StatusCode, why: String| Box::new(rejected(id.clone(), status, why, None));
    let order = told.as_object_mut().and_then(|fields| fields.remove("order"));
    let Some(Value::String(order)) = order else {
        return Err(rejected(
            StatusCode::UNPROCESSABLE_ENTITY,
            "order: must be a text of the form \"NAMESPACE/NAME\"".into(),
        ));
    };
    let report: Report = serde_json::from_value(told)
        .map_err(|error| rejected(StatusCode::UNPROCESSABLE_ENTITY, format!("the report cannot be read: {error}")))?;
    if report.type_.is_dispatch() {
        let why = format!("type: only the dispatch agent reports {:?}", report.type_.as_str());
        return Err(rejected(StatusCode::FORBIDDEN, why));
    }
    let name = order.split_once('/').filter(|(namespace, name)| *namespace == me.namespace && is_dns_subdomain(name));
    let Some((_, name)) = name else {
        let (status, why) = not_there(&report, &order);
        return Err(rejected(status, why));
    };
    // Whatever it says: it is this driver's, and made under no lease.
    Ok((name.to_owned(), Report { driver: Some(me.driver.clone()), fence: None, ..report }))
}

/// Takes in what is reported about one order, in the order in which it happened.
async fn of_order(state: &AppState, me: &Me, order: String, mut told: Vec<Told>) -> Result<Vec<(usize, Answer)>> {
    let call = Call::about_order(state, &me.caller, &me.actor, &me.namespace, &order)?;
    told.sort_by_key(|told| (told.report.occurred_at, step(told.report.type_), told.place));
    let mut waiting = VecDeque::from(told);
    let mut outcomes = Vec::with_capacity(waiting.len());
    // Reports of one moment that were put back since the last one that was taken in.
    let mut put_back = 0;
    while let Some(Told { place, report }) = waiting.pop_front() {
        let outcome = one(&call, me, &report).await?;
        // What happened at the same moment is told apart by what can follow what.
        let mates = waiting.iter().take_while(|mate| mate.report.occurred_at == report.occurred_at).count();
        if outcome.status == StatusCode::CONFLICT.as_u16() && put_back < mates {
            put_back += 1;
            waiting.insert(mates, Told { place, report });
        } else {
            if outcome.status == StatusCode::OK.as_u16() {
                put_back = 0;
            }
            outcomes.push((place, outcome));
        }
    }
    Ok(outcomes)
}

/// Takes in one report. `Err` is a fault that may be over when the phone tries again.
async fn one(call: &Call, me: &Me, report: &Report) -> Result<Answer> {
    let id = Value::from(report.client_event_id.as_str());
    match take_in(call, report, None, Some(&me.driver), WriteOptions::default()).await {
        Ok(applied) => {
            let outcome = match applied.outcome {
                ReportOutcome::Applied => "applied",
                ReportOutcome::Replayed => "replayed",
            };
            let (phase, legal_next) = standing(&applied.order);
            let status = StatusCode::OK.as_u16();
            Ok(Answer { client_event_id: id, outcome, status, phase: Some(phase), legal_next, detail: None })
        }
        Err(NotTaken::Illegal(error, order)) => Ok(rejected(id, code(&error), error.to_string(), Some(&order))),
        Err(NotTaken::Busy) => Err(ApiError::unavailable("the order changes too fast at the moment; try again")),
        Err(NotTaken::Refused(error) | NotTaken::Unproven(error, _)) if error.code().is_server_error() => Err(error),
        Err(NotTaken::Unproven(error, order)) => {
            Ok(rejected(id, error.code(), error.message().to_owned(), Some(&order)))
        }
        Err(NotTaken::Refused(error)) if error.code() == StatusCode::NOT_FOUND => {
            let (status, why) = not_there(report, &format!("{}/{}", me.namespace, call.name()));
            Ok(rejected(id, status, why, None))
        }
        Err(NotTaken::Refused(error)) => Ok(rejected(id, error.code(), error.message().to_owned(), None)),
    }
}

/// What is said of an order that the driver has nothing to do with, whether there is one or not.
fn not_there(report: &Report, order: &str) -> (StatusCode, String) {
    if matches!(report.type_, ReportType::Accept | ReportType::Decline) {
        return (StatusCode::CONFLICT, format!("there is no open offer of order {order:?}"));
    }
    (StatusCode::NOT_FOUND, format!("order {order:?} not found"))
}

fn rejected(client_event_id: Value, status: StatusCode, why: String, order: Option<&Order>) -> Answer {
    let (phase, legal_next) = order.map(standing).unzip();
    let legal_next = legal_next.unwrap_or_default();
    Answer { client_event_id, outcome: "rejected", status: status.as_u16(), phase, legal_next, detail: Some(why) }
}

/// Where the order is, and what its driver may report next.
fn standing(order: &Order) -> (Phase, Vec<ReportType>) {
    let next = progress::legal_next(order).into_iter().filter(|next| !next.is_dispatch());
    (order.phase(), next.collect())
}

/// As `/progress` would answer.
fn code(error: &ReportError) -> StatusCode {
    match error {
        ReportError::Illegal { .. } | ReportError::NoOffer { .. } => StatusCode::CONFLICT,
        ReportError::IdReused { .. } | ReportError::Invalid { .. } | ReportError::ProofMissing { .. } => {
            StatusCode::UNPROCESSABLE_ENTITY
        }
        ReportError::OtherDriver { .. } => StatusCode::FORBIDDEN,
    }
}

/// Of reports of one moment, which comes first.
fn step(type_: ReportType) -> u8 {
    match type_ {
        ReportType::Accept | ReportType::Decline => 0,
        ReportType::Depart => 1,
        ReportType::Arrive => 2,
        ReportType::PickUp => 3,
        ReportType::Deliver => 4,
        ReportType::Fail => 5,
        ReportType::StartReturn => 6,
        ReportType::Returned => 7,
        _ => 8,
    }
}
