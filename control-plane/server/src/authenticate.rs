//! From a bearer token to a caller, and to the moment when it is no longer one.
//!
//! A token with two dots is a JWT: ours, or by its `iss` the outside issuer's. Everything else is looked up among the
//! static tokens. All of it from memory: no request waits for another server.

use std::time::Duration;

use dropmate_api::{
    Clock,
    roles::{self, DRIVER_USER},
};
use dropmate_identity::{Identity, Outside, Principal, Stranger, Verified, claimed_issuer};
use dropmate_store::{At, Key, Object, Store};
use jiff::Timestamp;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::{
    auth,
    caller::Caller,
    error::{ApiError, Result},
    tokens::{self, Tokens},
};

/// How often an open watch looks whether its service account is still there: access ends within 5 s, and the look is one
/// in memory.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Where service accounts are stored.
const SERVICE_ACCOUNTS: &str = "serviceaccounts";

/// Knows callers by their tokens. Cheap to clone; clones share what they know.
#[derive(Clone, Debug)]
pub(crate) struct Authenticator {
    tokens: Tokens,
    jwts: Option<Jwts>,
}

/// What tokens that are JWTs are checked against.
#[derive(Clone, Debug)]
pub(crate) struct Jwts {
    pub(crate) identity: Identity,
    pub(crate) outside: Option<Outside>,
    /// Has the service accounts.
    pub(crate) store: Store,
    pub(crate) clock: Clock,
}

/// A caller for as long as the token is good.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    pub(crate) caller: Caller,
    held: Held,
}

#[derive(Clone, Debug)]
enum Held {
    Static(tokens::Session),
    Ours(Box<(Jwts, Verified)>),
    Outside { clock: Clock, expires_at: Timestamp },
}

impl Authenticator {
    pub(crate) fn new(tokens: Tokens, jwts: Option<Jwts>) -> Self {
        Self { tokens, jwts }
    }

    /// The caller with that token. Whatever is wrong with one, the refusal is the same.
    pub(crate) async fn authenticate(&self, token: &str) -> Result<Session> {
        if token.bytes().filter(|byte| *byte == b'.').count() == 2 {
            return match &self.jwts {
                Some(jwts) => jwts.authenticate(token).await,
                None => Err(ApiError::unauthorized()),
            };
        }
        let session = self.tokens.authenticate(token).ok_or_else(ApiError::unauthorized)?;
        Ok(Session { caller: session.caller.clone(), held: Held::Static(session) })
    }

    /// The caller whose token a ticket stands for; the ticket is used up.
    pub(crate) async fn redeem(&self, ticket: &str, origin: &str) -> Result<Session> {
        let jwts = self.jwts.as_ref().ok_or_else(ApiError::unauthorized)?;
        let token = jwts.identity.redeem_ticket(ticket, origin).await.map_err(auth::said)?;
        self.authenticate(&token.ok_or_else(ApiError::unauthorized)?).await
    }

    /// Follows what changes elsewhere, until `stop`.
    pub(crate) fn follow(&self, stop: &CancellationToken) {
        tokio::spawn(self.tokens.clone().follow(stop.clone()));
        if let Some(jwts) = &self.jwts {
            tokio::spawn(jwts.identity.clone().follow(stop.clone()));
            if let Some(outside) = &jwts.outside {
                tokio::spawn(outside.clone().follow(stop.clone()));
            }
        }
    }
}

impl Jwts {
    async fn authenticate(&self, token: &str) -> Result<Session> {
        let refused = |error| {
            tracing::debug!(%error, "a token was refused");
            ApiError::unauthorized()
        };
        if let Some(outside) = &self.outside
            && claimed_issuer(token).as_deref() == Some(outside.issuer())
        {
            let stranger = outside.verify(token).map_err(refused)?;
            let held = Held::Outside { clock: self.clock.clone(), expires_at: stranger.expires_at };
            return Ok(Session { caller: guest(stranger), held });
        }
        let verified = self.identity.verify(token).map_err(refused)?;
        // One made a moment ago on another replica may not have come here yet: whoever holds a good token for it may
        // wait until it has.
        if !self.has_account(&verified, At::Any).await? && !self.has_account(&verified, At::Latest).await? {
            return Err(ApiError::unauthorized());
        }
        Ok(Session { caller: caller(&verified), held: Held::Ours(Box::new((self.clone(), verified))) })
    }

    /// Whether the service account that the token is for is there, and is the same one; persons have none.
    async fn has_account(&self, verified: &Verified, at: At) -> Result<bool> {
        let Principal::ServiceAccount { namespace, name, uid } = &verified.subject else { return Ok(true) };
        let key = Key { resource: SERVICE_ACCOUNTS.to_owned(), namespace: namespace.clone(), name: name.clone() };
        let (account, _) = self.store.get(&key, at).await?;
        Ok(account.is_some_and(|account| account.uid == *uid && !is_terminating(&account)))
    }

    /// Waits until the token is no longer good.
    async fn ended(&self, verified: &Verified) {
        let mut changes = self.identity.changes();
        let revoked = async {
            while !self.identity.is_revoked(verified) {
                if changes.changed().await.is_err() {
                    return;
                }
            }
        };
        let gone = async {
            // Whether a phone's Driver is there, the directory of members knows.
            if matches!(verified.subject, Principal::Person { .. } | Principal::Driver { .. }) {
                std::future::pending::<()>().await;
            }
            // What cannot be told now is told with the next look.
            while self.has_account(verified, At::Any).await.unwrap_or(true) {
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        tokio::select! {
            () = revoked => {}
            () = gone => {}
            () = expired(&self.clock, verified.expires_at) => {}
        }
    }
}

async fn expired(clock: &Clock, at: Timestamp) {
    let left = at.duration_since(clock.system_now());
    tokio::time::sleep(Duration::try_from(left).unwrap_or_default()).await;
}

fn is_terminating(object: &Object) -> bool {
    object.body.contains("\"deletionTimestamp\"")
        && serde_json::from_str::<Value>(&object.body)
            .is_ok_and(|body| body.pointer("/metadata/deletionTimestamp").is_some())
}

impl Session {
    /// Waits until the token is no longer this caller's.
    pub(crate) async fn ended(self) {
        match self.held {
            Held::Static(session) => session.ended().await,
            Held::Ours(ours) => ours.0.ended(&ours.1).await,
            Held::Outside { clock, expires_at } => expired(&clock, expires_at).await,
        }
    }
}

fn caller(verified: &Verified) -> Caller {
    let (user, uid, known) = match &verified.subject {
        Principal::Person { uid, email, verified, .. } => (email.clone(), uid, *verified),
        Principal::Driver { namespace, name, uid } => (format!("{DRIVER_USER}{namespace}:{name}"), uid, false),
        Principal::ServiceAccount { namespace, name, uid } => {
            (format!("system:serviceaccount:{namespace}:{name}"), uid, false)
        }
    };
    Caller { groups: roles::groups(&user), user, uid: uid.clone(), verified: known, session: verified.session.clone() }
}

/// The outside issuer has verified the address.
fn guest(stranger: Stranger) -> Caller {
    let (groups, uid) = (roles::groups(&stranger.email), format!("oidc:{}", stranger.subject));
    Caller { user: stranger.email, groups, session: uid.clone(), uid, verified: true }
}
