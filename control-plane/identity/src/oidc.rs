//! Tokens of an outside issuer (OpenID Connect): its keys are fetched in the background and kept in memory, so that a
//! request is answered from what is known and never waits for somebody else's server.

mod fetch;

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
use dropmate_outbound::{ClientError, Guard, Trust, TrustError};
use jiff::{SignedDuration, Timestamp};
use jsonwebtoken::{
    Algorithm, DecodingKey, Validation,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, PublicKeyUse},
};
use reqwest::Url;
use serde::{Deserialize, de::IgnoredAny};
use serde_json::Value;
use tokio::{sync::Notify, time::Instant};
use tokio_util::sync::CancellationToken;

use self::fetch::Fetcher;
use crate::{Now, TokenError, jwt::TOKEN_BYTES_MAX, normalized_email};

/// How often the keys are fetched when nothing else asks for it.
const REFRESH_EVERY: Duration = Duration::from_mins(10);
/// A token with an unknown key asks for the keys at most so often: anybody can make one up.
const ASKED_EVERY: Duration = Duration::from_mins(1);
/// The first wait after a failure; it doubles up to [`ASKED_EVERY`].
const BACKOFF: Duration = Duration::from_secs(1);
/// Keys taken from an issuer; real ones publish a handful.
const KEYS_MAX: usize = 64;
/// Bytes of the smallest RSA modulus taken (2048 bits).
const RSA_BYTES_MIN: usize = 256;
/// Clocks may differ by so much.
const AHEAD_SECONDS_MAX: i64 = 5;
/// Nobody can revoke such a token here: one that lasts longer is refused.
const LIFE_MAX: SignedDuration = SignedDuration::from_hours(24);

/// An outside issuer, as the flags name it.
#[derive(Clone, Debug)]
pub struct OutsideConfig {
    /// Its URL, exactly as its tokens' `iss`.
    pub issuer: String,
    /// What its tokens' `aud` must hold.
    pub audience: String,
    /// The claim with the address.
    pub email_claim: String,
    /// Certificates (PEM) to trust instead of the system's.
    pub ca_pem: Option<Vec<u8>>,
    /// Where its documents may lead besides to itself.
    pub guard: Guard,
    /// Whose certificates are believed otherwise.
    pub trust: Trust,
}

/// Why an outside issuer cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OutsideError {
    /// Its URL is of no use.
    #[error("--oidc-issuer: {0:?} must be of the form https://HOST[/PATH] (plain http only for this machine)")]
    Issuer(String),
    /// The certificates cannot be read.
    #[error("--oidc-ca")]
    Ca(#[source] TrustError),
    /// No client can be made.
    #[error("cannot make an HTTPS client")]
    Client(#[source] ClientError),
}

/// Who a good token of an outside issuer is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stranger {
    /// The issuer's name for them.
    pub subject: String,
    /// Their address, in lower case, which the issuer has verified.
    pub email: String,
    /// From then on the token is no longer good.
    pub expires_at: Timestamp,
}

/// An outside issuer. Cheap to clone; clones share it.
#[derive(Clone)]
pub struct Outside {
    inner: Arc<Inner>,
}

struct Inner {
    config: OutsideConfig,
    now: Now,
    fetcher: Fetcher,
    keys: RwLock<Arc<HashMap<String, Key>>>,
    asked: Notify,
}

/// A key of the issuer, with the one algorithm it is for.
struct Key {
    key: DecodingKey,
    algorithm: Algorithm,
}

#[derive(Deserialize)]
struct Header {
    alg: Algorithm,
    kid: String,
    /// What must be understood: nothing is.
    crit: Option<IgnoredAny>,
}

impl Outside {
    /// Knows no keys before [`follow`](Self::follow) runs.
    pub fn new(config: OutsideConfig, now: Now) -> Result<Self, OutsideError> {
        let url = Url::parse(&config.issuer).ok().filter(|url| may_fetch(url) && url.query().is_none());
        let Some(url) = url else { return Err(OutsideError::Issuer(config.issuer)) };
        let fetcher = Fetcher::new(&config, &url)?;
        let inner = Inner { config, now, fetcher, keys: RwLock::default(), asked: Notify::new() };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// What its tokens' `iss` says.
    pub fn issuer(&self) -> &str {
        &self.inner.config.issuer
    }

    /// Who a token is, if it is good now. No I/O; an unknown key is fetched afterwards, for the next try.
    pub fn verify(&self, token: &str) -> Result<Stranger, TokenError> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(TokenError::Malformed);
        }
        let header = token.split('.').next().and_then(|part| BASE64.decode(part).ok()).ok_or(TokenError::Malformed)?;
        let header: Header = serde_json::from_slice(&header).map_err(|_| TokenError::Header)?;
        if header.crit.is_some() {
            return Err(TokenError::Header);
        }
        let keys = self.inner.keys.read().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(key) = keys.get(&header.kid) else {
            self.inner.asked.notify_one();
            return Err(TokenError::Key);
        };
        if key.algorithm != header.alg {
            return Err(TokenError::Header);
        }
        // Only the signature: the clock is ours, and the claims are read here.
        let mut signature = Validation::new(key.algorithm);
        signature.required_spec_claims.clear();
        (signature.validate_exp, signature.validate_nbf, signature.validate_aud) = (false, false, false);
        let claims = jsonwebtoken::decode::<Value>(token, &key.key, &signature).map_err(|_| TokenError::Signature)?;
        stranger(&self.inner.config, &claims.claims, (self.inner.now)())
    }

    /// Keeps the issuer's keys, until `stop`. While it does not answer, those known last stay.
    pub async fn follow(self, stop: CancellationToken) {
        let mut backoff = BACKOFF;
        loop {
            let fetched = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                fetched = self.inner.fetcher.keys(&self.inner.config.issuer) => fetched,
            };
            let fetched_at = Instant::now();
            let wait = match fetched {
                Ok(set) => {
                    *self.inner.keys.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(usable(set));
                    backoff = BACKOFF;
                    REFRESH_EVERY
                }
                Err(error) => {
                    let error: &dyn std::error::Error = &error;
                    tracing::warn!(error, "cannot fetch the keys of the outside issuer; those known last stay");
                    let wait = backoff;
                    backoff = (2 * backoff).min(ASKED_EVERY);
                    wait
                }
            };
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = tokio::time::sleep(wait) => {}
                () = async {
                    self.inner.asked.notified().await;
                    tokio::time::sleep_until(fetched_at + ASKED_EVERY).await;
                } => {}
            }
        }
    }
}

impl fmt::Debug for Outside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outside").field("issuer", &self.inner.config.issuer).finish_non_exhaustive()
    }
}

/// Over TLS, or on this machine.
fn may_fetch(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let local = host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
    let bare = url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
    bare && (url.scheme() == "https" || url.scheme() == "http" && local)
}

/// The keys of a set that sign tokens, by name, each for the one algorithm its form allows.
fn usable(set: Vec<Value>) -> HashMap<String, Key> {
    let key = |jwk: Value| {
        // One key of a form nobody here knows must not hide the others.
        let jwk: Jwk = serde_json::from_value(jwk).ok()?;
        let algorithm = match &jwk.algorithm {
            AlgorithmParameters::RSA(rsa) => {
                let modulus = BASE64.decode(&rsa.n).ok()?;
                (modulus.len() >= RSA_BYTES_MIN).then_some(Algorithm::RS256)?
            }
            AlgorithmParameters::EllipticCurve(curve) if curve.curve == EllipticCurve::P256 => Algorithm::ES256,
            _ => return None,
        };
        let said = match jwk.common.key_algorithm {
            None => algorithm,
            Some(KeyAlgorithm::RS256) => Algorithm::RS256,
            Some(KeyAlgorithm::ES256) => Algorithm::ES256,
            Some(_) => return None,
        };
        let signs = jwk.common.public_key_use.as_ref().is_none_or(|use_| *use_ == PublicKeyUse::Signature);
        let kid = jwk.common.key_id.clone().filter(|_| signs && said == algorithm)?;
        Some((kid, Key { key: DecodingKey::from_jwk(&jwk).ok()?, algorithm }))
    };
    set.into_iter().take(KEYS_MAX).filter_map(key).collect()
}

fn stranger(config: &OutsideConfig, claims: &Value, now: Timestamp) -> Result<Stranger, TokenError> {
    let for_us = match &claims["aud"] {
        Value::String(audience) => *audience == config.audience,
        Value::Array(audiences) => audiences.iter().any(|audience| *audience == config.audience.as_str()),
        _ => false,
    };
    if claims["iss"] != config.issuer.as_str() || !for_us {
        return Err(TokenError::Claims);
    }
    let now = now.as_second();
    // Some issuers write fractions.
    let seconds = |claim: &str| claims[claim].as_f64().map(|seconds| seconds as i64);
    let expires = seconds("exp").ok_or(TokenError::Time)?;
    let begun = ["nbf", "iat"].iter().all(|claim| match &claims[*claim] {
        Value::Null => true,
        _ => seconds(claim).is_some_and(|from| from <= now + AHEAD_SECONDS_MAX),
    });
    if !begun || expires <= now || expires.saturating_sub(now) > LIFE_MAX.as_secs() {
        return Err(TokenError::Time);
    }
    let subject = claims["sub"].as_str().filter(|subject| !subject.is_empty()).ok_or(TokenError::Claims)?;
    let email = claims[&config.email_claim].as_str().and_then(|email| normalized_email(email).ok());
    let email = email.filter(|_| claims["email_verified"] == true).ok_or(TokenError::Claims)?;
    let expires_at = Timestamp::from_second(expires).map_err(|_| TokenError::Time)?;
    Ok(Stranger { subject: subject.to_owned(), email, expires_at })
}

#[cfg(test)]
mod tests;
