//! A shop's endpoint, as Standard Webhooks say.

use async_trait::async_trait;
use dropmate_agent::Now;
use dropmate_outbound::{Call, CallError, Client};
use reqwest::{
    Method, StatusCode, Url,
    header::{CONTENT_TYPE, HeaderName, HeaderValue},
};

use super::told::told;
use crate::{
    channel::{Outcome, Outgoing, Provider},
    webhooks::Keys,
};

const ID: HeaderName = HeaderName::from_static("webhook-id");
const TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

/// What is sent: a CloudEvent in the structured mode.
const CLOUD_EVENT: HeaderValue = HeaderValue::from_static("application/cloudevents+json; charset=utf-8");

/// An endpoint.
pub(super) struct Endpoint {
    name: String,
    url: Url,
    keys: Keys,
    client: Client,
    now: Now,
}

impl Endpoint {
    pub(super) fn new(namespace: &str, name: &str, url: Url, keys: Keys, client: Client, now: Now) -> Self {
        Self { name: format!("webhook:{namespace}/{name}"), url, keys, client, now }
    }
}

#[async_trait]
impl Provider for Endpoint {
    fn name(&self) -> &str {
        &self.name
    }

    async fn send(&self, message: &Outgoing) -> Outcome {
        let refused = |answer: &str| Outcome::Refused { answer: answer.to_owned(), opted_out: false };
        let Some(body) = message.payload.clone() else { return refused("the message has no event to send") };
        let at = (self.now)().as_second();
        let signature = self.keys.signature(&message.id, at, body.as_bytes());
        let (Ok(id), Ok(signature)) = (HeaderValue::try_from(&message.id), HeaderValue::try_from(signature)) else {
            return refused("the id cannot be a header");
        };
        let call = Call::new(Method::POST, self.url.clone())
            .header(CONTENT_TYPE, CLOUD_EVENT)
            .header(ID, id)
            .header(TIMESTAMP, HeaderValue::from(at))
            .header(SIGNATURE, signature)
            .body(body);
        let answer = match self.client.call(call).await {
            Ok(answer) => answer,
            Err(CallError::Lost(why)) => return Outcome::InDoubt { answer: told(&format!("no answer: {why}"), "") },
            Err(error) => return Outcome::Again { answer: told(&error.to_string(), ""), after: None },
        };
        let words = told(&format!("{} {}", answer.status.as_u16(), answer.excerpt(200)), "");
        match answer.status {
            status if status.is_success() => Outcome::Sent { provider_id: None, answer: words },
            StatusCode::GONE => Outcome::Gone { answer: words },
            status if status.is_redirection() => {
                Outcome::Again { answer: format!("{words}: a redirect, which is not followed"), after: None }
            }
            _ => Outcome::Again { answer: words, after: answer.retry_after() },
        }
    }
}
