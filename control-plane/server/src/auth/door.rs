//! What anybody may ask, without a token: to be let in.

use std::net::{IpAddr, Ipv4Addr};

use axum::{
    Extension, Json,
    body::Bytes,
    extract::State,
    response::{IntoResponse, Response},
};
use dropmate_identity::{Letter, Proof};
use dropmate_live::Topic;
use http::{
    HeaderMap, StatusCode,
    header::{ACCEPT_LANGUAGE, USER_AGENT},
};
use serde_json::json;

use super::{
    answer::{granted, said, told},
    fields::Fields,
    identity,
};
use crate::{caller::ClientAddress, members, state::AppState};

/// Letters of a language tag that anybody speaks.
const LOCALE_CHARS_MAX: usize = 35;

/// Where a request comes from; in process, from here.
pub(super) type Address = Option<Extension<ClientAddress>>;

pub(super) fn ip(address: Address) -> IpAddr {
    address.map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |Extension(ClientAddress(ip))| ip)
}

/// What a client calls itself.
fn client(headers: &HeaderMap) -> &str {
    headers.get(USER_AGENT).and_then(|name| name.to_str().ok()).unwrap_or_default()
}

/// `POST /v1/auth/login {email, password, totp?}` → 200 with a grant.
pub(crate) async fn login(
    State(state): State<AppState>,
    address: Address,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let answer = async {
        let mut fields = Fields::read(&headers, &body)?;
        let (email, password, totp) = (fields.text("email")?, fields.text("password")?, fields.optional_text("totp")?);
        fields.end()?;
        let proof = Proof { email: &email, password: &password, totp: totp.as_deref(), address: ip(address) };
        Ok(granted(&identity(&state)?.login(proof, client(&headers)).await.map_err(said)?))
    };
    told(answer.await)
}

/// `POST /v1/auth/refresh {refreshToken}` → 200 with the next grant.
pub(crate) async fn refresh(State(state): State<AppState>, headers: HeaderMap, body: Bytes) -> Response {
    let answer = async {
        let mut fields = Fields::read(&headers, &body)?;
        let token = fields.text("refreshToken")?;
        fields.end()?;
        Ok(granted(&identity(&state)?.refresh(&token).await.map_err(said)?))
    };
    told(answer.await)
}

/// `POST /v1/auth/logout {refreshToken}` → 204, whatever the token is.
pub(crate) async fn logout(State(state): State<AppState>, headers: HeaderMap, body: Bytes) -> Response {
    let answer = async {
        let mut fields = Fields::read(&headers, &body)?;
        let token = fields.text("refreshToken")?;
        fields.end()?;
        identity(&state)?.logout(&token).await.map_err(said)?;
        Ok(StatusCode::NO_CONTENT.into_response())
    };
    told(answer.await)
}

/// A letter in the language of whoever asks.
fn letter(headers: &HeaderMap) -> Letter {
    let asked = headers.get(ACCEPT_LANGUAGE).and_then(|languages| languages.to_str().ok()).unwrap_or_default();
    let first = asked.split([',', ';']).next().unwrap_or_default().trim();
    let is_tag = (2..=LOCALE_CHARS_MAX).contains(&first.len())
        && first.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    Letter { locale: is_tag.then(|| first.to_owned()), ..Letter::default() }
}

/// `POST /v1/auth/register {email, password, name}` → 202 `{}`, whether there is such a user or not, and whether
/// registration is open or not. Whoever is new is mailed a link that shows that the address is theirs.
pub(crate) async fn register(
    State(state): State<AppState>,
    address: Address,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let answer = async {
        let mut fields = Fields::read(&headers, &body)?;
        let (email, password, name) = (fields.text("email")?, fields.text("password")?, fields.text("name")?);
        fields.end()?;
        let identity = identity(&state)?;
        if state.open_registration {
            let registered = identity.register(&email, &password, &name, &letter(&headers), ip(address)).await;
            if registered.map_err(said)? {
                state.live.wake(Topic::Events);
            }
        }
        Ok((StatusCode::ACCEPTED, Json(json!({}))).into_response())
    };
    told(answer.await)
}

/// `POST /v1/auth/verify {token, password}` → 200 `{}`: the address is known to be the user's from then on. The password is
/// the one that was registered with.
pub(crate) async fn confirm(
    State(state): State<AppState>,
    address: Address,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let answer = async {
        let mut fields = Fields::read(&headers, &body)?;
        let token = fields.text("token")?;
        let password = fields.text("password")?;
        fields.end()?;
        let user = identity(&state)?.verify_email(&token, &password, ip(address)).await.map_err(said)?;
        tracing::info!(user.uid = user.uid, "an address was verified");
        Ok(Json(json!({})).into_response())
    };
    told(answer.await)
}

/// `POST /v1/auth/forgot {email}` → 202 `{}`, whether there is such a user or not: who is one is mailed a link to set
/// another password.
pub(crate) async fn forgot(
    State(state): State<AppState>,
    address: Address,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let answer = async {
        let mut fields = Fields::read(&headers, &body)?;
        let email = fields.text("email")?;
        fields.end()?;
        let forgot = identity(&state)?.forgot(&email, &letter(&headers), ip(address)).await;
        if forgot.map_err(said)? {
            state.live.wake(Topic::Events);
        }
        Ok((StatusCode::ACCEPTED, Json(json!({}))).into_response())
    };
    told(answer.await)
}

/// `POST /v1/auth/invitations/accept {token, password, name?, totp?}` → 200 with a grant. Whoever is new gets the
/// password; whoever is known must show theirs.
pub(crate) async fn accept(
    State(state): State<AppState>,
    address: Address,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let answer = async {
        let mut fields = Fields::read(&headers, &body)?;
        let (token, password) = (fields.text("token")?, fields.text("password")?);
        let (name, totp) = (fields.optional_text("name")?, fields.optional_text("totp")?);
        fields.end()?;
        let identity = identity(&state)?;
        let invited = identity.invitation(&token).await.map_err(said)?;
        let proof = Proof { email: &invited.email, password: &password, totp: totp.as_deref(), address: ip(address) };
        let user = identity.join(proof, name.as_deref().unwrap_or_default()).await.map_err(said)?;
        // Before the link is used up: if the store is away, the same request works later.
        members::accept(&state, &invited.namespace, &invited.member, &invited.member_uid, &user.uid).await?;
        identity.use_invitation(&token).await.map_err(said)?;
        tracing::info!(namespace = invited.namespace, user.uid = user.uid, "an invitation was accepted");
        Ok(granted(&identity.open_for(&user, client(&headers)).await.map_err(said)?))
    };
    told(answer.await)
}

/// `POST /v1/auth/reset {token, password}` → 200 `{}`. All sessions of the user end.
pub(crate) async fn reset(State(state): State<AppState>, headers: HeaderMap, body: Bytes) -> Response {
    let answer = async {
        let mut fields = Fields::read(&headers, &body)?;
        let (token, password) = (fields.text("token")?, fields.text("password")?);
        fields.end()?;
        let user = identity(&state)?.reset(&token, &password).await.map_err(said)?;
        tracing::info!(user.uid = user.uid, "a password was reset");
        Ok(Json(json!({})).into_response())
    };
    told(answer.await)
}
