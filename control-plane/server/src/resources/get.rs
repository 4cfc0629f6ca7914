//! Get one object, or its status (which is the object).

use axum::response::Response;
use dropmate_store::At;
use http::StatusCode;

use super::{answer::Answer, call::Call};
use crate::{
    error::{ApiError, Result},
    options,
};

/// `GET` of an object.
pub(crate) async fn get(call: Call) -> Result<Response> {
    let answer = Answer::negotiate(&call)?;
    let at = match call.query.get("resourceVersion").map(String::as_str) {
        None | Some("") => At::Latest,
        Some("0") => At::Any,
        Some(version) => At::NotOlder(options::parse_version(version)?),
    };
    let (object, _) = call.state.store.get(&call.key(), at).await?;
    let object = call.seen(object).ok_or_else(|| ApiError::not_found(call.kind(), call.name()))?;
    answer.stored(call.kind(), &object, StatusCode::OK)
}
