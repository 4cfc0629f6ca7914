//! Asks an issuer for its keys: the discovery document, then the set it names. Bounded in time and size; no redirects.

use std::time::Duration;

use reqwest::{Certificate, Client, Url, redirect::Policy};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

use super::{OutsideError, may_fetch};

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
    Answer(String, #[source] reqwest::Error),
    #[error("{0} answers with {1}")]
    Status(String, u16),
    #[error("{0} is larger than {DOCUMENT_BYTES_MAX} bytes")]
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
    pub(super) fn new(ca_pem: Option<&[u8]>) -> Result<Self, OutsideError> {
        let mut client = Client::builder().connect_timeout(CONNECT_TIMEOUT).timeout(TIMEOUT).redirect(Policy::none());
        if let Some(pem) = ca_pem {
            let certificates = Certificate::from_pem_bundle(pem).map_err(|error| OutsideError::Ca(Some(error)))?;
            if certificates.is_empty() {
                return Err(OutsideError::Ca(None));
            }
            client = client.tls_certs_only(certificates);
        }
        Ok(Self { client: client.build().map_err(OutsideError::Client)? })
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
        let failed = |error: reqwest::Error| FetchError::Answer(url.to_owned(), error.without_url());
        let mut answer = self.client.get(url).send().await.map_err(failed)?;
        if answer.status().as_u16() != 200 {
            return Err(FetchError::Status(url.to_owned(), answer.status().as_u16()));
        }
        let mut document = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(failed)? {
            document.extend_from_slice(&chunk);
            if document.len() > DOCUMENT_BYTES_MAX {
                return Err(FetchError::Large(url.to_owned()));
            }
        }
        serde_json::from_slice(&document).map_err(|error| FetchError::Form(url.to_owned(), error))
    }
}
