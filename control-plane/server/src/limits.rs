//! How often one may ask: by caller, by client address, and by address for what tries passwords.
//!
//! Each replica counts for itself, and with Redis all of them together besides; where Redis is away or slow the own count
//! alone decides. The cost of a request is one look-up for each class; memory is bounded whoever asks.

mod address;
mod class;
mod rate;
mod standing;
mod store;

use std::{fmt::Display, hash::Hash, net::IpAddr, sync::Arc, time::Duration};

use dropmate_live::Live;
use governor::clock::MonotonicClock;
use http::HeaderMap;
use ipnet::IpNet;
use tokio_util::sync::CancellationToken;

pub use self::rate::Rate;
use self::{address::client, class::Class};
pub(crate) use self::{
    address::{network, subnet},
    standing::Standing,
};
use crate::auth::PAGES;

/// How often keys that have rested long enough to be as good as new are forgotten.
const FORGET_EVERY: Duration = Duration::from_secs(10);
/// What tries passwords, codes and one-time links.
const AUTH_PATHS: &str = "/v1/auth/";
/// The same for a phone's code.
const PAIR_PATH: &str = "/v1/pair";

/// What is allowed, and whose word counts about addresses.
#[derive(Clone, Debug, Default)]
pub(crate) struct Allowed {
    pub(crate) caller: Rate,
    pub(crate) address: Rate,
    pub(crate) auth: Rate,
    /// The proxies whose `X-Forwarded-For` counts.
    pub(crate) trusted_proxies: Vec<IpNet>,
}

/// The limits in force. Cheap to clone; clones share the counts.
#[derive(Clone, Debug)]
pub(crate) struct RateLimits(Arc<Classes>);

#[derive(Debug)]
struct Classes {
    trusted_proxies: Vec<IpNet>,
    /// `None`: off.
    callers: Option<Class<String>>,
    addresses: Option<Class<IpAddr>>,
    auth: Option<Class<IpAddr>>,
    /// Where all replicas count; `None`: there is one, or they share nothing.
    live: Option<Live>,
}

impl RateLimits {
    pub(crate) fn new(allowed: Allowed) -> Self {
        Self(Arc::new(Classes {
            callers: Class::new("caller", allowed.caller, MonotonicClock),
            addresses: Class::new("address", allowed.address, MonotonicClock),
            auth: Class::new("auth", allowed.auth, MonotonicClock),
            trusted_proxies: allowed.trusted_proxies,
            live: None,
        }))
    }

    /// The same, counted over all replicas as well.
    pub(crate) fn shared_by(self, live: Live) -> Self {
        match Arc::try_unwrap(self.0) {
            Ok(classes) => Self(Arc::new(Classes { live: live.is_shared().then_some(live), ..classes })),
            Err(classes) => Self(classes),
        }
    }

    /// No limits: for callers in process, which the program itself vouches for.
    pub(crate) fn none() -> Self {
        Self::new(Allowed::default())
    }

    /// The address a request really came from: the socket's, or what a trusted proxy says.
    pub(crate) fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let forwarded = headers.get_all("x-forwarded-for");
        client(peer, forwarded.iter().rev().map(|line| line.to_str().unwrap_or("?")), &self.0.trusted_proxies)
    }

    /// Counts a request from an address; `Err` if there was one too many.
    pub(crate) async fn address(&self, address: IpAddr, path: &str) -> Result<Option<Standing>, Standing> {
        let address = subnet(address);
        let tries =
            path.starts_with(AUTH_PATHS) || path == PAIR_PATH || PAGES.iter().any(|page| path.starts_with(page));
        let auth = self.0.auth.as_ref().filter(|_| tries);
        let auth = self.0.count(auth, &address).await?;
        let general = self.0.count(self.0.addresses.as_ref(), &address).await?;
        Ok(Standing::scarcest(auth, general))
    }

    /// Counts a request of a caller; `Err` if there was one too many.
    pub(crate) async fn caller(&self, user: &String) -> Result<Option<Standing>, Standing> {
        self.0.count(self.0.callers.as_ref(), user).await
    }

    /// Forgets who has rested, until `stop`.
    pub(crate) async fn tidy(self, stop: CancellationToken) {
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = tokio::time::sleep(FORGET_EVERY) => {}
            }
            let Classes { callers, addresses, auth, .. } = &*self.0;
            callers.iter().for_each(Class::forget);
            addresses.iter().chain(auth).for_each(Class::forget);
        }
    }
}

impl Classes {
    /// Counts one here, and if it passes, over all replicas.
    async fn count<K>(&self, class: Option<&Class<K>>, key: &K) -> Result<Option<Standing>, Standing>
    where
        K: Hash + Eq + Clone + Display,
    {
        let Some(class) = class else { return Ok(None) };
        let here = class.count(key)?;
        let Some(live) = &self.live else { return Ok(here) };
        match live.take_shared(class.name(), &key.to_string(), class.quota()).await {
            Some(taken) => Ok(Standing::scarcest(class.stands(taken)?, here)),
            None => Ok(here),
        }
    }
}
