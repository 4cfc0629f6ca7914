//! `PUT /v1/me/availability`: whether a driver takes orders.

use axum::{
    Json,
    body::Bytes,
    extract::State,
    response::{IntoResponse, Response},
};
use dropmate_api::{
    driver::Availability,
    registry::{Part, WriteContext, by_resource},
};
use dropmate_store::{At, Change, Expect, Key, WriteError};
use http::HeaderMap;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Me, told};
use crate::{
    auth::Fields,
    error::{ApiError, Result},
    resources::{self, write},
    state::AppState,
};

/// How often the write is tried against others' of the same driver.
const MAX_ATTEMPTS: usize = 8;

/// `PUT /v1/me/availability {availability}` → 200 `{availability}`: what everybody sees of it, `Busy` while orders are
/// bound.
pub(crate) async fn set(State(state): State<AppState>, me: Me, headers: HeaderMap, body: Bytes) -> Response {
    let answer = async {
        let mut fields = Fields::read(&headers, &body)?;
        let said = fields.text("availability")?;
        fields.end()?;
        let wanted = read(&said)?;
        let shown = write_down(&state, &me, wanted).await?;
        Ok(Json(json!({"availability": shown})).into_response())
    };
    told(answer.await)
}

/// What a driver may say: busy they become by orders.
fn read(said: &str) -> Result<Availability> {
    let known = [Availability::Offline, Availability::Available, Availability::OnBreak];
    known.into_iter().find(|known| json!(known) == said).ok_or_else(|| {
        let why = format!("Unsupported value: {said:?}: supported values: \"Offline\", \"Available\", \"OnBreak\"");
        ApiError::invalid_field("availability", &why)
    })
}

async fn write_down(state: &AppState, me: &Me, wanted: Availability) -> Result<Value> {
    let kind = by_resource(dropmate_api::GROUP, dropmate_api::VERSION, "drivers")
        .ok_or_else(|| ApiError::internal("no kind Driver"))?;
    let name = &me.driver;
    let key = Key { resource: kind.storage.to_owned(), namespace: me.namespace.clone(), name: name.clone() };
    for _ in 0..MAX_ATTEMPTS {
        let (held, _) = state.store.get(&key, At::Latest).await?;
        let held = held.ok_or_else(|| ApiError::not_found(kind, name))?;
        let old = resources::served(kind, &held)?;
        let mut new = old.clone();
        if !new["status"].is_object() {
            new["status"] = json!({});
        }
        new["status"]["availability"] = json!(wanted);
        let cx = WriteContext { part: Part::Facts, business_now: state.clock.business_now() };
        kind.strategy.prepare(&mut new, Some(&old), &cx);
        let shown = Availability::deserialize(&new["status"]["availability"]).map_err(ApiError::internal)?;
        if new == old {
            return Ok(json!(shown));
        }
        let change = Change::Put { uid: held.uid.clone(), body: resources::body(kind, new) };
        match write(state, key.clone(), Expect::Revision(held.revision), change, Vec::new(), &me.actor).await {
            Ok(_) => return Ok(json!(shown)),
            Err(WriteError::Changed(_)) => {}
            Err(error) => return Err(ApiError::write(kind, name, &error)),
        }
    }
    Err(ApiError::unavailable("the driver changes too fast at the moment; try again"))
}
