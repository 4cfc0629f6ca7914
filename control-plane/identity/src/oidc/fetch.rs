//! Asks an issuer for its keys: the discovery document, then the set it names. Bounded in time and size; no redirects, and no
//! way into our networks but to the issuer itself, which the operator has named.

use std::time::Duration;

use dropmate_outbound::{Call, CallError, Client, Limits, Trust};
use reqwest::{Method, Url};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

use super::{OutsideConfig, OutsideError, may_fetch};

/// To connect.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// For one document, to its end.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Largest document: real ones have a few KiB.
const DOCUMENT_BYTES_MAX: usize = 256 * 1024;
const DISCOVERY: &str = "/.well-known/openid-configuration";

/// Why the keys did not come.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error("{0} does not answer")]
    Answer(String, #[source] CallError),
    #[error("{0} answers with {1}")]
    Status(String, u16),
    #[error("{0} is larger than {DOCUMENT_BYTES_MAX} bytes, or breaks off")]
    Large(String),
    #[error("{0} is not as it should be")]
    Form(String, #[source] serde_json::Error),
    #[error("the discovery document is of another issuer: {0:?}")]
    Issuer(String),
    #[error("the discovery document names keys where they are not fetched from: {0:?}")]
    Keys(String),
}

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

#[derive(Deserialize)]
struct Set {
    keys: Vec<Value>,
}

pub(super) struct Fetcher {
    client: Client,
}

impl Fetcher {
    pub(super) fn new(config: &OutsideConfig, issuer: &Url) -> Result<Self, OutsideError> {
        let trust = match &config.ca_pem {
            Some(pem) => Trust::only(pem).map_err(OutsideError::Ca)?,
            None => config.trust.clone(),
        };
        let guard = config.guard.naming(issuer.host_str().unwrap_or_default());
        let limits = Limits { connect: CONNECT_TIMEOUT, total: TIMEOUT, answer_bytes: DOCUMENT_BYTES_MAX };
        Ok(Self { client: Client::new(guard, &trust, limits).map_err(OutsideError::Client)? })
    }

    pub(super) async fn keys(&self, issuer: &str) -> Result<Vec<Value>, FetchError> {
        let discovery: Discovery = self.document(&format!("{}{DISCOVERY}", issuer.trim_end_matches('/'))).await?;
        if discovery.issuer != issuer {
            return Err(FetchError::Issuer(discovery.issuer));
        }
        if !Url::parse(&discovery.jwks_uri).is_ok_and(|url| may_fetch(&url)) {
            return Err(FetchError::Keys(discovery.jwks_uri));
        }
        Ok(self.document::<Set>(&discovery.jwks_uri).await?.keys)
    }

    async fn document<T: DeserializeOwned>(&self, url: &str) -> Result<T, FetchError> {
        let parsed = Url::parse(url).map_err(|_| FetchError::Keys(url.to_owned()))?;
        let answer = self.client.call(Call::new(Method::GET, parsed)).await;
        let answer = answer.map_err(|error| FetchError::Answer(url.to_owned(), error))?;
        if answer.status.as_u16() != 200 {
            return Err(FetchError::Status(url.to_owned(), answer.status.as_u16()));
        }
        if answer.cut {
            return Err(FetchError::Large(url.to_owned()));
        }
        serde_json::from_slice(&answer.body).map_err(|error| FetchError::Form(url.to_owned(), error))
    }
}
