//! What every verb reads from a request before it does anything.

use std::sync::Arc;

use axum::{
    extract::{FromRequestParts, Query as QueryOf},
    response::{IntoResponse, Response},
};
use dropmate_api::{
    registry::{self, Kind},
    roles::{Grant, Permit},
};
use dropmate_store::{Actor, Key};
use http::{HeaderMap, HeaderValue, Method, header::USER_AGENT, request::Parts};

use crate::{
    caller::{Admission, Caller, RequestId},
    error::{ApiError, Result},
    options::Query,
    request_info::ResourceInfo,
    state::AppState,
    target::Target,
};

/// A client program's name is kept to this length with each revision.
const MAX_CLIENT_BYTES: usize = 256;

/// A request to the resource API.
pub(crate) struct Call {
    /// The store and the clocks.
    pub(crate) state: AppState,
    /// What the path means.
    pub(crate) target: Target,
    /// The query.
    pub(crate) query: Query,
    /// The headers.
    pub(crate) headers: HeaderMap,
    /// Who calls.
    pub(crate) caller: Caller,
    /// Everything that the caller holds.
    pub(crate) grants: Arc<[Grant]>,
    /// What was asked, as the table of roles sees it.
    pub(crate) info: ResourceInfo,
    /// The limits of what the caller was allowed.
    pub(crate) permit: Permit,
    /// Who writes, as the revision keeps it.
    pub(crate) actor: Actor,
}

/// What a client program calls itself, as the revision keeps it.
pub(crate) fn client(headers: &HeaderMap) -> String {
    // Only visible ASCII comes through `to_str`, so that it can be cut anywhere.
    let mut client = headers.get(USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or("").to_owned();
    client.truncate(MAX_CLIENT_BYTES);
    client
}

impl Call {
    /// A call about an order that comes from the task API, which has seen to it that the caller may.
    pub(crate) fn about_order(
        state: &AppState,
        caller: &Caller,
        actor: &Actor,
        namespace: &str,
        name: &str,
    ) -> Result<Self> {
        let kind = registry::by_resource(dropmate_api::GROUP, dropmate_api::VERSION, "orders")
            .ok_or_else(|| ApiError::internal("no kind Order"))?;
        let (namespace, name) = (Some(namespace.to_owned()), Some(name.to_owned()));
        let info = ResourceInfo {
            verb: "create",
            group: kind.group.to_owned(),
            version: kind.version.to_owned(),
            resource: kind.plural.to_owned(),
            subresource: "progress".to_owned(),
            namespace: namespace.clone(),
            name: name.clone(),
        };
        Ok(Self {
            state: state.clone(),
            target: Target { kind, namespace, name, subresource: Some("progress".to_owned()) },
            query: Query::default(),
            headers: HeaderMap::new(),
            caller: caller.clone(),
            grants: Arc::from([]),
            info,
            permit: Permit::default(),
            actor: actor.clone(),
        })
    }

    /// The kind.
    pub(crate) fn kind(&self) -> &'static Kind {
        self.target.kind
    }

    /// The object's name; the router sends only paths that have one.
    pub(crate) fn name(&self) -> &str {
        self.target.name.as_deref().unwrap_or("")
    }

    /// The key of the object the path names.
    pub(crate) fn key(&self) -> Key {
        self.key_of(self.name())
    }

    /// The key of another object of the same kind and namespace.
    pub(crate) fn key_of(&self, name: &str) -> Key {
        Key {
            resource: self.kind().storage.to_owned(),
            namespace: self.target.namespace.clone().unwrap_or_default(),
            name: name.to_owned(),
        }
    }
}

impl FromRequestParts<AppState> for Call {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Response> {
        let target = Target::parse(parts.uri.path()).ok_or_else(|| ApiError::no_such_path().into_response())?;
        if target.kind.is_read_only() && !matches!(parts.method, Method::GET | Method::HEAD) {
            return Err(ApiError::method_not_allowed().into_response());
        }
        let QueryOf(query) = QueryOf::<Query>::try_from_uri(&parts.uri)
            .map_err(|error| ApiError::bad_request(format!("the query cannot be read: {error}")).into_response())?;
        let caller =
            parts.extensions.get::<Caller>().cloned().ok_or_else(|| ApiError::unauthorized().into_response())?;
        let Admission { grants, info, permit } =
            parts.extensions.get::<Admission>().cloned().ok_or_else(|| ApiError::unauthorized().into_response())?;
        let request_id = parts.extensions.get::<RequestId>().map(|id| id.0.clone()).unwrap_or_default();
        let actor = Actor { user: caller.user.clone(), client: client(&parts.headers), request_id };
        Ok(Self {
            state: state.clone(),
            target,
            query,
            headers: parts.headers.clone(),
            caller,
            grants,
            info,
            permit,
            actor,
        })
    }
}

/// Notices for the person at the other end, as `Warning` headers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Warnings(Vec<String>);

impl Warnings {
    /// Adds one.
    pub(crate) fn push(&mut self, text: impl Into<String>) {
        self.0.push(text.into());
    }

    /// Puts them on the answer.
    pub(crate) fn onto(&self, mut response: Response) -> Response {
        /// More are cut off, as headers have to stay small.
        const MAX_WARNINGS: usize = 20;
        /// Longer texts are cut, for the same reason.
        const MAX_WARNING_CHARS: usize = 400;
        for text in self.0.iter().take(MAX_WARNINGS) {
            let plain: String = text.chars().filter(|c| !c.is_control()).take(MAX_WARNING_CHARS).collect();
            let quoted = plain.replace('\\', "\\\\").replace('"', "\\\"");
            if let Ok(value) = HeaderValue::from_bytes(format!("299 - \"{quoted}\"").as_bytes()) {
                response.headers_mut().append(http::header::WARNING, value);
            }
        }
        response
    }
}
