//! The gateway: what happens to every request before and after its handler, in the order of [`Gateway::answer`].
//!
//! Who asks, may they, is there room, is the body sane, does the answer come in time; then one log line and the
//! metrics. The same for a request over a socket and for one in process.

mod asked;
mod body;
mod compression;
mod observed;
mod phone;
mod tenure;

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use dropmate_api::{Clock, roles};
use dropmate_identity::Identity;
use futures::FutureExt;
use http::{
    HeaderMap, HeaderName, HeaderValue, StatusCode,
    header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, USER_AGENT, WWW_AUTHENTICATE},
    request::Parts,
};
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use uuid::Uuid;

use self::observed::{Cut, Observed, Record};
pub(crate) use self::{
    asked::Surface,
    body::SMALL_BODY_MAX,
    compression::{Packable, packed_when_whole},
    tenure::{Held, Tenure},
};
use crate::{
    audit::{self, Audit, Seen},
    authenticate::{Authenticator, Session},
    caller::{Admission, Caller, ClientAddress, RequestId},
    error::ApiError,
    form::{self, Form},
    limits::{RateLimits, Standing},
    me::NOT_A_DRIVER,
    members::Directory,
    metrics::Metrics,
    serve::HEADERS_MAX,
    stream, track,
};

/// From the end of a request's body to the head of its answer. Watches answer at once, and then go on.
const REQUEST_DEADLINE: Duration = Duration::from_mins(1);
/// From the head of an answer to its end, if it is no watch: a reader that takes longer asks for smaller pages.
const ANSWER_DEADLINE: Duration = Duration::from_mins(1);
/// Requests at once that are no watches; a commit takes milliseconds, so this is far beyond what gets done.
const REQUESTS_MAX: usize = 1_024;
/// Watches at once.
const WATCHES_MAX: usize = 10_000;
/// Customers' streams at once, and their requests: apart, so that whoever holds a link holds up nobody at work.
const VISITORS_MAX: usize = 4_000;
const VISITS_MAX: usize = 256;
/// Seconds after which a refused client may try again.
const RETRY_AFTER_SECONDS: u32 = 1;
/// Length of a request id that a client may bring.
const REQUEST_ID_MAX: usize = 64;

static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Who asks.
#[derive(Clone, Debug)]
pub(crate) enum Authentication {
    /// Whoever holds the bearer token.
    Bearer(Authenticator),
    /// Always this caller: in process, where the program itself vouches for it.
    Fixed(Caller),
}

/// How much there may be at once. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Bounds {
    requests: Arc<Semaphore>,
    watches: Arc<Semaphore>,
    visitors: Arc<Semaphore>,
    visits: Arc<Semaphore>,
    bodies: body::Budget,
    /// Of requests without a token: apart, so that whoever holds them up holds up nobody else.
    public_bodies: body::Budget,
    /// Of pictures, which are larger: apart, so that they hold up nothing else.
    uploads: body::Budget,
}

impl Bounds {
    pub(crate) fn new() -> Self {
        Self {
            requests: Arc::new(Semaphore::new(REQUESTS_MAX)),
            watches: Arc::new(Semaphore::new(WATCHES_MAX)),
            visitors: Arc::new(Semaphore::new(VISITORS_MAX)),
            visits: Arc::new(Semaphore::new(VISITS_MAX)),
            bodies: body::Budget::new(),
            public_bodies: body::Budget::small(),
            uploads: body::Budget::uploads(),
        }
    }
}

/// The gateway around a router.
#[derive(Clone, Debug)]
pub(crate) struct Gateway {
    pub(crate) authentication: Authentication,
    pub(crate) members: Directory,
    pub(crate) bounds: Bounds,
    pub(crate) limits: RateLimits,
    /// Knows the tokens of tracker apps; `None` where there are no phones.
    pub(crate) phones: Option<Identity>,
    /// Where refused and sensitive requests are noted, and by which clock; `None` in tests of the gateway alone.
    pub(crate) audit: Option<(Audit, Clock)>,
    pub(crate) metrics: Metrics,
}

impl Gateway {
    /// Puts the gateway around every route, found or not.
    pub(crate) fn around(self, router: Router) -> Router {
        router
            .layer(middleware::from_fn(form::layer))
            .layer(compression::layer())
            .layer(middleware::from_fn_with_state(self, handle))
    }

    async fn answer(&self, request: Request, next: Next, record: &mut Record) -> Result<Answer, ApiError> {
        let (mut parts, body) = request.into_parts();
        let admitted = match self.known(&mut parts, record).await {
            Ok(()) if record.asked.phone => self.admit_phone(&parts, record).await,
            Ok(()) => self.admit(&parts, record).await,
            Err(refusal) => Err(refusal),
        };
        let (session, admission, mut permit) = match admitted {
            Ok(admitted) => admitted,
            Err(refusal) => {
                body::discard(body).await;
                return Err(refusal);
            }
        };
        if let Some(session) = &session {
            parts.extensions.insert(session.caller().clone());
        }
        if let Some(admission) = &admission {
            parts.extensions.insert(admission.clone());
        }
        if record.asked.stream
            && let Some(session) = &session
        {
            // Its connection outlasts this answer, and takes with it what must last as long.
            let ended = self.ended(session.clone(), admission.clone());
            parts.extensions.insert(Held::new(Tenure { permit: permit.take(), ended: Box::pin(ended) }));
        } else if record.asked.stream {
            // A customer's: the handler itself sees when the link ends.
            let ended = Box::pin(std::future::pending());
            parts.extensions.insert(Held::new(Tenure { permit: permit.take(), ended }));
        }
        let bodies = match &record.asked {
            asked if asked.public => &self.bounds.public_bodies,
            asked if asked.upload => &self.bounds.uploads,
            _ => &self.bounds.bodies,
        };
        let (body, _reserved) = body::read(&mut parts.headers, body, bodies).await?;
        let handler = AssertUnwindSafe(next.run(Request::from_parts(parts, Body::from(body)))).catch_unwind();
        let response = match tokio::time::timeout(REQUEST_DEADLINE, handler).await {
            Ok(Ok(response)) => response,
            Ok(Err(_panic)) => {
                tracing::error!(route = record.asked.route, "a request's handler panicked");
                return Err(ApiError::internal("the request could not be completed"));
            }
            Err(_elapsed) => {
                return Err(ApiError::timeout("the request did not complete within 60 seconds").retry_after(1));
            }
        };
        Ok(Answer { response, session, admission, permit })
    }

    /// Where the request came from, and whether not too many do.
    async fn known(&self, parts: &mut Parts, record: &mut Record) -> Result<(), ApiError> {
        if parts.headers.len() > HEADERS_MAX {
            return Err(ApiError::headers_too_large(HEADERS_MAX));
        }
        let Some(ClientAddress(peer)) = parts.extensions.get().copied() else { return Ok(()) };
        let address = self.limits.client(peer, &parts.headers);
        parts.extensions.insert(ClientAddress(address));
        record.address = Some(address);
        self.counted(self.limits.address(address, parts.uri.path()).await, record)
    }

    /// What a limit says, for the record and, if it is a no, for the client.
    fn counted(&self, outcome: Result<Option<Standing>, Standing>, record: &mut Record) -> Result<(), ApiError> {
        let (standing, refused) = match outcome {
            Ok(standing) => (standing, None),
            Err(standing) => {
                self.metrics.limited(standing.class());
                let who = if standing.class() == "caller" { "this caller" } else { "this address" };
                let refusal =
                    ApiError::too_many_requests(format!("too many requests by {who}"), standing.retry_after());
                (Some(standing), Some(refusal))
            }
        };
        record.standing = Standing::scarcest(standing, record.standing.take());
        refused.map_or(Ok(()), Err)
    }

    /// Everything else that is decided before a byte of the body is read.
    async fn admit(&self, parts: &Parts, record: &mut Record) -> Result<Admittance, ApiError> {
        if record.asked.public && record.asked.stream {
            return Ok((None, None, Some(room(&self.bounds.visitors)?)));
        }
        if record.asked.public {
            let visit = track::is_public(parts.uri.path()).then(|| room(&self.bounds.visits)).transpose()?;
            return Ok((None, None, visit));
        }
        let session = match &self.authentication {
            Authentication::Fixed(caller) => Admitted::Fixed(caller.clone()),
            Authentication::Bearer(authenticator) => {
                let ticket = record.asked.stream.then(|| stream::ticket_of(&parts.uri)).flatten();
                let session = match (bearer(&parts.headers), ticket) {
                    (Some(token), _) => authenticator.authenticate(token).await?,
                    (None, Some(ticket)) => authenticator.redeem(&ticket, stream::origin(&parts.headers)).await?,
                    (None, None) => return Err(ApiError::unauthorized()),
                };
                Admitted::Token(session)
            }
        };
        record.caller.clone_from(&session.caller().user);
        record.said.clone_from(session.caller().said());
        if let Admitted::Token(session) = &session {
            self.counted(self.limits.caller(&session.caller.user).await, record)?;
        }
        let asked = &record.asked;
        let admission = asked.authorize(session.caller(), self.members.grants(session.caller()))?;
        // Before its body: pictures take room, which is for drivers.
        if asked.upload && !self.members.grants(session.caller()).iter().any(|grant| grant.role == roles::Role::Driver)
        {
            return Err(ApiError::forbidden_path(NOT_A_DRIVER));
        }
        let permit = match session {
            // The agents bound themselves, and must not starve when people ask for much.
            Admitted::Fixed(_) => None,
            Admitted::Token(_) if asked.watch => Some(room(&self.bounds.watches)?),
            Admitted::Token(_) => Some(room(&self.bounds.requests)?),
        };
        Ok((Some(session), admission, permit))
    }
}

impl Gateway {
    /// Returns once the caller may not go on: the token or the role is no longer theirs.
    fn ended(&self, session: Admitted, admission: Option<Admission>) -> impl Future<Output = ()> + Send + use<> {
        let members = self.members.clone();
        async move {
            let caller = session.caller().clone();
            let lost = async {
                match admission {
                    Some(Admission { grants, info, permit }) if !roles::is_global(&grants) => {
                        members.ended(caller, info, permit).await;
                    }
                    _ => std::future::pending().await,
                }
            };
            let revoked = async {
                match session {
                    Admitted::Token(session) => session.ended().await,
                    Admitted::Fixed(_) => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = revoked => {}
                () = lost => {}
            }
        }
    }
}

type Permit = OwnedSemaphorePermit;
/// Who was let in, with which limits, and the room that they take.
type Admittance = (Option<Admitted>, Option<Admission>, Option<Permit>);

/// A handler's answer, with what must last until its end.
struct Answer {
    response: Response,
    session: Option<Admitted>,
    admission: Option<Admission>,
    permit: Option<Permit>,
}

/// A caller who was let in.
#[derive(Clone)]
enum Admitted {
    Fixed(Caller),
    Token(Session),
}

impl Admitted {
    fn caller(&self) -> &Caller {
        match self {
            Self::Fixed(caller) => caller,
            Self::Token(session) => &session.caller,
        }
    }
}

async fn handle(State(gateway): State<Gateway>, mut request: Request, next: Next) -> Response {
    let id = request_id(request.headers());
    request.extensions_mut().insert(RequestId(id.clone()));
    let in_process = matches!(gateway.authentication, Authentication::Fixed(_));
    // From here on the request is told about, also if its client goes away and this future is dropped.
    let mut record = Record::new(&request, id, in_process, gateway.metrics.clone());
    let asked = audit::Asked {
        method: request.method().clone(),
        uri: request.uri().clone(),
        client: request.headers().get(USER_AGENT).cloned(),
    };
    let form = Form::wanted(request.uri(), request.headers());
    let outcome = gateway.answer(request, next, &mut record).await;
    let refused_here = outcome.is_err();
    let (response, session, admission) = match outcome {
        Ok(Answer { response, session, admission, permit }) => {
            record.permit = permit;
            (response, session, admission)
        }
        Err(refusal) => (form.write(refused(&refusal, record.asked.surface)).await, None, None),
    };
    record.status = response.status();
    if let Some((audit, clock)) = &gateway.audit {
        audit.saw(&Seen {
            asked: &asked,
            info: record.asked.info.as_ref(),
            caller: &record.caller,
            address: record.address,
            request_id: &record.request_id,
            status: record.status,
            refused: refused_here,
            in_process,
            at: clock.system_now(),
        });
    }
    let cut = match session {
        Some(session) if record.asked.watch => Cut::when(gateway.ended(session, admission)),
        _ if record.asked.watch => Cut::never(),
        _ => Cut::failing_after(ANSWER_DEADLINE),
    };
    let (mut head, body) = response.into_parts();
    if let Ok(id) = HeaderValue::from_str(&record.request_id) {
        head.headers.insert(REQUEST_ID.clone(), id);
    }
    if let Some(standing) = record.standing.take() {
        standing.tell(&mut head.headers);
    }
    if !head.headers.contains_key(CACHE_CONTROL) {
        head.headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    }
    Response::from_parts(head, Body::new(Observed::new(body, record, cut)))
}

/// A refusal in the form of the surface that was asked.
pub(crate) fn refused(refusal: &ApiError, surface: Surface) -> Response {
    let mut response = match surface {
        Surface::Resources => refusal.clone().into_response(),
        Surface::Tasks => problem(refusal),
    };
    if refusal.code() == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"dropmate\""));
    }
    if let Some(seconds) = refusal.retry_after_seconds() {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// RFC 9457.
fn problem(refusal: &ApiError) -> Response {
    let code = refusal.code();
    let mut body = json!({
        "type": "about:blank",
        "title": code.canonical_reason().unwrap_or("Error"),
        "status": code.as_u16(),
        "detail": refusal.message(),
    });
    if let Some(code) = refusal.code_for_programs() {
        body["code"] = code.into();
    }
    for (member, value) in refusal.told() {
        body[member] = value.clone();
    }
    (code, [(CONTENT_TYPE, "application/problem+json")], body.to_string()).into_response()
}

/// What answers under `/v1` where nothing is served.
pub(crate) async fn no_such_task() -> Response {
    refused(&ApiError::no_such_path(), Surface::Tasks)
}

/// The bearer token.
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// The client's id for the request, if it can go into logs and headers as it is, else a new one.
fn request_id(headers: &HeaderMap) -> String {
    let sane = |id: &&str| {
        let letters = id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
        letters && (1..=REQUEST_ID_MAX).contains(&id.len())
    };
    headers
        .get(&REQUEST_ID)
        .and_then(|id| id.to_str().ok())
        .filter(sane)
        .map_or_else(|| Uuid::new_v4().to_string(), str::to_owned)
}

/// Room for one more.
fn room(of: &Arc<Semaphore>) -> Result<Permit, ApiError> {
    let full = |_| ApiError::too_many_requests("too many requests at once", RETRY_AFTER_SECONDS);
    of.clone().try_acquire_owned().map_err(full)
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tower::ServiceExt;

    use super::*;
    use crate::tokens::Tokens;

    fn with_id(id: &'static str) -> String {
        request_id(&HeaderMap::from_iter([(REQUEST_ID.clone(), HeaderValue::from_static(id))]))
    }

    const TOKEN: &str = "secret";

    /// A gateway around three routes, with one caller: the operator.
    fn gateway(bounds: Bounds) -> Router {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("tokens.csv");
        let hash: [u8; 32] = sha2::Digest::finalize(sha2::Digest::chain_update(sha2::Sha256::default(), TOKEN)).into();
        std::fs::write(&file, format!("{},operator\n", hex::encode(hash))).unwrap();
        let authentication = Authentication::Bearer(Authenticator::new(Tokens::load(file).unwrap(), None));
        let routes = Router::new()
            .route("/apis", get(|| async { "ok" }))
            .route("/panics", get(|| async { panic!("a fault of ours") as &'static str }))
            .route("/hangs", get(|| async { std::future::pending::<&'static str>().await }));
        let members = Directory::default();
        let limits = RateLimits::none();
        Gateway { authentication, members, bounds, limits, phones: None, audit: None, metrics: Metrics::new() }
            .around(routes)
    }

    async fn code(router: Router, path: &str) -> u16 {
        let request = Request::builder().uri(path).header(AUTHORIZATION, format!("Bearer {TOKEN}"));
        router.oneshot(request.body(Body::empty()).unwrap()).await.unwrap().status().as_u16()
    }

    #[tokio::test]
    async fn a_handler_that_panics_is_a_500() {
        assert_eq!(code(gateway(Bounds::new()), "/panics").await, 500);
    }

    #[tokio::test(start_paused = true)]
    async fn a_handler_that_hangs_is_a_504_at_the_deadline() {
        assert_eq!(code(gateway(Bounds::new()), "/hangs").await, 504);
    }

    #[tokio::test]
    async fn requests_beyond_the_room_are_429() {
        let bounds = Bounds { requests: Arc::new(Semaphore::new(1)), ..Bounds::new() };
        let router = gateway(bounds.clone());
        let room = bounds.requests.clone().try_acquire_owned().unwrap();
        assert_eq!(code(router.clone(), "/apis").await, 429);
        drop(room);
        assert_eq!(code(router, "/apis").await, 200);
        assert_eq!(bounds.requests.available_permits(), 1, "the room is given back");
    }

    #[tokio::test]
    async fn a_client_that_goes_away_leaves_nothing_in_flight() {
        let bounds = Bounds::new();
        let router = gateway(bounds.clone());
        let request = tokio::spawn(code(router, "/hangs"));
        while bounds.requests.available_permits() == REQUESTS_MAX {
            tokio::task::yield_now().await;
        }
        request.abort();
        assert!(request.await.unwrap_err().is_cancelled());
        assert_eq!(bounds.requests.available_permits(), REQUESTS_MAX);
    }

    #[test]
    fn a_sane_request_id_is_kept_and_others_are_replaced() {
        assert_eq!(with_id("deploy-7.retry_2"), "deploy-7.retry_2");
        for hostile in ["", "a b", "a\"b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"] {
            assert_ne!(with_id(hostile), hostile);
        }
    }
}
