//! What agents tell through the control plane: it knows the caller and what the caller may see, the agent has the answer.
//!
//! An agent in this process is asked as the router it is; another where the annotation of its Lease says. Nothing secret
//! goes that way and nobody is named in it: which objects, the control plane has decided before.

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock, PoisonError, RwLock},
    time::Duration,
};

use axum::{
    Extension, Json, Router,
    body::Body,
    extract::{Path, Query, State, rejection::QueryRejection},
    response::{IntoResponse, Response},
};
use bytes::{Bytes, BytesMut};
use dropmate_api::{
    SYSTEM_NAMESPACE,
    registry::Kind,
    roles::{Own, Sight},
};
use dropmate_store::{At, Key, Object, Scope};
use http::{Method, Request, StatusCode, header::CONTENT_TYPE};
use http_body_util::{BodyExt, Limited};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use tokio::time::timeout;
use tower::ServiceExt;

use crate::{
    caller::Admission,
    error::{ApiError, Result},
    gateway::{Surface, refused},
    history, members,
    noted::Noted,
    state::AppState,
};

/// How long an agent may take: it reads an index.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// How long a timeline is answered from the cache: boards ask again and again, and true within a second is good enough.
const TIMELINE_FOR: Duration = Duration::from_secs(1);

/// The largest answer of an agent: a day of positions has about a megabyte.
const ANSWER_MAX: usize = 8 * 1024 * 1024;

/// Positions in an answer at most, as the agent has it.
const POSITIONS_MAX: u32 = 5_000;

/// Where Leases are stored.
const LEASES: &str = "leases.coordination.k8s.io";

/// Where in a Lease the holder's address stands.
const ADDRESS: &str = "/metadata/annotations/dropmate.dev~1address";

/// The tracking agent, as its Lease is called.
const TRACKING: &str = "tracking";

/// The notification agent likewise.
pub(crate) const NOTIFICATION: &str = "notification";

/// How agents are reached. Clones know the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Agents {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    attached: RwLock<BTreeMap<&'static str, Router>>,
    client: OnceLock<reqwest::Client>,
}

impl Agents {
    /// An agent that runs in this process.
    pub(crate) fn attach(&self, agent: &'static str, routes: Router) {
        self.inner.attached.write().unwrap_or_else(PoisonError::into_inner).insert(agent, routes);
    }

    fn attached(&self, agent: &str) -> Option<Router> {
        self.inner.attached.read().unwrap_or_else(PoisonError::into_inner).get(agent).cloned()
    }

    fn client(&self) -> Result<&reqwest::Client> {
        if let Some(client) = self.inner.client.get() {
            return Ok(client);
        }
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()
            .map_err(ApiError::internal)?;
        Ok(self.inner.client.get_or_init(|| client))
    }
}

/// `GET /v1/namespaces/{namespace}/orders/{name}/timeline`: `{timeline: [{at, what, detail?}]}`.
pub(crate) async fn timeline(
    State(state): State<AppState>,
    Extension(admission): Extension<Admission>,
    Path((namespace, name)): Path<(String, String)>,
) -> Response {
    let answer = async {
        let kind = kind("orders")?;
        let order = match seen(&state, &admission, kind, &namespace, &name).await? {
            Some(order) => order,
            None => archived(&state, &admission, kind, &namespace, &name).await?,
        };
        // Who may see the order was decided above; what is kept is the same for all of them.
        let cache = state.live.cache("timelines");
        let kept = cache.get(&order.uid).await.and_then(|kept| serde_json::from_slice::<Value>(&kept).ok());
        let mut told = if let Some(told) = kept {
            told
        } else {
            let path = format!("/timeline/{namespace}/{name}?uid={}", order.uid);
            let told = ask(&state, TRACKING, &path).await?;
            cache.put(&order.uid, Bytes::from(told.to_string()), TIMELINE_FOR).await;
            told
        };
        // Which driver it was and why an attempt failed is for the business, and for the driver who has the order.
        let has_it = |own: &Own| {
            let body = serde_json::from_str::<Value>(&order.body).unwrap_or_default();
            let driver = body.pointer("/status/driverName").and_then(Value::as_str);
            driver.is_some_and(|driver| own.drivers.contains(driver))
        };
        if matches!(&admission.permit.sight, Sight::Own(own) if !has_it(own)) {
            for entry in told["timeline"].as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut) {
                entry.remove("detail");
            }
        }
        Ok(Json(told).into_response())
    };
    answer.await.unwrap_or_else(|error| refused(&error, Surface::Tasks))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Which {
    from: Option<String>,
    to: Option<String>,
    limit: Option<String>,
}

/// `GET /v1/namespaces/{namespace}/drivers/{name}/positions?from&to&limit`: `{positions: […]}`, of those asked for the
/// newest, in order of time.
pub(crate) async fn positions(
    State(state): State<AppState>,
    Extension(admission): Extension<Admission>,
    Path((namespace, name)): Path<(String, String)>,
    which: std::result::Result<Query<Which>, QueryRejection>,
) -> Response {
    let answer = async {
        let Query(which) = which.map_err(|error| ApiError::bad_request(error.body_text()))?;
        let (from, to) = (moment("from", which.from.as_deref())?, moment("to", which.to.as_deref())?);
        if let (Some(from), Some(to)) = (from, to)
            && from >= to
        {
            return Err(ApiError::bad_request(format!("to: {to} is not after from ({from})")));
        }
        let limit = match which.limit.as_deref() {
            None => POSITIONS_MAX,
            Some(text) => text.parse().ok().filter(|limit| (1..=POSITIONS_MAX).contains(limit)).ok_or_else(|| {
                ApiError::bad_request(format!("limit: {text:?} is not a number between 1 and {POSITIONS_MAX}"))
            })?,
        };
        let kind = kind("drivers")?;
        let driver = seen(&state, &admission, kind, &namespace, &name).await?;
        let driver = driver.ok_or_else(|| ApiError::not_found(kind, &name))?;
        // A driver of the same name before this one was another person.
        let body: Value = serde_json::from_str(&driver.body).map_err(ApiError::internal)?;
        let since = body.pointer("/metadata/creationTimestamp").and_then(Value::as_str).unwrap_or_default();
        let since = since.parse::<Timestamp>().map_err(ApiError::internal)?;
        let ends = [("from", from), ("to", to)].into_iter();
        let ends: String = ends.filter_map(|(field, at)| Some(format!("&{field}={}", at?))).collect();
        let path = format!("/positions/{namespace}/{name}?limit={limit}&recordedSince={since}{ends}");
        Ok(Json(ask(&state, TRACKING, &path).await?).into_response())
    };
    answer.await.unwrap_or_else(|error| refused(&error, Surface::Tasks))
}

pub(crate) fn kind(resource: &str) -> Result<&'static Kind> {
    history::named(resource).ok_or_else(ApiError::no_such_path)
}

fn moment(field: &str, value: Option<&str>) -> Result<Option<Timestamp>> {
    let Some(text) = value else { return Ok(None) };
    text.parse().map(Some).map_err(|_| {
        ApiError::bad_request(format!("{field}: {text:?} is not a time as in RFC 3339, like 2026-11-23T12:00:00Z"))
    })
}

/// The object, if it is there for the caller.
pub(crate) async fn seen(
    state: &AppState,
    admission: &Admission,
    kind: &Kind,
    namespace: &str,
    name: &str,
) -> Result<Option<Arc<Object>>> {
    let key = Key { resource: kind.storage.to_owned(), namespace: namespace.to_owned(), name: name.to_owned() };
    let (object, _) = state.store.get(&key, At::Latest).await?;
    Ok(object.filter(|object| {
        let parties = Noted::of(object).map(|noted| noted.parties.clone()).unwrap_or_default();
        admission.permit.sight.sees(kind.plural, name, &parties, state.clock.business_now())
    }))
}

/// A finished order that has left memory, for who sees everything there.
pub(crate) async fn archived(
    state: &AppState,
    admission: &Admission,
    kind: &Kind,
    namespace: &str,
    name: &str,
) -> Result<Arc<Object>> {
    let none = || ApiError::not_found(kind, name);
    if admission.permit.sight != Sight::Everything {
        return Err(none());
    }
    let since = members::tenant_since(state, admission, namespace).await?;
    let scope = Scope { resource: kind.storage.to_owned(), namespace: Some(namespace.to_owned()) };
    let found = state.store.archived(&scope, Some(name), None, 1).await?;
    let found = found.into_iter().find(|archived| since.is_none_or(|since| archived.at >= since));
    found.map(|archived| archived.object).ok_or_else(none)
}

/// What the agent answers, as JSON.
pub(crate) async fn ask(state: &AppState, agent: &'static str, path: &str) -> Result<Value> {
    let (code, body) = forward(state, agent, &Errand::get(path)).await?;
    if code != StatusCode::OK {
        return Err(away(agent, &format!("status {code}")));
    }
    serde_json::from_slice(&body).map_err(|_| away(agent, "no JSON"))
}

/// What an agent is asked to tell or to do.
#[derive(Clone, Debug)]
pub(crate) struct Errand {
    method: Method,
    path: String,
    body: Option<Value>,
    within: Duration,
}

impl Errand {
    /// To tell something.
    pub(crate) fn get(path: impl Into<String>) -> Self {
        Self { method: Method::GET, path: path.into(), body: None, within: ANSWER_WITHIN }
    }

    /// To do something, in that time.
    pub(crate) fn post(path: impl Into<String>, body: Value, within: Duration) -> Self {
        Self { method: Method::POST, path: path.into(), body: Some(body), within }
    }
}

/// Sends the agent on the errand; its answer as it is. 503 if it is away.
pub(crate) async fn forward(state: &AppState, agent: &'static str, errand: &Errand) -> Result<(StatusCode, Bytes)> {
    let answered = if let Some(routes) = state.agents.attached(agent) {
        timeout(errand.within, ask_here(routes, errand)).await
    } else {
        let address = address(state, agent).await?;
        let url = if address.contains("://") { address } else { format!("http://{address}") };
        let url = format!("{}{}", url.trim_end_matches('/'), errand.path);
        timeout(errand.within, ask_there(state.agents.client()?, &url, errand)).await
    };
    match answered {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(away(agent, &error)),
        Err(_) => Err(away(agent, "no answer in time")),
    }
}

/// 503: the agent does not answer, or not as it should.
pub(crate) fn away(agent: &'static str, why: &str) -> ApiError {
    tracing::warn!(agent, why, "an agent that was asked did not answer");
    ApiError::unavailable(format!("the {agent} agent does not answer; try again later")).retry_after(5)
}

async fn ask_here(routes: Router, errand: &Errand) -> std::result::Result<(StatusCode, Bytes), String> {
    let request = Request::builder().method(errand.method.clone()).uri(&errand.path);
    let request = match &errand.body {
        Some(body) => request.header(CONTENT_TYPE, "application/json").body(Body::from(body.to_string())),
        None => request.body(Body::empty()),
    };
    let Ok(answer) = routes.oneshot(request.map_err(|error| error.to_string())?).await;
    let code = answer.status();
    let body = Limited::new(answer.into_body(), ANSWER_MAX).collect().await.map_err(|error| error.to_string())?;
    Ok((code, body.to_bytes()))
}

async fn ask_there(
    client: &reqwest::Client,
    url: &str,
    errand: &Errand,
) -> std::result::Result<(StatusCode, Bytes), String> {
    let told = |error: reqwest::Error| error.without_url().to_string();
    let mut request = client.request(errand.method.clone(), url);
    if let Some(body) = &errand.body {
        request = request.json(body);
    }
    let mut answer = request.send().await.map_err(told)?;
    let code = answer.status();
    let mut body = BytesMut::new();
    while let Some(piece) = answer.chunk().await.map_err(told)? {
        if body.len() + piece.len() > ANSWER_MAX {
            return Err(format!("more than {ANSWER_MAX} bytes"));
        }
        body.extend_from_slice(&piece);
    }
    Ok((code, body.freeze()))
}

/// Where the agent that leads is reached.
async fn address(state: &AppState, agent: &str) -> Result<String> {
    let key = Key { resource: LEASES.to_owned(), namespace: SYSTEM_NAMESPACE.to_owned(), name: agent.to_owned() };
    let (lease, _) = state.store.get(&key, At::Latest).await?;
    let body: Value = match lease {
        Some(lease) => serde_json::from_str(&lease.body).map_err(ApiError::internal)?,
        None => Value::Null,
    };
    let text = |pointer: &str| body.pointer(pointer).and_then(Value::as_str).filter(|text| !text.is_empty());
    let why = match (text("/spec/holderIdentity"), text(ADDRESS)) {
        (Some(_), Some(address)) => return Ok(address.to_owned()),
        (Some(_), None) => "does not say where it is (--advertise-address)",
        (None, _) => "does not run",
    };
    Err(ApiError::unavailable(format!("the {agent} agent {why}")).retry_after(5))
}
