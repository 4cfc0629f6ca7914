//! The customer's link: `GET /v1/track/{token}` and what belongs to it, and the page `/t/{token}`.
//!
//! Whoever has a token sees one delivery, and only as much of it as [`view`] shows, judged anew for each answer. Nobody has
//! to log in, so that everything here is bounded, and whoever guesses is held up. Whatever is wrong with a token, the
//! answer is the same.

mod gate;
mod links;
mod metrics;
mod notify;
mod page;
mod rate;
mod reveal;
mod sketch;
mod stream;
mod turns;
mod view;
mod words;

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

use axum::{
    Extension, Json,
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use dropmate_api::{Clock, Driver, Order, order::binding::bound_driver};
use dropmate_ingest::LinkedOrder;
use dropmate_live::Live;
use dropmate_store::{At, Key, Object, Revision, Store};
use http::{
    HeaderName, HeaderValue,
    header::{CACHE_CONTROL, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS},
};
use prometheus_client::registry::Registry;
use tokio_util::sync::CancellationToken;

use self::{gate::Gate, metrics::Metrics, turns::Turns};
pub(crate) use self::{
    links::{make as make_link, revoke as revoke_links},
    notify::set as set_notifications,
    page::{files_version, routes as pages},
    rate::{list as ratings, rate},
    reveal::reveal,
    stream::{follow_revocations, open as open_stream},
    view::View,
};
use crate::{
    caller::ClientAddress,
    error::{ApiError, Result},
    gateway::{Surface, refused},
    limits::subnet,
    state::AppState,
};

const ORDERS: &str = "orders.dropmate.dev";
const DRIVERS: &str = "drivers.dropmate.dev";
/// Under this stands what the task API tells customers.
const API: &str = "/v1/track/";
/// Under this stands the page.
const PAGE: &str = "/t/";
/// What the last part of a stream's path is.
const STREAM: &str = "/stream";
/// How often a view is made anew because the order has changed meanwhile; then it is from a moment ago.
const LOOKS_MAX: usize = 4;

/// Whether anybody may ask that path: the token in it is all there is to show.
pub(crate) fn is_public(path: &str) -> bool {
    path.starts_with(API) || path.starts_with(PAGE)
}

/// Whether it is to become a live stream.
pub(crate) fn is_stream(path: &str) -> bool {
    path.strip_prefix(API).is_some_and(|rest| rest.ends_with(STREAM))
}

/// What customers' links need. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Track {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    gate: Gate,
    turns: Turns,
    metrics: Metrics,
    revocations: stream::Revocations,
    listeners: stream::Listeners,
}

impl Track {
    /// Follows what drivers are about, until the store is closed.
    pub(crate) async fn follow(store: &Store, live: &Live, clock: &Clock, stop: CancellationToken) -> Self {
        let turns = Turns::follow(store, clock, stop).await;
        let shared = Shared {
            gate: Gate::new(live.clone()),
            turns,
            metrics: Metrics::default(),
            revocations: stream::Revocations::default(),
            listeners: stream::Listeners::default(),
        };
        Self { shared: Arc::new(shared) }
    }

    pub(crate) fn register(&self, registry: &mut Registry) {
        self.shared.metrics.register(registry);
    }

    /// Links with these hashes are good no more: here at once, in other processes within two seconds.
    fn revoked(&self, hashes: &[Vec<u8>]) {
        for hash in hashes {
            if let Ok(hash) = <[u8; 32]>::try_from(hash.as_slice()) {
                self.shared.gate.forget_link(&hash);
            }
        }
        self.shared.turns.tell_all();
    }
}

/// Where a request comes from; in process, from here.
pub(crate) type Address = Option<Extension<ClientAddress>>;

fn network(address: Address) -> IpAddr {
    subnet(address.map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |Extension(ClientAddress(ip))| ip))
}

/// A link that is good, and its order as it is now.
struct Found {
    hash: [u8; 32],
    link: LinkedOrder,
    order: Order,
    revision: Revision,
}

/// The one refusal, whatever is wrong with a token.
fn no_such_link() -> ApiError {
    ApiError::no_such(
        "this link leads nowhere: it never did, was taken back, or its delivery has been over for two hours",
    )
}

/// What a token leads to. 404 where it leads nowhere, 429 where too many did.
async fn find(state: &AppState, address: IpAddr, token: &str) -> Result<Found> {
    let gate = &state.track.shared.gate;
    let hash = links::hash(token);
    let held_up = |pause: std::time::Duration| {
        state.track.shared.metrics.missed("throttled");
        let seconds = u32::try_from(pause.as_secs()).unwrap_or(u32::MAX).saturating_add(1);
        ApiError::too_many_requests("too many links that lead nowhere, from this address", seconds)
    };
    if let Some(pause) = gate.barred(address, hash.as_ref()) {
        return Err(held_up(pause));
    }
    if let Some(hash) = hash
        && let Some(found) = look_up(state, hash).await?
    {
        gate.hit(address, &hash);
        return Ok(found);
    }
    if let Some(pause) = gate.miss(address).await {
        return Err(held_up(pause));
    }
    state.track.shared.metrics.missed("unknown");
    Err(no_such_link())
}

/// What the token with that hash leads to, if it leads anywhere now.
async fn look_up(state: &AppState, hash: [u8; 32]) -> Result<Option<Found>> {
    let gate = &state.track.shared.gate;
    let ingest = state.ingest.as_ref().ok_or_else(ApiError::no_such_path)?;
    let link = match gate.link(&hash) {
        Some(link) => link,
        None => match ingest.linked_order(&hash).await? {
            Some(link) => {
                gate.keep_link(&hash, &link);
                link
            }
            None => return Ok(None),
        },
    };
    let Some(held) = held(state, &link, At::Latest).await? else { return Ok(None) };
    let order: Order = serde_json::from_str(&held.body).map_err(ApiError::internal)?;
    let revision = held.revision;
    let good = links::is_good(&order, state.clock.business_now());
    Ok(good.then_some(Found { hash, link, order, revision }))
}

/// The order that is meant, as it is stored, if it is there.
async fn held(state: &AppState, link: &LinkedOrder, at: At) -> Result<Option<Arc<Object>>> {
    let (held, _) = state.store.get(&key_of(ORDERS, &link.namespace, &link.order_name), at).await?;
    Ok(held.filter(|held| held.uid == link.order_uid))
}

fn key_of(resource: &str, namespace: &str, name: &str) -> Key {
    Key { resource: resource.to_owned(), namespace: namespace.to_owned(), name: name.to_owned() }
}

/// What the customer of a link sees at this moment.
async fn look(state: &AppState, found: &Found) -> Result<View> {
    let mut order = None;
    let mut revision = found.revision;
    for _ in 0..LOOKS_MAX {
        let seen = look_at(state, &found.link, order.as_ref().unwrap_or(&found.order)).await?;
        // The position was read after the order: if the order has changed meanwhile, it may be one that nobody is to see.
        let now = held(state, &found.link, At::Any).await?.ok_or_else(no_such_link)?;
        if now.revision == revision {
            return Ok(seen);
        }
        order = Some(serde_json::from_str(&now.body).map_err(ApiError::internal)?);
        revision = now.revision;
    }
    // It changes faster than it can be looked at: without a position, nothing can be wrong.
    let mut seen = look_at(state, &found.link, order.as_ref().unwrap_or(&found.order)).await?;
    if let Some(driver) = &mut seen.driver {
        (driver.position, driver.position_at) = (None, None);
    }
    Ok(seen)
}

async fn look_at(state: &AppState, link: &LinkedOrder, order: &Order) -> Result<View> {
    let now = state.clock.business_now();
    let status = order.status.as_ref().filter(|status| !status.phase.is_terminal());
    let Some(name) = status.and_then(bound_driver) else {
        let (driver, position, turned) = (None, None, None);
        return Ok(view::view(&view::Known { order, driver, others: &[], visits: &[], turned, position, now }));
    };
    let namespace = &link.namespace;
    let position = state.live.latest(namespace, name);
    let round = state.track.shared.turns.round(namespace, name);
    let mut others = Vec::with_capacity(round.open.len());
    let mut visits = round.visits_but(&link.order_name);
    let turned = round.turned_but(&link.order_name);
    for other in round.open.iter().filter(|other| **other != link.order_name) {
        let (held, _) = state.store.get(&key_of(ORDERS, namespace, other), At::Any).await?;
        let Some(held) = held else { continue };
        let other: Order = serde_json::from_str(&held.body).map_err(ApiError::internal)?;
        let Some(status) = &other.status else { continue };
        if status.phase.is_terminal() || bound_driver(status) != Some(name) {
            // The index hears of it in a moment.
            visits.extend(view::last_visit(&other));
        } else {
            others.push(other);
        }
    }
    let (driver, _) = state.store.get(&key_of(DRIVERS, namespace, name), At::Any).await?;
    let driver: Option<Driver> =
        driver.map(|held| serde_json::from_str(&held.body)).transpose().map_err(ApiError::internal)?;
    let position = position.as_deref();
    let driver = driver.as_ref();
    Ok(view::view(&view::Known { order, driver, others: &others, visits: &visits, turned, position, now }))
}

/// What nobody may keep, index or follow.
fn private(mut response: Response) -> Response {
    let own = [
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (HeaderName::from_static("x-robots-tag"), HeaderValue::from_static("noindex, nofollow")),
    ];
    for (name, value) in own {
        response.headers_mut().insert(name, value);
    }
    response
}

fn told(answer: Result<Response>) -> Response {
    private(answer.unwrap_or_else(|error| refused(&error, Surface::Tasks)))
}

/// `GET /v1/track/{token}` → `{phase, eta, stopsBefore, driver?, timeline}`.
pub(crate) async fn show(State(state): State<AppState>, address: Address, Path(token): Path<String>) -> Response {
    let answer = async {
        let found = find(&state, network(address), &token).await?;
        Ok(Json(look(&state, &found).await?).into_response())
    };
    told(answer.await)
}
