//! The PIN of an order: six digits that only the recipient has, and that the driver asks for at the door.
//!
//! It is made when it is needed first, lies sealed outside the order, and is told to managers alone. After five wrong tries
//! nobody looks any more: an incident is open, and a manager makes another PIN.

use axum::{
    Json,
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use dropmate_api::{
    Order,
    order::{ProofType, binding::bound_driver},
    subresource::Report,
};
use dropmate_identity::Identity;
use dropmate_ingest::{Incident, Ingest, PIN_TRIES_MAX, PinTry, SealedPin};
use dropmate_store::{At, Key};
use http::{HeaderValue, StatusCode, header::CACHE_CONTROL};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::{
    error::{ApiError, Result},
    gateway::{Surface, refused},
    incidents,
    object::cause,
    state::AppState,
};

/// Digits of a PIN.
const DIGITS: usize = 6;
/// How many PINs there are.
const PINS: u32 = 1_000_000;
/// The category of the incident.
const LOCKED: &str = "PinLocked";

/// Whether it can be a PIN.
pub(crate) fn is_pin(text: &str) -> bool {
    text.len() == DIGITS && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether the order asks for one.
pub(crate) fn is_asked(order: &Order) -> bool {
    let mut asked = order.spec.proof.iter().flat_map(|policy| policy.pickup.iter().chain(&policy.dropoff));
    asked.any(|proof| *proof == ProofType::Pin)
}

/// `GET /v1/namespaces/{namespace}/orders/{name}/pin` → `{pin}`.
pub(crate) async fn show(State(state): State<AppState>, Path((namespace, name)): Path<(String, String)>) -> Response {
    let answer = async {
        let keeper = Keeper::of(&state)?;
        let order = order_with_pin(&state, &namespace, &name).await?;
        let pin = keeper.pin(&order).await?;
        Ok(told(StatusCode::OK, &pin))
    };
    answer.await.unwrap_or_else(|error| refused(&error, Surface::Tasks))
}

/// `POST /v1/namespaces/{namespace}/orders/{name}/pin`: another PIN, with tries from the beginning; 201 `{pin}`.
pub(crate) async fn renew(State(state): State<AppState>, Path((namespace, name)): Path<(String, String)>) -> Response {
    let answer = async {
        let keeper = Keeper::of(&state)?;
        let order = order_with_pin(&state, &namespace, &name).await?;
        let (uid, pin) = (uid(&order), made()?);
        let sealed = keeper.seal(uid, &pin)?;
        keeper.ingest.put_pin(&namespace, &name, uid, &sealed, true).await?;
        keeper.ingest.resolve_category(uid, LOCKED, "system:apiserver").await?;
        incidents::show(&state, &namespace, &name, uid).await?;
        Ok(told(StatusCode::CREATED, &pin))
    };
    answer.await.unwrap_or_else(|error| refused(&error, Surface::Tasks))
}

/// Whether that is the order's PIN. A wrong one is counted; the fifth opens an incident.
pub(crate) async fn check(state: &AppState, order: &Order, report: &Report, digits: &str) -> Result<()> {
    let keeper = Keeper::of(state)?;
    // Made now if nobody asked for it before: then nobody can know it, and it is wrong.
    keeper.pin(order).await?;
    let uid = uid(order);
    let is_it = |sealed: &[u8]| keeper.open(uid, sealed).ok().map(|pin| equal(pin.as_bytes(), digits.as_bytes()));
    match keeper.ingest.try_pin(uid, &report.client_event_id, digits, is_it).await? {
        PinTry::Right => Ok(()),
        PinTry::Wrong { left } => {
            let why = format!("Invalid value: the PIN is wrong; tries that are left: {left}");
            let wrong = cause("FieldValueInvalid", why, "proof");
            Err(ApiError::invalid_named(dropmate_api::GROUP, "Report", name(order), &[wrong]))
        }
        PinTry::Locked { made_at } => {
            keeper.lock(state, order, made_at).await?;
            let why = format!("the PIN was wrong {PIN_TRIES_MAX} times; a manager makes another one");
            Err(ApiError::conflict(incidents::order_kind()?, name(order), &why).cause(LOCKED, why, "proof"))
        }
        PinTry::None | PinTry::Unreadable => Err(ApiError::unavailable("the PIN cannot be read; try again")),
    }
}

/// The PIN that the recipient is to tell at the door; `None` where nobody asks for one, or not any more.
pub(crate) async fn of_recipient(state: &AppState, order: &Order) -> Result<Option<String>> {
    // One that is asked for at the pickup alone is the shop's.
    let asked = order.spec.proof.as_ref().is_some_and(|policy| policy.dropoff.contains(&ProofType::Pin));
    if !asked || order.phase().is_terminal() {
        return Ok(None);
    }
    Keeper::of(state)?.pin(order).await.map(Some)
}

/// What PINs are kept in, and sealed with.
struct Keeper<'a> {
    ingest: &'a Ingest,
    identity: &'a Identity,
}

impl<'a> Keeper<'a> {
    fn of(state: &'a AppState) -> Result<Self> {
        let (Some(ingest), Some(identity)) = (&state.ingest, &state.identity) else {
            return Err(ApiError::no_such_path());
        };
        Ok(Self { ingest, identity })
    }

    /// The order's PIN, made now if there is none.
    async fn pin(&self, order: &Order) -> Result<String> {
        let uid = uid(order);
        if let Some(SealedPin { sealed, .. }) = self.ingest.pin(uid).await? {
            return self.open(uid, &sealed);
        }
        let sealed = self.seal(uid, &made()?)?;
        let namespace = order.metadata.namespace.as_deref().unwrap_or_default();
        // Of two that are made at once, one is kept.
        let kept = self.ingest.put_pin(namespace, name(order), uid, &sealed, false).await?;
        self.open(uid, &kept.sealed)
    }

    fn seal(&self, uid: &str, pin: &str) -> Result<Vec<u8>> {
        self.identity.seal(&context(uid), pin.as_bytes()).map_err(ApiError::from)
    }

    fn open(&self, uid: &str, sealed: &[u8]) -> Result<String> {
        let plain = self.identity.open_sealed(&context(uid), sealed)?;
        String::from_utf8(plain).map_err(|_| ApiError::internal("a PIN is no text"))
    }

    /// Opens the incident of a PIN that nobody may try any more; for each PIN one, however often this is called.
    async fn lock(&self, state: &AppState, order: &Order, made_at: i64) -> Result<()> {
        let status = order.status.clone().unwrap_or_default();
        let namespace = order.metadata.namespace.clone().unwrap_or_default();
        let incident = Incident {
            id: incidents::new_id(),
            namespace: namespace.clone(),
            order_name: name(order).to_owned(),
            order_uid: uid(order).to_owned(),
            driver: bound_driver(&status).unwrap_or_default().to_owned(),
            category: LOCKED.to_owned(),
            note: format!("The PIN was wrong {PIN_TRIES_MAX} times."),
            photo_id: None,
            client_event_id: format!("pin-locked/{}/{made_at}", uid(order)),
            sent: Sha256::digest(LOCKED).to_vec(),
            at: state.clock.business_now().as_microsecond(),
            created_at: state.clock.system_now().as_microsecond(),
            resolved_at: None,
            resolved_by: None,
        };
        let kept = incidents::open(state, self.ingest, &incident).await?;
        if kept.resolved_at.is_some() {
            // Somebody resolved it, and the PIN is locked all the same: it is open again.
            let again = format!("{}/{}", incident.client_event_id, incident.created_at);
            let incident = Incident { id: incidents::new_id(), client_event_id: again, ..incident };
            incidents::open(state, self.ingest, &incident).await?;
        }
        Ok(())
    }
}

/// A PIN is sealed for its order: nobody can move it to another.
fn context(uid: &str) -> String {
    format!("pins/{uid}")
}

/// Six digits, each PIN as likely as every other.
fn made() -> Result<String> {
    // Above it, the first PINs would be a little likelier.
    const FAIR: u32 = u32::MAX - u32::MAX % PINS;
    loop {
        let mut random = [0; 4];
        getrandom::fill(&mut random).map_err(|error| ApiError::internal(format!("no random bytes: {error}")))?;
        let number = u32::from_le_bytes(random);
        if number < FAIR {
            return Ok(format!("{:06}", number % PINS));
        }
    }
}

/// Whether they are equal, in a time that tells nothing of where they are not.
fn equal(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
}

async fn order_with_pin(state: &AppState, namespace: &str, name: &str) -> Result<Order> {
    let kind = incidents::order_kind()?;
    let key = Key { resource: kind.storage.to_owned(), namespace: namespace.to_owned(), name: name.to_owned() };
    let (held, _) = state.store.get(&key, At::Latest).await?;
    let held = held.ok_or_else(|| ApiError::not_found(kind, name))?;
    let order: Order = serde_json::from_str(&held.body).map_err(ApiError::internal)?;
    if is_asked(&order) {
        return Ok(order);
    }
    Err(ApiError::no_such(format!("the pin of {name:?} not found: spec.proof of the order asks for none")))
}

/// Nobody on the way keeps it.
fn told(code: StatusCode, pin: &str) -> Response {
    (code, [(CACHE_CONTROL, HeaderValue::from_static("no-store"))], Json(json!({"pin": pin}))).into_response()
}

fn uid(order: &Order) -> &str {
    order.metadata.uid.as_deref().unwrap_or_default()
}

fn name(order: &Order) -> &str {
    order.metadata.name.as_deref().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn pins_have_six_digits_and_are_spread_over_all_there_are() {
        let pins: BTreeSet<String> = (0..2_000).map(|_| made().unwrap()).collect();
        assert!(pins.iter().all(|pin| is_pin(pin)));
        assert!(pins.len() > 1_980, "{} different", pins.len());
        let small = pins.iter().filter(|pin| pin.as_str() < "100000").count();
        assert!((120..290).contains(&small), "a tenth begins with a zero: {small}");
    }

    #[test]
    fn only_the_whole_pin_is_equal() {
        assert!(equal(b"123456", b"123456"));
        for other in [&b"123457"[..], b"023456", b"12345", b"1234567", b""] {
            assert!(!equal(b"123456", other));
        }
        for text in ["12345", "1234567", "12345a", "12 456", "١٢٣٤٥٦"] {
            assert!(!is_pin(text), "{text}");
        }
    }
}
