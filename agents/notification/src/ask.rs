//! Requests to the control plane's own routes, which answer errors as problems and not as Kubernetes does.

use std::time::Duration;

use bytes::Bytes;
use dropmate_agent::{CallError, call::CALL_DEADLINE};
use http::{Request, StatusCode, header::CONTENT_TYPE};
use http_body_util::{BodyExt, Limited};
use kube::{Client, client::Body};
use serde_json::Value;
use tokio::time::timeout;

/// The largest answer: a page of events is bounded by the server at some megabytes, and one revision more.
const ANSWER_MAX: usize = 64 * 1024 * 1024;

/// An answer, whatever it says.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Bytes,
}

/// Why there is none, or none of use.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AskError {
    /// It did not come.
    #[error(transparent)]
    Call(#[from] CallError),
    /// It was cut, or too long.
    #[error("the answer could not be read: {0}")]
    Cut(String),
    /// It is another than it should be.
    #[error("the answer is not what was asked for")]
    Unreadable(#[source] serde_json::Error),
    /// The control plane refuses.
    #[error("the control plane answers {0}: {1}")]
    Refused(StatusCode, String),
}

impl Answer {
    /// The answer as what was asked for.
    pub(crate) fn read<T: serde::de::DeserializeOwned>(&self) -> Result<T, AskError> {
        if self.status.is_success() {
            return serde_json::from_slice(&self.body).map_err(AskError::Unreadable);
        }
        Err(AskError::Refused(self.status, self.problem()["detail"].as_str().unwrap_or_default().to_owned()))
    }

    /// The body of an answer that refuses.
    pub(crate) fn problem(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// `GET`; the server holds the answer for at most `wait`.
pub(crate) async fn get(client: &Client, path: &str, wait: Duration) -> Result<Answer, AskError> {
    ask(client, Request::get(path), Body::empty(), wait).await
}

/// `POST` with a body of JSON.
pub(crate) async fn post(client: &Client, path: &str, body: &Value) -> Result<Answer, AskError> {
    let request = Request::post(path).header(CONTENT_TYPE, "application/json");
    ask(client, request, Body::from(body.to_string().into_bytes()), Duration::ZERO).await
}

async fn ask(client: &Client, request: http::request::Builder, body: Body, wait: Duration) -> Result<Answer, AskError> {
    let request = request.body(body).map_err(kube::core::request::Error::BuildRequest);
    let request = request.map_err(kube::Error::BuildRequest).map_err(CallError::from)?;
    let exchange = async {
        let answer = client.send(request).await.map_err(CallError::from)?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), ANSWER_MAX).collect().await;
        let body = body.map_err(|error| AskError::Cut(error.to_string()))?.to_bytes();
        Ok(Answer { status, body })
    };
    timeout(wait + CALL_DEADLINE, exchange).await.unwrap_or(Err(AskError::Call(CallError::Timeout)))
}
