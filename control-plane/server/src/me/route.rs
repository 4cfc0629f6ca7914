//! `GET /v1/me/route`: the stops ahead of a driver, each with what may be reported there.

use std::{sync::Arc, time::Duration};

use axum::{
    body::Body,
    extract::State,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use dropmate_api::{
    Driver, Location, Order, Phase,
    common::{Contact, TimeWindow},
    order::{Custody, OfferState, ProofType, StopKind, StopState, progress},
    subresource::ReportType,
};
use dropmate_store::{At, Key, Object, Scope};
use http::{
    HeaderMap, HeaderValue, StatusCode,
    header::{CONTENT_TYPE, ETAG, IF_NONE_MATCH},
};
use jiff::Timestamp;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::{Me, told};
use crate::{
    error::{ApiError, Result},
    noted::Noted,
    state::AppState,
};

const ORDERS: &str = "orders.dropmate.dev";
const DRIVERS: &str = "drivers.dropmate.dev";
/// Stops of one answer: more than any driver is bound to at once, and a bound on what a phone must read.
const STOPS_MAX: usize = 500;
/// The cache of routes, in metrics.
const CACHE: &str = "routes";
/// How long a route is kept for who asks again: phones ask every few seconds.
const KEPT_FOR: Duration = Duration::from_secs(30);
/// Characters of an `ETag`: chance does not make two routes alike.
const ETAG_CHARS: usize = 32;

/// Which of an order's two stops.
pub(crate) type Kind = StopKind;

/// A stop ahead.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Stop {
    /// `namespace/name`.
    pub(crate) order: String,
    /// `pickup` or `dropoff`. Goods that go back are brought to the pickup.
    pub(crate) kind: Kind,
    address: String,
    pub(crate) location: Location,
    #[serde(skip_serializing_if = "Option::is_none")]
    window: Option<TimeWindow>,
    #[serde(skip_serializing_if = "Option::is_none")]
    eta: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    instructions: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    contact: Option<Contact>,
    proof: Vec<ProofType>,
    /// What may be reported now, at this stop.
    legal_next: Vec<ReportType>,
    /// Of an order that is only offered: until when it may be accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    offered_until: Option<Timestamp>,
}

/// `GET /v1/me/route` → `{stops: […]}` with an `ETag`; 304 where the phone has it.
pub(crate) async fn get(State(state): State<AppState>, me: Me, headers: HeaderMap) -> Response {
    let answer = async {
        let body = of_driver(&state, &me.namespace, &me.driver).await?;
        let mut hash = hex::encode(Sha256::digest(&body));
        hash.truncate(ETAG_CHARS);
        let tag = HeaderValue::try_from(format!("\"{hash}\"")).map_err(ApiError::internal)?;
        let known = headers.get_all(IF_NONE_MATCH).iter().filter_map(|held| held.to_str().ok());
        let mut known = known.flat_map(|held| held.split(',')).map(|held| held.trim().trim_start_matches("W/"));
        if known.any(|held| held == "*" || held.trim_matches('"') == hash) {
            return Ok((StatusCode::NOT_MODIFIED, [(ETAG, tag)]).into_response());
        }
        let json = HeaderValue::from_static("application/json");
        Ok(([(ETAG, tag), (CONTENT_TYPE, json)], Body::from(body)).into_response())
    };
    told(answer.await)
}

/// The answer to a driver: kept for those that ask again, under a key that names the versions it was made from, so that it
/// is never old. That the caller is the driver was looked at before.
async fn of_driver(state: &AppState, namespace: &str, driver: &str) -> Result<Bytes> {
    #[derive(Serialize)]
    struct Route {
        stops: Vec<Stop>,
    }
    let (plan, own) = made_from(state, namespace, driver).await?;
    let mut versions = Sha256::new();
    for object in plan.iter().chain(&own) {
        versions.update(format!("{} {}\n", object.uid, object.revision));
    }
    let (cache, key) = (state.live.cache(CACHE), format!("{namespace}/{driver}/{}", hex::encode(versions.finalize())));
    if let Some(kept) = cache.get(&key).await {
        return Ok(kept);
    }
    let stops = read(driver, plan.as_deref(), &own)?;
    let route = serde_json::to_vec(&Route { stops }).map(Bytes::from).map_err(ApiError::internal)?;
    cache.put(&key, route.clone(), KEPT_FOR).await;
    Ok(route)
}

/// The stops ahead of a driver.
pub(crate) async fn stops_of(state: &AppState, namespace: &str, driver: &str) -> Result<Vec<Stop>> {
    let (plan, own) = made_from(state, namespace, driver).await?;
    read(driver, plan.as_deref(), &own)
}

/// What a route is made from: the driver, and the orders that concern the driver and are not over.
async fn made_from(state: &AppState, namespace: &str, driver: &str) -> Result<(Option<Arc<Object>>, Vec<Arc<Object>>)> {
    let key = Key { resource: DRIVERS.to_owned(), namespace: namespace.to_owned(), name: driver.to_owned() };
    let (plan, _) = state.store.get(&key, At::Latest).await?;
    let scope = Scope { resource: ORDERS.to_owned(), namespace: Some(namespace.to_owned()) };
    let page = state.store.list(&scope, At::Latest, None, None).await?;
    let mut orders = page.objects;
    orders.retain(|object| {
        Noted::of(object).is_some_and(|noted| {
            noted.parties.finished_at.is_none() && noted.parties.drivers.iter().any(|party| party == driver)
        })
    });
    Ok((plan, orders))
}

fn read(driver: &str, plan: Option<&Object>, own: &[Arc<Object>]) -> Result<Vec<Stop>> {
    let plan: Option<Driver> =
        plan.map(|held| serde_json::from_str(&held.body)).transpose().map_err(ApiError::internal)?;
    let orders: Vec<Order> = own
        .iter()
        .map(|object| serde_json::from_str(&object.body))
        .collect::<Result<_, _>>()
        .map_err(ApiError::internal)?;
    Ok(stops(driver, plan.as_ref(), &orders))
}

/// The stops of these orders that are ahead of the driver: as dispatch has planned them, then what it has not planned, and
/// last what is only offered.
fn stops(driver: &str, plan: Option<&Driver>, orders: &[Order]) -> Vec<Stop> {
    let planned = plan.and_then(|driver| driver.status.as_ref()).map(|status| status.route.as_slice());
    let planned = planned.unwrap_or_default();
    let mut stops: Vec<(usize, bool, Option<Timestamp>, Stop)> = Vec::new();
    for order in orders {
        let name = order.metadata.name.as_deref().unwrap_or_default();
        let bound_at = order.status.as_ref().and_then(|status| status.assignment.as_ref()?.bound_at);
        for mut stop in stops_ahead(driver, order) {
            let leg = planned.iter().position(|leg| leg.order == name && leg.stop == stop.kind);
            // What tracking expects of the door is newer than the plan.
            stop.eta = stop.eta.or_else(|| planned.get(leg?)?.eta);
            let place = leg.filter(|_| stop.offered_until.is_none()).unwrap_or(usize::MAX);
            stops.push((place, stop.offered_until.is_some(), bound_at, stop));
        }
    }
    stops.sort_by(|one, other| {
        let key = |(place, offered, bound_at, stop): &(usize, bool, Option<Timestamp>, Stop)| {
            (*offered, *place, *bound_at, stop.order.clone(), stop.kind)
        };
        key(one).cmp(&key(other))
    });
    stops.into_iter().take(STOPS_MAX).map(|(.., stop)| stop).collect()
}

/// The stops of an order that are still ahead of its driver.
fn stops_ahead(driver: &str, order: &Order) -> Vec<Stop> {
    let Some(status) = &order.status else { return Vec::new() };
    let mine = status.driver_name.as_deref() == Some(driver);
    let open = status.offers.iter().find(|offer| offer.driver == driver && offer.state == OfferState::Open);
    let offered_until = open.filter(|_| !mine).map(|offer| offer.deadline);
    let phase = order.phase();
    if phase.is_terminal() || !mine && offered_until.is_none() {
        return Vec::new();
    }
    let done = |kind: Kind| {
        let stop = status.stops.as_ref().map(|stops| match kind {
            Kind::Pickup => stops.pickup.state,
            Kind::Dropoff => stops.dropoff.state,
        });
        matches!(stop, Some(StopState::Completed | StopState::Skipped))
    };
    let returning = phase == Phase::Returning;
    let carried = status.custody == Custody::Driver;
    let ahead: &[Kind] = match (returning, carried || done(Kind::Pickup)) {
        (true, _) => &[Kind::Pickup],
        (false, true) => &[Kind::Dropoff],
        (false, false) => &[Kind::Pickup, Kind::Dropoff],
    };
    // What is legal is legal at the next stop; the one after it has to wait.
    let next = ahead.first().copied();
    ahead.iter().map(|&kind| stop(order, kind, next == Some(kind), offered_until)).collect()
}

fn stop(order: &Order, kind: Kind, is_next: bool, offered_until: Option<Timestamp>) -> Stop {
    let spec = &order.spec;
    let at = match kind {
        Kind::Pickup => &spec.pickup,
        Kind::Dropoff => &spec.dropoff,
    };
    let returning = order.phase() == Phase::Returning;
    let proof = spec.proof.as_ref().filter(|_| !returning).map(|proof| match kind {
        Kind::Pickup => &proof.pickup,
        Kind::Dropoff => &proof.dropoff,
    });
    let recipient = || Contact { name: Some(spec.recipient.name.clone()), phone: spec.recipient.phone.clone() };
    let contact = at.contact.clone().or_else(|| (kind == Kind::Dropoff).then(recipient));
    let legal = progress::legal_next(order).into_iter().filter(|next| is_next && !next.is_dispatch());
    let meta = &order.metadata;
    Stop {
        order: format!(
            "{}/{}",
            meta.namespace.as_deref().unwrap_or_default(),
            meta.name.as_deref().unwrap_or_default()
        ),
        kind,
        address: at.address.clone(),
        location: at.location,
        window: at.window.clone(),
        eta: order.status.as_ref().and_then(|status| status.eta).filter(|_| kind == Kind::Dropoff),
        instructions: at.instructions.clone(),
        contact,
        proof: proof.into_iter().flatten().copied().filter(|proof| *proof != ProofType::None).collect(),
        legal_next: legal.collect(),
        offered_until,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn order(name: &str, status: &Value) -> Order {
        serde_json::from_value(json!({
            "apiVersion": "dropmate.dev/v1", "kind": "Order", "metadata": {"name": name, "namespace": "acme"},
            "spec": {
                "pickup": {"address": "12 Mill St", "location": {"latitude": 43.65, "longitude": -79.36}},
                "dropoff": {"address": "88 Queens Quay", "location": {"latitude": 43.64, "longitude": -79.37}},
                "recipient": {"name": "Ada", "phone": "+15550100"},
                "proof": {"dropoff": ["photo", "none"]},
            },
            "status": status,
        }))
        .unwrap()
    }

    fn bound(name: &str, phase: &str, custody: &str) -> Order {
        let assignment = json!({"driverName": "sam", "boundAt": "2026-11-24T12:00:00Z", "generation": 0});
        order(name, &json!({"phase": phase, "driverName": "sam", "custody": custody, "assignment": assignment}))
    }

    fn told(stops: &[Stop]) -> Vec<String> {
        stops
            .iter()
            .map(|stop| format!("{} {:?} {}", stop.order, stop.kind, serde_json::to_string(&stop.legal_next).unwrap()))
            .collect()
    }

    #[test]
    fn stops_come_as_planned_with_what_is_legal_at_the_next_one() {
        let plan: Driver = serde_json::from_value(json!({
            "apiVersion": "dropmate.dev/v1", "kind": "Driver", "metadata": {"name": "sam"},
            "spec": {"displayName": "Sam"},
            "status": {"route": [
                {"order": "b", "stop": "dropoff", "location": {"latitude": 43.64, "longitude": -79.37}},
                {"order": "a", "stop": "pickup", "location": {"latitude": 43.65, "longitude": -79.36}, "eta": "2026-11-24T13:00:00Z"},
                {"order": "a", "stop": "dropoff", "location": {"latitude": 43.64, "longitude": -79.37}},
            ]},
        }))
        .unwrap();
        let released = "2026-11-24T11:00:00Z";
        let mut a = bound("a", "Assigned", "Sender");
        let mut b = bound("b", "OutForDelivery", "Driver");
        for order in [&mut a, &mut b] {
            order.status.as_mut().unwrap().released_at = Some(released.parse().unwrap());
        }
        let stops = stops("sam", Some(&plan), &[a, b]);
        assert_eq!(
            told(&stops),
            [
                r#"acme/b Dropoff ["depart","arrive","deliver","fail"]"#,
                r#"acme/a Pickup ["depart","arrive","pickUp"]"#,
                "acme/a Dropoff []",
            ]
        );
        assert_eq!(stops[0].proof, [ProofType::Photo]);
        assert_eq!(stops[0].contact.as_ref().unwrap().phone.as_deref(), Some("+15550100"));
        assert!(stops[1].eta.is_some() && stops[1].contact.is_none());
    }

    #[test]
    fn what_is_somebody_elses_is_not_there() {
        assert!(stops("kim", None, &[bound("a", "Assigned", "Sender")]).is_empty());
    }
}
