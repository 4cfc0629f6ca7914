//! Whether the recipient is written to: they say so themselves, on the page.

use std::time::Duration;

use axum::{
    Json,
    body::Bytes,
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use dropmate_api::{
    apply::{self, Writer},
    registry::{Part, WriteContext},
};
use dropmate_ingest::LinkedOrder;
use dropmate_live::Quota;
use dropmate_store::{Actor, At, Change, Expect, Key, WriteError};
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::json;

use super::{Address, find, network, no_such_link, told};
use crate::{
    body,
    error::{ApiError, Result},
    gateway::SMALL_BODY_MAX,
    incidents, object, resources,
    state::AppState,
};

/// How often a write is tried against others' of the same order.
const MAX_ATTEMPTS: usize = 8;
/// How often a recipient's mind is changed: so many times at once, then now and then. Each is a change of the order that
/// everybody hears of.
const CHANGES: Quota = Quota { interval: Duration::from_mins(10), burst: 10 };
/// What the count is called.
const CLASS: &str = "track-notify";
/// Who writes, in history and among the managers of fields.
const RECIPIENT: &str = "system:recipient";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Said {
    enabled: bool,
}

/// `POST /v1/track/{token}/notifications {enabled}` → 200 `{enabled}`: `spec.recipient.notify` of the order.
pub(crate) async fn set(
    State(state): State<AppState>,
    address: Address,
    Path(token): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let answer = async {
        let found = find(&state, network(address), &token).await?;
        if body.len() > SMALL_BODY_MAX {
            return Err(ApiError::too_large(SMALL_BODY_MAX));
        }
        if body::media_type(&headers) != "application/json" {
            return Err(ApiError::unsupported_media_type(&["application/json"]));
        }
        let said: Said = serde_json::from_value(body::json(&body)?.value)
            .map_err(|_| ApiError::task(StatusCode::UNPROCESSABLE_ENTITY, "enabled: must be true or false"))?;
        write(&state, &found.link, said.enabled).await?;
        Ok(Json(json!({"enabled": said.enabled})).into_response())
    };
    told(answer.await)
}

/// Writes it into the order, unless it says so already.
pub(super) async fn write(state: &AppState, link: &LinkedOrder, enabled: bool) -> Result<()> {
    let kind = incidents::order_kind()?;
    let key =
        Key { resource: kind.storage.to_owned(), namespace: link.namespace.clone(), name: link.order_name.clone() };
    let actor = Actor { user: RECIPIENT.into(), ..Actor::default() };
    let mut counted = false;
    for _ in 0..MAX_ATTEMPTS {
        let (held, _) = state.store.get(&key, At::Latest).await?;
        let held = held.filter(|held| held.uid == link.order_uid).ok_or_else(no_such_link)?;
        let old = resources::served(kind, &held)?;
        if old.pointer("/spec/recipient/notify").and_then(serde_json::Value::as_bool).unwrap_or(true) == enabled {
            return Ok(());
        }
        if !counted {
            counted = true;
            let taken = state.live.take(CLASS, &link.order_uid, CHANGES).await;
            if !taken.allowed {
                let seconds = u32::try_from(taken.retry_after.as_secs()).unwrap_or(u32::MAX).saturating_add(1);
                return Err(ApiError::too_many_requests("enabled was changed too often; try again later", seconds));
            }
        }
        let mut new = old.clone();
        new["spec"]["recipient"]["notify"] = enabled.into();
        let generation = old.pointer("/metadata/generation").and_then(serde_json::Value::as_i64).unwrap_or(0);
        new["metadata"]["generation"] = (generation + 1).into();
        let cx = WriteContext { part: Part::Main, business_now: state.clock.business_now() };
        kind.strategy.prepare(&mut new, Some(&old), &cx);
        let at = object::metadata_time(state.clock.system_now());
        let writer = Writer {
            manager: RECIPIENT,
            api_version: &kind.api_version(),
            subresource: "",
            status_apart: kind.status_subresource,
            at: at.as_str().unwrap_or(""),
        };
        apply::update((kind.schema)(), &old, &mut new, &writer);
        let change = Change::Put { uid: held.uid.clone(), body: resources::body(kind, new) };
        match resources::write(state, key.clone(), Expect::Revision(held.revision), change, Vec::new(), &actor).await {
            Ok(_) => return Ok(()),
            Err(WriteError::Changed(_)) => {}
            Err(WriteError::Missing) => return Err(no_such_link()),
            Err(error) => return Err(ApiError::write(kind, &link.order_name, &error)),
        }
    }
    Err(ApiError::modified(kind, &link.order_name))
}
