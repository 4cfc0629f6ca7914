//! A request that a policy describes: for services that speak nothing else.

use std::collections::BTreeMap;

use async_trait::async_trait;
use dropmate_outbound::{Answer, Call, CallError, Client};
use reqwest::{
    Method, StatusCode, Url,
    header::{
        CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, HOST, HeaderMap, HeaderName, HeaderValue, TE, TRAILER,
        TRANSFER_ENCODING, UPGRADE,
    },
};

use super::{secrets::Secret, told::told};
use crate::channel::{Outcome, Outgoing, Provider};

/// What a policy does not say: how requests are framed, and to whom they go, is ours.
const OURS: [HeaderName; 8] = [HOST, CONTENT_LENGTH, TRANSFER_ENCODING, CONNECTION, EXPECT, TE, TRAILER, UPGRADE];

/// What stands for the secret.
const SECRET: &str = "secret";

/// By which the service may drop doubles.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// A service that takes such requests.
pub(super) struct Request {
    name: String,
    method: Method,
    url: Url,
    headers: HeaderMap,
    client: Client,
}

impl Request {
    pub(super) fn new(name: String, method: Method, url: Url, headers: HeaderMap, client: Client) -> Self {
        Self { name, method, url, headers, client }
    }
}

/// The headers with the secret in its place; or what is wrong with them, without what is in them.
pub(super) fn headers(
    given: &BTreeMap<String, String>,
    content_type: Option<&str>,
    secret: Option<&Secret>,
) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    let content_type = content_type.unwrap_or("application/json");
    let value = HeaderValue::try_from(content_type)
        .map_err(|_| format!("spec.channels.http.contentType: {content_type:?} cannot be a header"))?;
    headers.insert(CONTENT_TYPE, value);
    for (name, text) in given {
        let field = format!("spec.channels.http.headers[{name:?}]");
        let name = HeaderName::try_from(name.as_str()).map_err(|_| format!("{field}: is no name of a header"))?;
        if OURS.contains(&name) {
            return Err(format!("{field}: may not be set"));
        }
        let (text, secret) = filled(text, secret)
            .ok_or_else(|| format!("{field}: names {{{{ secret }}}}, but spec.channels.http.secretName is missing"))?;
        let mut value = HeaderValue::try_from(text).map_err(|_| format!("{field}: cannot be the value of a header"))?;
        value.set_sensitive(secret);
        headers.insert(name, value);
    }
    Ok(headers)
}

/// The text with the secret for `{{ secret }}`, and whether it is in it. `None` if it is wanted and there is none.
fn filled(text: &str, secret: Option<&Secret>) -> Option<(String, bool)> {
    let (mut filled, mut rest, mut used) = (String::new(), text, false);
    while let Some(open) = rest.find("{{") {
        let Some(close) = rest[open..].find("}}").map(|at| open + at) else { break };
        filled.push_str(&rest[..open]);
        if rest[open + 2..close].trim() == SECRET {
            filled.push_str(secret?.expose());
            used = true;
        } else {
            filled.push_str(&rest[open..close + 2]);
        }
        rest = &rest[close + 2..];
    }
    filled.push_str(rest);
    Some((filled, used))
}

#[async_trait]
impl Provider for Request {
    fn name(&self) -> &str {
        &self.name
    }

    async fn send(&self, message: &Outgoing) -> Outcome {
        let Some(body) = message.payload.clone() else {
            let answer = "the message has no body for a request".to_owned();
            return Outcome::Refused { answer, opted_out: false };
        };
        let mut call = Call::new(self.method.clone(), self.url.clone()).body(body);
        call.headers = self.headers.clone();
        if let Ok(key) = HeaderValue::try_from(&message.id) {
            call.headers.insert(IDEMPOTENCY_KEY, key);
        }
        match self.client.call(call).await {
            Ok(answer) => judged(&answer, &message.to),
            Err(CallError::Lost(why)) => Outcome::InDoubt { answer: told(&format!("no answer: {why}"), &message.to) },
            Err(error) => Outcome::Again { answer: told(&error.to_string(), &message.to), after: None },
        }
    }
}

fn judged(answer: &Answer, to: &str) -> Outcome {
    let words = told(&format!("{} {}", answer.status.as_u16(), answer.excerpt(200)), to);
    match answer.status {
        status if status.is_success() => Outcome::Sent { provider_id: None, answer: words },
        StatusCode::TOO_MANY_REQUESTS
        | StatusCode::REQUEST_TIMEOUT
        | StatusCode::TOO_EARLY
        // A key that is wrong is no fault of the message: somebody has to set it right.
        | StatusCode::UNAUTHORIZED
        | StatusCode::FORBIDDEN
        | StatusCode::NOT_FOUND => Outcome::Again { answer: words, after: answer.retry_after() },
        status if status.is_client_error() => Outcome::Refused { answer: words, opted_out: false },
        status if status.is_redirection() => {
            Outcome::Again { answer: format!("{words}: a redirect, which is not followed"), after: None }
        }
        _ => Outcome::Again { answer: words, after: answer.retry_after() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(name: &str, value: &str) -> BTreeMap<String, String> {
        [(name.to_owned(), value.to_owned())].into()
    }

    #[test]
    fn the_secret_stands_where_it_is_named_and_is_not_shown() {
        let secret = Secret::new("hunter2 {{ secret }}");
        let made = headers(&given("Authorization", "Bearer {{secret}}; {{ other }}"), None, Some(&secret)).unwrap();
        assert_eq!(made["authorization"], "Bearer hunter2 {{ secret }}; {{ other }}", "put in once, as it is");
        assert!(!format!("{made:?}").contains("hunter2"));
        assert_eq!(made["content-type"], "application/json");
        let plain = headers(&given("X-Shop", "corner {{"), Some("text/plain"), None).unwrap();
        assert_eq!(
            (&plain["x-shop"], &plain["content-type"]),
            (&"corner {{".parse().unwrap(), &"text/plain".parse().unwrap())
        );
    }

    #[test]
    fn what_cannot_be_sent_is_told_by_its_field_without_the_value() {
        let secret = Secret::new("two\r\nlines");
        for (name, value) in [
            ("Host", "metadata.internal"),
            ("transfer-encoding", "chunked"),
            ("two words", "x"),
            ("X-A", "a\r\nX-B: b"),
            ("X-A", "{{ secret }}"),
        ] {
            let refused = headers(&given(name, value), None, Some(&secret)).unwrap_err();
            assert!(refused.contains(&format!("headers[{name:?}]")) && !refused.contains("lines"), "{refused}");
        }
        assert!(headers(&given("X-A", "{{ secret }}"), None, None).unwrap_err().contains("secretName"));
    }
}
