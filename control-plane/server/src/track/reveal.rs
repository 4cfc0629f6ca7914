//! `POST /v1/internal/reveal`: what only a message may tell, told to the notification agent just before it sends one. So
//! neither links nor PINs lie in the agent's database.

use axum::{body::Bytes, extract::State, response::Response};
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::links::{self, Keeper};
use crate::{
    auth, body,
    error::{ApiError, Result},
    gateway::{SMALL_BODY_MAX, Surface, refused},
    pins,
    state::AppState,
};

/// What is asked for: of an order, or of a mail.
#[derive(Deserialize)]
#[serde(untagged)]
enum Asked {
    Order(OfOrder),
    Mail(OfMail),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OfOrder {
    namespace: String,
    order: String,
    uid: String,
    #[serde(default)]
    link: bool,
    #[serde(default)]
    pin: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OfMail {
    mail: String,
}

/// `{namespace, order, uid, link, pin}` → 200 `{notify, trackingUrl?, pin?}`, or `{mail}` → 200 `{link, expiresAt}`. 404: gone for
/// ever; there is no message to send any more.
pub(crate) async fn reveal(State(state): State<AppState>, headers: HeaderMap, body: Bytes) -> Response {
    let answer = async {
        let told = match read(&headers, &body)? {
            Asked::Order(asked) => of_order(&state, &asked).await?,
            Asked::Mail(asked) => of_mail(&state, &asked.mail).await?,
        };
        Ok(auth::secret(StatusCode::OK, told))
    };
    answer.await.unwrap_or_else(|error| refused(&error, Surface::Tasks))
}

fn read(headers: &HeaderMap, bytes: &Bytes) -> Result<Asked> {
    if bytes.len() > SMALL_BODY_MAX {
        return Err(ApiError::too_large(SMALL_BODY_MAX));
    }
    if body::media_type(headers) != "application/json" {
        return Err(ApiError::unsupported_media_type(&["application/json"]));
    }
    let document = body::json(bytes)?;
    serde_json::from_value(document.value).map_err(|_| {
        let forms = "the body must be {namespace, order, uid, link?, pin?} or {mail}";
        ApiError::task(StatusCode::UNPROCESSABLE_ENTITY, forms)
    })
}

async fn of_order(state: &AppState, asked: &OfOrder) -> Result<Value> {
    let found = links::find(state, &asked.namespace, &asked.order).await?;
    let found = found.filter(|order| order.metadata.uid.as_ref() == Some(&asked.uid));
    // Also long after its end, when the link leads nowhere: that it was delivered is told in the morning after quiet hours.
    let order = found.ok_or_else(|| ApiError::no_such("the order is gone"))?;
    // What they said on their page counts also for what was planned before.
    let mut told = json!({"notify": order.spec.recipient.notify != Some(false)});
    // In memory nothing is kept: there is no link and no PIN to tell.
    let Ok(keeper) = Keeper::of(state) else { return Ok(told) };
    if asked.link {
        told["trackingUrl"] = keeper.url(&order).await?.into();
    }
    if asked.pin
        && let Some(pin) = pins::of_recipient(state, &order).await?
    {
        told["pin"] = pin.into();
    }
    Ok(told)
}

async fn of_mail(state: &AppState, id: &str) -> Result<Value> {
    let identity = state.identity.as_ref().ok_or_else(ApiError::no_such_path)?;
    let link = identity.mail_link(id).await.map_err(auth::said)?;
    let link = link.ok_or_else(|| ApiError::no_such("the link has been used or replaced, or has expired"))?;
    Ok(json!({"link": auth::page(identity.issuer(), &link.kind, &link.token), "expiresAt": link.expires_at}))
}
