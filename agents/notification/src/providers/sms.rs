//! SMS as Twilio takes them; many services and self-hosted gateways speak the same.

pub mod callback;

use async_trait::async_trait;
use base64::{Engine, prelude::BASE64_STANDARD};
use dropmate_outbound::{Answer, Call, CallError, Client};
use reqwest::{
    Method, StatusCode, Url,
    header::{AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue},
};
use serde::Deserialize;

use super::{secrets::Secret, told::told};
use crate::channel::{Outcome, Outgoing, Provider};

/// The recipient has said STOP.
const OPTED_OUT: i64 = 21_610;

/// Too many at once, in the service's own numbers.
const TOO_MANY: [i64; 2] = [20_429, 14_107];

/// By which the service may drop doubles.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// An account with an SMS service.
#[derive(Clone, Debug)]
#[expect(clippy::struct_field_names, reason = "as the service calls it")]
pub(super) struct Account {
    pub(super) url: Url,
    pub(super) account: String,
    pub(super) token: Secret,
    pub(super) from: String,
}

/// An SMS service.
pub(super) struct Sms {
    name: String,
    account: Account,
    client: Client,
    callback: Option<String>,
}

impl Sms {
    /// `owner`: empty is the operator.
    pub(super) fn new(account: Account, client: Client, callback: Option<String>, owner: &str) -> Self {
        let host = account.url.host_str().unwrap_or_default();
        let owner = if owner.is_empty() { String::new() } else { format!(" ({owner})") };
        Self { name: format!("sms:{host}{owner}"), account, client, callback }
    }

    fn call(&self, message: &Outgoing) -> Result<Call, String> {
        let Account { url, account, token, from } = &self.account;
        let mut url = url.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(["2010-04-01", "Accounts", account, "Messages.json"]);
        }
        let mut form = Url::parse("form:").map_err(|error| error.to_string())?;
        {
            let mut pairs = form.query_pairs_mut();
            pairs.append_pair("To", &message.to);
            let sender = if from.starts_with("MG") { "MessagingServiceSid" } else { "From" };
            pairs.append_pair(sender, from).append_pair("Body", &message.text);
            if let Some(callback) = &self.callback {
                pairs.append_pair("StatusCallback", callback);
            }
        }
        let credentials = BASE64_STANDARD.encode(format!("{account}:{}", token.expose()));
        let mut authorization = HeaderValue::try_from(format!("Basic {credentials}")).map_err(|e| e.to_string())?;
        authorization.set_sensitive(true);
        let key = HeaderValue::try_from(&message.id).map_err(|_| "the id cannot be a header".to_owned())?;
        Ok(Call::new(Method::POST, url)
            .header(AUTHORIZATION, authorization)
            .header(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"))
            .header(IDEMPOTENCY_KEY, key)
            .body(form.query().unwrap_or_default().to_owned()))
    }
}

#[async_trait]
impl Provider for Sms {
    fn name(&self) -> &str {
        &self.name
    }

    async fn send(&self, message: &Outgoing) -> Outcome {
        let call = match self.call(message) {
            Ok(call) => call,
            Err(answer) => return Outcome::Refused { answer, opted_out: false },
        };
        match self.client.call(call).await {
            Ok(answer) => judged(&answer, &message.to),
            Err(CallError::Lost(why)) => Outcome::InDoubt { answer: told(&format!("no answer: {why}"), &message.to) },
            Err(error) => Outcome::Again { answer: told(&error.to_string(), &message.to), after: None },
        }
    }
}

/// What the service says of a message, or of what is wrong with it.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Said {
    sid: Option<String>,
    status: serde_json::Value,
    code: Option<i64>,
    message: Option<String>,
    error_code: Option<i64>,
}

fn judged(answer: &Answer, to: &str) -> Outcome {
    let said: Option<Said> = serde_json::from_slice(&answer.body).ok();
    let words = match &said {
        Some(Said { code: Some(code), message, .. }) => format!("{code} {}", message.as_deref().unwrap_or_default()),
        _ => answer.excerpt(200),
    };
    let words = told(&format!("{} {words}", answer.status.as_u16()), to);
    let again = |answer_text: String| Outcome::Again { answer: answer_text, after: answer.retry_after() };
    let said = said.unwrap_or_default();
    match answer.status {
        status if status.is_success() => match said.sid.filter(|name| !name.is_empty()) {
            Some(name) if said.error_code.is_none() => {
                let state = said.status.as_str().unwrap_or("accepted").to_owned();
                Outcome::Sent { provider_id: Some(name.chars().take(128).collect()), answer: told(&state, to) }
            }
            Some(_) => Outcome::Refused { answer: words, opted_out: said.error_code == Some(OPTED_OUT) },
            // It may well have been taken: only the answer is of no use.
            None => Outcome::InDoubt { answer: format!("an answer that says nothing: {words}") },
        },
        StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY => again(words),
        _ if said.code.is_some_and(|code| TOO_MANY.contains(&code)) => again(words),
        // An account that is wrong is no fault of the message: somebody has to set it right.
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::NOT_FOUND if said.code != Some(OPTED_OUT) => {
            again(words)
        }
        status if status.is_client_error() => {
            Outcome::Refused { answer: words, opted_out: said.code == Some(OPTED_OUT) }
        }
        status if status.is_redirection() => again(format!("{words}: a redirect, which is not followed")),
        _ => again(words),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rstest::rstest;
    use serde_json::json;

    use super::*;

    fn answer(status: u16, body: &str) -> Answer {
        let mut headers = reqwest::header::HeaderMap::new();
        headers.insert("retry-after", HeaderValue::from_static("7"));
        let status = StatusCode::from_u16(status).unwrap();
        Answer { status, headers, body: body.to_owned().into(), cut: false }
    }

    #[test]
    fn a_message_that_is_taken_has_a_name() {
        let taken =
            judged(&answer(201, &json!({"sid": "SM1", "status": "queued", "error_code": null}).to_string()), "+1");
        assert_eq!(taken, Outcome::Sent { provider_id: Some("SM1".to_owned()), answer: "queued".to_owned() });
    }

    #[rstest]
    #[case::stop(400, r#"{"code": 21610, "message": "unsubscribed recipient +1555", "status": 400}"#, true)]
    #[case::no_number(400, r#"{"code": 21211, "message": "Invalid 'To' Phone Number: +1555", "status": 400}"#, false)]
    #[case::failed_at_once(201, r#"{"sid": "SM1", "status": "failed", "error_code": 21610}"#, true)]
    fn what_will_never_be_taken_is_refused(#[case] status: u16, #[case] body: &str, #[case] stop: bool) {
        let Outcome::Refused { answer, opted_out } = judged(&answer(status, body), "+1555") else { panic!() };
        assert_eq!(opted_out, stop);
        assert!(!answer.contains("+1555"), "{answer}");
    }

    #[rstest]
    #[case(429, "")]
    #[case(500, "<html>oops</html>")]
    #[case(503, r#"{"code": 20503, "message": "Service Unavailable"}"#)]
    #[case(400, r#"{"code": 20429, "message": "Too Many Requests"}"#)]
    #[case(401, r#"{"code": 20003, "message": "Authenticate"}"#)]
    #[case(404, r#"{"code": 20404, "message": "The requested resource was not found"}"#)]
    #[case(307, "")]
    fn what_may_be_taken_later_is_tried_again_when_the_service_says(#[case] status: u16, #[case] body: &str) {
        let Outcome::Again { after, .. } = judged(&answer(status, body), "+1") else { panic!("{status}") };
        assert_eq!(after, Some(Duration::from_secs(7)));
    }

    #[rstest]
    #[case("garbage")]
    #[case("")]
    #[case("{}")]
    #[case("[1]")]
    #[case(r#"{"sid": ""}"#)]
    fn an_answer_that_says_nothing_leaves_it_in_doubt(#[case] body: &str) {
        assert!(matches!(judged(&answer(200, body), "+1"), Outcome::InDoubt { .. }), "{body}");
    }
}
