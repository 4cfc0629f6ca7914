//! Calls to the API: each with a deadline, each failure sorted by what the caller does next.

use std::time::Duration;

use kube::{Client, core::Status};
use tower::service_fn;

/// How long an agent waits for an answer. Less than a lease lasts, so that a leader learns what became of its writes.
pub const CALL_DEADLINE: Duration = Duration::from_secs(10);

/// The cause by which the server says that a write was made under a lease that is another's by now.
const FENCED: &str = "FencedLease";

/// Why a call failed, by what the caller does next.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// Another leads: step down, then look at the lease again.
    #[error("the write was made under a lease that has passed on")]
    Fenced(#[source] kube::Error),
    /// The world is not what the decision was made on: look again.
    #[error("the decision does not fit the state of the object")]
    LookAgain(#[source] kube::Error),
    /// The object is gone: nothing to do.
    #[error("the object is gone")]
    Gone(#[source] kube::Error),
    /// The server did not answer or cannot at the moment: try again later. The write may have happened.
    #[error("the server did not answer")]
    Transient(#[source] kube::Error),
    /// No answer within [`CALL_DEADLINE`]: as `Transient`.
    #[error("the server did not answer in time")]
    Timeout,
    /// Trying again will not help; a person should look.
    #[error("the server refuses the call")]
    Terminal(#[source] kube::Error),
}

impl CallError {
    /// For metrics.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Fenced(_) => "fenced",
            Self::LookAgain(_) => "look_again",
            Self::Gone(_) => "gone",
            Self::Transient(_) | Self::Timeout => "transient",
            Self::Terminal(_) => "terminal",
        }
    }
}

impl From<kube::Error> for CallError {
    fn from(error: kube::Error) -> Self {
        let kube::Error::Api(status) = &error else {
            return match error {
                kube::Error::SerdeError(_) | kube::Error::BuildRequest(_) | kube::Error::FromUtf8(_) => {
                    Self::Terminal(error)
                }
                _ => Self::Transient(error),
            };
        };
        match status.code {
            409 if has_cause(status, FENCED) => Self::Fenced(error),
            // 410 is a watch or a list; for a write it can only mean that the state is old.
            409 | 410 | 412 | 422 => Self::LookAgain(error),
            404 => Self::Gone(error),
            408 | 429 | 500..=599 => Self::Transient(error),
            _ => Self::Terminal(error),
        }
    }
}

/// Waits for the answer to a call, at most [`CALL_DEADLINE`].
pub async fn call<T>(request: impl Future<Output = kube::Result<T>>) -> Result<T, CallError> {
    match tokio::time::timeout(CALL_DEADLINE, request).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(CallError::Timeout),
    }
}

/// The same client, but the head of every answer comes within [`CALL_DEADLINE`] or the request fails. For lists and
/// watches made by others on our behalf, where [`call`] cannot stand.
pub fn with_deadline(client: &Client) -> Client {
    let inner = client.clone();
    let service = service_fn(move |request| {
        let inner = inner.clone();
        async move {
            tokio::time::timeout(CALL_DEADLINE, inner.send(request))
                .await
                .map_err(tower::BoxError::from)?
                .map_err(tower::BoxError::from)
        }
    });
    Client::new(service, client.default_namespace())
}

/// Whether the server names that cause.
fn has_cause(status: &Status, reason: &str) -> bool {
    status.details.iter().flat_map(|details| &details.causes).any(|cause| cause.reason == reason)
}
