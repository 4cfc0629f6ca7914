//! The customer's link to an order: made when it is needed first, the same for every message, until it is revoked or the
//! order has been over for two hours.

use axum::{
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use dropmate_api::Order;
use dropmate_identity::Identity;
use dropmate_ingest::{Ingest, LinkedOrder, SealedLink};
use dropmate_store::{At, Key};
use http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::{
    auth,
    error::{ApiError, Result},
    gateway::{Surface, refused},
    incidents,
    state::AppState,
};

/// How long after the end of its order a link is good, in business time: for the receipt, and for a rating.
pub(crate) const GOOD_AFTER: SignedDuration = SignedDuration::from_hours(2);
/// Random bytes of a token: nobody guesses 144 bits, and the link is short enough for a text message.
const TOKEN_BYTES: usize = 18;
/// What they are in letters.
const TOKEN_CHARS: usize = 24;

/// Until when the links to the order are good; `None` as long as it goes on. Business time, as the order's own end is.
pub(crate) fn good_until(order: &Order) -> Option<Timestamp> {
    let finished = order.status.as_ref()?.finished_at?;
    Some(finished.checked_add(GOOD_AFTER).unwrap_or(Timestamp::MAX))
}

/// Whether the links to the order are good.
pub(crate) fn is_good(order: &Order, now: Timestamp) -> bool {
    good_until(order).is_none_or(|until| now < until)
}

/// How a token is kept; `None` if it cannot be one.
pub(super) fn hash(token: &str) -> Option<[u8; 32]> {
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let can_be = token.len() == TOKEN_CHARS && token.bytes().all(letter);
    can_be.then(|| Sha256::digest(token.as_bytes()).into())
}

/// A token is sealed for its hash: nobody can move it to another link.
fn context(hash: &[u8]) -> String {
    format!("tracking-links/{}", hex::encode(hash))
}

/// What links are kept in, and sealed with; in memory there is neither.
pub(super) struct Keeper<'a> {
    pub(super) ingest: &'a Ingest,
    identity: &'a Identity,
}

impl<'a> Keeper<'a> {
    pub(super) fn of(state: &'a AppState) -> Result<Self> {
        let (Some(ingest), Some(identity)) = (&state.ingest, &state.identity) else {
            return Err(ApiError::no_such_path());
        };
        Ok(Self { ingest, identity })
    }

    /// The link to the order, made now if there is none.
    pub(super) async fn url(&self, order: &Order) -> Result<String> {
        let uid = order.metadata.uid.as_deref().unwrap_or_default();
        let kept = match self.ingest.link_of(uid).await? {
            Some(kept) => kept,
            None => self.make(order, uid).await?,
        };
        let token = self.identity.open_sealed(&context(&kept.hash), &kept.sealed)?;
        let token = String::from_utf8(token).map_err(|_| ApiError::internal("a token is no text"))?;
        Ok(format!("{}/t/{token}", self.identity.issuer()))
    }

    async fn make(&self, order: &Order, uid: &str) -> Result<SealedLink> {
        let mut random = [0; TOKEN_BYTES];
        getrandom::fill(&mut random).map_err(|error| ApiError::internal(format!("no random bytes: {error}")))?;
        let token = BASE64_URL_SAFE_NO_PAD.encode(random);
        let hash = Sha256::digest(token.as_bytes()).to_vec();
        let sealed = self.identity.seal(&context(&hash), token.as_bytes())?;
        let order = LinkedOrder {
            namespace: order.metadata.namespace.clone().unwrap_or_default(),
            order_name: order.metadata.name.clone().unwrap_or_default(),
            order_uid: uid.to_owned(),
        };
        // Of two that are made at once, one is kept.
        Ok(self.ingest.put_link(&order, &SealedLink { hash, sealed }).await?)
    }
}

/// The order, as it is now; 404 if it is not there.
pub(super) async fn order(state: &AppState, namespace: &str, name: &str) -> Result<Order> {
    let kind = incidents::order_kind()?;
    let held = find(state, namespace, name).await?;
    held.ok_or_else(|| ApiError::not_found(kind, name))
}

/// The order, if it is there.
pub(super) async fn find(state: &AppState, namespace: &str, name: &str) -> Result<Option<Order>> {
    let kind = incidents::order_kind()?;
    let key = Key { resource: kind.storage.to_owned(), namespace: namespace.to_owned(), name: name.to_owned() };
    let (held, _) = state.store.get(&key, At::Latest).await?;
    held.map(|held| serde_json::from_str(&held.body)).transpose().map_err(ApiError::internal)
}

/// `POST /v1/namespaces/{namespace}/orders/{name}/tracking-links` → 201 `{url, expiresAt}`: the link that is good, or a new
/// one. `expiresAt` is null as long as the order goes on.
pub(crate) async fn make(State(state): State<AppState>, Path((namespace, name)): Path<(String, String)>) -> Response {
    let answer = async {
        let keeper = Keeper::of(&state)?;
        let order = order(&state, &namespace, &name).await?;
        let until = good_until(&order);
        if let Some(until) = until.filter(|until| state.clock.business_now() >= *until) {
            let why = format!("the links to it were good until {until}: until two hours after its end");
            return Err(ApiError::conflict(incidents::order_kind()?, &name, &why));
        }
        let url = keeper.url(&order).await?;
        Ok(auth::secret(StatusCode::CREATED, json!({"url": url, "expiresAt": until})))
    };
    answer.await.unwrap_or_else(|error| refused(&error, Surface::Tasks))
}

/// `DELETE /v1/namespaces/{namespace}/orders/{name}/tracking-links` → 204: no link that was made so far is good any more.
pub(crate) async fn revoke(State(state): State<AppState>, Path((namespace, name)): Path<(String, String)>) -> Response {
    let answer = async {
        let keeper = Keeper::of(&state)?;
        let order = order(&state, &namespace, &name).await?;
        let revoked = keeper.ingest.revoke_links(order.metadata.uid.as_deref().unwrap_or_default()).await?;
        state.track.revoked(&revoked);
        tracing::info!(namespace, links = revoked.len(), "the links to an order were revoked");
        Ok(StatusCode::NO_CONTENT.into_response())
    };
    answer.await.unwrap_or_else(|error| refused(&error, Surface::Tasks))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn order(finished_at: Value) -> Order {
        let stop = json!({"address": "1 Main St", "location": {"latitude": 0.0, "longitude": 0.0}});
        let mut order = json!({
            "apiVersion": "dropmate.dev/v1", "kind": "Order", "metadata": {"name": "o"},
            "spec": {"pickup": stop, "dropoff": stop, "recipient": {"name": "Ada"}}, "status": {},
        });
        if !finished_at.is_null() {
            order["status"]["finishedAt"] = finished_at;
        }
        serde_json::from_value(order).unwrap()
    }

    #[test]
    fn a_link_is_good_until_two_hours_after_the_end() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let going_on = order(Value::Null);
        assert!(is_good(&going_on, Timestamp::MAX));
        assert_eq!(good_until(&going_on), None);
        let over = order("2027-01-01T10:00:00Z".into());
        assert_eq!(good_until(&over), Some(at("2027-01-01T12:00:00Z")));
        assert!(is_good(&over, at("2027-01-01T11:59:59.999999Z")));
        assert!(!is_good(&over, at("2027-01-01T12:00:00Z")));
    }

    #[test]
    fn what_cannot_be_a_token_is_not_looked_up() {
        assert!(hash("AbCdEfGhIjKlMnOpQrStUv-_").is_some());
        for wrong in ["", "short", "AbCdEfGhIjKlMnOpQrStUv-=", "AbCdEfGhIjKlMnOpQrStUv-_x", "äbCdEfGhIjKlMnOpQrStUv-"]
        {
            assert!(hash(wrong).is_none(), "{wrong}");
        }
    }
}
