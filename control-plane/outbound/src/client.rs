//! The guarded client: one request, one answer, within bounds.

use std::{error::Error, fmt, io, net::IpAddr, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use reqwest::{
    Method, StatusCode, Url,
    dns::{Addrs, Name, Resolve, Resolving},
    header::{HeaderMap, HeaderName, HeaderValue, RETRY_AFTER},
    redirect::Policy,
};

use crate::{Denied, Guard, Refusal, Trust};

/// What we call ourselves.
const USER_AGENT: &str = concat!("DropMate/", env!("CARGO_PKG_VERSION"));

/// Connections that stay open to one host, for the next call.
const IDLE_MAX: usize = 4;

/// For so long: servers close theirs after a minute or so, and a call into a connection that is just being closed is lost.
const IDLE_FOR: Duration = Duration::from_secs(20);

/// What a call may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// To resolve the name, connect, and agree on TLS.
    pub connect: Duration,
    /// From the beginning to the end of the answer.
    pub total: Duration,
    /// Bytes of the answer that are read; the rest is left.
    pub answer_bytes: usize,
}

/// Calls out. Clones share connections.
#[derive(Clone)]
pub struct Client {
    guard: Guard,
    http: reqwest::Client,
    answer_bytes: usize,
}

/// A request.
#[derive(Clone)]
pub struct Call {
    /// How.
    pub method: Method,
    /// Where to.
    pub url: Url,
    /// With what.
    pub headers: HeaderMap,
    /// And what it carries.
    pub body: Bytes,
}

/// An answer, whatever its status.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, or as much of it as is read.
    pub body: Bytes,
    /// Whether there was more, or it broke off.
    pub cut: bool,
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// TLS cannot be set up.
    #[error("TLS cannot be set up")]
    Tls(#[source] rustls::Error),
    /// The client cannot be set up.
    #[error("a client cannot be set up")]
    Client(#[source] reqwest::Error),
}

/// Why an address cannot be called.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// It is no URL.
    #[error("it is no URL of the form https://HOST[:PORT]/PATH")]
    Form,
    /// Over what it is.
    #[error("it must be https://…")]
    NotHttps,
    /// It has a name and a password.
    #[error("it must not hold a user name or a password")]
    Credentials,
    /// It has a fragment, which would never be sent.
    #[error("it must not have a part after #")]
    Fragment,
}

/// Why there is no answer. What is told holds no part of the URL but its host.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// It leads where nobody may be sent.
    #[error(transparent)]
    Refused(Refusal),
    /// No connection came about: nothing was sent.
    #[error("no connection: {0}")]
    Connect(String),
    /// The connection was lost, or the answer did not come in time: it may have been taken.
    #[error("no answer: {0}")]
    Lost(String),
}

impl CallError {
    /// Whether the other side may have taken the request nonetheless.
    pub fn in_doubt(&self) -> bool {
        matches!(self, Self::Lost(_))
    }
}

/// The URL, if it may be called at all; `plain`: also without TLS.
pub fn checked(url: &str, plain: bool) -> Result<Url, UrlError> {
    let url = Url::parse(url).map_err(|_| UrlError::Form)?;
    match url.scheme() {
        "https" => {}
        "http" if plain => {}
        "http" => return Err(UrlError::NotHttps),
        _ => return Err(UrlError::Form),
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err(UrlError::Form);
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(UrlError::Credentials);
    }
    if url.fragment().is_some() { Err(UrlError::Fragment) } else { Ok(url) }
}

impl Call {
    /// A request without headers and body.
    pub fn new(method: Method, url: Url) -> Self {
        Self { method, url, headers: HeaderMap::new(), body: Bytes::new() }
    }

    /// With a header.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// With a body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }
}

/// Without where it leads and what it carries.
impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call").field("method", &self.method).finish_non_exhaustive()
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("guard", &self.guard).finish_non_exhaustive()
    }
}

impl Client {
    /// That connects only to where the guard lets it, and believes whom it is told to.
    pub fn new(guard: Guard, trust: &Trust, limits: Limits) -> Result<Self, ClientError> {
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(trust.client().map_err(ClientError::Tls)?)
            .dns_resolver(Arc::new(Guarded(guard.clone())))
            .connect_timeout(limits.connect)
            .timeout(limits.total)
            .redirect(Policy::none())
            // Through a proxy, the address that is checked would not be the one connected to.
            .no_proxy()
            // Who calls decides whether to call again.
            .retry(reqwest::retry::never())
            .referer(false)
            .http1_only()
            .pool_max_idle_per_host(IDLE_MAX)
            .pool_idle_timeout(IDLE_FOR)
            .user_agent(USER_AGENT)
            .build()
            .map_err(ClientError::Client)?;
        Ok(Self { guard, http, answer_bytes: limits.answer_bytes })
    }

    /// Sends a request and reads the answer.
    pub async fn call(&self, call: Call) -> Result<Answer, CallError> {
        // Names go through the resolver; a literal is connected to as it stands.
        let host = call.url.host_str().unwrap_or_default();
        if let Ok(address) = host.trim_matches(['[', ']']).parse::<IpAddr>() {
            self.guard.check(host, address).map_err(CallError::Refused)?;
        }
        let request = self.http.request(call.method, call.url).headers(call.headers).body(call.body);
        let mut answer = request.send().await.map_err(sorted)?;
        let (status, headers) = (answer.status(), std::mem::take(answer.headers_mut()));
        let (mut body, mut cut) = (BytesMut::new(), false);
        // What matters most is known by now: whoever answered and then broke off has answered.
        while let Some(piece) = answer.chunk().await.unwrap_or_else(|_| {
            cut = true;
            None
        }) {
            let room = self.answer_bytes - body.len();
            body.extend_from_slice(&piece[..piece.len().min(room)]);
            if piece.len() > room {
                cut = true;
                break;
            }
        }
        Ok(Answer { status, headers, body: body.freeze(), cut })
    }
}

impl Answer {
    /// `Retry-After` in seconds. A date is not read: it says less than our own schedule does.
    pub fn retry_after(&self) -> Option<Duration> {
        let seconds = self.headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
        Some(Duration::from_secs(seconds))
    }

    /// The beginning of the body in one line, for people.
    pub fn excerpt(&self, characters: usize) -> String {
        let text = String::from_utf8_lossy(&self.body);
        let mut told = String::new();
        for word in text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty()) {
            if told.chars().count() >= characters {
                break;
            }
            if !told.is_empty() {
                told.push(' ');
            }
            told.push_str(word);
        }
        if told.chars().count() > characters {
            told = told.chars().take(characters.saturating_sub(1)).chain(['…']).collect();
        }
        told
    }
}

/// Resolves names for reqwest: what it gets is what it connects to.
struct Guarded(Guard);

impl Resolve for Guarded {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = self.0.clone();
        Box::pin(async move {
            let addresses = guard.resolve(name.as_str(), 0).await?;
            let addresses: Addrs = Box::new(addresses.into_iter());
            Ok(addresses)
        })
    }
}

fn sorted(error: reqwest::Error) -> CallError {
    let error = error.without_url();
    if let Some(Denied::Refused(refusal)) = cause(&error) {
        return CallError::Refused(refusal.clone());
    }
    if error.is_connect() { CallError::Connect(told(&error)) } else { CallError::Lost(told(&error)) }
}

/// The cause of that type, however deep it is wrapped.
fn cause<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    let mut at = Some(error);
    while let Some(error) = at {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        // An `io::Error` passes over what it holds when it is asked for its source.
        let held = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        at = held.map(|held| -> &(dyn Error + 'static) { held }).or_else(|| error.source());
    }
    None
}

/// The last cause, which says most.
fn told(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "not in time".to_owned();
    }
    let mut last: &dyn Error = error;
    while let Some(source) = last.source() {
        last = source;
    }
    last.to_string()
}
