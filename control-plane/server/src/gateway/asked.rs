//! What a request asks for, as far as the gateway must know.

use axum::extract::{MatchedPath, Request};
use http::Method;

use super::phone;
use crate::{
    auth,
    caller::{Admission, Caller},
    error::ApiError,
    request_info::ResourceInfo,
    stream, track,
};
use dropmate_api::roles::{self, Decision, Grant};

/// How errors are said: as Kubernetes `Status`, or as problems (RFC 9457) under `/v1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Surface {
    Resources,
    Tasks,
}

/// What a request asks for.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a question of its own, which the gateway asks at its place")]
pub(super) struct Asked {
    pub(super) info: Option<ResourceInfo>,
    /// The route's template: never a name, a query or a token.
    pub(super) route: String,
    pub(super) surface: Surface,
    /// Whether the answer goes on for as long as the client likes.
    pub(super) watch: bool,
    /// Whether it is to become a live stream, which lasts longer than its answer.
    pub(super) stream: bool,
    /// Whether anybody may ask, without a token.
    pub(super) public: bool,
    /// Whether a tracker app asks, which has its token in the path.
    pub(super) phone: bool,
    /// Whether the body may be a picture.
    pub(super) upload: bool,
}

/// What anybody may ask: whether the server lives, and what it is. Kubernetes tells everybody the same.
/// And with which keys tokens are checked.
const PUBLIC: [&str; 11] = [
    "/livez",
    "/readyz",
    "/healthz",
    "/version",
    "/version/",
    "/.well-known/jwks.json",
    "/.well-known/openid-configuration",
    // The drivers' page: it holds nothing until its phone has been paired.
    "/d",
    "/d/phone.css",
    "/d/phone.js",
    "/d/phone-worker.js",
];

/// What anybody may do: show who they are, or give up a session.
const DOORS: [&str; 9] = [
    "/v1/pair",
    "/v1/auth/login",
    "/v1/auth/refresh",
    "/v1/auth/logout",
    "/v1/auth/register",
    "/v1/auth/invitations/accept",
    "/v1/auth/reset",
    "/v1/auth/forgot",
    "/v1/auth/verify",
];

/// Where phones send pictures.
const UPLOAD: &str = "/v1/me/proofs";

impl Asked {
    pub(super) fn of(request: &Request) -> Self {
        let path = request.uri().path();
        let info = ResourceInfo::of(request.method(), request.uri());
        let phone = phone::asks(request);
        let task = path == "/v1" || path.starts_with("/v1/") || phone;
        let surface = if task { Surface::Tasks } else { Surface::Resources };
        let route = match (&info, request.extensions().get::<MatchedPath>()) {
            (Some(info), _) if surface == Surface::Resources => info.template(),
            (_, Some(matched)) => matched.as_str().to_owned(),
            (_, None) => "unmatched".to_owned(),
        };
        // A customer's stream takes the room of a watch.
        let customers = track::is_stream(path);
        let watch = customers || info.as_ref().is_some_and(|info| info.verb == "watch");
        let stream = customers || path == stream::PATH;
        let told = PUBLIC.contains(&path) && matches!(*request.method(), Method::GET | Method::HEAD);
        let page = auth::PAGES.iter().any(|root| path.starts_with(root));
        let public =
            told || page || track::is_public(path) || (DOORS.contains(&path) && *request.method() == Method::POST);
        let upload = path == UPLOAD && *request.method() == Method::POST;
        Self { info, route, surface, watch, stream, public, phone, upload }
    }

    /// `list`, `get`, … or the method in lower case.
    pub(super) fn verb(&self, method: &Method) -> String {
        match &self.info {
            Some(info) => info.verb.to_owned(),
            // Methods are free text: only known ones become labels.
            None if [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE].contains(method) => {
                method.as_str().to_lowercase()
            }
            None => "other".to_owned(),
        }
    }

    /// `Order`; empty where no kind is served.
    pub(super) fn kind(&self) -> &'static str {
        self.info.as_ref().and_then(ResourceInfo::kind).map_or("", |kind| kind.kind)
    }

    /// What the table of roles says; `None` for what is open to every caller: discovery, tasks about the caller.
    pub(super) fn authorize(&self, caller: &Caller, grants: Vec<Grant>) -> Result<Option<Admission>, ApiError> {
        let Some(info) = &self.info else { return Ok(None) };
        match roles::decide(&grants, &info.attributes()) {
            Decision::Allowed(permit) => Ok(Some(Admission { grants: grants.into(), info: info.clone(), permit })),
            Decision::Forbidden => Err(info.forbidden(caller)),
            Decision::NoSuchNamespace => {
                Err(ApiError::namespace_not_found(info.namespace.as_deref().unwrap_or_default()))
            }
        }
    }
}
