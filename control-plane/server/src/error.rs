//! The one error of the resource API. It renders a Kubernetes `Status`, with the texts that clients know.

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use dropmate_api::{registry::Kind, validation::Cause};
use dropmate_store::{ReadError, WriteError};
use http::{HeaderValue, StatusCode, header::RETRY_AFTER};
use serde_json::{Map, Value, json};

/// How a handler answers when it cannot do what was asked.
pub(crate) type Result<T, E = ApiError> = std::result::Result<T, E>;

/// Causes that one refusal tells: nobody reads more, and an object may be wrong in a hundred thousand places.
const MAX_CAUSES: usize = 100;

/// What went wrong, as `Status` says it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ApiError {
    code: StatusCode,
    reason: &'static str,
    message: String,
    details: Map<String, Value>,
    continue_token: Option<String>,
    /// What programs tell it by, under `/v1`.
    code_for_programs: Option<&'static str>,
    /// What else programs need to go on, under `/v1`.
    told: Box<Map<String, Value>>,
}

impl ApiError {
    fn new(code: StatusCode, reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            reason,
            message: message.into(),
            details: Map::new(),
            continue_token: None,
            code_for_programs: None,
            told: Box::default(),
        }
    }

    fn about(mut self, group: &str, kind: &str, name: &str) -> Self {
        for (key, value) in [("name", name), ("group", group), ("kind", kind)] {
            if !value.is_empty() {
                self.details.insert(key.to_owned(), value.into());
            }
        }
        self
    }

    /// Names the resource and, where there is one, the object in `details`.
    #[must_use]
    pub(crate) fn of(self, kind: &Kind, name: &str) -> Self {
        self.about(kind.group, kind.plural, name)
    }

    /// Adds causes.
    #[must_use]
    pub(crate) fn causes(mut self, causes: &[Cause]) -> Self {
        let causes = causes.iter().map(|c| {
            let mut cause = json!({"reason": c.reason, "message": c.message});
            if !c.field.is_empty() {
                cause["field"] = c.field.as_str().into();
            }
            cause
        });
        self.details.insert("causes".to_owned(), causes.collect());
        self
    }

    /// Adds one cause.
    #[must_use]
    pub(crate) fn cause(self, reason: &str, message: impl Into<String>, field: &str) -> Self {
        self.causes(&[Cause { reason: reason.to_owned(), message: message.into(), field: field.to_owned() }])
    }

    /// Under `/v1`: the `code` that programs tell it by.
    #[must_use]
    pub(crate) fn for_programs(mut self, code: &'static str) -> Self {
        self.code_for_programs = Some(code);
        self
    }

    /// Under `/v1`: a member of the problem that programs go on by.
    #[must_use]
    pub(crate) fn telling(mut self, member: &str, value: impl Into<Value>) -> Self {
        self.told.insert(member.to_owned(), value.into());
        self
    }

    /// Gives the caller a token to go on with.
    #[must_use]
    pub(crate) fn continue_with(mut self, token: String) -> Self {
        self.continue_token = Some(token);
        self
    }

    /// Says after how many seconds to try again.
    #[must_use]
    pub(crate) fn retry_after(mut self, seconds: u32) -> Self {
        self.details.insert("retryAfterSeconds".to_owned(), seconds.into());
        self
    }

    /// 404: there is no such object.
    pub(crate) fn not_found(kind: &Kind, name: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "NotFound", format!("{} {name:?} not found", kind.group_resource()))
            .of(kind, name)
    }

    /// 404: there is no such namespace.
    pub(crate) fn namespace_not_found(name: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "NotFound", format!("namespaces {name:?} not found")).about(
            "",
            "namespaces",
            name,
        )
    }

    /// 404 where no kind is served, with the whole message.
    pub(crate) fn no_such(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "NotFound", message)
    }

    /// 404: nothing is served at this path.
    pub(crate) fn no_such_path() -> Self {
        Self::new(StatusCode::NOT_FOUND, "NotFound", "the server could not find the requested resource")
    }

    /// 405: the path is served, but not with this method.
    pub(crate) fn method_not_allowed() -> Self {
        let message = "the server does not allow this method on the requested resource";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", message)
    }

    /// 409: the name is taken.
    pub(crate) fn already_exists(kind: &Kind, name: &str) -> Self {
        let message = format!("{} {name:?} already exists", kind.group_resource());
        Self::new(StatusCode::CONFLICT, "AlreadyExists", message).of(kind, name)
    }

    /// 409: the name is taken, and there is more to say.
    pub(crate) fn already_exists_because(kind: &Kind, name: &str, message: &str) -> Self {
        Self::new(StatusCode::CONFLICT, "AlreadyExists", message).of(kind, name)
    }

    /// 409: the object is not as the caller believes.
    pub(crate) fn conflict(kind: &Kind, name: &str, why: &str) -> Self {
        let message = format!("Operation cannot be fulfilled on {} {name:?}: {why}", kind.group_resource());
        Self::new(StatusCode::CONFLICT, "Conflict", message).of(kind, name)
    }

    /// 409: an apply patch would change what others own.
    pub(crate) fn apply_conflict(message: String, causes: &[Cause]) -> Self {
        Self::new(StatusCode::CONFLICT, "Conflict", message).causes(causes)
    }

    /// 409: the object has changed since the caller read it.
    pub(crate) fn modified(kind: &Kind, name: &str) -> Self {
        let why = "the object has been modified; please apply your changes to the latest version and try again";
        Self::conflict(kind, name, why)
    }

    /// 422: the object is wrong in these places.
    pub(crate) fn invalid(kind: &Kind, name: &str, causes: &[Cause]) -> Self {
        Self::invalid_named(kind.group, kind.kind, name, causes)
    }

    /// 422, naming the resource instead of the kind, as Kubernetes does for a missing version.
    pub(crate) fn invalid_resource(kind: &Kind, name: &str, causes: &[Cause]) -> Self {
        Self::invalid_named(kind.group, kind.plural, name, causes)
    }

    /// 422: query options are wrong in these places.
    pub(crate) fn invalid_options(options: &str, causes: &[Cause]) -> Self {
        Self::invalid_named("meta.k8s.io", options, "", causes)
    }

    /// 422 for a body that is no registered kind.
    pub(crate) fn invalid_named(group: &str, kind: &str, name: &str, causes: &[Cause]) -> Self {
        let qualified = if group.is_empty() { kind.to_owned() } else { format!("{kind}.{group}") };
        let causes = &causes[..causes.len().min(MAX_CAUSES)];
        let mut texts: Vec<String> = Vec::new();
        for cause in causes {
            let text = if cause.field.is_empty() {
                cause.message.clone()
            } else {
                format!("{}: {}", cause.field, cause.message)
            };
            if !texts.contains(&text) {
                texts.push(text);
            }
        }
        let message = match texts.as_slice() {
            [] => format!("{qualified} {name:?} is invalid"),
            [one] => format!("{qualified} {name:?} is invalid: {one}"),
            many => format!("{qualified} {name:?} is invalid: [{}]", many.join(", ")),
        };
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "Invalid", message).about(group, kind, name).causes(causes)
    }

    /// 422 under `/v1`: a field of a small body is wrong.
    pub(crate) fn invalid_field(field: &str, why: &str) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "Invalid", format!("{field}: {why}"))
    }

    /// Under `/v1`: with that code, in these words.
    pub(crate) fn task(code: StatusCode, message: impl Into<String>) -> Self {
        Self::new(code, code.canonical_reason().unwrap_or_default(), message)
    }

    /// 422: a JSON patch that does not apply.
    pub(crate) fn patch_does_not_apply() -> Self {
        let message = "the server rejected our request due to an error in our request";
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "Invalid", message)
    }

    /// 400: the request cannot be understood.
    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "BadRequest", message)
    }

    /// 401: nobody known.
    pub(crate) fn unauthorized() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "Unauthorized", "Unauthorized")
    }

    /// 403: the caller may not.
    pub(crate) fn forbidden(kind: &Kind, name: &str, why: &str) -> Self {
        let message = if name.is_empty() {
            format!("{} is forbidden: {why}", kind.group_resource())
        } else {
            format!("{} {name:?} is forbidden: {why}", kind.group_resource())
        };
        Self::new(StatusCode::FORBIDDEN, "Forbidden", message).of(kind, name)
    }

    /// 403 where no kind is served, with the whole message.
    pub(crate) fn forbidden_path(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "Forbidden", message)
    }

    /// 406: no form that the caller takes can be given.
    pub(crate) fn not_acceptable(served: &[&str]) -> Self {
        let message = format!("only the following media types are accepted: {}", served.join(", "));
        Self::new(StatusCode::NOT_ACCEPTABLE, "NotAcceptable", message)
    }

    /// 408: the body did not come in time.
    pub(crate) fn request_timeout(message: impl Into<String>) -> Self {
        Self::new(StatusCode::REQUEST_TIMEOUT, "Timeout", message)
    }

    /// 431: too many headers.
    pub(crate) fn headers_too_large(limit: usize) -> Self {
        let message = format!("the request has too many headers: limit is {limit}");
        Self::new(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "RequestHeaderFieldsTooLarge", message)
    }

    /// 413: the body is too large.
    pub(crate) fn too_large(limit: usize) -> Self {
        let message = format!("Request entity too large: limit is {limit}");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLarge", message)
    }

    /// 413: the patch does more than a patch may.
    pub(crate) fn too_many_operations(limit: usize, given: usize) -> Self {
        let message =
            format!("Request entity too large: The allowed maximum operations in a JSON patch is {limit}, got {given}");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLarge", message)
    }

    /// 415: the body's form is not taken here.
    pub(crate) fn unsupported_media_type(accepted: &[&str]) -> Self {
        let message = format!(
            "the body of the request was in an unknown format - accepted media types include: {}",
            accepted.join(", ")
        );
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "UnsupportedMediaType", message)
    }

    /// 410: the version asked for is gone.
    pub(crate) fn expired(message: impl Into<String>) -> Self {
        Self::new(StatusCode::GONE, "Expired", message)
    }

    /// 429: too much at once.
    pub(crate) fn too_many_requests(message: impl Into<String>, seconds: u32) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, "TooManyRequests", message).retry_after(seconds)
    }

    /// 500: a fault of ours.
    pub(crate) fn internal(message: impl std::fmt::Display) -> Self {
        let message = format!("Internal error occurred: {message}");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "InternalError", message)
    }

    /// 500 without a reason: what Kubernetes has no code for.
    pub(crate) fn unspecific(message: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "", message)
    }

    /// 503: try again later.
    pub(crate) fn unavailable(message: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable", message).retry_after(1)
    }

    /// 504: the outcome did not come in time.
    pub(crate) fn timeout(message: impl Into<String>) -> Self {
        Self::new(StatusCode::GATEWAY_TIMEOUT, "Timeout", message)
    }

    /// After how many seconds to try again, if that is known.
    pub(crate) fn retry_after_seconds(&self) -> Option<u64> {
        self.details.get("retryAfterSeconds").and_then(Value::as_u64)
    }

    /// The HTTP status code.
    pub(crate) fn code(&self) -> StatusCode {
        self.code
    }

    /// The reason, for programs.
    pub(crate) fn reason(&self) -> &'static str {
        self.reason
    }

    /// What programs tell it by, under `/v1`.
    pub(crate) fn code_for_programs(&self) -> Option<&'static str> {
        self.code_for_programs
    }

    /// What else they need, under `/v1`.
    pub(crate) fn told(&self) -> &Map<String, Value> {
        &self.told
    }

    /// The text, for people.
    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// The `Status` object.
    pub(crate) fn status(&self) -> Value {
        let mut status = json!({
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "code": self.code.as_u16(),
        });
        if !self.reason.is_empty() {
            status["reason"] = self.reason.into();
        }
        if !self.details.is_empty() {
            status["details"] = Value::Object(self.details.clone());
        }
        if let Some(token) = &self.continue_token {
            status["metadata"]["continue"] = token.as_str().into();
        }
        status
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.code, Json(self.status())).into_response();
        if let Some(seconds) = self.retry_after_seconds() {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

impl From<dropmate_identity::Error> for ApiError {
    fn from(error: dropmate_identity::Error) -> Self {
        match error {
            dropmate_identity::Error::Unavailable(_) => Self::unavailable(error.to_string()),
            dropmate_identity::Error::TooManyKeys => Self::new(StatusCode::CONFLICT, "Conflict", error.to_string()),
            _ => Self::internal(error),
        }
    }
}

impl From<ReadError> for ApiError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Expired { asked, floor } => {
                Self::expired(format!("too old resource version: {asked} ({floor})"))
            }
            ReadError::Future { asked, newest } => {
                Self::timeout(format!("Timeout: Too large resource version: {asked}, current: {newest}"))
                    .cause("ResourceVersionTooLarge", "Too large resource version", "")
                    .retry_after(1)
            }
            ReadError::Unavailable(_) => Self::unavailable(error.to_string()),
        }
    }
}

impl ApiError {
    /// Says a refused write in terms of the object. Guards are told apart by the caller, who made them.
    pub(crate) fn write(kind: &Kind, name: &str, error: &WriteError) -> Self {
        match error {
            WriteError::Exists(_) => Self::already_exists(kind, name),
            WriteError::Missing => Self::not_found(kind, name),
            WriteError::Changed(_) => Self::modified(kind, name),
            WriteError::Guard(_) => Self::conflict(kind, name, "a precondition on another object does not hold"),
            WriteError::Unavailable(_) => Self::unavailable(error.to_string()),
            WriteError::Unknown(_) => Self::timeout(error.to_string()),
        }
    }
}
