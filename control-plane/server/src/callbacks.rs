//! `POST /v1/callbacks/sms/{namespace}/{message}`: an SMS service tells what became of a message. Anybody may call; the
//! notification agent, which has the account's token, believes only what the service has signed.

use std::time::Duration;

use axum::{
    body::Bytes,
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use dropmate_api::validation::is_dns_label;
use http::{HeaderMap, Method, StatusCode};
use serde_json::json;

use crate::{
    agents::{self, Errand, NOTIFICATION},
    error::{ApiError, Result},
    gateway::{Surface, refused},
    state::AppState,
};

/// Where services call; the namespace and the message follow.
const ROOT: &str = "/v1/callbacks/sms/";

/// The service's signature.
const SIGNATURE: &str = "x-twilio-signature";

/// A form has a few hundred bytes.
const FORM_MAX: usize = 16 * 1024;

/// Letters of an id, and of a signature in Base64.
const ID_MAX: usize = 128;

/// How long the agent may take: it may wait for the end of the attempt that the callback is about.
const ANSWER_WITHIN: Duration = Duration::from_secs(8);

/// Whether an SMS service calls.
pub(crate) fn asks(method: &Method, path: &str) -> bool {
    *method == Method::POST && path.starts_with(ROOT)
}

/// 204, or a 403 that is the same whatever is wrong.
pub(crate) async fn sms(
    State(state): State<AppState>,
    Path((namespace, message)): Path<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let answer = async {
        let no = || ApiError::forbidden_path("this callback is not signed by the SMS service");
        let signature = headers.get(SIGNATURE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        let sane = is_dns_label(&namespace) && message.len() <= ID_MAX && plain(&message);
        let form = std::str::from_utf8(&body).ok().filter(|form| form.len() <= FORM_MAX);
        let Some(form) = form.filter(|_| sane && (1..=ID_MAX).contains(&signature.len())) else { return Err(no()) };
        let path = format!("/callbacks/sms/{namespace}/{message}");
        let errand = Errand::post(path, json!({"form": form, "signature": signature}), ANSWER_WITHIN);
        match agents::forward(&state, NOTIFICATION, &errand).await? {
            (StatusCode::NO_CONTENT, _) => Ok(StatusCode::NO_CONTENT.into_response()),
            (StatusCode::FORBIDDEN, _) => Err(no()),
            (other, _) => Err(agents::away(NOTIFICATION, &format!("status {other}"))),
        }
    };
    let answer: Result<Response> = answer.await;
    answer.unwrap_or_else(|error| refused(&error, Surface::Tasks))
}
