//! Secrets of namespaces, asked for by name and forgotten soon.

use std::{
    collections::HashMap,
    fmt,
    sync::{Mutex, PoisonError},
};

use dropmate_agent::{CallError, call};
use jiff::{SignedDuration, Timestamp};
use kube::Client;
use serde::Deserialize;

/// How long a value is used before it is asked for again: who changes a secret waits no longer for it.
const GOOD_FOR: SignedDuration = SignedDuration::from_secs(30);

/// Values that are remembered; more businesses than that send within half a minute on no machine of ours.
const REMEMBERED_MAX: usize = 10_000;

/// A value that is shown nowhere.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Secret(String);

impl Secret {
    /// As it is used.
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// For who uses it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

#[derive(Deserialize)]
struct Told {
    value: String,
}

/// What is known of secrets, by namespace and name: since when, and that there is none.
type Known = HashMap<(String, String), (Timestamp, Option<Secret>)>;

pub(super) struct Secrets {
    client: Client,
    known: Mutex<Known>,
}

impl Secrets {
    pub(super) fn new(client: Client) -> Self {
        Self { client, known: Mutex::default() }
    }

    /// The value; `None` if there is none. Failure: the control plane does not answer.
    pub(super) async fn get(&self, namespace: &str, name: &str, now: Timestamp) -> Result<Option<Secret>, ()> {
        let key = (namespace.to_owned(), name.to_owned());
        if let Some((at, known)) = self.known().get(&key)
            && now.duration_since(*at) < GOOD_FOR
        {
            return Ok(known.clone());
        }
        let found = match self.ask(namespace, name).await {
            Ok(told) => Some(Secret(told.value)),
            Err(CallError::Gone(_)) => None,
            Err(error) => {
                tracing::warn!(error = %error, "a secret that a message needs cannot be read");
                return Err(());
            }
        };
        let mut known = self.known();
        if known.len() >= REMEMBERED_MAX {
            known.clear();
        }
        known.insert(key, (now, found.clone()));
        Ok(found)
    }

    async fn ask(&self, namespace: &str, name: &str) -> Result<Told, CallError> {
        let query = [("namespace", namespace), ("name", name)];
        let mut url = reqwest::Url::parse("https://unused.invalid/v1/internal/secrets")
            .map_err(|error| CallError::Terminal(kube::Error::Service(error.into())))?;
        url.query_pairs_mut().extend_pairs(query);
        let path = format!("{}?{}", url.path(), url.query().unwrap_or_default());
        let request = http::Request::get(path)
            .body(Vec::new())
            .map_err(kube::core::request::Error::BuildRequest)
            .map_err(kube::Error::BuildRequest)?;
        call(self.client.request(request)).await
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
